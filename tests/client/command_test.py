"""`sluice`: nouns and verbs, what it says when something is wrong, and how it ends."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import harness
import pytest
from sluice_process import SECONDS, Sluice, program

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_a_topic_from_creation_to_deletion(sluice, topic):
    assert sluice.run("topic", "create", topic, "-P", 3, "-c", "retention.ms=60000") == b""
    listed = {t["name"]: t for t in json.loads(sluice.run("topic", "list", "-o", "json"))}
    assert listed[topic]["partitions"] == 3 and listed[topic]["replicas"] == 1
    sluice.run("produce", topic, "-p", 1, data=b"a\nb\n")
    told = json.loads(sluice.run("topic", "describe", topic, "-o", "json"))
    assert told["id"] == listed[topic]["id"] != ""
    assert [(p["partition"], p["first_offset"], p["next_offset"]) for p in told["partitions"]] == [
        (0, 0, 0), (1, 0, 2), (2, 0, 0)]
    assert told["config"]["retention.ms"] == {"value": "60000", "source": "topic"}
    sluice.run("topic", "alter", topic, "-c", "retention.ms=", "-P", 5)
    told = json.loads(sluice.run("topic", "describe", topic, "-o", "json"))
    assert len(told["partitions"]) == 5 and told["config"]["retention.ms"]["source"] == "default"
    sluice.run("topic", "delete", topic)
    assert topic not in sluice.run("topic", "list").decode().split()


def test_tables_are_for_people(sluice, topic):
    sluice.run("topic", "create", topic, topic + "-2", "-P", 2)
    lines = sluice.lines("topic", "list")
    assert lines[0].split() == ["TOPIC", "PARTITIONS", "REPLICAS"]
    assert [topic, "2", "1"] in [line.split() for line in lines]
    assert "LEADER" in sluice.run("topic", "describe", topic).decode()


def commit(broker, group, topic, offsets):
    """As a client without members does."""
    with broker.connect() as connection:
        body = connection.request("OffsetCommit", 8, group_id=group, topics=[
            {"name": topic, "partitions": [
                {"partition_index": p, "committed_offset": at, "committed_metadata": None}
                for p, at in offsets.items()]}])
        codes = [p["error_code"] for t in body["topics"] for p in t["partitions"]]
        assert codes == [0] * len(offsets)


def test_groups_and_their_lag(broker, sluice, topic):
    sluice.run("topic", "create", topic, "-P", 3)
    sluice.run("produce", topic, "-p", 1, data=b"a\nb\nc\n")
    commit(broker, f"of-{topic}", topic, {2: 0, 1: 1})
    listed = {g["id"]: g for g in json.loads(sluice.run("group", "list", "-o", "json"))}
    assert listed[f"of-{topic}"]["state"] == "Empty"
    (told,) = json.loads(sluice.run("group", "lag", f"of-{topic}", "-o", "json"))
    assert told["group"] == f"of-{topic}"
    assert [(p["partition"], p["committed"], p["end"], p["lag"]) for p in told["partitions"]] == [
        (1, 1, 3, 2), (2, 0, 0, 0)]
    lines = sluice.lines("group", "lag", f"of-{topic}", "nobody-knows-it")
    assert [line.split() for line in lines[1:]] == [
        [f"of-{topic}", topic, "1", "1", "3", "2"], [f"of-{topic}", topic, "2", "0", "0", "0"]]


def test_a_reader_that_has_had_enough_ends_a_consume_that_waits(broker, sluice, topic):
    sluice.run("topic", "create", topic)
    sluice.run("produce", topic, data=b"a\nb\n")
    with subprocess.Popen(
        [program(), "-b", f"127.0.0.1:{broker.port}", "consume", topic], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"a\n"
        process.stdout.close()
        assert process.wait(SECONDS) == 0


def test_the_cluster(broker, sluice):
    told = json.loads(sluice.run("cluster", "info", "-o", "json"))
    assert told["brokers"] == [{"id": 1, "host": "127.0.0.1", "port": broker.port, "rack": None}]
    assert re.fullmatch(r"[\w-]{22}", told["cluster_id"])
    assert told["cluster_id"] in sluice.run("cluster", "info").decode()


@pytest.mark.parametrize("words, says", [
    ([], "what shall it be"),
    (["frob"], "no 'frob'"),
    (["topic"], "list, create"),
    (["topic", "frob"], "topic knows no 'frob'"),
    (["topic", "create"], "needs TOPIC"),
    (["cluster", "info", "x"], "takes no 'x'"),
    (["topic", "alter", "x"], "--config or --partitions"),
    (["topic", "create", "x", "-P"], "needs N"),
    (["topic", "create", "x", "-P", "many"], "whole number"),
    (["topic", "create", "x", "-P", "0"], "whole number"),
    (["topic", "create", "x", "-c", "novalue"], "KEY=VALUE"),
    (["topic", "list", "--partition", "1"], "has no --partition"),
    (["consume"], "needs TOPIC"),
    (["consume", "x", "y"], "takes no 'y'"),
    (["consume", "x", "-f", "%q"], "%q"),
    (["consume", "x", "-s", "soon"], "beginning, end"),
    (["consume", "x", "-f", "%s", "-o", "json"], "exclude"),
    (["consume", "x", "--exit=1"], "nothing after it"),
    (["produce", "x", "-z", "brotli"], "none|gzip|snappy|lz4|zstd"),
    (["produce", "x", "-a", "2"], "0|1|all"),
    (["produce", "x", "-K", ""], "empty"),
    (["produce", "x", "-H", "=1"], "NAME=VALUE"),
    (["topic", "list", "-o", "xml"], "table, json, jsonl or yaml"),
    (["topic", "list", "-X", "linger.mss=1"], "'linger.ms'"),
    (["topic", "list", "-X", "acks"], "NAME=VALUE"),
    (["topic", "list", "-t", "0"], "whole number"),
    (["topic", "list", "-Q"], "no flag is called '-Q'"),
    (["topic", "list", "--frob"], "no flag is called '--frob'"),
    (["topic", "list", "-b", "host:port"], "port from 1 to 65535"),
    (["topic", "list", "-b", "smoke://x:1"], "tcp://"),
    (["help", "frob"], "no 'frob'"),
    (["tpoic", "list"], "there is no 'tpoic'; did you mean 'topic'?"),
    (["hlep"], "did you mean 'help'?"),
    (["help", "grup"], "there is no 'grup'; did you mean 'group'?"),
    (["topic", "lst"], "list, create, describe, alter, trim, delete; did you mean 'list'?"),
    (["help", "group", "lags"], "did you mean 'lag'?"),
    (["topic", "create", "x", "--partion=3"], "'--partion'; did you mean '--partitions'?"),
    (["consume", "x", "--partion", "3"], "'--partion'; did you mean '--partition'?"),
    (["--borkers", "x:1", "topic", "list"], "'--borkers'; did you mean '--brokers'?"),
])
def test_a_wrong_command_line_ends_in_2(sluice, words, says):
    assert sluice.run(*words, code=2) == b""
    assert says in sluice.errors and "sluice help" in sluice.errors


@pytest.mark.parametrize("words", [["frobnicate"], ["topic", "xyzzy"], ["topic", "list", "-Q"],
                                   ["topic", "list", "--" + "x" * 500]])
def test_what_is_like_no_name_gets_no_suggestion(sluice, words):
    sluice.run(*words, code=2)
    assert "did you mean" not in sluice.errors


def test_what_the_broker_refuses_ends_in_1(sluice, topic):
    sluice.run("topic", "create", topic)
    sluice.run("topic", "create", topic, code=1)
    assert topic in sluice.errors and "exists already" in sluice.errors
    sluice.run("topic", "create", "no such/name", code=1)
    sluice.run("topic", "create", topic + "-r", "-R", "3", code=1)
    assert "replicas" in sluice.errors
    sluice.run("topic", "create", topic + "-c", "-c", "retention.ms=soon", code=1)
    sluice.run("topic", "delete", "never-was", code=1)
    sluice.run("topic", "describe", "never-was", code=1)
    sluice.run("consume", "never-was", "-e", code=1)
    assert "sluice topic create" in sluice.errors
    sluice.run("consume", topic, "-p", "99", "-e", code=1)
    assert "partitions 0 to 3" in sluice.errors
    sluice.run("produce", topic, "-p", "99", data=b"x", code=1)
    assert f"{topic}/99" in sluice.errors and "no such topic or partition" in sluice.errors


def test_a_line_too_long_is_told_by_its_number(sluice, topic):
    sluice.run("produce", topic, data=b"short\n" + b"x" * (2 << 20) + b"\n", code=1)
    assert "line 2" in sluice.errors
    assert sluice.lines("consume", topic, "-e") == ["short"]


def test_a_record_that_the_topic_refuses(sluice, topic):
    sluice.run("topic", "create", topic, "-c", "max.message.bytes=1000")
    told = sluice.run("produce", topic, "-o", "json", data=b"x" * 5000, code=1)
    assert json.loads(told) == {"delivered": 0, "failed": 1}
    assert "max.message.bytes" in sluice.errors


def test_nobody_there_ends_in_3():
    sluice = Sluice(f"127.0.0.1:{harness.free_port()}")
    for words in (["topic", "list"], ["consume", "x"], ["produce", "x"], ["cluster", "info"]):
        sluice.run(*words, code=3)
        assert sluice.address in sluice.errors and "SLUICE_BROKERS" in sluice.errors


def test_the_second_address_is_tried(broker):
    sluice = Sluice(f"127.0.0.1:{harness.free_port()},{broker.address}")
    sluice.run("cluster", "info")


class Impostor:
    """Accepts, reads once, says `answer` and closes - or stays silent."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = []
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            if self.answer is None:
                continue
            connection.recv(65536)
            connection.sendall(self.answer)
            connection.close()

    def __enter__(self):
        return Sluice("127.0.0.1:%d" % self.listener.getsockname()[1])

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()
        for connection in self.connections:
            connection.close()


@pytest.mark.parametrize("answer", [
    b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x16", b"\0" * 64,
    b"\xff" * 64, b"\0\0\0\x06\0\0\0\0\0\0", b"\0\0\0\x08\0\0\0\0\0\0\x7f\xff"])
def test_what_is_no_broker_ends_in_3(answer):
    with Impostor(answer) as sluice:
        assert sluice.run("topic", "list", "-t", "5", code=3) == b""
        assert sluice.errors.startswith("sluice: ")


def test_a_silent_one_is_not_waited_for_forever():
    with Impostor(None) as sluice:
        sluice.run("topic", "list", "-t", "1", code=3)


def test_a_reader_that_has_had_enough(sluice, topic):
    sluice.run("produce", topic, data=b"\n".join(b"line %d" % i for i in range(100000)))
    with sluice.start("consume", topic) as consumer:
        assert consumer.stdout.readline().startswith(b"line")
        consumer.stdout.close()
        assert consumer.wait(SECONDS) == 0
        assert consumer.stderr.read() == b""


def test_a_full_disk_is_told(sluice, topic):
    sluice.run("produce", topic, data=b"x\n")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(sluice.command("consume", topic, "-e"), stdout=full,
                              stderr=subprocess.PIPE, timeout=SECONDS, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr


def test_ctrl_c_while_consuming(sluice, topic):
    sluice.run("produce", topic, data=b"x\n")
    with sluice.start("consume", topic) as consumer:
        assert consumer.stdout.readline() == b"x\n"
        consumer.send_signal(signal.SIGINT)
        assert consumer.wait(SECONDS) == 130
        assert consumer.stderr.read() == b""


def test_ctrl_c_while_producing_delivers_what_was_read(sluice, topic):
    with sluice.start("produce", topic, "-o", "json", "-X", "linger.ms=60000") as producer:
        producer.stdin.write(b"a\nb\n")
        producer.stdin.flush()
        # It has read the lines when its input is empty.
        harness.eventually("the lines to be read", lambda: unread(producer) == 0)
        producer.send_signal(signal.SIGINT)
        assert producer.wait(SECONDS) == 130
        assert json.loads(producer.stdout.read())["failed"] == 0
    assert sorted(sluice.lines("consume", topic, "-e")) == ["a", "b"]


def unread(process):
    import fcntl
    import struct
    import termios
    with open(f"/proc/{process.pid}/fd/0", "rb") as stdin:
        return struct.unpack("i", fcntl.ioctl(stdin, termios.FIONREAD, b"\0" * 4))[0]


def test_the_library_exports_its_api_and_nothing_else(tmp_path):
    library = program().resolve().parent / "libsluice.so"
    symbols = subprocess.run(["nm", "-D", "--defined-only", str(library)], capture_output=True,
                             text=True, timeout=SECONDS, check=True).stdout
    exported = set(re.findall(r" T (\w+)@@SLUICE_0\.1", symbols))
    declared = set(re.findall(r"\b(sluice_\w+)\(", (ROOT / "client/sluice.h").read_text()))
    assert exported == declared - {"sluice_delivered"}
    others = [line for line in symbols.splitlines() if "sluice_" not in line and " A " not in line]
    assert others == []


@pytest.mark.parametrize("language", ["c99", "c++11"])
def test_the_header_stands_alone(tmp_path, language):
    compiler = os.environ.get("CC", "cc") if language == "c99" else shutil.which("c++")
    if not compiler:
        pytest.skip("no C++ compiler")
    source = tmp_path / ("a.c" if language == "c99" else "a.cc")
    source.write_text('#include "client/sluice.h"\nint main(void) { return 0; }\n')
    done = subprocess.run([*compiler.split(), f"-std={language}", "-pedantic", "-Wall", "-Werror",
                           f"-I{ROOT}", "-fsyntax-only", str(source)], capture_output=True,
                          text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
