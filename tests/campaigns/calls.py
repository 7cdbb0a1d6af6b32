#!/usr/bin/env python3
"""Each call of a broker fails, one after the other.

    tests/campaigns/calls.py [--kinds KIND,...] [--io sync|uring] [--modes once,on] [--each N]
        [--first N] [--workers N] [--folder DIR]

Tells a story (story.py) once to count a broker's calls of each kind: opens, writes, flushes, reads,
allocations of memory, operations of io_uring, ...  Then it tells it again and again; the first call
of a kind fails, then the second, and so on: alone (once), or with all that follow (on).  Whatever
fails: what was acknowledged is there when the fault is over, the broker goes on or ends with a
message, and it never ends by a signal.  --each 7 takes every seventh call.  It ends with 0 when all
stories were right.  SLUICED names the program.
"""
import argparse
import collections
import concurrent.futures
import ctypes
import errno
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import story  # first: it finds the others
import harness
from story import Story

HERE = pathlib.Path(__file__).resolve().parent
HEAD = struct.Struct("<5Q")
NONE = (1 << 64) - 1
ERRORS = {"allocate": errno.ENOSPC, "accept": errno.EMFILE, "receive": errno.ECONNRESET,
          "send": errno.ECONNRESET, "map": errno.ENOMEM, "allocation": errno.ENOMEM,
          "library_allocation": errno.ENOMEM}
MEMORY = ("allocation", "library_allocation", "map")
TICK_SECONDS = 10
COUNTS = {"once": 1, "on": NONE}


def build(folder):
    path = pathlib.Path(folder) / "failing_calls.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(path),
                    str(HERE / "failing_calls.c"), "-ldl"], check=True)
    return path


def kinds_of(library):
    """Their names, in the order of their counters."""
    text = (ctypes.c_char * 4096).in_dll(ctypes.CDLL(str(library)), "failing_calls_kinds").value
    return text.decode().split()


class Control:
    """The file that the library maps, see struct control in failing_calls.c."""

    def __init__(self, path, kinds):
        self.path, self.kinds = path, kinds
        path.write_bytes(HEAD.pack(NONE, 0, 0, 0, 0) + bytes(8 * len(kinds)))

    def arm(self, kind, first, count):
        error = ERRORS.get(kind, errno.EIO)
        self._write(HEAD.pack(self.kinds.index(kind), first, count, error, 0))

    def disarm(self):
        self._write(struct.pack("<Q", NONE))

    def _write(self, data):
        with open(self.path, "r+b") as file:
            file.write(data)

    def failed(self):
        """How many calls have."""
        return HEAD.unpack(self.path.read_bytes()[:HEAD.size])[4]

    def calls(self):
        rows = struct.unpack(f"<{len(self.kinds)}Q", self.path.read_bytes()[HEAD.size:])
        return dict(zip(self.kinds, rows))


class Told:
    """What a story came to."""

    def __init__(self, control, told):
        self.calls, self.failed = control.calls(), control.failed()
        self.refused, self.ended = told.refused, told.ended


class Campaign:
    def __init__(self, folder, io):
        self.folder, self.io = folder, io
        self.library = build(folder)
        self.kinds = kinds_of(self.library)

    def tell(self, fault=None):
        """One story; `fault`: kind, first, count.  AssertionError: something was wrong, and its
        folder is kept."""
        place = pathlib.Path(tempfile.mkdtemp(prefix="story-", dir=self.folder))
        (place / "data").mkdir()
        control = Control(place / "control", self.kinds)
        if fault:
            control.arm(*fault)
        environment = {"LD_PRELOAD": str(self.library), "FAILING_CALLS": str(control.path),
                       "FAILING_FOLDER": str(place / "data")}
        try:
            with harness.Broker(data=place / "data", io=self.io, env=environment,
                                settings=story.SETTINGS, start=False) as broker:
                this = Story(place, broker, faulty=fault is not None)
                this.tell()
                told = Told(control, this)
                control.disarm()
                this.judge()
        except AssertionError as error:
            raise AssertionError(f"{place}: {error}") from error
        shutil.rmtree(place)
        return told

    def wanted(self, kinds, modes, each, first=0):
        """(kind, number, mode) of every call that fails; a story without a fault has to be right
        first."""
        calm = self.tell()
        assert not calm.refused and not calm.ended, f"without a fault: {vars(calm)}"
        print(f"{self.io}: calls of a story: " + ", ".join(
            f"{count} {kind}" for kind, count in calm.calls.items() if count and kind in kinds),
            flush=True)
        return [(kind, number, mode) for mode in modes for kind in kinds
                for number in range(first, calm.calls[kind], each)]

    def try_one(self, fault):
        """What came of it, or what was wrong."""
        kind, number, mode = fault
        try:
            return self.tell((kind, number, COUNTS[mode]))
        except AssertionError as error:
            return error

    def run(self, faults, workers):
        """Whether all was right."""
        begun = told_at = time.monotonic()
        total, wrong = collections.Counter(), 0
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            for at, told in enumerate(pool.map(self.try_one, faults), 1):
                what = "{} {} {}".format(*faults[at - 1])
                if isinstance(told, AssertionError):
                    wrong += 1
                    print(f"WRONG: {what}: {told}", flush=True)
                    continue
                total.update({
                    "stories": 1, "calls failed": told.failed,
                    "stories without a failed call": told.failed == 0,
                    "requests refused": told.refused, "ends of the broker": len(told.ended)})
                if time.monotonic() - told_at > TICK_SECONDS or at == len(faults):
                    told_at = time.monotonic()
                    print(f"  {at} of {len(faults)}, {what}, {wrong} wrong; "
                          + ", ".join(f"{count} {name}" for name, count in total.items())
                          + f"; {told_at - begun:.0f} s", flush=True)
        return wrong == 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", type=lambda text: text.split(","),
                        help="of calls; else all but those of memory; `memory`: those")
    parser.add_argument("--io", choices=["sync", "uring"], default="sync")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=list(COUNTS))
    parser.add_argument("--each", type=int, default=1, help="of so many calls one fails")
    parser.add_argument("--first", type=int, default=0, help="the first call that fails (0)")
    parser.add_argument("--workers", type=int, default=3, help="stories told side by side")
    parser.add_argument("--folder", help="for stories that went wrong")
    return parser.parse_args()


def main():
    options = parse()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="calls-"))
    folder.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(folder, options.io)
    kinds = options.kinds or [kind for kind in campaign.kinds if kind not in MEMORY]
    if kinds == ["memory"]:
        kinds = list(MEMORY)
    if unknown := set(kinds) - set(campaign.kinds):
        sys.exit(f"calls.py: no kind {unknown}; there are: {', '.join(campaign.kinds)}")
    faults = campaign.wanted(kinds, options.modes, options.each, options.first)
    return 0 if campaign.run(faults, options.workers) else 1


if __name__ == "__main__":
    sys.exit(main())
