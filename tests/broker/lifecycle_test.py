"""Starting and stopping: what is refused, and what is finished before the end."""

import os
import signal
import socket
import subprocess

import pytest

from harness import Broker, eventually, free_port, program
from records import batch

NONE, OUT_OF_RANGE = 0, 1
LONG_DRAIN = {"shutdown.drain.ms": "600s"}  # a stop that waited for its end would be noticed


def run(*words, seconds=60, env=None):
    """sluiced for something short."""
    return subprocess.run(
        [program(), *words],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, **(env or {})},
    )


def refused_start(broker_or_data, *words, env=None):
    """A start that must fail: its message."""
    result = run(
        "--listen", f"127.0.0.1:{free_port()}", "--data", str(broker_or_data), *words, env=env
    )
    assert result.returncode not in (0, None) and result.returncode > 0, result
    assert "ready listen=" not in result.stderr
    return result.stderr


# ---- the command line and the configuration ----


def test_help_lists_the_settings():
    result = run("--help")
    assert result.returncode == 0
    for word in (
        "usage: sluiced",
        "--listen",
        "--config",
        "num.partitions",
        "socket.request.max.bytes",
    ):
        assert word in result.stdout


def test_version_is_one_line():
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout.startswith("sluiced ") and result.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["--lisen", "x"], "--lisen"),
        (["--listen"], "needs a value"),
        (["--shards", "many"], "shards"),
        (["--shards", "-1"], "shards"),
        (["--io", "fast"], "auto|uring|sync"),
        (["--poll", "never"], "adaptive|busy"),
        (["--set", "num.partitons=3"], "num.partitions"),
        (["--set", "num.partitions"], "KEY=VALUE"),
        (["--set", "num.partitions=0"], "1 to"),
        (["--set", "log.retention.ms=7 weeks"], "log.retention.ms"),
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], "HOST:PORT"),
        (["--vdev", "net_nothing0"], "net_nothing0: DPDK"),
        (["--set", "shard.cores=2-"], "2-7,10"),
        (["--set", "shard.cores=0-1", "--shards", "3"], "shard.cores has 2"),
        (["stray"], "stray"),
    ],
)
def test_a_bad_command_line_is_refused_with_what_is_wrong(tmp_path, words, wanted):
    message = refused_start(tmp_path / "data", *words)
    assert wanted in message


@pytest.mark.parametrize(
    "text, line, wanted",
    [
        ("num.partitions = 3\nnum.partitons = 4\n", 2, "num.partitions"),
        ("shards = 1\n\n# comment\nshards = 2\n", 4, "already set on line 1"),
        ("log.segment.bytes = 1 parsec\n", 1, "log.segment.bytes"),
        ("log.segment.bytes = 3\n", 1, "log.segment.bytes"),
        ("just words\n", 1, "key = value"),
        ("data = \xff\xfe\n", 1, "UTF-8"),
        ("x" * 100_000 + "\n", 1, "longer"),
        ("listen = a\0b\n", 1, "NUL"),
    ],
)
def test_a_bad_file_is_refused_with_file_and_line(tmp_path, text, line, wanted):
    path = tmp_path / "sluiced.conf"
    path.write_bytes(text.encode("latin-1"))
    message = refused_start(tmp_path / "data", "--config", str(path))
    assert f"{path}:{line}: " in message
    assert wanted in message


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "nothing.conf" in refused_start(
        tmp_path / "data", "--config", str(tmp_path / "nothing.conf")
    )
    assert refused_start(tmp_path / "data", "--config", str(tmp_path))


def test_a_line_without_end_is_refused_without_being_read_whole(tmp_path):
    path = tmp_path / "endless.conf"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    message = refused_start(tmp_path / "data", "--config", str(path))
    assert f"{path}:1: " in message


def test_the_file_gives_way_to_the_environment_and_that_to_the_command_line(tmp_path):
    path = tmp_path / "sluiced.conf"
    path.write_text("num.partitions = 2\nmax.partitions = 50\nnode.id = 5\n# the end")
    with Broker(
        args=["--config", str(path), "--set", "node.id=7"],
        env={"SLUICE_MAX_PARTITIONS": "60", "SLUICE_NODE_ID": "6", "SLUICE_NO_SUCH": "1"},
    ) as broker:
        with broker.connect() as connection:
            body = connection.request(
                "Metadata", 9, topics=[{"name": "t"}], allow_auto_topic_creation=True
            )
            assert len(body["topics"][0]["partitions"]) == 2
            assert body["brokers"][0]["node_id"] == 7
            rows = connection.request(
                "DescribeConfigs",
                4,
                resources=[{"resource_type": 4, "resource_name": "7", "configuration_keys": None}],
            )
            values = {row["name"]: row["value"] for row in rows["results"][0]["configs"]}
            assert values["max.partitions"] == "60"
        assert "SLUICE_NO_SUCH" in broker.log()


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_the_line_with_ready_says_what_runs(shards):
    with Broker(shards=shards) as broker:
        (line,) = [line for line in broker.log().splitlines() if "ready" in line]
        assert f"listen={broker.address}" in line
        assert f"shards={shards}" in line
        broker.check_serves()


def test_its_begin_and_end_are_told_at_every_level():
    with Broker(settings={"log.level": "error"}) as broker:
        broker.stop()
        told = [" ".join(line.split()[:3]) for line in broker.log().splitlines()]
    milestones = ["sluiced: starting", "control: ready", "control: stopping", "control: stopped"]
    assert told == [f"info {milestone}" for milestone in milestones]


def test_shards_default_to_the_processors_and_are_pinned_to_them():
    with Broker(shards=None) as broker:
        cpus = len(os.sched_getaffinity(0))
        expected = cpus - 1 if cpus >= 4 else cpus
        assert f"shards={expected} " in broker.log()
        broker.check_serves()
        pinned = []
        for thread in os.listdir(f"/proc/{broker.pid}/task"):
            allowed = os.sched_getaffinity(int(thread))
            if len(allowed) == 1:
                pinned += allowed
        assert len(pinned) >= expected and len(set(pinned)) >= min(expected, cpus)


def threads_named(pid, name):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii") as file:
            if file.read().startswith(name):
                found.append(int(thread))
    return found


def test_shards_run_on_the_cores_that_are_named():
    last = max(os.sched_getaffinity(0))
    with Broker(shards=None, settings={"shard.cores": last}) as broker:
        assert "shards=1 " in broker.log()
        (shard,) = threads_named(broker.pid, "shard")
        assert os.sched_getaffinity(shard) == {last}
        broker.check_serves()


def test_pinning_can_be_left_out():
    with Broker(settings={"pin.threads": "false"}) as broker:
        allowed = os.sched_getaffinity(0)
        seen = 0
        for thread in os.listdir(f"/proc/{broker.pid}/task"):
            with open(f"/proc/{broker.pid}/task/{thread}/comm", encoding="ascii") as file:
                ours = file.read().startswith(("shard", "sluiced"))
            seen += ours
            assert not ours or os.sched_getaffinity(int(thread)) == allowed
        assert seen >= 3  # two shards and the control plane; a sanitizer may add one
        broker.check_serves()


def test_port_0_takes_a_free_one_and_says_which(tmp_path):
    broker = Broker(data=tmp_path / "data", start=False)
    with broker:
        broker.port = 0
        broker.start()
        broker.port = int(broker.log().split("ready listen=127.0.0.1:")[1].split()[0])
        assert broker.port > 0
        broker.check_serves()


# ---- data folder and port ----


def test_a_second_start_on_the_same_folder_is_refused_and_the_first_goes_on():
    with Broker() as broker:
        message = refused_start(broker.data)
        assert "in use by another broker" in message and str(broker.pid) in message
        broker.check_serves()


def test_a_port_in_use_is_refused(tmp_path):
    with Broker() as broker:
        message = refused_start(tmp_path / "data", "--listen", broker.address)
        assert f"127.0.0.1:{broker.port} is in use" in message
        broker.check_serves()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert "in use" in refused_start(tmp_path / "data", "--listen", f"127.0.0.1:{port}")


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("do not touch")
    assert "thesis.txt" in refused_start(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "do not touch"
    assert not (tmp_path / "topics").exists()


def test_a_folder_of_a_newer_format_is_refused(tmp_path):
    with Broker(data=tmp_path / "data") as broker:
        broker.check_serves()
    meta = tmp_path / "data" / "sluice.meta"
    meta.write_text("sluice-data 2\n")
    assert "format 2" in refused_start(tmp_path / "data")
    meta.write_text("something else\n")
    assert "sluice.meta" in refused_start(tmp_path / "data")
    meta.write_text("sluice-data 1\n")
    with Broker(data=tmp_path / "data") as broker:
        broker.check_serves()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    assert refused_start(tmp_path / "no" / "such" / "parent")
    (tmp_path / "file").write_text("")
    assert refused_start(tmp_path / "file")
    assert refused_start("/proc/sluice")


def mounted(tmp_path, options):
    """A small file system of memory, or a skip."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    path = tmp_path / "mount"
    path.mkdir()
    result = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        pytest.skip(f"mounting is refused: {result.stderr}")
    return path


def test_a_read_only_folder_is_refused(tmp_path):
    path = mounted(tmp_path, "size=64m")
    try:
        with Broker(data=path / "data") as broker:
            broker.check_serves()
        subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
        message = refused_start(path / "data")
        assert "Read-only" in message or "cannot be written" in message
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False)


# ---- stopping ----


def test_sigterm_ends_an_idle_broker_at_once_with_0():
    with Broker(settings=LONG_DRAIN) as broker:
        broker.check_serves()
        held = [broker.connect() for _ in range(20)]
        broker.stop()
        for connection in held:
            assert connection.closed_by_peer()
            connection.close()


def test_sigint_ends_it_too():
    with Broker() as broker:
        broker.process.send_signal(signal.SIGINT)
        assert broker.wait_exit() == 0


def test_what_is_under_way_is_answered_before_the_end():
    with Broker() as broker:
        connections = [broker.connect() for _ in range(20)]
        connections[0].create_topic("drain", 4)
        asked = {}
        for index, connection in enumerate(connections):
            asked[connection] = [
                connection.send(
                    "Produce",
                    9,
                    acks=-1,
                    timeout_ms=30000,
                    topic_data=[
                        {
                            "name": "drain",
                            "partition_data": [
                                {"index": (index + i) % 4, "records": batch([b"x" * 20000])}
                            ],
                        }
                    ],
                )
                for i in range(5)
            ]
        broker.process.send_signal(signal.SIGTERM)
        acknowledged = 0
        for connection, correlations in asked.items():
            got = []
            try:
                while len(got) < len(correlations):
                    correlation, body = connection.receive()
                    got.append(correlation)
                    row = body["responses"][0]["partition_responses"][0]
                    acknowledged += row["error_code"] == NONE
            except ConnectionError:
                pass
            # Those read before the end are answered in order; the others were never taken.
            assert got == correlations[: len(got)]
            connection.close()
        assert broker.wait_exit() == 0
        broker.start()
        with broker.connect() as connection:
            kept = sum(connection.list_offset("drain", i, -1)["offset"] for i in range(4))
            assert kept >= acknowledged


def test_long_polls_are_answered_at_the_end_not_waited_for():
    with Broker(settings=LONG_DRAIN) as broker:
        connections = [broker.connect() for _ in range(10)]
        connections[0].create_topic("poll", 2)
        for connection in connections:
            connection.send(
                "Fetch",
                11,
                max_wait_ms=600_000,
                min_bytes=1,
                max_bytes=1000,
                topics=[
                    {
                        "topic": "poll",
                        "partitions": [
                            {"partition": i, "partition_max_bytes": 100} for i in (0, 1)
                        ],
                    }
                ],
            )
        # So that the polls have been read: an answer that came later than they did.
        for connection in connections:
            eventually("read", lambda: _read_by_broker(connection))
        broker.process.send_signal(signal.SIGTERM)
        for connection in connections:
            assert connection.receive()[1]["error_code"] == NONE
            connection.close()
        assert broker.wait_exit() == 0


def _read_by_broker(connection):
    """Nothing is left in our send queue, nor in the peer's receive queue."""
    port = connection.socket.getsockname()[1]
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            fields = line.split()
            ports = [int(fields[i].split(":")[1], 16) for i in (1, 2)]
            if port in ports and fields[4] != "00000000:00000000":
                return False
    return True


def test_a_client_that_does_not_read_holds_the_end_up_no_longer_than_the_drain():
    with Broker(settings={"shutdown.drain.ms": "1s"}) as broker:
        with broker.connect() as writer:
            writer.create_topic("stuck")
            for _ in range(8):
                writer.produce("stuck", 0, [b"x" * 900_000])
        with broker.connect(receive_buffer=4096) as stuck:
            for _ in range(20):
                stuck.send(
                    "Fetch",
                    11,
                    max_wait_ms=0,
                    max_bytes=64 << 20,
                    topics=[
                        {
                            "topic": "stuck",
                            "partitions": [{"partition": 0, "partition_max_bytes": 64 << 20}],
                        }
                    ],
                )
            eventually("the answer begins", lambda: stuck.socket.recv(1, socket.MSG_PEEK))
            assert broker.stop() > 0.5


def test_a_second_signal_ends_it_without_waiting():
    with Broker(settings=LONG_DRAIN) as broker:
        with broker.connect() as writer:
            writer.create_topic("stuck")
            for _ in range(8):
                writer.produce("stuck", 0, [b"x" * 900_000])
        with broker.connect(receive_buffer=4096) as stuck:
            for _ in range(20):
                stuck.send(
                    "Fetch",
                    11,
                    max_wait_ms=0,
                    max_bytes=64 << 20,
                    topics=[
                        {
                            "topic": "stuck",
                            "partitions": [{"partition": 0, "partition_max_bytes": 64 << 20}],
                        }
                    ],
                )
            eventually("the answer begins", lambda: stuck.socket.recv(1, socket.MSG_PEEK))
            broker.process.send_signal(signal.SIGTERM)
            broker.wait_log("stopping")
            broker.process.send_signal(signal.SIGTERM)
            assert broker.wait_exit(20) == 1
