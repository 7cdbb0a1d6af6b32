#!/usr/bin/env python3
"""Groups whose members come, go and are killed for minutes, and whose broker is killed too.

    tests/history/churn.py [--minutes N] [--seed N] [--folder DIR]

Members of all the libraries there are, and producers with acks=all, go on all the while; in the end
the checker decides.  The seed is printed, and gives the same schedule again; what the machine makes
of its times is another matter.  It ends with 0 when the history is right.  SLUICED names the
program.
"""
import argparse
import pathlib
import random
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "broker"), str(TESTS / "clients")]
import group_libraries as libraries  # noqa: E402
import harness  # noqa: E402
from group_world import SETTINGS, World  # noqa: E402

PARTITIONS = 8
SLOTS = 4  # members of a group at most; never more than partitions
STEP_SECONDS = (0.2, 3.0)
BROKER_DOWN_SECONDS = (0.0, 2.0)
CALM_SECONDS = 10
# Longer than the broker is away: librdkafka, when it has given up its session, is fenced by itself.
STATIC_SESSION_MS = 8000
# Which libraries agree in one group.
GROUPS = {"range": libraries.RANGE,
          "cooperative": [libraries.JAVA_COOPERATIVE],
          "javascript": [libraries.KAFKAJS],
          "kcat": [libraries.KCAT],
          "consumer": [libraries.JAVA_CONSUMER, libraries.CONFLUENT_CONSUMER]}


class Schedule:
    """What happens when, from the seed alone: it does not look at how things go."""

    def __init__(self, seed, seconds, groups):
        self.chance = random.Random(seed)
        self.groups = groups
        self.slots = {(group, slot): None for group in groups for slot in range(SLOTS)}
        self.number = 0
        self.left = seconds

    def steps(self):
        """(seconds to wait before, what, arguments...)."""
        for group in self.groups:
            yield 0, *self.join((group, 0))
        while self.left > 0:
            wait = self.chance.uniform(*STEP_SECONDS)
            self.left -= wait
            kind = self.chance.choices(["member", "producer", "broker"], [12, 1, 1])[0]
            if kind == "member":
                yield wait, *self.change(self.chance.choice(sorted(self.slots)))
            elif kind == "producer":
                yield wait, "producer"
            else:
                down = self.chance.uniform(*BROKER_DOWN_SECONDS)
                self.left -= down
                yield wait, "broker", down
        for group in self.groups:
            if not any(self.slots[group, slot] for slot in range(SLOTS)):
                yield 0, *self.join((group, 0))

    def join(self, place, instance=None, after=None):
        library = self.slots[place].library if after else self.chance.choice(self.groups[place[0]])
        self.number += 1
        name = f"{place[0]}-{self.number}-{library.name}"
        if instance is None and library.static and self.chance.random() < 0.3:
            instance = f"instance-{place[0]}-{self.number}"
        self.slots[place] = Member(library, name, instance)
        return "join", place[0], library, name, instance, after

    def change(self, place):
        member = self.slots[place]
        if member is None:
            return self.join(place)
        kind = self.chance.choice(["leave", "kill", "again"])
        if kind == "again" and member.instance:
            return ("again", member.name, *self.join(place, member.instance, member.name)[1:])
        self.slots[place] = None
        return ("leave" if kind == "leave" else "kill"), member.name


class Member:
    def __init__(self, library, name, instance):
        self.library, self.name, self.instance = library, name, instance


class Churn:
    def __init__(self, world):
        self.world = world
        self.members = {}
        self.producers = 0

    def run(self, steps):
        for wait, what, *arguments in steps:
            self.rest(wait)
            words = [getattr(each, "name", each) for each in arguments]
            print(f"{what} {' '.join(map(str, words))}", flush=True)
            getattr(self, what)(*arguments)

    def rest(self, seconds):
        deadline = time.monotonic() + seconds
        while True:
            self.world.check_alive([*self.members.values(), *self.world.producers[-1:]])
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))

    def join(self, group, library, name, instance, after):
        options = {"instance": instance, "session_ms": STATIC_SESSION_MS} if instance else {}
        if after:
            options["after"] = after
        self.members[name] = self.world.member(library, name, group, **options)

    def leave(self, name):
        self.members.pop(name).leave()

    def kill(self, name):
        self.world.kill(self.members.pop(name))

    def again(self, former, group, library, *joining):
        if library.options.get("protocol") == "consumer":
            # An instance id that was not given back is held until its session ends.
            self.leave(former)
        else:
            self.kill(former)
        self.join(group, library, *joining)

    def producer(self):
        """A new one takes the place of the former, which is told to end."""
        if self.world.producers:
            self.world.producers[-1].leave(60)
        self.producers += 1
        self.world.producer(f"producer-{self.producers}", rate=1000)

    def broker(self, down_seconds):
        self.world.kill_broker()
        time.sleep(down_seconds)
        self.world.start_broker()


def run(folder, minutes, seed):
    """Raises AssertionError for a history that is wrong, or for one who ended by himself."""
    print(f"seed {seed}: churn.py --minutes {minutes} --seed {seed}", flush=True)
    there = {group: [each for each in wanted if each.there()] for group, wanted in GROUPS.items()}
    groups = {group: wanted for group, wanted in there.items() if wanted}
    with harness.Broker(settings=SETTINGS) as broker:
        with World(folder, broker, partitions=PARTITIONS) as world:
            churn = Churn(world)
            churn.producer()
            churn.run(Schedule(seed, minutes * 60, groups).steps())
            print(f"calm for {CALM_SECONDS} s", flush=True)
            world.calm(CALM_SECONDS)
            return world.judge()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--folder", help="for the logs, which are kept")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="churn-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run(folder, options.minutes, options.seed)
    except AssertionError as error:
        print(f"{error}\nseed {options.seed}, logs in {folder}")
        return 1
    print(f"right; logs in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
