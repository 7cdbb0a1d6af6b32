"""A world in which members of a group make records of one topic from those of another, each in
transactions of its own, while others read what is committed.

Members have slots.  A slot has a transactional id, which its members have one after another; where
one ends by itself, since its producer is fenced or at its end, another one begins.
"""
import collections
import random
import time

import group_libraries as libraries
import harness
from event_log import FENCED, RecordLog
from confluent_kafka import Consumer, TopicPartition
from group_world import Client, World, committed, read_to_the_ends

SOURCE, OUTPUT, GROUP = "source", "output", "transformers"
SETTLE_SECONDS = 90
CUT_SECONDS = 0.2
SAMPLES, SAMPLE_RECORDS = 10, 100
PROTOCOLS = {"range": {"protocol": "classic", "assignor": "range"},
             "cooperative": {"protocol": "classic", "assignor": "cooperative"},
             "consumer": {"protocol": "consumer", "era": 1000000}}
# A transaction that its producer has left behind ends soon.
TRANSACTION_MS = 4000


class TransactionWorld(World):
    def __init__(self, folder, broker, partitions=3, abort_every=7, seed=0):
        super().__init__(folder, broker, [SOURCE], partitions)
        self.chance = random.Random(seed)
        self.abort_every = abort_every
        self.slots, self.verifiers = {}, []
        self.protocol = None
        self.started = collections.Counter()
        self.next_cut = 0

    def __enter__(self):
        super().__enter__()
        self.create_topics([OUTPUT])
        return self

    # ---- clients ----

    def name(self, kind):
        self.started[kind] += 1
        return f"{kind}-{self.started[kind]}"

    def transform(self, library, slot, protocol):
        """A new member for the slot; the one before may live still, and is fenced then."""
        client = self.member(
            library, self.name(f"{library.name}-{protocol}-{slot}"), GROUP,
            output=OUTPUT, partitions=self.partitions, transactional_id=f"slot-{slot}",
            abort_every=self.abort_every, transaction_timeout_ms=TRANSACTION_MS,
            **PROTOCOLS[protocol])
        self.slots[slot] = client
        self.protocol = protocol
        return client

    def verify(self, library=libraries.CONFLUENT_VERIFIER, isolation="read_committed",
               topic=OUTPUT):
        name = self.name(f"{isolation}-{library.name}")
        log = self.folder / f"{name}.jsonl"
        client = Client(name, library, [
            "--brokers", self.broker.address, "--name", name, "--log", str(log), "--topics",
            topic, "--partitions", str(self.partitions), "--isolation", isolation], log)
        self.clients.append(client)
        self.verifiers.append(client)
        return client

    def mend(self):
        """Slots whose member has ended by itself get another one."""
        for slot, client in list(self.slots.items()):
            code = client.process.poll()
            if code == FENCED:
                self.transform(client.library, slot, self.protocol)
            elif code is not None:
                client.check_alive()

    def leave_slots(self):
        """They end by themselves, or as they are told to."""
        for client in self.slots.values():
            if client.alive():
                client.leave(codes=(0, FENCED))
        self.slots.clear()

    # ---- time ----

    def cut(self):
        """See tests/history/cuts.py."""
        def sizes():
            return {path.name: path.stat().st_size for path in self.folder.glob("*.jsonl")}

        self.harness.write({"event": "cut", "before": sizes(), "after": sizes()})

    def tick(self):
        """Again and again, whatever is waited for."""
        self.broker.check_alive()
        self.mend()
        for each in self.verifiers + self.producers:
            if each.process.poll() != 0:  # not told to end
                each.check_alive()
        if time.monotonic() >= self.next_cut:
            self.next_cut = time.monotonic() + CUT_SECONDS
            self.cut()

    def rest(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.tick()
            time.sleep(min(left, 0.05))

    def outcomes(self):
        """How many transactions have ended in which way, as far as their producers know."""
        return sum((each.tail.update().transactions for each in self.clients),
                   collections.Counter())

    def wait_committed(self, count, seconds=SETTLE_SECONDS):
        """So many transactions, from now on."""
        wanted = self.outcomes()["committed"] + count
        self.wait_until(f"{count} transactions are committed",
                        lambda: self.outcomes()["committed"] >= wanted, seconds)

    def wait_until(self, what, condition, seconds=SETTLE_SECONDS):
        harness.eventually(what, lambda: (self.tick(), condition())[1], seconds, every=0.1)

    # ---- the end ----

    def calm(self, seconds):
        """Faults have ended: who lives makes progress within that time."""
        self.mend()
        living = [each for each in [*self.slots.values(), *self.verifiers, *self.producers]
                  if each.alive()]
        sizes = {each.log.name: each.log.stat().st_size for each in living if each.log.exists()}
        self.harness.write({"event": "calm", "seconds": seconds, "logs": sizes})
        self.rest(seconds)

    def wait_drained(self, seconds=SETTLE_SECONDS):
        """Every record of the source is committed as processed, and no transaction is open."""
        ends = self.ends()
        self.wait_until(f"group {GROUP} has committed {sum(ends.values())} records", lambda: all(
            offset == ends[topic, partition] for topic, partition, offset in
            committed(self.broker.address, GROUP, ends) if ends[topic, partition]), seconds)
        self.leave_slots()
        self.wait_until("no transaction is open", self.all_is_stable, seconds)

    def output_ends(self, isolation_level=0):
        with self.broker.connect() as connection:
            found = {(OUTPUT, number): connection.list_offset(
                OUTPUT, number, -1, isolation_level=isolation_level)
                     for number in range(self.partitions)}
        return {place: answer["offset"] for place, answer in found.items()}

    def all_is_stable(self):
        return self.output_ends() == self.output_ends(isolation_level=1)

    def read_all(self):
        super().read_all()
        for client in self.verifiers:
            client.leave()
        ends = self.output_ends()
        for isolation in ("read_committed", "read_uncommitted"):
            log = RecordLog(self.folder / f"reader-{isolation}.jsonl")
            log.write({"event": "start", "client": f"reader-{isolation}", "isolation": isolation})
            read_to_the_ends(self.broker.address, log, ends, isolation)
        self.read_samples(ends)

    def read_samples(self, ends):
        """Those who begin within transactions are told of all that were aborted."""
        log = RecordLog(self.folder / "samples.jsonl")
        log.write({"event": "start", "client": "samples", "isolation": "read_committed"})
        consumer = Consumer({"bootstrap.servers": self.broker.address, "group.id": "samples",
                             "isolation.level": "read_committed", "enable.auto.commit": False})
        for _ in range(SAMPLES):
            starts = [(*place, self.chance.randrange(end)) for place, end in ends.items() if end]
            log.write(*({"event": "position", "topic": topic, "partition": partition,
                         "offset": offset} for topic, partition, offset in starts))
            consumer.assign([TopicPartition(*start) for start in starts])
            for each in consumer.consume(SAMPLE_RECORDS, timeout=1):
                assert not each.error(), each.error()
                log.take(each.topic(), each.partition(), each.offset(), each.key(), each.value())
            log.flush()
        consumer.close()
