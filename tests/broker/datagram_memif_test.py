"""`dpdk:`: a broker and clients that share a memif: two processes, no kernel between them.

No root and no hugepages.
"""

import re
import subprocess
import sys

import pytest

from harness import ROOT, eventually
from sluices import CLIENT_SECONDS, MEMIF_PARTITIONS as PARTITIONS, Memif, harm, sluice_program

sys.path.insert(0, str(ROOT / "tests" / "clients"))

import real_text  # noqa: E402  pylint: disable=wrong-import-position

TEXT_BYTES = 4 << 20
BAD_NETWORK_TEXT_BYTES = 256 << 10


def write_text(folder, size):
    """A file of keyed lines, and their values in its order."""
    path = folder / "text"
    real_text.write(path, size)
    return path, [line.partition(b"\t")[2] for line in path.read_bytes().splitlines()]


def judge(printed, values):
    """`printed`: partition, space, value a line.  Nothing lost, doubled, or out of order."""
    parts = {}
    for line in printed.splitlines():
        partition, _, value = line.partition(b" ")
        parts.setdefault(partition, []).append(value)
    assert len(parts) == PARTITIONS
    for partition, found in parts.items():
        assert found == sorted(found), f"order within partition {partition}"
    assert sorted(sum(parts.values(), [])) == values


def handed_over(memif):
    """Ends the broker; how many frames came to a queue whose shard was not theirs."""
    memif.broker.stop()
    return int(re.search(r"port counted .*handed_over=(\d+)", memif.broker.log())[1])


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_text_comes_back_from_every_shard(tmp_path, shards):
    path, values = write_text(tmp_path, TEXT_BYTES)
    with Memif(shards=shards) as memif:
        memif.produce("text", path)
        judge(memif.consume("text"), values)
        assert (handed_over(memif) > 0) == (shards > 1)


def test_with_a_queue_for_each_shard_no_frame_changes_cores(tmp_path):
    path, values = write_text(tmp_path, TEXT_BYTES)
    with Memif(settings={"dpdk.queues": 2}, client="&queues=2") as memif:
        memif.produce("text", path)
        judge(memif.consume("text"), values)
        assert handed_over(memif) == 0


def test_a_client_with_other_queues_than_the_broker_is_refused_and_harms_nobody(tmp_path):
    """The driver would read rings that are not there, or were another client's."""
    path, values = write_text(tmp_path, BAD_NETWORK_TEXT_BYTES)
    with Memif(settings={"dpdk.queues": 2}, client="&queues=2") as memif:
        memif.produce("text", path)
        two = memif.url
        for other in ("", "&queues=1", "&queues=3"):
            memif.url = two.replace("&queues=2", other)
            done = subprocess.run(
                memif.words("cluster", "info", "-t", 1),
                capture_output=True,
                timeout=CLIENT_SECONDS,
                check=False,
            )
            assert done.returncode in (2, 3), other
            memif.broker.check_alive()
        memif.url = two
        judge(memif.consume("text"), values)
        assert handed_over(memif) == 0


def test_jumbo_frames_and_busy_polling(tmp_path):
    path, values = write_text(tmp_path, TEXT_BYTES)
    with Memif(
        settings={"dpdk.mtu": 9000}, device=",bsize=9216", client="&mtu=9000&poll=busy"
    ) as memif:
        memif.produce("text", path)
        judge(memif.consume("text"), values)


@pytest.mark.parametrize("loss", [1, 5, 20])
def test_text_comes_back_over_a_bad_network(tmp_path, loss):
    path, values = write_text(tmp_path, BAD_NETWORK_TEXT_BYTES)
    with Memif(settings={"datagram.faults": harm(loss)}) as memif:
        memif.produce("text", path)
        judge(memif.consume("text"), values)


def test_a_broker_that_comes_back_is_found(tmp_path):
    """The producer lives on meanwhile; its memif goes away and comes back with the broker."""
    path, values = write_text(tmp_path, BAD_NETWORK_TEXT_BYTES)
    lines = path.read_bytes().splitlines(keepends=True)
    half = len(lines) // 2
    with Memif() as memif, memif.broker.connect() as connection:
        connection.create_topic("text", PARTITIONS)
        with subprocess.Popen(
            memif.words("produce", "text", "-K", "\t", "-a", "all"),
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as producer:
            try:
                producer.stdin.write(b"".join(lines[:half]))
                producer.stdin.flush()
                # Lines stay in the command until it has a buffer of them.
                stored = eventually(
                    "half of the text is stored", lambda: stored_count(connection, half // 2)
                )
                assert stored <= half
                memif.broker.restart()
                producer.stdin.write(b"".join(lines[half:]))
                producer.stdin.close()
                assert producer.wait(CLIENT_SECONDS) == 0, producer.stderr.read()
            finally:
                producer.kill()
        # What was under way when the broker went may have been stored twice, in its old order.
        found = [line.partition(b" ")[2] for line in memif.consume("text").splitlines()]
        assert sorted(set(found)) == values


def stored_count(connection, wanted):
    """How many records there are, once `wanted` are."""
    count = sum(
        connection.list_offset("text", partition, -1)["offset"] for partition in range(PARTITIONS)
    )
    return count if count >= wanted else None


@pytest.mark.parametrize(
    "url, says",
    [
        ("dpdk:net_memif0,role=client", "?address=IP/PREFIX&peer=HOST:PORT"),
        ("dpdk:net_memif0?address=10.0.0.2/24", "no peer"),
        ("dpdk:net_memif0?address=10.0.0/24&peer=10.0.0.1", "address=10.0.0/24: takes"),
        ("dpdk:net_memif0?adress=10.0.0.2/24&peer=10.0.0.1", "knows no 'adress'"),
        ("dpdk:net_memif0?address=10.0.0.2/24&peer=10.0.0.1&poll=lazily", "adaptive or busy"),
        ("dpdk:net_memif0?address=10.0.0.2/24&peer=10.0.0.1&queues=65", "queues=65: takes"),
        ("dpdk:net_carrier_pigeon0?address=10.0.0.2/24&peer=10.0.0.1", "net_carrier_pigeon0"),
        ("dpdk:net_null0?peer=10.0.0.1", "needs an IP address"),
    ],
)
def test_an_address_that_means_nothing_is_refused_with_a_sentence(url, says):
    done = subprocess.run(
        [sluice_program(), "-b", url, "cluster", "info"],
        capture_output=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert says in done.stderr.decode()


def test_a_memif_that_nobody_serves_is_told(tmp_path):
    url = (
        f"dpdk:net_memif0,role=client,socket-abstract=no,socket={tmp_path}/nobody"
        "?address=10.77.0.2/24&peer=10.77.0.1:9092"
    )
    done = subprocess.run(
        [sluice_program(), "-b", url, "cluster", "info"],
        capture_output=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "nobody serves its socket" in done.stderr.decode()


def test_a_peer_that_does_not_answer_is_told_in_time():
    with Memif() as memif:
        memif.url = memif.url.replace("peer=10.77.0.1", "peer=10.77.0.9")
        done = subprocess.run(
            memif.words("cluster", "info", "-t", 2),
            capture_output=True,
            timeout=CLIENT_SECONDS,
            check=False,
        )
    assert done.returncode == 3
    assert "timed out" in done.stderr.decode()
