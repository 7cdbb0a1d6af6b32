"""What a broker does with files that have rotted: exactly what is lost is told to who asks for it."""

import time

from damage import RECORDS, damage_third_batch, fill, flip, segments
from harness import Broker, ask_telemetry, eventually

NONE, CORRUPT_MESSAGE = 0, 2


def codes(broker, topic):
    with broker.connect() as connection:
        return [
            connection.fetch(topic, 0, offset, partition_max_bytes=1)["error_code"]
            for offset in range(RECORDS)
        ]


def only_lost(broker, topic, lost):
    assert codes(broker, topic) == [
        CORRUPT_MESSAGE if offset in lost else NONE for offset in range(RECORDS)
    ]


def test_a_damaged_batch_costs_only_itself():
    with Broker(shards=1) as broker:
        fill(broker, "t")
        broker.stop()
        lost = damage_third_batch(broker)
        for life in range(3):
            broker.start()
            assert broker.log().count("quarantined ") == (1 if life == 0 else 0)
            if life == 0:
                assert f"offsets={lost}-{lost + 1} damage=batch" in broker.log()
            only_lost(broker, "t", {lost})
            with broker.connect() as connection:
                # What is read from before the range ends there.
                values = connection.fetch_values("t", 0, lost - 2)
                assert len(values) == 2
                assert connection.produce("t", 0, [b"more"]) == RECORDS + life
                assert connection.fetch_values("t", 0, RECORDS + life) == [b"more"]
            broker.stop() if life else broker.kill()


def test_a_missing_segment_is_a_gap_that_deleting_records_ends():
    with Broker(shards=1) as broker:
        fill(broker, "t")
        broker.stop()
        files = segments(broker)
        bases = sorted(files)
        files[bases[1]].unlink()
        broker.start()
        assert f"offsets={bases[1]}-{bases[2]} damage=missing" in broker.log()
        only_lost(broker, "t", set(range(bases[1], bases[2])))
        with broker.connect() as connection:
            body = connection.request(
                "DeleteRecords",
                2,
                topics=[
                    {
                        "name": "t",
                        "partitions": [{"partition_index": 0, "offset": bases[2]}],
                    }
                ],
                timeout_ms=30000,
            )
            assert body["topics"][0]["partitions"][0]["error_code"] == NONE
        assert not (files[bases[0]].parent / "quarantine").exists()
        broker.restart()
        assert "quarantined" not in broker.log()
        with broker.connect() as connection:
            assert connection.list_offset("t", 0, -2)["offset"] == bases[2]


def test_the_scrub_finds_what_rots_while_the_broker_runs():
    settings = {
        "log.scrub.interval.ms": "1s",
        "log.scrub.bytes.per.second": "1GiB",
        "dpdk.telemetry": "true",
    }
    broker = Broker(shards=1, settings=settings, start=False)
    broker.env["RUNTIME_DIRECTORY"] = broker.logs
    with broker.start():
        fill(broker, "t")
        base, path = sorted(segments(broker).items())[1]
        flip(path, 4096 + 1000)
        broker.wait_log(f"offsets={base}-{base + 1} damage=batch")
        # It does not come and go, nor is it told again.
        time.sleep(2.5)
        assert broker.log().count("quarantined ") == 1
        only_lost(broker, "t", {base})
        counted = ask_telemetry(broker, "/sluice/counters")
        assert (counted["quarantined_ranges"], counted["quarantined_offsets"]) == (1, 1)
        assert counted["scrubbed_bytes"] > 1 << 20


def test_what_a_reader_meets_is_not_given_to_it():
    with Broker(shards=1, settings={"log.scrub.interval.ms": "0"}) as broker:
        fill(broker, "t")
        broker.restart()  # so that nothing is in memory
        base, path = sorted(segments(broker).items())[1]
        flip(path, 4096 + 1000)
        with broker.connect() as connection:
            assert connection.fetch("t", 0, base, partition_max_bytes=1)["error_code"] == (
                CORRUPT_MESSAGE
            )
        eventually("the quarantine", lambda: "damage=batch" in broker.log())
        only_lost(broker, "t", {base})
