"""sluiced on a port of DPDK, and clients on the other side of its link.

Broker and clients are processes in network namespaces of a link's own; a side is the beginning of
a command that is to run there.
"""

import collections
import concurrent.futures
import glob
import json
import re
import shutil
import socket
import subprocess

import harness
from sluices import sluice_program

TEXT_BYTES = 3 << 20
PARTITIONS = 6
CLIENT_SECONDS = 60

Text = collections.namedtuple("Text", "path values")


class PortBroker(harness.Broker):
    """No kernel socket takes datagrams: what arrives over udp:// came through the port."""

    def __init__(self, side, address, vdev, settings=None, shards=2):
        super().__init__(
            shards=shards,
            prefix=side,
            args=["--vdev", vdev],
            port=9092,
            settings={
                "datagram.listen": "none",
                "dpdk.telemetry": "true",
                "num.partitions": PARTITIONS,
                **(settings or {}),
            },
            start=False,
        )
        self.host = address
        # DPDK keeps its files, the telemetry socket among them, under this.
        self.env["RUNTIME_DIRECTORY"] = self.logs
        try:
            self.start()
        except BaseException:
            print(self.log()[-4000:])
            self.discard()
            raise

    def port_line(self):
        """What the device turned out to be."""
        [line] = [line for line in self.log().splitlines() if "network: port device=" in line]
        return dict(re.findall(r"(\w+)=(\S+)", line))

    def telemetry(self, command):
        [path] = glob.glob(f"{self.logs}/dpdk/*/dpdk_telemetry.v2")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asker:
            asker.settimeout(harness.ANSWER_SECONDS)
            asker.connect(path)
            asker.recv(1 << 14)
            asker.send(command.encode())
            return json.loads(asker.recv(1 << 14))[command.partition(",")[0]]

    def counters(self):
        """The port's statistics, all shards together."""
        return self.telemetry(f"/sluice/port,{self.port_line()['device']}")

    def last_counters(self):
        """The same from the log of a broker that has ended: what is not zero, and hand-overs."""
        [line] = [line for line in self.log().splitlines() if "network: port counted" in line]
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line)}


class Client:
    """Commands on the far side of a port."""

    def __init__(self, side, address):
        self.side, self.address = list(side), address

    def sluice_words(self, scheme, *words):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return [*self.side, sluice_program(), "-b", f"{scheme}://{host}:9092", *map(str, words)]

    def kcat_words(self, *words):
        return [*self.side, "kcat", "-b", f"{self.address}:9092", *map(str, words)]

    def run(self, command, given=None):
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=CLIENT_SECONDS, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), (command, done.stderr[-2000:])
        return done.stdout

    def sluice(self, scheme, *words, given=None):
        return self.run(self.sluice_words(scheme, *words), given)

    def produce_words(self, scheme, topic, text):
        return self.sluice_words(scheme, "produce", topic, "-K", "\t", "-a", "all", text.path)

    def kcat_produce_words(self, topic, text):
        return self.kcat_words("-P", "-t", topic, "-K", "\t", "-X", "acks=all", "-l", text.path)

    def consumed(self, scheme, topic):
        return self.sluice(scheme, "consume", topic, "-e", "-f", "%p %s\\n")

    def kcat_consumed(self, topic):
        return self.run(
            self.kcat_words("-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", "%p %s\n")
        )


def judge(printed, values):
    """`printed`: partition, space, value a line.  Nothing lost, doubled, or out of order."""
    parts = {}
    for line in printed.split(b"\n")[:-1]:
        partition, _, value = line.partition(b" ")
        parts.setdefault(partition, []).append(value)
    for partition, found in parts.items():
        assert found == sorted(found), f"order within partition {partition}"
    assert sorted(sum(parts.values(), [])) == values
    assert len(parts) == PARTITIONS


def datagrams_under_load_of_tcp(broker, client, text):
    """Text goes in over datagrams while kcat loads the same port over TCP, and comes out again
    over either."""
    assert shutil.which("kcat"), "kcat is not installed"
    client.sluice("udp", "topic", "create", "datagrams", "stream", "-P", PARTITIONS)
    finish(
        [
            start(client.kcat_produce_words("stream", text)),
            start(client.produce_words("udp", "datagrams", text)),
        ]
    )
    # Again both at once, the other way.
    readers = [
        start(client.kcat_words("-C", "-t", "datagrams", "-e", "-q", "-f", "%p %s\n")),
        start(client.sluice_words("udp", "consume", "stream", "-e", "-f", "%p %s\\n")),
    ]
    for printed in finish(readers):
        judge(printed, text.values)
    judge(client.consumed("udp", "datagrams"), text.values)
    judge(client.consumed("tcp", "stream"), text.values)
    broker.check_alive()


def finish(processes):
    """All must end well; what each printed.  They run at once, so threads empty the pipes."""
    with concurrent.futures.ThreadPoolExecutor(len(processes)) as pool:
        try:
            waits = [pool.submit(each.communicate, timeout=CLIENT_SECONDS) for each in processes]
            done = [wait.result() for wait in waits]
        finally:
            end(processes)
    for process, (_, errors) in zip(processes, done):
        assert (process.returncode, errors) == (0, b""), (process.args, errors[-2000:])
    return [printed for printed, _ in done]


def start(words):
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(processes):
    for process in processes:
        process.kill()
        process.wait()


def hand_overs_are_counted(broker, client):
    """Datagrams arrive on their shard's queue where the device steers; elsewhere what does not is
    handed over, and shown by telemetry and at the end."""
    # A client has a flow to each shard; one of eight goes astray unless the device steers.
    for _ in range(8):
        client.sluice("udp", "produce", "flows", given=b"".join(b"%d\n" % n for n in range(600)))
    shown = broker.counters()
    assert shown["received_ours"] > 0
    if broker.port_line()["steering"] == "flow":
        assert shown["handed_over"] == 0
    else:
        assert shown["handed_over"] > 0
    broker.stop()
    assert broker.last_counters()["handed_over"] >= shown["handed_over"]
    assert (shown["handed_over"] == 0) == (broker.last_counters()["handed_over"] == 0)
