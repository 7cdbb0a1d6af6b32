"""Transactions as clients have them: short stories of every library, and Java's and librdkafka's
consume-process-produce with exactly once, while the broker and they are killed.

SLUICED_TRANSACTIONS_SEED takes a seed that was printed again; longer by hand with
tests/history/transactions.py.
"""
import os
import random
import subprocess
import sys

import harness
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from java_jars import jars
from transactional_producers import ALL, SURVIVORS, Confluent

sys.path.insert(0, str(harness.ROOT / "tests/history"))
import transactions  # noqa: E402

SEED = int(os.environ.get("SLUICED_TRANSACTIONS_SEED", random.randrange(1 << 31)))
READ_SECONDS = 20
EXPIRY_SECONDS = 20
TOOL_SECONDS = 60


class Maker:
    """Makes producers of one library, all with one transactional id."""

    def __init__(self, library, transactional_id):
        self.library, self.transactional_id = library, transactional_id
        self.made = []

    def __call__(self, broker, timeout_ms=10000):
        self.made.append(self.library(broker.address, self.transactional_id, timeout_ms))
        return self.made[-1]

    def close(self):
        """Which of them ends in peace is the library's own affair."""
        while self.made:
            try:
                self.made.pop().close()
            except Exception as error:
                print(f"{self.library.__name__} closes with {error!r}")


@pytest.fixture(name="make", params=ALL, ids=[each.__name__ for each in ALL])
def maker_of_one_library(request, topic):
    maker = Maker(request.param, topic)
    yield maker
    maker.close()


def create(broker, topic, partitions):
    with broker.connect() as connection:
        connection.create_topic(topic, partitions)


def read(address, topic, partitions, isolation):
    """All values up to the ends that the isolation sees, in order of partitions and offsets."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": topic,
                         "isolation.level": isolation, "enable.partition.eof": True,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, each, 0) for each in range(partitions)])
    found, ended = [], set()

    def ends():
        for each in consumer.consume(100, timeout=0.1):
            if not each.error():
                found.append((each.partition(), each.offset(), each.value().decode()))
            elif each.error().code() == KafkaError._PARTITION_EOF:
                ended.add(each.partition())
        return len(ended) == partitions

    harness.eventually(f"{topic} is read to its ends", ends, READ_SECONDS)
    consumer.close()
    return [value for _, _, value in sorted(found)]


def is_stable(broker, topic, partition=0):
    with broker.connect() as connection:
        return (connection.list_offset(topic, partition, -1)["offset"]
                == connection.list_offset(topic, partition, -1, isolation_level=1)["offset"])


def raises_fenced(producer, call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        assert producer.fenced(error), repr(error)
    else:
        raise AssertionError("it succeeded")


def test_what_is_committed_is_read_and_what_is_aborted_or_open_is_not(broker, make, topic):
    create(broker, topic, 2)
    producer = make(broker)
    for outcome, end in (("committed", producer.commit), ("aborted", producer.abort),
                         ("again", producer.commit)):
        producer.begin()
        for partition in (0, 1):
            producer.send(topic, partition, f"{outcome} {partition}".encode())
        end()
    producer.begin()
    producer.send(topic, 0, b"open 0")
    assert read(broker.address, topic, 2, "read_committed") == [
        "committed 0", "again 0", "committed 1", "again 1"]
    assert read(broker.address, topic, 2, "read_uncommitted") == [
        "committed 0", "aborted 0", "again 0", "open 0",
        "committed 1", "aborted 1", "again 1"]
    producer.commit()
    harness.eventually("the last is committed", lambda: is_stable(broker, topic))
    assert read(broker.address, topic, 2, "read_committed")[:3] == [
        "committed 0", "again 0", "open 0"]


def test_second_instance_fences_the_first_and_ends_its_transaction(broker, make, topic):
    create(broker, topic, 1)
    first = make(broker)
    first.begin()
    first.send(topic, 0, b"first")
    second = make(broker)
    assert is_stable(broker, topic)
    second.begin()
    second.send(topic, 0, b"second")
    raises_fenced(first, first.commit)
    second.commit()
    assert read(broker.address, topic, 1, "read_committed") == ["second"]


def test_transaction_that_takes_too_long_is_aborted(broker, make, topic):
    create(broker, topic, 1)
    late = make(broker, timeout_ms=1000)
    late.begin()
    late.send(topic, 0, b"late")
    harness.eventually("the transaction is aborted", lambda: is_stable(broker, topic),
                       EXPIRY_SECONDS)
    raises_fenced(late, late.commit)
    another = make(broker)
    another.begin()
    another.send(topic, 0, b"in time")
    another.commit()
    assert read(broker.address, topic, 1, "read_committed") == ["in time"]


@pytest.mark.parametrize("make", SURVIVORS, ids=[each.__name__ for each in SURVIVORS],
                         indirect=True)
def test_open_transaction_goes_on_after_kill_minus_9(make, topic):
    with harness.Broker() as broker:
        create(broker, topic, 2)
        producer = make(broker)
        for end in (producer.commit, producer.abort):
            producer.begin()
            producer.send(topic, 0, f"{end.__name__} before".encode())
            broker.kill()
            broker.start()
            producer.send(topic, 1, f"{end.__name__} after".encode())
            end()
        assert read(broker.address, topic, 2, "read_committed") == ["commit before",
                                                                    "commit after"]
        assert len(read(broker.address, topic, 2, "read_uncommitted")) == 4
        make.close()


def kafka_transactions(address, *words):
    """The rows of a table that Kafka's own tool prints, as dictionaries; none where it has none."""
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars()}/*",
         "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
         "org.apache.kafka.tools.TransactionsCommand", "--bootstrap-server", address, *words],
        capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [[cell.strip() for cell in line.split("\t")]
            for line in done.stdout.splitlines() if line]
    return [dict(zip(rows[0], row)) for row in rows[1:]]


def test_tool_of_kafka_shows_an_open_transaction_and_aborts_it(broker, topic):
    create(broker, topic, 2)
    producer = Confluent(broker.address, topic, timeout_ms=54321)
    producer.begin()
    producer.send(topic, 1, b"open")
    listed = {row["TransactionalId"]: row for row in kafka_transactions(broker.address, "list")}
    assert listed[topic]["TransactionState"] == "Ongoing"
    [told] = kafka_transactions(broker.address, "describe", "--transactional-id", topic)
    assert told["TopicPartitions"] == f"{topic}-1"
    assert told["TransactionTimeoutMs"] == "54321"
    [state] = kafka_transactions(broker.address, "describe-producers", "--topic", topic,
                                 "--partition", "1")
    assert state["ProducerId"] == told["ProducerId"] == listed[topic]["ProducerId"]
    assert state["CurrentTransactionStartOffset"] == "0"
    assert not kafka_transactions(broker.address, "abort", "--topic", topic, "--partition", "1",
                                  "--start-offset", "0")
    [state] = kafka_transactions(broker.address, "describe-producers", "--topic", topic,
                                 "--partition", "1")
    assert state["CurrentTransactionStartOffset"] == "None"
    producer.abort()
    producer.close()


@pytest.mark.parametrize("library, protocol", [("confluent-kafka", "cooperative"),
                                               ("java", "consumer")])
def test_history_of_transactions_is_right_whoever_is_killed(tmp_path, library, protocol):
    transactions.run(tmp_path, library, 3, SEED, [protocol], calm_seconds=3)
