"""What a broker costs that has nothing to do.  Judged by processor time, not by the clock."""

import time

import pytest

from harness import Broker, eventually, sanitized

SECONDS = 6
SHARE = 0.01


def share_of_a_core(broker):
    before, begun = broker.cpu_seconds(), time.monotonic()
    time.sleep(SECONDS)  # the span that is measured
    return (broker.cpu_seconds() - before) / (time.monotonic() - begun)


def check_idle(broker):
    share = share_of_a_core(broker)
    if share >= SHARE:
        share = share_of_a_core(broker)  # something may still have been settling
    assert share < SHARE, f"{share:.2%} of a core"


@pytest.mark.skipif(sanitized() is not None, reason="a sanitizer's runtime has work of its own")
def test_an_idle_broker_uses_less_than_a_hundredth_of_a_core():
    with Broker() as broker:
        check_idle(broker)


@pytest.mark.skipif(sanitized() is not None, reason="a sanitizer's runtime has work of its own")
def test_connections_and_long_polls_cost_nothing_while_nothing_happens():
    with Broker() as broker:
        connections = [broker.connect() for _ in range(100)]
        connections[0].create_topic("quiet", 4)
        for index in range(4):
            connections[0].produce("quiet", index, [b"x"])
        for connection in connections[:20]:
            connection.send(
                "Fetch",
                11,
                max_wait_ms=600_000,
                min_bytes=1,
                max_bytes=1000,
                topics=[
                    {
                        "topic": "quiet",
                        "partitions": [
                            {"partition": index, "fetch_offset": 1, "partition_max_bytes": 100}
                            for index in range(4)
                        ],
                    }
                ],
            )
        check_idle(broker)
        # They are really parked: an append wakes them all.
        connections[50].produce("quiet", 3, [b"wake"])
        for connection in connections[:20]:
            rows = connection.receive()[1]["responses"][0]["partitions"]
            assert any(row["records"] for row in rows)
        for connection in connections:
            connection.close()


@pytest.mark.tsan
def test_busy_polling_starts_and_serves():
    with Broker(shards=1, args=["--poll", "busy"]) as broker:
        broker.check_serves()
        before = broker.cpu_seconds()
        eventually("it polls", lambda: broker.cpu_seconds() - before > 0.3)
        broker.check_serves()
