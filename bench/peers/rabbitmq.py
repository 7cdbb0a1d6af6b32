#!/usr/bin/env python3
"""RabbitMQ streams: Debian's rabbitmq-server, a node of its own with an epmd of its own."""
import os
import pathlib
import re
import socket
import sys

if not __package__:  # run as a command
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from peers import peer

SERVER = pathlib.Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
PLUGINS = pathlib.Path("/usr/lib/rabbitmq/lib")


def epmd_answers(port):
    """Whether it lists the names it knows (request 110: NAMES)."""
    return len(peer.exchange(port, b"\x00\x01n", lambda answer: len(answer) >= 4)) >= 4


class RabbitMq(peer.Peer):
    name = driver = "rabbitmq"
    durabilities = ("default",)
    never = "its streams are never flushed before they are confirmed; no setting makes them"
    settings = ("the stream plugin alone", "as many schedulers as cores",
                "no memory or disk alarm below 200 MB free")

    def find(self):
        self.epmd = peer.program("epmd", "rabbitmq-server")
        if not SERVER.is_file():
            raise peer.Missing("rabbitmq-server is not installed (Debian package rabbitmq-server)")
        found = [path.name for path in PLUGINS.glob("rabbitmq_server-*/plugins/rabbitmq_stream-*")]
        if not found:
            raise peer.Missing("this rabbitmq-server has no stream plugin, which came with 3.9")
        self.version = re.sub(r"^rabbitmq_stream-|\.ez$", "", found[0])

    def config(self):
        return (f"listeners.tcp.1 = {peer.HOST}:{self.port}\n"
                f"stream.listeners.tcp.1 = {peer.HOST}:{self.stream_port}\n"
                f"stream.advertised_host = {peer.HOST}\n"
                f"stream.advertised_port = {self.stream_port}\n"
                "disk_free_limit.absolute = 200MB\n"
                "log.console = true\nlog.console.level = warning\nlog.file = false\n")

    def start(self):
        self.port, self.stream_port = peer.free_port(), peer.free_port()
        epmd_port, distribution_port = peer.free_port(), peer.free_port()
        config, plugins = self.folder / "rabbitmq.conf", self.folder / "enabled_plugins"
        config.write_text(self.config(), encoding="utf-8")
        plugins.write_text("[rabbitmq_stream].\n", encoding="utf-8")
        self.spawn([self.epmd, "-port", epmd_port, "-address", peer.HOST])
        count = len(self.cores)
        self.spawn([SERVER], ERL_EPMD_PORT=str(epmd_port), ERL_EPMD_ADDRESS=peer.HOST,
                   RABBITMQ_NODENAME=f"bench-{os.getpid()}-{self.port}@localhost",
                   RABBITMQ_DIST_PORT=str(distribution_port), RABBITMQ_CONFIG_FILE=str(config),
                   RABBITMQ_ENABLED_PLUGINS_FILE=str(plugins),
                   RABBITMQ_MNESIA_BASE=f"{self.folder}/data",
                   RABBITMQ_LOG_BASE=f"{self.folder}/logs", RABBITMQ_LOGS="-",
                   RABBITMQ_CONF_ENV_FILE="/dev/null",
                   RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=f"+S {count}:{count} -start_epmd false "
                   "-kernel inet_dist_use_interface {127,0,0,1}")

    def answered(self):
        greeting = peer.exchange(self.port, b"AMQP\x00\x00\x09\x01",
                                 lambda answer: len(answer) >= 8)
        return greeting[:1] == b"\x01" and self.streams()

    def streams(self):
        """The plugin listens after AMQP does."""
        with socket.socket() as probe:
            return probe.connect_ex((peer.HOST, self.stream_port)) == 0

    @property
    def url(self):
        return f"amqp://guest:guest@{peer.HOST}:{self.port}"


if __name__ == "__main__":
    peer.command(RabbitMq)
