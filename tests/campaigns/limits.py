#!/usr/bin/env python3
"""Descriptors and memory run out under load, and are given back, in turns.

    tests/campaigns/limits.py [--limits LIMIT,...] [--turns N] [--seed N] [--folder DIR]

While clients go on, a running broker gets a limit a little above what it holds: of its descriptors,
of its address space (RLIMIT_NOFILE, RLIMIT_AS), or of a control group's memory where root can make
one.  Others press it: with connections, topics, large requests, members of groups.  It may refuse,
and it may end, but not without a word; only the kernel's out-of-memory killer takes it without one.
When the limit is lifted everybody goes on, without a restart where it did not end.  The checker
judges; it ends with 0 when all was right.  SLUICED names the program.
"""
import argparse
import collections
import contextlib
import os
import pathlib
import random
import re
import resource
import sys
import tempfile
import time

from load import LOADS, SETTINGS, LoadedWorld, text, told, verdict  # it finds the others
import groups
import harness
from harness import Refused
from records import batch
from story import LOST, WORD

PRESS_SECONDS = 4
ANSWER_SECONDS = 2
KILLED = -9
MORE_DESCRIPTORS = (0, 1, 3, 8)
MORE_BYTES = (0, 1 << 20, 8 << 20)
PRESSED = "pressed"  # a topic that nobody judges


# ---- limits ----


@contextlib.contextmanager
def limited(broker, what, value):
    """A soft limit on the running process."""
    former = resource.prlimit(broker.pid, what)
    resource.prlimit(broker.pid, what, (value, former[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(broker.pid, what, former)


def descriptors(broker, chance):
    # A limit is of numbers, and those below it may be free.
    highest = max(int(name) for name in os.listdir(f"/proc/{broker.pid}/fd"))
    return limited(broker, resource.RLIMIT_NOFILE, highest + 1 + chance.choice(MORE_DESCRIPTORS))


def address_space(broker, chance):
    with open(f"/proc/{broker.pid}/status", encoding="ascii") as file:
        size = int(re.search(r"VmSize:\s*(\d+) kB", file.read())[1]) << 10
    return limited(broker, resource.RLIMIT_AS, size + chance.choice(MORE_BYTES))


class ControlGroup:
    """Of version 1 or 2, whichever holds memory here; None where none can be made."""

    def __init__(self):
        self.path = None
        for base, limit, usage in (
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
                ("/sys/fs/cgroup", "memory.max", "memory.current")):
            path = pathlib.Path(base) / f"sluice-{os.getpid()}"
            try:
                path.mkdir()
            except OSError:
                continue
            if (path / limit).exists():
                self.path, self.limit, self.usage = path, path / limit, path / usage
                return
            path.rmdir()

    @contextlib.contextmanager
    def limited(self, broker, chance):
        (self.path / "cgroup.procs").write_text(str(broker.pid), "ascii")
        # What it has used before counts elsewhere: this is what it may use from now on.
        size = int(self.usage.read_text("ascii")) + (4 << 20) + chance.choice(MORE_BYTES)
        self.limit.write_text(str(size), "ascii")
        try:
            yield
        finally:
            self.limit.write_text(str(1 << 40), "ascii")
            with contextlib.suppress(OSError):
                (self.path.parent / "cgroup.procs").write_text(str(broker.pid), "ascii")

    def remove(self):
        if self.path:
            with contextlib.suppress(OSError):
                self.path.rmdir()


# ---- pressure ----


class Pressure:
    """Whatever takes descriptors and memory; what is refused is counted."""

    def __init__(self, broker, number):
        self.broker, self.number = broker, number
        self.held = []
        self.refused = self.taken = 0

    def press(self, deadline):
        steps = [self.connect, self.topic, self.large, self.member, self.half]
        turn = 0
        while time.monotonic() < deadline and self.broker.process.poll() is None:
            try:
                steps[turn % len(steps)](turn)
                self.taken += 1
            except (Refused, *LOST):
                self.refused += 1
                time.sleep(0.02)
            turn += 1
        for each in self.held:
            each.close()

    def connection(self):
        connection = self.broker.connect(timeout=ANSWER_SECONDS)
        self.held.append(connection)
        return connection

    def connect(self, _turn):
        for _ in range(5):
            self.connection()

    def topic(self, turn):
        self.connection().create_topic(f"{PRESSED}-{self.number}-{turn}", 4,
                                       {"segment.bytes": 1 << 20})

    def large(self, _turn):
        connection = self.connection()
        connection.create_topic_if_missing(PRESSED)
        connection.produce_batch(PRESSED, 0, batch([b"x" * 900_000]))

    def half(self, _turn):
        """A request that never ends holds what it has come to."""
        self.connection().send_bytes((4 << 20).to_bytes(4, "big") + bytes(1 << 20))

    def member(self, turn):
        groups.send_join(self.connection(), f"pressed-{turn}", version=3,
                         protocols=[("range", b"m" * 500_000)])


# ---- turns ----


class LimitedWorld(LoadedWorld):
    def __init__(self, folder, broker, seed):
        super().__init__(folder, broker, seed=seed)
        self.seen = collections.Counter()

    def turn(self, limit, number):
        with limit(self.broker, self.chance):
            pressure = Pressure(self.broker, number)
            pressure.press(time.monotonic() + PRESS_SECONDS)
        self.seen.update({"pressing requests": pressure.taken, "refused": pressure.refused})
        return self.survived()

    def survived(self):
        """Whether it has not ended; if it has, it is started again."""
        if self.broker.process.poll() is None:
            return True
        self.seen["ends of the broker"] += 1
        log = self.broker.log()
        code = self.broker.wait_exit()
        assert code == KILLED or (code > 0 and WORD.search(log)), f"ended with {code}:\n{log[-3000:]}"
        self.start_broker()
        return False


def limits_there(group):
    found = {"descriptors": descriptors, "address_space": address_space}
    if group.path:
        found["cgroup"] = group.limited
    return found


def run(folder, turns, seed, wanted=None, load=LOADS[0]):
    """What was seen.  Raises AssertionError for what was wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        group = ControlGroup()
        stack.callback(group.remove)
        limits = limits_there(group)
        names = [name for name in wanted or limits if name in limits]
        broker = stack.enter_context(harness.Broker(settings=SETTINGS))
        world = stack.enter_context(LimitedWorld(folder, broker, seed))
        world.begin(load)
        for number in range(turns):
            name = names[number % len(names)]
            survived = world.turn(limits[name], number)
            print(f"turn {number + 1}: {name}: {'went on' if survived else 'ended, started again'}; "
                  f"so far {text(world.seen)}", flush=True)
            world.wait_going_on()
        return told(world.end(), turns=turns, **world.seen)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=lambda value: value.split(","),
                        help="of descriptors, address_space, cgroup; else all that there are")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--folder", help="for the logs, which are kept")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="limits-"))
    print(f"limits.py --turns {options.turns} --seed {options.seed}", flush=True)
    return verdict(folder, lambda: run(folder, options.turns, options.seed, options.limits))


if __name__ == "__main__":
    sys.exit(main())
