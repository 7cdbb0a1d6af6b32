"""A full or failing disk: KAFKA_STORAGE_ERROR for what it concerns, everything else goes on, and
writing resumes when the disk does."""

import errno
import os
import subprocess

import pytest

from harness import Broker, DiskFaults, Refused, eventually
from records import batch

NONE, STORAGE_ERROR = 0, 56


@pytest.fixture
def small_disk(tmp_path):
    """16 MiB of file system."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    path = tmp_path / "disk"
    path.mkdir()
    result = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.skip(f"mounting is refused: {result.stderr}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=False)


def fill(connection, topic, acknowledged, count=200):
    """Appends until the disk is full; remembers what was acknowledged."""
    for turn in range(count):
        value = b"%d/" % turn + os.urandom(200_000)
        try:
            acknowledged[connection.produce(topic, 0, [value])] = value
        except Refused as refused:
            assert refused.code == STORAGE_ERROR
            return
    raise AssertionError("the disk was never full")


def stored(connection, topic):
    found = {}
    for each in connection.read_all(topic, 0):
        each.check()
        found.update({offset: value for offset, _, _, value in each.records()})
    return found


def read_values(connection, topic):
    return [value for _, value in sorted(stored(connection, topic).items())]


def writes_again(broker, topic):
    with broker.connect() as connection:
        return connection.produce_batch(topic, 0, batch([b"again"]))["error_code"] == NONE


def test_a_full_disk_refuses_appends_serves_reads_and_recovers(small_disk):
    spare = small_disk / "spare"
    spare.write_bytes(b"\0" * (6 << 20))
    acknowledged = {}
    with Broker(data=small_disk / "data") as broker:
        with broker.connect() as connection:
            connection.create_topic("full", 1, {"segment.bytes": 2 << 20})
            connection.create_topic("other", 1, {"segment.bytes": 1 << 20})
            connection.produce("other", 0, [b"before"])
            fill(connection, "full", acknowledged)
            assert acknowledged
            # Refused again and again, and never half stored.
            for _ in range(5):
                answer = connection.produce_batch("full", 0, batch([os.urandom(900_000)]))
                assert answer["error_code"] == STORAGE_ERROR
            found = stored(connection, "full")
            assert {o: v for o, v in found.items() if o in acknowledged} == acknowledged
            assert connection.fetch_values("other", 0, 0) == [b"before"]
            assert connection.request("Metadata", 9, topics=None)["topics"]
        assert "No space left" in broker.log()
        spare.unlink()
        eventually("appends are taken again", lambda: writes_again(broker, "full"), 60)
        with broker.connect() as connection:
            after = stored(connection, "full")
            assert {o: v for o, v in after.items() if o in acknowledged} == acknowledged
            assert sorted(after) == list(range(len(after)))
        broker.restart()
        with broker.connect() as connection:
            assert stored(connection, "full") == after


def test_a_topic_that_cannot_be_made_is_refused_and_the_broker_goes_on(small_disk):
    with Broker(data=small_disk / "data") as broker:
        with broker.connect() as connection:
            connection.create_topic("first", 1, {"segment.bytes": 1 << 20})
            connection.produce("first", 0, [b"kept"])
            spare = small_disk / "spare"
            with open(spare, "wb", buffering=0) as file:
                with pytest.raises(OSError):
                    while True:
                        file.write(b"\0" * 4096)
            try:
                connection.create_topic("second", 8)
                # Where its files are only made when written to, the append tells.
                answer = connection.produce_batch("second", 0, batch([os.urandom(50_000)]))
                assert answer["error_code"] == STORAGE_ERROR
            except Refused as refused:
                assert refused.code in (STORAGE_ERROR, -1)
            assert connection.fetch_values("first", 0, 0) == [b"kept"]
            spare.unlink()
            connection.create_topic("third")
            eventually("topics work again", lambda: writes_again(broker, "third"), 60)
        broker.restart()
        with broker.connect() as connection:
            assert connection.fetch_values("first", 0, 0) == [b"kept"]


# ---- faults on command ----


@pytest.fixture
def faulty(shim, tmp_path):
    """A broker with topics bad and good, its faults, still off, and what is in bad's path."""
    faults = DiskFaults(tmp_path / "fault")
    with Broker(env={"LD_PRELOAD": str(shim), "FAULTY_DISK_CONTROL": str(faults.path)}) as broker:
        with broker.connect() as connection:
            bad = "/" + connection.create_topic("bad").hex() + "/0"
            connection.create_topic("good")
            for topic in ("bad", "good"):
                connection.produce(topic, 0, [b"before"])
        yield broker, faults, bad


@pytest.mark.parametrize(
    "operation, error",
    [
        ("write", errno.EIO),
        ("write", errno.ENOSPC),
        ("sync", errno.EIO),
        ("sync", errno.ENOSPC),
    ],
)
def test_a_failed_write_or_flush_is_a_storage_error_until_the_disk_is_well(
    faulty, operation, error
):
    broker, faults, bad = faulty
    with broker.connect() as connection:
        # A flush covers the device, over a file that stands for all partitions of a shard.
        faults.on(operation, error, bad if operation == "write" else "/topics/")
        for _ in range(3):
            answer = connection.produce_batch("bad", 0, batch([b"lost"]))
            assert answer["error_code"] == STORAGE_ERROR and answer["error_message"]
        # Nobody is shown what was not acknowledged; what was is still read.
        assert connection.fetch_values("bad", 0, 0) == [b"before"]
        assert connection.list_offset("bad", 0, -1)["offset"] == 1
        # Other partitions go on.
        assert connection.fetch_values("good", 0, 0) == [b"before"]
        if operation == "write":
            assert connection.produce("good", 0, [b"meanwhile"]) == 1
        assert os.strerror(error) in broker.log()
        faults.off()
        eventually("appends are taken again", lambda: writes_again(broker, "bad"), 60)
        values = read_values(connection, "bad")
        # What was refused may have reached the disk all the same, each once and whole.
        assert values[0] == b"before" and values[-1] == b"again"
        assert values[1:-1] in ([], [b"lost"], [b"lost"] * 2, [b"lost"] * 3)
        if operation == "sync":
            connection.produce("good", 0, [b"meanwhile"])
    broker.restart()
    with broker.connect() as connection:
        assert read_values(connection, "bad") == values
        assert connection.fetch_values("good", 0, 0) == [b"before", b"meanwhile"]


def test_pipelined_appends_behind_a_failure_are_refused_too(faulty):
    broker, faults, _ = faulty
    with broker.connect() as connection:
        faults.on("sync", errno.EIO, "/topics/")
        asked = [
            connection.send(
                "Produce",
                9,
                acks=-1,
                timeout_ms=30000,
                topic_data=[
                    {"name": "bad", "partition_data": [{"index": 0, "records": batch([b"%d" % i])}]}
                ],
            )
            for i in range(20)
        ]
        for expected in asked:
            correlation, body = connection.receive()
            assert correlation == expected
            row = body["responses"][0]["partition_responses"][0]
            assert row["error_code"] == STORAGE_ERROR
        faults.off()
        eventually("appends are taken again", lambda: writes_again(broker, "bad"), 60)
        values = read_values(connection, "bad")
        assert values[0] == b"before" and values[-1] == b"again"
        between = [int(value) for value in values[1:-1]]
        assert between == sorted(set(between)), "in order, none twice"


def test_a_read_that_fails_is_a_storage_error_and_passes(faulty):
    broker, faults, bad = faulty
    broker.restart()  # nothing is in memory
    with broker.connect() as connection:
        faults.on("read", errno.EIO, bad)
        assert connection.fetch("bad", 0, 0)["error_code"] == STORAGE_ERROR
        assert connection.fetch_values("good", 0, 0) == [b"before"]
        faults.off()
        assert connection.fetch_values("bad", 0, 0) == [b"before"]


def test_a_catalog_that_cannot_be_written_refuses_changes_and_the_rest_goes_on(faulty):
    broker, faults, _ = faulty
    with broker.connect() as connection:
        faults.on("sync", errno.EIO, "/catalog")
        with pytest.raises(Refused):
            connection.create_topic("never")
        assert connection.produce("good", 0, [b"meanwhile"]) == 1
        assert {
            row["name"] for row in connection.request("Metadata", 9, topics=None)["topics"]
        } == {"bad", "good"}
        faults.off()
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        assert connection.fetch_values("good", 0, 0) == [b"before", b"meanwhile"]
        connection.create_topic("now")
