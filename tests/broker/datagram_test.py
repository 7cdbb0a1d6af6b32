"""Clients of the datagram transport: what is promised over a bad network, and its limits.

`sluice` speaks through our own transport; Session of datagrams.py was written from its description
alone.
"""

import itertools
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import datagrams
from datagrams import Ended, Session
from harness import IO, ROOT, Broker, eventually, free_port, sanitized
from records import batch
from sluices import CLIENT_SECONDS, harm, sluice_program

sys.path.insert(0, str(ROOT / "tests" / "clients"))

import real_text  # noqa: E402  pylint: disable=wrong-import-position

PARTITIONS = 6
SIZES = {0: 16 << 20, 1: 4 << 20, 5: 2 << 20, 20: 1 << 18}  # of text, by the loss
# The word that a client has left may be lost, and the end then waits for it.
DRAIN = {"shutdown.drain.ms": 500}


def sluice_words(broker, *words):
    return [sluice_program(), "-b", f"udp://{broker.address}", *map(str, words)]


def sluice(broker, *words, given=None, seconds=CLIENT_SECONDS):
    done = subprocess.run(
        sluice_words(broker, *words), input=given, capture_output=True, timeout=seconds,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), (words, done.stderr[-2000:])
    return done.stdout


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A function size -> (path, values in the order of the file)."""
    folder = tmp_path_factory.mktemp("text")
    real_text.write(folder / "largest", max(SIZES.values()))
    lines = (folder / "largest").read_bytes().split(b"\n")[:-1]

    def of_size(size):
        some = list(itertools.islice(lines, size * len(lines) // max(SIZES.values())))
        path = folder / str(size)
        path.write_bytes(b"".join(line + b"\n" for line in some))
        return path, [line.partition(b"\t")[2] for line in some]

    yield of_size
    shutil.rmtree(folder)


def judge(printed, values):
    """`printed`: partition, space, value a line.  Nothing lost, doubled, or out of order."""
    parts = {}
    for line in printed.split(b"\n")[:-1]:
        partition, _, value = line.partition(b" ")
        parts.setdefault(partition, []).append(value)
    assert len(parts) == PARTITIONS
    for partition, found in parts.items():
        assert found == sorted(found), f"order within partition {partition}"
    homes = {}
    for partition, found in parts.items():
        for value in found:
            assert homes.setdefault(value[9:15], partition) == partition, "a key in two partitions"
    assert sorted(sum(parts.values(), [])) == values


def produce_file(broker, topic, path, codec="none"):
    sluice(broker, "produce", topic, "-K", "\t", "-a", "all", "-z", codec, path)


def consumed(broker, topic):
    return sluice(broker, "consume", topic, "-e", "-f", "%p %s\\n")


def kcat_consumed(broker, topic):
    if not shutil.which("kcat"):
        pytest.fail("kcat is not installed")
    done = subprocess.run(
        ["kcat", "-C", "-b", broker.address, "-t", topic, "-e", "-q", "-o", "beginning",
         "-f", "%p %s\n"],
        capture_output=True, timeout=CLIENT_SECONDS, check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def fault_counts(broker, source="udp"):
    """What the injector has done, from the log of a broker that has ended."""
    found = [line for line in broker.log().splitlines() if f"faults source={source} " in line]
    assert len(found) == broker.shards
    totals = {}
    for line in found:
        for word in line.split(f"source={source} ")[1].split():
            name, _, count = word.partition("=")
            totals[name] = totals.get(name, 0) + int(count)
    return totals


# ---- identity ----

def cases():
    """(loss, codec): all of them where it is fast, else every loss once."""
    every = list(itertools.product(sorted(SIZES), ["none", "lz4"]))
    return every[::4] + every[3::4] if IO == "sync" or sanitized() else every


@pytest.mark.parametrize("loss, codec", cases())
def test_lines_come_back_in_order_over_a_bad_network(text, loss, codec):
    path, values = text(SIZES[loss] // (4 if sanitized() else 1))
    settings = {"num.partitions": PARTITIONS, **DRAIN}
    if loss:
        settings["datagram.faults"] = harm(loss)
    with Broker(settings=settings) as broker:
        produce_file(broker, "text", path, codec)
        judge(kcat_consumed(broker, "text"), values)
        broker.kill()
        broker.start()
        judge(consumed(broker, "text"), values)
        # What follows is told apart by its topic.
        produce_file(broker, "again", path, codec)
        judge(consumed(broker, "again"), values)
        if loss:
            assert "datagram.faults is set" in broker.log()
            broker.stop()
            counts = fault_counts(broker)
            assert counts["lost"] and counts["doubled"] and counts["delayed"]
            assert counts["flipped"] + counts["cut"]
            assert counts["spared"] < counts["passed"] / 100


@pytest.mark.tsan
def test_both_transports_at_once_share_one_log(text):
    """Two shards, clients of both kinds on all partitions, a bad network for the datagrams."""
    path, values = text(1 << 20)
    settings = {
        "num.partitions": PARTITIONS,
        "datagram.faults": "seed=3,loss=1%,double=1%,reorder=2%,flip=1%",
        **DRAIN,
    }
    with Broker(settings=settings) as broker:
        with broker.connect() as admin:
            admin.create_topic("tcp", PARTITIONS)
            admin.create_topic("udp", PARTITIONS)
        kcat = subprocess.Popen(
            ["kcat", "-P", "-b", broker.address, "-t", "tcp", "-K", "\t", "-X", "acks=all",
             "-l", str(path)],
            stderr=subprocess.PIPE,
        )
        producers = [
            subprocess.Popen(
                sluice_words(broker, "produce", "udp", "-K", "\t", path), stderr=subprocess.PIPE
            )
        ]
        try:
            for process in (kcat, *producers):
                assert process.communicate(timeout=CLIENT_SECONDS) == (None, b"")
                assert process.returncode == 0
        finally:
            for process in (kcat, *producers):
                process.kill()
                process.wait()
        for topic in ("udp", "tcp"):
            judge(consumed(broker, topic), values)
            judge(kcat_consumed(broker, topic), values)


def memif_words(broker, folder, *words):
    device = f"net_memif1,role=client,id=0,socket={folder}/memif.sock,socket-abstract=no"
    there = f"address=10.77.0.2/24&peer=10.77.0.1:{broker.port}"
    return [sluice_program(), "-b", f"dpdk:{device}?{there}", *map(str, words)]


@pytest.mark.parametrize("loss", [5] if IO == "sync" or sanitized() else sorted(SIZES))
def test_lines_come_back_in_order_over_memif(text, loss, tmp_path):
    """Both ends drive a port of DPDK; kcat comes by the kernel."""
    path, values = text(min(SIZES[loss], 1 << 20))
    device = f"net_memif0,role=server,id=0,socket={tmp_path}/memif.sock,socket-abstract=no"
    settings = {
        "num.partitions": PARTITIONS,
        "datagram.listen": "none",
        "dpdk.address": "10.77.0.1/24",
        **DRAIN,
    }
    if loss:
        settings["datagram.faults"] = harm(loss)
    environment = {"RUNTIME_DIRECTORY": str(tmp_path)}  # of DPDK's files
    with Broker(settings=settings, args=["--vdev", device], env=environment) as broker:
        # Later clients find the port as earlier ones left it.
        for topic in ("first", "second")[: 1 if loss else 2]:
            made = memif_words(broker, tmp_path, "produce", topic, "-K", "\t", path)
            done = subprocess.run(made, capture_output=True, timeout=CLIENT_SECONDS, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
            judge(kcat_consumed(broker, topic), values)
            read = memif_words(broker, tmp_path, "consume", topic, "-e", "-f", "%p %s\\n")
            done = subprocess.run(read, capture_output=True, timeout=CLIENT_SECONDS, check=False)
            assert (done.returncode, done.stderr) == (0, b"")
            judge(done.stdout, values)
        broker.stop()
        if loss:
            counts = fault_counts(broker, "port")
            assert counts["lost"] and counts["doubled"] and counts["delayed"]


ROOT_USER = os.geteuid() == 0
NEW_NETWORK = ["unshare", "--net"] + ([] if ROOT_USER else ["--map-root-user"])
INTO_NETWORK = ["--net"] + ([] if ROOT_USER else ["--user", "--preserve-credentials"])


def makes_networks():
    done = subprocess.run([*NEW_NETWORK, "ip", "link"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not makes_networks(), reason="this machine lets nobody make a network")
@pytest.mark.parametrize("mtu", [1280, 1500])
def test_an_interface_that_takes_no_jumbo_datagrams(text, mtu):
    """Nothing is cut into fragments: sessions agree on less."""
    path, values = text(2 << 20)
    prefix = [*NEW_NETWORK, "sh", "-c", f'ip link set lo mtu {mtu} up; exec "$@"', "sh"]
    with Broker(prefix=prefix, settings={"num.partitions": PARTITIONS}) as broker:
        inside = ["nsenter", "--target", str(broker.pid), *INTO_NETWORK]
        made = [*inside, *sluice_words(broker, "produce", "t", "-K", "\t", path)]
        read = [*inside, *sluice_words(broker, "consume", "t", "-e", "-f", "%p %s\\n")]
        subprocess.run(made, timeout=CLIENT_SECONDS, check=True)
        done = subprocess.run(read, capture_output=True, timeout=CLIENT_SECONDS, check=True)
        judge(done.stdout, values)
        counts = subprocess.run(
            [*inside, "cat", "/proc/net/snmp"], capture_output=True, check=True
        ).stdout.decode().splitlines()
        fields = dict(zip(*(line.split() for line in counts if line.startswith("Ip:"))))
        assert fields["FragCreates"] == "0"


# ---- sessions ----


class Lines(threading.Thread):
    """Collects what a process prints."""

    def __init__(self, words):
        super().__init__()
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = []
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip(b"\n"))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self.join(30)
            self.process.stdout.close()
            self.process.stderr.close()


def test_a_consumer_goes_on_after_kill_minus_9():
    with Broker() as broker:
        sluice(broker, "produce", "t", given=b"one\ntwo\n")
        consumer = Lines(sluice_words(broker, "consume", "t"))
        try:
            eventually("the first two", lambda: consumer.lines == [b"one", b"two"])
            broker.kill()
            broker.start()
            sluice(broker, "produce", "t", given=b"three\n")
            eventually("the third", lambda: consumer.lines == [b"one", b"two", b"three"], 60)
        finally:
            consumer.end()


def test_a_restarted_broker_does_not_know_the_session():
    with Broker() as broker, Session(broker) as session:
        session.create_topic("t")
        broker.kill()
        broker.start()
        with pytest.raises(Ended, match="RESET"):
            session.produce("t", 0, [b"lost"])
        with Session(broker) as other:
            assert other.fetch_values("t", 0, 0) == []


def test_a_silent_session_ends():
    with Broker() as broker:
        with Session(broker, idle_ms=500) as quiet, Session(broker) as other:
            assert quiet.terms.idle_ms == 500 and other.terms.idle_ms == 30000
            other.create_topic("t")
            with pytest.raises(Ended) as ended:
                quiet.listen()
            assert (ended.value.how, ended.value.reason) == ("CLOSE", 3)
            other.produce("t", 0, [b"x"])
            assert len(other.fetch_values("t", 0, 0)) == 1


def test_sigterm_answers_what_waits_and_ends_sessions():
    # Whoever waited for the drain's end would be noticed.
    settings = {"shutdown.drain.ms": "600s"}
    with Broker(settings=settings) as broker, Session(broker) as session:
        session.create_topic("t")
        session.produce("t", 0, [b"x"])
        session.send(
            "Fetch", 11, max_wait_ms=60000, min_bytes=1, max_bytes=1 << 20, isolation_level=0,
            topics=[{"topic": "t", "partitions": [
                {"partition": 0, "fetch_offset": 1, "partition_max_bytes": 1 << 20}]}],
        )
        session.request("ApiVersions", 3, client_software_name="t", client_software_version="1")
        broker.process.send_signal(signal.SIGTERM)
        _, body = session.receive()
        assert body["responses"][0]["partitions"][0]["error_code"] == 0
        with pytest.raises(Ended) as ended:
            while True:
                session._pump(time.monotonic() + 30)  # pylint: disable=protected-access
        assert (ended.value.how, ended.value.reason) == ("CLOSE", 1)
        assert broker.wait_exit() == 0
        session.socket.close()


def test_a_client_that_vanished_does_not_hold_up_the_end():
    with Broker(settings={"shutdown.drain.ms": 1000}) as broker:
        session = Session(broker)
        session.create_topic("t")
        session.produce("t", 0, [b"x" * 900] * 900)
        session.send(
            "Fetch", 11, max_wait_ms=0, min_bytes=1, max_bytes=1 << 20, isolation_level=0,
            topics=[{"topic": "t", "partitions": [
                {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]}],
        )
        session.socket.close()  # without a word, an answer of many segments on its way
        assert broker.stop() < 20


# ---- requests of every kind ----


@pytest.fixture
def session(broker):
    with Session(broker) as session:
        yield session


def test_every_shard_serves_every_partition(broker, topic):
    with Session(broker, shard=0) as first, Session(broker, shard=1, size=8952) as second:
        assert (first.terms.shard, second.terms.shard) == (0, 1)
        assert first.terms.shard_count == second.terms.shard_count == 2
        first.create_topic(topic, 4)
        for partition in range(4):
            assert first.produce(topic, partition, [b"one"]) == 0
            assert second.produce(topic, partition, [b"two"]) == 1
            for session in (first, second):
                assert session.fetch_values(topic, partition, 0) == [b"one", b"two"]


def test_a_fetch_waits_for_records(broker, session, topic):
    session.create_topic(topic)
    begun = time.monotonic()
    assert session.fetch_values(topic, 0, 0, max_wait_ms=300) == []
    assert time.monotonic() - begun >= 0.3
    session.send(
        "Fetch", 11, max_wait_ms=60000, min_bytes=1, max_bytes=1 << 20, isolation_level=0,
        topics=[{"topic": topic, "partitions": [
            {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}]}],
    )
    session.request("ApiVersions", 3, client_software_name="t", client_software_version="1")
    with broker.connect() as other:
        other.produce(topic, 0, [b"here"])
    _, body = session.receive()
    assert b"here" in body["responses"][0]["partitions"][0]["records"]


def test_acks_0_is_answered_by_nothing_and_frees_its_slot(session, topic):
    session.create_topic(topic)
    for number in range(3 * session.terms.slots):
        session.send(
            "Produce", 9, acks=0, timeout_ms=1000,
            topic_data=[{"name": topic, "partition_data": [
                {"index": 0, "records": batch([b"%d" % number])}]}],
        )
        assert session.receive_message() == b""
    session.waiting.clear()
    count = 3 * session.terms.slots
    eventually("all are there", lambda: len(session.fetch_values(topic, 0, 0)) == count)
    assert sorted(map(int, session.fetch_values(topic, 0, 0))) == list(range(count))


def test_an_answer_of_hundreds_of_partitions(session, topic):
    """More pieces than the transport takes."""
    count = 300
    session.create_topic(topic, count)
    session.request(
        "Produce", 9, acks=-1, timeout_ms=30000,
        topic_data=[{"name": topic, "partition_data": [
            {"index": p, "records": batch([b"%d" % p * 20])} for p in range(count)]}],
    )
    body = session.request(
        "Fetch", 11, max_wait_ms=5000, min_bytes=1, max_bytes=64 << 20, isolation_level=0,
        topics=[{"topic": topic, "partitions": [
            {"partition": p, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
            for p in range(count)]}],
    )
    found = {p["partition_index"]: p["records"] for p in body["responses"][0]["partitions"]}
    assert len(found) == count
    assert all(b"%d" % p * 20 in found[p] for p in range(count))


def test_requests_and_answers_of_megabytes(session, topic):
    session.create_topic(topic, 1, {"max.message.bytes": 8 << 20})
    values = [random.Random(n).randbytes(1 << 20) for n in range(5)]
    assert session.produce(topic, 0, values) == 0
    assert session.fetch_values(topic, 0, 0) == values


def test_too_large_a_batch_is_told(session, topic):
    session.create_topic(topic)
    answer = session.produce_batch(topic, 0, batch([b"x" * (2 << 20)]))
    assert answer["error_code"] == 10  # MESSAGE_TOO_LARGE
    assert session.produce(topic, 0, [b"fits"]) == 0


def test_too_large_a_request_is_told_by_the_client():
    with Broker(settings={"socket.request.max.bytes": 64 << 10}) as broker:
        with Session(broker) as session:
            assert session.terms.message_bytes_max == 64 << 10
            # A client that sends it all the same is not answered, and keeps its session.
            large = 65 << 10
            session._put(  # pylint: disable=protected-access
                datagrams.data(session.terms.server, next(session.numbers), 5, 1, large, 0,
                               b"x" * (session.terms.datagram_bytes - 48))
            )
            session.create_topic("t")
        done = subprocess.run(
            sluice_words(broker, "produce", "t", "-t", "10", "-X", "delivery.timeout.ms=5000"),
            input=b"x" * (100 << 10) + b"\n", capture_output=True, timeout=60, check=False,
        )
        assert done.returncode == 1
        assert b"large" in done.stderr, done.stderr
        sluice(broker, "produce", "t", given=b"fits\n")
        assert sluice(broker, "consume", "t", "-e") == b"fits\n"


def test_many_sessions_at_once(broker, topic):
    sessions = [Session(broker, shard=n % 2, size=512) for n in range(200)]
    try:
        sessions[0].create_topic(topic, 4)
        for number, session in enumerate(sessions):
            session.send(
                "Produce", 9, acks=-1, timeout_ms=30000,
                topic_data=[{"name": topic, "partition_data": [
                    {"index": number % 4, "records": batch([b"%d" % number * 500])}]}],
            )
        for session in sessions:
            _, body = session.receive()
            assert body["responses"][0]["partition_responses"][0]["error_code"] == 0
        found = [v for p in range(4) for v in sessions[7].fetch_values(topic, p, 0)]
        assert sorted(found) == sorted(b"%d" % n * 500 for n in range(len(sessions)))
    finally:
        for session in sessions:
            session.close()


def test_requests_beyond_the_memory_for_them_are_withdrawn_and_come_again():
    """16 MiB for all, 8 a shard: large requests meet, none is lost, the session lives on."""
    settings = {"queued.max.request.bytes": 16 << 20, "socket.request.max.bytes": 4 << 20}
    with Broker(shards=2, settings=settings) as broker:
        with broker.connect() as admin:
            admin.create_topic("t", 1, {"max.message.bytes": 4 << 20})
        sessions = [Session(broker, size=8952) for _ in range(6)]
        value = b"x" * (3 << 20)
        try:
            for session in sessions:
                frame = session.encode("Produce", 9, acks=-1, timeout_ms=30000, topic_data=[
                    {"name": "t", "partition_data": [{"index": 0, "records": batch([value])}]}])
                session.withdrawn = 0
                session.frame = frame
            left = list(sessions)
            deadline = time.monotonic() + 60
            for session in left:
                session.send_bytes(session.frame)
            while left:
                assert time.monotonic() < deadline, f"{len(left)} never got through"
                for session in list(left):
                    if not session.answers:
                        session._pump(deadline)  # pylint: disable=protected-access
                        continue
                    answer = session.answers.popleft()
                    if isinstance(answer, datagrams.Withdrawn):
                        session.withdrawn += 1
                        session.send_bytes(session.frame)
                    else:
                        left.remove(session)
            assert sum(session.withdrawn for session in sessions) > 0
            with broker.connect() as reader:
                assert reader.list_offset("t", 0, -1)["offset"] == len(sessions)
        finally:
            for session in sessions:
                session.close()


# ---- where it is served ----


def bound_udp(port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", port))
    return sock


def test_a_udp_port_in_use_is_told_and_tcp_goes_on():
    with Broker(start=False) as broker, bound_udp(broker.port + 1):
        broker.start()
        assert f"127.0.0.1:{broker.port + 1}" in broker.log()
        assert "no datagrams by the kernel's sockets" in broker.log()
        broker.check_serves()
        with broker.connect() as connection:
            connection.request("Metadata", 9, topics=[{"name": "still-serving"}])


def test_an_address_that_was_asked_for_is_insisted_on():
    port = free_port()
    settings = {"datagram.listen": f"127.0.0.1:{port}"}
    with Broker(start=False, settings=settings) as broker:
        with bound_udp(port):
            broker.start(wait=False)
            assert broker.wait_exit() != 0
            assert f"cannot receive datagrams on 127.0.0.1:{port}" in broker.log()
        broker.start()
        broker.check_serves()
        # On ports of its own.
        broker.port, tcp = port, broker.port
        with Session(broker) as session:
            session.create_topic("t")
        broker.port = tcp


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize(
    "listen, hosts",
    [
        ("0.0.0.0", ["127.0.0.1", "127.0.0.7"]),
        pytest.param(
            "[::]", ["[::1]", "127.0.0.7"],
            marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here"),
        ),
    ],
)
def test_answers_come_from_the_address_that_was_written_to(listen, hosts):
    """A client's socket is connected: it hears nobody else."""
    port = free_port()
    settings = {"datagram.listen": f"{listen}:{port}", "num.partitions": PARTITIONS}
    given = b"".join(b"%d\n" % number for number in range(100))
    with Broker(settings=settings) as broker:
        for count, host in enumerate(hosts, 1):
            broker.host, broker.port, tcp = host, port, (broker.host, broker.port)
            sluice(broker, "produce", "t", given=given)
            assert len(sluice(broker, "consume", "t", "-e").split()) == 100 * count
            broker.host, broker.port = tcp


def test_none_serves_no_datagrams():
    with Broker(settings={"datagram.listen": "none"}) as broker:
        for shard in range(broker.shards):
            bound_udp(broker.port + shard).close()
        broker.check_serves()


@pytest.mark.parametrize("faults", ["loss=5", "nonsense", "loss=5%,seed=x"])
def test_a_wrong_datagram_faults_refuses_to_start(faults):
    with Broker(start=False, settings={"datagram.faults": faults}) as broker:
        broker.start(wait=False)
        assert broker.wait_exit() != 0
        assert "datagram.faults" in broker.log() and "expected seed=NUMBER" in broker.log()
