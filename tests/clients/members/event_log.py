"""What the drivers of Python libraries share: their options, and the log of tests/history."""
import argparse
import collections
import json
import os
import signal
import zlib

# What a broker says to a member that it does not count as one (any more), or not in this
# generation: a commit so answered was not taken.
REFUSALS = {"ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS",
            "FENCED_INSTANCE_ID", "FENCED_MEMBER_EPOCH", "STALE_MEMBER_EPOCH"}
FENCINGS = REFUSALS - {"REBALANCE_IN_PROGRESS"}
FENCED = 3  # a transformer's exit code


def member_parser():
    """Every driver of a member takes these; what its library lacks, it refuses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--topics", required=True, type=lambda text: text.split(","))
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--protocol", choices=["classic", "consumer"], default="classic")
    parser.add_argument("--assignor", choices=["range", "cooperative"], default="range")
    parser.add_argument("--instance")
    parser.add_argument("--commit", choices=["sync", "async", "none"], default="sync")
    parser.add_argument("--session-ms", type=int, default=6000)
    parser.add_argument("--after", default=[], type=lambda text: text.split(","))
    return parser


def transformer_parser():
    """A member that makes a record of another topic from each that it is given, in transactions.

    It ends with FENCED when its transactional id is not its own any more, or its producer at its
    end otherwise: then another one may begin where it was."""
    parser = member_parser()
    parser.add_argument("--output", required=True, help="the other topic")
    parser.add_argument("--partitions", type=int, required=True, help="of the output")
    parser.add_argument("--transactional-id", required=True)
    parser.add_argument("--transaction-timeout-ms", type=int, default=10000)
    parser.add_argument("--abort-every", type=int, default=0, help="one of so many transactions")
    parser.add_argument("--era", type=int, default=0, help="added to generations: those of a group"
                        " begin anew where it was empty and takes another protocol")
    return parser


def verifier_parser():
    """A reader of whole topics, which reads on until SIGTERM and asks for last stable offsets."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topics", required=True, type=lambda text: text.split(","))
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--isolation", default="read_committed",
                        choices=["read_committed", "read_uncommitted"])
    return parser


class Stop:
    """True once SIGTERM has come.  It is made before the log, whose first line says that a
    SIGTERM will be heeded."""

    def __init__(self):
        self.asked = False
        signal.signal(signal.SIGTERM, self.ask)

    def ask(self, *_):
        self.asked = True

    def __bool__(self):
        return self.asked


class EventLog:
    """One write a line, and none is held back: kill -9 leaves what was logged."""

    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def write(self, *events):
        text = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
        os.write(self.file, text.encode())


def seen_event(group, offsets, **more):
    """Of (topic, partition, offset); None and what is negative say that nothing is committed."""
    rows = [[topic, partition, -1 if offset is None or offset < 0 else offset]
            for topic, partition, offset in offsets]
    return {"event": "seen", "group": group, "offsets": rows, **more}


class RecordLog(EventLog):
    """What a reader has been given and has not logged yet."""

    def __init__(self, path):
        super().__init__(path)
        self.given = collections.defaultdict(list)
        self.positions = {}  # behind it, by (topic, partition)

    def take(self, topic, partition, offset, key, value):
        """A record that the library has given to the reader."""
        content = zlib.crc32((key or b"") + (value or b""))
        self.given[topic, partition].append(
            [offset, (value or b"").split(b" ", 1)[0].decode(), content])
        self.positions[topic, partition] = offset + 1

    def count(self):
        return sum(map(len, self.given.values()))

    def flush(self):
        """Logs what was taken; returns what to commit for it."""
        self.write(*({"event": "fetched", "topic": topic, "partition": partition,
                      "records": records} for (topic, partition), records in self.given.items()))
        self.given.clear()
        positions, self.positions = self.positions, {}
        return positions


class MemberLog(RecordLog):
    """A member's: also what it owns, and what became of its commits."""

    def __init__(self, options, library, **more):
        super().__init__(options.log)
        self.options = options
        self.owned = set()
        self.write({"event": "start", "client": options.name, "library": library,
                    "group": options.group, "topics": options.topics,
                    "protocol": options.protocol, "assignor": options.assignor,
                    "commit": "none" if options.commit == "none" else "after",
                    "after": options.after, **more})

    def owns(self, partitions, member, generation):
        self.owned = set(partitions)
        event = {"event": "owns", "group": self.options.group, "member": member,
                 "generation": generation, "partitions": sorted(map(list, self.owned))}
        if self.options.instance:
            event["instance"] = self.options.instance
        self.write(event)

    def seen(self, offsets):
        self.write(seen_event(self.options.group, offsets))

    def committed(self, positions, error, generation):
        """The answer to a commit; `error` is the name of its code, or None."""
        result = "ok" if error is None else "refused" if error in REFUSALS else "unknown"
        event = {"event": "committed", "group": self.options.group, "result": result,
                 "generation": generation,
                 "offsets": [[*place, offset] for place, offset in positions.items()]}
        if error:
            event["error"] = error
        self.write(event)
        if error in FENCINGS:
            self.fenced(error, generation)

    def fenced(self, error, generation):
        self.write({"event": "fenced", "group": self.options.group, "error": str(error),
                    "generation": generation})

    def stop(self):
        self.write({"event": "stop"})
