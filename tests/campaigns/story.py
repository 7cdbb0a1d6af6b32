"""A broker's short life as raw requests see it, in a few seconds: topics come and go, records are
produced plainly, by an idempotent producer, in transactions and with message ids, are deleted and
read; offsets are committed; the broker is stopped, and killed, and started.

Any request may be refused and the broker may end at any moment: the story goes on.  What was sent
and what was answered is logged as in tests/history/README.md; `judge` reads all there is when the
faults are over, and asks the checker.
"""
import pathlib
import re
import sys
import zlib

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("broker", "clients/members", "history")]
import checker  # noqa: E402
import groups  # noqa: E402
import harness  # noqa: E402
import transactional  # noqa: E402
from event_log import EventLog, RecordLog  # noqa: E402
from harness import Refused, eventually  # noqa: E402
from records import batch, record  # noqa: E402

SEGMENT = {"segment.bytes": 1 << 20}
WINDOW = {"dedup.enable": "true", "dedup.window.ms": "1h"}
PLAIN, WINDOWED, TRANSACTED = "plain", "windowed", "transacted"
TOPICS = {PLAIN: (2, SEGMENT), WINDOWED: (1, {**SEGMENT, **WINDOW}), TRANSACTED: (1, SEGMENT)}
PLACES = [(topic, number) for topic, (count, _) in TOPICS.items() for number in range(count)]
GROUP = "group"
BIG_BYTES = 400_000
SETTINGS = {"datagram.listen": "none", "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.segment.bytes": "8MiB", "transaction.state.log.num.partitions": "1"}
ANSWER_SECONDS = 10
FAULTY_SECONDS = 1.5  # of patience with who may never answer rightly because of a fault
END_SECONDS = 60
EXISTS = 36  # TOPIC_ALREADY_EXISTS
DELETED = 2  # records of the first place
WORD = re.compile(r"^(error|sluiced)\b", re.M)  # before who ends says why
LOST = (ConnectionError, OSError, EOFError)


class BrokerEnded(Exception):
    """By itself; it must have said why."""


class Sender:
    """One producer's log, and its records in the order sent."""

    def __init__(self, folder, name, idempotent=False):
        self.name, self.number = name, 0
        self.log = EventLog(folder / f"{name}.jsonl")
        self.log.write({"event": "start", "client": name, "acks": "all", "idempotent": idempotent,
                        "in_flight": 1})

    def take(self, topic, partition, size=60, dedup=None):
        """Logs a new record as about to be sent; its id and value."""
        name = f"{self.name}:{self.number}"
        self.number += 1
        value = f"{name} ".encode().ljust(size, b"x")
        self.log.write({"event": "sent", "id": name, "topic": topic, "partition": partition,
                        "hash": zlib.crc32(value), **({"dedup": dedup} if dedup else {})})
        return name, value

    def answered(self, name, partition, error, offset):
        if error:
            self.log.write({"event": "failed", "id": name, "definite": False, "error": error})
        else:
            self.log.write({"event": "acked", "id": name, "partition": partition,
                            "offset": offset})


class Story:
    def __init__(self, folder, broker, faulty):
        self.folder, self.broker = folder, broker
        # Without a fault what is to be tried again succeeds some time.
        self.patience_seconds = FAULTY_SECONDS if faulty else END_SECONDS
        self.harness = EventLog(folder / "harness.jsonl")
        self.harness.write({"event": "dedup", "topic": WINDOWED, "window_ms": None})
        self.plain = Sender(folder, "plain")
        self.windowed = Sender(folder, "windowed")
        self.idempotent = Sender(folder, "idempotent", True)
        self.transacted = Sender(folder, "transacted", True)
        self.connection = None
        self.identity, self.sequence = None, 0
        self.transactor = None
        self.offset = 0  # that was committed, as the broker said
        self.refused = 0
        self.ended = []  # how the broker ended by itself

    # ---- the broker ----

    def connect(self):
        if not self.connection:
            self.connection = self.broker.connect(timeout=ANSWER_SECONDS)
        return self.connection

    def drop(self):
        if self.connection:
            self.connection.close()
        self.connection = self.transactor = self.identity = None

    def try_start(self):
        """Whether it serves; one that refuses to start has to say why."""
        self.broker.start(wait=False)
        eventually("ready, or refused", lambda: "ready listen=" in self.broker.log()
                   or self.broker.process.poll() is not None, END_SECONDS)
        return self.alive()

    def alive(self):
        """A broker that has ended by itself is noted; it must not have been by a signal."""
        if self.broker.process is None:
            return False
        if self.broker.process.poll() is None:
            return True
        log = self.broker.log()
        code = self.broker.wait_exit()
        assert code > 0 and WORD.search(log), (
            f"the broker ended with {code} and said:\n{log[-3000:]}")
        self.ended.append(log.strip().rpartition("\n")[2])
        return False

    def again(self):
        """Some tries: the fault may have been one for its start."""
        self.drop()
        if not any(self.alive() or self.try_start() for _ in range(3)):
            raise BrokerEnded(self.ended[-1])

    def stop(self):
        self.drop()
        if self.alive():
            self.harness.write({"event": "broker", "what": "stopped"})
            self.broker.process.terminate()
            code = self.broker.wait_exit()
            assert code >= 0, f"SIGTERM ended in {code}"
        self.again()

    def kill(self):
        self.drop()
        if self.alive():
            self.harness.write({"event": "broker", "what": "killed"})
            self.broker.kill()
        self.again()

    # ---- what clients do ----

    def attempt(self, step, *arguments):
        """Any of them may be refused; then the next one is tried."""
        try:
            return step(self.connect(), *arguments)
        except Refused:
            self.refused += 1
        except (*LOST, AssertionError) as error:
            if isinstance(error, AssertionError) and "not within" not in str(error):
                raise
            self.refused += 1
            self.drop()
            if not self.alive():
                self.again()
        return None

    def create_topic(self, connection, topic):
        try:
            connection.create_topic(topic, *TOPICS[topic])
        except Refused as refused:
            if refused.code != EXISTS:
                raise

    def produce(self, connection, partition, size=60):
        name, value = self.plain.take(PLAIN, partition, size)
        self.send(connection, self.plain, name, PLAIN, partition, batch([value]))

    def send(self, connection, sender, name, topic, partition, data):
        """Logs what comes of it; no answer is one too."""
        error, offset = "NONE", None
        try:
            answer = connection.produce_batch(topic, partition, data)
            error, offset = answer["error_code"], answer["base_offset"]
        finally:
            sender.answered(name, partition, error, offset)
        if error:
            raise Refused(error)

    def produce_windowed(self, connection, again):
        """`again`: with the id of the record before."""
        number = max(self.windowed.number - 1, 0) if again else self.windowed.number
        name, value = self.windowed.take(WINDOWED, 0, dedup=f"id-{number}")
        raw = record(value, headers=[(b"dedup-id", f"id-{number}".encode())])
        self.send(connection, self.windowed, name, WINDOWED, 0, batch([value], raw=raw))

    def produce_idempotent(self, connection):
        if self.identity is None:
            answer = connection.request("InitProducerId", 4, transactional_id=None,
                                        transaction_timeout_ms=60000)
            if answer["error_code"]:
                raise Refused(answer["error_code"])
            self.identity, self.sequence = answer["producer_id"], 0
        name, value = self.idempotent.take(PLAIN, 1)
        data = batch([value], producer_id=self.identity, producer_epoch=0,
                     base_sequence=self.sequence)
        identity, self.identity = self.identity, None
        # Twice, as a client whose answer was lost: the second is what counts.
        connection.produce_batch(PLAIN, 1, data)
        self.send(connection, self.idempotent, name, PLAIN, 1, data)
        self.identity, self.sequence = identity, self.sequence + 1

    def transact(self, connection, commit):
        if not self.transactor:
            self.transactor = transactional.TransactionalProducer(
                connection, "transactor", patience_seconds=self.patience_seconds)
        producer, log = self.transactor, self.transacted.log
        self.transactor = None
        log.write({"event": "begun"})
        result = "unknown"
        try:
            name, value = self.transacted.take(TRANSACTED, 0)
            offset = producer.produce(TRANSACTED, 0, [value])
            self.transacted.answered(name, 0, max(-offset, 0), offset)
            if offset < 0:
                raise Refused(-offset)
            log.write({"event": "ending", "commit": commit})
            error = producer.end(commit)
            if error:
                raise Refused(error)
            result = "committed" if commit else "aborted"
            self.transactor = producer
        finally:
            log.write({"event": "ended", "result": result})

    def commit_offset(self, connection):
        answer = transactional.settled(
            "an offset to be taken",
            lambda: {"error_code": groups.commit(connection, GROUP, PLAIN, self.offset + 1)},
            self.patience_seconds)
        if answer["error_code"]:
            raise Refused(answer["error_code"])
        self.offset += 1

    def delete_records(self, connection, until):
        self.harness.write({"event": "deleted", "topic": PLAIN, "partition": 0, "before": until})
        connection.request("DeleteRecords", 2, timeout_ms=5000, topics=[
            {"name": PLAIN, "partitions": [{"partition_index": 0, "offset": until}]}])

    def brief(self, connection, name):
        connection.create_topic(name, 1, SEGMENT)
        connection.produce(name, 0, [b"brief"])
        connection.request("DeleteTopics", 4, topic_names=[name], timeout_ms=5000)

    def look(self, connection, topic, partition):
        start = connection.list_offset(topic, partition, -2)["offset"]
        connection.fetch(topic, partition, max(start, 0))

    # ---- the whole ----

    def tell(self):
        """Raises AssertionError where the broker ended without a word or by a signal."""
        try:
            self.again()
            for topic in TOPICS:
                self.attempt(self.create_topic, topic)
            self.use("first")
            for partition in (0, 0, 0, 1):
                self.attempt(self.produce, partition, BIG_BYTES)
            self.attempt(self.delete_records, DELETED)
            self.stop()
            self.use("second")
            self.kill()
            self.use("third")
        except BrokerEnded:
            self.refused += 1

    def use(self, name):
        for partition in (0, 1):
            self.attempt(self.produce, partition)
        self.attempt(self.produce_idempotent)
        self.attempt(self.produce_idempotent)
        self.attempt(self.produce_windowed, False)
        self.attempt(self.produce_windowed, True)
        self.attempt(self.transact, True)
        self.attempt(self.transact, False)
        self.attempt(self.commit_offset)
        self.attempt(self.brief, f"brief-{name}")
        for place in PLACES:
            self.attempt(self.look, *place)

    # ---- the end ----

    def judge(self):
        """After the faults: a start succeeds, all is there, and can be written to again."""
        self.drop()
        if self.alive():
            # Without a restart first.
            eventually("all is served", lambda: self.attempt(self.writable), END_SECONDS)
            self.broker.kill()
            self.harness.write({"event": "broker", "what": "killed"})
        self.drop()
        self.broker.start()
        eventually("all is served", lambda: self.attempt(self.writable), END_SECONDS)
        with self.broker.connect() as connection:
            self.read(connection, "reader", 0)
            self.read(connection, "committed-reader", 1)
            groups.wait_ready(connection, GROUP)
            found = groups.committed(connection, GROUP, PLAIN)
        assert found >= self.offset, f"offset {self.offset} was committed, there is {found}"
        _, wrong, unread = checker.judge([self.folder])
        assert not wrong, "\n".join(map(str, wrong[:10]))
        assert sum(unread.values()) <= DELETED, f"nobody has read these: {unread}"

    def writable(self, connection):
        for topic in TOPICS:
            self.create_topic(connection, topic)
        for topic, partition in PLACES:
            sender = self.windowed if topic == WINDOWED else self.plain
            dedup = f"end-{sender.number}" if topic == WINDOWED else None
            name, value = sender.take(topic, partition, dedup=dedup)
            raw = record(value, headers=[(b"dedup-id", dedup.encode())]) if dedup else None
            self.send(connection, sender, name, topic, partition, batch([value], raw=raw))
        self.transact(connection, True)
        self.commit_offset(connection)
        return True

    def read(self, connection, name, isolation):
        log = RecordLog(self.folder / f"{name}.jsonl")
        level = "read_committed" if isolation else "read_uncommitted"
        log.write({"event": "start", "client": name, "isolation": level})
        eventually("no transaction is open", lambda: transactional.last_stable(
            connection, TRANSACTED) == connection.list_offset(TRANSACTED, 0, -1)["offset"],
            END_SECONDS + 60)
        for topic, partition in PLACES:
            start, end = (connection.list_offset(topic, partition, at)["offset"]
                          for at in (-2, -1))
            log.write({"event": "position", "topic": topic, "partition": partition,
                       "offset": start})
            for offset, key, value in transactional.records(connection, topic, partition, start,
                                                            committed=isolation == 1):
                log.take(topic, partition, offset, key, value)
            log.flush()
            log.write({"event": "end", "topic": topic, "partition": partition, "offset": end,
                       "final": True})
