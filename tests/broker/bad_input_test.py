"""What no client should send: survived with bounded memory, an error code or a closed connection
and a logged reason; a normal produce and fetch work afterwards."""

import os
import random
import struct
import time

import pytest

from harness import eventually, sanitized
from messages import MESSAGES, framed, request_frame, request_header, uvarint
from records import batch

NONE, UNKNOWN_TOPIC, INVALID_TOPIC, POLICY_VIOLATION = 0, 3, 17, 44
KEYS = {name: message.key for (kind, name), message in MESSAGES.items() if kind == "request"}
# Memory that a wave of bad input may leave behind: pools and caches, not what was announced.
SLACK = (600 if sanitized() else 48) << 20


@pytest.fixture(autouse=True)
def serves_afterwards(broker):
    before = broker.rss_bytes()
    yield
    broker.check_serves()
    assert broker.rss_bytes() - before < SLACK


def refused(broker, data, half_close=False, reason=None):
    """The broker closes the connection, and says why where a reason is wanted."""
    with broker.connect() as connection:
        peer = "{}:{}".format(*connection.socket.getsockname())
        try:
            connection.send_bytes(data)
            if half_close:
                connection.socket.shutdown(1)
        except ConnectionError:
            pass
        assert connection.closed_by_peer(), "still open"
    if reason is not None:
        eventually(
            f"a logged reason with {reason!r}",
            lambda: any(peer in line and reason in line for line in broker.log().splitlines()),
        )


def request(name, version, body, correlation=1):
    flexible = version >= MESSAGES["request", name].flexible
    return framed(request_header(KEYS[name], version, correlation, flexible=flexible) + body)


METADATA = request_frame(
    "Metadata", 9, 1, {"topics": [{"name": "bad-input"}], "allow_auto_topic_creation": False}
)


# ---- frames ----


@pytest.mark.parametrize("length", [-1, -(2**31), 0, 1, 7, (100 << 20) + 1, 2**31 - 1])
def test_a_frame_length_outside_the_limits_closes_the_connection(broker, length):
    refused(broker, struct.pack(">i", length) + b"\0" * 64, reason="length")


@pytest.mark.parametrize("length", [8, 9, 100, 5000, 1 << 20, 100 << 20])
def test_a_frame_longer_than_what_follows_is_dropped_when_the_peer_ends(broker, length):
    refused(broker, struct.pack(">i", length) + b"\0" * 7, half_close=True, reason="within a frame")


def test_huge_frames_that_are_only_announced_take_no_memory(broker):
    before = broker.rss_bytes()
    connections = [broker.connect() for _ in range(100)]
    for connection in connections:
        connection.send_bytes(struct.pack(">i", 100 << 20) + b"\0" * 100)
    broker.check_serves()
    # A mebibyte each is granted at first, and not touched.
    assert broker.rss_bytes() - before < SLACK
    for connection in connections:
        connection.close()


def test_every_cut_of_a_request_is_survived(broker):
    for cut in range(len(METADATA)):
        with broker.connect() as connection:
            connection.send_bytes(METADATA[:cut])
            connection.socket.shutdown(1)
            assert connection.closed_by_peer()


@pytest.mark.parametrize("reset", [False, True])
def test_a_peer_that_leaves_in_the_middle_is_forgotten(broker, reset):
    before = broker.fd_count()
    for cut in range(0, len(METADATA), 3):
        connection = broker.connect()
        connection.send_bytes(METADATA * 3 + METADATA[:cut])
        connection.reset() if reset else connection.close()
    eventually("the descriptors are given back", lambda: broker.fd_count() <= before)


def test_a_frame_that_ends_too_early_inside_closes_the_connection(broker):
    # The size is right, the contents stop in the middle of a field.
    body = METADATA[4:]
    for cut in range(8, len(body) - 1):
        with broker.connect() as connection:
            connection.send_bytes(framed(body[:cut]))
            # Cut where only fields with tags are missing it may pass; it must not hang.
            assert connection.closed_by_peer()


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2, "TLS"),
        (b"POST /topics HTTP/1.1\r\n\r\n", ""),
        (b"\xff" * 1000, ""),
        (b"SSH-2.0-OpenSSH_9.2\r\n", ""),
    ],
)
def test_another_protocol_is_told_apart(broker, data, reason):
    refused(broker, data, reason=reason)


def test_random_bytes_are_survived(broker):
    seed = int(os.environ.get("SLUICED_SEED", "20240917"))
    source = random.Random(seed)
    for _ in range(150):
        with broker.connect() as connection:
            data = source.randbytes(source.randrange(1, 3000))
            if source.random() < 0.7:
                data = framed(data)
            try:
                connection.send_bytes(data)
                connection.socket.shutdown(1)
            except OSError:
                pass
            assert connection.closed_by_peer(), f"seed {seed}"
    broker.check_alive()


def test_mutated_requests_are_survived(broker):
    """Valid requests of every kind with bytes changed, cut or doubled."""
    seed = int(os.environ.get("SLUICED_SEED", "20240918"))
    source = random.Random(seed)
    samples = [
        request_frame("Metadata", 12, 1, {"topics": [{"name": "mutated"}] * 3}),
        request_frame(
            "Produce",
            9,
            2,
            {
                "acks": -1,
                "timeout_ms": 100,
                "topic_data": [
                    {"name": "still-serving", "partition_data": [{"index": 0, "records": b""}]}
                ],
            },
        ),
        request_frame(
            "Fetch",
            12,
            3,
            {
                "max_wait_ms": 1,
                "max_bytes": 1000,
                "topics": [{"topic": "still-serving", "partitions": [{"partition": 0}] * 2}],
            },
        ),
        request_frame(
            "ListOffsets",
            7,
            4,
            {
                "topics": [
                    {
                        "name": "still-serving",
                        "partitions": [{"partition_index": 0, "timestamp": 1}],
                    }
                ]
            },
        ),
        request_frame(
            "CreateTopics",
            7,
            5,
            {
                "validate_only": True,
                "topics": [
                    {
                        "name": "mutated",
                        "num_partitions": 1,
                        "replication_factor": 1,
                        "configs": [{"name": "retention.ms", "value": "1"}],
                    }
                ],
            },
        ),
        request_frame(
            "DescribeConfigs",
            4,
            6,
            {
                "resources": [
                    {
                        "resource_type": 2,
                        "resource_name": "still-serving",
                        "configuration_keys": None,
                    }
                ]
            },
        ),
        request_frame("FindCoordinator", 4, 7, {"coordinator_keys": ["a", "b"]}),
        request_frame(
            "OffsetForLeaderEpoch",
            4,
            8,
            {"topics": [{"topic": "still-serving", "partitions": [{"partition": 0}]}]},
        ),
    ]
    for _ in range(600):
        body = bytearray(source.choice(samples)[4:])
        for _ in range(source.randrange(1, 4)):
            at = source.randrange(8, len(body))  # the key and version stay
            action = source.random()
            if action < 0.6:
                body[at] = source.choice([0, 1, 0x7F, 0x80, 0xFF, source.randrange(256)])
            elif action < 0.8:
                del body[at : at + source.randrange(1, 4)]
            else:
                body[at:at] = source.randbytes(source.randrange(1, 4))
            body = body if len(body) > 12 else body + b"\0" * 12
        with broker.connect() as connection:
            connection.send_bytes(framed(bytes(body)))
            connection.socket.shutdown(1)
            assert connection.closed_by_peer(), f"seed {seed}"
    broker.check_alive()


# ---- headers ----


@pytest.mark.parametrize("key", [-1, 4, 8, 11, 17, 999, 32767, -32768])
def test_an_unknown_key_closes_the_connection(broker, key):
    refused(broker, framed(request_header(key, 0, 1)), reason="")


@pytest.mark.parametrize("name", [name for name in KEYS if name != "ApiVersions"])
def test_a_version_outside_the_range_closes_the_connection(broker, name):
    with broker.connect() as connection:
        rows = connection.request("ApiVersions", 3)["api_keys"]
    span = {row["api_key"]: row for row in rows}[KEYS[name]]
    low = 3 if name == "Produce" else span["min_version"]
    for version in (low - 1, span["max_version"] + 1, 32767, -32768):
        body = request_header(KEYS[name], version, 1) + b"\0" * 40
        refused(broker, framed(body), reason="not served" if version >= -1 else "")


def test_a_client_id_of_32_kib_is_taken_and_one_past_the_end_is_not(broker):
    with broker.connect() as connection:
        assert connection.request("Metadata", 9, topics=[])["brokers"]
        connection.send_bytes(request_frame("Metadata", 9, 77, {"topics": []}, "x" * 32767))
        assert connection.receive_frame()[0] == 77
    refused(broker, framed(struct.pack(">hhih", 3, 9, 1, 32767) + b"x" * 100))
    refused(broker, framed(struct.pack(">hhih", 3, 9, 1, -2) + b"x" * 100))


def test_a_client_id_that_is_not_utf8_does_no_harm(broker):
    with broker.connect() as connection:
        header = struct.pack(">hhih", 3, 1, 5, 4) + b"\xff\xfe\x80\xc0"
        connection.send_bytes(framed(header + struct.pack(">i", 0)))
        try:
            assert connection.receive_frame()[0] == 5
        except ConnectionError:
            pass


# ---- bodies ----


TOPICS_CASES = {
    # Metadata 8: an array of i32 count, strings of i16 length.
    "count -2": ("Metadata", 8, struct.pack(">i", -2)),
    "count 2^31-1": ("Metadata", 8, struct.pack(">i", 2**31 - 1)),
    "count above the bytes left": ("Metadata", 8, struct.pack(">ih", 3, 1) + b"a"),
    "string length -2": ("Metadata", 8, struct.pack(">ih", 1, -2) + b"a" * 9),
    "string length past the end": ("Metadata", 8, struct.pack(">ih", 1, 32767) + b"a" * 9),
    "null where none is allowed": ("Metadata", 8, struct.pack(">ih", 1, -1) + b"\0\0\0"),
    # Metadata 9: compact.
    "compact count 2^32-1": ("Metadata", 9, uvarint(2**32 - 1)),
    "compact count above the bytes": ("Metadata", 9, uvarint(1000) + b"\0" * 20),
    "compact null where none is allowed": ("Metadata", 9, uvarint(2) + uvarint(0) + b"\0" * 5),
    "compact length past the end": ("Metadata", 9, uvarint(2) + uvarint(200) + b"a" * 9),
    "varint of six bytes": ("Metadata", 9, b"\xff\xff\xff\xff\xff\x01" + b"\0" * 9),
    "varint without end": ("Metadata", 9, b"\x80" * 40),
    "tag size past the end": (
        "Metadata",
        9,
        uvarint(1) + b"\1\0\0" + uvarint(1) + b"\0" + uvarint(99),
    ),
    "tag count 2^32-1": ("Metadata", 9, uvarint(1) + b"\1\0\0" + uvarint(2**32 - 1)),
    "tags out of order": ("Metadata", 9, uvarint(1) + b"\1\0\0" + uvarint(2) + b"\7\0\6\0"),
    "a tag twice": ("Metadata", 9, uvarint(1) + b"\1\0\0" + uvarint(2) + b"\7\0\7\0"),
    "string not UTF-8": (
        "Metadata",
        9,
        uvarint(2) + uvarint(3) + b"\xff\xfe" + b"\0" + b"\1\0\0\0",
    ),
}


@pytest.mark.parametrize("name", TOPICS_CASES)
def test_a_malformed_body_closes_the_connection(broker, name):
    refused(broker, request(*TOPICS_CASES[name]), reason="")


def test_the_counterpart_of_the_malformed_bodies_is_answered(broker):
    """So that the cases above fail for their reason: unknown tags in order are skipped."""
    with broker.connect() as connection:
        connection.send_bytes(
            request(
                "Metadata", 9, uvarint(1) + b"\1\0\0" + uvarint(2) + b"\6\1x\7\0", correlation=9
            )
        )
        assert connection.receive_frame()[0] == 9


def test_a_null_array_where_none_is_allowed_is_refused(broker):
    body = struct.pack(">hi", 1, 1000) + struct.pack(">i", -1)
    refused(broker, request("Produce", 3, b"\xff\xff" + body), reason="")


def test_produce_to_illegal_names_is_refused_by_code(broker):
    with broker.connect() as connection:
        for name in ("", ".", "..", "x" * 250, "a/b", "nul\0", "../../etc/passwd"):
            answer = connection.produce_batch(name, 0, batch([b"x"]))
            assert answer["error_code"] in (UNKNOWN_TOPIC, INVALID_TOPIC)
            row = connection.fetch(name, 0, 0)
            assert row["error_code"] in (UNKNOWN_TOPIC, INVALID_TOPIC)


@pytest.mark.parametrize("version", [3, 9])
def test_100000_partitions_in_one_produce_are_answered(broker, version):
    rows = [{"index": index, "records": b""} for index in range(100_000)]
    with broker.connect() as connection:
        connection.create_topic_if_missing("wide", 2)
        body = connection.request(
            "Produce",
            version,
            acks=-1,
            timeout_ms=1000,
            topic_data=[{"name": "wide", "partition_data": rows}],
        )
        codes = [row["error_code"] for row in body["responses"][0]["partition_responses"]]
        assert len(codes) == 100_000 and NONE not in codes


def test_100000_partitions_in_one_fetch_are_answered(broker):
    rows = [{"partition": index, "partition_max_bytes": 100} for index in range(100_000)]
    with broker.connect() as connection:
        connection.create_topic_if_missing("wide", 2)
        body = connection.request(
            "Fetch",
            11,
            max_wait_ms=0,
            max_bytes=1000,
            topics=[{"topic": "wide", "partitions": rows}],
        )
        assert len(body["responses"][0]["partitions"]) == 100_000


def test_100000_topics_in_one_metadata_request_are_answered(broker):
    topics = [{"name": f"none-{index}"} for index in range(100_000)]
    with broker.connect() as connection:
        body = connection.request("Metadata", 9, topics=topics, allow_auto_topic_creation=False)
        assert len(body["topics"]) == 100_000


def test_a_request_that_decodes_to_too_much_is_refused_with_a_reason(broker):
    """Each empty topic takes ten times its bytes when decoded."""
    topics = [{"name": ""}] * 1_000_000
    data = request_frame("Metadata", 9, 1, {"topics": topics, "allow_auto_topic_creation": False})
    refused(broker, data, reason="memory")


def test_a_request_of_nothing_but_empty_arrays_does_not_grow(broker):
    """Small on the wire, large when decoded: the decoded form has a limit."""
    count = 3_000_000
    body = struct.pack(">hhi", -1, 1, 1000) + struct.pack(">i", count) + b"\0\0\0\0\0\0" * count
    with broker.connect() as connection:
        connection.send_bytes(request("Produce", 3, body))
        try:
            connection.receive_frame()
        except ConnectionError:
            pass


# ---- slow, idle and greedy connections ----


def latency_of(broker, topic, turns=30):
    """The slowest of some produces, each over a connection of its own, to both shards."""
    worst = 0.0
    with broker.connect() as connection:
        connection.create_topic_if_missing(topic, 4)
    for turn in range(turns):
        begun = time.monotonic()
        with broker.connect() as connection:
            connection.produce(topic, turn % 4, [b"x"])
        worst = max(worst, time.monotonic() - begun)
    return worst


def test_one_who_never_reads_blocks_nobody(broker):
    with broker.connect() as admin:
        admin.create_topic("greedy", 2)
        for index in range(2):
            for _ in range(8):
                admin.produce("greedy", index, [os.urandom(500_000)])
    before = broker.rss_bytes()
    greedy = []
    fetch = request_frame(
        "Fetch",
        11,
        1,
        {
            "max_wait_ms": 0,
            "max_bytes": 64 << 20,
            "topics": [
                {
                    "topic": "greedy",
                    "partitions": [
                        {"partition": i, "fetch_offset": 0, "partition_max_bytes": 64 << 20}
                        for i in (0, 1)
                    ],
                }
            ],
        },
    )
    for _ in range(8):
        connection = broker.connect(timeout=0.5, receive_buffer=4096)
        greedy.append(connection)
        try:
            for _ in range(2000):
                connection.send_bytes(fetch)
        except TimeoutError:
            pass  # held back by the broker: just right
    assert latency_of(broker, "neighbour") < (20 if sanitized() else 5)
    assert broker.rss_bytes() - before < SLACK + (64 << 20)
    for connection in greedy:
        connection.reset()


def test_pipelining_without_reading_is_held_back(broker):
    before = broker.rss_bytes()
    connection = broker.connect(timeout=0.5, receive_buffer=4096)
    ask = request_frame(
        "ApiVersions", 3, 1, {"client_software_name": "t", "client_software_version": "1"}
    )
    sent = 0
    try:
        for _ in range(3000):
            connection.send_bytes(ask * 100)
            sent += 100
    except TimeoutError:
        pass
    assert sent < 300_000, "the broker took everything without an answer being read"
    assert latency_of(broker, "neighbour") < (20 if sanitized() else 5)
    assert broker.rss_bytes() - before < SLACK
    connection.reset()


def test_a_byte_at_a_time_is_a_request_all_the_same(broker):
    with broker.connect() as connection:
        for byte in METADATA:
            connection.send_bytes(bytes([byte]))
            time.sleep(0.002)
        assert connection.receive_frame()[0] == 1


def test_many_slow_writers_do_not_slow_the_others(broker):
    slow = [broker.connect() for _ in range(200)]
    for index, connection in enumerate(slow):
        connection.send_bytes(METADATA[: 5 + index % 20])
    assert latency_of(broker, "neighbour") < (20 if sanitized() else 5)
    for index, connection in enumerate(slow):
        connection.send_bytes(METADATA[5 + index % 20 :])
    for connection in slow:
        assert connection.receive_frame()[0] == 1
        connection.close()


def test_a_half_closed_connection_still_gets_its_answers(broker):
    with broker.connect() as connection:
        connection.create_topic_if_missing("half")
        asked = [
            connection.send(
                "Produce",
                9,
                acks=-1,
                timeout_ms=30000,
                topic_data=[
                    {"name": "half", "partition_data": [{"index": 0, "records": batch([b"x"])}]}
                ],
            )
            for _ in range(5)
        ]
        connection.socket.shutdown(1)
        got = []
        try:
            while len(got) < 5:
                got.append(connection.receive()[0])
        except ConnectionError:
            pass
        # All, or a beginning of them where the broker takes the end for a goodbye.
        assert got == asked[: len(got)]
        assert connection.closed_by_peer()


# ---- a little that asks for much ----


def test_the_producers_of_a_partition_asked_for_again_and_again_are_told_within_limits(broker):
    producers, repeats = 1000, 40000
    with broker.connect() as connection:
        connection.create_topic_if_missing("many-producers")
        for identity in range(producers):
            records = batch([b"x"], producer_id=identity + 10**6, producer_epoch=0, base_sequence=0)
            connection.produce_batch("many-producers", 0, records)
        before = broker.rss_bytes()
        body = connection.request(
            "DescribeProducers",
            0,
            topics=[{"name": "many-producers", "partition_indexes": [0] * repeats}],
        )
        assert broker.rss_bytes() - before < SLACK
        rows = body["topics"][0]["partitions"]
        assert len(rows) == repeats
        told = [row for row in rows if row["error_code"] == NONE]
        assert {len(row["active_producers"]) for row in told} == {producers}
        assert rows[0] in told and rows[-1]["error_code"] == POLICY_VIOLATION
