#!/usr/bin/env python3
"""Redis Streams: Debian's redis-server, with its append-only file."""
import pathlib
import sys

if not __package__:  # run as a command
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from peers import peer


class Redis(peer.Peer):
    name = driver = "redis"
    settings = ("append-only file on, as without it nothing is stored",
                "default: appendfsync everysec; flush: appendfsync always",
                "no snapshots (save \"\") and no rewriting of the file while it is measured",
                "io-threads: one a core where it has four cores and more, else 1")

    def find(self):
        self.server = peer.program("redis-server", "redis-server")
        words = peer.first_line([self.server, "--version"]).split()
        self.version = dict(word.split("=", 1) for word in words if "=" in word)["v"]

    def config(self):
        threads = len(self.cores) if len(self.cores) >= 4 else 1
        return (f"bind {peer.HOST}\nport {self.port}\ndir {self.folder}\ndaemonize no\n"
                f"io-threads {threads}\nsave \"\"\nappendonly yes\n"
                f"appendfsync {'always' if self.durability == 'flush' else 'everysec'}\n"
                "auto-aof-rewrite-percentage 0\n")

    def start(self):
        self.port = peer.free_port()
        config = self.folder / "redis.conf"
        config.write_text(self.config(), encoding="utf-8")
        self.spawn([self.server, config])

    def answered(self):
        return peer.exchange(self.port, b"PING\r\n",
                             lambda answer: answer.endswith(b"\r\n")) == b"+PONG\r\n"

    @property
    def url(self):
        return f"{peer.HOST}:{self.port}"


if __name__ == "__main__":
    peer.command(Redis)
