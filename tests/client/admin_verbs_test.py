"""`sluice topic`, `group` and `cluster` where they change things, or tell whether they are well."""
import contextlib
import json
import os
import pty
import re
import subprocess

import harness
from sluice_process import SECONDS, Sluice


def told(sluice, *words, **options):
    return json.loads(sluice.run(*words, "-o", "json", **options))


def extents(sluice, topic):
    return [(p["first_offset"], p["next_offset"])
            for p in told(sluice, "topic", "describe", topic)["partitions"]]


def committed(sluice, group):
    (lag,) = told(sluice, "group", "lag", group)
    return {(p["topic"], p["partition"]): p["committed"] for p in lag["partitions"]}


def fill(sluice, topic, counts):
    sluice.run("topic", "create", topic, "-P", len(counts))
    for partition, count in enumerate(counts):
        if count:
            sluice.run("produce", topic, "-p", partition, data=b"record\n" * count)


# ---- topics ----

def test_topics_are_listed_by_an_expression(sluice, topic):
    sluice.run("topic", "create", topic + "-a", topic + "-b", topic + "-ab")
    names = [t["name"] for t in told(sluice, "topic", "list", f"^{topic}-.$")]
    assert names == [topic + "-a", topic + "-b"]
    assert told(sluice, "topic", "list", "^no such topic$") == []
    assert sluice.run("topic", "list", "(", code=2) == b""
    assert "no regular expression" in sluice.errors


def test_a_topic_that_exists_already_is_no_failure_on_request(sluice, topic):
    sluice.run("topic", "create", topic, "--if-not-exists")
    sluice.run("topic", "create", topic, "--if-not-exists", "-P", 9)
    assert len(extents(sluice, topic)) == 4


def test_several_topics_are_described_in_one_array(sluice, topic):
    sluice.run("topic", "create", topic + "-a", topic + "-b", "-P", 1)
    both = told(sluice, "topic", "describe", topic + "-b", topic + "-a")
    assert [t["name"] for t in both] == [topic + "-b", topic + "-a"]


def test_thousands_of_partitions_are_described(sluice, topic):
    sluice.run("topic", "create", topic, "-P", 2000)
    sluice.run("produce", topic, "-p", 1999, data=b"x\n")
    assert extents(sluice, topic) == [(0, 0)] * 1999 + [(0, 1)]


def test_records_are_trimmed_from_the_beginning(sluice, topic):
    fill(sluice, topic, [10, 4, 0])
    rows = told(sluice, "topic", "trim", topic, "--before", 3, "-p", "0-1")
    assert [(r["partition"], r["was_first_offset"], r["first_offset"]) for r in rows] == [
        (0, 0, 3), (1, 0, 3)]
    assert extents(sluice, topic) == [(3, 10), (3, 4), (0, 0)]
    sluice.run("topic", "trim", topic, "--before", "-2", "-p", 0)
    assert extents(sluice, topic)[0] == (8, 10)
    # Further back than it begins is nothing to do.
    sluice.run("topic", "trim", topic, "--before", "0")
    assert extents(sluice, topic)[0] == (8, 10)
    sluice.run("topic", "trim", topic, "--before", "end")
    assert extents(sluice, topic) == [(10, 10), (4, 4), (0, 0)]


def test_records_are_trimmed_by_time(sluice, topic):
    sluice.run("topic", "create", topic, "-P", 1, "-c", "retention.ms=-1")
    lines = [json.dumps({"value": str(i), "timestamp": 1700000000000 + i}) for i in range(5)]
    sluice.run("produce", topic, "-i", "jsonl", data="\n".join(lines).encode())
    sluice.run("topic", "trim", topic, "--before", "@1700000000003")
    assert extents(sluice, topic) == [(3, 5)]


def test_an_offset_that_one_partition_lacks_leaves_all_of_them_whole(sluice, topic):
    fill(sluice, topic, [10, 4])
    sluice.run("topic", "trim", topic, "--before", 5, code=1)
    assert f"{topic}/1 ends at 4" in sluice.errors
    assert extents(sluice, topic) == [(0, 10), (0, 4)]
    sluice.run("topic", "trim", topic, code=2)
    assert "--before" in sluice.errors
    sluice.run("topic", "trim", topic, "--before", 1, "-p", "1-2", code=1)
    assert "and no 2" in sluice.errors
    sluice.run("topic", "trim", topic, "--before", 1, "-p", "2-1", code=2)
    sluice.run("topic", "trim", "never-was", "--before", "end", code=1)


def at_a_terminal(sluice, *words, typed):
    """What a person sees who types `typed` when asked; and the exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(sluice.command(*words), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while piece := os.read(ours, 4096):
            seen += piece
            if b"[y/N]" in seen and typed:
                os.write(ours, typed)
                typed = b""
    os.close(ours)
    return seen.decode(), process.wait(SECONDS)


def test_who_sits_at_a_terminal_is_asked_first(sluice, topic):
    fill(sluice, topic, [3])
    for words in (["topic", "trim", topic, "--before", "end"], ["topic", "delete", topic],
                  ["group", "delete", "whatever"]):
        seen, code = at_a_terminal(sluice, *words, typed=b"\n")
        assert "[y/N]" in seen and "nothing was changed" in seen and code == 1
    assert extents(sluice, topic) == [(0, 3)]
    seen, code = at_a_terminal(sluice, "topic", "trim", topic, "--before", "2", typed=b"y\n")
    assert "up to 2 records" in seen and code == 0
    seen, code = at_a_terminal(sluice, "topic", "delete", topic, "--yes", typed=b"")
    assert seen == "" and code == 0


# ---- groups ----

def test_a_group_is_prepared_moved_and_deleted(sluice, topic):
    group = f"of-{topic}"
    fill(sluice, topic, [10, 4])
    rows = told(sluice, "group", "seek", group, "--topic", topic, "--to", "beginning")
    assert [(r["partition"], r["was_committed"], r["committed"], r["end"]) for r in rows] == [
        (0, None, 0, 10), (1, None, 0, 4)]
    sluice.run("group", "seek", group, "--to", "-6")
    assert committed(sluice, group) == {(topic, 0): 4, (topic, 1): 0}
    sluice.run("group", "seek", group, "--to", 3, "-p", 1)
    assert committed(sluice, group) == {(topic, 0): 4, (topic, 1): 3}
    sluice.run("group", "seek", group, "--to", "end", "--dry-run")
    assert committed(sluice, group) == {(topic, 0): 4, (topic, 1): 3}
    sluice.run("group", "seek", group, "--to", "@-1h")
    assert committed(sluice, group) == {(topic, 0): 0, (topic, 1): 0}
    sluice.run("group", "seek", group, "--to", "@-0s")
    assert committed(sluice, group) == {(topic, 0): 10, (topic, 1): 4}
    assert [g["id"] for g in told(sluice, "group", "list", f"^{group}$")] == [group]
    sluice.run("group", "delete", group)
    assert committed(sluice, group) == {}
    sluice.run("group", "delete", group, code=1)
    assert "no such group" in sluice.errors


def test_an_offset_that_one_partition_lacks_moves_no_group(sluice, topic):
    group = f"of-{topic}"
    fill(sluice, topic, [10, 4])
    sluice.run("group", "seek", group, "--topic", topic, "--to", 2)
    sluice.run("group", "seek", group, "--to", 5, code=1)
    assert f"{topic}/1 has offsets 0 to 4" in sluice.errors
    assert committed(sluice, group) == {(topic, 0): 2, (topic, 1): 2}
    sluice.run("group", "seek", group, code=2)
    sluice.run("group", "seek", group, "--to", "soon", code=2)
    sluice.run("group", "seek", "nobody-knows-it", "--to", "end", code=1)
    assert "--topic" in sluice.errors


def test_what_was_committed_for_one_topic_is_dropped(sluice, topic):
    group = f"of-{topic}"
    fill(sluice, topic + "-a", [1])
    fill(sluice, topic + "-b", [1])
    sluice.run("group", "seek", group, "--to", "end", "--topic", topic + "-a", "--topic",
               topic + "-b")
    sluice.run("group", "delete", group, "--topic", topic + "-b")
    assert committed(sluice, group) == {(topic + "-a", 0): 1}


def join(connection, group, topic):
    """A member of a classic group, alone in it, with partition 0; returns its id."""
    subscription = (b"\0\0" + b"\0\0\0\1" + len(topic).to_bytes(2, "big") + topic.encode()
                    + b"\xff\xff\xff\xff")
    request = {"group_id": group, "session_timeout_ms": 30000, "rebalance_timeout_ms": 30000,
               "member_id": "", "protocol_type": "consumer",
               "protocols": [{"name": "range", "metadata": subscription}]}
    body = connection.request("JoinGroup", 4, **request)
    if body["error_code"] == 79:  # MEMBER_ID_REQUIRED
        body = connection.request("JoinGroup", 4, **request | {"member_id": body["member_id"]})
    assert body["error_code"] == 0
    assignment = subscription[:-4] + b"\0\0\0\1" + b"\0\0\0\0" + b"\xff\xff\xff\xff"
    answer = connection.request(
        "SyncGroup", 2, group_id=group, generation_id=body["generation_id"],
        member_id=body["member_id"],
        assignments=[{"member_id": body["member_id"], "assignment": assignment}])
    assert answer["error_code"] == 0
    return body["member_id"]


def test_a_group_with_members_is_described_and_left_alone(broker, sluice, topic):
    group = f"of-{topic}"
    fill(sluice, topic, [5])
    with broker.connect() as connection:
        member = join(connection, group, topic)
        (group_told,) = told(sluice, "group", "describe", group)
        assert (group_told["type"], group_told["state"]) == ("classic", "Stable")
        assert group_told["assignor"] == "range"
        (member_told,) = group_told["members"]
        assert member_told["id"] == member and member_told["topics"] == [topic]
        assert member_told["assigned"] == [{"topic": topic, "partitions": [0]}]
        assert member in sluice.run("group", "describe", group).decode()
        for words in (["seek", group, "--topic", topic, "--to", "end"], ["delete", group]):
            sluice.run("group", *words, code=1)
            assert f"group '{group}' has 1 member" in sluice.errors
            assert "sluice group describe" in sluice.errors
        connection.request("LeaveGroup", 2, group_id=group, member_id=member)
    sluice.run("group", "seek", group, "--topic", topic, "--to", "end")
    sluice.run("group", "describe", "nobody-knows-it", code=1)
    assert "no such group" in sluice.errors


# ---- the cluster ----

def test_a_cluster_that_is_well_says_so(sluice, topic):
    fill(sluice, topic, [1])
    health = told(sluice, "cluster", "health")
    assert health["healthy"] and health["problems"] == []
    assert (health["brokers"], health["brokers_reachable"], health["leaderless"]) == (1, 1, 0)
    assert re.search(r"HEALTHY +yes", sluice.run("cluster", "health").decode())


def test_no_broker_to_ask_about_health_ends_in_3():
    Sluice(f"127.0.0.1:{harness.free_port()}").run("cluster", "health", code=3)
