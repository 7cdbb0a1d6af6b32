"""KIP-848's heartbeat as raw requests, in every version: what is answered, and what is refused."""

import uuid

import pytest

import groups
from groups import commit, committed
from harness import Broker, eventually

VERSIONS = pytest.mark.parametrize("version", [0, 1])
JOIN, LEAVE, LEAVE_STATIC = 0, -1, -2
REBALANCE_MS = 30_000


@pytest.fixture
def group(topic, connection):
    name = f"consumers-of-{topic}"
    groups.wait_ready(connection, name)
    return name


@pytest.fixture
def topic_id(connection, topic):
    return connection.create_topic(topic, 4)


def beat(connection, group, member, epoch, version=1, **values):
    return connection.request(
        "ConsumerGroupHeartbeat",
        version,
        group_id=group,
        member_id=member,
        member_epoch=epoch,
        **values,
    )


def join(connection, group, topic, member=None, version=1, **values):
    """Newer versions have the client make the id."""
    if member is None:
        member = str(uuid.uuid4()) if version >= 1 else ""
    return beat(
        connection,
        group,
        member,
        JOIN,
        version,
        **{
            "rebalance_timeout_ms": REBALANCE_MS,
            "subscribed_topic_names": [topic],
            "topic_partitions": [],
            **values,
        },
    )


def assigned(answer):
    """Partitions by topic id; None where the answer says that nothing has changed."""
    if answer["assignment"] is None:
        return None
    rows = answer["assignment"]["topic_partitions"]
    return {row["topic_id"]: sorted(row["partitions"]) for row in rows}


def join_alone(connection, group, topic, topic_id, partitions=4, version=1, **values):
    """The id and epoch of an only member, once it owns everything."""
    answer = join(connection, group, topic, version=version, **values)
    assert answer["error_code"] == 0 and answer["heartbeat_interval_ms"] > 0
    member, epoch = answer["member_id"], answer["member_epoch"]
    found = assigned(answer)
    everything = list(range(partitions))

    def given():
        nonlocal epoch, found
        if found == {topic_id: everything}:
            return True
        answer = beat(connection, group, member, epoch, version)
        epoch, found = answer["member_epoch"], assigned(answer) or found
        return False

    eventually(f"all of {topic} is given to its only reader", given)
    owned = [{"topic_id": topic_id, "partitions": everything}]
    answer = beat(connection, group, member, epoch, version, topic_partitions=owned)
    assert (answer["error_code"], answer["member_epoch"]) == (0, epoch)
    return member, epoch


def describe(connection, group, version=1):
    [found] = connection.request("ConsumerGroupDescribe", version, group_ids=[group])["groups"]
    return found


@VERSIONS
def test_a_member_joins_is_given_all_beats_and_leaves(connection, group, topic, topic_id, version):
    member, epoch = join_alone(connection, group, topic, topic_id, version=version)
    assert member and epoch >= 1
    # Nothing has changed, so nothing is told.
    answer = beat(connection, group, member, epoch, version)
    assert (answer["error_code"], assigned(answer)) == (0, None)
    answer = beat(connection, group, member, LEAVE, version)
    assert (answer["error_code"], answer["member_epoch"]) == (0, LEAVE)
    answer = beat(connection, group, member, epoch, version)
    assert answer["error_code"] == groups.UNKNOWN_MEMBER


def test_a_partition_is_given_on_when_its_owner_has_let_go(connection, group, topic, topic_id):
    one, epoch = join_alone(connection, group, topic, topic_id)
    everything = [{"topic_id": topic_id, "partitions": [0, 1, 2, 3]}]
    second = join(connection, group, topic)
    two = second["member_id"]
    # As long as the first has all, there is nothing for the second.
    assert assigned(second) in ({}, None)
    kept = None

    def told_to_revoke():
        nonlocal kept
        answer = beat(connection, group, one, epoch, topic_partitions=everything)
        assert answer["error_code"] == 0
        kept = assigned(answer)
        return kept is not None and len(kept.get(topic_id, [])) == 2

    eventually("the first is told to let go of two", told_to_revoke)
    answer = beat(connection, group, two, second["member_epoch"])
    assert assigned(answer) in ({}, None), "given before it was let go"
    owned = [{"topic_id": topic_id, "partitions": kept[topic_id]}]
    answer = beat(connection, group, one, epoch, topic_partitions=owned)
    assert answer["error_code"] == 0 and answer["member_epoch"] > epoch
    given = None

    def given_to_the_second():
        nonlocal given
        answer = beat(connection, group, two, second["member_epoch"])
        assert answer["error_code"] == 0
        given = assigned(answer) or given
        return given and given.get(topic_id)

    eventually("the second is given the others", given_to_the_second)
    assert sorted(given[topic_id] + kept[topic_id]) == [0, 1, 2, 3]


@VERSIONS
def test_who_is_not_a_member_is_refused(connection, group, topic, topic_id, version):
    del topic_id
    # Of a group that nobody knows.
    answer = beat(connection, group, "nobody", 3, version)
    assert answer["error_code"] == groups.GROUP_NOT_FOUND
    joined = join(connection, group, topic, version=version)
    assert joined["error_code"] == 0
    answer = beat(connection, group, "nobody", 1, version)
    assert answer["error_code"] == groups.UNKNOWN_MEMBER
    answer = beat(connection, group, "nobody", LEAVE, version)
    assert answer["error_code"] == groups.UNKNOWN_MEMBER


@VERSIONS
def test_another_epoch_is_fenced(connection, group, topic, topic_id, version):
    del topic_id
    joined = join(connection, group, topic, version=version)
    member, epoch = joined["member_id"], joined["member_epoch"]
    for wrong in (epoch + 1, 2**31 - 1):
        answer = beat(connection, group, member, wrong, version)
        assert answer["error_code"] == groups.FENCED_EPOCH
    assert beat(connection, group, member, epoch, version)["error_code"] == 0


BAD_JOINS = {
    "no group": {"group_id": ""},
    "no topics": {"subscribed_topic_names": None},
    "no rebalance timeout": {"rebalance_timeout_ms": -1},
    "owned partitions": {"topic_partitions": [{"topic_id": b"x" * 16, "partitions": [0]}]},
    "empty instance": {"instance_id": ""},
    "empty rack": {"rack_id": ""},
    "epoch below the meanings": {"member_epoch": -3},
    "static leave without an instance": {"member_epoch": LEAVE_STATIC},
}


@VERSIONS
@pytest.mark.parametrize("name", BAD_JOINS)
def test_a_malformed_heartbeat_is_refused(connection, group, topic, topic_id, version, name):
    del topic_id
    values = {
        "group_id": group,
        "member_id": "m" if version >= 1 else "",
        "member_epoch": JOIN,
        "rebalance_timeout_ms": REBALANCE_MS,
        "subscribed_topic_names": [topic],
        "topic_partitions": [],
        **BAD_JOINS[name],
    }
    if values["member_epoch"] < 0:
        values["member_id"] = "m"
    answer = connection.request("ConsumerGroupHeartbeat", version, **values)
    assert answer["error_code"] == groups.INVALID_REQUEST


def test_newer_clients_bring_their_id(connection, group, topic, topic_id):
    del topic_id
    answer = join(connection, group, topic, member="", version=1)
    assert answer["error_code"] == groups.INVALID_REQUEST


@VERSIONS
def test_an_unknown_assignor_is_refused(connection, group, topic, topic_id, version):
    del topic_id
    for unknown in ("sideways", ""):
        answer = join(connection, group, topic, version=version, server_assignor=unknown)
        assert answer["error_code"] == groups.UNSUPPORTED_ASSIGNOR
    for known in ("range", "uniform"):
        answer = join(connection, group, topic, version=version, server_assignor=known)
        assert answer["error_code"] == 0


def test_a_pattern_of_topics_is_followed(connection, group, topic, topic_id):
    answer = join(
        connection, group, topic, subscribed_topic_names=None, subscribed_topic_regex=f"{topic}$"
    )
    assert answer["error_code"] == 0
    member, epoch = answer["member_id"], answer["member_epoch"]
    found = assigned(answer)

    def matched():
        nonlocal epoch, found
        answer = beat(connection, group, member, epoch)
        epoch, found = answer["member_epoch"], assigned(answer) or found
        return found

    eventually("the pattern is matched", matched)
    assert found == {topic_id: [0, 1, 2, 3]}


def test_a_pattern_that_is_none_is_refused(connection, group, topic, topic_id):
    del topic_id
    answer = join(
        connection, group, topic, subscribed_topic_names=None, subscribed_topic_regex="(unclosed"
    )
    assert answer["error_code"] == groups.INVALID_REGEX


@VERSIONS
def test_an_instance_id_has_one_member(connection, group, topic, topic_id, version):
    values = {"version": version, "instance_id": "i"}
    first, epoch = join_alone(connection, group, topic, topic_id, **values)
    answer = join(connection, group, topic, version=version, instance_id="i")
    assert answer["error_code"] == groups.UNRELEASED_INSTANCE
    answer = beat(connection, group, first, LEAVE_STATIC, version, instance_id="i")
    assert answer["error_code"] == 0
    answer = join(connection, group, topic, version=version, instance_id="i")
    second = answer["member_id"]
    assert answer["error_code"] == 0 and second != first
    assert assigned(answer) == {topic_id: [0, 1, 2, 3]}
    answer = beat(connection, group, first, epoch, version, instance_id="i")
    assert answer["error_code"] in (groups.FENCED_INSTANCE, groups.UNKNOWN_MEMBER)


def test_a_member_commits_in_its_epoch_alone(connection, group, topic, topic_id):
    member, epoch = join_alone(connection, group, topic, topic_id)
    assert commit(connection, group, topic, 5, member, epoch, version=9) == 0
    for wrong in (epoch - 1, epoch + 1):
        error = commit(connection, group, topic, 6, member, wrong, version=9)
        assert error == groups.STALE_EPOCH
    error = commit(connection, group, topic, 6, "nobody", epoch, version=9)
    assert error == groups.UNKNOWN_MEMBER
    assert commit(connection, group, topic, 6, version=9) == groups.UNKNOWN_MEMBER
    wanted = {"group_id": group, "topics": None, "member_id": member, "member_epoch": epoch}
    [found] = connection.request("OffsetFetch", 9, groups=[wanted])["groups"]
    assert found["error_code"] == 0
    assert found["topics"][0]["partitions"][0]["committed_offset"] == 5
    wanted["member_epoch"] = epoch + 1
    [found] = connection.request("OffsetFetch", 9, groups=[wanted])["groups"]
    assert found["error_code"] == groups.STALE_EPOCH


def test_the_two_protocols_do_not_mix_in_a_group_with_members(connection, group, topic, topic_id):
    del topic_id
    # What is not a consumer's metadata cannot be carried over.
    member, generation = groups.lead(connection, group, protocols=[("range", b"no consumer's")])
    answer = join(connection, group, topic)
    assert answer["error_code"] != 0
    assert groups.heartbeat(connection, group, member, generation) == 0
    assert groups.leave(connection, group, member) == 0
    assert join(connection, group, topic)["error_code"] == 0


@VERSIONS
def test_a_group_is_described(connection, group, topic, topic_id, version):
    member, epoch = join_alone(connection, group, topic, topic_id)
    found = describe(connection, group, version)
    assert (found["error_code"], found["group_state"]) == (0, "Stable")
    assert found["assignor_name"] == "uniform"
    [row] = found["members"]
    assert (row["member_id"], row["member_epoch"]) == (member, epoch)
    assert (row["client_id"], row["subscribed_topic_names"]) == ("test", [topic])
    for name in ("assignment", "target_assignment"):
        [place] = row[name]["topic_partitions"]
        assert (place["topic_name"], sorted(place["partitions"])) == (topic, [0, 1, 2, 3])
    assert describe(connection, f"{group}-unknown", version)["error_code"] == (
        groups.GROUP_NOT_FOUND
    )


def test_new_partitions_are_given_out(connection, group, topic, topic_id):
    member, epoch = join_alone(connection, group, topic, topic_id)
    wanted = [{"name": topic, "count": 6, "assignments": None}]
    answer = connection.request("CreatePartitions", 1, topics=wanted, timeout_ms=30000)
    assert answer["results"][0]["error_code"] == 0

    def given():
        nonlocal epoch
        answer = beat(connection, group, member, epoch)
        epoch = answer["member_epoch"]
        return assigned(answer) == {topic_id: [0, 1, 2, 3, 4, 5]}

    eventually("the new ones are given", given)


def test_a_silent_member_is_removed():
    settings = {
        "group.consumer.session.timeout.ms": "1000",
        "group.consumer.heartbeat.interval.ms": "200",
    }
    with Broker(settings=settings) as broker, broker.connect() as connection:
        groups.wait_ready(connection, "g")
        connection.create_topic("t")
        joined = join(connection, "g", "t")
        eventually("removed", lambda: not describe(connection, "g")["members"])
        answer = beat(connection, "g", joined["member_id"], joined["member_epoch"])
        assert answer["error_code"] == groups.UNKNOWN_MEMBER


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_members_epochs_and_offsets_outlive_the_broker(end):
    with Broker() as broker:
        with broker.connect() as connection:
            groups.wait_ready(connection, "g")
            topic_id = connection.create_topic("t")
            member, epoch = join_alone(connection, "g", "t", topic_id, 1)
            assert commit(connection, "g", "t", 7, member, epoch, version=9) == 0
        getattr(broker, end)()
        broker.start()
        with broker.connect() as connection:
            groups.wait_ready(connection, "g")
            answer = beat(connection, "g", member, epoch)
            assert (answer["error_code"], answer["member_epoch"]) == (0, epoch)
            assert committed(connection, "g", "t") == 7
