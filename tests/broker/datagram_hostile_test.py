"""Datagrams that no client of ours would send, against the real socket.

Before the cookie is proven nothing is answered with more than came; nothing here may crash the
broker, change a log, or disturb the client that works beside it.
"""

import random
import struct
import time

import pytest

from datagrams import (
    ABORT,
    ACK,
    ACK_NOW,
    CLOSE,
    COOKIE,
    DATA,
    HAS_ACK,
    HELLO,
    OPEN,
    OPENED,
    REFUSE,
    RESET,
    RESPONSE,
    Ended,
    Session,
    acknowledgement,
    cookie_for,
    data,
    hello,
    open_request,
    packet,
    parsed,
    received,
    sealed,
    session_body,
    udp_socket,
)
from harness import Broker, sanitized
from messages import request_frame
from records import batch

CLIENT = 0x1122334455667788
STRANGER = 0x0102030405060708  # nobody's session


def replies(sock, raw):
    """What comes back for `raw`.  The COOKIE for a HELLO behind it tells that nothing more will."""
    sock.send(raw)
    last = random.getrandbits(64) | 1
    sock.send(hello(last, 512))
    found = []
    while True:
        answer = received(sock, 10)
        assert answer is not None, "the broker is silent"
        kind, _, _, session = parsed(answer)
        if (kind, session) == (COOKIE, last):
            return found
        found.append(answer)


def check_answer(sock, name, raw, expected):
    answers = replies(sock, raw)
    assert sum(map(len, answers)) <= len(raw), f"{name}: more came back than was sent"
    assert [parsed(answer)[0] for answer in answers] == expected, name


@pytest.fixture(scope="module")
def stage():
    """A broker, a client that is at work all the time, and what the memory was before."""
    with Broker() as broker, Session(broker) as victim:
        victim.create_topic("victim")
        victim.at_work = 0
        yield broker, victim


def work(victim):
    """One request of the client that is not to be disturbed."""
    assert victim.produce("victim", 0, [b"%d" % victim.at_work]) == victim.at_work
    victim.at_work += 1


@pytest.fixture(autouse=True)
def undisturbed(stage):
    broker, victim = stage
    work(victim)
    before = broker.rss_bytes()
    yield
    broker.check_alive()
    work(victim)
    found = victim.fetch_values("victim", 0, 0)
    assert found == [b"%d" % number for number in range(victim.at_work)]
    if not sanitized():
        assert broker.rss_bytes() - before < 24 << 20


def flipped(raw, bit):
    raw = bytearray(raw)
    raw[bit // 8] ^= 1 << bit % 8
    return bytes(raw)


def hellos():
    good = hello(CLIENT, 512)
    yield "a good one", good, [COOKIE]
    yield "the largest", hello(CLIENT, 9000), [COOKIE]
    yield "too small, though it says so", hello(CLIENT, 511), []
    yield "too large, though it says so", hello(CLIENT, 9001), []
    yield "only its fields", good[:32], []
    yield "shorter than its fields", sealed(good[:31]), []
    yield "claims more than there is", hello(CLIENT, 600, told=1472), []
    yield "claims less than there is", hello(CLIENT, 1472, told=600), []
    yield "cut in half", good[:256], []
    yield "cut in half and sealed again", sealed(good[:256]), []
    yield "longer by one", sealed(good + b"\0"), []
    yield "nobody's id", hello(0, 512), []
    yield "versions the wrong way round", hello(CLIENT, 512, versions=(2, 1)), []
    yield "later versions only", hello(CLIENT, 512, versions=(2, 9)), [REFUSE]
    yield "no version", hello(CLIENT, 512, versions=(0, 0)), [REFUSE]
    yield "of another version", hello(CLIENT, 512, version=2), [REFUSE]
    yield "of another version and short", hello(CLIENT, 100, version=15), []
    yield "with a window", hello(CLIENT, 512, window=1), []
    yield "with a flag", hello(CLIENT, 512, flags=HAS_ACK), []
    yield "with something in the zeros", hello(CLIENT, 512, zero=bytes(11) + b"\1"), []
    yield "with a wrong check", flipped(good, 35), []
    yield "with a flipped bit of padding", flipped(good, 500 * 8), []


def opens(cookie, strangers_cookie):
    def request(used=cookie, client=CLIENT, **changes):
        return open_request(client, used, 512, **changes)

    yield "a cookie of zeros", request(bytes(24)), [COOKIE]
    yield "a cookie of somebody else's address", request(strangers_cookie), [COOKIE]
    yield "a cookie for another id", request(client=CLIENT + 1), [COOKIE]
    for bit in (0, 63, 64, 100, 191):
        yield f"a cookie with bit {bit} flipped", request(flipped(cookie, bit)), [COOKIE]
    issued = struct.unpack_from(">Q", cookie)[0]
    for name, other in (("the future", issued + 10000), ("long ago", 0), ("never", (1 << 64) - 1)):
        yield f"a cookie of {name}", request(struct.pack(">Q", other) + cookie[8:]), [COOKIE]
    yield "no slots", request(slots=0), []
    yield "no window", request(window=0), []
    yield "no messages", request(message_bytes_max=0), []
    yield "nobody's id", request(client=0), []
    yield "claims more than there is", request(told=1472), []
    yield "something in the zeros", request(zero=1), []
    yield "with a flag", request(flags=ABORT), []
    yield "of another version", request(version=3), []
    yield "hardly any silence allowed", request(idle_ms=99), [REFUSE]
    yield "a cut one", request()[:59], []
    yield "a cut one, sealed again", sealed(request()[:59]), []


def strays():
    body = session_body(number=1)
    yield "nothing", b"", []
    yield "a byte", b"\x11", []
    yield "15 bytes", packet(HELLO, CLIENT)[:15], []
    for kind in (0, *range(10, 16)):
        yield f"type {kind}", packet(kind, STRANGER, bytes(500)), []
    for version in (0, 2, 15):
        yield f"DATA of version {version}", packet(DATA, STRANGER, bytes(64), version=version), []
    for kind in (HELLO, COOKIE, OPEN, OPENED, REFUSE, DATA, ACK, CLOSE):
        yield f"nothing but a prefix of type {kind}", packet(kind, STRANGER), []
    yield "a COOKIE", packet(COOKIE, STRANGER, bytes(24) + struct.pack(">IHH", 9, 1472, 0)), []
    yield "an OPENED", packet(OPENED, STRANGER, bytes(range(32)).ljust(496)), []
    yield "a REFUSE", packet(REFUSE, STRANGER, b"\0\5\1\1"), []
    yield "a CLOSE of nobody", packet(CLOSE, STRANGER, session_body()), []
    yield "a RESET of nobody", packet(RESET, STRANGER), []
    yield "DATA of nobody", data(STRANGER, 1, 0, 1, 4, 0, b"abcd"), [RESET]
    yield "an ACK of nobody", packet(ACK, STRANGER, body), [RESET]
    yield "an ACK that says nothing", packet(ACK, STRANGER, session_body()), []
    yield "an ACK without its flag", packet(ACK, STRANGER, session_body(1, largest=5)), []
    yield "an ACK with more behind", packet(ACK, STRANGER, body + b"x"), []
    yield "DATA without a number", data(STRANGER, 0, 0, 1, 4, 0, b"abcd"), []
    yield "the largest there is", sealed(b"\x16".ljust(65507, b"\xff")), []
    yield "65507 zeros", bytes(65507), []


def scripted(broker):
    with udp_socket((broker.host, broker.port), ("127.0.0.2", 0)) as elsewhere:
        strangers = cookie_for(elsewhere, CLIENT, 512)
    with udp_socket((broker.host, broker.port)) as sock:
        cookie = cookie_for(sock, CLIENT, 512)
        for make in (hellos(), opens(cookie, strangers), strays()):
            for each in make:
                yield sock, *each


def test_nothing_larger_than_the_request_is_answered_before_the_cookie_is_proven(stage):
    broker, victim = stage
    count = 0
    for sock, name, raw, expected in scripted(broker):
        check_answer(sock, name, raw, expected)
        work(victim)
        count += 1
    assert count >= 40


def test_random_datagrams_are_answered_by_no_more_than_they_are(stage):
    broker, victim = stage
    chance = random.Random(1)
    with udp_socket((broker.host, broker.port)) as sock:
        for turn in range(60):
            raw = chance.randbytes(chance.choice([16, 36, 48, 60, 500, 1472]))
            if turn % 2:  # past the first checks
                raw = sealed(bytes([0x10 | chance.randint(1, 9), chance.choice([0, 0, 1, 8])])
                             + raw[2:])
            answers = replies(sock, raw)
            assert sum(map(len, answers)) <= len(raw)
            assert all(parsed(a)[0] in (COOKIE, REFUSE, RESET) for a in answers)
    work(victim)


def test_every_bit_of_a_hello_counts(stage):
    """Flipped, and not sealed again: the check finds each."""
    broker, _ = stage
    good = hello(CLIENT, 512)
    with udp_socket((broker.host, broker.port)) as sock:
        for bit in range(0, len(good) * 8, 37):
            check_answer(sock, f"bit {bit}", flipped(good, bit), [])


def test_resets_are_limited(stage):
    """A flood from nobody's sessions: at most 1000 answers a second."""
    broker, victim = stage
    with udp_socket((broker.host, broker.port)) as sock:
        raw = packet(ACK, STRANGER, session_body(number=1))
        begun = time.monotonic()
        answers = 0
        for _ in range(50):
            for _ in range(100):
                sock.send(raw)
            answers += len(replies(sock, raw))
        assert answers <= 1100 + 1000 * (time.monotonic() - begun)
    work(victim)


def test_a_flood_of_hellos_leaves_nothing_behind(stage):
    broker, victim = stage
    before = broker.rss_bytes()
    with udp_socket((broker.host, broker.port)) as sock:
        for turn in range(100):
            for _ in range(100):
                sock.send(hello(random.getrandbits(64) | 1, 512))
            while received(sock, 0):
                pass
            if turn % 20 == 0:
                work(victim)
    if not sanitized():
        assert broker.rss_bytes() - before < 4 << 20


# ---- with a session ----


def produce_message(number, value):
    return request_frame(
        "Produce", 9, number,
        {"acks": -1, "timeout_ms": 30000, "topic_data": [
            {"name": "t", "partition_data": [{"index": 0, "records": batch([value])}]}]},
    )[4:]


@pytest.fixture
def session(stage):
    broker, _ = stage
    with Session(broker) as session:
        with broker.connect() as admin:
            admin.create_topic_if_missing("t")
            session.before = admin.list_offset("t", 0, -1)["offset"]
        yield session


def ends(session):
    return session.list_offset("t", 0, -1)["offset"]


def test_replayed_packets_execute_nothing_twice(stage, session):
    broker, victim = stage
    opening = session.opening
    for number in range(5):
        session.produce("t", 0, [b"%d" % number])
    recorded = list(session.sent_log)
    with udp_socket((broker.host, broker.port), ("127.0.0.2", 0)) as elsewhere:
        for raw in recorded:  # the session is not theirs
            assert replies(elsewhere, raw) == []
        # Nor is the cookie: offered anew.
        check_answer(elsewhere, "a replayed OPEN", opening, [COOKIE])
    for _ in range(3):
        for raw in recorded:
            session.socket.send(raw)
        session.socket.send(opening)
    assert ends(session) == session.before + 5
    work(victim)


def test_a_new_number_for_an_old_request_executes_nothing(session):
    session.produce("t", 0, [b"once"])
    slot = session.idle[-1]
    message = produce_message(99, b"again")
    for _ in range(3):
        session.socket.send(
            data(session.terms.server, next(session.numbers), slot, session.sequence[slot],
                 len(message), 0, message)
        )
    assert ends(session) == session.before + 1


def wrong_packets(session):
    """Each is dropped, whatever it says."""
    server, numbers = session.terms.server, session.numbers
    step = session.terms.datagram_bytes - 48
    message = produce_message(99, b"never")
    size = len(message)

    def one(number=None, slot=9, sequence=1, length=size, offset=0, payload=message, **rest):
        number = next(numbers) if number is None else number
        return data(server, number, slot, sequence, length, offset, payload, **rest)

    yield "a wrong check", flipped(one(), 400)
    yield "a cut one", one()[:-1]
    yield "another's id", data(server ^ 1 << 63, 1, 9, 1, size, 0, message)
    yield "a slot that was not granted", one(slot=session.terms.slots)
    yield "slot 63", one(slot=63)
    yield "slot 65535", one(slot=65535)
    yield "longer than it says", one(length=size - 1)
    yield "shorter than it says", one(length=size + 1)
    yield "an offset between segments", one(length=3 * step, offset=1, payload=bytes(step))
    yield "an offset behind the end", one(length=3 * step, offset=3 * step, payload=bytes(step))
    yield "an offset that wraps", one(length=3 * step, offset=0xFFFFFFFF, payload=bytes(step))
    yield "a segment too small", one(length=3 * step, payload=bytes(step - 1))
    yield "a message above the limit", one(
        length=session.terms.message_bytes_max + 1, payload=bytes(step))
    yield "a message of 4 GiB", one(length=0xFFFFFFFF, payload=bytes(step))
    yield "a response", one(flags=RESPONSE)
    yield "an ABORT with a payload", one(flags=ABORT)
    yield "a flag that DATA does not have", one(flags=128)
    yield "acknowledges what was not sent", one(flags=HAS_ACK, ack=(1 << 20, 0))
    yield "acknowledges more than was sent", acknowledgement(server, 5, (1 << 64) - 1)
    yield "acknowledges the number that is none", acknowledgement(server, 0, 1)
    yield "a number too far ahead", one(number=1 << 20)
    yield "no number", one(number=0)
    yield "a CLOSE with a number", packet(CLOSE, server, session_body(number=7))
    yield "a CLOSE with too much text", packet(CLOSE, server, session_body() + bytes(65))
    yield "a RESET with the server's id", packet(RESET, server)
    yield "a RESET of somebody", packet(RESET, session.id ^ 1)
    yield "a RESET with a window", packet(RESET, session.id, window=1)
    yield "an ACK that asks for nothing", packet(ACK, server, session_body(), flags=ACK_NOW)


def test_what_is_wrong_in_a_session_changes_nothing(stage, session):
    broker, victim = stage
    names = set()
    for name, raw in wrong_packets(session):
        session.socket.send(raw)
        assert ends(session) == session.before, name
        work(victim)
        names.add(name)
    assert len(names) >= 25
    # The slot that they named is as it was.
    while session.idle[0] != 9:
        session.idle.rotate()
    assert session.produce("t", 0, [b"now"]) == session.before
    # From elsewhere no good packet counts either.
    with udp_socket((broker.host, broker.port), ("127.0.0.3", 0)) as elsewhere:
        for raw in (
            packet(CLOSE, session.terms.server, session_body()),
            packet(RESET, session.id),
            acknowledgement(session.terms.server, 1, 0, number=next(session.numbers)),
        ):
            assert replies(elsewhere, raw) == []
    assert ends(session) == session.before + 1


@pytest.mark.parametrize("ahead", [2, 3, 1 << 20])
def test_a_sequence_out_of_turn_ends_the_session(session, ahead):
    message = produce_message(99, b"never")
    slot = session.idle[-1]
    session.socket.send(
        data(session.terms.server, next(session.numbers), slot, session.sequence[slot] + ahead,
             len(message), 0, message)
    )
    with pytest.raises(Ended) as ended:
        ends(session)
    assert (ended.value.how, ended.value.reason) == ("CLOSE", 2)


def test_messages_that_never_become_whole_cost_bounded_memory():
    """Many clients begin the largest requests and send no more of them."""
    settings = {"queued.max.request.bytes": 64 << 20, "socket.request.max.bytes": 8 << 20}
    with Broker(shards=1, settings=settings) as broker:
        sessions = [Session(broker) for _ in range(20)]
        try:
            before = broker.rss_bytes()
            for session in sessions:
                step = session.terms.datagram_bytes - 48
                for slot in range(session.terms.slots):
                    session.socket.send(
                        data(session.terms.server, next(session.numbers), slot, 1, 8 << 20, 0,
                             bytes(step))
                    )
            broker.check_serves()
            if not sanitized():
                assert broker.rss_bytes() - before < 96 << 20
            with Session(broker) as another:  # small requests need no such memory
                another.create_topic("t")
                assert another.produce("t", 0, [b"x"]) == 0
        finally:
            for session in sessions:
                session.close()


def test_a_full_table_of_sessions_refuses_more_and_recovers():
    with Broker(shards=1) as broker:
        sockets = [udp_socket((broker.host, broker.port)) for _ in range(32)]
        try:
            opened, refused = [], None
            client = 0
            while not refused and client < 5000:
                client += 1
                sock = sockets[client % len(sockets)]
                cookie = cookie_for(sock, client, 512)
                sock.send(open_request(client, cookie, 512))
                raw = received(sock, 10)
                kind, _, _, session = parsed(raw)
                assert session == client
                if kind == OPENED:
                    opened.append((sock, struct.unpack_from(">Q", raw, 16)[0]))
                else:
                    assert (kind, raw[16:18]) == (REFUSE, b"\0\5")
                    refused = client
            assert len(opened) == 4096
            broker.check_serves()
            for sock, server in opened[:100]:
                sock.send(packet(CLOSE, server, session_body()))
            with Session(broker) as session:
                session.create_topic("t")
                assert session.produce("t", 0, [b"x"]) == 0
        finally:
            for sock in sockets:
                sock.close()
