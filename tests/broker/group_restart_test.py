"""What groups have committed outlives the broker: crashes, rewrites of __consumer_offsets, disks that
fail.  And the topic is the broker's alone."""

import errno
import os
import random
import threading

import pytest

from harness import Broker, DiskFaults, Refused, eventually
from records import batch

NONE, INVALID_TOPIC = 0, 17
COORDINATOR_NOT_AVAILABLE = 15
# What a client is told to ask again for: loading, not available, not coordinator.
AGAIN = (14, COORDINATOR_NOT_AVAILABLE, 16)
OFFSETS_TOPIC = "__consumer_offsets"


def commit(connection, group, offsets, topic="read", metadata="", version=8):
    """The error codes by partition; `offsets` is by partition."""
    body = connection.request(
        "OffsetCommit",
        version,
        group_id=group,
        topics=[
            {
                "name": topic,
                "partitions": [
                    {
                        "partition_index": index,
                        "committed_offset": offset,
                        "committed_metadata": metadata,
                    }
                    for index, offset in offsets.items()
                ],
            }
        ],
    )
    return {
        row["partition_index"]: row["error_code"]
        for each in body["topics"]
        for row in each["partitions"]
    }


def committed(connection, group):
    """All that the group has committed, by topic and partition; waits while groups are loaded."""

    def ask():
        body = connection.request("OffsetFetch", 7, group_id=group, topics=None)
        if body["error_code"] in AGAIN:
            return None
        assert body["error_code"] == NONE
        return {
            (each["name"], row["partition_index"]): (row["committed_offset"], row["metadata"])
            for each in body["topics"]
            for row in each["partitions"]
        }, True

    return eventually("the group is loaded", ask)[0]


def committed_offset(connection, group, partition=0, topic="read"):
    return committed(connection, group)[topic, partition][0]


def earliest(connection, partition=0):
    return connection.list_offset(OFFSETS_TOPIC, partition, -2)["offset"]


@pytest.mark.tsan
def test_what_was_committed_is_there_after_kill_9():
    with Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic("read", 3)
            assert committed(connection, "first") == {}
            assert commit(connection, "first", {0: 5, 2: 7}, metadata="why") == {0: 0, 2: 0}
            assert commit(connection, "second", {1: 1}) == {1: 0}
            assert commit(connection, "first", {0: 6}) == {0: 0}
        broker.kill()
        broker.start()
        with broker.connect() as connection:
            assert committed(connection, "first") == {("read", 0): (6, ""), ("read", 2): (7, "why")}
            assert committed(connection, "second") == {("read", 1): (1, "")}
        broker.restart()
        with broker.connect() as connection:
            assert committed_offset(connection, "first") == 6
        assert "state is loaded topic=__consumer_offsets" in broker.log()


def test_many_groups_in_several_partitions_and_the_number_is_settled():
    settings = {"offsets.topic.num.partitions": 7}
    groups = [f"group-{index}" for index in range(60)]
    with Broker(settings=settings, shards=3) as broker:
        with broker.connect() as connection:
            connection.create_topic("read")
            for index, group in enumerate(groups):
                assert commit(connection, group, {0: index}) == {0: 0}
        broker.kill()
        broker.settings["offsets.topic.num.partitions"] = 3
        broker.start()
        with broker.connect() as connection:
            body = connection.request("Metadata", 9, topics=[{"name": OFFSETS_TOPIC}])
            assert len(body["topics"][0]["partitions"]) == 7
            for index, group in enumerate(groups):
                assert committed_offset(connection, group) == index


class Committer(threading.Thread):
    """Commits 1, 2, 3, ... for a group of its own until the broker goes."""

    def __init__(self, broker, group, first):
        super().__init__(daemon=True)
        self.connection = broker.connect()
        self.group = group
        self.sent = self.acknowledged = first
        self.error = None

    def run(self):
        try:
            while True:
                self.sent += 1
                answer = commit(self.connection, self.group, {0: self.sent})
                if answer != {0: NONE}:
                    raise AssertionError(f"commit was answered {answer}")
                self.acknowledged = self.sent
        except OSError:
            pass  # the broker has been killed
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
        finally:
            self.connection.close()


@pytest.mark.parametrize("rewrite_bytes", ["4MiB", "2000"])
def test_no_commit_is_lost_or_made_up_when_killed_under_load(rewrite_bytes):
    """With the small one the topic is rewritten all the time, and kills fall into that."""
    source = random.Random(int(os.environ.get("SLUICED_SEED", "7")))
    groups = [f"group-{index}" for index in range(4)]
    known = dict.fromkeys(groups, 0)
    with Broker(settings={"offsets.topic.rewrite.bytes": rewrite_bytes}) as broker:
        with broker.connect() as connection:
            connection.create_topic("read")
        for _ in range(6):
            committers = [Committer(broker, group, known[group]) for group in groups]
            for committer in committers:
                committer.start()
            wanted = source.randrange(20, 150)
            eventually(
                "enough was acknowledged",
                lambda: min(each.acknowledged - known[each.group] for each in committers) > wanted,
                120,
            )
            if rewrite_bytes == "2000":
                assert "state is rewritten topic=__consumer_offsets" in broker.log()
            broker.kill()
            broker.start()
            with broker.connect() as connection:
                for each in committers:
                    each.join(60)
                    assert not each.is_alive() and each.error is None, each.error
                    known[each.group] = committed_offset(connection, each.group)
                    assert each.acknowledged <= known[each.group] <= each.sent


@pytest.mark.tsan
def test_a_topic_that_has_outgrown_what_holds_is_rewritten_and_a_restart_is_short():
    with Broker(settings={"offsets.topic.rewrite.bytes": 5000}) as broker:
        with broker.connect() as connection:
            connection.create_topic("read", 2)
            assert commit(connection, "kept", {0: 1, 1: 2}, metadata="for ever") == {0: 0, 1: 0}
            for offset in range(300):
                assert commit(connection, "busy", {0: offset}) == {0: 0}
            eventually("the log is trimmed", lambda: earliest(connection) > 100)
        broker.kill()
        broker.start()
        with broker.connect() as connection:
            assert committed_offset(connection, "busy") == 299
            assert committed(connection, "kept") == {
                ("read", 0): (1, "for ever"),
                ("read", 1): (2, "for ever"),
            }
            latest = connection.list_offset(OFFSETS_TOPIC, 0, -1)["offset"]
            assert latest - earliest(connection) < 200


def test_clients_may_read_the_topic_and_no_more():
    with Broker() as broker:
        with broker.connect() as connection:
            # Asking for it does not make it.
            body = connection.request(
                "Metadata", 9, topics=[{"name": OFFSETS_TOPIC}], allow_auto_topic_creation=True
            )
            assert body["topics"][0]["error_code"] == 3
            with pytest.raises(Refused) as refused:
                connection.create_topic(OFFSETS_TOPIC)
            assert refused.value.code == INVALID_TOPIC

            connection.create_topic("read")
            assert commit(connection, "group", {0: 5}) == {0: 0}
            body = connection.request("Metadata", 9, topics=[{"name": OFFSETS_TOPIC}])
            assert body["topics"][0]["is_internal"]
            assert len(connection.read_all(OFFSETS_TOPIC, 0)) == 1

            answer = connection.produce_batch(OFFSETS_TOPIC, 0, batch([b"mine"]))
            assert answer["error_code"] == INVALID_TOPIC
            body = connection.request(
                "DeleteRecords",
                2,
                timeout_ms=30000,
                topics=[
                    {"name": OFFSETS_TOPIC, "partitions": [{"partition_index": 0, "offset": -1}]}
                ],
            )
            assert body["topics"][0]["partitions"][0]["error_code"] == INVALID_TOPIC
            body = connection.request(
                "DeleteTopics", 5, topic_names=[OFFSETS_TOPIC], timeout_ms=30000
            )
            assert body["responses"][0]["error_code"] == INVALID_TOPIC
            body = connection.request(
                "CreatePartitions",
                2,
                topics=[{"name": OFFSETS_TOPIC, "count": 2, "assignments": None}],
                timeout_ms=30000,
            )
            assert body["results"][0]["error_code"] == INVALID_TOPIC
            assert committed_offset(connection, "group") == 5


# ---- disks that fail ----


@pytest.fixture
def faulty(shim, tmp_path):
    faults = DiskFaults(tmp_path / "fault")
    env = {"LD_PRELOAD": str(shim), "FAULTY_DISK_CONTROL": str(faults.path)}
    with Broker(env=env) as broker:
        with broker.connect() as connection:
            connection.create_topic("read")
        yield broker, faults


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_commit_that_a_failed_disk_may_have_lost_is_not_acknowledged(faulty, operation):
    broker, faults = faulty
    with broker.connect() as connection:
        assert commit(connection, "group", {0: 1}) == {0: NONE}
        faults.on(operation, errno.EIO, "/topics/")
        for offset in (2, 3, 4):
            assert commit(connection, "group", {0: offset})[0] in AGAIN
        # Nobody is told what may be gone: the group is not served until it is read again.
        body = connection.request("OffsetFetch", 7, group_id="group", topics=None)
        assert body["error_code"] in AGAIN
        faults.off()
        # A refused commit may be found whole on the disk, but an acknowledged one is never lost.
        assert committed_offset(connection, "group") in (1, 2, 3, 4)
        assert commit(connection, "group", {0: 9}) == {0: NONE}
        assert committed_offset(connection, "group") == 9
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        assert committed_offset(connection, "group") == 9


def test_a_topic_that_cannot_be_made_refuses_commits_and_the_rest_goes_on(faulty):
    broker, faults = faulty
    with broker.connect() as connection:
        faults.on("sync", errno.EIO, "/catalog")
        assert commit(connection, "group", {0: 1})[0] in AGAIN
        assert committed(connection, "group") == {}
        assert connection.produce("read", 0, [b"meanwhile"]) == 0
        faults.off()
    broker.kill()  # a catalog that failed a flush takes nothing more in this run
    broker.start()
    with broker.connect() as connection:
        assert commit(connection, "group", {0: 2}) == {0: NONE}
        assert committed_offset(connection, "group") == 2


# ---- the end ----


def join(connection, group):
    return connection.send(
        "JoinGroup",
        3,
        group_id=group,
        session_timeout_ms=30000,
        rebalance_timeout_ms=60000,
        protocol_type="consumer",
        protocols=[{"name": "range", "metadata": b""}],
    )


@pytest.mark.tsan
def test_a_stop_answers_who_is_parked_and_does_not_wait_for_it():
    # Whoever waited for the members or for the drain's end would be noticed.
    settings = {"group.initial.rebalance.delay.ms": 600_000, "shutdown.drain.ms": "600s"}
    with Broker(settings=settings) as broker:
        with broker.connect() as parked, broker.connect() as gone, broker.connect() as connection:
            connection.create_topic("read")
            join(parked, "parked")
            join(gone, "gone")
            gone.reset()
            for group in ("parked", "gone"):
                assert commit(connection, "other", {0: 1}) == {0: NONE}
                eventually(
                    "the member waits",
                    lambda group=group: connection.request(
                        "DescribeGroups", 1, groups=[group]
                    )["groups"][0]["group_state"]
                    == "PreparingRebalance",
                )
            answers = []
            receiver = threading.Thread(target=lambda: answers.append(parked.receive()[1]))
            receiver.start()
            broker.stop()
            receiver.join(30)
            assert answers[0]["error_code"] == COORDINATOR_NOT_AVAILABLE
        broker.start()
        with broker.connect() as connection:
            assert committed_offset(connection, "other") == 1
