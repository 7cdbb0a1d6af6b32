"""What a start finds in a folder: by recover.c, hundreds a second, or asked of a broker that runs."""

import signal
import subprocess
import threading
import time

import groups
from oracle import COMPACTED, ROW, TRANSACTED, Report, committed_in, stored
from transactional import committed_values

SECONDS_MAX = 60
SETTLE_SECONDS = 20


class Recover:
    """One process for many folders; a new one after one that it did not survive."""

    def __init__(self, program):
        self.program = program
        self.process = None

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def report(self, folder):
        if not self.process:
            self.process = subprocess.Popen(
                [self.program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        report = Report()
        hangs = threading.Timer(SECONDS_MAX, self.process.kill)
        hangs.start()
        try:
            self.process.stdin.write(folder.encode() + b"\n")
            self.process.stdin.flush()
            while not self._take(report):
                pass
        except (BrokenPipeError, EOFError):
            code = self.process.wait()
            self.process = None
            how = signal.Signals(-code).name if code < 0 else f"code {code}"
            report.refused = f"the start ended by {how}"
        finally:
            hangs.cancel()
        return report

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise EOFError
        return line.decode().rstrip("\n")

    def _exactly(self, size):
        data = self.process.stdout.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _take(self, report):
        """One line; true for the last."""
        word, _, rest = self._line().partition(" ")
        words = rest.split(" ")
        if word == "refused":
            report.refused = rest
        elif word == "cluster":
            report.cluster, report.run, report.producer = words[0], int(words[1]), int(words[2])
        elif word == "topic":
            report.topics[words[1]] = words[0], int(words[2])
        elif word == "log":
            rows = self._exactly(int(words[4]))
            report.logs[words[0], int(words[1])] = int(words[2]), int(words[3]), rows
        elif word == "records":
            raw = self._exactly(int(words[2]))
            if report.topics[words[0]][0] == COMPACTED:
                report.keyed = raw
            else:
                report.offsets.update(committed_in(raw))
        elif word == "wrong":
            report.wrong.append(rest)
        return word == "end"


def ask_broker(connection, facts):
    """A report as any client could make it; of the offsets those that `facts` ask about."""
    report = Report()
    body = connection.request("Metadata", 10, topics=None)
    report.cluster = body["cluster_id"]
    for topic in body["topics"]:
        topic_id = topic["topic_id"].hex()
        report.topics[topic_id] = topic["name"], len(topic["partitions"])
        for partition in range(len(topic["partitions"])):
            start = connection.list_offset(topic["name"], partition, -2)["offset"]
            end = connection.list_offset(topic["name"], partition, -1)["offset"]
            found = connection.read_all(topic["name"], partition)
            if topic["name"] == COMPACTED:
                report.keyed = b"".join(batch.raw for batch in found)
            rows = b"".join(
                ROW.pack(batch.base_offset, *stored(batch.raw), batch.attributes)
                for batch in found
            )
            report.logs[topic_id, partition] = start, end, rows
    report.visible = visible(connection, facts.committed, report.topics.values())
    for group, topic, partition in facts.offsets:
        groups.wait_ready(connection, group)
        got = groups.committed(connection, group, topic, partition)
        report.offsets[group, topic, partition] = got
    return report


def visible(connection, wanted, topics):
    """Values of committed transactions; waits a while for those that are wanted, as the coordinator
    may have markers to write."""
    [count] = [partitions for name, partitions in topics if name == TRANSACTED]
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        found = {
            value
            for partition in range(count)
            for value in committed_values(connection, TRANSACTED, partition)
        }
        if wanted <= found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)
