"""ListOffsets, DeleteRecords, OffsetForLeaderEpoch."""

import gzip

import pytest

from harness import Broker
from records import batch

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC, UNSUPPORTED, INVALID = 0, 1, 3, 35, 42
FENCED_EPOCH, UNKNOWN_EPOCH = 74, 75
LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED = -1, -2, -3, -4, -5


@pytest.fixture
def stamped(connection, topic):
    """Offsets 0..5 with timestamps 1000, 2000, 3000 | 5000, 4000 | 6000."""
    connection.create_topic(topic, 1, {"retention.ms": -1})
    connection.produce(topic, 0, [b"0", b"1", b"2"], timestamp=1000, step=1000)
    connection.produce(topic, 0, [b"3", b"4"], timestamp=5000, step=-1000, max_timestamp=5000)
    connection.produce(topic, 0, [b"5"], timestamp=6000)
    return topic


def pair(answer):
    assert answer["error_code"] == NONE
    return answer["offset"], answer["timestamp"]


@pytest.mark.parametrize("version", range(1, 11))
def test_every_version_knows_both_ends(connection, stamped, version):
    assert pair(connection.list_offset(stamped, 0, LATEST, version)) == (6, -1)
    assert pair(connection.list_offset(stamped, 0, EARLIEST, version)) == (0, -1)


@pytest.mark.parametrize(
    "wanted, expected",
    [
        (0, (0, 1000)),
        (1000, (0, 1000)),
        (1001, (1, 2000)),
        (3000, (2, 3000)),
        (3001, (3, 5000)),
        (4500, (3, 5000)),
        (5001, (5, 6000)),
        (6000, (5, 6000)),
        (6001, (-1, -1)),
        (2**63 - 1, (-1, -1)),
    ],
)
def test_a_time_gives_the_first_record_at_or_after_it(connection, stamped, wanted, expected):
    assert pair(connection.list_offset(stamped, 0, wanted)) == expected


def test_the_maximum_timestamp_gives_its_record(connection, stamped):
    assert pair(connection.list_offset(stamped, 0, MAX_TIMESTAMP)) == (5, 6000)
    connection.produce(stamped, 0, [b"6"], timestamp=100)
    assert pair(connection.list_offset(stamped, 0, MAX_TIMESTAMP)) == (5, 6000)


def test_the_maximum_timestamp_of_nothing_is_none(connection, topic):
    connection.create_topic(topic)
    assert pair(connection.list_offset(topic, 0, MAX_TIMESTAMP)) == (-1, -1)
    assert pair(connection.list_offset(topic, 0, 0)) == (-1, -1)


def test_what_is_local_is_everything_and_nothing_is_tiered(connection, stamped):
    assert pair(connection.list_offset(stamped, 0, EARLIEST_LOCAL, 8)) == (0, -1)
    assert pair(connection.list_offset(stamped, 0, LATEST_TIERED, 9)) == (-1, -1)


def test_another_negative_time_is_refused(connection, stamped):
    assert connection.list_offset(stamped, 0, -77)["error_code"] in (UNSUPPORTED, INVALID)


def test_time_is_found_inside_a_compressed_batch(connection, topic):
    connection.create_topic(topic, 1, {"retention.ms": -1})
    connection.produce(
        topic, 0, [b"a", b"b", b"c"], timestamp=10, step=10, codec=1, compress=gzip.compress
    )
    assert pair(connection.list_offset(topic, 0, 15)) == (1, 20)


@pytest.mark.tsan
def test_partitions_of_every_shard_are_answered_in_one_request(connection, topic):
    connection.create_topic(topic, 8)
    for index in range(8):
        connection.produce(topic, index, [b"x"] * (index + 1))
    body = connection.request(
        "ListOffsets",
        7,
        replica_id=-1,
        topics=[
            {
                "name": topic,
                "partitions": [
                    {"partition_index": index, "timestamp": LATEST} for index in range(-1, 9)
                ],
            },
            {"name": "not-" + topic, "partitions": [{"partition_index": 0, "timestamp": LATEST}]},
        ],
    )
    rows = body["topics"][0]["partitions"]
    assert [(r["partition_index"], r["error_code"], r["offset"]) for r in rows] == [
        (-1, UNKNOWN_TOPIC, -1),
        *((i, NONE, i + 1) for i in range(8)),
        (8, UNKNOWN_TOPIC, -1),
    ]
    assert body["topics"][1]["partitions"][0]["error_code"] == UNKNOWN_TOPIC


def test_a_leader_epoch_from_elsewhere_is_refused(connection, stamped):
    def code(given):
        body = connection.request(
            "ListOffsets",
            7,
            replica_id=-1,
            topics=[
                {
                    "name": stamped,
                    "partitions": [
                        {"partition_index": 0, "timestamp": LATEST, "current_leader_epoch": given}
                    ],
                }
            ],
        )
        row = body["topics"][0]["partitions"][0]
        return row["error_code"], row["leader_epoch"]

    epoch = code(-1)[1]
    assert epoch >= 0
    assert code(epoch)[0] == NONE
    assert code(epoch + 1)[0] == UNKNOWN_EPOCH
    if epoch:
        assert code(epoch - 1)[0] == FENCED_EPOCH


# ---- DeleteRecords ----


def delete_records(connection, topic, offset, partition=0, version=2):
    body = connection.request(
        "DeleteRecords",
        version,
        timeout_ms=30000,
        topics=[{"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}],
    )
    row = body["topics"][0]["partitions"][0]
    return row["error_code"], row["low_watermark"]


@pytest.mark.parametrize("version", range(3))
def test_records_before_an_offset_are_deleted(connection, topic, version):
    connection.create_topic(topic)
    for value in (b"0", b"1", b"2", b"3"):
        connection.produce(topic, 0, [value])
    assert delete_records(connection, topic, 2, version=version) == (NONE, 2)
    assert connection.list_offset(topic, 0, EARLIEST)["offset"] == 2
    assert connection.fetch(topic, 0, 1)["error_code"] == OUT_OF_RANGE
    assert connection.fetch(topic, 0, 2)["log_start_offset"] == 2
    assert connection.fetch_values(topic, 0, 2) == [b"2", b"3"]
    # Never backwards.
    assert delete_records(connection, topic, 1, version=version) == (NONE, 2)


def test_deleting_up_to_the_high_watermark_leaves_nothing(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"0", b"1"])
    assert delete_records(connection, topic, -1) == (NONE, 2)
    assert connection.list_offset(topic, 0, EARLIEST)["offset"] == 2
    assert connection.fetch_values(topic, 0, 2) == []
    assert connection.produce(topic, 0, [b"2"]) == 2
    assert connection.fetch_values(topic, 0, 2) == [b"2"]


def test_deleting_inside_a_batch_moves_the_start_into_it(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"0", b"1", b"2"])
    assert delete_records(connection, topic, 1) == (NONE, 1)
    assert connection.fetch_values(topic, 0, 1) == [b"1", b"2"]


@pytest.mark.parametrize("offset", [3, 2**62, -2, -(2**63)])
def test_deleting_beyond_the_end_is_out_of_range(connection, topic, offset):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"0", b"1"])
    assert delete_records(connection, topic, offset) == (OUT_OF_RANGE, -1)
    assert connection.list_offset(topic, 0, EARLIEST)["offset"] == 0


def test_deleting_in_an_unknown_partition_is_refused(connection, topic):
    connection.create_topic(topic)
    assert delete_records(connection, topic, 0, partition=1)[0] == UNKNOWN_TOPIC
    assert delete_records(connection, "not-" + topic, 0)[0] == UNKNOWN_TOPIC


# ---- OffsetForLeaderEpoch ----


def epoch_end(connection, topic, epoch, current=-1, version=4):
    body = connection.request(
        "OffsetForLeaderEpoch",
        version,
        replica_id=-1,
        topics=[
            {
                "topic": topic,
                "partitions": [
                    {"partition": 0, "leader_epoch": epoch, "current_leader_epoch": current}
                ],
            }
        ],
    )
    row = body["topics"][0]["partitions"][0]
    return row["error_code"], row["leader_epoch"], row["end_offset"]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_current_epoch_ends_at_the_end(connection, topic, version):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"0", b"1"])
    epoch = connection.list_offset(topic, 0, LATEST)["leader_epoch"]
    assert epoch_end(connection, topic, epoch, version=version) == (NONE, epoch, 2)
    assert epoch_end(connection, topic, epoch, epoch, version) == (NONE, epoch, 2)


def test_a_later_epoch_gives_the_largest_there_is_and_an_earlier_one_nothing(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"0"])
    epoch = connection.list_offset(topic, 0, LATEST)["leader_epoch"]
    assert epoch_end(connection, topic, epoch + 5) == (NONE, epoch, 1)
    assert epoch_end(connection, topic, epoch - 1) == (NONE, -1, -1)
    assert epoch_end(connection, topic, epoch, epoch + 1)[0] == UNKNOWN_EPOCH
    assert epoch_end(connection, "not-" + topic, epoch)[0] == UNKNOWN_TOPIC


def test_each_batch_carries_the_epoch_of_its_time(topic):
    with Broker() as broker:
        epochs = []
        for turn in range(3):
            with broker.connect() as connection:
                connection.create_topic_if_missing(topic)
                connection.produce_batch(topic, 0, batch([b"%d" % turn]))
                epochs.append(connection.list_offset(topic, 0, LATEST)["leader_epoch"])
            broker.restart()
        assert epochs == sorted(set(epochs)), "an epoch is never used by two runs"
        with broker.connect() as connection:
            stored = connection.read_all(topic, 0)
            assert [each.leader_epoch for each in stored] == epochs
            for turn, epoch in enumerate(epochs):
                assert epoch_end(connection, topic, epoch) == (NONE, epoch, turn + 1)
