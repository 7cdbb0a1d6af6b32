"""What restarts, crashes and retention keep and take."""

import base64
import json
import os
import random
import threading
import time

import pytest

from harness import Broker, eventually
from records import batch

NONE, OUT_OF_RANGE = 0, 1


# ---- what a restart keeps ----


def topics_of_one_shard(connection, count):
    """Topics of one partition each; shards take turns at them, so every other one is deleted."""
    names = [f"t{i:03}" for i in range(2 * count)]
    body = connection.request(
        "CreateTopics",
        7,
        timeout_ms=60000,
        topics=[
            {"name": name, "num_partitions": 1, "replication_factor": 1, "configs": []}
            for name in names
        ],
    )
    assert not any(each["error_code"] for each in body["topics"])
    connection.request("DeleteTopics", 5, topic_names=names[1::2], timeout_ms=60000)
    return names[::2]


def first_answers(broker, partitions, count=8):
    """Of connections made while the broker starts, each of which may be reset by its start."""
    connections, found = [], []

    def sent():
        try:
            connection = broker.connect()
            connection.send("Produce", 9, acks=-1, timeout_ms=30000, topic_data=partitions)
            connections.append(connection)
        except ConnectionError:
            pass
        return len(connections) == count

    eventually("connections to a broker that starts", sent, every=0.001)
    for connection in connections:
        with connection:
            try:
                found.append(connection.receive()[1]["responses"])
            except ConnectionError:
                pass
    return found


def test_the_first_answers_after_a_crash_know_all_partitions_of_all_shards():
    """The other shard has nothing to open and is ready first."""
    with Broker(shards=2) as broker:
        with broker.connect() as connection:
            names = topics_of_one_shard(connection, 200)
        data = batch([b"x"])
        partitions = [
            {"name": name, "partition_data": [{"index": 0, "records": data}]} for name in names
        ]
        for _ in range(5):
            broker.kill()
            broker.start(wait=False)
            for answer in first_answers(broker, partitions):
                codes = [each["partition_responses"][0]["error_code"] for each in answer]
                assert set(codes) == {NONE}
            broker.wait_ready()


@pytest.mark.parametrize("crash", [False, True])
def test_a_restart_keeps_topics_settings_ids_and_records(crash):
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("kept", 4, {"retention.ms": "86400000"})
            for index in range(4):
                for turn in range(5):
                    connection.produce("kept", index, [b"%d.%d" % (index, turn), b"x" * 3000])
            connection.create_topic("grown")
            connection.request(
                "CreatePartitions",
                3,
                timeout_ms=30000,
                topics=[{"name": "grown", "count": 3, "assignments": None}],
            )
            connection.create_topic("gone")
            connection.request("DeleteTopics", 5, topic_names=["gone"], timeout_ms=30000)
            connection.request(
                "IncrementalAlterConfigs",
                1,
                resources=[
                    {
                        "resource_type": 2,
                        "resource_name": "grown",
                        "configs": [
                            {"name": "segment.bytes", "config_operation": 0, "value": "2097152"}
                        ],
                    }
                ],
            )
            connection.request(
                "DeleteRecords",
                2,
                timeout_ms=30000,
                topics=[{"name": "kept", "partitions": [{"partition_index": 0, "offset": 3}]}],
            )
            before = _everything(connection)
        for _ in range(2):
            if crash:
                broker.kill()
                broker.start()
            else:
                broker.restart()
            with broker.connect() as connection:
                assert _everything(connection) == before
        with broker.connect() as connection:
            assert connection.list_offset("kept", 0, -2)["offset"] == 3
            assert connection.fetch("kept", 0, 2)["error_code"] == OUT_OF_RANGE
            assert connection.produce("kept", 1, [b"next"]) == 10


def _everything(connection):
    """All a client can see, but for leader epochs, which count the runs."""
    meta = connection.request("Metadata", 12, topics=None)
    topics = {}
    for row in sorted(meta["topics"], key=lambda row: row["name"]):
        name = row["name"]
        configs = connection.request(
            "DescribeConfigs",
            4,
            resources=[{"resource_type": 2, "resource_name": name, "configuration_keys": None}],
        )
        partitions = []
        for each in range(len(row["partitions"])):
            partitions.append(
                [
                    connection.list_offset(name, each, -2)["offset"],
                    connection.list_offset(name, each, -1)["offset"],
                    [base64.b64encode(b.raw).decode() for b in connection.read_all(name, each)],
                ]
            )
        topics[name] = [
            row["topic_id"].hex(),
            partitions,
            {c["name"]: c["value"] for c in configs["results"][0]["configs"]},
        ]
    return json.dumps([meta["cluster_id"], topics])


def test_another_number_of_shards_finds_the_same_partitions():
    with Broker(shards=2) as broker:
        with broker.connect() as connection:
            connection.create_topic("moved", 6)
            for index in range(6):
                connection.produce("moved", index, [b"%d" % index] * (index + 1))
        for shards in (1, 3, 2):
            broker.restart(shards=shards)
            with broker.connect() as connection:
                for index in range(6):
                    assert connection.fetch_values("moved", index, 0) == [b"%d" % index] * (
                        index + 1
                    )


def test_one_back_end_reads_what_the_other_wrote():
    with Broker(io="sync") as broker:
        for turn, io in enumerate(("sync", "auto", "sync", "auto")):
            if turn:
                broker.restart(io=io)
            with broker.connect() as connection:
                connection.create_topic_if_missing("both")
                assert connection.produce("both", 0, [b"%d" % turn]) == turn
                assert connection.fetch_values("both", 0, 0) == [b"%d" % i for i in range(turn + 1)]


# ---- retention ----


def earliest(broker, topic, partition=0):
    with broker.connect() as connection:
        return connection.list_offset(topic, partition, -2)["offset"]


def files_of(broker):
    return sorted(path for path in (broker.data / "topics").rglob("*") if path.is_file())


def test_segments_roll_and_the_oldest_go_by_size():
    with Broker(shards=1) as broker:
        with broker.connect() as connection:
            connection.create_topic(
                "sized", 1, {"segment.bytes": 1 << 20, "retention.bytes": 3 << 20}
            )
            for index in range(40):
                connection.produce("sized", 0, [b"%d" % index + b"x" * 250_000])
        eventually("the oldest segments go", lambda: earliest(broker, "sized") > 0)
        with broker.connect() as connection:
            start = connection.list_offset("sized", 0, -2)["offset"]
            # No more than asked for went.
            assert (40 - start) * 250_000 >= 3 << 20
            got = connection.fetch_values("sized", 0, start)
            assert got[0].startswith(b"%d" % start)
            assert connection.fetch("sized", 0, 0)["error_code"] == OUT_OF_RANGE
        start = earliest(broker, "sized")
        broker.restart()
        assert earliest(broker, "sized") >= start
        with broker.connect() as connection:
            assert connection.list_offset("sized", 0, -1)["offset"] == 40


def test_old_records_go_by_time():
    hour = 3_600_000
    with Broker(shards=1) as broker:
        now = int(time.time() * 1000)
        with broker.connect() as connection:
            connection.create_topic("timed", 1, {"segment.bytes": 1 << 20, "retention.ms": hour})
            for _ in range(10):
                connection.produce("timed", 0, [b"x" * 250_000], timestamp=now - 2 * hour)
            for _ in range(10):
                connection.produce("timed", 0, [b"x" * 250_000], timestamp=now)
        eventually("the old segments go", lambda: 4 <= earliest(broker, "timed") <= 10)
        with broker.connect() as connection:
            assert connection.list_offset("timed", 0, -1)["offset"] == 20
            assert len(connection.fetch_values("timed", 0, 10)) >= 1


def test_a_shorter_retention_takes_effect_on_what_is_there():
    with Broker(shards=1) as broker:
        old = int(time.time() * 1000) - 86_400_000
        with broker.connect() as connection:
            connection.create_topic("shrunk", 1, {"segment.bytes": 1 << 20})
            for _ in range(12):
                connection.produce("shrunk", 0, [b"x" * 250_000], timestamp=old)
            assert connection.list_offset("shrunk", 0, -2)["offset"] == 0
            connection.request(
                "IncrementalAlterConfigs",
                1,
                resources=[
                    {
                        "resource_type": 2,
                        "resource_name": "shrunk",
                        "configs": [
                            {"name": "retention.ms", "config_operation": 0, "value": "60000"}
                        ],
                    }
                ],
            )
        eventually("records go", lambda: earliest(broker, "shrunk") > 0)


def test_space_is_given_back_when_records_are_deleted():
    with Broker(shards=1) as broker:
        with broker.connect() as connection:
            connection.create_topic("space", 1, {"segment.bytes": 1 << 20})
            for _ in range(40):
                connection.produce("space", 0, [b"x" * 250_000])
            full = sum(path.stat().st_blocks for path in files_of(broker))
            connection.request(
                "DeleteRecords",
                2,
                timeout_ms=30000,
                topics=[{"name": "space", "partitions": [{"partition_index": 0, "offset": 39}]}],
            )
        eventually(
            "the files shrink",
            lambda: sum(path.stat().st_blocks for path in files_of(broker)) < full / 2,
        )
        broker.kill()
        broker.start()
        assert earliest(broker, "space") == 39
        with broker.connect() as connection:
            assert len(connection.fetch_values("space", 0, 39)) == 1


# ---- kill -9 under load ----


class Producer(threading.Thread):
    """Appends to one partition until the broker goes, and remembers what was acknowledged."""

    def __init__(self, broker, topic, partition, acks, source):
        super().__init__(daemon=True)
        self.connection = broker.connect()
        self.topic, self.partition, self.acks = topic, partition, acks
        self.source = source
        self.acknowledged = {}
        self.error = None

    def run(self):
        pending = {}
        try:
            while True:
                while len(pending) < 4:
                    values = [
                        self.source.randbytes(self.source.randrange(1, 3000))
                        for _ in range(self.source.randrange(1, 6))
                    ]
                    asked = self.connection.send(
                        "Produce",
                        9,
                        acks=self.acks,
                        timeout_ms=30000,
                        topic_data=[
                            {
                                "name": self.topic,
                                "partition_data": [
                                    {"index": self.partition, "records": batch(values)}
                                ],
                            }
                        ],
                    )
                    pending[asked] = values
                correlation, body = self.connection.receive()
                row = body["responses"][0]["partition_responses"][0]
                if row["error_code"]:
                    raise AssertionError(f"error {row['error_code']}: {row['error_message']}")
                for index, value in enumerate(pending.pop(correlation)):
                    self.acknowledged[row["base_offset"] + index] = value
        except OSError:
            pass  # the broker has been killed
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        finally:
            self.connection.close()


@pytest.mark.parametrize("shards", [1, 2])
def test_what_was_acknowledged_survives_kill_9_under_load(shards):
    seed = int(os.environ.get("SLUICED_SEED", "7"))
    partitions = 4
    kept = {index: {} for index in range(partitions)}
    with Broker(shards=shards) as broker:
        with broker.connect() as connection:
            connection.create_topic("crash", partitions, {"segment.bytes": 1 << 20})
        for cycle in range(5):
            source = random.Random(f"{seed}/{cycle}")
            producers = [
                Producer(broker, "crash", index, -1, random.Random(f"{seed}/{cycle}/{index}"))
                for index in range(partitions)
            ]
            for producer in producers:
                producer.start()
            wanted = source.randrange(20, 120)
            eventually(
                "enough was acknowledged",
                lambda: min(len(producer.acknowledged) for producer in producers) >= wanted,
                120,
            )
            broker.kill()
            for producer in producers:
                producer.join(60)
                assert not producer.is_alive() and producer.error is None, producer.error
                kept[producer.partition].update(producer.acknowledged)
            broker.start()
            with broker.connect() as connection:
                for index in range(partitions):
                    stored = {}
                    for each in connection.read_all("crash", index, 0):
                        each.check()
                        for offset, _, _, value in each.records():
                            assert offset not in stored
                            stored[offset] = value
                    # Without holes, and everything acknowledged where and as it was.
                    assert sorted(stored) == list(range(len(stored)))
                    lost = {
                        offset
                        for offset, value in kept[index].items()
                        if stored.get(offset) != value
                    }
                    assert not lost, (
                        f"seed {seed} cycle {cycle} partition {index}: {sorted(lost)[:9]}"
                    )
                    # What a reader has now been given stays, acknowledged or not.
                    kept[index] = stored


def test_acks_1_loses_at_most_the_tail_when_killed():
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("tail", 1)
        producer = Producer(broker, "tail", 0, 1, random.Random(3))
        producer.start()
        eventually("some were acknowledged", lambda: len(producer.acknowledged) > 300, 120)
        broker.kill()
        producer.join(60)
        assert producer.error is None
        broker.start()
        with broker.connect() as connection:
            stored = {}
            for each in connection.read_all("tail", 0, 0):
                each.check()
                stored.update({offset: value for offset, _, _, value in each.records()})
            assert sorted(stored) == list(range(len(stored)))
            for offset, value in stored.items():
                assert producer.acknowledged.get(offset, value) == value


def test_a_kill_during_a_start_does_no_harm():
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("start", 8)
            for index in range(8):
                connection.produce("start", index, [b"%d" % index])
        broker.kill()
        for delay in (0, 0.01, 0.03, 0.06, 0.1, 0.2):
            broker.start(wait=False)
            time.sleep(delay)
            broker.kill()
        broker.start()
        with broker.connect() as connection:
            for index in range(8):
                assert connection.fetch_values("start", index, 0) == [b"%d" % index]
