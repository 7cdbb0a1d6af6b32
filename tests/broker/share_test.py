"""Share groups, record by record: who is given what, what becomes of it, and what a crash leaves."""

import random
import time

import pytest

import shares
from harness import Broker, eventually
from records import batch
from shares import ACCEPT, CLOSE, OPEN, REJECT, RELEASE, Member
from transactional import TransactionalProducer, last_stable

INVALID_RECORD_STATE, SESSION_NOT_FOUND, INVALID_SESSION_EPOCH = 121, 122, 123
UNKNOWN_PARTITION, UNKNOWN_TOPIC_ID, INVALID_REQUEST = 3, 100, 42
GROUP_ID_NOT_FOUND, UNKNOWN_MEMBER_ID, FENCED_EPOCH = 69, 25, 110
SET, APPEND = 0, 2  # of IncrementalAlterConfigs
LOCK_MS = 400
FOREVER_MS = 600_000
DELIVERIES = 3
SETTINGS = {"group.share.delivery.count.limit": DELIVERIES}


@pytest.fixture(scope="module")
def shared_broker():
    with Broker(settings=SETTINGS) as broker:
        yield broker


@pytest.fixture
def group(topic, connection):
    """Reads from the first record on."""
    name = f"sharers-of-{topic}"
    shares.configure(connection, name, auto_offset_reset="earliest")
    return name


@pytest.fixture
def topic_id(connection, topic):
    return connection.create_topic(topic, 1)


@pytest.fixture
def member(broker, group, topic, topic_id):
    with Member(broker, group, topic, topic_id) as member:
        yield member


def produce(connection, topic, count, partition=0):
    for i in range(count):
        connection.produce(topic, partition, [b"value-%d" % i])


# ---- membership ----


def test_a_member_is_given_all_partitions_and_more_share_them(broker, connection, topic):
    topic_id = connection.create_topic(topic, 3)
    with Member(broker, "g-" + topic, topic, topic_id, join=False) as first:
        answer = first.join()
        rows = answer["assignment"]["topic_partitions"]
        assert [(row["topic_id"], sorted(row["partitions"])) for row in rows] == [
            (topic_id, [0, 1, 2])
        ]
        others = [Member(broker, "g-" + topic, topic, topic_id) for _ in range(4)]
        body = connection.request("ShareGroupDescribe", 1, group_ids=["g-" + topic])
        described = body["groups"][0]
        assert described["error_code"] == 0 and described["group_state"] == "Stable"
        assert len(described["members"]) == 5
        for each in [first, *others]:
            each.beat()
        body = connection.request("ShareGroupDescribe", 1, group_ids=["g-" + topic])
        held = [
            partition
            for each in body["groups"][0]["members"]
            for row in each["assignment"]["topic_partitions"]
            for partition in row["partitions"]
        ]
        assert set(held) == {0, 1, 2} and len(held) == 5
        for each in others:
            each.connection.close()


def test_epochs_of_members(member):
    assert member.epoch > 0
    assert member.beat()["error_code"] == 0
    member.epoch += 7
    assert member.beat()["error_code"] == FENCED_EPOCH
    assert member.leave()["error_code"] == 0
    assert member.beat()["error_code"] == UNKNOWN_MEMBER_ID


def test_listed_described_and_deleted_like_other_groups(member, connection):
    body = connection.request("ListGroups", 5, types_filter=["share"])
    assert [row["group_state"] for row in body["groups"] if row["group_id"] == member.group] == [
        "Stable"
    ]
    body = connection.request("DeleteGroups", 2, groups_names=[member.group])
    assert body["results"][0]["error_code"] == 68  # not empty
    member.leave()
    body = connection.request("DeleteGroups", 2, groups_names=[member.group])
    assert body["results"][0]["error_code"] == 0
    body = connection.request("ShareGroupDescribe", 1, group_ids=[member.group])
    assert body["groups"][0]["error_code"] == GROUP_ID_NOT_FOUND


# ---- transactions ----


def test_markers_of_transactions_are_given_to_nobody(connection, topic, topic_id, member):
    producer = TransactionalProducer(connection, topic)
    for value in (b"a", b"b", b"c"):
        producer.produce(topic, 0, [value])
        producer.commit()
    eventually("the last marker", lambda: last_stable(connection, topic) == 6)
    offsets = []
    while len(offsets) < 3:
        offsets += member.take_some(records=2)
    assert offsets == [0, 2, 4]
    for offset in offsets:
        member.acknowledge(offset, offset, [ACCEPT])
    assert member.take() == []
    connection.produce(topic, 0, [b"plain"])
    assert member.take_some() == [6]


# ---- settings ----


def test_a_group_begins_at_the_end_unless_told_otherwise(broker, connection, topic, topic_id):
    produce(connection, topic, 3)
    with Member(broker, "latest-" + topic, topic, topic_id) as member:
        assert member.take() == []
        produce(connection, topic, 2)
        assert member.take() == [3, 4]


def test_settings_of_a_group_are_described(connection, group):
    body = connection.request(
        "DescribeConfigs", 4, resources=[{"resource_type": 32, "resource_name": group, "configuration_keys": None}]
    )
    found = {row["name"]: row["value"] for row in body["results"][0]["configs"]}
    assert found["share.auto.offset.reset"] == "earliest"
    assert found["share.record.lock.duration.ms"] == "30000"


@pytest.mark.parametrize("key, operation, value", [
    ("share.auto.offset.reset", SET, "sometimes"),
    ("share.auto.offset.resett", SET, "latest"),
    ("share.isolation.level", SET, "read_committed"),
    ("share.record.lock.duration.ms", SET, "0"),
    ("share.record.lock.duration.ms", SET, None),
    ("share.record.lock.duration.ms", APPEND, "20000"),
])
def test_settings_that_make_no_sense_are_refused(connection, group, key, operation, value):
    body = connection.request(
        "IncrementalAlterConfigs", 1,
        resources=[{"resource_type": 32, "resource_name": group,
                    "configs": [{"name": key, "config_operation": operation, "value": value}]}])
    assert body["responses"][0]["error_code"] == 40
    body = connection.request(
        "IncrementalAlterConfigs", 1,
        resources=[{"resource_type": 32, "resource_name": "", "configs": []}])
    assert body["responses"][0]["error_code"] == INVALID_REQUEST


# ---- records ----


def test_acquired_records_are_not_given_to_others(broker, member, connection, topic, topic_id):
    produce(connection, topic, 10)
    assert member.take(records=6) == list(range(6))
    with Member(broker, member.group, topic, topic_id) as other:
        assert other.take() == [6, 7, 8, 9]
        assert other.acknowledge(0, 0, ACCEPT) == INVALID_RECORD_STATE
        assert other.acknowledge(6, 9, ACCEPT) == 0
        assert other.acknowledge(6, 9, ACCEPT) == INVALID_RECORD_STATE


def test_part_of_a_batch_is_given_and_the_rest_later(member, connection, topic):
    connection.produce(topic, 0, [b"%d" % i for i in range(10)])
    rows = member.fetch(records=4)
    assert rows[0].offsets == [0, 1, 2, 3] and len(rows[0].batches) == 1
    assert member.take(records=4) == [4, 5, 6, 7]
    assert member.take(records=4) == [8, 9]
    assert member.take(records=4) == []


def test_only_batches_with_records_of_the_member_are_sent(member, connection, topic):
    produce(connection, topic, 10)
    rows = member.fetch(records=2)
    assert [each.base_offset for each in rows[0].batches] == [0, 1]


def test_acquired_runs_are_cut_to_the_batch_size_asked_for(member, connection, topic):
    produce(connection, topic, 5)
    assert member.fetch(batch_size=2)[0].runs == [(0, 1, 1), (2, 3, 1), (4, 4, 1)]


def test_accept_release_reject_and_gap(member, connection, topic):
    produce(connection, topic, 4)
    assert member.take() == [0, 1, 2, 3]
    assert member.acknowledge(0, 3, [ACCEPT, RELEASE, REJECT, 0]) == 0
    rows = member.fetch()
    assert rows[0].runs == [(1, 1, 2)]
    assert member.acknowledge(1, 1, ACCEPT) == 0
    assert member.take() == []


def test_acknowledgements_travel_with_a_fetch(member, connection, topic):
    produce(connection, topic, 3)
    assert member.take() == [0, 1, 2]
    rows = member.fetch({0: [(0, 1, ACCEPT), (2, 2, RELEASE)]})
    assert rows[0].acknowledge_error == 0 and rows[0].runs == [(2, 2, 2)]
    rows = member.fetch({0: [(0, 0, ACCEPT)]})
    assert rows[0].acknowledge_error == INVALID_RECORD_STATE


def test_a_record_delivered_too_often_is_given_no_more(member, connection, topic):
    produce(connection, topic, 2)
    for delivery in (1, 2, 3):
        rows = member.fetch()
        assert rows[0].runs[0] == (0, 0, delivery) or rows[0].runs[0] == (0, 1, delivery)
        assert member.acknowledge(0, 0, RELEASE) == 0
        if delivery == 1:
            assert member.acknowledge(1, 1, ACCEPT) == 0
    assert member.take() == []


def test_a_lock_ends_and_the_record_goes_to_another(broker, connection, topic, topic_id):
    name = "locks-" + topic
    shares.configure(connection, name, auto_offset_reset="earliest",
                     record_lock_duration_ms=LOCK_MS)
    produce(connection, topic, 2)
    with Member(broker, name, topic, topic_id) as first, \
            Member(broker, name, topic, topic_id) as second:
        body = first.fetch_body()
        assert body["acquisition_lock_timeout_ms"] == LOCK_MS
        assert second.fetch(wait_ms=FOREVER_MS)[0].runs == [(0, 1, 2)]
        assert first.acknowledge(0, 1, ACCEPT) == INVALID_RECORD_STATE


def test_a_fetch_waits_for_records_and_for_released_ones(broker, member, connection, topic, topic_id):
    assert member.take() == []
    member.begin_fetch()
    produce(connection, topic, 1)
    assert member.end_fetch()[0].offsets == [0]
    with Member(broker, member.group, topic, topic_id) as other:
        assert other.take() == []
        other.begin_fetch()
        assert member.acknowledge(0, 0, RELEASE) == 0
        assert other.end_fetch()[0].runs == [(0, 0, 2)]


def test_a_wait_ends_in_its_time(member):
    begun = time.monotonic()
    assert member.take(wait_ms=300) == []
    assert time.monotonic() - begun >= 0.3


def test_partitions_of_several_shards_are_read_and_acknowledged_together(broker, connection, topic):
    topic_id = connection.create_topic(topic, 4)
    name = "wide-" + topic
    shares.configure(connection, name, auto_offset_reset="earliest")
    for partition in range(4):
        produce(connection, topic, 3, partition)
    with Member(broker, name, topic, topic_id, range(4)) as member:
        taken = {index: each.offsets for index, each in member.fetch().items()}
        assert taken == {index: [0, 1, 2] for index in range(4)}
        body = member.acknowledge_body({index: [(0, 2, ACCEPT)] for index in range(4)})
        assert [row["error_code"] for row in body["responses"][0]["partitions"]] == [0] * 4
        assert member.fetch() == {}
        member.begin_fetch()
        produce(connection, topic, 1, 3)
        assert {index: each.offsets for index, each in member.end_fetch().items()} == {3: [3]}


def test_records_that_are_deleted_are_not_waited_for(member, connection, topic):
    produce(connection, topic, 5)
    assert member.take(records=1) == [0]
    connection.request(
        "DeleteRecords", 2, timeout_ms=10000,
        topics=[{"name": topic, "partitions": [{"partition_index": 0, "offset": 3}]}])
    assert member.take() == [3, 4]


def test_members_that_come_and_go_lose_no_record_and_get_none_twice(broker, connection, topic):
    """A connection that is reset gives back; what was acknowledged is never given again."""
    topic_id = connection.create_topic(topic, 3)
    name = "many-" + topic
    shares.configure(connection, name, auto_offset_reset="earliest")
    everything = {(partition, offset) for partition in range(3) for offset in range(100)}
    for partition in range(3):
        for _ in range(10):
            connection.produce(topic, partition, [b"x"] * 10)
    chance, done = random.Random(4), set()
    members = [Member(broker, name, topic, topic_id, range(3)) for _ in range(4)]
    deadline = time.monotonic() + 60
    while done != everything:
        assert time.monotonic() < deadline, everything - done
        at = chance.randrange(4)
        if chance.random() < 0.1:
            members[at].connection.reset()
            members[at] = Member(broker, name, topic, topic_id, range(3), join=False)
        taken = members[at].fetch(records=chance.randint(1, 30), wait_ms=20)
        for partition, each in taken.items():
            assert not done & {(partition, offset) for offset in each.offsets}
            for first, last, count in each.runs:
                type_ = ACCEPT if count > 1 else chance.choice([ACCEPT, RELEASE])
                if count < DELIVERIES and chance.random() < 0.2:
                    continue
                assert members[at].acknowledge(first, last, type_, partition) == 0
                if type_ == ACCEPT:
                    done |= {(partition, offset) for offset in range(first, last + 1)}
        if chance.random() < 0.2:
            members[at].connection.reset()
            members[at] = Member(broker, name, topic, topic_id, range(3), join=False)
    for member in members:
        assert member.fetch() == {}
        member.connection.close()


# ---- sessions ----


def test_session_epochs(member, connection, topic):
    assert member.fetch_body(epoch=5)["error_code"] == SESSION_NOT_FOUND
    assert member.fetch_body()["error_code"] == 0
    assert member.fetch_body(epoch=7)["error_code"] == INVALID_SESSION_EPOCH
    assert member.acknowledge_body({}, epoch=OPEN)["error_code"] == INVALID_SESSION_EPOCH
    assert member.fetch_body()["error_code"] == 0
    assert member.acknowledge_body({}, epoch=CLOSE)["error_code"] == 0
    assert member.fetch_body(epoch=2)["error_code"] == SESSION_NOT_FOUND


def test_a_session_that_closes_gives_back_what_the_member_has(broker, member, connection, topic,
                                                             topic_id):
    produce(connection, topic, 3)
    assert member.take() == [0, 1, 2]
    body = member.acknowledge_body({0: [(0, 0, ACCEPT)]}, epoch=CLOSE)
    assert body["error_code"] == 0
    with Member(broker, member.group, topic, topic_id) as other:
        assert other.take_some() == [1, 2]


def test_a_connection_that_ends_gives_back_what_its_member_has(broker, member, connection, topic,
                                                              topic_id):
    produce(connection, topic, 3)
    with Member(broker, member.group, topic, topic_id) as first:
        assert first.take() == [0, 1, 2]
        assert first.acknowledge(1, 1, ACCEPT) == 0
        first.connection.reset()
    assert member.take_some() == [0, 2]


def test_a_session_begun_anew_gives_back(member, connection, topic):
    produce(connection, topic, 2)
    assert member.take() == [0, 1]
    member.session = OPEN
    assert member.take_some() == [0, 1]


def test_forgotten_partitions_are_read_no_more(member, connection, topic):
    assert member.take() == []
    produce(connection, topic, 1)
    assert member.take(forgotten_topics_data=[
        {"topic_id": member.topic_id, "partitions": [0]}]) == []


def test_what_does_not_exist_is_refused(broker, connection, topic, topic_id, group):
    with Member(broker, group, topic, bytes(15) + b"\1", join=False) as lost:
        assert lost.fetch()[0].error == UNKNOWN_TOPIC_ID
    with Member(broker, group, topic, topic_id, [9]) as beyond:
        assert beyond.fetch()[9].error == UNKNOWN_PARTITION
    with Member(broker, "no-group-" + topic, topic, topic_id, join=False) as stranger:
        assert stranger.fetch()[0].error == UNKNOWN_PARTITION
    with Member(broker, "", topic, topic_id, join=False) as nameless:
        assert nameless.fetch_body()["error_code"] == INVALID_REQUEST


def test_acknowledgements_that_make_no_sense_are_refused(member, connection, topic):
    produce(connection, topic, 3)
    assert member.take() == [0, 1, 2]
    assert member.acknowledge(2, 0, ACCEPT) == INVALID_REQUEST
    assert member.acknowledge(0, 2, [ACCEPT, ACCEPT]) == INVALID_REQUEST
    assert member.acknowledge(0, 0, []) == INVALID_REQUEST
    assert member.acknowledge(0, 0, 9) == INVALID_REQUEST
    assert member.acknowledge(0, 99, ACCEPT) == INVALID_RECORD_STATE
    assert member.acknowledge(0, 2, ACCEPT) == 0


# ---- what a crash leaves ----


def test_after_a_crash_only_what_was_not_acknowledged_is_given(topic):
    with Broker(settings=SETTINGS) as broker:
        with broker.connect() as connection:
            topic_id = connection.create_topic(topic, 2)
            shares.configure(connection, "g", auto_offset_reset="earliest")
            for partition in (0, 1):
                produce(connection, topic, 10, partition)
            with Member(broker, "g", topic, topic_id, [0, 1]) as member:
                member.fetch()
                for partition in (0, 1):
                    assert member.acknowledge(0, 3, ACCEPT, partition) == 0
                    assert member.acknowledge(5, 5, REJECT, partition) == 0
                    assert member.acknowledge(6, 6, RELEASE, partition) == 0
        broker.kill()
        broker.start()
        with Member(broker, "g", topic, topic_id, [0, 1]) as member:
            rows = eventually("records", lambda: member.fetch(wait_ms=500))
            for partition in (0, 1):
                assert rows[partition].offsets == [4, 6, 7, 8, 9]
            assert [count for first, last, count in rows[0].runs if first <= 6 <= last] == [2]


def test_where_a_group_began_is_not_forgotten(topic):
    with Broker() as broker:
        with broker.connect() as connection:
            topic_id = connection.create_topic(topic, 1)
            produce(connection, topic, 2)
            with Member(broker, "g", topic, topic_id) as member:
                assert member.take() == []
            produce(connection, topic, 2)
        broker.kill()
        broker.start()
        with Member(broker, "g", topic, topic_id) as member:
            assert member.take_some() == [2, 3]


def test_a_group_deleted_and_made_anew_begins_anew(broker, connection, topic, topic_id, group):
    produce(connection, topic, 2)
    with Member(broker, group, topic, topic_id) as member:
        assert member.take() == [0, 1]
        assert member.acknowledge(0, 1, ACCEPT) == 0
        member.leave()
        body = connection.request("DeleteGroups", 2, groups_names=[group])
        assert body["results"][0]["error_code"] == 0
        with Member(broker, group, topic, topic_id) as other:
            assert other.take() == [0, 1]


def test_a_topic_that_is_deleted_takes_its_shares_along(broker, member, connection, topic):
    produce(connection, topic, 2)
    assert member.take() == [0, 1]
    member.begin_fetch()
    connection.request("DeleteTopics", 5, topic_names=[topic], timeout_ms=10000)
    assert member.end_fetch()[0].error in (UNKNOWN_PARTITION, UNKNOWN_TOPIC_ID)
    assert member.fetch()[0].error == UNKNOWN_TOPIC_ID


def test_a_clean_stop_with_records_out(topic):
    with Broker() as broker:
        with broker.connect() as connection:
            topic_id = connection.create_topic(topic, 1)
            shares.configure(connection, "g", auto_offset_reset="earliest")
            connection.produce_batch(topic, 0, batch([b"a", b"b"]))
        with Member(broker, "g", topic, topic_id) as member:
            assert member.take() == [0, 1]
            assert member.acknowledge(0, 0, ACCEPT) == 0
            broker.stop()
        broker.start()
        with Member(broker, "g", topic, topic_id) as member:
            assert member.take_some() == [1]
