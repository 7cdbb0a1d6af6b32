"""Members of groups as raw requests; every helper returns the broker's answer as it came."""

import struct

from harness import eventually

# The error codes that groups have.
NONE, UNKNOWN_TOPIC = 0, 3
METADATA_TOO_LARGE, LOADING, NOT_AVAILABLE, NOT_COORDINATOR = 12, 14, 15, 16
ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, INVALID_GROUP, UNKNOWN_MEMBER = 22, 23, 24, 25
INVALID_SESSION_TIMEOUT, REBALANCE_IN_PROGRESS, INVALID_REQUEST = 26, 27, 42
NON_EMPTY_GROUP, GROUP_NOT_FOUND, MEMBER_ID_REQUIRED, GROUP_FULL = 68, 69, 79, 81
FENCED_INSTANCE, SUBSCRIBED, FENCED_EPOCH = 82, 86, 110
UNRELEASED_INSTANCE, UNSUPPORTED_ASSIGNOR, STALE_EPOCH, INVALID_REGEX = 111, 112, 113, 128
SESSION_MS, REBALANCE_MS = 10_000, 30_000
# Of each join version those of the other requests that a client of its time sends.
JOIN_VERSIONS = range(10)
PEERS = {"SyncGroup": 5, "Heartbeat": 4, "LeaveGroup": 5}


def peer_version(name, join_version):
    return min(PEERS[name], join_version)


def wait_ready(connection, group):
    """A broker that has just started may have to read its groups first."""

    def ready():
        found = connection.request("FindCoordinator", 3, key=group)["error_code"]
        return found == NONE and heartbeat(connection, group, "nobody", 1) == UNKNOWN_MEMBER

    eventually(f"the coordinator of {group} serves", ready)


def subscription(*topics):
    """What a consumer sends as its metadata, version 0."""
    names = b"".join(struct.pack(">h", len(each)) + each.encode() for each in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", -1)


def send_join(connection, group, member="", version=5, protocols=(("range", b"m"),), **values):
    return connection.send(
        "JoinGroup",
        version,
        group_id=group,
        member_id=member,
        **{
            "session_timeout_ms": SESSION_MS,
            "rebalance_timeout_ms": REBALANCE_MS,
            "protocol_type": "consumer",
            "protocols": [{"name": name, "metadata": data} for name, data in protocols],
            **values,
        },
    )


def join(connection, group, member="", version=5, **values):
    """Takes the id that it is told to take."""
    send_join(connection, group, member, version, **values)
    answer = connection.receive()[1]
    if answer["error_code"] == MEMBER_ID_REQUIRED:
        send_join(connection, group, answer["member_id"], version, **values)
        answer = connection.receive()[1]
    return answer


def sync(connection, group, member, generation, assignments=(), version=3, **values):
    rows = [{"member_id": name, "assignment": data} for name, data in assignments]
    return connection.request(
        "SyncGroup",
        version,
        group_id=group,
        member_id=member,
        generation_id=generation,
        assignments=rows,
        **values,
    )


def lead(connection, group, version=5, **values):
    """The only member of a group, with an assignment: its id and generation."""
    answer = join(connection, group, version=version, **values)
    assert answer["error_code"] == NONE
    member, generation = answer["member_id"], answer["generation_id"]
    more = {}
    if values.get("group_instance_id"):
        more["group_instance_id"] = values["group_instance_id"]
    synced = sync(connection, group, member, generation, [(member, b"all")], **more)
    assert (synced["error_code"], synced["assignment"]) == (NONE, b"all")
    return member, generation


def heartbeat(connection, group, member, generation, version=3, **values):
    return connection.request(
        "Heartbeat",
        version,
        group_id=group,
        member_id=member,
        generation_id=generation,
        **values,
    )["error_code"]


def leave(connection, group, member, version=3):
    """The error of the member."""
    if version < 3:
        return connection.request("LeaveGroup", version, group_id=group, member_id=member)[
            "error_code"
        ]
    answer = connection.request(
        "LeaveGroup", version, group_id=group, members=[{"member_id": member}]
    )
    if answer["error_code"]:
        return answer["error_code"]
    [row] = answer["members"]
    assert row["member_id"] == member
    return row["error_code"]


def topic_row(version, topic, topic_id):
    """Newer versions name topics by id."""
    return {"topic_id": topic_id} if version >= 10 else {"name": topic}


def commit(connection, group, topic, offset, member="", generation=-1, **options):
    """The error of partition 0, or of the one in `partition`."""
    version = options.pop("version", 7)
    topic_id = options.pop("topic_id", bytes(16))
    row = {
        "partition_index": options.pop("partition", 0),
        "committed_offset": offset,
        "committed_metadata": options.pop("metadata", ""),
    }
    answer = connection.request(
        "OffsetCommit",
        version,
        group_id=group,
        member_id=member,
        generation_id_or_member_epoch=generation,
        topics=[{**topic_row(version, topic, topic_id), "partitions": [row]}],
        **options,
    )
    [found] = answer["topics"]
    [partition] = found["partitions"]
    assert partition["partition_index"] == row["partition_index"]
    return partition["error_code"]


def fetch_offsets(connection, group, topics, version=7, **values):
    """`topics`: rows as (name, partitions) or None for all; the answer's top error and rows by
    (topic, partition)."""
    rows = topics
    if topics is not None:
        rows = [{"name": name, "partition_indexes": list(parts)} for name, parts in topics]
    if version < 8:
        answer = connection.request("OffsetFetch", version, group_id=group, topics=rows)
        error = answer.get("error_code", NONE)
    else:
        wanted = {"group_id": group, "topics": rows, **values}
        [answer] = connection.request("OffsetFetch", version, groups=[wanted])["groups"]
        assert answer["group_id"] == group
        error = answer["error_code"]
    return error, {
        (topic["name"], row["partition_index"]): row
        for topic in answer["topics"]
        for row in topic["partitions"]
    }


def committed(connection, group, topic, partition=0):
    error, rows = fetch_offsets(connection, group, [(topic, [partition])])
    assert error == NONE and rows[topic, partition]["error_code"] == NONE
    return rows[topic, partition]["committed_offset"]


def describe(connection, group, version=5):
    [found] = connection.request("DescribeGroups", version, groups=[group])["groups"]
    return found
