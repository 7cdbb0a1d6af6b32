#!/usr/bin/env python3
"""Sluice, started as its peers are; over --vdev also on a memif."""
import os
import pathlib
import sys

if not __package__:  # run as a command
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from peers import kafka, peer

BROKER_IP, CLIENT_IP = "10.77.0.1", "10.77.0.2"


class Sluice(peer.Peer):
    name = driver = "sluice"
    settings = ("as many shards as cores, on those cores as the kernel likes",
                "default: acks=1, handed to the kernel, as the others acknowledge; "
                "flush: acks=all, its own default",
                "memif: shards poll without rest")

    def __init__(self, durability="default", cores=1, folder=None, build=None, vdev=False):
        self.build = pathlib.Path(build or peer.ROOT / "build")
        self.vdev = vdev
        super().__init__(durability, cores, folder)

    def find(self):
        self.server = self.build.absolute() / "control" / "sluiced"
        if not os.access(self.server, os.X_OK):
            raise peer.Missing(f"{self.server} is not built (./dev build)")
        self.version = peer.first_line([self.server, "--version"]).split()[-1]

    def memif(self, role):
        return (f"net_memif0,role={role},id=0,rsize=10,bsize=2048,socket-abstract=no,"
                f"socket={self.folder}/memif")

    def start(self):
        self.port = peer.free_port()
        bypass = ("--vdev", self.memif("server"), "--poll", "busy", "--set",
                  f"dpdk.address={BROKER_IP}/24", "--set", "dpdk.exception=none")
        self.spawn([self.server, "--listen", f"{peer.HOST}:{self.port}", "--data",
                    self.folder / "data", "--shards", len(self.cores), "--set", "pin.threads=false",
                    *(bypass if self.vdev else ())])

    def answered(self):
        return kafka.answers(self.port)

    @property
    def url(self):
        if self.vdev:
            return (f"dpdk:{self.memif('client')}?address={CLIENT_IP}/24&"
                    f"peer={BROKER_IP}:{self.port}")
        return f"tcp://{peer.HOST}:{self.port}"


if __name__ == "__main__":
    arguments = peer.parser(Sluice)
    arguments.add_argument("--build", help="build folder (build)")
    arguments.add_argument("--vdev", action="store_true", help="also on a memif, which url is then")
    peer.command(Sluice, arguments.parse_args())
