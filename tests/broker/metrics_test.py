"""/metrics of a broker at work: what it says agrees with what clients did."""

import pathlib
import re
import shutil
import subprocess

import pytest

from harness import eventually
from http_client import HttpBroker
from records import batch

TABLE = pathlib.Path(__file__).resolve().parents[2] / "control" / "http" / "metrics.md"
SAMPLE = re.compile(r'^(\w+)(?:\{((?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


LAGGING, GROUP, DEDUPED = "metrics-lag", 'gr"oup', "metrics-dedup"
LAG = batch([b"x"] * 7)


@pytest.fixture(scope="module")
def broker():
    """With a group that is behind and a topic with a dedup window: both are drawn at leisure."""
    with HttpBroker() as it:
        with it.connect() as connection:
            connection.create_topic(DEDUPED, configs={"dedup.enable": "true"})
            connection.create_topic(LAGGING)
            connection.produce_batch(LAGGING, 0, LAG)
            # Read twice, as it waits for more; given once.
            connection.fetch(LAGGING, 0, 3, max_wait_ms=20, min_bytes=1 << 20)
            eventually("the offset is committed", lambda: commit(connection, 2) == 0)
        yield it


def commit(connection, offset):
    answer = connection.request(
        "OffsetCommit",
        7,
        group_id=GROUP,
        generation_id_or_member_epoch=-1,
        topics=[
            {
                "name": LAGGING,
                "partitions": [{"partition_index": 0, "committed_offset": offset}],
            }
        ],
    )
    return answer["topics"][0]["partitions"][0]["error_code"]


def scrape(broker, target="/metrics"):
    """{(name, labels): value}"""
    samples = {}
    for line in broker.get(target).decode().splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        key = (name, tuple(LABEL.findall(labels or "")))
        assert key not in samples, line
        samples[key] = float(value)
    return samples


def total(samples, name, **labels):
    wanted = set(labels.items())
    return sum(
        value for (found, has), value in samples.items() if found == name and wanted <= set(has)
    )


def wait_for(broker, name, value, **labels):
    def reached():
        samples = scrape(broker)
        return samples if total(samples, name, **labels) == value else None

    return eventually(f"{name} is {value}", reached)


def test_promtool_accepts_it(broker):
    if not shutil.which("promtool"):
        pytest.skip("no promtool")
    wait_for(broker, "sluice_shards", 2)
    text = broker.get("/metrics")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_all_that_is_exported_is_documented(broker):
    wait_for(broker, "sluice_shards", 2)
    documented = set(re.findall(r"^\| `(\w+)`", TABLE.read_text(), re.M))
    exported = re.findall(r"^# TYPE (\w+) ", broker.get("/metrics").decode(), re.M)
    assert set(exported) <= documented
    assert len(exported) == len(set(exported)) > 50


def test_requests_are_counted_by_api_with_their_errors(broker):
    topic = "metrics-requests"
    with broker.connect() as connection:
        connection.create_topic(topic)
        for _ in range(3):
            assert connection.produce_batch(topic, 0, batch([b"x"]))["error_code"] == 0
        broken = bytearray(batch([b"x"]))
        broken[-1] ^= 1
        assert connection.produce_batch(topic, 0, bytes(broken))["error_code"] != 0
    samples = wait_for(broker, "sluice_request_duration_seconds_count", 5, api="Produce")
    assert total(samples, "sluice_request_errors_total", api="Produce") == 1
    assert total(samples, "sluice_request_errors_total", api="CreateTopics") == 0
    buckets = [
        value
        for (name, labels), value in samples.items()
        if name == "sluice_request_duration_seconds_bucket" and ("api", "Produce") in labels
    ]
    assert buckets == sorted(buckets) and buckets[-1] == 5
    assert total(samples, "sluice_produce_batches_total") >= 4
    assert total(samples, "sluice_commit_duration_seconds_count") > 0
    assert total(samples, "sluice_shard_busy_seconds_total") > 0
    assert total(samples, "sluice_io_submitted_total") > 0
    assert total(samples, "sluice_partitions") >= 3


def test_a_group_that_is_behind_is_told_with_its_lag(broker):
    wait_for(broker, "sluice_group_lag_records", 5, group='gr\\"oup', topic=LAGGING)


def test_a_dedup_window_is_told_by_its_topic(broker):
    eventually(
        "the window is there",
        lambda: ("sluice_topic_dedup_entries", (("topic", DEDUPED),)) in scrape(broker),
    )


def test_partitions_are_told_in_detail_where_they_match(broker):
    def detail():
        samples = scrape(broker, "/metrics/detailed?topic=metrics-l.*&group=none")
        return samples if total(samples, "sluice_topic_fetched_records_total") > 0 else None

    samples = eventually("the detail is there", detail)
    assert total(samples, "sluice_topic_log_bytes", topic=LAGGING) > 7
    assert total(samples, "sluice_partition_high_watermark") == 7
    assert total(samples, "sluice_topic_appended_bytes_total", topic=LAGGING) == len(LAG)
    assert total(samples, "sluice_topic_fetched_bytes_total", topic=LAGGING) == len(LAG)
    assert total(samples, "sluice_topic_fetched_records_total", topic=LAGGING) == 7
    assert {name for name, _ in samples if "group" in name} == set()
    assert {dict(labels).get("topic") for _, labels in samples} == {LAGGING, None}
    assert broker.http("GET", "/metrics/detailed?topic=(")[0] == 400
