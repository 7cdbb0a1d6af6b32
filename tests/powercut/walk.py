"""Through a recording, entry by entry: the disk and the facts of a cut at each point.

A recording is a folder with `oplog`, and with `begin.json` where it began on what a cut of another
recording had left.
"""

import json
import random
from pathlib import Path

import oplog
from disk import Disk, Fixed, Sample
from oracle import Facts

FIXED = {
    "none": Fixed(names=False, contents=False),
    "all": Fixed(names=True, contents=True),
    "names": Fixed(names=True, contents=False),
    "contents": Fixed(names=False, contents=True),
}


def chooser_of(variant, seed, point):
    """What the cut leaves; always the same."""
    return FIXED.get(variant) or Sample(random.Random(f"{seed}/{point}/{variant}"))


class Walk:
    def __init__(self, recording):
        self.entries = oplog.read(Path(recording) / "oplog")
        self.changes = sum(entry.on_disk for entry in self.entries)
        begin = Path(recording) / "begin.json"
        if begin.exists():
            self.disk, self.facts = begun_on(**json.loads(begin.read_text("ascii")))
        else:
            self.disk, self.facts = Disk(), Facts()

    def points(self):
        """Numbers of the entries that a cut comes right before."""
        for index, entry in enumerate(self.entries):
            if entry.on_disk:
                yield index
                self.disk.apply(entry)
            else:
                self.facts.take(entry)
        yield len(self.entries)

    def go_to(self, point):
        for at in self.points():
            if at == point:
                return self
        raise ValueError(f"no cut comes before entry {point}")


def begun_on(recording, seed, point, variant):
    """Disk and facts after a cut of another recording."""
    walk = Walk(recording).go_to(point)
    walk.facts.begin_anew()
    return walk.disk.after_cut(chooser_of(variant, seed, point)), walk.facts
