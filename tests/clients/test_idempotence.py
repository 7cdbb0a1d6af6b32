"""Idempotent producers through a proxy that sends their requests twice, late, behind others and in
part, and loses answers, while the broker is killed: the log has each record once, in order.

SLUICE_LONG=1 goes on for five minutes, SLUICED_IDEMPOTENCE_SECONDS for as long as it says;
SLUICED_IDEMPOTENCE_SEED takes a seed that was printed again.
"""
import os
import random
import time

import group_libraries as libraries
import harness
from fault_proxy import FaultProxy, Faults
from group_world import RecordLog, World

LONG = "SLUICE_LONG" in os.environ
SEED = int(os.environ.get("SLUICED_IDEMPOTENCE_SEED", random.randrange(1 << 31)))
SECONDS = float(os.environ.get("SLUICED_IDEMPOTENCE_SECONDS", 300 if LONG else 15))
UP_SECONDS = (0.5, 6.0)
DOWN_SECONDS = (0.0, 1.0)
RECOVERY_SECONDS = 60
NONE, OUT_OF_ORDER = 0, 45
PARTITIONS = 3
RATE = 500
# Every request is sent twice, and of those that were acknowledged half come once more, late and over
# another connection; one of ten meets something else.
FAULTS = Faults(twice=1, late=0.5, delay=0.04, behind=0.03, slow_answer=0.02, mute=0.004,
                linger=0.004, part=0.004, answer_part=0.004)
# Small segments: what is remembered of producers outlives the roll of a log, and comes from files.
SETTINGS = {"log.segment.bytes": "1MiB"}


class DirectlyReadWorld(World):
    """Its reader is no library's, which would be led through the proxy."""

    def read_all(self):
        log = RecordLog(self.folder / "reader.jsonl")
        log.write({"event": "start", "client": "reader"})
        with self.broker.connect() as connection:
            for topic, partition in sorted(self.places):
                read_partition(connection, log, topic, partition)


def read_partition(connection, log, topic, partition):
    log.write({"event": "position", "topic": topic, "partition": partition, "offset": 0})
    end = 0
    for batch in connection.read_all(topic, partition, 0):
        batch.check()
        for offset, _, key, value in batch.records():
            log.take(topic, partition, offset, key, value)
        log.flush()
        end = batch.next_offset
    log.write({"event": "end", "topic": topic, "partition": partition, "offset": end,
               "final": True})


def kill_again_and_again(world, chance):
    """Until the time is up: kill -9 of the broker, which then is away for a while."""
    end = time.monotonic() + SECONDS
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, chance.uniform(*UP_SECONDS)))
        world.check_alive(world.producers)
        world.kill_broker()
        time.sleep(chance.uniform(*DOWN_SECONDS))
        world.start_broker()


def wait_acknowledged(world):
    """Each producer is told of a record that it sends from now on, and so of all before."""
    before = {each: len(each.tail.update().acked) for each in world.producers}
    world.wait("all producers go on", world.producers, lambda: all(
        len(each.tail.acked) > before[each] + RATE for each in world.producers), RECOVERY_SECONDS)


def told_of(producer):
    """How many records it sent, and of how many it was told that they are stored."""
    return len(producer.acked_lines), sum(line > 0 for line in producer.acked_lines)


def test_each_record_is_stored_once_in_order_whatever_the_network_does(tmp_path):
    print(f"SLUICED_IDEMPOTENCE_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    port = harness.free_port()
    with FaultProxy("127.0.0.1", port, SEED) as proxy, harness.Broker(
            port=port, settings={**SETTINGS, "advertised.listen": proxy.address}) as broker:
        with DirectlyReadWorld(tmp_path, broker, partitions=PARTITIONS) as world:
            proxy.faults = FAULTS
            for library in libraries.PRODUCERS:
                if library.there():
                    world.producer(library.name, RATE, library, proxy.address)
            kill_again_and_again(world, chance)
            wait_acknowledged(world)
            history = world.judge()
        print(proxy.report(), flush=True)
        for producer in history.producers:
            sent, stored = told_of(producer)
            print(f"{producer.name}: {sent} records")
            assert sent == stored, f"{producer.name} was told of {stored} of {sent} records only"
        assert proxy.counts["twice"] == proxy.counts["requests"] > 0
        assert proxy.late_answers and broker.starts > 2
        # A late copy is known, or too old to be, or meets a shard that starts; that it is not
        # stored is the checker's to say.
        assert set(proxy.late_answers) <= {NONE, OUT_OF_ORDER}
