"""Committed offsets, and what administrators ask of groups, as raw requests in every version."""

import pytest

import groups
from groups import commit, committed, describe, fetch_offsets, lead, leave
from harness import Broker, eventually

COMMIT_VERSIONS = pytest.mark.parametrize("version", range(2, 11))
METADATA_MAX = 4096


@pytest.fixture
def group(topic, connection):
    name = f"offsets-of-{topic}"
    groups.wait_ready(connection, name)
    return name


@pytest.fixture
def topic_id(connection, topic):
    return connection.create_topic(topic, 2)


def states(connection, version=5, **filters):
    rows = connection.request("ListGroups", version, **filters)["groups"]
    return {row["group_id"]: row for row in rows}


# ---- OffsetCommit ----


@COMMIT_VERSIONS
def test_an_offset_without_a_group_is_kept(connection, group, topic, topic_id, version):
    assert commit(connection, group, topic, 5, version=version, topic_id=topic_id) == 0
    assert committed(connection, group, topic) == 5
    # It may go back: that is how a position is reset.
    assert commit(connection, group, topic, 3, version=version, topic_id=topic_id) == 0
    assert committed(connection, group, topic) == 3


@COMMIT_VERSIONS
def test_a_member_commits_in_its_generation_alone(connection, group, topic, topic_id, version):
    member, generation = lead(connection, group)
    options = {"version": version, "topic_id": topic_id}
    assert commit(connection, group, topic, 5, member, generation, **options) == 0
    for wrong in (generation - 1, generation + 1, 2**31 - 1):
        error = commit(connection, group, topic, 6, member, wrong, **options)
        # Newer versions say the same of both protocols.
        expected = groups.ILLEGAL_GENERATION if version < 9 else groups.STALE_EPOCH
        assert error in (groups.ILLEGAL_GENERATION, expected)
    assert commit(connection, group, topic, 6, "nobody", generation, **options) == (
        groups.UNKNOWN_MEMBER
    )
    # Who is in no group commits into none that has members.
    assert commit(connection, group, topic, 6, **options) == groups.UNKNOWN_MEMBER
    assert committed(connection, group, topic) == 5


@COMMIT_VERSIONS
def test_a_generation_of_an_unknown_group_is_refused(connection, group, topic, topic_id, version):
    error = commit(connection, group, topic, 5, "m", 3, version=version, topic_id=topic_id)
    assert error == (groups.ILLEGAL_GENERATION if version < 9 else groups.GROUP_NOT_FOUND)


@COMMIT_VERSIONS
def test_metadata_has_a_limit(connection, group, topic, topic_id, version):
    options = {"version": version, "topic_id": topic_id}
    longest = "m" * METADATA_MAX
    assert commit(connection, group, topic, 5, metadata=longest, **options) == 0
    assert commit(connection, group, topic, 6, metadata=longest + "m", **options) == (
        groups.METADATA_TOO_LARGE
    )
    _, rows = fetch_offsets(connection, group, [(topic, [0])])
    row = rows[topic, 0]
    assert (row["committed_offset"], row["metadata"]) == (5, longest)


@pytest.mark.parametrize("version", range(2, 10))
def test_a_topic_or_partition_that_is_not_there_is_refused(
    connection, group, topic, topic_id, version
):
    del topic_id
    assert commit(connection, group, "missing", 5, version=version) == groups.UNKNOWN_TOPIC
    for partition in (2, -1, 2**31 - 1):
        error = commit(connection, group, topic, 5, version=version, partition=partition)
        assert error == groups.UNKNOWN_TOPIC
    assert fetch_offsets(connection, group, None)[1] == {}


def test_an_unknown_topic_id_is_refused(connection, group):
    error = commit(connection, group, "", 5, version=10, topic_id=b"x" * 16)
    assert error == 100  # UNKNOWN_TOPIC_ID


def test_good_rows_are_kept_beside_bad_ones(connection, group, topic, topic_id):
    del topic_id
    rows = [
        {"partition_index": at, "committed_offset": 9, "committed_metadata": data}
        for at, data in ((0, "m"), (1, "m" * (METADATA_MAX + 1)), (7, "m"))
    ]
    answer = connection.request(
        "OffsetCommit",
        7,
        group_id=group,
        topics=[{"name": topic, "partitions": rows}],
    )
    found = {row["partition_index"]: row["error_code"] for row in answer["topics"][0]["partitions"]}
    assert found == {0: 0, 1: groups.METADATA_TOO_LARGE, 7: groups.UNKNOWN_TOPIC}
    assert committed(connection, group, topic) == 9


@pytest.mark.parametrize("version", [2, 7, 9])
def test_nothing_is_committed_between_a_join_and_its_assignment(
    connection, group, topic, topic_id, version
):
    del topic_id
    joined = groups.join(connection, group)
    member, generation = joined["member_id"], joined["generation_id"]
    error = commit(connection, group, topic, 5, member, generation, version=version)
    assert error == groups.REBALANCE_IN_PROGRESS
    assert committed(connection, group, topic) == -1


def test_a_fenced_static_member_commits_nothing(connection, broker, group, topic, topic_id):
    del topic_id
    options = {"group_instance_id": "i", "protocols": [("range", groups.subscription(topic))]}
    old, generation = lead(connection, group, **options)
    with broker.connect() as other:
        new = groups.join(other, group, **options)["member_id"]
    error = commit(connection, group, topic, 5, old, generation, group_instance_id="i")
    assert error == groups.FENCED_INSTANCE
    assert commit(connection, group, topic, 6, new, generation, group_instance_id="i") == 0
    assert committed(connection, group, topic) == 6


# ---- OffsetFetch ----


@pytest.mark.parametrize("version", range(1, 10))
def test_every_partition_asked_for_has_a_row(connection, group, topic, topic_id, version):
    del topic_id
    assert commit(connection, group, topic, 5, metadata="mine") == 0
    wanted = [(topic, [0, 1]), ("missing", [3])]
    error, rows = fetch_offsets(connection, group, wanted, version)
    assert error == 0
    assert {
        place: (row["committed_offset"], row["metadata"], row["error_code"])
        for place, row in rows.items()
    } == {(topic, 0): (5, "mine", 0), (topic, 1): (-1, "", 0), ("missing", 3): (-1, "", 0)}


@pytest.mark.parametrize("version", range(1, 10))
def test_an_unknown_group_has_committed_nothing(connection, group, topic, topic_id, version):
    del topic_id
    error, rows = fetch_offsets(connection, group, [(topic, [0])], version)
    assert (error, rows[topic, 0]["committed_offset"]) == (0, -1)


@pytest.mark.parametrize("version", range(2, 10))
def test_null_asks_for_all_that_is_committed(connection, group, topic, topic_id, version):
    del topic_id
    assert commit(connection, group, topic, 5, partition=1) == 0
    error, rows = fetch_offsets(connection, group, None, version)
    assert error == 0
    assert {place: row["committed_offset"] for place, row in rows.items()} == {(topic, 1): 5}


@pytest.mark.parametrize("version", [8, 9])
def test_many_groups_are_asked_at_once(connection, group, topic, topic_id, version):
    del topic_id
    names = [f"{group}-{number}" for number in range(200)]
    for number, name in enumerate(names[:3]):
        assert commit(connection, name, topic, number) == 0
    wanted = [{"group_id": name, "topics": None} for name in names]
    found = connection.request("OffsetFetch", version, groups=wanted)["groups"]
    assert [row["group_id"] for row in found] == names
    offsets = [
        row["topics"][0]["partitions"][0]["committed_offset"] if row["topics"] else None
        for row in found
    ]
    assert offsets == [0, 1, 2] + [None] * 197


def test_newest_version_names_topics_by_id(connection, group, topic, topic_id):
    assert commit(connection, group, topic, 5) == 0
    wanted = {
        "group_id": group,
        "topics": [{"topic_id": topic_id, "partition_indexes": [0]}],
    }
    [found] = connection.request("OffsetFetch", 10, groups=[wanted])["groups"]
    [row] = found["topics"]
    assert (found["error_code"], row["topic_id"]) == (0, topic_id)
    assert row["partitions"][0]["committed_offset"] == 5


# ---- administration ----


@pytest.mark.parametrize("version", range(7))
def test_a_group_is_described(connection, group, version):
    member, _ = lead(connection, group, protocols=[("range", b"meta")])
    found = describe(connection, group, version)
    assert (found["error_code"], found["group_id"], found["group_state"]) == (0, group, "Stable")
    assert (found["protocol_type"], found["protocol_data"]) == ("consumer", "range")
    [row] = found["members"]
    assert (row["member_id"], row["client_id"]) == (member, "test")
    assert (row["member_metadata"], row["member_assignment"]) == (b"meta", b"all")
    assert "127.0.0.1" in row["client_host"]


@pytest.mark.parametrize("version", range(7))
def test_an_unknown_group_is_dead(connection, group, version):
    found = describe(connection, group, version)
    assert (found["group_state"], found["members"]) == ("Dead", [])
    assert found["error_code"] == (groups.GROUP_NOT_FOUND if version >= 6 else 0)


@pytest.mark.parametrize("version", range(6))
def test_groups_are_listed_and_filtered(connection, group, topic, topic_id, version):
    del topic_id
    member, _ = lead(connection, group)
    simple = f"{group}-simple"
    assert commit(connection, simple, topic, 5) == 0
    found = states(connection, version)
    assert found[group]["protocol_type"] == "consumer"
    assert found[simple]["protocol_type"] == ""
    if version >= 4:
        assert (found[group]["group_state"], found[simple]["group_state"]) == ("Stable", "Empty")
        listed = states(connection, version, states_filter=["Stable"])
        assert group in listed and simple not in listed
        listed = states(connection, version, states_filter=["stable"])
        assert group in listed
    if version >= 5:
        assert found[group]["group_type"].lower() == "classic"
        assert group not in states(connection, version, types_filter=["consumer"])
        assert group in states(connection, version, types_filter=["classic"])
    assert leave(connection, group, member) == 0


@pytest.mark.parametrize("version", range(3))
def test_only_a_group_without_members_is_deleted(connection, group, topic, topic_id, version):
    del topic_id

    def delete(name):
        [row] = connection.request("DeleteGroups", version, groups_names=[name])["results"]
        assert row["group_id"] == name
        return row["error_code"]

    assert delete(group) == groups.GROUP_NOT_FOUND
    member, generation = lead(connection, group)
    assert commit(connection, group, topic, 5, member, generation) == 0
    assert delete(group) == groups.NON_EMPTY_GROUP
    assert committed(connection, group, topic) == 5
    assert leave(connection, group, member) == 0
    assert delete(group) == 0
    assert committed(connection, group, topic) == -1
    assert delete(group) == groups.GROUP_NOT_FOUND


def test_offsets_are_deleted_unless_somebody_reads_the_topic(connection, group, topic, topic_id):
    del topic_id
    rows = [{"name": topic, "partitions": [{"partition_index": 0}]}]
    member, generation = lead(
        connection, group, protocols=[("range", groups.subscription(topic))]
    )
    assert commit(connection, group, topic, 5, member, generation) == 0
    answer = connection.request("OffsetDelete", 0, group_id=group, topics=rows)
    assert answer["error_code"] == 0
    assert answer["topics"][0]["partitions"][0]["error_code"] == groups.SUBSCRIBED
    assert leave(connection, group, member) == 0
    answer = connection.request("OffsetDelete", 0, group_id=group, topics=rows)
    assert answer["topics"][0]["partitions"][0]["error_code"] == 0
    assert committed(connection, group, topic) == -1
    answer = connection.request("OffsetDelete", 0, group_id=f"{group}-unknown", topics=rows)
    assert answer["error_code"] == groups.GROUP_NOT_FOUND


def test_deleted_topics_take_their_offsets_along(connection, group, topic, topic_id):
    del topic_id
    assert commit(connection, group, topic, 5) == 0
    answer = connection.request("DeleteTopics", 5, topic_names=[topic], timeout_ms=30000)
    assert answer["responses"][0]["error_code"] == 0
    connection.create_topic(topic)
    eventually("they are gone", lambda: committed(connection, group, topic) == -1)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_deleted_stays_deleted_over_a_restart(end):
    with Broker() as broker:
        with broker.connect() as connection:
            groups.wait_ready(connection, "kept")
            connection.create_topic("t")
            for name in ("kept", "deleted"):
                assert commit(connection, name, "t", 5) == 0
            connection.request("DeleteGroups", 1, groups_names=["deleted"])
        getattr(broker, end)()
        broker.start()
        with broker.connect() as connection:
            groups.wait_ready(connection, "kept")
            assert committed(connection, "kept", "t") == 5
            assert committed(connection, "deleted", "t") == -1
            assert set(states(connection)) == {"kept"}
