"""Real consumers that come upon records that are lost: they say so, and stay where they are."""
import subprocess
import time

import harness
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from damage import RECORDS, damage_third_batch, fill
from java_jars import JAVA


@pytest.fixture(scope="module", name="damaged")
def damaged_broker():
    """A broker, and the offset that it has lost."""
    with harness.Broker(shards=1) as broker:
        fill(broker, "t")
        broker.stop()
        lost = damage_third_batch(broker)
        broker.start()
        yield broker, lost
        broker.check_alive()


def read_until_told(consumer):
    """The offsets up to the error, and the error's."""
    offsets = []
    for _ in range(RECORDS + 1):
        message = consumer.poll(30)
        assert message is not None
        if message.error():
            assert message.error().code() == KafkaError.INVALID_MSG
            assert not message.error().fatal()
            return offsets, message.offset()
        offsets.append(message.offset())
    raise AssertionError("not told")


def test_librdkafka_tells_and_waits(damaged):
    broker, lost = damaged
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "rd",
                         "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition("t", 0, 0)])
        offsets, at = read_until_told(consumer)
        assert (offsets, at) == (list(range(lost)), lost)
        # Told again, as often as it asks: every fetch.error.backoff.ms, half a second.
        began, told = time.monotonic(), 0
        while time.monotonic() - began < 3:
            message = consumer.poll(0.2)
            assert message is None or message.error()
            told += message is not None
        assert 2 <= told <= 8
        consumer.seek(TopicPartition("t", 0, lost + 1))
        found = []
        while len(found) < RECORDS - lost - 1:
            message = consumer.poll(30)
            assert message is not None
            if not message.error():
                found.append(message.offset())
        assert found == list(range(lost + 1, RECORDS))
    finally:
        consumer.close()


def test_java_throws_and_stays(damaged, class_path):
    broker, lost = damaged
    done = subprocess.run([*JAVA, class_path, "Damaged", broker.address, "t", str(lost),
                           str(RECORDS)], capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr
