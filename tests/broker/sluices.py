"""`sluice`, and brokers that it reaches over datagrams.

SLUICE names the program, else it is the one beside sluiced.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

from harness import Broker, program

CLIENT_SECONDS = 120
MEMIF_PARTITIONS = 6


def harm(loss):
    """A bad network, for datagram.faults, with this loss in percent."""
    return f"seed={loss},loss={loss}%,double=2%,reorder=5%,flip=1%,cut=1%"


def sluice_program():
    if "SLUICE" in os.environ:
        return os.environ["SLUICE"]
    beside = pathlib.Path(program()).resolve().parent
    for candidate in (beside / "sluice", beside.parent / "client" / "sluice"):
        if candidate.exists():
            return str(candidate)
    raise FileNotFoundError("no sluice: build it, or name it in SLUICE")


class Memif:
    """A broker that serves a memif, and the command at its other end, one at a time."""

    def __init__(self, shards=2, settings=None, device="", client=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-memif-"))
        common = f"id=0,socket-abstract=no,socket={self.folder}/memif{device}"
        self.broker = Broker(
            shards=shards,
            args=["--vdev", f"net_memif0,role=server,{common}"],
            settings={
                "dpdk.address": "10.77.0.1/24",
                "dpdk.exception": "none",
                "num.partitions": MEMIF_PARTITIONS,
                **(settings or {}),
            },
        )
        self.url = (
            f"dpdk:net_memif0,role=client,{common}"
            f"?address=10.77.0.2/24&peer=10.77.0.1:{self.broker.port}{client}"
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self.broker.__exit__(*error)
        finally:
            shutil.rmtree(self.folder)

    def words(self, *words):
        return [sluice_program(), "-b", self.url, *map(str, words)]

    def sluice(self, *words):
        """Must succeed without a word on stderr; returns what it printed."""
        done = subprocess.run(
            self.words(*words), capture_output=True, timeout=CLIENT_SECONDS, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), (words, done.stderr[-2000:])
        return done.stdout

    def produce(self, topic, path):
        self.sluice("produce", topic, "-K", "\t", "-a", "all", path)

    def consume(self, topic):
        return self.sluice("consume", topic, "-e", "-f", "%p %s\\n")
