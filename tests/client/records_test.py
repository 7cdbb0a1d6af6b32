"""What goes in through `sluice produce` comes out of `sluice consume` and of kcat, and back."""
import collections
import json
import os
import pathlib
import random
import re
import subprocess
import threading
import time

import harness
import pytest
from sluice_process import SECONDS, Sluice

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def keyed_lines(count):
    return [f"key-{i % 97}\tvalue {i} of a file that compresses" for i in range(count)]


def by_key(lines):
    """The order that is promised: that of each key."""
    found = collections.defaultdict(list)
    for line in lines:
        key, _, value = line.partition("\t")
        found[key].append(value)
    return found


def kcat(broker, *words, data=None):
    done = subprocess.run(["kcat", "-b", broker.address, *words], input=data, capture_output=True,
                          timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("codec", CODECS)
def test_lines_come_back(sluice, topic, codec):
    lines = keyed_lines(20000)
    sluice.run("produce", topic, "-K", "\t", "-z", codec, data="\n".join(lines).encode())
    got = sluice.lines("consume", topic, "--exit", "-f", "%k\\t%s\\n")
    assert len(got) == len(lines)
    assert by_key(got) == by_key(lines)


@pytest.mark.parametrize("codec", CODECS)
def test_kcat_reads_what_sluice_wrote(broker, sluice, topic, codec):
    lines = keyed_lines(5000)
    sluice.run("produce", topic, "-K", "\t", "-z", codec, data="\n".join(lines).encode())
    got = kcat(broker, "-C", "-e", "-q", "-t", topic, "-f", "%k\t%s\n").decode().splitlines()
    assert by_key(got) == by_key(lines)


@pytest.mark.parametrize("codec", CODECS)
def test_sluice_reads_what_kcat_wrote(broker, sluice, topic, codec):
    lines = keyed_lines(5000)
    kcat(broker, "-P", "-t", topic, "-K", "\t", "-z", codec, data="\n".join(lines).encode())
    got = sluice.lines("consume", topic, "--exit", "-f", "%k\\t%s\\n")
    assert by_key(got) == by_key(lines)


def test_keys_lie_where_other_clients_put_them(broker, sluice, topic):
    """librdkafka's murmur2_random is the Java client's partitioner."""
    sluice.run("topic", "create", topic, "-P", 7)
    sluice.run("topic", "create", topic + "-kcat", "-P", 7)
    lines = [f"{random.Random(i).randbytes(i % 13).hex()}key{i}\tx" for i in range(500)]
    data = "\n".join(lines).encode()
    sluice.run("produce", topic, "-K", "\t", data=data)
    kcat(broker, "-P", "-t", topic + "-kcat", "-K", "\t", "-X", "partitioner=murmur2_random",
         data=data)
    ours = sluice.lines("consume", topic, "-e", "-f", "%p %k\\n")
    theirs = sluice.lines("consume", topic + "-kcat", "-e", "-f", "%p %k\\n")
    assert sorted(ours) == sorted(theirs)
    assert len({line.split()[0] for line in ours}) == 7


def test_bytes_headers_and_nulls(broker, sluice, topic):
    sluice.run("produce", topic, "-p", 2, "-Z", "-K", ":", "-H", "origin=test", "-H", "empty=",
               data=b"k:v\nk:\n\xff\xfe:\x00\x01\nno key\n")
    records = [json.loads(line) for line in sluice.lines("consume", topic, "-e", "-o", "json")]
    headers = [{"name": "origin", "value": "test"}, {"name": "empty", "value": ""}]
    assert [(r["offset"], r["partition"], r["headers"]) for r in records] == [
        (i, 2, headers) for i in range(4)]
    assert [(r["key"], r["value"]) for r in records[:2]] == [("k", "v"), ("k", None)]
    assert records[2]["key_base64"] == "//4=" and records[2]["value"] == "\0\1"
    assert (records[3]["key"], records[3]["value"]) == (None, "no key")
    assert kcat(broker, "-C", "-e", "-q", "-t", topic, "-c", "2", "-f", "%h|%S\n") == (
        b"origin=test,empty=|1\norigin=test,empty=|-1\n")


def test_files_and_a_last_line_without_its_end(sluice, topic, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"a\n\nb")
    other.write_bytes(b"c\n")
    sluice.run("produce", topic, "-p", 0, one, other)
    assert sluice.lines("consume", topic, "-e", "-f", "[%s]\\n") == ["[a]", "[]", "[b]", "[c]"]
    assert "No such file" in (sluice.run("produce", topic, tmp_path / "none", code=1) and "" or
                              sluice.errors)


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(sluice, topic, acks):
    told = sluice.run("produce", topic, "-a", acks, "-o", "json", data=b"1\n2\n3\n")
    assert json.loads(told) == {"delivered": 3, "failed": 0}
    sluice_lines = harness.eventually(
        "three records", lambda: len(sluice.lines("consume", topic, "-e")) == 3)
    assert sluice_lines


def test_numbered_batches_are_stored(broker, sluice, topic):
    sluice.run("produce", topic, "-p", 0, "-X", "enable.idempotence=true", "-X", "batch.size=100",
               data=b"\n".join(b"%d" % i for i in range(200)))
    with broker.connect() as connection:
        stored = connection.fetch_batches(topic, 0, 0)
    assert len({each.producer_id for each in stored}) == 1 and stored[0].producer_id >= 0
    assert len(stored) > 5
    sequence = 0
    for each in stored:
        assert each.base_sequence == sequence
        sequence += each.count


def test_where_to_begin_and_to_stop(sluice, topic):
    sluice.run("produce", topic, "-p", 1, data=b"\n".join(b"%d" % i for i in range(100)))

    def consume(*words):
        return [int(line) for line in sluice.lines("consume", topic, "-p", 1, *words)]

    assert consume("-e") == list(range(100))
    assert consume("-s", "40", "-n", "3") == [40, 41, 42]
    assert consume("-s", "-5", "-e") == [95, 96, 97, 98, 99]
    assert consume("-s", "-500", "-e") == list(range(100))
    assert consume("-s", "10", "-u", "13") == [10, 11, 12]
    assert consume("-s", "end", "-e") == []
    assert consume("-n", "0") == []
    assert consume("-s", "@-1h", "-e") == list(range(100))
    assert consume("-s", f"@{int(time.time() * 1000) + 3600000}", "-e") == []


def test_a_time_in_the_middle(broker, sluice, topic):
    with broker.connect() as connection:
        connection.create_topic(topic)
        now = int(time.time() * 1000)
        connection.produce(topic, 0, [b"early"], timestamp=now - 60000)
        connection.produce(topic, 0, [b"late"], timestamp=now)
    assert sluice.lines("consume", topic, "-e", "-s", f"@{now - 1000}") == ["late"]


def test_an_offset_outside_the_log(sluice, topic):
    sluice.run("produce", topic, "-p", 0, data=b"x")
    sluice.run("consume", topic, "-p", 0, "-s", 17, "-n", 1, code=1)
    assert "outside" in sluice.errors
    assert sluice.lines("consume", topic, "-p", 0, "-s", 17, "-n", 1, "-X",
                        "auto.offset.reset=earliest") == ["x"]


def test_following_a_topic(sluice, topic):
    """A line leaves without waiting for the next, and a consumer shows it when it comes."""
    sluice.run("topic", "create", topic)
    with sluice.start("consume", topic, "-n", "2") as consumer, sluice.start(
            "produce", topic, "-p", "0") as producer:
        for line in (b"first\n", b"second\n"):
            producer.stdin.write(line)
            producer.stdin.flush()
            timer = threading.Timer(SECONDS, consumer.kill)
            timer.start()
            assert consumer.stdout.readline() == line
            timer.cancel()
        assert consumer.wait(SECONDS) == 0
        producer.stdin.close()
        assert producer.wait(SECONDS) == 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_restart_loses_nothing(topic, how):
    """Lines flow while the broker goes away and comes back on its port."""
    count = 30000
    with harness.Broker(settings={"num.partitions": 1}) as broker:
        sluice = Sluice(broker.address)
        sluice.run("topic", "create", topic)
        with sluice.start("produce", topic, "-o", "json") as producer:
            def feed():
                for i in range(count):
                    producer.stdin.write(b"%d\n" % i)
                producer.stdin.close()

            def stored():
                with broker.connect() as connection:
                    return connection.list_offset(topic, 0, -1)["offset"]

            feeder = threading.Thread(target=feed)
            producer.stdin.write(b"begun\n")
            producer.stdin.flush()
            harness.eventually("a first record", stored)
            getattr(broker, how)()
            feeder.start()
            broker.start()
            assert producer.wait(SECONDS) == 0
            feeder.join()
            assert json.loads(producer.stdout.read())["failed"] == 0
        got = [line for line in sluice.lines("consume", topic, "-e") if line != "begun"]
        # A batch whose answer was lost may be there twice, but nothing is missing, and the first
        # copies are in order.
        assert list(dict.fromkeys(got)) == [str(i) for i in range(count)]


def test_a_consumer_goes_on_after_a_restart(topic):
    with harness.Broker(settings={"num.partitions": 1}) as broker:
        sluice = Sluice(broker.address)
        sluice.run("produce", topic, data=b"before\n")
        with sluice.start("consume", topic, "-n", "2") as consumer:
            assert consumer.stdout.readline() == b"before\n"
            broker.kill()
            broker.start()
            sluice.run("produce", topic, data=b"after\n")
            assert consumer.wait(SECONDS) == 0
            assert consumer.stdout.read() == b"after\n"


def test_what_was_installed_can_be_built_against(broker, sluice, topic, tmp_path):
    """README.md's command line, with the header and the library where pkg-config says."""
    source = (harness.ROOT / "client/examples/producer.c").read_text()
    (tmp_path / "mine.c").write_text(source.replace("client/sluice.h", "sluice.h"))
    folder = os.path.dirname(sluice.command()[0])
    if b"__asan_init" in pathlib.Path(folder, "libsluice.so").read_bytes():
        pytest.skip("a sanitizer's library wants its runtime in the program")
    written = next(pathlib.Path(folder).parent.glob("meson-private/libsluice.pc")).read_text()
    written = re.sub("^includedir=.*", f"includedir={harness.ROOT}/client", written, flags=re.M)
    written = re.sub("^libdir=.*", f"libdir={folder}", written, flags=re.M)
    (tmp_path / "libsluice.pc").write_text(written)
    built = subprocess.run("cc -o mine mine.c $(pkg-config --cflags --libs libsluice)", shell=True,
                           cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS,
                           env={**os.environ, "PKG_CONFIG_PATH": str(tmp_path)}, check=False)
    assert (built.returncode, built.stderr) == (0, "")
    made = subprocess.run([tmp_path / "mine", broker.address, topic, "10"], capture_output=True,
                          env={**os.environ, "LD_LIBRARY_PATH": folder}, timeout=SECONDS,
                          check=False)
    assert made.stdout == b"10 delivered, 0 failed\n"


def test_the_examples(broker, sluice, topic):
    folder = os.path.dirname(sluice.command()[0])
    sluice.run("topic", "create", topic, "-P", 1)
    made = subprocess.run([f"{folder}/producer", broker.address, topic, "1000"],
                          capture_output=True, timeout=SECONDS, check=False)
    assert (made.returncode, made.stdout, made.stderr) == (0, b"1000 delivered, 0 failed\n", b"")
    read = subprocess.run([f"{folder}/consumer", broker.address, topic, "1000"],
                          capture_output=True, timeout=SECONDS, check=False)
    assert (read.returncode, read.stderr) == (0, b"")
    assert read.stdout.decode().splitlines() == [f"{i} record {i}" for i in range(1000)]
