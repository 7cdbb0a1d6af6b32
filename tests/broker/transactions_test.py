"""Transactions on the wire: both flows, what readers of either kind see, and what is refused."""

import pytest

from harness import Broker, eventually
from records import batch, batches
from transactional import (
    CONTROL,
    END_OLD,
    NONE,
    PRODUCE_OLD,
    READ_COMMITTED,
    TRANSACTIONAL,
    TransactionalProducer,
    committed_values,
    describe,
    is_abort,
    last_stable,
    producers,
    wait_state,
)

OUT_OF_ORDER, OLD_EPOCH, WRONG_STATE, WRONG_ID, BAD_TIMEOUT = 45, 47, 48, 49, 50
NO_TRANSACTIONAL_ID, FENCED, UNKNOWN_TOPIC_ID, ABORTABLE = 53, 90, 100, 120
UNKNOWN_PARTITION, INVALID_REQUEST, INVALID_TOPIC, BAD_RECORD = 3, 42, 17, 87


class Flow:
    """How a client of that age runs a transaction."""

    def __init__(self, produce, end):
        self.produce_version, self.end_version = produce, end

    def __repr__(self):
        return f"produce{self.produce_version}-end{self.end_version}"

    def write(self, producer, topic, values, partition=0):
        if self.produce_version < 12:
            assert producer.add_partitions(topic, [partition]) == [NONE]
        return producer.produce(topic, partition, values, self.produce_version)

    def end(self, producer, commit):
        assert producer.end(commit, self.end_version) == NONE
        if self.produce_version >= 12 and self.end_version < 5:
            # No client mixes them: nothing but a new epoch tells a batch of the next transaction
            # from one that still belongs to this.
            state = "CompleteCommit" if commit else "CompleteAbort"
            wait_state(producer.connection, producer.name, state)


FLOWS = [Flow(*versions) for versions in ((13, 5), (12, 5), (12, 4), (11, 4), (9, 3), (3, 0))]


@pytest.fixture(params=FLOWS, ids=repr)
def flow(request):
    return request.param


@pytest.fixture
def producer(connection, topic):
    connection.create_topic(topic, 2)
    return TransactionalProducer(connection, topic)


class ById(TransactionalProducer):
    """From version 13 on Produce names topics by their ids."""

    def produce_once(self, topic, partition, records, version=12):
        request = self.produce_request(topic, partition, records)
        request["topic_data"][0]["topic_id"] = self.topic_id
        body = self.connection.request("Produce", version, **request)
        return body["responses"][0]["partition_responses"][0]


@pytest.fixture
def either(connection, topic):
    topic_id = connection.create_topic(topic, 2)
    producer = ById(connection, topic)
    producer.topic_id = topic_id
    return producer


# ---- what readers see ----


def test_a_committed_transaction_is_seen_as_a_whole_and_not_before(connection, topic, either, flow):
    assert flow.write(either, topic, [b"a", b"b"]) == 0
    assert flow.write(either, topic, [b"c"], partition=1) == 0
    assert committed_values(connection, topic) == []
    assert connection.fetch_values(topic, 0, 0) == [b"a", b"b"]
    assert last_stable(connection, topic) == 0
    flow.end(either, True)
    eventually("both partitions", lambda: last_stable(connection, topic, 1) == 2)
    eventually("both partitions", lambda: last_stable(connection, topic) == 3)
    assert committed_values(connection, topic) == [b"a", b"b"]
    assert committed_values(connection, topic, 1) == [b"c"]


def test_an_aborted_transaction_is_not_delivered(connection, topic, either, flow):
    assert flow.write(either, topic, [b"a", b"b"]) == 0
    flow.end(either, False)
    eventually("the marker", lambda: last_stable(connection, topic) == 3)
    assert committed_values(connection, topic) == []
    row = connection.fetch(topic, 0, 0, isolation_level=READ_COMMITTED)
    assert row["aborted_transactions"] == [{"producer_id": either.identity, "first_offset": 0}]
    data, marker = batches(row["records"])
    assert data.attributes == TRANSACTIONAL
    assert marker.attributes == TRANSACTIONAL | CONTROL
    assert (marker.base_offset, marker.producer_id, is_abort(marker)) == (2, either.identity, True)
    marker.check()


def test_one_transaction_after_another(connection, topic, either, flow):
    expected = []
    for index in range(6):
        value = b"%d" % index
        assert flow.write(either, topic, [value]) == index * 2
        flow.end(either, index % 3 != 1)
        if index % 3 != 1:
            expected.append(value)
    eventually("the last marker", lambda: last_stable(connection, topic) == 12)
    assert committed_values(connection, topic) == expected


def test_only_what_overlaps_is_told_as_aborted(connection, topic, producer):
    for commit in (False, True, False):
        producer.produce(topic, 0, [b"x"])
        producer.end(commit)
    eventually("the last marker", lambda: last_stable(connection, topic) == 6)

    def aborted(offset, **limits):
        row = connection.fetch(topic, 0, offset, isolation_level=READ_COMMITTED, **limits)
        return [each["first_offset"] for each in row["aborted_transactions"]]

    assert aborted(0) == [0, 4]
    assert aborted(2) == [4]
    assert aborted(0, partition_max_bytes=1) == [0]
    assert aborted(2, partition_max_bytes=1) == []
    row = connection.fetch(topic, 0, 0)
    assert row["aborted_transactions"] is None
    assert row["last_stable_offset"] == row["high_watermark"] == 6


def test_an_open_transaction_holds_back_what_lies_behind_it(connection, topic, producer):
    connection.produce(topic, 0, [b"before"])
    producer.produce(topic, 0, [b"in"])
    connection.produce(topic, 0, [b"behind"])
    assert last_stable(connection, topic) == 1
    assert committed_values(connection, topic) == [b"before"]
    row = connection.fetch(topic, 0, 0, isolation_level=READ_COMMITTED)
    assert (row["last_stable_offset"], row["high_watermark"]) == (1, 3)
    producer.commit()
    eventually("the marker", lambda: last_stable(connection, topic) == 4)
    assert committed_values(connection, topic) == [b"before", b"in", b"behind"]


def test_two_transactions_of_one_partition_end_by_themselves(connection, topic, producer):
    other = TransactionalProducer(connection, topic + "-other")
    producer.produce(topic, 0, [b"a"])
    other.produce(topic, 0, [b"b"])
    producer.produce(topic, 0, [b"c"])
    other.commit()
    wait_state(connection, other.name, "CompleteCommit")
    assert last_stable(connection, topic) == 0
    producer.abort()
    eventually("both markers", lambda: last_stable(connection, topic) == 5)
    assert committed_values(connection, topic) == [b"b"]


def test_times_are_found_among_what_is_committed(connection, topic, producer):
    connection.produce(topic, 0, [b"a"], timestamp=1000)
    producer.sequences = {}
    records = producer.batch([b"b"], 0, timestamp=5000)
    assert producer.produce_once(topic, 0, records)["error_code"] == NONE
    for asked, both, committed in ((1000, 0, 0), (2000, 1, -1), (-3, 1, -1)):
        assert connection.list_offset(topic, 0, asked)["offset"] == both
        row = connection.list_offset(topic, 0, asked, isolation_level=READ_COMMITTED)
        assert row["offset"] == committed


# ---- waiting ----


@pytest.mark.parametrize("commit", [True, False])
def test_a_waiting_reader_of_committed_records_is_woken_by_the_end(
    broker, connection, topic, producer, commit
):
    producer.produce(topic, 0, [b"a"])
    with broker.connect() as reader:
        reader.send(
            "Fetch",
            11,
            max_wait_ms=30000,
            min_bytes=1,
            max_bytes=1 << 20,
            isolation_level=READ_COMMITTED,
            topics=[
                {
                    "topic": topic,
                    "partitions": [
                        {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}
                    ],
                }
            ],
        )
        producer.produce(topic, 0, [b"b"])  # nothing for that reader yet
        producer.end(commit)
        _, body = reader.receive()
    row = body["responses"][0]["partitions"][0]
    assert [each.base_offset for each in batches(row["records"])] == [0, 1, 2]
    assert row["last_stable_offset"] == 3


def test_a_reader_of_committed_records_waits_for_nothing_in_vain(connection, topic, producer):
    producer.produce(topic, 0, [b"a"])
    row = connection.fetch(topic, 0, 0, isolation_level=READ_COMMITTED, max_wait_ms=200)
    assert (row["error_code"], row["records"]) == (NONE, b"")
    assert row["aborted_transactions"] == []
    assert row["high_watermark"] == 1


# ---- sent again, overtaken, wrong ----


def test_a_batch_sent_again_is_stored_once(connection, topic, producer):
    sent = producer.batch([b"a", b"b"], 0)
    for _ in range(3):
        answer = producer.produce_once(topic, 0, sent)
        assert (answer["error_code"], answer["base_offset"]) == (NONE, 0)
    producer.commit()
    eventually("the marker", lambda: last_stable(connection, topic) == 3)


def test_pipelined_batches_wait_in_order_for_the_first_to_be_admitted(
    broker, connection, topic, producer
):
    for index in range(20):
        connection.send(
            "Produce", 12, **producer.produce_request(topic, 0, producer.batch([b"x"], index))
        )
    answers = [connection.receive()[1] for _ in range(20)]
    rows = [answer["responses"][0]["partition_responses"][0] for answer in answers]
    assert [(row["error_code"], row["base_offset"]) for row in rows] == [
        (NONE, index) for index in range(20)
    ]
    producer.commit()


def test_the_first_batch_of_a_transaction_cannot_be_overtaken(connection, topic, producer):
    later = producer.batch([b"b"], 1)
    assert producer.produce_once(topic, 0, later)["error_code"] == OUT_OF_ORDER
    assert producer.produce(topic, 0, [b"a"]) == 0
    assert producer.produce(topic, 0, [b"b"]) == 1
    producer.commit()


@pytest.mark.parametrize("version, code", [(3, WRONG_STATE), (10, WRONG_STATE), (11, ABORTABLE)])
def test_a_partition_that_was_not_added_is_refused(connection, topic, producer, version, code):
    assert producer.produce(topic, 0, [b"a"], version) == -code
    assert producer.add_partitions(topic, [1]) == [NONE]
    assert producer.produce(topic, 0, [b"a"], version) == -code
    assert producer.produce(topic, 1, [b"a"], version) == 0
    producer.abort(END_OLD)
    assert connection.list_offset(topic, 0, -1)["offset"] == 0


@pytest.mark.parametrize("version", [11, 12])
def test_a_batch_without_a_transactional_id_is_refused(connection, topic, producer, version):
    producer.name = None
    answer = producer.produce_once(topic, 0, producer.batch([b"a"], 0), version)
    assert answer["error_code"] == NO_TRANSACTIONAL_ID


def test_a_batch_outside_transactions_of_a_transactional_producer(connection, topic, producer):
    """It may write so while it has none open, as with Kafka."""
    producer.produce(topic, 0, [b"a"])
    plain = producer.batch([b"x"], 1, attributes=0)
    assert producer.produce_once(topic, 0, plain)["error_code"] == WRONG_STATE
    producer.commit()


def test_markers_are_not_for_clients(connection, topic, producer):
    for attributes in (CONTROL, CONTROL | TRANSACTIONAL):
        forged = producer.batch([b"a"], 0, attributes=attributes)
        assert producer.produce_once(topic, 0, forged)["error_code"] == BAD_RECORD


def test_a_transaction_needs_a_producer_id(connection, topic, producer):
    sent = batch([b"a"], attributes=TRANSACTIONAL)
    assert producer.produce_once(topic, 0, sent)["error_code"] == BAD_RECORD


@pytest.mark.parametrize("version", [11, 12])
def test_wrong_ids_and_epochs_are_refused(connection, topic, producer, version):
    if version < 12:
        producer.add_partitions(topic, [0])
    wrong_id = producer.batch([b"a"], 0, producer_id=producer.identity + 4711)
    assert producer.produce_once(topic, 0, wrong_id, version)["error_code"] == WRONG_ID
    for epoch in (producer.epoch + 1, producer.epoch + 100):
        wrong = producer.batch([b"a"], 0, producer_epoch=epoch)
        assert producer.produce_once(topic, 0, wrong, version)["error_code"] == OLD_EPOCH
    assert connection.list_offset(topic, 0, -1)["offset"] == 0


def test_an_id_that_nobody_has_is_refused(connection, topic, producer):
    producer.name = "nobody-" + topic
    assert producer.produce(topic, 0, [b"a"]) in (-WRONG_ID, -WRONG_STATE, -ABORTABLE)


def test_unknown_topics_and_partitions_are_refused(connection, topic, producer):
    assert producer.produce(topic, 7, [b"a"]) == -UNKNOWN_PARTITION
    assert producer.produce("no-" + topic, 0, [b"a"]) == -UNKNOWN_PARTITION
    assert producer.add_partitions(topic, [7]) == [UNKNOWN_PARTITION]


def test_an_unknown_topic_id_is_refused(connection, topic, either):
    either.topic_id = bytes(range(16))
    assert either.produce(topic, 0, [b"a"], 13) == -UNKNOWN_TOPIC_ID


def test_the_topics_of_the_broker_take_no_transactions(connection, topic, producer):
    producer.produce(topic, 0, [b"a"])  # makes the topic of transactions
    assert producer.produce("__transaction_state", 0, [b"a"]) == -INVALID_TOPIC
    producer.abort()


# ---- ends ----


def test_an_end_sent_again_is_answered_alike(connection, topic, producer):
    producer.produce(topic, 0, [b"a"])
    before = producer.epoch
    producer.commit()
    assert producer.epoch == before + 1
    producer.epoch = before
    producer.commit()
    assert producer.epoch == before + 1


def test_an_abort_does_not_follow_a_commit(connection, topic, producer):
    producer.produce(topic, 0, [b"a"])
    before = producer.epoch
    producer.commit()
    wait_state(connection, producer.name, "CompleteCommit")
    producer.epoch = before
    assert producer.end(False) == WRONG_STATE


def test_a_transaction_of_nothing_is_aborted_and_not_committed(connection, topic, producer):
    """As with Kafka: a client does not commit what it has not begun, but aborts after an error."""
    assert producer.end(True) == WRONG_STATE
    for _ in range(2):
        epoch = producer.epoch
        producer.abort()
        assert producer.epoch == epoch + 1
    assert producer.end(True, END_OLD) == WRONG_STATE
    assert producer.produce(topic, 0, [b"a"]) == 0
    producer.commit()


# ---- fencing and time-outs ----


def test_a_newer_producer_aborts_and_fences_the_older(broker, connection, topic, producer):
    producer.produce(topic, 0, [b"old"])
    with broker.connect() as other:
        newer = TransactionalProducer(other, producer.name)
        assert newer.identity == producer.identity and newer.epoch > producer.epoch
        assert newer.produce(topic, 0, [b"new"]) == 2
        assert producer.produce(topic, 0, [b"late"]) == -OLD_EPOCH
        assert producer.produce(topic, 1, [b"late"]) == -OLD_EPOCH
        assert producer.end(True) == FENCED
        assert producer.end(True, 1) == OLD_EPOCH
        newer.commit()
    eventually("the marker", lambda: last_stable(connection, topic) == 4)
    assert committed_values(connection, topic) == [b"new"]


def test_a_transaction_that_takes_too_long_is_aborted(connection, topic):
    connection.create_topic(topic)
    producer = TransactionalProducer(connection, topic, timeout_ms=300)
    producer.produce(topic, 0, [b"a"])
    eventually("the abort", lambda: last_stable(connection, topic) == 2)
    assert committed_values(connection, topic) == []
    assert producer.produce(topic, 0, [b"b"]) == -OLD_EPOCH
    assert producer.end(True) in (FENCED, OLD_EPOCH)
    again = TransactionalProducer(connection, topic)
    assert again.produce(topic, 0, [b"c"]) == 2
    again.commit()
    eventually("the marker", lambda: last_stable(connection, topic) == 4)
    assert committed_values(connection, topic) == [b"c"]


@pytest.mark.parametrize("timeout_ms", [0, -1, 15 * 60 * 1000 + 1])
def test_a_time_out_out_of_bounds_is_refused(connection, topic, timeout_ms):
    body = connection.request(
        "InitProducerId", 5, transactional_id=topic, transaction_timeout_ms=timeout_ms
    )
    assert body["error_code"] == BAD_TIMEOUT


def test_an_empty_transactional_id_is_refused(connection):
    body = connection.request(
        "InitProducerId", 5, transactional_id="", transaction_timeout_ms=1000
    )
    assert body["error_code"] == INVALID_REQUEST


@pytest.mark.parametrize("version", range(6))
def test_every_version_gives_a_transactional_id_its_producer(connection, topic, version):
    producer = TransactionalProducer(connection, topic, version=version)
    again = TransactionalProducer(connection, topic, version=version)
    assert (again.identity, again.epoch) == (producer.identity, producer.epoch + 1)


# ---- what is told ----


def test_partitions_tell_of_their_producers(connection, topic, producer):
    producer.produce(topic, 0, [b"a", b"b"])
    row = producers(connection, topic)[producer.identity]
    assert row["producer_epoch"] == producer.epoch
    assert (row["last_sequence"], row["current_txn_start_offset"]) == (1, 0)
    assert row["last_timestamp"] > 0
    producer.commit()
    eventually("the marker", lambda: last_stable(connection, topic) == 3)
    row = producers(connection, topic)[producer.identity]
    assert row["current_txn_start_offset"] == -1
    assert row["coordinator_epoch"] >= 0
    body = connection.request(
        "DescribeProducers",
        0,
        topics=[
            {"name": topic, "partition_indexes": [9]},
            {"name": "no-" + topic, "partition_indexes": [0]},
        ],
    )
    codes = [row["partitions"][0]["error_code"] for row in body["topics"]]
    assert codes == [UNKNOWN_PARTITION, UNKNOWN_PARTITION]


def test_transactions_are_described(connection, topic, producer):
    assert describe(connection, producer.name)["transaction_state"] == "Empty"
    producer.produce(topic, 1, [b"a"])
    row = describe(connection, producer.name)
    assert row["transaction_state"] == "Ongoing"
    assert row["topics"] == [{"topic": topic, "partitions": [1]}]
    assert (row["producer_id"], row["producer_epoch"]) == (producer.identity, producer.epoch)
    producer.commit()
    assert wait_state(connection, producer.name, "CompleteCommit")["topics"] == []


# ---- what hangs ----


def abort_by_hand(connection, producer, topic, partition=0, **changed):
    marker = {
        "producer_id": producer.identity,
        "producer_epoch": producer.epoch,
        "transaction_result": False,
        "topics": [{"name": topic, "partition_indexes": [partition]}],
        "coordinator_epoch": 0,
    }
    body = connection.request("WriteTxnMarkers", 1, markers=[{**marker, **changed}])
    [row] = body["markers"]
    assert row["producer_id"] == producer.identity
    return row["topics"][0]["partitions"][0]["error_code"]


def test_an_operator_aborts_what_hangs_in_a_partition(connection, topic, producer):
    producer.produce(topic, 0, [b"a"])
    assert last_stable(connection, topic) == 0
    assert abort_by_hand(connection, producer, topic) == NONE
    eventually("readers pass it", lambda: last_stable(connection, topic) == 2)
    assert producers(connection, topic)[producer.identity]["current_txn_start_offset"] == -1
    assert abort_by_hand(connection, producer, topic) == NONE  # nothing is open
    assert last_stable(connection, topic) == 2


def test_nobody_commits_or_aborts_by_hand_what_is_not_theirs(connection, topic, producer):
    producer.produce(topic, 0, [b"a"])
    assert (
        abort_by_hand(connection, producer, topic, transaction_result=True) == INVALID_REQUEST
    )
    assert abort_by_hand(connection, producer, topic, 9) == UNKNOWN_PARTITION
    assert abort_by_hand(connection, producer, "__consumer_offsets") != NONE
    for epoch in (producer.epoch + 1, 32767):
        assert abort_by_hand(connection, producer, topic, producer_epoch=epoch) == OLD_EPOCH
    assert last_stable(connection, topic) == 0
    producer.commit()
    eventually("the commit", lambda: last_stable(connection, topic) == 2)


# ---- offsets ----


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("version", range(6))
def test_offsets_of_a_transaction_are_committed_with_it(
    connection, topic, producer, version, commit
):
    group = topic + "-group"
    if version < 5:
        assert producer.add_offsets(group) == NONE
    assert producer.commit_offset(group, topic, 42, version) == NONE

    def fetched(require_stable):
        body = connection.request(
            "OffsetFetch",
            8,
            require_stable=require_stable,
            groups=[
                {"group_id": group, "topics": [{"name": topic, "partition_indexes": [0]}]}
            ],
        )
        row = body["groups"][0]["topics"][0]["partitions"][0]
        return row["error_code"], row["committed_offset"]

    assert fetched(False) == (NONE, -1)
    assert fetched(True)[0] == 88
    assert producer.end(commit, 5 if version == 5 else 4) == NONE
    expected = (NONE, 42 if commit else -1)
    eventually("the end", lambda: fetched(True) == expected)


def test_offsets_without_their_group_in_the_transaction_are_refused(connection, topic, producer):
    group = topic + "-group"
    assert producer.commit_offset(group, topic, 42, 4) in (WRONG_STATE, ABORTABLE)


# ---- many ----


def test_producers_of_many_partitions_on_many_shards():
    with Broker(shards=3) as broker, broker.connect() as connection:
        connection.create_topic("wide", 12)
        several = [TransactionalProducer(connection, f"p{i}") for i in range(6)]
        for turn in range(4):
            for producer in several:
                for partition in range(12):
                    assert producer.produce("wide", partition, [b"%d" % turn]) >= 0
            for index, producer in enumerate(several):
                producer.end((index + turn) % 2 == 0)
        for producer in several:
            eventually(
                "all have ended",
                lambda: describe(connection, producer.name)["topics"] == [],
            )
        for partition in range(12):
            assert last_stable(connection, "wide", partition) == 4 * 6 * 2
            assert len(committed_values(connection, "wide", partition)) == 4 * 3


# ---- what happens meanwhile ----


def test_clients_that_vanish_while_the_coordinator_is_asked(broker, connection, topic):
    connection.create_topic(topic, 2)
    for index in range(30):
        with broker.connect() as gone:
            producer = TransactionalProducer(gone, f"{topic}-{index}", timeout_ms=500)
            for partition in (0, 1):
                records = producer.batch([b"a"], 0)
                gone.send("Produce", 12, **producer.produce_request(topic, partition, records))
            if index % 2:
                gone.reset()
    for partition in (0, 1):
        eventually(
            "nothing is open",
            lambda: last_stable(connection, topic, partition)
            == connection.list_offset(topic, partition, -1)["offset"],
        )
        assert committed_values(connection, topic, partition) == []


def test_a_topic_that_goes_while_the_coordinator_is_asked(broker, connection, topic):
    for turn in range(5):
        name = f"{topic}-{turn}"
        connection.create_topic(name)
        with broker.connect() as other:
            producer = TransactionalProducer(other, name)
            for sequence in range(5):
                records = producer.batch([b"a"], sequence)
                other.send("Produce", 12, **producer.produce_request(name, 0, records))
            connection.request("DeleteTopics", 5, topic_names=[name], timeout_ms=30000)
            codes = set()
            for _ in range(5):
                row = other.receive()[1]["responses"][0]["partition_responses"][0]
                codes.add(row["error_code"])
            assert codes <= {NONE, UNKNOWN_PARTITION, 6, OUT_OF_ORDER, 48, ABORTABLE}
            producer.abort()
            wait_state(connection, name, "CompleteAbort")


def test_a_broker_stops_while_transactions_are_begun():
    with Broker(shards=2) as broker:
        with broker.connect() as connection:
            connection.create_topic("wide", 8)
            producer = TransactionalProducer(connection, "p")
            for partition in range(8):
                records = producer.batch([b"a"], 0)
                connection.send(
                    "Produce", 12, **producer.produce_request("wide", partition, records)
                )
            broker.stop()
