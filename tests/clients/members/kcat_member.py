"""A member of a group with kcat -G: what it prints is the log.

kcat commits by itself, at intervals, what it has read, and does not tell of it.  When it is told to
end it drops a record that it has just read, and commits it all the same.
"""
import re
import signal
import subprocess

from event_log import MemberLog, Stop, member_parser
from librdkafka_debug import Membership

REBALANCED = re.compile(r"% Group .* rebalanced \(memberid .*?\): (assigned|revoked): ?(.*)")
PLACE = re.compile(r"(\S+) \[(\d+)\]")
RECORD = "record\t%t\t%p\t%o\t%k\t%s\n"
BATCH = 200


class Member:
    def __init__(self, options):
        for name, wanted in [("protocol", "classic"), ("assignor", "range"), ("commit", "none")]:
            if getattr(options, name) != wanted:
                raise SystemExit(f"kcat has no {name} {getattr(options, name)}")
        self.options = options
        self.stop = Stop()
        self.log = MemberLog(options, "kcat")
        self.membership = Membership()
        self.places = set()  # owned now ...
        self.assigned_as = None, None  # ... as this member, in this generation
        instance = ["-X", f"group.instance.id={options.instance}"] if options.instance else []
        self.process = subprocess.Popen(
            ["stdbuf", "-oL", "kcat", "-b", options.brokers, "-G", options.group, "-E",
             "-d", "cgrp", "-f", RECORD, "-X", f"session.timeout.ms={options.session_ms}",
             "-X", "auto.offset.reset=earliest",
             "-X", f"heartbeat.interval.ms={options.session_ms // 10}",
             "-X", "auto.commit.interval.ms=200", "-X", f"client.id={options.name}",
             "-X", "partition.assignment.strategy=range", "-X", "reconnect.backoff.max.ms=500",
             *instance, *options.topics],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        signal.signal(signal.SIGTERM, lambda *_: self.process.terminate())
        if self.stop:
            self.process.terminate()

    def take(self, line):
        """Records and debugging come in one stream, each line whole and in its time."""
        if line.startswith(b"record\t"):
            _, topic, partition, offset, key, value = line.rstrip(b"\n").split(b"\t")
            self.log.take(topic.decode(), int(partition), int(offset), key, value)
            if self.log.count() >= BATCH:
                self.log.flush()
            return
        text = line.decode(errors="replace")
        found = REBALANCED.search(text)
        if found:
            self.log.flush()
            places = {(topic, int(number)) for topic, number in PLACE.findall(found[2])}
            self.owns(places if found[1] == "assigned" else set())
        else:
            self.membership.read(text)

    def owns(self, places):
        """A member that lost its session is not told of it in a line of its own, but whatever it is
        assigned is read anew."""
        if places and self.places:
            self.log.owns(set(), *self.assigned_as)
        self.places = places
        self.assigned_as = self.membership.member, self.membership.generation
        self.log.owns(places, *self.assigned_as)

    def run(self):
        for line in self.process.stdout:
            self.take(line)
            # Records are followed by a heartbeat's line soon.
            if not line.startswith(b"record\t"):
                self.log.flush()
        self.log.flush()
        self.owns(set())
        code = self.process.wait()
        if code not in (0, -signal.SIGTERM):
            raise SystemExit(f"kcat ended with {code}")
        self.log.stop()


if __name__ == "__main__":
    Member(member_parser().parse_args()).run()
