"""A real file of text goes through kcat and back, with every codec, across kill -9.

What is judged comes from the clients alone: the file sent, and what kcat prints when it consumes.
"""
import os
import shutil
import subprocess

import harness
import pytest
import real_text

PARTITIONS = 8
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# The plain back end has no part in the codecs; SLUICE_LONG=1 has all of them on it too.
SYNC_CODECS = CODECS if "SLUICE_LONG" in os.environ else ["none", "zstd"]
BIG_RUNS = [(harness.IO, codec) for codec in CODECS]
if harness.IO != "sync":
    BIG_RUNS += [("sync", codec) for codec in SYNC_CODECS]
SMALL_FILE = 4 << 20
BIG_FILE = 200 << 20
CLIENT_SECONDS = 120


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """A function size -> path of a file of that many bytes of values."""
    folder = tmp_path_factory.mktemp("text")
    files = {}

    def of_size(size):
        if size not in files:
            files[size] = folder / str(size)
            real_text.write(files[size], size)
        return files[size]

    yield of_size
    shutil.rmtree(folder)


def kcat_produce(broker, topic, path, codec):
    # Level 1: the time goes to the broker's side of it.
    level = ["-X", "compression.level=1"] if codec in ("gzip", "zstd") else []
    with open(path, "rb") as lines:
        done = subprocess.run(["kcat", "-P", "-b", broker.address, "-t", topic, "-K", "\t",
                               "-z", codec, "-X", "acks=all", *level], stdin=lines,
                              capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def kcat_consume(broker, topic, folder):
    """Consumes all there is; leaves one file of values for each partition in `folder`."""
    folder.mkdir()
    # A full queue has this librdkafka sleep for a second, hence a long one.
    kcat = subprocess.Popen(["kcat", "-C", "-b", broker.address, "-t", topic, "-e", "-q",
                             "-o", "beginning", "-X", "queued.min.messages=10000000",
                             "-X", "queued.max.messages.kbytes=131072", "-f", "%p%k%s\n"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with kcat:
        try:
            real_text.split(kcat.stdout, folder, CLIENT_SECONDS)
            kcat.stdout.close()
            complaints = kcat.stderr.read().decode()
            code = kcat.wait(CLIENT_SECONDS)
        finally:
            kcat.kill()
    assert (code, complaints) == (0, "")


def consume_and_judge(broker, topic, path, folder):
    kcat_consume(broker, topic, folder)
    real_text.judge(folder, path, PARTITIONS, CLIENT_SECONDS)
    shutil.rmtree(folder)


def there_and_back(io, path, codec, folder):
    with harness.Broker(io=io, settings={"num.partitions": PARTITIONS}) as broker:
        kcat_produce(broker, "text", path, codec)
        consume_and_judge(broker, "text", path, folder / "first")
        broker.check_alive()
        broker.kill()
        broker.start()
        consume_and_judge(broker, "text", path, folder / "after-kill")


@pytest.mark.parametrize("codec", CODECS)
def test_lines_come_back_in_order_also_after_kill_minus_9(tmp_path, text_file, codec):
    there_and_back(harness.IO, text_file(SMALL_FILE), codec, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("io, codec", BIG_RUNS)
def test_200_megabytes_come_back_in_order_also_after_kill_minus_9(tmp_path, text_file, codec, io):
    there_and_back(io, text_file(BIG_FILE), codec, tmp_path)
