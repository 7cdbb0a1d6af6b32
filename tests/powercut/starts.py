"""What a start finds in a folder: by recover.c, hundreds a second, or asked of a broker that runs."""

import signal
import subprocess
import threading

import groups
from oracle import ROW, Report, committed_in, stored

SECONDS_MAX = 60


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
            report.wrong.append(f"the start ended by {how}")
        finally:
            hangs.cancel()
        return report

    def _line(self):
        line = self.process.stdout.readline()
        if not line:
            raise EOFError
        return line.decode().rstrip("\n")

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
            rows = self.process.stdout.read(int(words[4]))
            report.logs[words[0], int(words[1])] = int(words[2]), int(words[3]), rows
        elif word == "records":
            report.offsets.update(committed_in(self.process.stdout.read(int(words[2]))))
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
            rows = b"".join(
                ROW.pack(batch.base_offset, *stored(batch.raw), 0)
                for batch in connection.read_all(topic["name"], partition)
            )
            report.logs[topic_id, partition] = start, end, rows
    for group, topic, partition in facts.offsets:
        groups.wait_ready(connection, group)
        got = groups.committed(connection, group, topic, partition)
        report.offsets[group, topic, partition] = got
    return report
