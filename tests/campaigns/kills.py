#!/usr/bin/env python3
"""kill -9 of a broker under load, hundreds of times.

    tests/campaigns/kills.py [--kills N] [--round N] [--seed N] [--folder DIR]

Unmodified clients go on all the while: a plain producer with acks=all, an idempotent one and
transactional ones, readers of what is committed, and a group.  The broker has its two I/O back ends
by turns, and at times it is killed before it is ready.  Rounds have other libraries each, data and
logs of their own, and are judged when they end; what was wrong keeps its logs.  It ends with 0 when
all rounds were right.  SLUICED names the program.
"""
import argparse
import collections
import pathlib
import random
import shutil
import sys
import tempfile
import time

from load import LOADS, SETTINGS, LoadedWorld, text, told  # first: it finds the others
import harness

BACK_ENDS = ("uring", "sync")
UP_SECONDS = (0.2, 2.5)
DOWN_SECONDS = (0.0, 0.2)
EARLY = 0.15  # of the starts are killed before they are ready
EARLY_SECONDS = (0.0, 0.5)
CALM_SECONDS = 6
ROUND_KILLS = 50


class Round:
    def __init__(self, world, seed):
        self.world, self.chance = world, random.Random(seed)
        self.kills, self.early = 0, 0

    def run(self, kills):
        while self.kills < kills:
            self.world.rest(self.chance.uniform(*UP_SECONDS))
            self.world.kill_broker()
            self.kills += 1
            time.sleep(self.chance.uniform(*DOWN_SECONDS))
            self.next_back_end()
            if self.kills < kills and self.chance.random() < EARLY:
                self.kill_early()
            self.world.start_broker()

    def next_back_end(self):
        broker = self.world.broker
        broker.io = BACK_ENDS[(BACK_ENDS.index(broker.io) + 1) % len(BACK_ENDS)]

    def kill_early(self):
        self.world.broker.start(wait=False)
        time.sleep(self.chance.uniform(*EARLY_SECONDS))
        self.world.kill_broker()
        self.kills += 1
        self.early += 1


def run_round(folder, load, kills, seed, calm_seconds=CALM_SECONDS):
    """What it has seen.  Raises AssertionError for a history that is wrong, or for one who ended by
    himself."""
    folder.mkdir(parents=True)
    with harness.Broker(settings=SETTINGS, io=BACK_ENDS[seed % len(BACK_ENDS)]) as broker:
        with LoadedWorld(folder, broker, seed=seed) as world:
            world.begin(load)
            this = Round(world, seed)
            this.run(kills)
            history = world.end(calm_seconds)
    return told(history, **{"kills": this.kills, "of these before ready": this.early})


def run(folder, kills, round_kills, seed):
    """Whether all rounds were right."""
    loads = [load for load in LOADS if load.there()]
    total, wrong, begun, number, done = collections.Counter(), 0, time.monotonic(), 0, 0
    while done < kills:
        load = loads[number % len(loads)]
        number += 1
        place = folder / f"round-{number}"
        count = min(round_kills, kills - done)
        done += count
        what = f"round {number}: {load}, seed {seed + number}"
        try:
            total += run_round(place, load, count, seed + number)
        except AssertionError as error:
            wrong += 1
            print(f"{what}: WRONG, logs in {place}\n{error}", flush=True)
            continue
        shutil.rmtree(place)
        print(f"{what}: right; so far {text(total)} in {time.monotonic() - begun:.0f} s",
              flush=True)
    print(f"{number} rounds, {wrong} of them wrong", flush=True)
    return wrong == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--round", type=int, default=ROUND_KILLS, help="kills of a round")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--folder", help="for the logs of rounds that were wrong")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="kills-"))
    print(f"kills.py --kills {options.kills} --round {options.round} --seed {options.seed}",
          flush=True)
    return 0 if run(folder, options.kills, options.round, options.seed) else 1


if __name__ == "__main__":
    sys.exit(main())
