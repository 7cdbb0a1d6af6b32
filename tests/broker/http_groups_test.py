"""/v1: groups, what they have committed and moving it; the broker's settings."""

import re
import time

import pytest

from harness import eventually
from groups import commit, committed, join, lead, leave, wait_ready
from http_client import HttpBroker

BEGUN_MS = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def broker():
    with HttpBroker() as it:
        yield it


@pytest.fixture()
def connection(broker):
    with broker.connect() as it:
        yield it


def filled(broker, connection, topic, partitions, records):
    connection.create_topic(topic, partitions)
    for index in range(partitions):
        for number in range(records):
            connection.produce(topic, index, [b"x"], timestamp=BEGUN_MS + number)


def commit_all(connection, group, topic, partitions, offset):
    wait_ready(connection, group)
    for index in range(partitions):
        assert commit(connection, group, topic, offset, partition=index) == 0


def test_groups_are_listed_paged_and_searched(broker, connection):
    connection.create_topic("listed", 1)
    names = [f"list/{index}" for index in range(5)]
    for name in names:
        commit_all(connection, name, "listed", 1, 0)
    found, after = [], ""
    while after is not None:
        page = broker.get(f"/v1/groups?limit=2&search=LIST/{after}")
        found += [row["id"] for row in page["groups"]]
        after = page["next"] and f"&after={page['next'].replace('/', '%2F')}"
    assert found == names
    assert all(row["state"] == "Empty" for row in broker.get("/v1/groups?search=list/")["groups"])


ANSWERED = re.compile(r'^sluice_request_duration_seconds_count\{api="(\w+)"\} (\d+)$', re.M)


def test_a_page_of_groups_asks_for_the_list_once_and_describes_none():
    with HttpBroker() as broker, broker.connect() as connection:
        connection.create_topic("paged", 1)
        for name in ("paged-c", "paged-a", "paged-b"):
            commit_all(connection, name, "paged", 1, 0)
        for _ in range(5):
            page = broker.get("/v1/groups?limit=2&search=paged")
            assert [row["id"] for row in page["groups"]] == ["paged-a", "paged-b"]

        def answered():
            found = dict(ANSWERED.findall(broker.get("/metrics").decode()))
            return found if int(found.get("ListGroups", 0)) >= 5 else None

        answers = eventually("the pages are counted", answered)
        assert answers["ListGroups"] == "5"
        assert not [api for api in answers if "Describe" in api]


def test_a_group_shows_its_members_and_what_they_have(broker, connection):
    connection.create_topic("joined", 2)
    wait_ready(connection, "team one")
    member, _ = lead(connection, "team one")
    group = broker.get("/v1/groups/team%20one")
    assert (group["id"], group["type"], group["state"]) == ("team one", "classic", "Stable")
    [row] = group["members"]
    assert (row["id"], group["member_count"]) == (member, 1) and row["host"]
    problem = broker.api("DELETE", "/v1/groups/team%20one", status=409)
    assert problem["error"] == "NON_EMPTY_GROUP"
    assert leave(connection, "team one", member) == 0
    broker.api("DELETE", "/v1/groups/team%20one", status=204)
    broker.api("GET", "/v1/groups/team%20one", status=404)


def test_offsets_are_paged_and_say_how_far_behind_a_group_is(broker, connection):
    filled(broker, connection, "behind", 5, 4)
    commit_all(connection, "slow", "behind", 5, 1)
    rows, after = [], ""
    while after is not None:
        page = broker.get(f"/v1/groups/slow/offsets?limit=2{after}")
        rows += page["offsets"]
        assert (page["total"], page["lag"]) == (5, 15)
        after = page["next"] and f"&after={page['next']}"
    assert [row["partition"] for row in rows] == [0, 1, 2, 3, 4]
    assert {(row["offset"], row["end"], row["lag"]) for row in rows} == {(1, 4, 3)}
    assert broker.get("/v1/groups/nobody/offsets")["offsets"] == []


@pytest.mark.parametrize(
    "to, offset",
    [("earliest", 0), ("latest", 4), ("2", 2), ("@3", 3), ("@1000000", 4)],
)
def test_a_group_is_moved(broker, connection, to, offset):
    topic = f"moved-{to.strip('@')}"
    if to.startswith("@"):
        to = f"@{BEGUN_MS + int(to[1:])}"  # as records are stamped here
    filled(broker, connection, topic, 2, 4)
    commit_all(connection, "mover", topic, 2, 1)
    body = {"to": to, "topic": topic, "dry_run": True}
    answer = broker.api("POST", "/v1/groups/mover/offsets", body)
    assert [(row["former"], row["offset"]) for row in answer["offsets"]] == [(1, offset)] * 2
    assert committed(connection, "mover", topic) == 1
    body = {"to": to, "topic": topic, "partitions": [1]}
    [row] = broker.api("POST", "/v1/groups/mover/offsets", body)["offsets"]
    assert (row["partition"], row["former"], row["offset"], row["error"]) == (1, 1, offset, None)
    assert committed(connection, "mover", topic, 0) == 1
    assert committed(connection, "mover", topic, 1) == offset


@pytest.mark.tsan
def test_a_group_is_moved_in_all_that_it_has_committed_or_to_a_new_topic(broker, connection):
    filled(broker, connection, "all-a", 1, 3)
    filled(broker, connection, "all-b", 2, 3)
    commit_all(connection, "everything", "all-a", 1, 1)
    answer = broker.api("POST", "/v1/groups/everything/offsets", {"to": "latest"})
    assert [(row["topic"], row["offset"]) for row in answer["offsets"]] == [("all-a", 3)]
    body = {"to": "earliest", "topic": "all-b"}
    answer = broker.api("POST", "/v1/groups/everything/offsets", body)
    assert [(row["former"], row["offset"]) for row in answer["offsets"]] == [(None, 0)] * 2
    broker.api("DELETE", "/v1/groups/everything/offsets?topic=all-a", status=204)
    rows = broker.get("/v1/groups/everything/offsets")["offsets"]
    assert [row["topic"] for row in rows] == ["all-b", "all-b"]


def test_a_group_with_members_is_not_moved(broker, connection):
    filled(broker, connection, "busy", 1, 2)
    wait_ready(connection, "working")
    member, generation = lead(connection, "working")
    assert commit(connection, "working", "busy", 1, member, generation) == 0
    problem = broker.api("POST", "/v1/groups/working/offsets", {"to": "earliest"}, 409)
    assert problem["error"] == "UNKNOWN_MEMBER_ID"
    assert committed(connection, "working", "busy") == 1
    assert leave(connection, "working", member) == 0


@pytest.mark.parametrize(
    "body, status",
    [
        ({}, 400),
        ({"to": "somewhere"}, 400),
        ({"to": "-1"}, 400),
        ({"to": 1}, 400),
        ({"to": "1", "partitions": [0]}, 400),
        ({"to": "1", "topic": "refused", "partitions": [7]}, 400),
        ({"to": "1", "topic": "refused", "partitions": ["0"]}, 400),
        ({"to": "1", "topic": "refused", "partitions": 0}, 400),
        ({"to": "1", "topic": "absent"}, 404),
    ],
)
def test_a_move_that_makes_no_sense_is_refused(broker, connection, body, status):
    if broker.http("GET", "/v1/topics/refused")[0] == 404:
        connection.create_topic("refused", 1)
    broker.api("POST", "/v1/groups/refuser/offsets", body, status)
    assert broker.get("/v1/groups/refuser/offsets")["offsets"] == []


def test_settings_are_told_with_their_help(broker):
    settings = {row["name"]: row for row in broker.get("/v1/config")["settings"]}
    assert settings["admin.listen"]["value"] == f"127.0.0.1:{broker.admin_port}"
    assert settings["admin.listen"]["read_only"] and settings["admin.listen"]["help"]


@pytest.mark.tsan
def test_a_setting_is_changed_while_the_broker_runs(broker):
    body = {"settings": {"log.level": "warn,http=debug"}}
    broker.api("PATCH", "/v1/config", body)

    def level():
        return next(r for r in broker.get("/v1/config")["settings"] if r["name"] == "log.level")

    assert level()["value"] == "warn,http=debug" and level()["source"] == "broker"
    broker.api("PATCH", "/v1/config", {"settings": {"log.level": None}})
    assert level()["source"] == "default"
    problem = broker.api("PATCH", "/v1/config", {"settings": {"listen": "127.0.0.1:1"}}, 400)
    assert "restart" in problem["detail"]


@pytest.mark.parametrize("body", [{}, {"settings": []}, {"settings": {"absent": "1"}}])
def test_settings_that_are_none_are_refused(broker, body):
    broker.api("PATCH", "/v1/config", body, 400)
