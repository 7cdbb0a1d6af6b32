"""Requests of groups that are no requests: cut, with wrong counts and lengths, with random bytes.

The broker answers with an error or closes the connection, and the groups go on.
"""

import random
import struct

import pytest

import groups
from messages import MESSAGES, Codec, framed, request_header

# Of each request the oldest and newest version served, and values that fill every field.
PROTOCOLS = [{"name": "range", "metadata": groups.subscription("t", "u")}]
PLACES = [{"name": "t", "partition_indexes": [0, 1]}]
COMMITS = [{"name": "t", "partitions": [{"partition_index": 0, "committed_offset": 1}]}]
MEMBER = {"group_id": "g", "member_id": "m", "generation_id": 1}
SHARED = [
    {
        "topic_id": b"x" * 16,
        "partitions": [
            {
                "partition_index": 0,
                "acknowledgement_batches": [
                    {"first_offset": 0, "last_offset": 1, "acknowledge_types": [1, 2]}
                ],
            }
        ],
    }
]
REQUESTS = {
    "JoinGroup": (
        (0, 9),
        {
            "group_id": "g",
            "session_timeout_ms": 10_000,
            "member_id": "m",
            "protocol_type": "consumer",
            "protocols": PROTOCOLS,
        },
    ),
    "SyncGroup": ((0, 5), {**MEMBER, "assignments": [{"member_id": "m", "assignment": b"a"}]}),
    "Heartbeat": ((0, 4), MEMBER),
    "LeaveGroup": ((0, 5), {"group_id": "g", "member_id": "m", "members": [{"member_id": "m"}]}),
    "OffsetCommit": ((2, 9), {"group_id": "g", "member_id": "m", "topics": COMMITS}),
    "OffsetFetch": (
        (1, 9),
        {"group_id": "g", "topics": PLACES, "groups": [{"group_id": "g", "topics": PLACES}]},
    ),
    "FindCoordinator": ((0, 6), {"key": "g", "coordinator_keys": ["g"]}),
    "DescribeGroups": ((0, 6), {"groups": ["g", "h"]}),
    "ListGroups": ((4, 5), {"states_filter": ["Stable"], "types_filter": ["classic"]}),
    "DeleteGroups": ((0, 2), {"groups_names": ["g", "h"]}),
    "OffsetDelete": (
        (0, 0),
        {"group_id": "g", "topics": [{"name": "t", "partitions": [{"partition_index": 0}]}]},
    ),
    "ConsumerGroupHeartbeat": (
        (0, 1),
        {
            "group_id": "g",
            "member_id": "m",
            "instance_id": "i",
            "subscribed_topic_names": ["t"],
            "topic_partitions": [{"topic_id": b"x" * 16, "partitions": [0, 1]}],
        },
    ),
    "ConsumerGroupDescribe": ((0, 1), {"group_ids": ["g", "h"]}),
    "ShareGroupHeartbeat": (
        (1, 1),
        {"group_id": "g", "member_id": "m", "rack_id": "r", "subscribed_topic_names": ["t"]},
    ),
    "ShareGroupDescribe": ((1, 1), {"group_ids": ["g", "h"]}),
    "ShareFetch": (
        (1, 1),
        {
            "group_id": "g",
            "member_id": "m",
            "topics": SHARED,
            "forgotten_topics_data": [{"topic_id": b"x" * 16, "partitions": [0, 1]}],
        },
    ),
    "ShareAcknowledge": ((1, 1), {"group_id": "g", "member_id": "m", "topics": SHARED}),
}
CASES = [(name, version) for name, (versions, _) in REQUESTS.items() for version in set(versions)]
EACH = pytest.mark.parametrize("name, version", CASES)


def body_of(name, version):
    return Codec("request", name, version).encode(REQUESTS[name][1])


def frame(name, version, body):
    message = MESSAGES["request", name]
    flexible = version >= message.flexible
    return framed(request_header(message.key, version, 1, flexible=flexible) + body)


@pytest.fixture(autouse=True)
def group_goes_on(broker):
    """A member of a group that stands beside is not disturbed."""
    with broker.connect() as connection:
        groups.wait_ready(connection, "bystanders")
        member, generation = groups.lead(connection, "bystanders", session_timeout_ms=60_000)
        yield
        assert groups.heartbeat(connection, "bystanders", member, generation) == 0
        assert groups.leave(connection, "bystanders", member) == 0


def ended(broker, data):
    """Whether the connection is closed upon this, and not left waiting."""
    with broker.connect() as connection:
        try:
            connection.send_bytes(data)
        except ConnectionError:
            return True
        return connection.closed_by_peer(30)


def survived(broker, data):
    """Answered, closed, or waited for (as a join is): nothing is asked of it but to go on."""
    with broker.connect() as connection:
        try:
            connection.send_bytes(data)
            connection.socket.shutdown(1)
        except OSError:
            pass


@EACH
def test_a_cut_request_closes_the_connection(broker, name, version):
    body = body_of(name, version)
    for length in range(len(body)):
        assert ended(broker, frame(name, version, body[:length])), length


@EACH
def test_changed_bytes_are_survived(broker, name, version):
    chance = random.Random(f"{name} {version}")
    body = body_of(name, version)
    for at in range(len(body)):
        for value in (0x00, 0x7F, 0x80, 0xFF, chance.randrange(256)):
            survived(broker, frame(name, version, body[:at] + bytes([value]) + body[at + 1 :]))
    for _ in range(50):
        survived(broker, frame(name, version, chance.randbytes(chance.randrange(200))))
    broker.check_alive()


@pytest.mark.parametrize("count", [-2, 2**31 - 1, 100_000_000])
def test_a_count_beyond_the_bytes_closes_the_connection(broker, count):
    text = struct.pack(">h", 1) + b"g"
    requests = [
        ("JoinGroup", 3, text + struct.pack(">ii", 10_000, 10_000) + text + text),
        ("SyncGroup", 2, text + struct.pack(">i", 1) + text),
        ("LeaveGroup", 3, text),
        ("OffsetCommit", 7, text + struct.pack(">i", 1) + text + struct.pack(">h", -1)),
        ("DescribeGroups", 3, b""),
        ("DeleteGroups", 1, b""),
    ]
    if count > 0:
        # It may be null, and then any negative count says so.
        requests.append(("OffsetFetch", 5, text))
    for name, version, start in requests:
        assert ended(broker, frame(name, version, start + struct.pack(">i", count))), name


@pytest.mark.parametrize("size", [0, 1, 2, 5, 17, 4000])
def test_a_subscription_that_is_none_is_carried_all_the_same(broker, size):
    """Its counts are not believed: what a consumer sends is for other consumers to read."""
    with broker.connect() as connection:
        for start in (b"", struct.pack(">hi", 0, 2**31 - 1), struct.pack(">hi", 1, -5)):
            data = start + b"\xff" * size
            group = f"odd-{size}-{len(start)}-{start[-1:].hex()}"
            joined = groups.join(connection, group, protocols=[("range", data)])
            assert joined["error_code"] == 0
            assert joined["members"][0]["metadata"] == data


def test_long_names_are_taken_or_refused_by_code(broker):
    long = "n" * 32_000
    with broker.connect() as connection:
        member, generation = groups.lead(connection, long, protocols=[(long, b"m")])
        assert groups.heartbeat(connection, long, member, generation) == 0
        found = groups.describe(connection, long)
        assert (found["group_id"], found["protocol_data"]) == (long, long)
        assert groups.heartbeat(connection, long, long, generation) == groups.UNKNOWN_MEMBER
        assert groups.leave(connection, long, member) == 0
        connection.request("DeleteGroups", 1, groups_names=[long])
