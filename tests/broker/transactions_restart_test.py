"""Transactions outlive the broker: killed in each state, and what is found after."""

import pytest

from harness import Broker, eventually
from transactional import (
    NONE,
    TransactionalProducer,
    committed_values,
    describe,
    last_stable,
    producers,
    wait_state,
)

OLD_EPOCH, FENCED = 47, 90


@pytest.fixture
def killed():
    """A broker, and a connection anew after each kill."""
    with Broker() as broker:
        connections = []

        def connect():
            connections.append(broker.connect())
            return connections[-1]

        def kill():
            broker.kill()
            broker.start()
            return connect()

        broker.connect_anew, broker.kill_and_start = connect, kill
        yield broker
        for connection in connections:
            connection.close()


def begin(broker, timeout_ms=60000):
    connection = broker.connect_anew()
    connection.create_topic("kept", 2)
    return TransactionalProducer(connection, "survivor", timeout_ms)


@pytest.mark.parametrize("commit", [True, False])
def test_an_open_transaction_is_still_open_and_goes_on(killed, commit):
    producer = begin(killed)
    assert producer.produce("kept", 0, [b"a"]) == 0
    producer.connection = connection = killed.kill_and_start()
    wait_state(connection, producer.name, "Ongoing")
    assert last_stable(connection, "kept") == 0
    assert producers(connection, "kept")[producer.identity]["current_txn_start_offset"] == 0
    assert producer.produce("kept", 0, [b"b"]) == 1
    assert producer.produce("kept", 1, [b"c"]) == 0
    assert producer.end(commit) == NONE
    eventually("the markers", lambda: last_stable(connection, "kept") == 3)
    assert committed_values(connection, "kept") == ([b"a", b"b"] if commit else [])
    wait_state(connection, producer.name, "CompleteCommit" if commit else "CompleteAbort")
    assert last_stable(connection, "kept", 1) == 2


@pytest.mark.parametrize("commit", [True, False])
def test_what_was_ended_stays_ended(killed, commit):
    producer = begin(killed)
    for partition in (0, 1):
        producer.produce("kept", partition, [b"a"])
    assert producer.end(commit) == NONE
    connection = killed.kill_and_start()  # maybe before the markers
    for partition in (0, 1):
        eventually("the marker", lambda: last_stable(connection, "kept", partition) == 2)
        expected = [b"a"] if commit else []
        assert committed_values(connection, "kept", partition) == expected
    producer.connection = connection
    assert producer.produce("kept", 0, [b"b"]) == 2
    producer.commit()
    eventually("the marker", lambda: last_stable(connection, "kept") == 4)


def test_a_batch_sent_again_after_a_restart_is_recognised(killed):
    producer = begin(killed)
    sent = producer.batch([b"a"], 0)
    assert producer.produce_once("kept", 0, sent)["base_offset"] == 0
    producer.connection = connection = killed.kill_and_start()
    wait_state(connection, producer.name, "Ongoing")
    assert producer.produce_once("kept", 0, sent)["base_offset"] == 0
    producer.commit()
    eventually("the marker", lambda: last_stable(connection, "kept") == 2)


def test_a_fenced_producer_stays_fenced(killed):
    older = begin(killed)
    older.produce("kept", 0, [b"old"])
    TransactionalProducer(older.connection, older.name)
    older.connection = connection = killed.kill_and_start()
    eventually("the abort", lambda: last_stable(connection, "kept") == 2)
    assert older.produce("kept", 1, [b"late"]) == -OLD_EPOCH
    assert older.end(True) == FENCED
    assert committed_values(connection, "kept") == []


def test_a_time_out_begins_anew_and_ends(killed):
    producer = begin(killed, timeout_ms=1000)
    producer.produce("kept", 0, [b"a"])
    connection = killed.kill_and_start()
    eventually("the abort", lambda: last_stable(connection, "kept") == 2)
    assert committed_values(connection, "kept") == []


def test_a_stopped_broker_ends_what_it_can_and_starts_again(killed):
    producer = begin(killed)
    producer.produce("kept", 0, [b"a"])
    producer.commit()
    producer.produce("kept", 0, [b"b"])
    killed.restart()
    producer.connection = connection = killed.connect_anew()
    wait_state(connection, producer.name, "Ongoing")
    assert committed_values(connection, "kept") == [b"a"]
    producer.commit()
    eventually("the marker", lambda: last_stable(connection, "kept") == 4)
    assert committed_values(connection, "kept") == [b"a", b"b"]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_transactions_are_whole(killed, seed):
    """Records of one transaction in both partitions are all delivered, or none of them."""
    producer = begin(killed)
    connection = producer.connection
    acknowledged = []
    for turn in range(3):
        for index in range(4):
            value = b"%d-%d" % (turn, index)
            for partition in (0, 1):
                assert producer.produce("kept", partition, [value]) >= 0
            commit = (index + seed) % 3 != 0
            if index == 3:
                # The answer may never come: what then is must be the same in both.
                producer.connection.send(
                    "EndTxn", 5, committed=commit, **producer.header()
                )
                break
            assert producer.end(commit) == NONE
            if commit:
                acknowledged.append(value)
        connection = killed.kill_and_start()
        producer = TransactionalProducer(connection, producer.name)
    for partition in (0, 1):
        eventually(
            "nothing is open",
            lambda: last_stable(connection, "kept", partition)
            == connection.list_offset("kept", partition, -1)["offset"],
        )
    one, other = (committed_values(connection, "kept", partition) for partition in (0, 1))
    assert one == other
    assert [value for value in one if value in acknowledged] == acknowledged
    assert describe(connection, producer.name)["topics"] == []


@pytest.mark.parametrize("commit", [True, False])
def test_offsets_of_a_transaction_outlive_the_broker(killed, commit):
    producer = begin(killed)
    assert producer.commit_offset("group", "kept", 42) == NONE
    producer.connection = connection = killed.kill_and_start()
    wait_state(connection, producer.name, "Ongoing")
    assert producer.end(commit) == NONE
    connection = killed.kill_and_start()

    def fetched():
        body = connection.request(
            "OffsetFetch",
            8,
            require_stable=True,
            groups=[
                {"group_id": "group", "topics": [{"name": "kept", "partition_indexes": [0]}]}
            ],
        )
        group = body["groups"][0]
        if group["error_code"]:
            return group["error_code"]
        row = group["topics"][0]["partitions"][0]
        return row["error_code"] or row["committed_offset"]

    eventually("the end", lambda: fetched() == (42 if commit else -1))
