"""Fetch: limits, long polls and who wakes them, positions outside the log, sessions, isolation."""

import time

import pytest

from harness import eventually
from messages import MESSAGES
from records import batch, batches, values_of

NONE, OUT_OF_RANGE, UNKNOWN_TOPIC = 0, 1, 3
NO_SESSION, FENCED_EPOCH, UNKNOWN_EPOCH, UNKNOWN_ID = 70, 74, 75, 100
FOREVER = 60_000


def send_fetch(connection, topic, partitions, max_wait_ms, min_bytes=1, version=11, **fields):
    return connection.send(
        "Fetch",
        version,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=1 << 20,
        topics=[
            {
                "topic": topic,
                "partitions": [
                    {"partition": index, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
                    for index, offset in partitions
                ],
            }
        ],
        **fields,
    )


def rows_of(body):
    return {row["partition_index"]: row for row in body["responses"][0]["partitions"]}


def epoch_of(connection, topic):
    body = connection.request("Metadata", 9, topics=[{"name": topic}])
    return body["topics"][0]["partitions"][0]["leader_epoch"]


# ---- versions ----


@pytest.mark.parametrize("version", range(4, 19))
def test_every_version_reads_back(connection, topic, version):
    topic_id = connection.create_topic(topic)
    connection.produce(topic, 0, [b"a", b"b"])
    named = {"topic": topic} if version < 13 else {"topic_id": topic_id}
    body = connection.request(
        "Fetch",
        version,
        max_wait_ms=0,
        max_bytes=1 << 20,
        topics=[{**named, "partitions": [{"partition": 0, "partition_max_bytes": 1 << 20}]}],
    )
    (row,) = body["responses"][0]["partitions"]
    assert (row["error_code"], row["high_watermark"], row["last_stable_offset"]) == (NONE, 2, 2)
    if version >= 5:
        assert row["log_start_offset"] == 0
    (got,) = batches(row["records"])
    assert [value for _, _, _, value in got.records()] == [b"a", b"b"]
    if version >= 13:
        assert body["responses"][0]["topic_id"] == topic_id


def test_the_range_served_is_the_range_tested(connection):
    served = {row["api_key"]: row for row in connection.request("ApiVersions", 3)["api_keys"]}
    row = served[MESSAGES["request", "Fetch"].key]
    assert (row["min_version"], row["max_version"]) == (4, 18)


def test_an_unknown_topic_id_is_told_apart(connection):
    body = connection.request(
        "Fetch",
        13,
        max_wait_ms=FOREVER,
        max_bytes=1 << 20,
        topics=[{"topic_id": bytes(range(16)), "partitions": [{"partition": 0}]}],
    )
    assert body["responses"][0]["partitions"][0]["error_code"] == UNKNOWN_ID


# ---- positions ----


@pytest.mark.parametrize("offset", [-1, 3, 2**62, -(2**63), 2**63 - 1])
def test_an_offset_outside_the_log_is_out_of_range_at_once(connection, topic, offset):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a", b"b"])
    row = connection.fetch(topic, 0, offset, max_wait_ms=FOREVER)
    assert row["error_code"] == OUT_OF_RANGE
    assert not row["records"]


def test_the_middle_of_a_batch_gives_the_whole_batch(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"0", b"1", b"2"])
    (got,) = connection.fetch_batches(topic, 0, 1)
    assert (got.base_offset, got.count) == (0, 3)
    assert connection.fetch_values(topic, 0, 1) == [b"1", b"2"]


@pytest.mark.parametrize("partition", [-1, 1, 2**31 - 1])
def test_an_unknown_partition_is_told_at_once_beside_the_others(connection, topic, partition):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a"])
    send_fetch(connection, topic, [(0, 0), (partition, 0)], FOREVER, min_bytes=1 << 20)
    rows = rows_of(connection.receive()[1])
    assert rows[partition]["error_code"] == UNKNOWN_TOPIC
    assert rows[0]["error_code"] == NONE


def test_leader_epochs_are_checked(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a"])
    epoch = epoch_of(connection, topic)

    def code(given):
        body = connection.request(
            "Fetch",
            11,
            max_wait_ms=0,
            max_bytes=1 << 20,
            topics=[
                {
                    "topic": topic,
                    "partitions": [
                        {"partition": 0, "current_leader_epoch": given, "partition_max_bytes": 100}
                    ],
                }
            ],
        )
        return body["responses"][0]["partitions"][0]["error_code"]

    assert [code(-1), code(epoch), code(epoch + 1)] == [NONE, NONE, UNKNOWN_EPOCH]
    if epoch > 0:
        assert code(epoch - 1) == FENCED_EPOCH


# ---- limits ----


def test_the_first_batch_comes_whatever_the_limits(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"x" * 100_000])
    connection.produce(topic, 0, [b"y" * 100_000])
    for limits in (
        {"max_bytes": 1},
        {"partition_max_bytes": 1},
        {"max_bytes": 0},
        {"partition_max_bytes": 0},
        {"max_bytes": -1},
        {"partition_max_bytes": -(2**31)},
    ):
        got = connection.fetch_batches(topic, 0, 0, **limits)
        assert [(each.base_offset, each.count) for each in got] == [(0, 1)], limits
        got[0].check()


def test_a_batch_of_many_mebibytes_comes_back_whole(connection, topic):
    connection.create_topic(topic, 1, {"max.message.bytes": 64 << 20})
    sent = batch([b"x" * (24 << 20)])
    assert connection.produce_batch(topic, 0, sent)["error_code"] == NONE
    (got,) = connection.fetch_batches(topic, 0, 0)
    assert got.raw[16:] == sent[16:]
    connection.produce(topic, 0, [b"behind"])
    assert connection.fetch_values(topic, 0, 1) == [b"behind"]


def test_partition_max_bytes_bounds_the_batches(connection, topic):
    connection.create_topic(topic)
    for _ in range(20):
        connection.produce(topic, 0, [b"x" * 1000])
    size = len(connection.fetch_batches(topic, 0, 0)[0].raw)
    assert len(connection.fetch_batches(topic, 0, 0)) == 20
    got = connection.fetch_batches(topic, 0, 0, partition_max_bytes=5 * size)
    assert 1 <= len(got) <= 5
    got = connection.fetch_batches(topic, 0, 0, partition_max_bytes=5 * size + size // 2)
    assert 1 <= len(got) <= 5


def test_max_bytes_bounds_the_answer_and_everything_is_read_in_turns(connection, topic):
    connection.create_topic(topic, 4)
    for index in range(4):
        for turn in range(10):
            connection.produce(topic, index, [b"%d" % turn + b"x" * 1000])
    at = dict.fromkeys(range(4), 0)
    turns = 0
    while any(offset < 10 for offset in at.values()):
        turns += 1
        assert turns < 100, f"no progress: {at}"
        body = connection.request(
            "Fetch",
            11,
            max_wait_ms=1000,
            min_bytes=1,
            max_bytes=5000,
            topics=[
                {
                    "topic": topic,
                    "partitions": [
                        {"partition": i, "fetch_offset": at[i], "partition_max_bytes": 1 << 20}
                        # As clients do: what got nothing comes first the next time.
                        for i in sorted(at, key=lambda i: at[i])
                    ],
                }
            ],
        )
        size = 0
        for index, row in rows_of(body).items():
            assert row["error_code"] == NONE
            size += len(row["records"])
            for got in batches(row["records"]):
                assert got.base_offset == at[index]
                at[index] = got.next_offset
        assert 0 < size <= 5000
    assert turns >= 8


# ---- long polls ----


def test_an_empty_poll_returns_after_its_wait(connection, topic):
    connection.create_topic(topic)
    begun = time.monotonic()
    row = connection.fetch(topic, 0, 0, max_wait_ms=300)
    assert time.monotonic() - begun >= 0.3
    assert (row["error_code"], row["high_watermark"]) == (NONE, 0)
    assert not row["records"]


def test_a_poll_without_wait_returns_at_once(connection, topic):
    connection.create_topic(topic)
    for wait in (0, -1, -(2**31)):
        row = connection.fetch(topic, 0, 0, max_wait_ms=wait, min_bytes=1 << 20)
        assert row["error_code"] == NONE


def test_min_bytes_0_does_not_wait(connection, topic):
    connection.create_topic(topic)
    assert connection.fetch(topic, 0, 0, max_wait_ms=FOREVER, min_bytes=0)["error_code"] == NONE


@pytest.mark.tsan
@pytest.mark.parametrize("partition", range(4))
def test_an_append_wakes_a_poll_on_every_shard(broker, topic, partition):
    with broker.connect() as reader, broker.connect() as writer:
        writer.create_topic(topic, 4)
        # On all four, so that the poll is parked on every shard, this connection's own and others.
        send_fetch(reader, topic, [(i, 0) for i in range(4)], FOREVER)
        writer.produce(topic, partition, [b"wake"])
        rows = rows_of(reader.receive()[1])
        assert [
            batches(row["records"])[0].base_offset if row["records"] else None
            for _, row in sorted(rows.items())
        ] == [0 if i == partition else None for i in range(4)]


@pytest.mark.tsan
def test_a_poll_of_the_longest_wait_is_woken_too(broker, topic):
    with broker.connect() as reader, broker.connect() as writer:
        writer.create_topic(topic)
        send_fetch(reader, topic, [(0, 0)], 2**31 - 1)
        writer.produce(topic, 0, [b"wake"], acks=1)
        assert rows_of(reader.receive()[1])[0]["records"]


def test_a_poll_waits_for_min_bytes(broker, topic):
    with broker.connect() as reader, broker.connect() as writer:
        writer.create_topic(topic)
        size = len(batch([b"x" * 1000]))
        send_fetch(reader, topic, [(0, 0)], FOREVER, min_bytes=3 * size)
        for _ in range(2):
            writer.produce(topic, 0, [b"x" * 1000])
        reader.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            reader.socket.recv(1)
        reader.socket.settimeout(60)
        writer.produce(topic, 0, [b"x" * 1000])
        assert len(batches(rows_of(reader.receive()[1])[0]["records"])) == 3


def test_a_poll_gives_what_there_is_when_its_wait_is_over(broker, topic):
    with broker.connect() as reader, broker.connect() as writer:
        writer.create_topic(topic)
        writer.produce(topic, 0, [b"little"])
        row = reader.fetch(topic, 0, 0, max_wait_ms=200, min_bytes=1 << 20)
        assert len(batches(row["records"])) == 1


def test_requests_behind_a_poll_wait_for_it_and_keep_their_order(broker, topic):
    with broker.connect() as reader, broker.connect() as writer:
        writer.create_topic(topic)
        first = send_fetch(reader, topic, [(0, 0)], FOREVER)
        second = reader.send("ApiVersions", 3)
        writer.produce(topic, 0, [b"wake"])
        assert [reader.receive()[0], reader.receive()[0]] == [first, second]


def test_many_polls_of_one_partition_all_wake(broker, topic):
    with broker.connect() as writer:
        writer.create_topic(topic)
        readers = [broker.connect() for _ in range(50)]
        for reader in readers:
            send_fetch(reader, topic, [(0, 0)], FOREVER)
        writer.produce(topic, 0, [b"wake"])
        for reader in readers:
            assert rows_of(reader.receive()[1])[0]["records"]
            reader.close()


def test_a_poller_that_goes_away_is_forgotten(broker, topic):
    with broker.connect() as writer:
        writer.create_topic(topic)
        before = broker.fd_count()
        gone = [broker.connect() for _ in range(50)]
        for each in gone:
            send_fetch(each, topic, [(0, 0)], FOREVER)
        for index, each in enumerate(gone):
            each.reset() if index % 2 else each.close()
        eventually(
            "closed connections give their descriptors back", lambda: broker.fd_count() <= before
        )
        writer.produce(topic, 0, [b"x"])
        assert writer.fetch_values(topic, 0, 0) == [b"x"]


def test_a_deleted_topic_ends_its_polls(broker, topic):
    with broker.connect() as reader, broker.connect() as writer:
        writer.create_topic(topic, 2)
        send_fetch(reader, topic, [(0, 0), (1, 0)], FOREVER)
        writer.request("DeleteTopics", 5, topic_names=[topic], timeout_ms=30000)
        rows = rows_of(reader.receive()[1])
        assert {row["error_code"] for row in rows.values()} & {UNKNOWN_TOPIC, 6, UNKNOWN_ID}


# ---- sessions and isolation ----


def test_sessions_are_declined(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a"])
    body = connection.request(
        "Fetch",
        11,
        max_wait_ms=0,
        max_bytes=1 << 20,
        session_id=0,
        session_epoch=0,
        topics=[{"topic": topic, "partitions": [{"partition": 0, "partition_max_bytes": 1 << 20}]}],
    )
    assert (body["error_code"], body["session_id"]) == (NONE, 0)
    assert rows_of(body)[0]["records"]
    body = connection.request(
        "Fetch", 11, max_wait_ms=0, max_bytes=1 << 20, session_id=77, session_epoch=3
    )
    assert (body["error_code"], body["responses"]) == (NO_SESSION, [])


@pytest.mark.parametrize("isolation", [0, 1])
def test_both_isolation_levels_read_what_has_no_transaction(connection, topic, isolation):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a"])
    row = connection.fetch(topic, 0, 0, isolation_level=isolation)
    assert len(batches(row["records"])) == 1
    assert row["last_stable_offset"] == row["high_watermark"] == 1
    assert row["aborted_transactions"] in (None, [])


def test_a_fetch_of_nothing_is_answered(connection):
    body = connection.request("Fetch", 11, max_wait_ms=100, max_bytes=1 << 20)
    assert (body["error_code"], body["responses"]) == (NONE, [])


@pytest.mark.tsan
def test_one_partition_asked_twice_is_answered_twice(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a"])
    connection.produce(topic, 0, [b"b"])
    send_fetch(connection, topic, [(0, 0), (0, 1)], 1000)
    rows = connection.receive()[1]["responses"][0]["partitions"]
    assert [[b.base_offset for b in batches(row["records"])] for row in rows] == [[0, 1], [1]]


def test_an_answer_of_many_partitions_with_records_arrives_whole(connection, topic):
    """Thousands of pieces of memory: more than one system call takes."""
    count = 600
    connection.create_topic(topic, count)
    for index in range(0, count, 100):
        connection.request(
            "Produce",
            9,
            acks=-1,
            timeout_ms=30000,
            topic_data=[
                {
                    "name": topic,
                    "partition_data": [
                        {"index": i, "records": batch([b"%d" % i])}
                        for i in range(index, index + 100)
                    ],
                }
            ],
        )
    for _ in range(2):
        send_fetch(connection, topic, [(i, 0) for i in range(count)], 1000)
    for _ in range(2):
        rows = rows_of(connection.receive()[1])
        assert {i: values_of(row["records"]) for i, row in rows.items()} == {
            i: [b"%d" % i] for i in range(count)
        }


def test_a_fetch_of_very_many_partitions_answers_some_of_them(connection, topic):
    """An entry of some bytes costs us a read and its memory: so many at a time, the rest is asked
    for again."""
    connection.create_topic(topic)
    assert connection.produce(topic, 0, [b"x"]) == 0
    asked = 3000
    entry = {"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1000}
    for _ in range(2):
        body = connection.request(
            "Fetch",
            11,
            max_wait_ms=0,
            min_bytes=1,
            max_bytes=64 << 20,
            topics=[{"topic": topic, "partitions": [entry] * asked}],
        )
        rows = body["responses"][0]["partitions"]
        assert len(rows) == asked
        assert all(row["error_code"] == 0 and row["high_watermark"] == 1 for row in rows)
        assert sum(1 for row in rows if row["records"]) == 1024
    assert connection.fetch_values(topic, 0, 0) == [b"x"]
