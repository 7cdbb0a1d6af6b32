"""The datagram transport as dataplane/TRANSPORT.md tells it: packets, and a client's session.

Written from that page alone, so that what it forgets shows.  A Session is a harness.Connection
whose messages travel in slots; it is slow, and patient.
"""

import collections
import itertools
import random
import select
import socket
import struct
import time

from harness import Connection
from records import crc32c

HELLO, COOKIE, OPEN, OPENED, REFUSE, DATA, ACK, CLOSE, RESET = range(1, 10)
HAS_ACK, RESPONSE, ACK_NOW, ABORT = 1, 2, 4, 8
PREFIX = struct.Struct(">BBHIQ")
SESSION = struct.Struct(">IIQHH")  # number, largest, bitmap, delay_us, slot
SEGMENT = struct.Struct(">III")  # sequence, length, offset
DATA_BYTES = 48
UNDER_WAY_MAX = 16
AGAIN_SECONDS = 0.2


def sealed(raw):
    """With the check over all of it."""
    raw = bytearray(raw)
    raw[4:8] = bytes(4)
    raw[4:8] = struct.pack(">I", crc32c(bytes(raw)))
    return bytes(raw)


def packet(kind, session, body=b"", flags=0, window=0, version=1):
    return sealed(PREFIX.pack(version << 4 | kind, flags, window, 0, session) + body)


def hello(client, size=1472, versions=(1, 1), told=None, zero=bytes(12), **prefix):
    body = struct.pack(">BBH", *versions, size if told is None else told) + zero
    return packet(HELLO, client, body.ljust(size - 16, b"\0")[: size - 16], **prefix)


def open_request(
    client,
    cookie,
    size=1472,
    slots=16,
    idle_ms=30000,
    message_bytes_max=64 << 20,
    ack_delay_us=50,
    window=64,
    told=None,
    zero=0,
    **prefix,
):
    body = cookie + struct.pack(
        ">HHIIII", size if told is None else told, slots, idle_ms, message_bytes_max,
        ack_delay_us, zero,
    )
    return packet(OPEN, client, body.ljust(size - 16, b"\0")[: size - 16], window=window, **prefix)


def session_body(number=0, largest=0, bitmap=0, delay_us=0, slot=0):
    return SESSION.pack(number, largest, bitmap, delay_us, slot)


def data(session, number, slot, sequence, length, offset, payload, flags=0, window=64, ack=(0, 0)):
    body = session_body(number, *ack, slot=slot) + SEGMENT.pack(sequence, length, offset) + payload
    return packet(DATA, session, body, flags, window)


def acknowledgement(session, largest, bitmap, number=0, flags=HAS_ACK, window=64):
    return packet(ACK, session, session_body(number, largest, bitmap), flags, window)


Opened = collections.namedtuple(
    "Opened",
    "server datagram_bytes slots idle_ms message_bytes_max ack_delay_us shard shard_count "
    "buffer_bytes",
)


class Ended(Exception):
    """The server ended the session."""

    def __init__(self, how, reason=None):
        super().__init__(f"{how}, reason {reason}")
        self.how, self.reason = how, reason


class Withdrawn(Exception):
    """RESPONSE|ABORT: certainly not executed."""


def parsed(raw):
    """(kind, flags, window, session); the check has to be good."""
    assert len(raw) >= PREFIX.size
    first, flags, window, _, session = PREFIX.unpack_from(raw)
    assert first >> 4 == 1
    assert sealed(raw) == raw, "the check of what the server sent"
    return first & 15, flags, window, session


def udp_socket(to, source=("127.0.0.1", 0)):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind(source)
    made.connect(to)
    return made


def received(sock, seconds):
    """The next datagram, None after the time."""
    if not select.select([sock], [], [], max(seconds, 0))[0]:
        return None
    try:
        return sock.recv(1 << 16)
    except ConnectionRefusedError:  # nobody listens: lost, as any other
        return None


def cookie_for(sock, client, size=1472, seconds=10):
    """HELLO until there is a COOKIE; other answers are dropped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sock.send(hello(client, size))
        raw = received(sock, AGAIN_SECONDS)
        while raw:
            kind, _, _, session = parsed(raw)
            if (kind, session) == (COOKIE, client):
                assert len(raw) == 48 <= size
                assert struct.unpack_from(">H", raw, 46) == (0,)
                return raw[16:40]
            raw = received(sock, 0)
    raise TimeoutError("no COOKIE")


class Session(Connection):
    def __init__(self, broker, shard=0, size=1472, source=("127.0.0.1", 0), timeout=30, **wanted):
        # pylint: disable=super-init-not-called
        self.socket = udp_socket((broker.host, broker.port + shard), source)
        self.timeout = timeout
        self.correlation = 0
        self.waiting = {}
        self.numbers = itertools.count(1)
        self.acknowledged = set()
        self.came = set()  # numbers of the server
        self.owes = False
        self.under_way = {}  # number: when, segment
        self.unsent = collections.deque()
        self.parts = {}  # slot: the response's segments by offset
        self.length = {}
        self.answers = collections.deque()
        self.sent_log = []
        self.id = random.getrandbits(64) | 1
        try:
            self._handshake(size, wanted)
        except BaseException:
            self.socket.close()
            raise
        self.sequence = [0] * self.terms.slots
        self.idle = collections.deque(range(self.terms.slots))

    def _handshake(self, size, wanted):
        cookie = cookie_for(self.socket, self.id, size)
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            self.opening = open_request(self.id, cookie, size, **wanted)
            self.socket.send(self.opening)
            raw = received(self.socket, AGAIN_SECONDS)
            while raw:
                kind, _, window, session = parsed(raw)
                assert session == self.id
                if kind == OPENED:
                    self.window = window
                    self.terms = Opened(*struct.unpack_from(">QHHIIIHHI", raw, 16))
                    assert self.terms.datagram_bytes == len(raw) <= size
                    return
                if kind == REFUSE:
                    raise Ended("REFUSE", struct.unpack_from(">H", raw, 16)[0])
                raw = received(self.socket, 0)
        raise TimeoutError("no OPENED")

    # ---- what Connection is built on ----

    def send_bytes(self, data):
        """One frame, whose length the transport does not carry."""
        self.send_message(data[4:])

    def send_message(self, message):
        end = time.monotonic() + self.timeout
        while not self.idle:
            self._pump(end)
        slot = self.idle.popleft()
        self.sequence[slot] = self.sequence[slot] % 0xFFFFFFFF + 1
        step = self.terms.datagram_bytes - DATA_BYTES
        for offset in range(0, len(message) or 1, step):
            self.unsent.append(
                (slot, self.sequence[slot], len(message), offset, message[offset : offset + step])
            )
        self._send()

    def receive_message(self):
        """The next response."""
        end = time.monotonic() + self.timeout
        while not self.answers:
            self._pump(end)
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def receive_frame(self):
        message = self.receive_message()
        return struct.unpack_from(">i", message)[0], message[4:]

    def listen(self):
        """Silently, not even acknowledging, until the server ends the session."""
        while raw := received(self.socket, self.timeout):
            self._receive(raw)
        raise TimeoutError("nothing came over the datagram transport")

    def close(self):
        if self.socket.fileno() >= 0:
            self.socket.send(packet(CLOSE, self.terms.server, session_body()))
            self.socket.close()

    # ---- packets ----

    def ack(self):
        if not self.came:
            return 0, 0
        largest = max(self.came)
        bitmap = sum(1 << i for i in range(64) if largest - 1 - i in self.came)
        return largest, bitmap

    def _put(self, raw):
        try:
            self.socket.send(raw)
        except ConnectionRefusedError:
            pass

    def _send(self):
        now = time.monotonic()
        for number, (when, segment) in list(self.under_way.items()):
            if now - when > AGAIN_SECONDS:
                del self.under_way[number]
                self.unsent.appendleft(segment)
        while self.unsent and len(self.under_way) < min(self.window, UNDER_WAY_MAX):
            segment = self.unsent.popleft()
            number = next(self.numbers)
            raw = data(
                self.terms.server, number, *segment, flags=HAS_ACK if self.came else 0,
                ack=self.ack(),
            )
            self.sent_log.append(raw)
            self._put(raw)
            self.under_way[number] = now, segment
            self.owes = False
        if self.owes:
            self._put(acknowledgement(self.terms.server, *self.ack()))
            self.owes = False

    def _pump(self, end):
        """One datagram, or a moment; answers what it asks for."""
        if time.monotonic() > end:
            raise TimeoutError("no answer over the datagram transport")
        if not self.window and self.unsent and not self.under_way:
            # To hear of a window that opens.
            number = next(self.numbers)
            self._put(acknowledgement(self.terms.server, *self.ack(), number=number,
                                      flags=HAS_ACK if self.came else 0))
        raw = received(self.socket, AGAIN_SECONDS / 4)
        while raw:
            self._receive(raw)
            raw = received(self.socket, 0)
        self._send()

    def _receive(self, raw):
        kind, flags, window, session = parsed(raw)
        if kind == RESET and session == self.terms.server:
            raise Ended("RESET")
        if session != self.id or kind not in (DATA, ACK, CLOSE):
            return  # an OPENED that came twice
        number, largest, bitmap, _, slot = SESSION.unpack_from(raw, 16)
        if kind == CLOSE:
            raise Ended("CLOSE", slot)
        self.window = window
        if flags & HAS_ACK:
            for acked in (largest, *(largest - 1 - i for i in range(64) if bitmap >> i & 1)):
                self.under_way.pop(acked, None)
        if not number:
            return
        self.owes = True
        if number in self.came:
            return
        self.came.add(number)
        if kind == DATA:
            assert flags & RESPONSE
            self._receive_segment(raw, flags, slot)

    def _receive_segment(self, raw, flags, slot):
        sequence, length, offset = SEGMENT.unpack_from(raw, PREFIX.size + SESSION.size)
        if sequence != self.sequence[slot] or slot in self.idle:
            return
        payload = raw[DATA_BYTES:]
        if flags & ABORT:
            assert not payload and not length and not offset
            self._answered(slot, Withdrawn())
            return
        step = self.terms.datagram_bytes - DATA_BYTES
        assert offset % step == 0 and len(payload) == min(step, length - offset)
        parts = self.parts.setdefault(slot, {})
        parts[offset] = payload
        if sum(map(len, parts.values())) == length:
            self._answered(slot, b"".join(parts[at] for at in sorted(parts)))

    def _answered(self, slot, answer):
        self.parts.pop(slot, None)
        self.unsent = collections.deque(s for s in self.unsent if s[0] != slot)
        self.under_way = {n: s for n, s in self.under_way.items() if s[1][0] != slot}
        self.idle.append(slot)
        self.answers.append(answer)
