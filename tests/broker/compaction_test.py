"""Compaction by key as clients see it: of each key the last record stays, where it was."""

import os

import pytest

from broker.harness import Broker, Refused, eventually
from broker.records import batch, record
from broker.transactional import TransactionalProducer, committed_values

OFFSET_OUT_OF_RANGE = 1
INVALID_RECORD = 87
KEYS = 40
VALUE_BYTES = 4000
ROUNDS = 14  # of all keys: two segments and what is active
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": 1 << 20,
    "min.cleanable.dirty.ratio": 0.01,
}


@pytest.fixture(scope="module")
def broker():
    with Broker(settings={"log.cleaner.backoff.ms": "100"}) as running:
        yield running
        running.check_serves()


@pytest.fixture
def connection(broker):
    with broker.connect() as connected:
        yield connected


@pytest.fixture
def topic(request):
    return request.node.name.replace("[", "-").replace("]", "")[:200]


def keyed(pairs, **fields):
    """A batch of (key, value)."""
    raw = b"".join(
        record(value, key=key, offset_delta=index) for index, (key, value) in enumerate(pairs)
    )
    return batch([value for _, value in pairs], raw=raw, **fields)


def produce(connection, topic, pairs, **fields):
    answer = connection.produce_batch(topic, 0, keyed(pairs, **fields))
    if answer["error_code"]:
        raise Refused(answer["error_code"], answer["error_message"])
    return answer["base_offset"]


def key_of(number):
    return b"key-%d" % number


def value_of(number):
    return b"%d " % number + os.urandom(VALUE_BYTES)


def fill(connection, topic, rounds=ROUNDS):
    """Rounds of all keys in one batch each.  The last value and offset of each key."""
    last = {}
    for number in range(rounds):
        pairs = [(key_of(key), value_of(number)) for key in range(KEYS)]
        first = produce(connection, topic, pairs)
        for index, (key, value) in enumerate(pairs):
            last[key] = (first + index, value)
    return last


def everything(connection, topic):
    """(offset, key, value), in order."""
    return [
        (offset, key, value)
        for each in connection.read_all(topic, 0)
        if not each.attributes & 0x20
        for offset, _, key, value in each.records()
    ]


def newest(records):
    return {key: (offset, value) for offset, key, value in records}


def wait_compacted(connection, topic, below):
    """Fewer than `below` records, and no change for a while: a pass may follow another."""
    seen = []

    def calm():
        try:
            seen.append(everything(connection, topic))
        except Refused as refused:
            # Retention has taken what nothing was left of, from under the reader.
            assert refused.code == OFFSET_OUT_OF_RANGE
            return False
        return len(seen[-1]) < below and len(seen) > 2 and seen[-3:].count(seen[-1]) == 3

    eventually(f"fewer than {below} records", calm, seconds=60, every=0.4)
    return seen[-1]


def test_of_each_key_the_last_record_stays(connection, topic):
    connection.create_topic(topic, configs=COMPACTED)
    last = fill(connection, topic)
    # What lies in the active segment stays as it is.
    found = wait_compacted(connection, topic, KEYS * ROUNDS // 2)
    assert newest(found) == last
    assert connection.list_offset(topic, 0, -1)["offset"] == KEYS * ROUNDS
    assert connection.list_offset(topic, 0, -2)["offset"] == 0


def test_readers_can_begin_anywhere(connection, topic):
    connection.create_topic(topic, configs=COMPACTED)
    fill(connection, topic)
    found = wait_compacted(connection, topic, KEYS * ROUNDS // 2)
    offsets = [offset for offset, _, _ in found]
    for start in range(0, KEYS * ROUNDS, 37):
        expected = next(offset for offset in offsets if offset >= start)
        first = connection.fetch_batches(topic, 0, start, partition_max_bytes=1)[0]
        assert first.base_offset <= expected < first.next_offset


def test_a_compacted_topic_is_the_same_after_a_restart_and_a_kill(topic):
    with Broker(settings={"log.cleaner.backoff.ms": "100"}) as broker:
        with broker.connect() as connection:
            connection.create_topic(topic, configs=COMPACTED)
            last = fill(connection, topic)
            wait_compacted(connection, topic, KEYS * ROUNDS // 2)
        broker.restart()
        with broker.connect() as connection:
            assert newest(everything(connection, topic)) == last
            last.update(fill(connection, topic))
        broker.kill()
        broker.start()
        with broker.connect() as connection:
            assert newest(everything(connection, topic)) == last


def test_a_record_without_a_key_is_refused(connection, topic):
    connection.create_topic(topic, configs=COMPACTED)
    with pytest.raises(Refused) as refused:
        produce(connection, topic, [(b"a", b"1"), (None, b"2")])
    assert refused.value.code == INVALID_RECORD
    assert everything(connection, topic) == []


def alter(connection, topic, name, value):
    body = connection.request(
        "IncrementalAlterConfigs",
        1,
        validate_only=False,
        resources=[
            {
                "resource_type": 2,
                "resource_name": topic,
                "configs": [{"name": name, "config_operation": 0, "value": value}],
            }
        ],
    )
    return body["responses"][0]["error_code"]


def test_the_policy_can_be_changed_while_it_runs(connection, topic):
    connection.create_topic(topic, configs={**COMPACTED, "cleanup.policy": "delete"})
    last = fill(connection, topic)
    assert len(everything(connection, topic)) == KEYS * ROUNDS
    assert alter(connection, topic, "cleanup.policy", "compact,delete") == 0
    assert newest(wait_compacted(connection, topic, KEYS * ROUNDS // 2)) == last


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "0x1", "half", ""])
def test_a_ratio_that_is_none_is_refused(connection, topic, value):
    connection.create_topic(topic, configs=COMPACTED)
    assert alter(connection, topic, "min.cleanable.dirty.ratio", value) != 0


def test_aborted_records_go_and_committed_ones_stay(connection, topic):
    connection.create_topic(topic, configs=COMPACTED)
    producer = TransactionalProducer(connection, topic)
    for number in range(6):
        pairs = [(key_of(key), value_of(number)) for key in range(KEYS)]
        raw = b"".join(
            record(value, key=key, offset_delta=index) for index, (key, value) in enumerate(pairs)
        )
        answer = producer.settled(
            "an answer",
            lambda raw=raw: producer.produce_once(
                topic, 0, producer.batch([b""] * KEYS, 0, raw=raw)
            ),
        )
        assert answer["error_code"] == 0
        # The third is the last that counts; the others come to nothing.
        assert producer.end(number <= 2) == 0
    before = len(everything(connection, topic))
    fill_keys(connection, topic)
    found = wait_compacted(connection, topic, before)
    mine = [value for _, key, value in found if key.startswith(b"key-")]
    assert len(mine) == KEYS
    assert all(value.startswith(b"2 ") for value in mine)
    committed = committed_values(connection, topic)
    assert [value for value in committed if value.startswith(b"2 ")] == mine


def fill_keys(connection, topic):
    """Other keys, enough to close what was written before."""
    for number in range(12):
        produce(connection, topic, [(b"other-%d" % number, os.urandom(100_000))] * 3)


def test_an_open_transaction_holds_it_back(connection, topic):
    connection.create_topic(topic, configs=COMPACTED)
    producer = TransactionalProducer(connection, topic)
    sent = producer.settled(
        "an answer",
        lambda: producer.produce_once(
            topic,
            0,
            producer.batch([b""], 0, raw=record(b"in it", key=b"key-0")),
        ),
    )
    assert sent["error_code"] == 0
    fill(connection, topic)
    with pytest.raises(AssertionError):
        eventually(
            "nothing to happen",
            lambda: len(everything(connection, topic)) != KEYS * ROUNDS + 1,
            seconds=1.5,
            every=0.2,
        )
    producer.commit()
    wait_compacted(connection, topic, KEYS * ROUNDS // 2)


def test_a_real_client_reads_what_is_left(broker, connection, topic):
    kafka = pytest.importorskip("kafka")
    connection.create_topic(topic, configs=COMPACTED)
    last = fill(connection, topic)
    found = wait_compacted(connection, topic, KEYS * ROUNDS // 2)
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=broker.address,
        auto_offset_reset="earliest",
        consumer_timeout_ms=3000,
    )
    try:
        read = [(each.offset, each.key, each.value) for each in consumer]
    finally:
        consumer.close()
    assert read == found
    assert newest(read) == last
