#!/usr/bin/env python3
"""Clients that stall, flood or never end a request, beside one that is measured.


One client appends records with acks=all, one after the other, and a group reads them; beside them
come neighbours of one kind after the other.  Printed are the measured client's median and 99th
percentile beside each kind, and the broker's memory.  All its records must be answered, nothing may
be lost, and the broker's memory stays within its budgets.  The checker judges; it ends with 0 when
all was right.  SLUICED names the program.
"""
import argparse
import contextlib
import multiprocessing
import pathlib
import sys
import tempfile
import time

import load  # first: it finds the others
import group_libraries as libraries
import harness
from group_world import World
from messages import request_frame
from records import batch
from story import LOST, Sender

TOPIC, NOISE, PARTITIONS = "t", "noise", 2
SETTINGS = {**load.SETTINGS, "log.buffer.bytes": "32MiB", "queued.max.request.bytes": "32MiB"}
GROWTH_BYTES = 400 << 20  # budgets, pools of both shards and the kernel's buffers
STALLED, HALVES = 40, 100
NOISE_BYTES = 200_000


class Neighbours:
    """Of one kind, as processes: they run until `enough`, and take no turns with who measures."""

    def __init__(self, broker):
        self.broker = broker
        self.enough = multiprocessing.Event()
        self.done = multiprocessing.Value("q", 0)

    def connect(self, **options):
        return self.broker.connect(timeout=5, **options)

    @contextlib.contextmanager
    def beside(self, kind, threads):
        running = [multiprocessing.Process(target=self.run, args=(kind,)) for _ in range(threads)]
        for each in running:
            each.start()
        try:
            yield
        finally:
            self.enough.set()
            for each in running:
                each.join()

    def run(self, kind):
        while not self.enough.is_set():
            with contextlib.suppress(*LOST, AssertionError):
                with contextlib.ExitStack() as stack:
                    kind(self, stack)

    def go_on(self):
        with self.done.get_lock():
            self.done.value += 1
        return not self.enough.is_set()


def stop_reading(neighbours, stack):
    """They ask for much and read nothing of it."""
    for _ in range(STALLED):
        connection = stack.enter_context(neighbours.connect(receive_buffer=4096))
        row = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 16 << 20}
        connection.send("Fetch", 11, max_wait_ms=0, min_bytes=1, max_bytes=16 << 20,
                        topics=[{"topic": NOISE, "partitions": [row]}])
        neighbours.go_on()
    neighbours.enough.wait()


def ask_and_ask(neighbours, stack):
    """Requests one behind the other, and no answer is read."""
    connection = stack.enter_context(neighbours.connect())
    one = request_frame("Metadata", 9, 1, {"topics": None})
    while neighbours.go_on():
        connection.send_bytes(one * 100)


def flood(neighbours, stack):
    """Appends as fast as it goes, several at a time."""
    connection = stack.enter_context(neighbours.connect())
    rows = [{"index": 0, "records": batch([b"x" * NOISE_BYTES])}]
    wanted = {"acks": -1, "timeout_ms": 5000, "topic_data": [{"name": NOISE,
                                                             "partition_data": rows}]}
    frame = request_frame("Produce", 9, 1, wanted)
    for _ in range(5):
        connection.send_bytes(frame)
    while neighbours.go_on():
        connection.receive_frame()
        connection.send_bytes(frame)


def come_and_go(neighbours, _stack):
    """Connections that are opened and closed."""
    while neighbours.go_on():
        neighbours.connect().close()


def never_end(neighbours, stack):
    """Half a request each."""
    for _ in range(HALVES):
        connection = stack.enter_context(neighbours.connect())
        connection.send_bytes((1 << 20).to_bytes(4, "big") + bytes(500_000))
        neighbours.go_on()
    neighbours.enough.wait()


KINDS = {"nobody": (None, 0), "clients that stop reading": (stop_reading, 1),
         "clients that ask and never read": (ask_and_ask, 2), "clients that flood": (flood, 2),
         "clients that come and go": (come_and_go, 2),
         "requests that never end": (never_end, 1)}


def measure(broker, sender, seconds):
    """Seconds that each append took, one after the other."""
    took = []
    deadline = time.monotonic() + seconds
    with broker.connect() as connection:
        while time.monotonic() < deadline:
            name, value = sender.take(TOPIC, sender.number % PARTITIONS)
            begun = time.monotonic()
            answer = connection.produce_batch(TOPIC, (sender.number - 1) % PARTITIONS,
                                              batch([value]))
            took.append(time.monotonic() - begun)
            assert not answer["error_code"], answer
            sender.answered(name, (sender.number - 1) % PARTITIONS, 0, answer["base_offset"])
    return sorted(took)


def run(folder, seconds):
    """What was seen.  Raises AssertionError for what was wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    with harness.Broker(settings=SETTINGS) as broker, World(
            folder, broker, topics=[TOPIC], partitions=PARTITIONS) as world:
        with broker.connect() as connection:
            connection.create_topic(NOISE, 1, {"segment.bytes": 8 << 20,
                                               "retention.bytes": 32 << 20})
            for _ in range(60):
                connection.produce(NOISE, 0, [b"x" * NOISE_BYTES])
        world.producer("idempotent", 100)
        members = [world.member(libraries.CONFLUENT, "member", "readers")]
        sender = Sender(folder, "measured")
        world.wait_given(members)
        before = broker.rss_bytes()
        for name, (kind, threads) in KINDS.items():
            neighbours = Neighbours(broker)
            with neighbours.beside(kind, threads):
                took = measure(broker, sender, seconds)
                grown = broker.rss_bytes() - before
            print(f"{name:32} p50 {took[len(took) // 2] * 1e3:7.2f} ms, p99 "
                  f"{took[len(took) * 99 // 100] * 1e3:7.2f} ms, {len(took):6} appends; "
                  f"{neighbours.done.value:7} of theirs; memory {grown / (1 << 20):+.0f} MiB", flush=True)
            assert harness.sanitized() or grown < GROWTH_BYTES
            total += len(took)
        world.calm(3)
        return load.told(world.judge(), **{"appends measured": total})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20, help="beside each kind")
    parser.add_argument("--folder", help="for the logs, which are kept")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="neighbours-"))
    return load.verdict(folder, lambda: run(folder, options.seconds))


if __name__ == "__main__":
    sys.exit(main())
