#!/usr/bin/env python3
"""NATS with JetStream: built from the Go module proxy, else Debian's older nats-server."""
import os
import pathlib
import shutil
import sys

if not __package__:  # run as a command
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from peers import peer

MODULE = "github.com/nats-io/nats-server/v2@v2.15.2"
# Asks JetStream itself; the server answers PING before that is there.
ACCOUNT_INFO = (b'CONNECT {"verbose":false}\r\nSUB answer 1\r\n'
                b"PUB $JS.API.INFO answer 0\r\n\r\n")


def fetch(folder):
    peer.run_fetch([peer.program("go", "golang-go"), "install", MODULE],
                   env=os.environ | {"GOBIN": str(folder), "GOTOOLCHAIN": "local",
                                     "GOFLAGS": "-mod=mod"})


class Nats(peer.Peer):
    name = driver = "nats"
    settings = ("streams in files", "flush: sync_interval: always")

    def find(self):
        try:
            self.server = peer.fetched("nats", MODULE, fetch) / "nats-server"
            packaged = False
        except peer.Missing as reason:
            self.server = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
            if not self.server:
                raise peer.Missing(f"{reason}; nor is Debian's nats-server installed") from reason
            packaged = True
        self.version = peer.first_line([self.server, "--version"]).split()[-1].removeprefix("v")
        major, minor = map(int, self.version.split(".")[:2])
        if self.durability == "flush" and (major, minor) < (2, 10):
            whose = "Debian's " if packaged else ""
            raise peer.Missing(f"{whose}nats-server {self.version} has no sync_interval: always, "
                               "which came with 2.10")

    def config(self):
        sync = "  sync_interval: always\n" if self.durability == "flush" else ""
        return (f"listen: {peer.HOST}:{self.port}\nserver_name: bench\n"
                f"jetstream {{\n  store_dir: {self.folder}/data\n{sync}}}\n")

    def start(self):
        self.port = peer.free_port()
        config = self.folder / "nats.conf"
        config.write_text(self.config(), encoding="utf-8")
        self.spawn([self.server, "--config", config])

    def answered(self):
        answer = peer.exchange(self.port, ACCOUNT_INFO,
                               lambda answer: answer.count(b"MSG ") and b"\r\n" in
                               answer.partition(b"MSG ")[2].partition(b"\r\n")[2])
        return b"account_info_response" in answer and b'"error"' not in answer

    @property
    def url(self):
        return f"nats://{peer.HOST}:{self.port}"


if __name__ == "__main__":
    peer.command(Nats)
