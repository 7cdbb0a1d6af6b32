"""Idempotent producers at the door: each batch is stored once, in order, whatever is sent twice, and
after whatever the broker has been through."""

import random

import pytest

from harness import Broker
from records import batch

NONE, OUT_OF_ORDER, OLD_EPOCH = 0, 45, 47


class Producer:
    """Numbers batches as a client does."""

    def __init__(self, connection, identity=None):
        self.epoch = 0
        self.sequence = 0
        self.identity = identity
        if identity is None:
            answer = connection.request(
                "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=60000
            )
            assert answer["error_code"] == NONE
            self.identity = answer["producer_id"]

    def batch(self, values, sequence=None, epoch=None):
        sent = batch(
            values,
            producer_id=self.identity,
            producer_epoch=self.epoch if epoch is None else epoch,
            base_sequence=self.sequence if sequence is None else sequence,
        )
        if sequence is None:
            self.sequence = (self.sequence + len(values)) % 2**31
        return sent


def outcome(answer):
    return answer["error_code"], answer["base_offset"]


@pytest.mark.parametrize("acks", [1, -1])
def test_a_batch_sent_again_gets_the_offset_of_the_first(connection, topic, acks):
    connection.create_topic(topic)
    producer = Producer(connection)
    sent = [producer.batch([b"%d" % i, b"x"]) for i in range(5)]
    for index, each in enumerate(sent):
        assert outcome(connection.produce_batch(topic, 0, each, acks)) == (NONE, index * 2)
    for index, each in enumerate(sent):
        answer = connection.produce_batch(topic, 0, each, acks)
        assert outcome(answer) == (NONE, index * 2)
        assert answer["log_start_offset"] == 0
    # What acks=1 answers is not read before it is durable, as this one's answer says.
    assert outcome(connection.produce_batch(topic, 0, producer.batch([b"end"]))) == (NONE, 10)
    assert len(connection.fetch_values(topic, 0, 0)) == 11


def test_a_gap_is_refused_and_changes_nothing(connection, topic):
    connection.create_topic(topic)
    producer = Producer(connection)
    connection.produce_batch(topic, 0, producer.batch([b"a"]))
    for wrong in (2, 7, 2**31 - 1):
        answer = connection.produce_batch(topic, 0, producer.batch([b"x"], sequence=wrong))
        assert outcome(answer) == (OUT_OF_ORDER, -1)
    assert outcome(connection.produce_batch(topic, 0, producer.batch([b"b"]))) == (NONE, 1)
    assert connection.fetch_values(topic, 0, 0) == [b"a", b"b"]


def test_pipelined_batches_behind_a_refused_one_are_refused_too(connection, topic):
    connection.create_topic(topic)
    producer = Producer(connection)
    connection.produce_batch(topic, 0, producer.batch([b"a"]))
    producer.sequence += 1  # one that never arrives
    answers = [
        connection.produce_batch(topic, 0, producer.batch([b"%d" % i])) for i in range(3)
    ]
    assert [answer["error_code"] for answer in answers] == [OUT_OF_ORDER] * 3


def test_a_newer_epoch_fences_the_older(connection, topic):
    connection.create_topic(topic)
    producer = Producer(connection)
    connection.produce_batch(topic, 0, producer.batch([b"a", b"b"]))
    newer = connection.produce_batch(topic, 0, producer.batch([b"c"], sequence=0, epoch=1))
    assert outcome(newer) == (NONE, 2)
    older = connection.produce_batch(topic, 0, producer.batch([b"x"]))
    assert outcome(older) == (OLD_EPOCH, -1)


def test_a_producer_that_is_not_known_may_begin_with_any_sequence(connection, topic):
    connection.create_topic(topic)
    producer = Producer(connection)
    answer = connection.produce_batch(topic, 0, producer.batch([b"a"], sequence=4711))
    assert outcome(answer) == (NONE, 0)


def test_sequences_go_on_at_zero(connection, topic):
    connection.create_topic(topic)
    producer = Producer(connection)
    producer.sequence = 2**31 - 2
    for index in range(3):
        answer = connection.produce_batch(topic, 0, producer.batch([b"a", b"b", b"c"]))
        assert outcome(answer) == (NONE, index * 3)


def test_partitions_remember_by_themselves(connection, topic):
    connection.create_topic(topic, 2)
    producer = Producer(connection)
    sent = producer.batch([b"a"])
    for partition in (0, 1):
        assert outcome(connection.produce_batch(topic, partition, sent)) == (NONE, 0)


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_retry_across_a_restart_is_recognised(end):
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("kept")
            producer = Producer(connection)
            sent = [producer.batch([b"%d" % i]) for i in range(8)]
            for each in sent:
                assert connection.produce_batch("kept", 0, each)["error_code"] == NONE
        getattr(broker, end)()
        broker.start()
        with broker.connect() as connection:
            for index in range(3, 8):
                answer = connection.produce_batch("kept", 0, sent[index])
                assert outcome(answer) == (NONE, index)
            skipped = connection.produce_batch("kept", 0, producer.batch([b"x"], sequence=9))
            assert skipped["error_code"] == OUT_OF_ORDER
            assert outcome(connection.produce_batch("kept", 0, producer.batch([b"8"]))) == (NONE, 8)
            assert len(connection.fetch_values("kept", 0, 0)) == 9


def test_no_id_is_given_out_twice_over_restarts():
    given = []
    with Broker() as broker:
        for end in ("kill", "stop", "kill"):
            with broker.connect() as connection:
                given += [Producer(connection).identity for _ in range(3)]
            getattr(broker, end)()
            broker.start()
    assert len(set(given)) == len(given)


def test_what_is_remembered_is_bounded(topic):
    with Broker(settings={"producer.ids.per.partition.max": 3}) as broker:
        with broker.connect() as connection:
            connection.create_topic(topic)
            producers = [Producer(connection) for _ in range(4)]
            for each in producers:
                connection.produce_batch(topic, 0, each.batch([b"x"]))
            # The first has made room for the fourth: any sequence of it is taken.
            assert outcome(
                connection.produce_batch(topic, 0, producers[0].batch([b"x"], sequence=9))
            ) == (NONE, 4)
            assert outcome(
                connection.produce_batch(topic, 0, producers[3].batch([b"x"], sequence=9))
            ) == (OUT_OF_ORDER, -1)


def test_retries_and_kills_at_random_store_each_batch_once_in_order():
    """Three producers over two partitions; each request may be sent again, any time back to five,
    and the broker is killed in between."""
    rng = random.Random(4711)
    with Broker(settings={"log.segment.bytes": "1MiB"}) as broker:
        connection = broker.connect()
        connection.create_topic("t", 2)
        producers = [Producer(connection) for _ in range(3)]
        streams = {(p, index): ([], Producer(None, producers[p].identity))
                   for p in range(3) for index in range(2)}
        for step in range(300):
            where = rng.choice(list(streams))
            sent, numbering = streams[where]
            value = b"%d/%d/%d" % (*where, len(sent))
            sent.append(numbering.batch([value, b"y" * rng.randrange(4000)]))
            assert connection.produce_batch("t", where[1], sent[-1])["error_code"] == NONE
            if rng.random() < 0.05:
                connection.close()
                broker.kill()
                broker.start()
                connection = broker.connect()
            if rng.random() < 0.5:
                again = rng.choice(sent[-5:])
                assert connection.produce_batch("t", where[1], again)["error_code"] == NONE
        for index in range(2):
            values = []
            while len(values) < connection.list_offset("t", index, -1)["offset"]:
                values += connection.fetch_values("t", index, len(values))
            stored = [v for v in values if not v.startswith(b"y") and v]
            for p in range(3):
                mine = [v for v in stored if v.startswith(b"%d/" % p)]
                assert mine == [
                    b"%d/%d/%d" % (p, index, i) for i in range(len(streams[p, index][0]))
                ]
        connection.close()
