#!/usr/bin/env python3
"""A file system fills up under load, and gets room again, in turns.

    tests/campaigns/full_disk.py [--fs ext4|xfs] [--turns N] [--folder DIR] [--seed N]

A small file system of its own (a file, loop-mounted, which takes root) is filled by a producer of
large records while all the other clients go on.  When it is full, requests are refused as storage
errors, what is stored is still read, and the broker says so.  Room appears by turns: another's file
goes, the file system grows, records are deleted, retention lets segments go.  Then everybody goes on
without a restart; at times the broker is killed while the disk is full.  In the end the checker
judges.  It ends with 0 when all was right.  SLUICED names the program.
"""
import argparse
import contextlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from load import LOADS, SETTINGS, LoadedWorld, told, verdict  # first: it finds the others
import harness
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewTopic, ResourceType)
from event_log import RecordLog
from group_world import read_to_the_ends
from records import batch
from story import Sender

MKFS = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q"]}
FIRST_BYTES = {"ext4": 200 << 20, "xfs": 320 << 20}  # xfs does not get by with less
STEP_BYTES = 24 << 20
BULK, PARTITIONS = "bulk", 3
BULK_RATE, BULK_BYTES = 200, 20_000
STORAGE_ERROR = 56
FULL_SECONDS = 120
ROOM_SECONDS = 60
STAY_SECONDS = 2
KILLED_WHEN_FULL = 0.4  # of the turns
SMALL_LOGS = {"offsets.topic.segment.bytes": "8MiB", "transaction.state.log.segment.bytes": "8MiB"}


class CannotMount(Exception):
    pass


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMount(f"{' '.join(map(str, words))}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


class Disk:
    """A file system in a file.  Its owner is root; CannotMount says why there is none."""

    def __init__(self, folder, kind):
        self.kind, self.image, self.path = kind, folder / "image", folder / "disk"
        self.ballast = self.path / "ballast"
        if os.geteuid():
            raise CannotMount("mounting needs root")
        if not shutil.which(MKFS[kind][0]):
            raise CannotMount(f"no {MKFS[kind][0]} on this machine")
        self.path.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(FIRST_BYTES[kind])
        run(*MKFS[kind], str(self.image))
        self.loop = run("losetup", "--find", "--show", str(self.image)).strip()
        try:
            run("mount", self.loop, str(self.path))
        except CannotMount:
            run("losetup", "--detach", self.loop)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", str(self.path)], check=False)
        subprocess.run(["losetup", "--detach", self.loop], check=False)

    def free(self):
        return shutil.disk_usage(self.path).free

    def leave(self, size):
        """Another's file takes all but that."""
        take = self.free() - size
        if take > 0:
            with open(self.ballast, "ab") as file:
                os.posix_fallocate(file.fileno(), file.tell(), take)

    def give_back(self):
        left = max(self.ballast.stat().st_size - STEP_BYTES, 0)
        os.truncate(self.ballast, left)

    def grow(self):
        """While it is mounted, which takes more of root than mounting does."""
        with open(self.image, "ab") as file:
            file.truncate(file.tell() + STEP_BYTES)
        run("losetup", "--set-capacity", self.loop)
        if self.kind == "ext4":
            run("resize2fs", self.loop)
        else:
            run("xfs_growfs", str(self.path))


class FullDiskWorld(LoadedWorld):
    """Also with a topic of large records, which a producer of its own fills."""

    def __init__(self, folder, broker, disk, seed):
        super().__init__(folder, broker, seed=seed)
        self.disk = disk
        self.admin = AdminClient({"bootstrap.servers": broker.address})
        self.probe = Sender(folder, "probe")
        self.bulk = self.reader = None
        self.refused = 0

    @property
    def bulk_places(self):
        return [(BULK, number) for number in range(PARTITIONS)]

    def begin(self, load, **options):
        super().begin(load, **options)
        topic = NewTopic(BULK, PARTITIONS, 1, config={"segment.bytes": str(1 << 20)})
        self.admin.create_topics([topic])[BULK].result(30)
        self.bulk = self.producer("bulk", BULK_RATE, topics=[BULK], value_bytes=BULK_BYTES)
        # It stands still at times, and nobody waits for it.
        self.producers.remove(self.bulk)
        self.clients.append(self.bulk)
        self.reader = self.verify(isolation="read_uncommitted", topic=BULK)

    def bulk_ends(self):
        with self.broker.connect() as connection:
            return {place: connection.list_offset(*place, -1)["offset"]
                    for place in self.bulk_places}

    def wait_read(self, ends):
        """What is about to go was read before."""
        wanted = {(*place, end - 1) for place, end in ends.items() if end}
        self.wait_until("the bulk is read", lambda: wanted <= self.reader.tail.update().given,
                        ROOM_SECONDS)

    def probed(self):
        """The error of an append to the bulk, 0 for none."""
        with self.broker.connect() as connection:
            name, value = self.probe.take(BULK, 0, BULK_BYTES)
            answer = connection.produce_batch(BULK, 0, batch([value]))
            error = answer["error_code"]
            self.probe.answered(name, 0, error, answer["base_offset"])
            assert not error or answer["error_message"], "an error without a word"
            return error

    # ---- a full disk ----

    def fill(self):
        self.bulk.resume()
        self.wait_until("the disk is full", self.is_full, FULL_SECONDS)
        self.bulk.pause()
        assert "No space left" in self.broker.log()

    def is_full(self):
        error = self.probed()
        assert error in (0, STORAGE_ERROR), f"error {error} on a full disk"
        self.refused += error != 0
        return error

    def stay_full(self):
        """What is stored is served all the while."""
        deadline = time.monotonic() + STAY_SECONDS
        while time.monotonic() < deadline:
            self.tick()
            with self.broker.connect() as connection:
                for place in self.bulk_places:
                    start = connection.list_offset(*place, -2)["offset"]
                    assert connection.fetch_batches(*place, start)
            time.sleep(0.2)

    def kill_when_full(self):
        """A start may be refused for want of room, and says so."""
        self.kill_broker()
        self.broker.start(wait=False)
        harness.eventually("ready, or refused", lambda: "ready listen=" in self.broker.log()
                           or self.broker.process.poll() is not None, 60)
        if self.broker.process.poll() is not None:
            log = self.broker.log()
            assert self.broker.wait_exit() > 0 and "No space left" in log, log
            return False
        return True

    # ---- room ----

    def give_back(self):
        self.disk.give_back()

    def grow(self):
        try:
            self.disk.grow()
        except CannotMount as why:
            print(f"  not grown, another's file goes instead: {why}", flush=True)
            self.disk.give_back()

    def delete_records(self):
        ends = self.bulk_ends()
        self.wait_read(ends)
        self.tell_deleted(ends)
        asked = [TopicPartition(*place, end) for place, end in ends.items()]
        for place, future in self.admin.delete_records(asked).items():
            assert future.result(30).low_watermark == place.offset

    def retain_little(self):
        """For as long as it takes."""
        ends = self.bulk_ends()
        self.wait_read(ends)
        self.tell_deleted(ends)
        self.retain(1 << 20)
        self.wait_until("there is room again", lambda: not self.probed(), ROOM_SECONDS)
        self.retain(-1)

    def retain(self, size):
        entry = ConfigEntry("retention.bytes", str(size),
                            incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, BULK, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(30)

    def tell_deleted(self, ends):
        self.harness.write(*({"event": "deleted", "topic": topic, "partition": partition,
                              "before": end} for (topic, partition), end in ends.items()))

    def turn(self, room, kill):
        self.fill()
        self.stay_full()
        serves = not kill or self.kill_when_full()
        if not serves:
            # Nobody can be asked to delete anything.
            self.disk.give_back()
            self.broker.start()
        if kill:
            self.harness.write({"event": "broker", "what": "started"})
        if serves:
            getattr(self, room)()
        self.wait_until("appends are taken again", lambda: not self.probed(), ROOM_SECONDS)
        self.wait_going_on()

    # ---- the end ----

    def stop_producers(self):
        self.bulk.resume()
        self.bulk.leave(ROOM_SECONDS)
        super().stop_producers()

    def read_all(self):
        super().read_all()
        log = RecordLog(self.folder / "reader-bulk.jsonl")
        log.write({"event": "start", "client": "reader-bulk"})
        read_to_the_ends(self.broker.address, log, self.bulk_ends())


ROOMS = ["give_back", "delete_records", "grow", "retain_little"]


def run_turns(folder, kind, turns, seed, load=LOADS[0]):
    """What was seen.  Raises AssertionError for what was wrong, CannotMount where there can be no
    such file system."""
    chance = random.Random(seed)
    logs = folder / "logs"
    logs.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(Disk(folder, kind))
        disk.leave(FIRST_BYTES[kind] // 2)
        broker = stack.enter_context(harness.Broker(
            data=disk.path / "data", settings={**SETTINGS, **SMALL_LOGS}))
        world = stack.enter_context(FullDiskWorld(logs, broker, disk, seed))
        world.begin(load)
        disk.leave(STEP_BYTES)
        for turn in range(turns):
            room = ROOMS[turn % len(ROOMS)]
            kill = chance.random() < KILLED_WHEN_FULL
            world.turn(room, kill)
            print(f"{kind}: turn {turn + 1}: full{', killed' if kill else ''}, then {room}; "
                  f"{disk.free() >> 20} MiB free", flush=True)
        world.grow()
        return told(world.end(), turns=turns, **{"appends refused": world.refused})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fs", choices=sorted(MKFS), default="ext4")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--folder", help="for the logs, which are kept")
    options = parser.parse_args()
    folder = pathlib.Path(options.folder or tempfile.mkdtemp(prefix="full-disk-"))
    print(f"full_disk.py --fs {options.fs} --turns {options.turns} --seed {options.seed}",
          flush=True)
    try:
        return verdict(folder, lambda: run_turns(folder, options.fs, options.turns, options.seed))
    except CannotMount as why:
        sys.exit(f"full_disk.py: {why}")


if __name__ == "__main__":
    sys.exit(main())
