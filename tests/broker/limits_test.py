"""Limits on connections, requests and time."""

import resource
import struct
import time

import pytest

import groups
from harness import Broker, eventually, sanitized
from messages import request_frame, response_body
from records import batch


def ask(connection):
    return connection.request(
        "ApiVersions", 3, client_software_name="test", client_software_version="1"
    )


def opens(broker):
    """Whether a new connection is served."""
    try:
        with broker.connect() as connection:
            ask(connection)
            return True
    except ConnectionError:
        return False


def test_thousands_of_idle_connections_are_held_and_cost_little():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # One descriptor here and one there for each.
    count = min(10_000, hard - 500)
    if count < 2000:
        pytest.skip(f"{hard} descriptors are too few")
    if sanitized():
        count = 2000
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = []
    try:
        with Broker() as broker:
            before = broker.rss_bytes()
            for _ in range(count):
                connections.append(broker.connect())
            for connection in connections[:: count // 50]:
                ask(connection)
            assert broker.fd_count() > count
            broker.check_serves()
            if not sanitized():
                assert (broker.rss_bytes() - before) / count < 16 << 10
            for connection in connections:
                connection.close()
            eventually("the descriptors are given back", lambda: broker.fd_count() < 200)
    finally:
        for connection in connections:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_half_of_many_connections_break_off_at_once_and_the_others_notice_nothing():
    with Broker() as broker, broker.connect() as admin:
        admin.create_topic("held")
        before = broker.fd_count()
        connections = [broker.connect() for _ in range(400)]
        for connection in connections:
            ask(connection)
        for connection in connections[::2]:
            connection.reset()
        for written, connection in enumerate(connections[1::2]):
            assert connection.produce("held", 0, [b"x"]) == written
        eventually("their descriptors are given back", lambda: broker.fd_count() < before + 220)
        for connection in connections[1::2]:
            connection.close()


def test_connections_above_the_limit_are_refused_until_others_end():
    with Broker(shards=1, settings={"max.connections": 10}) as broker:
        held = [broker.connect() for _ in range(10)]
        for connection in held:
            ask(connection)
        for _ in range(3):
            assert not opens(broker)
        for connection in held:
            ask(connection)  # those inside do not suffer
        held.pop().close()
        eventually("room for one more", lambda: opens(broker))
        for connection in held:
            connection.close()


def test_connections_beyond_the_descriptors_are_survived():
    """The process runs out; what it has goes on, and new ones are served when there is room."""
    with Broker(prefix=["prlimit", "--nofile=100:100"]) as broker:
        with broker.connect() as admin:
            admin.create_topic("held")
            held = []
            for _ in range(150):
                held.append(broker.connect())
            assert admin.produce("held", 0, [b"x"]) == 0
            cpu = broker.cpu_seconds()
            time.sleep(1)  # a span to measure in
            assert broker.cpu_seconds() - cpu < 0.5, "spins while it is out of descriptors"
            for connection in held:
                connection.close()
            eventually("new connections are served again", lambda: opens(broker))
            assert admin.fetch_values("held", 0, 0) == [b"x"]


def test_a_silent_connection_is_closed_and_a_busy_one_is_not():
    with Broker(settings={"connections.max.idle.ms": "1500"}) as broker:
        with broker.connect() as silent, broker.connect() as busy, broker.connect() as polling:
            busy.create_topic("idle")
            ask(silent)
            polling.send(
                "Fetch",
                11,
                max_wait_ms=60_000,
                min_bytes=1,
                max_bytes=1000,
                topics=[
                    {"topic": "idle", "partitions": [{"partition": 0, "partition_max_bytes": 100}]}
                ],
            )
            deadline = time.monotonic() + 60
            closed = False
            while not closed and time.monotonic() < deadline:
                ask(busy)
                closed = silent.closed_by_peer(0.1)
            assert closed
            # One that waits for its answer is not idle.
            busy.produce("idle", 0, [b"x"])
            assert polling.receive()[1]["responses"][0]["partitions"][0]["records"]


def test_idle_connections_stay_where_the_limit_is_0():
    with Broker(settings={"connections.max.idle.ms": "0"}) as broker, broker.connect() as silent:
        ask(silent)
        assert not silent.closed_by_peer(3)
        ask(silent)


def test_a_request_of_the_largest_size_is_taken_and_a_larger_one_is_not():
    limit = 100_000
    with Broker(settings={"socket.request.max.bytes": limit}) as broker:

        def produce_of(size):
            body = {
                "acks": -1,
                "timeout_ms": 1000,
                "topic_data": [
                    {"name": "t", "partition_data": [{"index": 0, "records": batch([b"x" * size])}]}
                ],
            }
            return request_frame("Produce", 7, 5, body)

        size = limit - (len(produce_of(60_000)) - 60_000)
        exact = produce_of(size)
        size -= len(exact) - 4 - limit
        exact = produce_of(size)
        assert len(exact) - 4 == limit
        with broker.connect() as connection:
            connection.create_topic("t")
            connection.send_bytes(exact)
            assert connection.receive_frame()[0] == 5
            assert connection.list_offset("t", 0, -1)["offset"] == 1
            connection.send_bytes(produce_of(size + 1))
            assert connection.closed_by_peer()
        broker.wait_log("frame length")
        broker.check_serves()


def test_requests_above_the_number_per_connection_wait_in_the_socket():
    """With four at a time a hundred are answered all the same, in order."""
    with Broker(settings={"max.requests.per.connection": 4}) as broker:
        with broker.connect() as connection, broker.connect() as other:
            connection.create_topic("p", 2)
            asked = [
                connection.send(
                    "Fetch",
                    11,
                    max_wait_ms=20,
                    min_bytes=1,
                    max_bytes=1000,
                    topics=[
                        {
                            "topic": "p",
                            "partitions": [{"partition": i % 2, "partition_max_bytes": 100}],
                        }
                    ],
                )
                for i in range(40)
            ]
            asked += [connection.send("Metadata", 9, topics=[]) for _ in range(60)]
            ask(other)
            assert [connection.receive()[0] for _ in asked] == asked


def test_one_request_at_a_time_is_served_too():
    with Broker(settings={"max.requests.per.connection": 1}) as broker:
        with broker.connect() as connection:
            asked = [connection.send("Metadata", 9, topics=[]) for _ in range(200)]
            assert [connection.receive()[0] for _ in asked] == asked


def test_large_requests_beyond_the_memory_wait_for_their_turn():
    """Forty requests of a mebibyte through a budget of sixteen: slower, not refused."""
    settings = {
        "queued.max.request.bytes": "16MiB",
        "message.max.bytes": "4MiB",
        "log.buffer.bytes": "32MiB",
    }
    with Broker(settings=settings) as broker:
        with broker.connect() as admin:
            admin.create_topic("big", 4)
        before = broker.rss_bytes()
        data = batch([b"x" * (1 << 20)])
        connections = [broker.connect() for _ in range(40)]
        frame = request_frame(
            "Produce",
            9,
            1,
            {
                "acks": -1,
                "timeout_ms": 60000,
                "topic_data": [{"name": "big", "partition_data": [{"index": 0, "records": data}]}],
            },
        )
        # All begin, none ends: every one holds memory and wants more.
        for connection in connections:
            connection.send_bytes(frame[:300_000])
        for connection in connections:
            connection.send_bytes(frame[300_000:])
        for connection in connections:
            assert connection.receive_frame()[0] == 1
            connection.close()
        with broker.connect() as admin:
            assert admin.list_offset("big", 0, -1)["offset"] == 40
        if not sanitized():
            assert broker.rss_bytes() - before < 160 << 20


def test_large_requests_that_never_end_leave_room_for_small_ones():
    """Each holds memory for more than it has sent, and nobody ends them for half a minute."""
    settings = {"queued.max.request.bytes": "16MiB", "message.max.bytes": "4MiB"}
    with Broker(shards=1, settings=settings) as broker:
        with broker.connect(timeout=20) as small:
            small.create_topic("small")
            held = [broker.connect() for _ in range(40)]
            for connection in held:
                connection.send_bytes(struct.pack(">i", 4 << 20) + bytes(10_000))
            for offset in range(20):
                assert small.produce("small", 0, [b"x"]) == offset
            for connection in held:
                connection.close()
            assert small.produce("small", 0, [b"x" * 1_000_000]) == 20


def test_members_that_wait_for_others_leave_room_for_who_does_not():
    """They wait for as long as the slowest has asked for, even when they are gone."""
    patient = {"session_timeout_ms": 1_800_000, "rebalance_timeout_ms": 2**31 - 1}
    with Broker(shards=1, settings={"queued.max.request.bytes": "16MiB"}) as broker:
        with broker.connect() as slowest:
            groups.wait_ready(slowest, "g")
            groups.lead(slowest, "g", version=3, **patient)
            for _ in range(12):
                with broker.connect() as waits:
                    groups.send_join(
                        waits, "g", version=3, protocols=[("range", b"m" * 2_500_000)], **patient
                    )
            broker.wait_log("members of groups hold too much memory")
            broker.check_serves()


@pytest.mark.slow
def test_a_slow_reader_of_a_long_answer_is_not_cut_off():
    """Longer under way than a connection may be stuck, but never standing still."""
    # One batch, so that it is one answer whatever the log's buffers are.
    with Broker(settings={"message.max.bytes": "32MiB"}) as broker:
        with broker.connect() as connection:
            connection.create_topic("long")
            connection.produce("long", 0, [b"x" * (24 << 20)])
        with broker.connect(receive_buffer=1 << 16) as slow:
            slow.send(
                "Fetch",
                11,
                max_wait_ms=0,
                max_bytes=1 << 30,
                topics=[
                    {
                        "topic": "long",
                        "partitions": [{"partition": 0, "partition_max_bytes": 1 << 30}],
                    }
                ],
            )
            got = 0
            begun = time.monotonic()
            while got < 24 << 20:
                part = slow.socket.recv(1 << 18)
                assert part, f"cut off after {time.monotonic() - begun:.0f} s and {got} bytes"
                got += len(part)
                # Some 600 KB/s; an even pace is the point here.
                time.sleep(max(0.0, begun + got / 600_000 - time.monotonic()))
            assert time.monotonic() - begun > 35


@pytest.mark.slow
def test_a_connection_stuck_within_a_frame_is_closed():
    with Broker() as broker, broker.connect() as stuck:
        stuck.send_bytes(struct.pack(">i", 5000) + b"\0" * 100)
        assert stuck.closed_by_peer(90)
        broker.check_serves()


def test_answers_that_nobody_reads_are_held_within_bounds():
    """A request of a few bytes may have a large answer: a client that asks and never reads gets no
    more than it can hold, and the others are served."""
    partitions, asked, count = 2000, 60, 30
    with Broker() as broker, broker.connect() as admin:
        admin.create_topic("wide", partitions)
        one = request_frame("Metadata", 9, 1, {"topics": [{"name": "wide"}]})
        before = broker.rss_bytes()
        held = [broker.connect(receive_buffer=4096) for _ in range(count)]
        for connection in held:
            connection.send_bytes(one * asked)
        for _ in range(3):
            broker.check_serves()
        if not sanitized():
            assert broker.rss_bytes() - before < 250 << 20
        # Who begins to read gets all of it.
        for _ in range(asked):
            _, frame = held[0].receive_frame()
            response = response_body("Metadata", 9, frame)
            assert len(response["topics"][0]["partitions"]) == partitions
        for connection in held:
            connection.close()
        broker.check_serves()


def test_requests_of_very_many_names_cost_what_their_length_does():
    """Nobody else waits for work that grows with the square of a request."""
    names = [f"missing-{number:06d}" for number in range(40_000)]
    # From the last to the first, so that a search from the front would go far.
    assignments = [{"partition_index": index, "broker_ids": [1]} for index in range(80_000)][::-1]
    with Broker(settings={"max.partitions": 10}) as broker, broker.connect() as connection:
        before = broker.cpu_seconds()
        topics = [{"name": name} for name in names]
        answer = connection.request("Metadata", 9, topics=topics, allow_auto_topic_creation=True)
        # The first ten were created, of the others it is told that they could not be.
        codes = [row["error_code"] for row in answer["topics"]]
        assert codes[:10] == [0] * 10 and set(codes[10:]) == {44}
        assert [row["name"] for row in answer["topics"]] == names
        wide = {
            "name": "wide",
            "num_partitions": -1,
            "replication_factor": -1,
            "assignments": assignments,
        }
        answer = connection.request("CreateTopics", 5, topics=[wide], timeout_ms=1000)
        assert answer["topics"][0]["error_code"] == 44
        if not sanitized():
            assert broker.cpu_seconds() - before < 1.0


def test_readers_that_stall_hold_memory_within_bounds_and_nobody_up():
    """What they were answered stays until it has left, in the log's memory or beside it."""
    value = b"v" * 200_000
    with Broker(shards=1, settings={"log.buffer.bytes": "32MiB"}) as broker:
        with broker.connect() as admin:
            admin.create_topic("read")
            before = broker.rss_bytes()
            stalled = []
            for written in range(400):  # 80 MB
                assert admin.produce("read", 0, [value]) == written
                if written % 10 == 0:
                    # 12 MB for each, of which the kernel's buffers take a part only.
                    row = {"partition": 0, "partition_max_bytes": 16 << 20}
                    row["fetch_offset"] = max(written - 60, 0)
                    topics = [{"topic": "read", "partitions": [row]}]
                    connection = broker.connect(receive_buffer=4096)
                    connection.send(
                        "Fetch", 11, max_wait_ms=0, min_bytes=1, max_bytes=16 << 20, topics=topics
                    )
                    stalled.append(connection)
                # Who follows the end is served beside them.
                assert admin.fetch_values("read", 0, written, max_wait_ms=5000) == [value]
            if not sanitized():
                assert broker.rss_bytes() - before < 200 << 20
            for connection in stalled:
                connection.close()
            eventually(
                "room for much at once",
                lambda: len(admin.fetch_values("read", 0, 0, max_bytes=4 << 20)) > 10,
            )
