"""Produce: what is stored, what is refused and with which code, and that nothing of the refused is
stored."""

import gzip
import struct
import time
import zlib

import pytest

from harness import Broker, sanitized
from records import GZIP, HEADER_BYTES, LZ4, SNAPPY, ZSTD, batch, record, varint

NONE, OFFSET, CORRUPT, UNKNOWN_TOPIC, TOO_LARGE = 0, 1, 2, 3, 10
INVALID_TOPIC, BAD_ACKS, BAD_TIMESTAMP, BAD_CODEC, BAD_RECORD = 17, 21, 32, 76, 87
NOW = int(time.time() * 1000)


def end_offset(connection, topic, partition=0):
    return connection.list_offset(topic, partition, -1)["offset"]


# ---- acknowledgements ----


@pytest.mark.parametrize("version", range(3, 13))
def test_every_version_appends_and_says_where(connection, topic, version):
    connection.create_topic(topic)
    for expected in (0, 2):
        answer = connection.produce_batch(topic, 0, batch([b"a", b"b"]), version=version)
        assert (answer["error_code"], answer["base_offset"]) == (NONE, expected)
        assert answer["index"] == 0
        assert answer["log_append_time_ms"] == -1
        if version >= 5:
            assert answer["log_start_offset"] == 0
    assert connection.fetch_values(topic, 0, 0) == [b"a", b"b"] * 2


@pytest.mark.parametrize("acks", [1, -1])
def test_an_acknowledged_batch_is_read_back_as_sent(connection, topic, acks):
    connection.create_topic(topic)
    sent = batch([b"x" * 1000, b""], step=5)
    answer = connection.produce_batch(topic, 0, sent, acks)
    assert answer["error_code"] == NONE
    (got,) = connection.fetch_batches(topic, 0, 0, max_wait_ms=20000)
    got.check()
    # Base offset and leader epoch are the broker's, and outside the checksum.
    assert got.raw[16:] == sent[16:]
    assert got.raw[8:12] == sent[8:12]
    assert got.base_offset == 0


def test_acks_0_has_no_answer_and_keeps_the_order_of_the_connection(connection, topic):
    connection.create_topic(topic)
    for value in (b"one", b"two", b"three"):
        connection.send(
            "Produce",
            9,
            acks=0,
            timeout_ms=1000,
            topic_data=[
                {"name": topic, "partition_data": [{"index": 0, "records": batch([value])}]}
            ],
        )
    # The next answer is this one's: none came for the three.
    asked = connection.send(
        "Produce",
        9,
        acks=-1,
        timeout_ms=1000,
        topic_data=[{"name": topic, "partition_data": [{"index": 0, "records": batch([b"four"])}]}],
    )
    correlation, body = connection.receive()
    assert correlation == asked
    assert body["responses"][0]["partition_responses"][0]["base_offset"] == 3
    assert connection.fetch_values(topic, 0, 0) == [b"one", b"two", b"three", b"four"]


def test_acks_0_that_fails_closes_the_connection(broker, topic):
    with broker.connect() as connection:
        connection.send(
            "Produce",
            9,
            acks=0,
            timeout_ms=1000,
            topic_data=[
                {"name": topic, "partition_data": [{"index": 0, "records": batch([b"x"])}]}
            ],
        )
        assert connection.closed_by_peer()
    broker.check_serves()


@pytest.mark.parametrize("acks", [2, -2, 32767, -32768])
def test_other_acks_are_refused(connection, topic, acks):
    connection.create_topic(topic)
    answer = connection.produce_batch(topic, 0, batch([b"x"]), acks)
    assert (answer["error_code"], answer["base_offset"]) == (BAD_ACKS, -1)
    assert end_offset(connection, topic) == 0


@pytest.mark.parametrize("partition", [-1, 3, 2**31 - 1, -(2**31)])
def test_an_unknown_partition_is_refused_and_the_others_go_on(connection, topic, partition):
    connection.create_topic(topic, 3)
    body = connection.request(
        "Produce",
        9,
        acks=-1,
        timeout_ms=1000,
        topic_data=[
            {
                "name": "missing-" + topic,
                "partition_data": [{"index": 0, "records": batch([b"m"])}],
            },
            {
                "name": topic,
                "partition_data": [
                    {"index": index, "records": batch([b"x"])} for index in (0, partition, 1)
                ],
            },
        ],
    )
    missing, known = body["responses"]
    assert [p["error_code"] for p in missing["partition_responses"]] == [UNKNOWN_TOPIC]
    assert [
        (p["index"], p["error_code"], p["base_offset"]) for p in known["partition_responses"]
    ] == [(0, NONE, 0), (partition, UNKNOWN_TOPIC, -1), (1, NONE, 0)]


@pytest.mark.tsan
def test_one_request_appends_to_partitions_of_every_shard(connection, topic):
    connection.create_topic(topic, 8)
    for turn in range(20):
        body = connection.request(
            "Produce",
            9,
            acks=-1,
            timeout_ms=30000,
            topic_data=[
                {
                    "name": topic,
                    "partition_data": [
                        {"index": i, "records": batch([b"%d-%d" % (turn, i)])} for i in range(8)
                    ],
                }
            ],
        )
        rows = body["responses"][0]["partition_responses"]
        assert [(r["index"], r["error_code"], r["base_offset"]) for r in rows] == [
            (i, NONE, turn) for i in range(8)
        ]
    for i in range(8):
        assert connection.fetch_values(topic, i, 0) == [b"%d-%d" % (t, i) for t in range(20)]


@pytest.mark.tsan
def test_pipelined_requests_are_answered_in_order(connection, topic):
    connection.create_topic(topic, 4)
    asked = []
    for turn in range(200):
        if turn % 5 == 4:
            asked.append(connection.send("Metadata", 9, topics=[{"name": topic}]))
        elif turn % 7 == 6:
            asked.append(
                connection.send(
                    "ListOffsets",
                    7,
                    replica_id=-1,
                    topics=[
                        {
                            "name": topic,
                            "partitions": [{"partition_index": turn % 4, "timestamp": -1}],
                        }
                    ],
                )
            )
        else:
            asked.append(
                connection.send(
                    "Produce",
                    9,
                    acks=-1,
                    timeout_ms=30000,
                    topic_data=[
                        {
                            "name": topic,
                            "partition_data": [
                                {"index": turn % 4, "records": batch([b"%d" % turn])}
                            ],
                        }
                    ],
                )
            )
    bases = {i: [] for i in range(4)}
    for correlation in asked:
        got, body = connection.receive()
        assert got == correlation
        for row in body.get("responses", []):
            (part,) = row["partition_responses"]
            assert part["error_code"] == NONE
            bases[part["index"]].append(part["base_offset"])
    for i, offsets in bases.items():
        assert offsets == list(range(len(offsets)))
        values = [int(v) for v in connection.fetch_values(topic, i, 0)]
        assert values == sorted(values) and len(values) == len(offsets)


# ---- batches that are refused ----


def check_refused(connection, topic, data, codes, version=9):
    """With one of the codes and a reason, and nothing of it is stored."""
    connection.create_topic(topic)
    good = connection.produce(topic, 0, [b"before"])
    answer = connection.produce_batch(topic, 0, data, version=version)
    assert answer["error_code"] in codes, answer
    assert answer["base_offset"] == -1
    assert answer.get("error_message") or version < 8
    assert end_offset(connection, topic) == good + 1
    assert connection.produce(topic, 0, [b"after"]) == good + 1
    assert connection.fetch_values(topic, 0, 0) == [b"before", b"after"]


def patched(data, at, raw):
    """Bytes changed under a checksum that stays as it was."""
    return data[:at] + raw + data[at + len(raw) :]


GOOD = batch([b"a", b"b", b"c"])
THREE = b"".join(record(v, offset_delta=i) for i, v in enumerate([b"a", b"b", b"c"]))


def with_records(raw, count=3, **fields):
    return batch([b""] * count, raw=raw, **fields)


def raw_record(body):
    return varint(len(body)) + body


PLAIN = b"\0\0\0"  # attributes, timestamp delta 0, offset delta 0

MALFORMED = {
    "empty": (b"", {BAD_RECORD, CORRUPT}),
    "one byte": (b"\0", {CORRUPT}),
    "header cut": (GOOD[: HEADER_BYTES - 1], {CORRUPT}),
    "records cut": (GOOD[:-1], {CORRUPT}),
    "bytes behind": (GOOD + b"\0", {CORRUPT, BAD_RECORD}),
    "magic 0": (batch([b"a"], magic=0), {BAD_RECORD, CORRUPT, 43}),
    "magic 1": (batch([b"a"], magic=1), {BAD_RECORD, CORRUPT, 43}),
    "magic 3": (batch([b"a"], magic=3), {BAD_RECORD, CORRUPT, 43}),
    "wrong crc": (batch([b"a"], crc=1), {CORRUPT}),
    "flipped bit in records": (patched(GOOD, len(GOOD) - 2, b"\xff"), {CORRUPT}),
    "flipped bit in header": (patched(GOOD, 22, b"\x40"), {CORRUPT}),
    "length one more": (batch([b"a"], length=HEADER_BYTES), {CORRUPT}),
    "length one less": (patched(GOOD, 8, struct.pack(">i", len(GOOD) - 13)), {CORRUPT, BAD_RECORD}),
    "length 0": (batch([b"a"], length=0), {CORRUPT}),
    "length negative": (batch([b"a"], length=-1), {CORRUPT}),
    "length 2^31-1": (batch([b"a"], length=2**31 - 1), {CORRUPT, TOO_LARGE}),
    "count 0": (batch([b"a"], count=0), {BAD_RECORD}),
    "count negative": (batch([b"a"], count=-1), {BAD_RECORD}),
    "count above the records": (batch([b"a"], count=2, last_offset_delta=1), {BAD_RECORD}),
    "count below the records": (batch([b"a", b"b"], count=1, last_offset_delta=0), {BAD_RECORD}),
    "count 2^31-1": (batch([b"a"], count=2**31 - 1, last_offset_delta=2**31 - 2), {BAD_RECORD}),
    "last offset delta below": (batch([b"a", b"b"], last_offset_delta=0), {BAD_RECORD}),
    "last offset delta above": (batch([b"a", b"b"], last_offset_delta=5), {BAD_RECORD}),
    "last offset delta negative": (batch([b"a"], last_offset_delta=-1), {BAD_RECORD}),
    "no records": (batch([]), {BAD_RECORD}),
    "offset deltas equal": (with_records(record(b"a") + record(b"b"), 2), {BAD_RECORD}),
    "offset deltas falling": (
        with_records(record(b"a", offset_delta=1) + record(b"b", offset_delta=0), 2),
        {BAD_RECORD},
    ),
    "record length past the end": (with_records(varint(100) + PLAIN, 1), {BAD_RECORD}),
    "record length negative": (with_records(varint(-1), 1), {BAD_RECORD}),
    "record length 0": (with_records(varint(0), 1), {BAD_RECORD}),
    "record length of 6 bytes": (with_records(b"\xff\xff\xff\xff\xff\x01", 1), {BAD_RECORD}),
    "record without value": (with_records(raw_record(PLAIN + varint(-1)), 1), {BAD_RECORD}),
    "record longer than its fields": (
        with_records(raw_record(PLAIN + varint(-1) + varint(-1) + varint(0) + b"\0"), 1),
        {BAD_RECORD},
    ),
    "key length past the end": (with_records(raw_record(PLAIN + varint(99)), 1), {BAD_RECORD}),
    "key length -2": (
        with_records(raw_record(PLAIN + varint(-2) + varint(-1) + varint(0)), 1),
        {BAD_RECORD},
    ),
    "timestamp delta of 11 bytes": (
        with_records(raw_record(b"\0" + b"\xff" * 10 + b"\1" + b"\0" + varint(-1) * 2 + b"\0"), 1),
        {BAD_RECORD},
    ),
    "header count 2^31-1": (
        with_records(raw_record(PLAIN + varint(-1) + varint(-1) + varint(2**31 - 1)), 1),
        {BAD_RECORD},
    ),
    "header count negative": (
        with_records(raw_record(PLAIN + varint(-1) + varint(-1) + varint(-1)), 1),
        {BAD_RECORD},
    ),
    "null header key": (with_records(record(b"a", headers=[(None, b"v")]), 1), {BAD_RECORD}),
    "codec 5": (batch([b"a"], codec=5), {BAD_CODEC, BAD_RECORD}),
    "codec 6": (batch([b"a"], codec=6), {BAD_CODEC, BAD_RECORD}),
    "codec 7": (batch([b"a"], codec=7), {BAD_CODEC, BAD_RECORD}),
    "unknown attribute": (batch([b"a"], attributes=0x80), {BAD_RECORD}),
    "control bit": (batch([b"a"], attributes=0x20), {BAD_RECORD}),
    "log append time from a client": (batch([b"a"], attributes=0x08), {BAD_TIMESTAMP}),
    "transactional without a transaction": (
        batch([b"a"], attributes=0x10, producer_id=1, producer_epoch=0, base_sequence=0),
        {53},
    ),
    "epoch -1 with an id": (
        batch([b"a"], producer_id=1, producer_epoch=-1, base_sequence=0),
        {BAD_RECORD},
    ),
    "sequence negative": (
        batch([b"a"], producer_id=1, producer_epoch=0, base_sequence=-1),
        {BAD_RECORD},
    ),
    "producer id -2": (batch([b"a"], producer_id=-2), {BAD_RECORD}),
    "timestamp -2": (batch([b"a"], timestamp=-2), {BAD_TIMESTAMP}),
    "timestamps overflow": (
        with_records(record(b"a", timestamp_delta=2**62), 1, first_timestamp=2**62 + 2**61),
        {BAD_TIMESTAMP},
    ),
    "two batches": (GOOD + GOOD, {BAD_RECORD}),
    "gzip of nothing": (with_records(b"", 3, attributes=GZIP), {CORRUPT, BAD_RECORD}),
    "gzip corrupt": (
        with_records(b"\x1f\x8b\x08" + b"?" * 40, 3, attributes=GZIP),
        {CORRUPT, BAD_RECORD},
    ),
    "gzip truncated": (
        with_records(gzip.compress(THREE)[:-9], 3, attributes=GZIP),
        {CORRUPT, BAD_RECORD},
    ),
    "gzip of something else": (
        with_records(gzip.compress(b"?" * 99), 3, attributes=GZIP),
        {BAD_RECORD},
    ),
    "snappy corrupt": (with_records(b"\xff" * 40, 3, attributes=SNAPPY), {CORRUPT, BAD_RECORD}),
    "lz4 corrupt": (
        with_records(b"\x04\x22\x4d\x18" + b"?" * 40, 3, attributes=LZ4),
        {CORRUPT, BAD_RECORD},
    ),
    "zstd corrupt": (
        with_records(b"\x28\xb5\x2f\xfd" + b"?" * 40, 3, attributes=ZSTD),
        {CORRUPT, BAD_RECORD},
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_batch_is_refused(connection, topic, name):
    data, codes = MALFORMED[name]
    check_refused(connection, topic, data, codes)


def test_every_proper_prefix_of_a_batch_is_refused(connection, topic):
    connection.create_topic(topic, 1)
    rows = [{"index": 0, "records": GOOD[:cut]} for cut in range(len(GOOD))]
    body = connection.request(
        "Produce", 9, acks=-1, timeout_ms=1000, topic_data=[{"name": topic, "partition_data": rows}]
    )
    codes = {row["error_code"] for row in body["responses"][0]["partition_responses"]}
    assert codes <= {CORRUPT, BAD_RECORD}
    assert end_offset(connection, topic) == 0


def test_every_flipped_bit_of_a_header_is_refused(connection, topic):
    connection.create_topic(topic, 1)
    # Base offset and leader epoch are the broker's to set: whatever stands there is accepted.
    free = set(range(0, 8)) | set(range(12, 16))
    rows = [
        {"index": 0, "records": patched(GOOD, at, bytes([GOOD[at] ^ 1 << bit]))}
        for at in range(len(GOOD))
        if at not in free
        for bit in range(8)
    ]
    body = connection.request(
        "Produce", 9, acks=-1, timeout_ms=1000, topic_data=[{"name": topic, "partition_data": rows}]
    )
    codes = {row["error_code"] for row in body["responses"][0]["partition_responses"]}
    assert NONE not in codes
    assert end_offset(connection, topic) == 0


def test_null_records_are_refused(connection, topic):
    check_refused(connection, topic, None, {BAD_RECORD, CORRUPT})


def test_zstd_before_version_7_is_refused(connection, topic):
    check_refused(connection, topic, with_records(b"?", 1, attributes=ZSTD), {BAD_CODEC}, version=6)


def test_a_bad_batch_does_not_take_its_neighbours_along(connection, topic):
    connection.create_topic(topic, 4)
    rows = [batch([b"0"]), batch([b"1"], crc=7), batch([b"2"]), batch([b"3"], magic=1)]
    body = connection.request(
        "Produce",
        9,
        acks=-1,
        timeout_ms=1000,
        topic_data=[
            {
                "name": topic,
                "partition_data": [{"index": i, "records": data} for i, data in enumerate(rows)],
            }
        ],
    )
    codes = [row["error_code"] for row in body["responses"][0]["partition_responses"]]
    assert codes[0] == codes[2] == NONE and codes[1] == CORRUPT and codes[3] != NONE
    assert [end_offset(connection, topic, i) for i in range(4)] == [1, 0, 1, 0]


def test_the_faulty_record_is_named(connection, topic):
    connection.create_topic(topic)
    data = with_records(record(b"a") + record(b"b", offset_delta=5), 2)
    answer = connection.produce_batch(topic, 0, data)
    assert [each["batch_index"] for each in answer["record_errors"]] == [1]


def test_a_batch_of_the_limit_is_taken_and_one_byte_more_is_not(connection, topic):
    limit = 20000
    connection.create_topic(topic, 1, {"max.message.bytes": limit})
    size = limit
    while len(batch([b"x" * size])) > limit:
        size -= 1
    exact = batch([b"x" * size])
    assert len(exact) == limit
    assert connection.produce_batch(topic, 0, exact)["error_code"] == NONE
    answer = connection.produce_batch(topic, 0, batch([b"x" * (size + 1)]))
    assert answer["error_code"] == TOO_LARGE
    assert end_offset(connection, topic) == 1


def test_a_compressed_batch_is_stored_as_sent(connection, topic):
    connection.create_topic(topic)
    sent = batch([b"word " * 1000] * 3, codec=GZIP, compress=gzip.compress)
    assert connection.produce_batch(topic, 0, sent)["error_code"] == NONE
    (got,) = connection.fetch_batches(topic, 0, 0)
    assert got.raw[16:] == sent[16:]


def test_expansion_of_1_to_1000_is_taken_and_beyond_the_limit_is_not():
    def squeezed(megabytes):
        big = record(b"\0" * (megabytes << 20))
        compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
        return with_records(compressor.compress(big) + compressor.flush(), 1, attributes=GZIP)

    with Broker(settings={"decompressed.max.bytes": "16MiB"}) as broker:
        with broker.connect() as connection:
            connection.create_topic("bombs")
            fits, bomb = squeezed(15), squeezed(200)
            assert len(fits) * 900 < 15 << 20
            before = broker.rss_bytes()
            assert connection.produce_batch("bombs", 0, fits)["error_code"] == NONE
            for _ in range(5):
                answer = connection.produce_batch("bombs", 0, bomb)
                assert answer["error_code"] in (TOO_LARGE, CORRUPT, BAD_RECORD)
            assert broker.rss_bytes() - before < (600 if sanitized() else 120) << 20
            assert end_offset(connection, "bombs") == 1


def test_keys_are_required_where_a_topic_is_compacted(connection, topic):
    connection.create_topic(topic, 1, {"cleanup.policy": "compact"})
    assert connection.produce_batch(topic, 0, batch([b"no key"]))["error_code"] == BAD_RECORD
    keyed = with_records(record(b"value", key=b"key"), 1)
    assert connection.produce_batch(topic, 0, keyed)["error_code"] == NONE


# ---- timestamps ----


def test_create_time_is_kept(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a", b"b", b"c"], timestamp=NOW - 5000, step=7)
    (got,) = connection.fetch_batches(topic, 0, 0)
    assert [t for _, t, _, _ in got.records()] == [NOW - 5000 + 7 * i for i in range(3)]
    assert got.max_timestamp == NOW - 5000 + 14


def test_log_append_time_is_the_brokers(connection, topic):
    connection.create_topic(topic, 1, {"message.timestamp.type": "LogAppendTime"})
    answer = connection.produce_batch(topic, 0, batch([b"a", b"b"], timestamp=5, step=7))
    assert answer["error_code"] == NONE
    assert abs(answer["log_append_time_ms"] - time.time() * 1000) < 60_000
    (got,) = connection.fetch_batches(topic, 0, 0)
    got.check()
    assert got.attributes & 0x08
    assert got.max_timestamp == answer["log_append_time_ms"]


def test_no_timestamp_is_accepted(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"a"], timestamp=-1)


def test_timestamps_outside_the_topics_bounds_are_refused(connection, topic):
    hour = 3_600_000
    connection.create_topic(
        topic, 1, {"message.timestamp.before.max.ms": hour, "message.timestamp.after.max.ms": hour}
    )
    now = int(time.time() * 1000)
    for offset, code in (
        (0, NONE),
        (-2 * hour, BAD_TIMESTAMP),
        (2 * hour, BAD_TIMESTAMP),
        (-hour // 2, NONE),
        (hour // 2, NONE),
    ):
        answer = connection.produce_batch(topic, 0, batch([b"x"], timestamp=now + offset))
        assert answer["error_code"] == code, offset


def test_a_wrong_max_timestamp_does_not_mislead_the_time_lookup(connection, topic):
    connection.create_topic(topic, 1, {"retention.ms": -1})
    connection.produce(topic, 0, [b"a"], timestamp=1000, max_timestamp=9_999_999)
    connection.produce(topic, 0, [b"b"], timestamp=2000, max_timestamp=2000)
    assert connection.list_offset(topic, 0, 1500)["offset"] == 1
