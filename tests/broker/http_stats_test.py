"""/v1: what the broker counts, its shards and its dedup windows."""

import pytest

from harness import eventually
from http_client import HttpBroker


@pytest.fixture(scope="module")
def broker():
    """With what takes a few seconds to show: a dedup window and a group that is behind."""
    with HttpBroker() as it:
        with it.connect() as connection:
            connection.create_topic("windowed", 2, configs={"dedup.enable": "true"})
            connection.create_topic("lagging", 1)
            connection.produce("lagging", 0, [b"a", b"b", b"c"])
        it.api("POST", "/v1/groups/late/offsets", {"to": "1", "topic": "lagging"})
        yield it


def stats(broker):
    """Once there are any."""
    return eventually(
        "a first picture",
        lambda: broker.http("GET", "/v1/stats")[0] == 200 and broker.get("/v1/stats"),
    )


@pytest.mark.tsan
def test_counters_grow_with_what_is_done(broker):
    before = stats(broker)
    with broker.connect() as connection:
        connection.create_topic("counted", 1)
        connection.produce("counted", 0, [b"x" * 1000])

    def counted():
        now = broker.get("/v1/stats")
        grown = now["counters"]["produce_bytes"] - before["counters"]["produce_bytes"]
        return grown >= 1000 and now

    after = eventually("the bytes to be counted", counted)
    assert after["at_ms"] > before["at_ms"]
    assert after["topics"] == broker.get("/v1/cluster")["topics"]
    produced = next(row for row in after["apis"] if row["api"] == "Produce")
    assert produced["answered"]["count"] == sum(produced["answered"]["buckets"]) == 2
    assert len(produced["answered"]["buckets"]) == len(after["bounds_ns"]) + 1
    assert len(after["busy_ns"]) == 2 and sum(after["busy_ns"]) > 0


@pytest.mark.tsan
def test_each_shard_tells_its_own(broker):
    total = stats(broker)["counters"]["connections_accepted"]
    page = broker.get("/v1/shards")
    assert [row["shard"] for row in page["shards"]] == [0, 1]
    assert sum(row["counters"]["connections_accepted"] for row in page["shards"]) >= total
    assert all(0 <= row["busy_share"] <= 1 and row["queue"] is None for row in page["shards"])
    assert page["port"] is None and page["others"]["control"]["received"] > 0


@pytest.mark.tsan
def test_a_dedup_window_is_told(broker):
    rows = eventually("the window", lambda: broker.get("/v1/dedup")["topics"])
    assert [(row["topic"], row["partitions"], row["entries"]) for row in rows] == [
        ("windowed", 2, 0)
    ]
    assert broker.get("/v1/dedup?search=absent")["topics"] == []
    assert broker.get("/v1/dedup?after=windowed")["topics"] == []


@pytest.mark.tsan
def test_the_list_of_groups_says_how_far_each_is_behind(broker):
    def known():
        rows = broker.get("/v1/groups?search=late")["groups"]
        return rows[0]["lag"] is not None and rows

    [row] = eventually("its lag", known)
    assert (row["id"], row["members"], row["lag"]) == ("late", 0, 2)
