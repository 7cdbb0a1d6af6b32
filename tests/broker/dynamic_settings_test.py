"""Settings of the broker that clients change while it runs, as Kafka's AdminClient does: for one
broker, or for every broker of the cluster."""

import signal

import pytest

from admin_test import alter, describe, replace, settings
from harness import Broker, eventually

NONE, BAD_CONFIG, INVALID = 0, 40, 42
BROKER = 4
ONE, ALL = "1", ""
SET, DELETE, APPEND, SUBTRACT = range(4)
FROM_ONE, FROM_ALL, FROM_FILE, FROM_DEFAULT = 2, 3, 4, 5


@pytest.fixture
def broker():
    with Broker(settings={"log.retention.ms": "3h"}) as running:
        yield running


@pytest.fixture
def connection(broker):
    with broker.connect() as opened:
        yield opened


def change(connection, name, *changes, **options):
    return alter(connection, name, *changes, kind=BROKER, **options)


def row(connection, key, name=ONE):
    rows = describe(connection, name, BROKER, keys=[key], include_synonyms=True)["configs"]
    return rows[0] if rows else None


def value(connection, key, name=ONE):
    found = row(connection, key, name)
    return found and (found["value"], found["config_source"])


def test_one_brokers_setting_wins_over_all_brokers_and_those_over_the_file(connection):
    key = "log.retention.ms"
    assert value(connection, key) == ("10800000", FROM_FILE)
    assert change(connection, ALL, (key, SET, "2h"))["error_code"] == NONE
    assert value(connection, key) == ("7200000", FROM_ALL)
    assert value(connection, key, ALL) == ("7200000", FROM_ALL)
    assert change(connection, ONE, (key, SET, "1h"))["error_code"] == NONE
    assert value(connection, key) == ("3600000", FROM_ONE)
    assert [(s["value"], s["source"]) for s in row(connection, key)["synonyms"]] == [
        ("3600000", FROM_ONE),
        ("7200000", FROM_ALL),
        ("10800000", FROM_FILE),
        ("604800000", FROM_DEFAULT),
    ]
    assert change(connection, ONE, (key, DELETE, None))["error_code"] == NONE
    assert value(connection, key) == ("7200000", FROM_ALL)
    assert change(connection, ALL, (key, DELETE, None))["error_code"] == NONE
    assert value(connection, key) == ("10800000", FROM_FILE)
    assert value(connection, key, ALL) is None


def test_a_change_holds_when_it_is_answered(connection):
    connection.create_topic("t")
    assert settings(connection, "t")["retention.ms"] == "10800000"
    change(connection, ALL, ("log.retention.ms", SET, "60000"), ("num.partitions", SET, "7"))
    assert settings(connection, "t")["retention.ms"] == "60000"
    [source] = describe(connection, "t", keys=["retention.ms"])["configs"]
    assert source["config_source"] == FROM_ALL
    [made] = connection.request(
        "CreateTopics",
        7,
        topics=[{"name": "u", "num_partitions": -1, "replication_factor": -1}],
        timeout_ms=10000,
    )["topics"]
    assert made["num_partitions"] == 7


def test_a_change_outlives_a_crash_and_a_reload(broker, connection):
    change(connection, ONE, ("num.partitions", SET, "7"), ("log.level", SET, "info,storage=warn"))
    change(connection, ALL, ("group.max.size", SET, "9"))
    broker.kill()
    broker.start()
    with broker.connect() as again:
        assert value(again, "num.partitions") == ("7", FROM_ONE)
        assert value(again, "group.max.size") == ("9", FROM_ALL)
        change(again, ONE, ("log.level", DELETE, None))
        broker.process.send_signal(signal.SIGHUP)
        broker.wait_log("config: reloaded")
        assert value(again, "num.partitions") == ("7", FROM_ONE)


def test_what_needs_a_restart_or_is_wrong_is_refused_as_a_whole(connection):
    before = describe(connection, ONE, BROKER)["configs"]
    for bad, says in (
        (("shards", SET, "4"), "configuration file"),
        (("num.partitions", SET, "0"), "1 to 10000"),
        (("num.partitons", SET, "1"), "num.partitions"),
        (("log.level", SET, "loud"), "debug|info|warn|error"),
        (("num.partitions", APPEND, "1"), "not a list"),
        (("num.partitions", SET, None), "no value"),
    ):
        answer = change(connection, ONE, ("group.max.size", SET, "3"), bad)
        assert answer["error_code"] == BAD_CONFIG
        assert says in answer["error_message"]
    answer = change(connection, "2", ("group.max.size", SET, "3"))
    assert answer["error_code"] == INVALID and "broker 1" in answer["error_message"]
    answer = change(connection, ONE, ("group.max.size", SET, "3"), validate_only=True)
    assert answer["error_code"] == NONE
    assert describe(connection, ONE, BROKER)["configs"] == before


def test_lists_are_added_to_and_taken_from(connection):
    key = "log.cleanup.policy"
    assert change(connection, ONE, (key, APPEND, "compact"))["error_code"] == NONE
    assert value(connection, key) == ("delete,compact", FROM_ONE)
    assert change(connection, ONE, (key, SUBTRACT, "delete"))["error_code"] == NONE
    assert value(connection, key) == ("compact", FROM_ONE)


def test_the_old_request_puts_back_what_it_does_not_name(connection):
    change(connection, ONE, ("num.partitions", SET, "7"))
    assert replace(connection, ONE, {"group.max.size": "5"}, kind=BROKER)["error_code"] == NONE
    assert value(connection, "num.partitions") == ("1", FROM_DEFAULT)
    assert value(connection, "group.max.size") == ("5", FROM_ONE)


def test_levels_of_the_log_are_changed_by_clients(broker, connection):
    change(connection, ONE, ("log.level", SET, "info,catalog=error"))
    connection.create_topic("quiet")
    change(connection, ONE, ("log.level", SET, "info"))
    connection.create_topic("told")
    broker.wait_log("topic created name=told")
    assert "topic created name=quiet" not in broker.log()


def test_a_reload_says_what_a_client_has_overridden(broker, connection):
    change(connection, ALL, ("log.retention.ms", SET, "1h"))
    broker.process.send_signal(signal.SIGHUP)
    broker.wait_log("log.retention.ms = 3600000 holds, as a client has set it; not 3h")


@pytest.mark.tsan
def test_changes_under_load_lose_nothing(broker, connection):
    connection.create_topic("t")
    with broker.connect() as admin:
        for i in range(20):
            admin.send(
                "IncrementalAlterConfigs",
                1,
                validate_only=False,
                resources=[
                    {
                        "resource_type": BROKER,
                        "resource_name": ALL,
                        "configs": [
                            {
                                "name": "connections.max.idle.ms",
                                "config_operation": SET,
                                "value": str(600000 + i),
                            }
                        ],
                    }
                ],
            )
            assert connection.produce("t", 0, [b"%d" % i]) == i
            _, body = admin.receive()
            assert body["responses"][0]["error_code"] == NONE
    eventually(
        "the last of them",
        lambda: value(connection, "connections.max.idle.ms") == ("600019", FROM_ALL),
    )
