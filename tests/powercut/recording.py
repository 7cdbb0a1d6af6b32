"""One life of a data folder, written down: a broker under the recorder, clients that have it do
whatever changes the folder, kills and clean stops in between.

What the clients were told is in the recording, as it left on the broker's sockets; they remember
nothing themselves but what they have to send again.
"""

import pathlib
import random
import subprocess
import sys
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "broker"))

import groups  # noqa: E402
import oplog  # noqa: E402
from harness import Broker, Refused, eventually  # noqa: E402
from oracle import COMPACTED, TRANSACTED, WINDOWED  # noqa: E402
from records import batch, record  # noqa: E402
from starts import ask_broker  # noqa: E402
from transactional import TransactionalProducer  # noqa: E402

SETTINGS = {
    "datagram.listen": "none",
    "offsets.topic.segment.bytes": "8MiB",
    "offsets.topic.rewrite.bytes": "1KiB",  # so often that every recording has some
    "log.cleaner.backoff.ms": "20",
}
SEGMENT = {"segment.bytes": 1 << 20}
WINDOW = {"dedup.enable": "true", "dedup.window.ms": "1h"}
COMPACTION = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": 0.01}
TOPICS = {
    "steady": (3, SEGMENT),
    "rolling": (2, SEGMENT),
    WINDOWED: (1, {**SEGMENT, **WINDOW}),
    TRANSACTED: (2, SEGMENT),
    COMPACTED: (1, {**SEGMENT, **COMPACTION}),
}
ALL_PLACES = [(name, part) for name, (count, _) in TOPICS.items() for part in range(count)]
PLACES = ALL_PLACES[:5]  # of the first two: for any records
BIG_BYTES = 350_000  # three of them fill the smallest segment
ANSWER_LOST = (ConnectionError, OSError, EOFError)


def build_recorder(folder):
    path = pathlib.Path(folder) / "recorder.so"
    source = HERE / "recorder.c"
    command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(path), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return path


class RecordedBroker(Broker):
    """Killed between two operations and not within one, so that the recording has all of it."""

    def __init__(self, folder, recorder, plant=None, prefix=(), **options):
        self.folder = pathlib.Path(folder)
        self.oplog = self.folder / "oplog"
        self.killers = {"kill": self.folder / "kill", "kill-at-sync": self.folder / "kill.sync"}
        env = {
            "POWERCUT_FOLDER": str(self.folder / "data"),
            "POWERCUT_LOG": str(self.oplog),
            "POWERCUT_KILL": str(self.killers["kill"]),
        }
        # Whatever stands before the broker is not recorded.
        prefix = [*prefix, "env", f"LD_PRELOAD={recorder}"]
        if plant:
            env["POWERCUT_PLANT"] = plant
        super().__init__(
            data=self.folder / "data",
            io="sync",
            shards=2,
            settings=SETTINGS,
            env=env,
            prefix=prefix,
            **options,
        )

    def kill_between(self, how):
        """While somebody writes, or it will not notice."""
        self.killers[how].touch()
        self.process.wait(30)
        self.killers[how].unlink()
        self.process = None


def read_tail(connection, topic, partition):
    start, end = (connection.list_offset(topic, partition, at)["offset"] for at in (-2, -1))
    connection.fetch(topic, partition, max(start, end - 5), partition_max_bytes=20000)


class Client(threading.Thread):
    """Does `step` until the broker is gone or the time has come; each life of the broker has new
    ones, of the same `memory`."""

    def __init__(self, broker, memory, rng, enough):
        super().__init__(daemon=True)
        self.broker, self.memory, self.rng, self.enough = broker, memory, rng, enough
        self.failed = None

    def run(self):
        try:
            with self.broker.connect() as self.connection:
                while not self.enough.is_set():
                    self.step()
        except ANSWER_LOST:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error

    def values(self, count, size):
        return [self.rng.randbytes(size) for _ in range(count)]


class Producer(Client):
    """Some batches bear a producer's numbers; one that was not answered is sent again."""

    def step(self):
        if "unanswered" in self.memory:
            self._send(*self.memory["unanswered"])
        topic, partition = self.rng.choice(PLACES)
        if self.rng.random() < 0.03:
            values = self.values(1, BIG_BYTES)
        else:
            values = self.values(self.rng.randint(1, 4), self.rng.choice((20, 300, 2000, 9000)))
        numbered = self.rng.random() < 0.6
        if numbered and "producer" not in self.memory:
            self._take_id()
        fields = {}
        if numbered:
            place = topic, partition
            sequence = self.memory["sequences"].get(place, 0)
            fields = {
                "producer_id": self.memory["producer"],
                "producer_epoch": 0,
                "base_sequence": sequence,
            }
            self.memory["sequences"][place] = sequence + len(values)
        data = batch(values, **fields)
        acks = 1 if self.rng.random() < 0.1 else -1
        if numbered:
            self.memory["unanswered"] = topic, partition, data, acks
        self._send(topic, partition, data, acks)

    def _send(self, topic, partition, data, acks):
        answer = self.connection.produce_batch(topic, partition, data, acks)
        if answer["error_code"]:
            raise Refused(answer["error_code"], answer["error_message"])
        self.memory.pop("unanswered", None)

    def _take_id(self):
        answer = self.connection.request(
            "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=60000
        )
        self.memory["producer"] = answer["producer_id"]
        self.memory["sequences"] = {}


class Pipeliner(Client):
    """Has several requests on their way, so that one flush covers many."""

    def step(self):
        count = self.rng.randint(2, 8)
        for _ in range(count):
            topic, partition = self.rng.choice(PLACES)
            data = batch(self.values(1, self.rng.choice((30, 700, 5000))))
            rows = [{"index": partition, "records": data}]
            self.connection.send(
                "Produce",
                9,
                acks=-1,
                timeout_ms=30000,
                topic_data=[{"name": topic, "partition_data": rows}],
            )
        for _ in range(count):
            self.connection.receive()


class Repeater(Client):
    """Records with ids, into a topic that has a dedup window; some are sent again, once answered or
    lives later."""

    def step(self):
        sent = self.memory["repeatable"]
        if "unanswered" in self.memory:
            data = self.memory["unanswered"]
        elif sent and self.rng.random() < 0.4:
            data = self.rng.choice(sent)
        else:
            ids = self.values(self.rng.randint(1, 3), 16)
            rows = [
                record(each + b" value", headers=[(b"dedup-id", each)], offset_delta=index)
                for index, each in enumerate(ids)
            ]
            data = self.memory["unanswered"] = batch(ids, raw=b"".join(rows))
        answer = self.connection.produce_batch(WINDOWED, 0, data)
        if answer["error_code"]:
            raise Refused(answer["error_code"], answer["error_message"])
        if self.memory.pop("unanswered", None):
            sent.append(data)


class Keyed(Client):
    """Records with few keys, into a topic of which the last of each stays."""

    def step(self):
        keys = [b"key-%d" % self.rng.randrange(20) for _ in range(self.rng.randint(1, 3))]
        values = self.values(len(keys), self.rng.choice((100, 60_000)))
        rows = [
            record(value, key=key, offset_delta=index)
            for index, (key, value) in enumerate(zip(keys, values))
        ]
        answer = self.connection.produce_batch(COMPACTED, 0, batch(values, raw=b"".join(rows)))
        if answer["error_code"]:
            raise Refused(answer["error_code"], answer["error_message"])


class Transactor(Client):
    """Transactions one after the other, more of them committed than not."""

    producer = None

    def step(self):
        if not self.producer:
            self.producer = TransactionalProducer(self.connection, "transactor")
        for _ in range(self.rng.randint(1, 3)):
            values = self.values(self.rng.randint(1, 3), self.rng.choice((20, 3000)))
            offset = self.producer.produce(TRANSACTED, self.rng.randrange(2), values)
            if offset < 0:
                raise Refused(-offset)
        self.producer.end(self.rng.random() < 0.6)


class Committer(Client):
    def step(self):
        group = f"group-{self.rng.randrange(3)}"
        topic, partition = self.rng.choice(PLACES)
        self.memory["offset"] = offset = self.memory["offset"] + 1
        error = groups.commit(self.connection, group, topic, offset, partition=partition)
        if error in (groups.LOADING, groups.NOT_AVAILABLE, groups.NOT_COORDINATOR):
            groups.wait_ready(self.connection, group)
        elif error:
            raise Refused(error)


class Admin(Client):
    """Topics come, grow, get a few records and go; records are deleted and read."""

    def step(self):
        make, drop = self._make_topic, self._drop_topic
        self.rng.choice((make, make, drop, drop, self._delete_records, self._fetch))()

    def _make_topic(self):
        self.memory["number"] += 1
        name = f"brief-{self.memory['number']}"
        self.connection.create_topic(name, self.rng.randint(1, 3), SEGMENT)
        self.memory["brief"].append(name)
        self.connection.produce(name, 0, self.values(2, 100))

    def _drop_topic(self):
        if not self.memory["brief"]:
            return
        name = self.memory["brief"].pop(self.rng.randrange(len(self.memory["brief"])))
        if self.rng.random() < 0.3:
            self.connection.request(
                "CreatePartitions", 3, topics=[{"name": name, "count": 4}], timeout_ms=30000
            )
        self.connection.request("DeleteTopics", 4, topic_names=[name], timeout_ms=30000)

    def _delete_records(self):
        topic, partition = self.rng.choice([*PLACES, (WINDOWED, 0)])
        end = self.connection.list_offset(topic, partition, -1)["offset"]
        start = self.connection.list_offset(topic, partition, -2)["offset"]
        until = self.rng.randint(start, (start + end) // 2)
        rows = [{"partition_index": partition, "offset": until}]
        self.connection.request(
            "DeleteRecords", 2, topics=[{"name": topic, "partitions": rows}], timeout_ms=30000
        )

    def _fetch(self):
        read_tail(self.connection, *self.rng.choice(PLACES))


KINDS = (Producer, Producer, Pipeliner, Repeater, Keyed, Transactor, Committer, Admin)
ENDS = ("kill-at-sync", "stop", "kill", "kill-at-sync", "stop", "kill")


class Recording:
    """`lives` lives of a broker, about `changes` operations on the disk each.

    `facts`: of a folder that there is already, with the topics; what the broker says of it is
    judged before anything else is asked, into `wrong`.
    """

    def __init__(self, folder, seed, lives, changes, plant=None, facts=None, prefix=()):
        self.folder = pathlib.Path(folder)
        self.rng = random.Random(seed)
        self.lives, self.changes, self.facts = lives, changes, facts
        self.wrong = []
        recorder = build_recorder(self.folder)
        self.broker = RecordedBroker(folder, recorder, plant, prefix, start=False)
        begun = len(facts.asked_names) if facts else 0
        offset = max((max(sent) for sent in facts.offsets_sent.values()), default=0) if facts else 0
        repeatable = sorted(facts.repeatable) if facts else []
        self.memories = [
            {"brief": [], "number": begun, "offset": offset, "repeatable": repeatable[:]}
            for _ in KINDS
        ]

    def make(self):
        try:
            for life in range(self.lives):
                self.broker.start()
                self._live(first=life == 0, end=ENDS[life % len(ENDS)])
        finally:
            self.broker.discard()

    def _look(self, first):
        with self.broker.connect() as connection:
            connection.request("DescribeCluster", 0)
            if first and self.facts:
                self.wrong = self.facts.judge(ask_broker(connection, self.facts))
            elif first:
                for name, (partitions, configs) in TOPICS.items():
                    connection.create_topic(name, partitions, configs)
            for topic, partition in ALL_PLACES:
                # What a reader has seen must stay, also of what the last life did not flush.
                read_tail(connection, topic, partition)
            groups.wait_ready(connection, "group-0")

    def _live(self, first, end):
        self._look(first)
        enough = threading.Event()
        clients = [
            kind(self.broker, memory, random.Random(self.rng.random()), enough)
            for kind, memory in zip(KINDS, self.memories)
        ]
        counter = oplog.Counter(self.broker.oplog)
        wanted = counter.count() + self.changes
        for client in clients:
            client.start()
        eventually(
            "enough has happened",
            lambda: counter.count() >= wanted or any(client.failed for client in clients),
            seconds=120,
        )
        if end != "stop":
            self.broker.kill_between(end)
        enough.set()
        for client in clients:
            client.join(60)
            if client.failed:
                raise client.failed
        if end == "stop":
            self.broker.stop()
