"""Readers of committed records while transactions end: what a read finds is told of in its answer."""

import itertools
import threading

import pytest

from harness import Broker, eventually
from records import batch, batches
from transactional import CONTROL, NONE, READ_COMMITTED, TransactionalProducer, last_stable

TOPIC = "racing"
AT_ONCE = 8


def undisclosed(row):
    """Whether records are given whose abort is not told of: all transactions here are aborted."""
    told = {(each["first_offset"], each["producer_id"]) for each in row["aborted_transactions"]}
    return [
        each.base_offset
        for each in batches(row["records"])
        if each.producer_id >= 0
        and not each.attributes & CONTROL
        and (each.base_offset, each.producer_id) not in told
    ]


class Reader(threading.Thread):
    """Reads the log again and again."""

    def __init__(self, broker):
        super().__init__()
        self.broker, self.over, self.found = broker, False, []
        self.failure = None

    def run(self):
        try:
            with self.broker.connect() as connection:
                while not self.over:
                    self.read_once(connection)
        except Exception as failure:  # told by the test's own thread
            self.failure = failure

    def read_once(self, connection):
        """Twice in one request: the second read begins where the first ends, among other I/O."""
        twice = [{"partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20}] * 2
        body = connection.request(
            "Fetch",
            11,
            max_wait_ms=0,
            min_bytes=1,
            max_bytes=64 << 20,
            isolation_level=READ_COMMITTED,
            topics=[{"topic": TOPIC, "partitions": twice}],
        )
        for row in body["responses"][0]["partitions"]:
            assert row["error_code"] == NONE
            ends = [each.next_offset for each in batches(row["records"])]
            assert max(ends) <= row["last_stable_offset"] <= row["high_watermark"]
            self.found += undisclosed(row)


@pytest.fixture(params=["auto", "sync"])
def readers(request):
    """Of a log whose first batch is in its file alone, as after a start."""
    with Broker(io=request.param) as broker:
        with broker.connect() as connection:
            connection.create_topic(TOPIC)
            connection.produce(TOPIC, 0, [bytes(100_000)])
        broker.restart()
        threads = [Reader(broker) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        yield broker, threads
        for thread in threads:
            thread.over = True
        for thread in threads:
            thread.join()


def test_what_is_aborted_while_it_is_read_is_told_as_aborted(readers):
    broker, threads = readers
    with broker.connect() as connection:
        producer = TransactionalProducer(connection, TOPIC)
        for _ in range(40):
            assert producer.produce(TOPIC, 0, [b"never seen"]) > 0
            end = connection.list_offset(TOPIC, 0, -1)["offset"]
            producer.abort()
            eventually("the marker", lambda: last_stable(connection, TOPIC) > end)
    assert [thread.failure for thread in threads] == [None] * AT_ONCE
    assert list(itertools.chain(*(thread.found for thread in threads))) == []
