"""Several shards at work at once: partitions on all of them, one connection that produces to all,
others that follow, come and go."""

import random
import threading

import pytest

from harness import Broker
from records import batch, batches

PARTITIONS = 6
TURNS = 150


class Follower(threading.Thread):
    """Reads all partitions by long polls over one connection until everything has come."""

    def __init__(self, broker, topic, expected):
        super().__init__(daemon=True)
        self.connection = broker.connect()
        self.topic, self.expected = topic, expected
        self.values = {index: [] for index in range(PARTITIONS)}
        self.error = None

    def run(self):
        try:
            while any(len(values) < self.expected for values in self.values.values()):
                self.poll()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        finally:
            self.connection.close()

    def poll(self):
        body = self.connection.request(
            "Fetch",
            11,
            max_wait_ms=5000,
            min_bytes=1,
            max_bytes=1 << 20,
            topics=[
                {
                    "topic": self.topic,
                    "partitions": [
                        {
                            "partition": index,
                            "fetch_offset": len(values),
                            "partition_max_bytes": 1 << 20,
                        }
                        for index, values in self.values.items()
                    ],
                }
            ],
        )
        for row in body["responses"][0]["partitions"]:
            assert row["error_code"] == 0
            for got in batches(row["records"]):
                got.check()
                for offset, _, _, value in got.records():
                    assert offset == len(self.values[row["partition_index"]])
                    self.values[row["partition_index"]].append(value)


def come_and_go(broker, topic, stop):
    """Connections that ask for much and leave in the middle of it."""
    source = random.Random(5)
    while not stop.wait(0.02):  # a visitor among others, not a flood
        connection = broker.connect()
        for _ in range(source.randrange(1, 6)):
            connection.send(
                "Fetch",
                11,
                max_wait_ms=10_000,
                min_bytes=1 << 20,
                max_bytes=1 << 20,
                topics=[
                    {
                        "topic": topic,
                        "partitions": [
                            {"partition": index, "partition_max_bytes": 1 << 20}
                            for index in range(PARTITIONS)
                        ],
                    }
                ],
            )
            connection.send("Metadata", 9, topics=[])
        if source.random() < 0.5:
            connection.reset()
        else:
            connection.close()


@pytest.mark.tsan
@pytest.mark.parametrize("shards", [2, 3])
def test_one_connection_feeds_all_shards_while_others_follow_and_leave(shards):
    with Broker(shards=shards) as broker, broker.connect() as producer:
        producer.create_topic("shards", PARTITIONS, {"segment.bytes": 1 << 20})
        followers = [Follower(broker, "shards", 2 * TURNS) for _ in range(3)]
        stop = threading.Event()
        stranger = threading.Thread(target=come_and_go, args=(broker, "shards", stop), daemon=True)
        for thread in (*followers, stranger):
            thread.start()
        try:
            sent = {index: [] for index in range(PARTITIONS)}
            asked = []
            for turn in range(TURNS):
                rows = []
                for index in range(PARTITIONS):
                    values = [
                        b"%d/%d/%d" % (index, turn, i) + b"." * (turn * 37 % 3000) for i in range(2)
                    ]
                    sent[index] += values
                    rows.append({"index": index, "records": batch(values)})
                asked.append(
                    producer.send(
                        "Produce",
                        9,
                        acks=-1 if turn % 3 else 1,
                        timeout_ms=30000,
                        topic_data=[{"name": "shards", "partition_data": rows}],
                    )
                )
                if len(asked) >= 8:
                    check_answer(producer, asked.pop(0))
            while asked:
                check_answer(producer, asked.pop(0))
            for follower in followers:
                follower.join(120)
                assert not follower.is_alive() and follower.error is None, follower.error
                assert follower.values == sent
        finally:
            stop.set()
            stranger.join(60)
        broker.check_serves()


def check_answer(connection, expected):
    correlation, body = connection.receive()
    assert correlation == expected
    rows = body["responses"][0]["partition_responses"]
    assert [row["error_code"] for row in rows] == [0] * PARTITIONS
    assert len({row["base_offset"] for row in rows}) == 1
