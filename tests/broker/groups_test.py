"""Classic groups as raw requests, in every version: what is answered, and what is refused."""

import resource

import pytest

import groups
from groups import commit, committed, describe, heartbeat, join, lead, leave, send_join, sync
from harness import Broker, eventually

VERSIONS = pytest.mark.parametrize("version", groups.JOIN_VERSIONS)


@pytest.fixture
def group(topic, connection):
    name = f"group-of-{topic}"
    groups.wait_ready(connection, name)
    return name


@pytest.fixture
def other(broker):
    with broker.connect() as connection:
        yield connection


# ---- the coordinator ----


@pytest.mark.parametrize("version", range(7))
def test_this_broker_coordinates_every_group(broker, connection, version):
    groups.wait_ready(connection, "a")
    keys = {"coordinator_keys": ["a", "b"]} if version >= 4 else {"key": "a"}
    answer = connection.request("FindCoordinator", version, **keys)
    found = answer["coordinators"] if version >= 4 else [answer]
    for row in found:
        assert (row["error_code"], row["host"], row["port"]) == (0, broker.host, broker.port)
    if version >= 4:
        assert [row["key"] for row in found] == ["a", "b"]


@pytest.mark.parametrize("version", range(1, 7))
def test_a_coordinator_of_an_unknown_kind_is_not_found(connection, version):
    keys = {"coordinator_keys": ["a"]} if version >= 4 else {"key": "a"}
    answer = connection.request("FindCoordinator", version, key_type=9, **keys)
    found = answer["coordinators"][0] if version >= 4 else answer
    assert found["error_code"] == groups.INVALID_REQUEST


# ---- a member's life ----


@VERSIONS
def test_a_member_joins_syncs_beats_and_leaves_in_every_version(connection, group, version):
    sync_version = groups.peer_version("SyncGroup", version)
    beat_version = groups.peer_version("Heartbeat", version)
    leave_version = groups.peer_version("LeaveGroup", version)
    joined = join(connection, group, version=version, protocols=[("range", b"meta")])
    member, generation = joined["member_id"], joined["generation_id"]
    assert joined["error_code"] == 0 and generation == 1 and member
    assert (joined["leader"], joined["protocol_name"]) == (member, "range")
    assert [(row["member_id"], row["metadata"]) for row in joined["members"]] == [(member, b"meta")]
    if version >= 7:
        assert joined["protocol_type"] == "consumer"
    more = {"protocol_type": "consumer", "protocol_name": "range"} if sync_version >= 5 else {}
    synced = sync(
        connection, group, member, generation, [(member, b"mine")], sync_version, **more
    )
    assert (synced["error_code"], synced["assignment"]) == (0, b"mine")
    if sync_version >= 5:
        assert (synced["protocol_type"], synced["protocol_name"]) == ("consumer", "range")
    assert heartbeat(connection, group, member, generation, beat_version) == 0
    # Whoever asks again is told the same.
    again = sync(connection, group, member, generation, version=sync_version, **more)
    assert (again["error_code"], again["assignment"]) == (0, b"mine")
    assert leave(connection, group, member, leave_version) == 0
    assert heartbeat(connection, group, member, generation, beat_version) == groups.UNKNOWN_MEMBER


@pytest.mark.parametrize("version", range(4, 10))
def test_a_new_member_is_first_told_its_id(connection, group, version):
    send_join(connection, group, version=version)
    answer = connection.receive()[1]
    assert answer["error_code"] == groups.MEMBER_ID_REQUIRED
    assert answer["member_id"].startswith("test-")
    # Nobody has joined by that, and nobody waits for it.
    assert describe(connection, group)["members"] == []
    assert lead(connection, group)


def second_joins(connection, other, group, first, generation, version=5):
    """Begins a rebalance: the second member's id, whose join waits for the first's."""
    member = ""
    if version >= 4:
        send_join(other, group, version=version)
        member = other.receive()[1]["member_id"]
    send_join(other, group, member, version)
    eventually(
        "the first is told",
        lambda: heartbeat(connection, group, first, generation) == groups.REBALANCE_IN_PROGRESS,
    )
    return member


@VERSIONS
def test_a_second_member_makes_a_generation_in_which_the_first_has_to_join_again(
    connection, other, group, version
):
    first, generation = lead(connection, group, version=version)
    second_joins(connection, other, group, first, generation, version)
    answers = [join(connection, group, first, version), other.receive()[1]]
    members = [answer["member_id"] for answer in answers]
    assert members[0] == first and len(set(members)) == 2
    assert [answer["error_code"] for answer in answers] == [0, 0]
    assert [answer["generation_id"] for answer in answers] == [generation + 1] * 2
    leader = answers[0]["leader"]
    assert leader == answers[1]["leader"] and leader in members
    # Only the leader is told of the others.
    told = [len(answer["members"]) for answer in answers]
    assert told == ([2, 0] if leader == first else [0, 2])


def test_a_follower_waits_for_the_leaders_assignment(connection, other, group):
    first, generation = lead(connection, group)
    second = second_joins(connection, other, group, first, generation)
    answer = join(connection, group, first)
    assert other.receive()[1]["generation_id"] == generation + 1
    assert answer["leader"] == first
    other.send("SyncGroup", 3, group_id=group, generation_id=generation + 1, member_id=second)
    # Meanwhile nothing may be committed: the partitions are not given out yet.
    assert heartbeat(connection, group, first, generation + 1) == 0
    synced = sync(connection, group, first, generation + 1, [(second, b"yours")])
    assert (synced["error_code"], synced["assignment"]) == (0, b"")
    assert other.receive()[1]["assignment"] == b"yours"


def test_metadata_and_assignments_are_bytes_that_nobody_reads(connection, group):
    data = bytes(range(256)) * 40
    joined = join(connection, group, protocols=[("odd", data)], protocol_type="other")
    assert joined["members"][0]["metadata"] == data
    member, generation = joined["member_id"], joined["generation_id"]
    synced = sync(connection, group, member, generation, [(member, data[::-1])])
    assert synced["assignment"] == data[::-1]
    found = describe(connection, group)
    assert found["members"][0]["member_assignment"] == data[::-1]


def test_a_member_that_is_silent_for_its_session_is_removed():
    with Broker(settings={"group.min.session.timeout.ms": "100"}) as broker:
        with broker.connect() as silent, broker.connect() as asking:
            groups.wait_ready(asking, "g")
            member, generation = lead(silent, "g", session_timeout_ms=300)
            eventually("removed", lambda: describe(asking, "g")["members"] == [])
            assert heartbeat(silent, "g", member, generation) == groups.UNKNOWN_MEMBER


# ---- who is refused ----


def each_call(connection, group, member, generation, version):
    """The error of each request that only a member may send."""
    sync_version = groups.peer_version("SyncGroup", version)
    more = {"protocol_type": "consumer", "protocol_name": "range"} if sync_version >= 5 else {}
    return {
        "heartbeat": heartbeat(
            connection, group, member, generation, groups.peer_version("Heartbeat", version)
        ),
        "sync": sync(connection, group, member, generation, version=sync_version, **more)[
            "error_code"
        ],
    }


@VERSIONS
def test_an_unknown_member_is_told_so(connection, group, version):
    lead(connection, group)
    errors = each_call(connection, group, "nobody", 1, version)
    assert errors == {"heartbeat": groups.UNKNOWN_MEMBER, "sync": groups.UNKNOWN_MEMBER}
    leave_version = groups.peer_version("LeaveGroup", version)
    assert leave(connection, group, "nobody", leave_version) == groups.UNKNOWN_MEMBER
    joined = join(connection, group, "nobody", version)
    assert joined["error_code"] == groups.UNKNOWN_MEMBER


@VERSIONS
def test_a_group_that_nobody_knows_has_no_members(connection, group, version):
    errors = each_call(connection, group, "nobody", 1, version)
    assert errors == {"heartbeat": groups.UNKNOWN_MEMBER, "sync": groups.UNKNOWN_MEMBER}
    leave_version = groups.peer_version("LeaveGroup", version)
    assert leave(connection, group, "nobody", leave_version) == groups.UNKNOWN_MEMBER


@VERSIONS
@pytest.mark.parametrize("difference", [-1, 1, 2**30])
def test_another_generation_is_refused(connection, group, version, difference):
    member, generation = lead(connection, group)
    errors = each_call(connection, group, member, generation + difference, version)
    assert set(errors.values()) == {groups.ILLEGAL_GENERATION}
    assert heartbeat(connection, group, member, generation) == 0


@VERSIONS
def test_an_empty_group_id_is_refused(connection, version):
    joined = join(connection, "", version=version)
    assert joined["error_code"] == groups.INVALID_GROUP
    errors = each_call(connection, "", "m", 1, version)
    assert set(errors.values()) == {groups.INVALID_GROUP}
    leave_version = groups.peer_version("LeaveGroup", version)
    assert leave(connection, "", "m", leave_version) == groups.INVALID_GROUP


@VERSIONS
@pytest.mark.parametrize("timeout", [-1, 0, 5999, 30 * 60 * 1000 + 1, 2**31 - 1])
def test_a_session_outside_the_limits_is_refused(connection, group, version, timeout):
    joined = join(connection, group, version=version, session_timeout_ms=timeout)
    assert joined["error_code"] == groups.INVALID_SESSION_TIMEOUT


@VERSIONS
def test_a_protocol_that_the_group_does_not_have_is_refused(connection, other, group, version):
    member, generation = lead(connection, group)
    for wrong in (
        {"protocols": [("sticky", b"")]},
        {"protocols": []},
        {"protocol_type": "connect"},
        {"protocol_type": ""},
    ):
        joined = join(other, group, version=version, **wrong)
        assert joined["error_code"] == groups.INCONSISTENT_PROTOCOL, wrong
    assert heartbeat(connection, group, member, generation) == 0


@VERSIONS
def test_a_group_is_not_begun_without_a_protocol(connection, group, version):
    for wrong in ({"protocols": []}, {"protocol_type": ""}):
        joined = join(connection, group, version=version, **wrong)
        assert joined["error_code"] == groups.INCONSISTENT_PROTOCOL, wrong


def test_a_sync_that_names_another_protocol_is_refused(connection, group):
    member, generation = lead(connection, group)
    for names in (("consumer", "sticky"), ("connect", "range")):
        more = {"protocol_type": names[0], "protocol_name": names[1]}
        answer = sync(connection, group, member, generation, version=5, **more)
        assert answer["error_code"] == groups.INCONSISTENT_PROTOCOL


def test_a_member_beyond_the_size_of_a_group_is_refused():
    group = "small"
    with Broker(settings={"group.max.size": "2"}) as broker:
        held = [broker.connect() for _ in range(3)]
        groups.wait_ready(held[0], group)
        first, generation = lead(held[0], group)
        second_joins(held[0], held[1], group, first, generation)
        assert join(held[0], group, first)["error_code"] == 0
        assert held[1].receive()[1]["generation_id"] == generation + 1
        assert join(held[2], group)["error_code"] == groups.GROUP_FULL
        for connection in held:
            connection.close()


@pytest.mark.slow
def test_a_thousand_members_share_a_group():
    group, count = "large", 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip(f"{hard} descriptors are too few")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with Broker(settings={"group.initial.rebalance.delay.ms": "3000"}) as broker:
            held = [broker.connect() for _ in range(count)]
            groups.wait_ready(held[0], group)
            for connection in held:
                send_join(connection, group, version=3, session_timeout_ms=60_000)
            joined = [connection.receive()[1] for connection in held]
            members = [answer["member_id"] for answer in joined]
            assert {answer["error_code"] for answer in joined} == {0}
            assert {answer["generation_id"] for answer in joined} == {1}
            assert len(set(members)) == count
            [leader] = {answer["leader"] for answer in joined}
            at = members.index(leader)
            assert {row["member_id"] for row in joined[at]["members"]} == set(members)
            held[at].send(
                "SyncGroup",
                3,
                group_id=group,
                generation_id=1,
                member_id=leader,
                assignments=[{"member_id": each, "assignment": each.encode()} for each in members],
            )
            for connection, member in zip(held, members):
                if member != leader:
                    connection.send(
                        "SyncGroup", 3, group_id=group, generation_id=1, member_id=member
                    )
            for connection, member in zip(held, members):
                assert connection.receive()[1]["assignment"] == member.encode()
            for connection in held:
                connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- static members ----


@pytest.mark.parametrize("version", range(5, 10))
def test_a_static_member_comes_back_without_a_new_generation(connection, other, group, version):
    topic = {"protocols": [("range", groups.subscription("t"))], "group_instance_id": "i"}
    old, generation = lead(connection, group, version=version, **topic)
    joined = join(other, group, version=version, **topic)
    assert (joined["error_code"], joined["generation_id"]) == (0, generation)
    new = joined["member_id"]
    assert new != old
    synced = sync(other, group, new, generation, group_instance_id="i")
    assert (synced["error_code"], synced["assignment"]) == (0, b"all")
    # The former one is fenced, by each of its requests.
    assert heartbeat(connection, group, old, generation, group_instance_id="i") == (
        groups.FENCED_INSTANCE
    )
    synced = sync(connection, group, old, generation, group_instance_id="i")
    assert synced["error_code"] == groups.FENCED_INSTANCE
    assert heartbeat(other, group, new, generation, group_instance_id="i") == 0


def test_a_static_member_is_removed_by_its_instance_id(connection, group):
    member, generation = lead(connection, group, group_instance_id="i")
    answer = connection.request(
        "LeaveGroup", 3, group_id=group, members=[{"member_id": "", "group_instance_id": "i"}]
    )
    assert [row["error_code"] for row in answer["members"]] == [0]
    assert heartbeat(connection, group, member, generation, group_instance_id="i") in (
        groups.UNKNOWN_MEMBER,
        groups.FENCED_INSTANCE,
    )


# ---- what a restart leaves ----


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_members_generation_and_offsets_outlive_the_broker(end):
    group = "lasting"
    with Broker() as broker:
        with broker.connect() as connection:
            groups.wait_ready(connection, group)
            connection.create_topic("t")
            member, generation = lead(connection, group)
            assert commit(connection, group, "t", 7, member, generation) == 0
        getattr(broker, end)()
        broker.start()
        with broker.connect() as connection:
            # Also while the groups are still being read: clients know no other answer to it.
            assert heartbeat(connection, group, member, generation) == 0
            groups.wait_ready(connection, group)
            assert heartbeat(connection, group, member, generation) == 0
            assert committed(connection, group, "t") == 7
            synced = sync(connection, group, member, generation)
            assert (synced["error_code"], synced["assignment"]) == (0, b"all")
