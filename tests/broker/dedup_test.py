"""Dedup windows at the door: a record whose id the partition has been given is not stored again."""

import gzip
import threading
import time

import pytest

from admin_test import alter, describe, settings
from harness import Broker, Refused, ask_telemetry, eventually
from offsets_test import delete_records
from records import GZIP, LZ4, SNAPPY, ZSTD, batch, record

NONE, TOO_LARGE, FULL, INVALID_CONFIG, BAD_RECORD = 0, 10, 19, 40, 87
ON = {"dedup.enable": "true"}


def lz4():
    frame = pytest.importorskip("lz4.frame")
    return frame.compress, frame.decompress


def snappy():
    module = pytest.importorskip("snappy")
    return module.compress, module.decompress


def zstd():
    module = pytest.importorskip("zstandard")

    def decompress(data):
        return module.ZstdDecompressor().decompressobj().decompress(data)

    return module.ZstdCompressor().compress, decompress


CODECS = {
    0: lambda: (bytes, bytes),
    GZIP: lambda: (gzip.compress, gzip.decompress),
    SNAPPY: snappy,
    LZ4: lz4,
    ZSTD: zstd,
}


def with_ids(ids, values=None, key=None, header=b"dedup-id", codec=0, **fields):
    """A batch with a record for each id, null for none; values are the ids unless given."""
    records = b"".join(
        record(
            value,
            key=key,
            headers=[] if each is None else [(b"other", b"x"), (header, each)],
            offset_delta=index,
        )
        for index, (each, value) in enumerate(zip(ids, values or ids))
    )
    compress = CODECS[codec]()[0]
    return batch(ids, raw=records, codec=codec, compress=compress, **fields)


def send(connection, topic, ids, values=None, partition=0, acks=-1, **options):
    """The base offset that is answered."""
    answer = connection.produce_batch(topic, partition, with_ids(ids, values, **options), acks)
    if answer["error_code"]:
        raise Refused(answer["error_code"], answer["error_message"])
    return answer["base_offset"]


def stored(connection, topic, partition=0):
    """(offset, value) of all records, after each batch was checked."""
    start = connection.list_offset(topic, partition, -2)["offset"]
    found = []
    for each in connection.read_all(topic, partition, start):
        each.check()
        decompress = CODECS[each.codec]()[1]
        found += [(offset, value) for offset, _, _, value in each.records(decompress)]
    return [(offset, value) for offset, value in found if offset >= start]


def ids_of(numbers):
    return [b"id-%d" % number for number in numbers]


# ---- what is a duplicate ----


@pytest.mark.parametrize("acks", [1, -1])
def test_a_batch_of_known_ids_is_answered_with_the_original_offset(connection, topic, acks):
    connection.create_topic(topic, configs=ON)
    assert send(connection, topic, [b"a", b"b"], acks=acks) == 0
    assert send(connection, topic, [b"c"], acks=acks) == 2
    assert send(connection, topic, [b"c"], acks=acks) == 2
    assert send(connection, topic, [b"b", b"a"], acks=acks) == 1
    assert send(connection, topic, [b"d"]) == 3
    assert stored(connection, topic) == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]


def test_unacknowledged_batches_are_looked_at_too(connection, topic):
    connection.create_topic(topic, configs=ON)
    for _ in range(3):
        connection.send(
            "Produce",
            9,
            acks=0,
            timeout_ms=1000,
            topic_data=[
                {
                    "name": topic,
                    "partition_data": [{"index": 0, "records": with_ids([b"a"])}],
                }
            ],
        )
    assert send(connection, topic, [b"b"]) == 1
    assert stored(connection, topic) == [(0, b"a"), (1, b"b")]


def test_a_topic_without_a_window_stores_all(connection, topic):
    connection.create_topic(topic)
    assert [send(connection, topic, [b"a"]) for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("header", ["dedup-id", "ce_id", "Nats-Msg-Id"])
def test_the_topic_says_which_header_has_the_id(connection, topic, header):
    connection.create_topic(topic, configs={**ON, "dedup.header": header})
    for _ in range(2):
        assert send(connection, topic, [b"a"], header=header.encode()) == 0
    others = [send(connection, topic, [b"a"], header=name) for name in (b"id", header.encode()[1:])]
    assert others == [1, 2]


def test_a_record_without_an_id_is_always_stored(connection, topic):
    connection.create_topic(topic, configs=ON)
    for base in (0, 3):
        assert send(connection, topic, [None, b"", None], values=[b"1", b"2", b"3"]) == base


def test_an_id_is_one_in_its_partition_whatever_the_key(connection, topic):
    connection.create_topic(topic, 2, configs=ON)
    assert send(connection, topic, [b"a"], key=b"k") == 0
    assert send(connection, topic, [b"a"], key=b"l") == 0
    assert send(connection, topic, [b"a"], key=b"k", partition=1) == 0
    assert len(stored(connection, topic, 0)) == len(stored(connection, topic, 1)) == 1


def test_in_the_scope_of_the_key_each_key_has_its_ids(connection, topic):
    connection.create_topic(topic, configs={**ON, "dedup.scope": "key"})
    keys = [b"k", b"l", b"", None]
    for _ in range(2):
        assert [send(connection, topic, [b"a"], key=key) for key in keys] == [0, 1, 2, 3]
    assert send(connection, topic, [b"ka"], key=b"") == 4  # not the pair of k and a


# ---- batches with old and new records ----


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_new_in_a_batch_keeps_its_offset_and_what_is_known_leaves_a_gap(
    connection, topic, codec
):
    connection.create_topic(topic, configs=ON)
    assert send(connection, topic, ids_of(range(0, 20, 3)), codec=codec) == 0  # 0 3 6 ... 18
    values = [b"value %d " % number * 50 for number in range(20)]
    assert send(connection, topic, ids_of(range(20)), values, codec=codec) == 7
    expected = [(7 + number, values[number]) for number in range(20) if number % 3]
    assert stored(connection, topic)[7:] == expected
    last = connection.read_all(topic, 0)[-1]
    assert (last.codec, last.count) == (codec, len(expected))
    assert last.next_offset == 27
    assert send(connection, topic, ids_of([99]), codec=codec) == 27


@pytest.mark.parametrize("codec", [0, ZSTD])
def test_a_fetch_begins_within_a_gap(connection, topic, codec):
    connection.create_topic(topic, configs=ON)
    send(connection, topic, ids_of(range(5)), codec=codec)
    send(connection, topic, ids_of([9, 0, 1, 2, 10]), codec=codec)  # 5 and 9
    decompress = CODECS[codec]()[1]
    for offset in (6, 7, 8):
        [got] = connection.fetch_batches(topic, 0, offset)
        assert [at for at, *_ in got.records(decompress) if at >= offset] == [9]


def test_an_id_twice_in_a_batch_is_stored_once(connection, topic):
    connection.create_topic(topic, configs=ON)
    values = [b"1", b"2", b"3", b"4", b"5"]
    assert send(connection, topic, [b"a", b"b", b"a", None, b"b"], values) == 0
    assert stored(connection, topic) == [(0, b"1"), (1, b"2"), (3, b"4")]
    assert send(connection, topic, [b"c"]) == 5


def test_a_record_without_an_id_among_known_ones_is_stored(connection, topic):
    connection.create_topic(topic, configs=ON)
    send(connection, topic, [b"a", b"b"])
    assert send(connection, topic, [b"a", None, b"b"], [b"1", b"2", b"3"]) == 2
    assert stored(connection, topic)[2:] == [(3, b"2")]


@pytest.mark.parametrize("kind", ["CreateTime", "LogAppendTime"])
def test_whoever_stamps_the_records(connection, topic, kind):
    connection.create_topic(topic, configs={**ON, "message.timestamp.type": kind})
    assert send(connection, topic, [b"a", b"b"]) == 0
    assert send(connection, topic, [b"b", b"c"]) == 2
    assert stored(connection, topic) == [(0, b"a"), (1, b"b"), (3, b"c")]


def test_an_idempotent_producer_goes_on_behind_known_ids(connection, topic):
    connection.create_topic(topic, configs=ON)
    answer = connection.request(
        "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=60000
    )
    fields = {"producer_id": answer["producer_id"], "producer_epoch": 0}
    send(connection, topic, [b"a", b"b"])
    assert send(connection, topic, [b"b"], base_sequence=0, **fields) == 1
    assert send(connection, topic, [b"c"], base_sequence=1, **fields) == 3
    # Both are sent again, as after an answer that was lost.
    assert send(connection, topic, [b"b"], base_sequence=0, **fields) in (1, 2)
    assert send(connection, topic, [b"c"], base_sequence=1, **fields) == 3
    assert stored(connection, topic) == [(0, b"a"), (1, b"b"), (3, b"c")]


# ---- at the same time ----


def test_a_copy_on_the_way_is_answered_like_the_first(connection, topic):
    connection.create_topic(topic, configs=ON)
    sent = with_ids([b"a", b"b"])
    for _ in range(20):
        connection.send(
            "Produce",
            9,
            acks=-1,
            timeout_ms=30000,
            topic_data=[{"name": topic, "partition_data": [{"index": 0, "records": sent}]}],
        )
    for _ in range(20):
        [answer] = connection.receive()[1]["responses"][0]["partition_responses"]
        assert (answer["error_code"], answer["base_offset"]) == (NONE, 0)
    assert stored(connection, topic) == [(0, b"a"), (1, b"b")]


def test_of_the_same_ids_from_two_connections_each_is_stored_once(broker, connection, topic):
    connection.create_topic(topic, configs=ON)
    count = 300

    def produce(step):
        with broker.connect() as own:
            for first in range(0, count, step):
                send(own, topic, ids_of(range(first, min(first + step, count))))

    threads = [threading.Thread(target=produce, args=(step,)) for step in (1, 7, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(value for _, value in stored(connection, topic)) == sorted(ids_of(range(count)))


# ---- how long ----


def test_an_id_is_forgotten_after_the_window_and_not_within(connection, topic):
    connection.create_topic(topic, configs={**ON, "dedup.window.ms": "2s"})
    begun = time.monotonic()
    assert send(connection, topic, [b"a"]) == 0
    stored_by = time.monotonic()
    while True:
        answer = send(connection, topic, [b"a"])
        # After the answer, so that it was judged within the window however slow the machine is.
        if time.monotonic() - begun >= 2:
            break
        assert answer == 0
        time.sleep(0.1)
    time.sleep(max(0, stored_by + 2 * (1 + 1 / 8) + 0.3 - time.monotonic()))
    assert send(connection, topic, [b"a"]) == 1


def test_stamps_of_the_past_and_the_future_do_not_shorten_it(connection, topic):
    connection.create_topic(topic, configs={**ON, "dedup.window.ms": "30s"})
    now = time.time_ns() // 1_000_000
    day = 86_400_000
    for index, timestamp in enumerate([now, now - day, now + day, now, now + 300 * day]):
        assert send(connection, topic, [b"%d" % index], timestamp=timestamp) == index
    assert [send(connection, topic, [b"%d" % index]) for index in range(5)] == list(range(5))


def test_a_full_window_forgets_the_oldest(connection, topic):
    connection.create_topic(topic, configs={**ON, "dedup.max.entries": "100"})
    for number in range(150):
        send(connection, topic, ids_of([number]))
    assert send(connection, topic, ids_of([149])) == 149
    assert [send(connection, topic, ids_of([number])) for number in range(65, 150)] == list(
        range(65, 150)
    )
    assert send(connection, topic, ids_of([0])) == 150


def test_a_full_window_refuses_new_ids_until_old_ones_have_aged(connection, topic):
    connection.create_topic(
        topic,
        configs={
            **ON,
            "dedup.max.entries": "100",
            "dedup.on.full": "reject",
            "dedup.window.ms": "3s",
        },
    )
    assert send(connection, topic, ids_of(range(100))) == 0
    refused = connection.produce_batch(topic, 0, with_ids(ids_of([5, 100])))
    assert (refused["error_code"], refused["base_offset"]) == (FULL, -1)
    assert "dedup window is full" in refused["error_message"]
    assert send(connection, topic, ids_of([7, 8])) == 7  # known ones are answered
    assert send(connection, topic, [None], [b"no id"]) == 100
    assert len(stored(connection, topic)) == 101

    def accepted():
        answer = connection.produce_batch(topic, 0, with_ids(ids_of([100])))
        assert answer["error_code"] in (NONE, FULL)
        return answer["error_code"] == NONE

    eventually("room in the window", accepted, 20)


# ---- crashes, purges, changes ----


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_was_known_is_known_after_a_restart(end):
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("kept", configs=ON)
            for first in range(0, 100, 10):
                send(connection, "kept", ids_of(range(first, first + 10)))
        for _ in range(2):
            getattr(broker, end)()
            broker.start()
            with broker.connect() as connection:
                for number in (0, 42, 99):
                    assert send(connection, "kept", ids_of([number])) == number
                assert send(connection, "kept", ids_of(range(5, 15))) == 5
        with broker.connect() as connection:
            assert send(connection, "kept", ids_of([100])) == 100
            assert len(stored(connection, "kept")) == 101


@pytest.mark.parametrize("end", [None, "kill"])
def test_purged_records_stay_known(end):
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("purged", configs=ON)
            send(connection, "purged", ids_of(range(10)))
            delete_records(connection, "purged", 8)
        if end:
            broker.kill()
            broker.start()
        with broker.connect() as connection:
            assert send(connection, "purged", ids_of([0])) == 0
            assert send(connection, "purged", ids_of([9])) == 9
            assert [offset for offset, _ in stored(connection, "purged")] == [8, 9]


def test_a_window_begins_empty_when_it_is_switched_on(connection, topic):
    connection.create_topic(topic)
    send(connection, topic, [b"a"])
    alter(connection, topic, ("dedup.enable", 0, "true"))
    assert [send(connection, topic, [b"a"]) for _ in range(2)] == [1, 1]
    alter(connection, topic, ("dedup.enable", 0, "false"))
    assert send(connection, topic, [b"a"]) == 2
    alter(connection, topic, ("dedup.enable", 0, "true"))
    assert [send(connection, topic, [b"a"]) for _ in range(2)] == [3, 3]


@pytest.mark.parametrize("change", [("dedup.header", "ce_id"), ("dedup.scope", "key")])
def test_another_kind_of_id_begins_an_empty_window(connection, topic, change):
    connection.create_topic(topic, configs=ON)
    send(connection, topic, [b"a"])
    alter(connection, topic, (change[0], 0, change[1]))
    header = change[1].encode() if change[0] == "dedup.header" else b"dedup-id"
    assert [send(connection, topic, [b"a"], header=header) for _ in range(2)] == [1, 1]


def test_a_change_that_a_crash_follows_holds():
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("changed", configs=ON)
            send(connection, "changed", [b"a"])
            alter(connection, "changed", ("dedup.header", 0, "ce_id"))
            send(connection, "changed", [b"b"], header=b"ce_id")
        broker.kill()
        broker.start()
        with broker.connect() as connection:
            assert send(connection, "changed", [b"b"], header=b"ce_id") == 1
            assert send(connection, "changed", [b"a"], header=b"dedup-id") == 2


def test_other_bounds_hold_from_then_on(connection, topic):
    connection.create_topic(topic, configs={**ON, "dedup.window.ms": "1s"})
    alter(connection, topic, ("dedup.window.ms", 0, "1h"))
    time.sleep(1.5)  # the next housekeeping has been
    send(connection, topic, [b"a"])
    time.sleep(1.5)
    assert send(connection, topic, [b"a"]) == 0
    alter(connection, topic, ("dedup.window.ms", 0, "1s"))

    def forgotten():
        return send(connection, topic, [b"a"]) == 1

    eventually("the id to be forgotten", forgotten, 20, every=0.5)


# ---- settings and limits ----

BAD = {
    "dedup.header": ["", "with space", "h" * 64],
    "dedup.window.ms": ["999", "8d"],
    "dedup.max.entries": ["99", "many"],
    "dedup.scope": ["topic"],
    "dedup.on.full": ["drop"],
    "dedup.enable": ["maybe"],
}


@pytest.mark.parametrize("key,value", [(key, value) for key in BAD for value in BAD[key]])
def test_a_bad_setting_is_refused_and_says_what_is_valid(connection, topic, key, value):
    with pytest.raises(Refused) as refused:
        connection.create_topic(topic, configs={key: value})
    assert refused.value.code == INVALID_CONFIG
    assert f"{key} =" in str(refused.value) and "not valid" in str(refused.value)
    connection.create_topic(topic)
    answer = alter(connection, topic, (key, 0, value))
    assert answer["error_code"] == INVALID_CONFIG
    assert "not valid" in answer["error_message"]


def test_settings_are_described(connection, topic):
    connection.create_topic(topic, configs={**ON, "dedup.window.ms": "1d"})
    shown = settings(connection, topic)
    assert {key: shown[key] for key in shown if key.startswith("dedup.")} == {
        "dedup.enable": "true",
        "dedup.header": "dedup-id",
        "dedup.window.ms": "86400000",
        "dedup.scope": "partition",
        "dedup.max.entries": "1000000",
        "dedup.on.full": "evict",
    }
    [row] = describe(connection, topic, keys=["dedup.enable"])["configs"]
    assert row["config_type"] == 1


def test_ids_that_need_too_much_memory_are_refused_and_the_connection_lives(connection, topic):
    connection.create_topic(topic, configs=ON)
    for count in (1 << 21, 2**31 - 1):
        wrong = with_ids([b"a"], count=count, last_offset_delta=count - 1)
        answer = connection.produce_batch(topic, 0, wrong)
        assert answer["error_code"] == TOO_LARGE
        assert "dedup" in answer["error_message"]
    wrong = with_ids([b"a"], count=1000, last_offset_delta=999)
    assert connection.produce_batch(topic, 0, wrong)["error_code"] == BAD_RECORD
    assert send(connection, topic, [b"a"]) == 0


# ---- metrics and memory ----


def test_what_windows_hold_is_told_on_the_telemetry_socket():
    broker = Broker(settings={"dpdk.telemetry": "true"}, start=False)
    broker.env["RUNTIME_DIRECTORY"] = broker.logs
    with broker.start():
        with broker.connect() as connection:
            connection.create_topic("plain")
            connection.create_topic("known", 3, configs={**ON, "dedup.max.entries": "100"})
            for partition in range(3):
                for number in range(60):
                    send(connection, "known", ids_of([number]), partition=partition)
            send(connection, "known", ids_of([5, 6, 7]))
            for number in range(100, 200):
                send(connection, "known", ids_of([number]))

        def told():
            row = ask_telemetry(broker, "/sluice/dedup,known")
            return row if row and row["evictions"] else None

        row = eventually("the numbers", told)
        assert ask_telemetry(broker, "/sluice/dedup_topics") == ["known"]
        assert ask_telemetry(broker, "/sluice/dedup,plain") is None
        assert (row["partitions"], row["hits"], row["rejections"]) == (3, 3, 0)
        assert row["entries"] + row["evictions"] == 3 * 60 + 100
        assert row["memory_bytes"] > 0 and row["covered_ms"] < 120000


def test_more_ids_than_the_memory_holds_are_known_from_files():
    count, step = 48_000, 1000
    broker = Broker(
        shards=1, settings={"dpdk.telemetry": "true", "dedup.memory.bytes": "1MiB"}, start=False
    )
    broker.env["RUNTIME_DIRECTORY"] = broker.logs
    with broker.start():
        with broker.connect() as connection:
            connection.create_topic("many", configs={**ON, "dedup.max.entries": "64000"})
            for first in range(0, count, step):
                assert send(connection, "many", ids_of(range(first, first + step))) == first

            def told():
                row = ask_telemetry(broker, "/sluice/dedup,many")
                return row if row and row["file_bytes"] and row["entries"] == count else None

            row = eventually("files", told)
            assert row["evictions"] == 0
        for end in (None, "kill"):
            if end:
                broker.kill()
                broker.start()
            with broker.connect() as connection:
                for first in range(0, count, 4 * step):
                    known = ids_of(range(first + 7, first + step))
                    assert send(connection, "many", known) == first + 7
                assert stored(connection, "many")[-1][0] == count - 1
