"""confluent-kafka, which is librdkafka, as a Python service uses it."""
import functools
import json
import logging
import random
import time

import harness
import pytest
from confluent_kafka import (OFFSET_BEGINNING, OFFSET_END, Consumer, IsolationLevel, KafkaError,
                             KafkaException, Producer, TopicCollection, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   ConfigSource, NewPartitions, NewTopic, OffsetSpec, ResourceType)

ANSWER_SECONDS = 30


class Client:
    """What the clients of one test log and count: warnings, and connections that broke."""

    def __init__(self, broker):
        self.address = broker.address
        self.lines = []
        self.stats = {}
        self.logger = logging.Logger("librdkafka")
        self.logger.addHandler(self)

    level = logging.NOTSET

    def handle(self, record):
        if record.levelno >= logging.WARNING:
            self.lines.append(record.getMessage())

    def config(self, more):
        return {"bootstrap.servers": self.address, "error_cb": lambda error:
                self.lines.append(str(error)), **{key.replace("_", "."): value
                                                  for key, value in more.items()}}

    def keep_stats(self, text):
        found = json.loads(text)
        self.stats[found["name"]] = found

    def producer(self, **more):
        return Producer(self.config({**more, "statistics_interval_ms": 200}),
                        stats_cb=self.keep_stats, logger=self.logger)

    def consumer(self, **more):
        # It wants a group id even where it assigns by hand and never commits.
        return Consumer(self.config({"group_id": "unused", "enable_auto_commit": False,
                                     "statistics_interval_ms": 200, **more}),
                        stats_cb=self.keep_stats, logger=self.logger)

    @functools.cached_property
    def admin(self):
        return AdminClient(self.config({}), logger=self.logger)

    def said(self, text):
        """A complaint that the test has caused."""
        assert any(text in line for line in self.lines)
        self.lines[:] = [line for line in self.lines if text not in line]

    def judge(self):
        assert self.lines == []
        for name, stats in self.stats.items():
            for broker, counts in stats["brokers"].items():
                assert counts["disconnects"] == 0, f"{name} lost its connection to {broker}"


@pytest.fixture(name="client")
def quiet_client(broker):
    client = Client(broker)
    yield client
    client.judge()


def create(client, topic, partitions=1, **config):
    config = {key.replace("_", "."): str(value) for key, value in config.items()}
    done(client.admin.create_topics([NewTopic(topic, partitions, 1, config=config)]))


def done(futures):
    """The results of an admin request, or its first error."""
    return {key: future.result(ANSWER_SECONDS) for key, future in futures.items()}


def produce(producer, topic, records):
    """Sends dictionaries of produce()'s arguments; returns the messages as acknowledged."""
    answers = []

    def delivered(error, message):
        answers.append((error, message))

    for record in records:
        producer.produce(topic, on_delivery=delivered, **record)
        producer.poll(0)
    assert producer.flush(ANSWER_SECONDS) == 0
    assert [error for error, _ in answers if error] == []
    return [message for _, message in answers]


def serve_until(what, producer, condition):
    """Callbacks run in poll, which says how many did."""
    harness.eventually(what, lambda: (producer.poll(0.05), condition())[1], ANSWER_SECONDS)


def consume(consumer, count):
    """That many messages; nothing may follow them."""
    messages = []
    deadline = time.monotonic() + ANSWER_SECONDS
    while len(messages) < count:
        assert time.monotonic() < deadline, f"{len(messages)} of {count} messages came"
        messages += consumer.consume(count - len(messages), timeout=1)
    messages += consumer.consume(10, timeout=0.1)
    assert [message.error() for message in messages if message.error()] == []
    assert len(messages) == count
    return messages


def read_from(client, topic, partitions, offset=OFFSET_BEGINNING, **more):
    consumer = client.consumer(**more)
    consumer.assign([TopicPartition(topic, index, offset) for index in range(partitions)])
    return consumer


def error_of(call):
    with pytest.raises(KafkaException) as caught:
        call()
    return caught.value.args[0].code()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("idempotence", [False, True], ids=["plain", "idempotent"])
def test_records_come_back_in_order(client, topic, codec, idempotence):
    create(client, topic, 3)
    chance = random.Random(codec)
    values = [b"%d " % number + chance.randbytes(100) + b"x" * chance.randrange(300)
              for number in range(5000)]
    producer = client.producer(compression_type=codec, enable_idempotence=idempotence)
    sent = {}
    records = [{"value": value, "key": b"%d" % (number % 50)}
               for number, value in enumerate(values)]
    for message in produce(producer, topic, records):
        sent[message.partition(), message.offset()] = message.key(), message.value()
    assert len(sent) == len(values)
    consumer = read_from(client, topic, 3)
    found = consume(consumer, len(values))
    assert {(message.partition(), message.offset()): (message.key(), message.value())
            for message in found} == sent
    for partition in range(3):
        numbers = [int(message.value().split(b" ", 1)[0]) for message in found
                   if message.partition() == partition]
        assert numbers == sorted(numbers)
        assert consumer.get_watermark_offsets(TopicPartition(topic, partition)) == (
            0, len(numbers))
    consumer.close()


def test_nulls_headers_and_timestamps_come_back(client, topic):
    create(client, topic)
    headers = [("trace", b"a1"), ("trace", b"a2"), ("none", None), ("empty", b""),
               ("Schlüssel", "Wert ☃".encode())]
    records = [{"key": b"key", "value": b"value", "headers": headers, "timestamp": 1},
               {"key": None, "value": b"no key"}, {"key": b"tombstone", "value": None},
               {"key": None, "value": None}, {"key": b"", "value": b""}]
    produce(client.producer(), topic, records)
    consumer = read_from(client, topic, 1)
    found = consume(consumer, len(records))
    assert [(each.key(), each.value()) for each in found] == [
        (each["key"], each["value"]) for each in records]
    assert found[0].headers() == headers
    assert found[0].timestamp()[1] == 1
    assert abs(found[1].timestamp()[1] / 1000 - time.time()) < 60
    consumer.close()


def test_seeks_to_beginning_end_offset_and_time(client, topic):
    create(client, topic, retention_ms=-1)
    produce(client.producer(), topic, [{"value": b"%d" % number, "timestamp": 1000 * (number + 1)}
                                       for number in range(100)])
    consumer = read_from(client, topic, 1, 42)
    assert consume(consumer, 58)[0].value() == b"42"
    consumer.seek(TopicPartition(topic, 0, OFFSET_END))
    assert consumer.consume(1, timeout=0.5) == []
    consumer.seek(TopicPartition(topic, 0, OFFSET_BEGINNING))
    assert consume(consumer, 100)[0].value() == b"0"
    for stamp, offset in [(0, 0), (1000, 0), (1001, 1), (100000, 99), (100001, OFFSET_END)]:
        [answer] = consumer.offsets_for_times([TopicPartition(topic, 0, stamp)], ANSWER_SECONDS)
        assert (answer.error, answer.offset) == (None, offset), stamp
    consumer.close()


def test_offset_out_of_range_follows_the_reset_policy(client, topic):
    create(client, topic)
    produce(client.producer(), topic, [{"value": b"%d" % number} for number in range(10)])
    consumer = read_from(client, topic, 1, 1000, auto_offset_reset="earliest")
    assert consume(consumer, 10)[0].value() == b"0"
    consumer.close()
    consumer = read_from(client, topic, 1, 1000, auto_offset_reset="error")
    message = consumer.poll(ANSWER_SECONDS)
    assert message.error().code() == KafkaError._AUTO_OFFSET_RESET
    consumer.close()
    client.said("requested offset not available on the broker")


def test_topic_is_created_by_the_first_record(client, topic):
    [message] = produce(client.producer(), topic, [{"value": b"first"}])
    assert (message.partition(), message.offset()) == (0, 0)
    assert list(client.admin.list_topics(topic, ANSWER_SECONDS).topics[topic].partitions) == [0]


def test_record_near_the_limit_is_taken_and_one_over_it_refused(client, topic):
    create(client, topic)
    large = random.Random(1).randbytes(1048576 - 100)
    errors = []
    producer = client.producer(message_max_bytes=4000000)
    produce(producer, topic, [{"value": large}])
    producer.produce(topic, bytes(1048576), on_delivery=lambda error, _: errors.append(error))
    assert producer.flush(ANSWER_SECONDS) == 0
    assert [error.code() for error in errors] == [KafkaError.MSG_SIZE_TOO_LARGE]
    produce(producer, topic, [{"value": b"small"}])
    consumer = read_from(client, topic, 1, max_partition_fetch_bytes=1000, fetch_max_bytes=2000,
                         message_max_bytes=1000)
    assert [each.value() for each in consume(consumer, 2)] == [large, b"small"]
    consumer.close()


def test_topics_are_created_listed_described_grown_and_deleted(client, topic):
    admin = client.admin
    create(client, topic, 2)
    assert topic in admin.list_topics(timeout=ANSWER_SECONDS).topics
    found = done(admin.describe_topics(TopicCollection([topic])))[topic]
    assert (found.name, len(found.partitions)) == (topic, 2)
    assert all(each.leader and len(each.isr) == 1 for each in found.partitions)
    done(admin.create_partitions([NewPartitions(topic, 5)]))
    assert len(done(admin.describe_topics(TopicCollection([topic])))[topic].partitions) == 5
    assert error_of(lambda: create(client, topic)) == KafkaError.TOPIC_ALREADY_EXISTS
    assert error_of(lambda: done(admin.create_partitions([NewPartitions(topic, 1)]))) == \
        KafkaError.INVALID_PARTITIONS
    assert error_of(lambda: create(client, "a/b")) == KafkaError.TOPIC_EXCEPTION
    done(admin.delete_topics([topic]))
    assert topic not in admin.list_topics(timeout=ANSWER_SECONDS).topics
    assert error_of(lambda: done(admin.delete_topics([topic]))) == \
        KafkaError.UNKNOWN_TOPIC_OR_PART


def test_configs_are_described_and_changed(client, topic):
    admin = client.admin
    create(client, topic, retention_bytes=1000000)
    resource = ConfigResource(ResourceType.TOPIC, topic)

    def described():
        return done(admin.describe_configs([resource]))[resource]

    def change(value, operation):
        done(admin.incremental_alter_configs([ConfigResource(
            ResourceType.TOPIC, topic, incremental_configs=[
                ConfigEntry("retention.ms", value, incremental_operation=operation)])]))

    before = described()["retention.ms"].value
    assert described()["retention.bytes"].value == "1000000"
    change("123456", AlterConfigOpType.SET)
    assert described()["retention.ms"].value == "123456"
    assert described()["retention.bytes"].value == "1000000"
    change(None, AlterConfigOpType.DELETE)
    assert described()["retention.ms"].value == before
    assert error_of(lambda: change("soon", AlterConfigOpType.SET)) == KafkaError.INVALID_CONFIG
    # The older request replaces all of them.
    with pytest.warns(DeprecationWarning):
        done(admin.alter_configs([ConfigResource(ResourceType.TOPIC, topic,
                                                 set_config={"retention.ms": "777"})]))
    assert described()["retention.ms"].value == "777"
    assert described()["retention.bytes"].value == "-1"


def test_settings_of_the_broker_are_changed_while_it_runs(client):
    resource = ConfigResource(ResourceType.BROKER, "1")

    def retention():
        return done(client.admin.describe_configs([resource]))[resource]["log.retention.ms"]

    def change(key, value, operation):
        done(client.admin.incremental_alter_configs([ConfigResource(
            ResourceType.BROKER, "1", incremental_configs=[
                ConfigEntry(key, value, incremental_operation=operation)])]))

    before = retention()
    assert not before.is_read_only
    change("log.retention.ms", "123456", AlterConfigOpType.SET)
    try:
        assert retention().value == "123456"
        assert retention().source == ConfigSource.DYNAMIC_BROKER_CONFIG.value
    finally:
        change("log.retention.ms", None, AlterConfigOpType.DELETE)
    assert retention().value == before.value
    assert error_of(lambda: change("shards", "3", AlterConfigOpType.SET)) == \
        KafkaError.INVALID_CONFIG


def test_records_are_deleted_and_offsets_listed(client, topic):
    admin = client.admin
    create(client, topic, retention_ms=-1)
    produce(client.producer(), topic, [{"value": b"%d" % number, "timestamp": 1000 * (number + 1)}
                                       for number in range(20)])
    partition = TopicPartition(topic, 0)
    [deleted] = done(admin.delete_records([TopicPartition(topic, 0, 7)])).values()
    assert deleted.low_watermark == 7
    for spec, offset in [(OffsetSpec.earliest(), 7), (OffsetSpec.latest(), 20),
                         (OffsetSpec.max_timestamp(), 19), (OffsetSpec.for_timestamp(10500), 10)]:
        [answer] = done(admin.list_offsets(
            {partition: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)).values()
        assert answer.offset == offset, spec
    assert error_of(lambda: done(admin.delete_records([TopicPartition(topic, 0, 21)]))) == \
        KafkaError.OFFSET_OUT_OF_RANGE
    consumer = read_from(client, topic, 1)
    assert consume(consumer, 13)[0].value() == b"7"
    consumer.close()


def test_cluster_is_described(broker, client):
    found = client.admin.describe_cluster().result(ANSWER_SECONDS)
    assert [f"{node.host}:{node.port}" for node in found.nodes] == [broker.address]
    assert found.cluster_id


def test_transactions_are_delivered_if_they_were_committed(client, topic):
    create(client, topic, 2)
    producer = client.producer(transactional_id=topic)
    producer.init_transactions(ANSWER_SECONDS)
    for index, end in enumerate(("commit", "abort", "commit")):
        producer.begin_transaction()
        produce(producer, topic, [{"value": b"%d" % index, "partition": each} for each in (0, 1)])
        getattr(producer, f"{end}_transaction")(ANSWER_SECONDS)
    for level, expected in (("read_committed", b"0022"), ("read_uncommitted", b"001122")):
        consumer = read_from(client, topic, 2, isolation_level=level)
        values = sorted(each.value() for each in consume(consumer, len(expected)))
        assert b"".join(values) == expected
        consumer.close()


def test_waiting_consumer_costs_nearly_nothing_and_is_woken_at_once(broker, client, topic):
    create(client, topic)
    producer = client.producer(linger_ms=0)
    produce(producer, topic, [{"value": b"first"}])
    # Whoever waited for the end of a fetch would wait in vain.
    wait_ms = 2000 * ANSWER_SECONDS
    consumer = read_from(client, topic, 1, fetch_wait_max_ms=wait_ms,
                         socket_timeout_ms=2 * wait_ms)
    consume(consumer, 1)
    asked = client.stats[consumer_name(client)]["tx"]
    used = broker.cpu_seconds()
    assert consumer.consume(1, timeout=3) == []
    # A fetch that waits, and what else it may have to ask.
    assert client.stats[consumer_name(client)]["tx"] - asked < 20
    assert broker.cpu_seconds() - used < 0.3
    produce(producer, topic, [{"value": b"now"}])
    assert consumer.poll(ANSWER_SECONDS).value() == b"now"
    consumer.close()


def consumer_name(client):
    [name] = [name for name, stats in client.stats.items() if stats["type"] == "consumer"]
    return name


def test_connection_closed_for_being_idle_is_replaced_quietly(topic):
    with harness.Broker(settings={"connections.max.idle.ms": 1000}) as broker:
        client = Client(broker)
        create(client, topic)
        producer = client.producer()
        for number in range(3):
            [message] = produce(producer, topic, [{"value": b"%d" % number}])
            assert message.offset() == number
            serve_until("the broker has closed the connection", producer,
                        lambda: disconnects(client) > number)
        # What it says when the one broker that there is hangs up, for whatever reason.
        assert [line for line in client.lines if "brokers are down" not in line] == []


def disconnects(client):
    return sum(counts["disconnects"] for stats in client.stats.values()
               for counts in stats["brokers"].values())


def test_acknowledged_records_outlive_kill_minus_9_under_load(topic):
    with harness.Broker() as broker:
        client = Client(broker)
        create(client, topic, 4)
        producer = client.producer(acks="all", linger_ms=1, retry_backoff_ms=50,
                                   reconnect_backoff_max_ms=500)
        acknowledged, failed = {}, []

        def delivered(error, message):
            if error:
                failed.append(error)
            else:
                acknowledged[message.value()] = message.partition(), message.offset()

        for number in range(20000):
            producer.produce(topic, b"%d" % number, key=b"%d" % (number % 100),
                             on_delivery=delivered)
            producer.poll(0)
            if number in (5000, 12000):
                serve_until("some are acknowledged", producer,
                            lambda: len(acknowledged) > number // 4)
                broker.check_alive()
                broker.kill()
                broker.start()
        assert producer.flush(60) == 0
        assert (len(acknowledged), failed) == (20000, [])
        # The end of a connection is the only thing that it may have to say.
        assert all("Disconnected" in line or "Connect" in line or "brokers are down" in line
                   or "failed" in line for line in client.lines), client.lines
        reader = Client(broker)
        consumer = read_from(reader, topic, 4)
        ends = [consumer.get_watermark_offsets(TopicPartition(topic, index))[1]
                for index in range(4)]
        found = {(message.partition(), message.offset()): message.value()
                 for message in consume(consumer, sum(ends))}
        assert len(found) == sum(ends), "an offset for each"
        for value, place in acknowledged.items():
            assert found[place] == value
        consumer.close()
        reader.judge()
