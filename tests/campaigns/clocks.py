#!/usr/bin/env python3
"""The wall clock steps, a year on and a day back, under load.

    tests/campaigns/clocks.py [--steps N] [--seed N] [--folder DIR]

A broker's wall clock is set again and again while clients go on: producers of all kinds, two that
send the same message ids into a topic with a dedup window, of which one stands still at times,
members with transactions and a group, and a topic whose retention looks at the clock.  At times the
broker is killed after a step, and starts with the new time.  Nothing but what retention may take may
be missing, nothing may be there twice, and everybody goes on.  The checker judges; it ends with 0
when all was right.  SLUICED names the program.
"""
import argparse
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from load import LOADS, SETTINGS, LoadedWorld, told, verdict  # first: it finds the others
import harness
from confluent_kafka.admin import AdminClient, NewTopic
from event_log import RecordLog
from group_world import read_to_the_ends

HERE = pathlib.Path(__file__).resolve().parent
MINUTE, DAY, YEAR = 60, 86400, 365 * 86400
STEPS = [YEAR, -DAY, 10 * MINUTE, -YEAR, -MINUTE, 3 * DAY, -2 * YEAR, 7 * DAY]
BOUND_SECONDS = 20 * YEAR  # either way from the real time
STEP_SECONDS = (1.0, 4.0)
KILLED = 0.25  # of the steps
STILL = 0.3  # of the steps: a twin stands still, or goes on
WINDOWED, AGING, PARTITIONS = "windowed", "aging", 3
EVER = 1 << 62
CONFIGS = {"retention.ms": "-1"}
WINDOW = {**CONFIGS, "dedup.enable": "true", "dedup.window.ms": str(7 * DAY * 1000)}
SHORT = {"retention.ms": "3600000"}
TWIN_RATE = 50


class Clock:
    """Of brokers that have `environment`."""

    def __init__(self, folder):
        self.path, self.seconds = folder / "clock", 0
        self.path.write_bytes(bytes(8))
        library = folder / "clock_shift.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(library),
                        str(HERE / "clock_shift.c"), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self.path)}

    def step(self, seconds):
        if abs(self.seconds + seconds) > BOUND_SECONDS:
            seconds = -self.seconds
        self.seconds += seconds
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<q", self.seconds * 10**9))
        return seconds


class ClockWorld(LoadedWorld):
    unread_topics = (AGING,)

    def __init__(self, folder, broker, seed):
        super().__init__(folder, broker, seed=seed)
        self.configs = CONFIGS
        self.still = None

    def begin(self, load, **options):
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        for topic, configs in ((WINDOWED, WINDOW), (AGING, SHORT)):
            new = NewTopic(topic, PARTITIONS, 1, config=configs)
            admin.create_topics([new])[topic].result(30)
        self.harness.write({"event": "dedup", "topic": WINDOWED, "window_ms": None})
        self.harness.write(*({"event": "deleted", "topic": AGING, "partition": number,
                              "before": EVER} for number in range(PARTITIONS)))
        for twin in range(2):
            self.producer(f"twin-{twin}", TWIN_RATE, topics=[WINDOWED], dedup="id")
        self.producer("aging", TWIN_RATE, topics=[AGING])
        super().begin(load, **options)

    def stand_still(self):
        """One of the twins, or it goes on: what it sends was sent long ago by the other."""
        if self.still:
            self.still.resume()
            self.still = None
        else:
            self.still = self.producers[self.chance.randrange(2)]
            self.still.pause()

    def wait_going_on(self, **options):
        if self.still:
            self.stand_still()
        super().wait_going_on(**options)

    def read_all(self):
        super().read_all()
        places = [(topic, number) for topic in (WINDOWED, AGING) for number in range(PARTITIONS)]
        with self.broker.connect() as connection:
            ends = {place: connection.list_offset(*place, -1)["offset"] for place in places}
        log = RecordLog(self.folder / "reader-more.jsonl")
        log.write({"event": "start", "client": "reader-more"})
        read_to_the_ends(self.broker.address, log, ends)


def run(folder, steps, seed, load=LOADS[0]):
    """What was seen.  Raises AssertionError for what was wrong."""
    chance = random.Random(seed)
    logs = folder / "logs"
    logs.mkdir(parents=True)
    clock = Clock(folder)
    kills = 0
    with harness.Broker(settings=SETTINGS, env=clock.environment) as broker:
        with ClockWorld(logs, broker, seed) as world:
            world.begin(load)
            rebalances = [each.tail.update().rebalances for each in world.clients]
            for number in range(steps):
                stepped = clock.step(chance.choice(STEPS) if number else YEAR)
                kill = chance.random() < KILLED
                print(f"{stepped / DAY:+.2f} days{', killed' if kill else ''}", flush=True)
                if kill:
                    world.kill_broker()
                    world.start_broker()
                    kills += 1
                if chance.random() < STILL:
                    world.stand_still()
                world.rest(chance.uniform(*STEP_SECONDS))
            world.wait_going_on()
            more = sum(each.tail.update().rebalances for each in world.clients) - sum(rebalances)
            return told(world.end(), steps=steps, kills=kills, rebalances=more)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--folder", help="for the logs, which are kept")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="clocks-"))
    print(f"clocks.py --steps {options.steps} --seed {options.seed}", flush=True)
    return verdict(folder, lambda: run(folder, options.steps, options.seed))


if __name__ == "__main__":
    sys.exit(main())
