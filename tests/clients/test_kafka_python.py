"""kafka-python: the client that is Python all through."""
import logging
import random
import time

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import (InvalidTopicError, MessageSizeTooLargeError, OffsetOutOfRangeError,
                          TopicAlreadyExistsError, UnknownTopicOrPartitionError)

ANSWER_SECONDS = 30


@pytest.fixture(autouse=True, name="expected_warnings")
def nothing_else_to_warn_of(caplog):
    caplog.set_level(logging.WARNING, "kafka")
    expected = []
    yield expected
    assert [line for record in caplog.get_records("call") if not any(
        text in (line := record.getMessage()) for text in expected)] == []


@pytest.fixture(name="producer")
def default_producer(broker):
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    yield producer
    producer.close(timeout=ANSWER_SECONDS)


@pytest.fixture(name="admin")
def admin_client(broker):
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    yield admin
    admin.close()


@pytest.fixture(name="reader")
def assigned_consumer(broker):
    readers = []

    def of(topic, partitions=1, **more):
        reader = KafkaConsumer(bootstrap_servers=broker.address, enable_auto_commit=False, **more)
        readers.append(reader)
        reader.assign([TopicPartition(topic, index) for index in range(partitions)])
        return reader

    yield of
    for reader in readers:
        reader.close()


def poll(reader, count):
    """That many records; nothing may follow them."""
    records = []
    deadline = time.monotonic() + ANSWER_SECONDS
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        for batch in reader.poll(timeout_ms=500).values():
            records += batch
    for batch in reader.poll(timeout_ms=100).values():
        records += batch
    assert len(records) == count
    return records


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_records_come_back_in_order(broker, admin, reader, topic, codec):
    if codec not in (None, "gzip"):
        pytest.importorskip({"snappy": "snappy", "lz4": "lz4.frame", "zstd": "zstandard"}[codec])
    admin.create_topics([NewTopic(topic, 3, 1)])
    producer = KafkaProducer(bootstrap_servers=broker.address, compression_type=codec)
    chance = random.Random(codec)
    sent, futures = {}, []
    for number in range(3000):
        value = b"%d " % number + chance.randbytes(50) + b"x" * chance.randrange(200)
        future = producer.send(topic, value, key=b"%d" % (number % 50))
        futures.append((value, future))
    producer.close(timeout=ANSWER_SECONDS)
    for value, future in futures:
        answer = future.get(timeout=ANSWER_SECONDS)
        sent[answer.partition, answer.offset] = value
    assert len(sent) == 3000
    client = reader(topic, 3)
    client.seek_to_beginning()
    found = poll(client, 3000)
    assert {(each.partition, each.offset): each.value for each in found} == sent
    for partition in range(3):
        numbers = [int(each.value.split(b" ", 1)[0]) for each in found
                   if each.partition == partition]
        assert numbers == sorted(numbers)


def test_topic_is_created_by_the_first_record(producer, reader, topic):
    answer = producer.send(topic, b"first").get(timeout=ANSWER_SECONDS)
    assert (answer.partition, answer.offset) == (0, 0)
    client = reader(topic)
    client.seek_to_beginning()
    assert poll(client, 1)[0].value == b"first"


def test_nulls_headers_and_timestamps_come_back(producer, reader, topic):
    headers = [("trace", b"a1"), ("trace", b"a2"), ("empty", b""),
               ("Schlüssel", "Wert ☃".encode())]
    futures = [producer.send(topic, b"value", key=b"key", headers=headers, timestamp_ms=1),
               producer.send(topic, b"no key"), producer.send(topic, None, key=b"tombstone"),
               producer.send(topic, b"", key=b"")]
    for future in futures:
        future.get(timeout=ANSWER_SECONDS)
    client = reader(topic)
    client.seek_to_beginning()
    found = poll(client, 4)
    assert [(each.key, each.value) for each in found] == [
        (b"key", b"value"), (None, b"no key"), (b"tombstone", None), (b"", b"")]
    assert list(found[0].headers) == headers
    assert found[0].timestamp == 1


def test_seeks_to_beginning_end_offset_and_time(admin, producer, reader, topic):
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.ms": "-1"})])
    for number in range(100):
        producer.send(topic, b"%d" % number, timestamp_ms=1000 * (number + 1))
    producer.flush(ANSWER_SECONDS)
    partition = TopicPartition(topic, 0)
    client = reader(topic)
    client.seek(partition, 42)
    assert poll(client, 58)[0].value == b"42"
    client.seek_to_end(partition)
    # Its position() alone would spin: it moves nothing on the network.
    assert client.poll(timeout_ms=500) == {}
    assert client.position(partition) == 100
    client.seek_to_beginning(partition)
    assert poll(client, 100)[0].value == b"0"
    assert client.beginning_offsets([partition]) == {partition: 0}
    assert client.end_offsets([partition]) == {partition: 100}
    for stamp, offset in [(0, 0), (1001, 1), (100000, 99)]:
        found = client.offsets_for_times({partition: stamp})[partition]
        assert (found.offset, found.timestamp) == (offset, 1000 * (offset + 1))
    assert client.offsets_for_times({partition: 100001}) == {partition: None}


def test_offset_out_of_range_follows_the_reset_policy(producer, reader, topic):
    for number in range(10):
        producer.send(topic, b"%d" % number)
    producer.flush(ANSWER_SECONDS)
    client = reader(topic, auto_offset_reset="none")
    client.seek(TopicPartition(topic, 0), 1000)
    with pytest.raises(OffsetOutOfRangeError):
        poll(client, 1)
    client = reader(topic, auto_offset_reset="earliest")
    client.seek(TopicPartition(topic, 0), 1000)
    assert poll(client, 10)[0].value == b"0"


def test_record_near_the_limit_is_taken_and_one_over_it_refused(broker, reader, topic,
                                                                expected_warnings):
    expected_warnings.append("MessageSizeTooLargeError")
    producer = KafkaProducer(bootstrap_servers=broker.address, max_request_size=4000000)
    large = random.Random(1).randbytes(1048576 - 100)
    producer.send(topic, large).get(timeout=ANSWER_SECONDS)
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(topic, bytes(1048576)).get(timeout=ANSWER_SECONDS)
    producer.send(topic, b"small").get(timeout=ANSWER_SECONDS)
    producer.close(timeout=ANSWER_SECONDS)
    client = reader(topic, max_partition_fetch_bytes=1000)
    client.seek_to_beginning()
    assert [each.value for each in poll(client, 2)] == [large, b"small"]


def test_topics_are_created_listed_described_grown_and_deleted(admin, topic):
    admin.create_topics([NewTopic(topic, 2, 1)])
    assert topic in admin.list_topics()
    [found] = admin.describe_topics([topic])
    assert (found["topic"], len(found["partitions"])) == (topic, 2)
    admin.create_partitions({topic: NewPartitions(5)})
    assert len(admin.describe_topics([topic])[0]["partitions"]) == 5
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics([NewTopic(topic, 1, 1)])
    with pytest.raises(InvalidTopicError):
        admin.create_topics([NewTopic("a/b", 1, 1)])
    admin.delete_topics([topic])
    assert topic not in admin.list_topics()
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topics([topic])


def test_configs_are_described_and_changed(admin, topic):
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.bytes": "1000000"})])

    def described():
        [answer] = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        [resource] = answer.resources
        assert resource[0] == 0
        return {entry[0]: entry[1] for entry in resource[4]}

    assert described()["retention.bytes"] == "1000000"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic,
                                        configs={"retention.ms": "777"})])
    assert described()["retention.ms"] == "777"


def test_records_are_deleted_up_to_an_offset(admin, producer, reader, topic):
    for number in range(20):
        producer.send(topic, b"%d" % number)
    producer.flush(ANSWER_SECONDS)
    partition = TopicPartition(topic, 0)
    admin.delete_records({partition: 7})
    client = reader(topic)
    assert client.beginning_offsets([partition]) == {partition: 7}
    client.seek_to_beginning()
    assert poll(client, 13)[0].value == b"7"


def test_cluster_is_described(broker, admin):
    [node] = admin.describe_cluster()["brokers"]
    assert f"{node['host']}:{node['port']}" == broker.address


def test_waiting_consumer_asks_seldom_and_is_woken_at_once(producer, reader, topic):
    producer.send(topic, b"first").get(timeout=ANSWER_SECONDS)
    # Whoever waited for the end of a fetch would wait in vain.
    wait_ms = 2000 * ANSWER_SECONDS
    client = reader(topic, fetch_max_wait_ms=wait_ms, request_timeout_ms=2 * wait_ms)
    client.seek_to_beginning()
    poll(client, 1)

    def asked():
        return client.metrics()["consumer-metrics"]["request-rate"]

    for _ in range(3):
        assert client.poll(timeout_ms=1000) == {}
    # Requests in a second, over the last half minute.
    assert asked() < 10
    producer.send(topic, b"now").get(timeout=ANSWER_SECONDS)
    assert poll(client, 1)[0].value == b"now"


def test_transactions_are_delivered_if_they_were_committed(broker, admin, reader, topic):
    admin.create_topics([NewTopic(topic, 2, 1)])
    producer = KafkaProducer(bootstrap_servers=broker.address, transactional_id=topic)
    producer.init_transactions()
    for index, commit in enumerate((True, False, True)):
        producer.begin_transaction()
        sent = [producer.send(topic, b"%d" % index, partition=each) for each in (0, 1)]
        for each in sent:
            each.get(timeout=ANSWER_SECONDS)
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close(timeout=ANSWER_SECONDS)
    for level, expected in (("read_committed", b"0022"), ("read_uncommitted", b"001122")):
        found = poll(reader(topic, 2, isolation_level=level, auto_offset_reset="earliest"),
                     len(expected))
        assert b"".join(sorted(each.value for each in found)) == expected
