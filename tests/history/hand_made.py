"""Histories made by hand: a dictionary of logs, each a list of events, and who has them judged."""
import copy
import json
import pathlib
import shutil
import tempfile
import unittest

import checker


def producer(name="p", records=(), **settings):
    """Starts and sends (number, partition); each is acknowledged as `acked` says."""
    events = [{"event": "start", "client": name, "acks": "all", "idempotent": True, **settings}]
    for number, partition in records:
        events.append({"event": "sent", "id": f"{name}:{number}", "topic": "t",
                       "partition": partition, "hash": 100 + number})
    return events


def acked(number, partition, offset, name="p"):
    return {"event": "acked", "id": f"{name}:{number}", "partition": partition, "offset": offset}


def member(name, **more):
    return {"event": "start", "client": name, "group": "g", "topics": ["t"], **more}


def owns(name, generation, *partitions, **more):
    return {"event": "owns", "group": "g", "member": name, "generation": generation,
            "partitions": [["t", each] for each in partitions], **more}


def fetched(partition, *records, name="p"):
    """Of (offset, number)."""
    return {"event": "fetched", "topic": "t", "partition": partition,
            "records": [[offset, f"{name}:{number}", 100 + number] for offset, number in records]}


def committed(partition, offset, result="ok", **more):
    return {"event": "committed", "group": "g", "offsets": [["t", partition, offset]],
            "result": result, **more}


def seen(partition, offset, **more):
    return {"event": "seen", "group": "g", "offsets": [["t", partition, offset]], **more}


def end(partition, offset, final=True):
    return {"event": "end", "topic": "t", "partition": partition, "offset": offset,
            "final": final}


def cut(**events):
    """After so many events of each log."""
    return {"event": "cut", "events": events}


def size(events):
    """Bytes of a log with these events."""
    return sum(len(json.dumps(event)) + 1 for event in events)


class Judged(unittest.TestCase):
    """`right` is the history that a test changes."""
    right = {}

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="history-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.history = copy.deepcopy(self.right)

    def write(self):
        """A cut that tells how many events of each log came before it is turned into bytes."""
        for name, events in self.history.items():
            for event in events:
                if "events" in event:
                    sizes = {f"{log}.jsonl": size(self.history[log][:count])
                             for log, count in event.pop("events").items()}
                    event.update(before=sizes, after=sizes)
            text = "".join(json.dumps(event) + "\n" for event in events)
            (self.folder / f"{name}.jsonl").write_text(text)

    def found(self):
        self.write()
        return checker.judge([self.folder])[1]

    def assert_right(self):
        self.assertEqual([str(each) for each in self.found()], [])

    def assert_breaks(self, *numbers):
        """Those rules, and each violation is proven."""
        found = self.found()
        self.assertEqual(sorted({each.rule for each in found}), sorted(numbers),
                         "\n".join(map(str, found)))
        for each in found:
            self.assertTrue(each.proof, each)
            for where in each.proof:
                self.assertIn('"event"', where.text())

    def change(self, log, before, *after):
        """Replaces an event of a log by others, or by none."""
        at = self.history[log].index(before)
        self.history[log][at:at + 1] = after

    def only(self, **logs):
        self.history = logs
