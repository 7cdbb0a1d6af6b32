"""200 MB of real text by `sluice` over datagrams and back: byte for byte, in order in each partition.

Over a socket and over a memif, on a good network; less of it where the network loses, doubles,
delays, flips and cuts.  What is judged comes from the client alone: the file, and what it prints.
SLUICE_LONG=1 adds every codec, and several times the text on bad networks.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from harness import IO, ROOT, Broker
from sluices import CLIENT_SECONDS, MEMIF_PARTITIONS as PARTITIONS, Memif, harm, sluice_program

sys.path.insert(0, str(ROOT / "tests" / "clients"))

import real_text  # noqa: E402  pylint: disable=wrong-import-position

pytestmark = pytest.mark.slow
one_back_end = pytest.mark.skipif(
    IO == "sync", reason="the back end of storage makes no difference to a memif"
)

LONG = "SLUICE_LONG" in os.environ
# Of text, by the loss in percent: a few seconds each, or up to a minute.
MEGABYTES = {0: 200, 1: 200, 5: 200, 20: 64} if LONG else {0: 200, 1: 64, 5: 16, 20: 8}
JUMBO_MEGABYTES = 200 if LONG else 64
# Of a memif a jumbo frame needs a buffer of its size.
JUMBO = {"settings": {"dpdk.mtu": 9000}, "device": ",bsize=9216", "client": "&mtu=9000"}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A function: megabytes -> path of a file of that many of values."""
    folder = tmp_path_factory.mktemp("text")

    def of_size(megabytes):
        path = folder / str(megabytes)
        if not path.exists():
            real_text.write(path, megabytes << 20)
        return path

    yield of_size
    shutil.rmtree(folder)


def produce(words, topic, path, codec):
    made = [*words, "produce", topic, "-K", "\t", "-a", "all", "-z", codec, path]
    done = subprocess.run(made, capture_output=True, timeout=CLIENT_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def consume(words, topic, folder):
    """Leaves one file of values for each partition in `folder`."""
    folder.mkdir()
    read = [*words, "consume", topic, "-e", "-f", "%p%k%s\\n"]
    with subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            real_text.split(process.stdout, folder, CLIENT_SECONDS)
            assert (process.wait(CLIENT_SECONDS), process.stderr.read()) == (0, b"")
        finally:
            process.kill()


def there_and_back(words, path, codec, folder):
    produce(words, "text", path, codec)
    consume(words, "text", folder)
    real_text.judge(folder, path, PARTITIONS, CLIENT_SECONDS)
    shutil.rmtree(folder)


def settings_for(loss):
    # The word that a client has left may be lost, and the end then waits for it.
    return {"datagram.faults": harm(loss), "shutdown.drain.ms": 500} if loss else {}


@contextlib.contextmanager
def socket_broker(loss):
    settings = {"num.partitions": PARTITIONS, **settings_for(loss)}
    with Broker(settings=settings) as broker:
        yield [sluice_program(), "-b", f"udp://{broker.address}"]
        broker.check_alive()


@contextlib.contextmanager
def memif_broker(loss, settings=None, **device):
    with Memif(settings={**settings_for(loss), **(settings or {})}, **device) as memif:
        yield memif.words()
        memif.broker.check_alive()


def cases():
    """(loss, codec)."""
    if LONG:
        codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
        return [(0, codec) for codec in codecs] + [
            (loss, codec) for loss in (1, 5, 20) for codec in ("none", "lz4")
        ]
    if IO == "sync":
        return [(0, "lz4")]
    return [(0, "none"), (0, "lz4"), (1, "lz4"), (5, "none"), (20, "none")]


@pytest.mark.parametrize("loss, codec", cases())
def test_a_large_file_comes_back_over_a_socket(text, tmp_path, loss, codec):
    with socket_broker(loss) as words:
        there_and_back(words, text(MEGABYTES[loss]), codec, tmp_path / "parts")


@pytest.mark.parametrize("loss, codec", cases() if LONG else [(0, "none"), (1, "lz4"), (20, "none")])
@one_back_end
def test_a_large_file_comes_back_over_a_memif(text, tmp_path, loss, codec):
    with memif_broker(loss) as words:
        there_and_back(words, text(MEGABYTES[loss]), codec, tmp_path / "parts")


@one_back_end
def test_a_large_file_comes_back_in_jumbo_frames(text, tmp_path):
    with memif_broker(0, **JUMBO) as words:
        there_and_back(words, text(JUMBO_MEGABYTES), "none", tmp_path / "parts")
