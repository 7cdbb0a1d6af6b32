"""CreateTopics, DeleteTopics, CreatePartitions and the topics' settings."""

import pytest

from harness import Broker, Refused, eventually

NONE, UNKNOWN_TOPIC, INVALID_TOPIC, EXISTS, BAD_PARTITIONS = 0, 3, 17, 36, 37
BAD_REPLICATION, BAD_ASSIGNMENT, BAD_CONFIG, INVALID, POLICY, UNKNOWN_ID = 38, 39, 40, 42, 44, 100
TOPIC, BROKER = 2, 4
SET, DELETE, APPEND, SUBTRACT = range(4)
FROM_TOPIC, FROM_FILE, FROM_DEFAULT = 1, 4, 5


def create(connection, version=7, validate_only=False, **row):
    row = {"num_partitions": 1, "replication_factor": 1, **row}
    body = connection.request(
        "CreateTopics", version, timeout_ms=30000, validate_only=validate_only, topics=[row]
    )
    return body["topics"][0]


def names(connection):
    return {row["name"] for row in connection.request("Metadata", 9, topics=None)["topics"]}


def partition_count(connection, topic):
    body = connection.request("Metadata", 9, topics=[{"name": topic}])
    return len(body["topics"][0]["partitions"])


# ---- CreateTopics ----


@pytest.mark.parametrize("version", range(2, 8))
def test_every_version_creates(connection, topic, version):
    row = create(
        connection,
        version,
        name=topic,
        num_partitions=3,
        configs=[{"name": "retention.ms", "value": "3600000"}],
    )
    assert (row["error_code"], row["name"]) == (NONE, topic)
    assert partition_count(connection, topic) == 3
    if version >= 5:
        assert (row["num_partitions"], row["replication_factor"]) == (3, 1)
        configs = {each["name"]: each for each in row["configs"]}
        assert configs["retention.ms"]["value"] == "3600000"
        assert configs["retention.ms"]["config_source"] == FROM_TOPIC
        assert configs["cleanup.policy"]["value"] == "delete"
    if version >= 7:
        assert row["topic_id"] != bytes(16)


@pytest.mark.parametrize("version", range(4, 8))
def test_minus_one_means_the_defaults(connection, topic, version):
    row = create(connection, version, name=topic, num_partitions=-1, replication_factor=-1)
    assert row["error_code"] == NONE
    assert partition_count(connection, topic) == 1


def test_an_assignment_to_this_broker_is_taken(connection, topic):
    row = create(
        connection,
        name=topic,
        num_partitions=-1,
        replication_factor=-1,
        assignments=[{"partition_index": index, "broker_ids": [1]} for index in (1, 0, 2)],
    )
    assert row["error_code"] == NONE
    assert partition_count(connection, topic) == 3


@pytest.mark.parametrize(
    "name, row, code",
    [
        ("", {}, INVALID_TOPIC),
        (".", {}, INVALID_TOPIC),
        ("..", {}, INVALID_TOPIC),
        ("x" * 250, {}, INVALID_TOPIC),
        ("a/b", {}, INVALID_TOPIC),
        ("nul\0", {}, INVALID_TOPIC),
        (None, {"num_partitions": 0}, BAD_PARTITIONS),
        (None, {"num_partitions": -2}, BAD_PARTITIONS),
        (None, {"num_partitions": 2**31 - 1}, POLICY),
        (None, {"num_partitions": 20001}, POLICY),
        (None, {"replication_factor": 2}, BAD_REPLICATION),
        (None, {"replication_factor": 0}, BAD_REPLICATION),
        (None, {"replication_factor": -2}, BAD_REPLICATION),
        (None, {"assignments": [{"partition_index": 0, "broker_ids": [1]}]}, INVALID),
        (
            None,
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 0, "broker_ids": [2]}],
            },
            BAD_ASSIGNMENT,
        ),
        (
            None,
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 0, "broker_ids": [1, 1]}],
            },
            BAD_ASSIGNMENT,
        ),
        (
            None,
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 0, "broker_ids": []}],
            },
            BAD_ASSIGNMENT,
        ),
        (
            None,
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 1, "broker_ids": [1]}],
            },
            BAD_ASSIGNMENT,
        ),
        (
            None,
            {
                "num_partitions": -1,
                "replication_factor": -1,
                "assignments": [{"partition_index": 0, "broker_ids": [1]}] * 2,
            },
            BAD_ASSIGNMENT,
        ),
        (None, {"configs": [{"name": "retention.mss", "value": "1"}]}, BAD_CONFIG),
        (None, {"configs": [{"name": "retention.ms", "value": "soon"}]}, BAD_CONFIG),
        (None, {"configs": [{"name": "retention.ms", "value": None}]}, BAD_CONFIG),
        (None, {"configs": [{"name": "segment.bytes", "value": "1"}]}, BAD_CONFIG),
        (None, {"configs": [{"name": "cleanup.policy", "value": "shred"}]}, BAD_CONFIG),
    ],
)
def test_what_cannot_be_created_is_refused_with_a_reason(connection, topic, name, row, code):
    name = topic if name is None else name
    for validate_only in (True, False):
        answer = create(connection, validate_only=validate_only, name=name, **row)
        assert answer["error_code"] == code
        assert answer["error_message"]
        assert answer["topic_id"] == bytes(16)
    assert name not in names(connection)


def test_an_unknown_setting_is_answered_with_the_nearest(connection, topic):
    answer = create(connection, name=topic, configs=[{"name": "retention.msec", "value": "1"}])
    assert "retention.msec" in answer["error_message"]
    assert '"retention.ms"' in answer["error_message"]


def test_a_name_is_taken_once(connection, topic):
    assert create(connection, name=topic)["error_code"] == NONE
    assert create(connection, name=topic)["error_code"] == EXISTS
    assert create(connection, name=topic, validate_only=True)["error_code"] == EXISTS


def test_validation_creates_nothing(connection, topic):
    assert create(connection, name=topic, validate_only=True)["error_code"] == NONE
    assert topic not in names(connection)
    assert create(connection, name=topic)["error_code"] == NONE


def test_each_topic_of_a_request_stands_alone(connection, topic):
    body = connection.request(
        "CreateTopics",
        7,
        timeout_ms=30000,
        topics=[
            {"name": topic + "-a", "num_partitions": 1, "replication_factor": 1},
            {"name": topic + "-b", "num_partitions": 0, "replication_factor": 1},
            {"name": topic + "-c", "num_partitions": 2, "replication_factor": 1},
        ],
    )
    assert [row["error_code"] for row in body["topics"]] == [NONE, BAD_PARTITIONS, NONE]
    assert {topic + "-a", topic + "-c"} <= names(connection)


def test_one_name_twice_in_a_request_creates_it_at_most_once(connection, topic):
    row = {"name": topic, "num_partitions": 1, "replication_factor": 1}
    body = connection.request("CreateTopics", 7, timeout_ms=30000, topics=[row, row])
    codes = sorted(each["error_code"] for each in body["topics"])
    assert codes in ([NONE, EXISTS], [INVALID, INVALID])


def test_the_limit_of_partitions_holds_over_all_topics():
    with Broker(settings={"max.partitions": 10}) as broker, broker.connect() as connection:
        assert create(connection, name="a", num_partitions=6)["error_code"] == NONE
        assert create(connection, name="b", num_partitions=5)["error_code"] == POLICY
        assert create(connection, name="b", num_partitions=4)["error_code"] == NONE
        body = connection.request(
            "Metadata", 9, topics=[{"name": "c"}], allow_auto_topic_creation=True
        )
        assert body["topics"][0]["error_code"] == POLICY
        assert grow(connection, "a", 7)["error_code"] == POLICY
        broker.check_alive()


# ---- DeleteTopics ----


@pytest.mark.parametrize("version", range(1, 7))
def test_every_version_deletes(broker, connection, topic, version):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"x"])
    if version < 6:
        body = connection.request("DeleteTopics", version, topic_names=[topic], timeout_ms=30000)
    else:
        body = connection.request("DeleteTopics", 6, topics=[{"name": topic}], timeout_ms=30000)
    assert [(row["name"], row["error_code"]) for row in body["responses"]] == [(topic, NONE)]
    assert topic not in names(connection)
    assert connection.fetch(topic, 0, 0)["error_code"] == UNKNOWN_TOPIC


def test_a_topic_is_deleted_by_its_id(connection, topic):
    topic_id = connection.create_topic(topic)
    asked = [
        {"name": None, "topic_id": topic_id},
        {"name": None, "topic_id": bytes(range(16))},
        {"name": "not-" + topic},
        {"name": topic, "topic_id": topic_id},
    ]
    body = connection.request("DeleteTopics", 6, topics=asked, timeout_ms=30000)
    rows = body["responses"]
    assert [row["error_code"] for row in rows] == [NONE, UNKNOWN_ID, UNKNOWN_TOPIC, INVALID]
    assert (rows[0]["name"], rows[0]["topic_id"]) == (topic, topic_id)
    assert all(row["error_message"] for row in rows[1:])


def test_a_name_used_again_is_another_topic(connection, topic):
    first = connection.create_topic(topic)
    connection.produce(topic, 0, [b"old"] * 3)
    connection.request("DeleteTopics", 5, topic_names=[topic], timeout_ms=30000)
    second = connection.create_topic(topic)
    assert first != second
    assert connection.list_offset(topic, 0, -1)["offset"] == 0
    assert connection.produce(topic, 0, [b"new"]) == 0
    assert connection.fetch_values(topic, 0, 0) == [b"new"]


def test_a_deleted_topics_files_go(topic):
    with Broker() as broker, broker.connect() as connection:
        connection.create_topic(topic, 4)
        for index in range(4):
            connection.produce(topic, index, [b"x" * 1000])
        folder = broker.data / "topics"
        assert eventually("files of the topic", lambda: any(folder.iterdir()))
        connection.request("DeleteTopics", 5, topic_names=[topic], timeout_ms=30000)
        eventually(
            "the files are gone", lambda: not [path for path in folder.rglob("*") if path.is_file()]
        )
        broker.restart()
        assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_topic_deleted_just_before_a_crash_stays_deleted_and_its_files_go(topic):
    with Broker() as broker:
        folder = broker.data / "topics"
        with broker.connect() as connection:
            first = connection.create_topic(topic, 4)
            connection.produce(topic, 0, [b"x"])
            connection.request("DeleteTopics", 5, topic_names=[topic], timeout_ms=30000)
        broker.kill()
        # However much had gone: this much was there still.
        left = folder / first.hex() / "2"
        left.mkdir(parents=True, exist_ok=True)
        (left / f"{0:020}.log").write_bytes(b"x")
        broker.start()
        with broker.connect() as connection:
            assert topic not in names(connection)
            assert connection.create_topic(topic) != first
            assert connection.list_offset(topic, 0, -1)["offset"] == 0
        eventually(
            "the deleted topic's folder is gone", lambda: not (folder / first.hex()).exists()
        )


# ---- CreatePartitions ----


def grow(connection, topic, count, assignments=None, validate_only=False, version=3):
    body = connection.request(
        "CreatePartitions",
        version,
        timeout_ms=30000,
        validate_only=validate_only,
        topics=[{"name": topic, "count": count, "assignments": assignments}],
    )
    return body["results"][0]


@pytest.mark.parametrize("version", range(4))
def test_every_version_adds_partitions(connection, topic, version):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"kept"])
    assert grow(connection, topic, 4, version=version)["error_code"] == NONE
    assert partition_count(connection, topic) == 4
    assert connection.fetch_values(topic, 0, 0) == [b"kept"]
    for index in range(1, 4):
        assert connection.produce(topic, index, [b"new"]) == 0


@pytest.mark.parametrize(
    "count, assignments, code",
    [
        (2, None, BAD_PARTITIONS),
        (1, None, BAD_PARTITIONS),
        (0, None, BAD_PARTITIONS),
        (-1, None, BAD_PARTITIONS),
        (2**31 - 1, None, POLICY),
        (3, [{"broker_ids": [2]}], BAD_ASSIGNMENT),
        (4, [{"broker_ids": [1]}], BAD_ASSIGNMENT),
        (3, [{"broker_ids": [1, 1]}], BAD_ASSIGNMENT),
    ],
)
def test_partitions_that_cannot_be_added_are_refused(connection, topic, count, assignments, code):
    connection.create_topic(topic, 2)
    answer = grow(connection, topic, count, assignments)
    assert answer["error_code"] == code and answer["error_message"]
    assert partition_count(connection, topic) == 2


def test_partitions_are_added_only_when_asked_in_earnest(connection, topic):
    connection.create_topic(topic)
    assert grow(connection, topic, 3, validate_only=True)["error_code"] == NONE
    assert partition_count(connection, topic) == 1
    assert grow(connection, topic, 3, [{"broker_ids": [1]}] * 2)["error_code"] == NONE
    assert partition_count(connection, topic) == 3
    assert grow(connection, "not-" + topic, 3)["error_code"] == UNKNOWN_TOPIC


# ---- settings ----


def describe(connection, name, kind=TOPIC, keys=None, version=4, **options):
    body = connection.request(
        "DescribeConfigs",
        version,
        resources=[{"resource_type": kind, "resource_name": name, "configuration_keys": keys}],
        **options,
    )
    return body["results"][0]


def settings(connection, topic):
    return {row["name"]: row["value"] for row in describe(connection, topic)["configs"]}


def alter(connection, topic, *changes, validate_only=False, kind=TOPIC, version=1):
    body = connection.request(
        "IncrementalAlterConfigs",
        version,
        validate_only=validate_only,
        resources=[
            {
                "resource_type": kind,
                "resource_name": topic,
                "configs": [
                    {"name": key, "config_operation": operation, "value": value}
                    for key, operation, value in changes
                ],
            }
        ],
    )
    return body["responses"][0]


def replace(connection, topic, configs, validate_only=False, version=2, kind=TOPIC):
    body = connection.request(
        "AlterConfigs",
        version,
        validate_only=validate_only,
        resources=[
            {
                "resource_type": kind,
                "resource_name": topic,
                "configs": [{"name": key, "value": value} for key, value in configs.items()],
            }
        ],
    )
    return body["responses"][0]


@pytest.mark.parametrize("version", range(1, 5))
def test_every_version_describes_a_topics_settings(connection, topic, version):
    connection.create_topic(topic, 1, {"retention.ms": "3600000"})
    answer = describe(
        connection, topic, version=version, include_synonyms=True, include_documentation=True
    )
    assert answer["error_code"] == NONE
    rows = {row["name"]: row for row in answer["configs"]}
    assert rows["retention.ms"]["value"] == "3600000"
    assert rows["retention.ms"]["config_source"] == FROM_TOPIC
    assert rows["cleanup.policy"]["config_source"] == FROM_DEFAULT
    assert not rows["retention.ms"]["read_only"] and not rows["retention.ms"]["is_sensitive"]
    assert [(s["name"], s["value"], s["source"]) for s in rows["retention.ms"]["synonyms"]] == [
        ("retention.ms", "3600000", FROM_TOPIC),
        ("log.retention.ms", "604800000", FROM_DEFAULT),
    ]
    if version >= 3:
        assert rows["retention.ms"]["config_type"] == 5
        assert rows["retention.ms"]["documentation"]


def test_only_the_settings_that_are_asked_for_are_described(connection, topic):
    connection.create_topic(topic)
    answer = describe(connection, topic, keys=["segment.bytes", "no.such", "cleanup.policy"])
    assert {row["name"] for row in answer["configs"]} == {"segment.bytes", "cleanup.policy"}
    assert describe(connection, topic, keys=[])["error_code"] == NONE


def test_the_brokers_settings_are_described(broker, connection):
    answer = describe(connection, "1", BROKER)
    rows = {row["name"]: row for row in answer["configs"]}
    assert rows["listen"]["value"] == broker.address
    assert rows["listen"]["config_source"] == FROM_FILE
    assert rows["listen"]["read_only"] and not rows["log.retention.ms"]["read_only"]
    assert describe(connection, "2", BROKER)["error_code"] == INVALID


def test_settings_of_what_is_not_there_are_refused(connection, topic):
    for kind, name, code in (
        (TOPIC, "not-" + topic, UNKNOWN_TOPIC),
        (99, topic, INVALID),
        (0, topic, INVALID),
        (-1, topic, INVALID),
    ):
        assert describe(connection, name, kind)["error_code"] == code
        answer = alter(connection, name, ("retention.ms", SET, "1"), kind=kind)
        assert answer["error_code"] == code and answer["error_message"]
        assert (answer["resource_type"], answer["resource_name"]) == (kind, name)
    assert replace(connection, "not-" + topic, {})["error_code"] == UNKNOWN_TOPIC


@pytest.mark.parametrize("version", range(2))
def test_settings_are_set_and_deleted(connection, topic, version):
    connection.create_topic(topic, 1, {"retention.ms": "1000000"})
    answer = alter(
        connection,
        topic,
        ("segment.bytes", SET, "2097152"),
        ("retention.ms", DELETE, None),
        version=version,
    )
    assert (answer["error_code"], answer["error_message"]) == (NONE, None)
    now = settings(connection, topic)
    assert (now["segment.bytes"], now["retention.ms"]) == ("2097152", "604800000")


def test_lists_are_appended_to_and_subtracted_from(connection, topic):
    connection.create_topic(topic)
    for operation, value, expected in (
        (APPEND, "compact", {"delete", "compact"}),
        (APPEND, "compact", {"delete", "compact"}),
        (SUBTRACT, "delete", {"compact"}),
        (SUBTRACT, "delete", {"compact"}),
        (APPEND, "delete,compact", {"delete", "compact"}),
    ):
        assert alter(connection, topic, ("cleanup.policy", operation, value))["error_code"] == NONE
        assert set(settings(connection, topic)["cleanup.policy"].split(",")) == expected


@pytest.mark.parametrize(
    "change",
    [
        ("no.such", SET, "1"),
        ("no.such", DELETE, None),
        ("retention.ms", SET, "x"),
        ("retention.ms", SET, None),
        ("retention.ms", SET, "-2"),
        ("retention.ms", APPEND, "1"),
        ("retention.ms", SUBTRACT, "1"),
        ("cleanup.policy", APPEND, "shred"),
        ("cleanup.policy", APPEND, None),
        ("retention.ms", 4, "1"),
        ("retention.ms", -1, "1"),
        ("", SET, "1"),
        ("x" * 10000, SET, "1"),
        ("retention.ms", SET, "9" * 10000),
        ("min.cleanable.dirty.ratio", SET, "x" * 30000),
    ],
)
def test_a_bad_change_changes_nothing(connection, topic, change):
    connection.create_topic(topic)
    before = settings(connection, topic)
    for validate_only in (True, False):
        answer = alter(
            connection,
            topic,
            ("segment.bytes", SET, "2097152"),
            change,
            validate_only=validate_only,
        )
        assert answer["error_code"] in (BAD_CONFIG, INVALID)
        assert answer["error_message"]
    assert settings(connection, topic) == before


def test_an_unknown_key_is_answered_with_the_nearest_name(connection, topic):
    connection.create_topic(topic)
    answer = alter(connection, topic, ("cleanup.polizy", SET, "delete"))
    assert answer["error_code"] == BAD_CONFIG
    assert "cleanup.policy" in answer["error_message"]


def test_validation_of_settings_changes_nothing(connection, topic):
    connection.create_topic(topic)
    before = settings(connection, topic)
    assert (
        alter(connection, topic, ("retention.ms", SET, "5000"), validate_only=True)["error_code"]
        == NONE
    )
    assert (
        replace(connection, topic, {"retention.ms": "5000"}, validate_only=True)["error_code"]
        == NONE
    )
    assert settings(connection, topic) == before


@pytest.mark.parametrize("version", range(3))
def test_the_old_request_puts_back_what_it_does_not_name(connection, topic, version):
    connection.create_topic(topic, 1, {"retention.ms": "5000000", "segment.bytes": "3000000"})
    assert (
        replace(connection, topic, {"retention.bytes": "777"}, version=version)["error_code"]
        == NONE
    )
    now = settings(connection, topic)
    assert (now["retention.bytes"], now["retention.ms"], now["segment.bytes"]) == (
        "777",
        "604800000",
        "1073741824",
    )
    assert replace(connection, topic, {"no.such": "1"})["error_code"] == BAD_CONFIG


def test_a_changed_setting_takes_effect_at_once(connection, topic):
    connection.create_topic(topic)
    connection.produce(topic, 0, [b"x" * 5000])
    assert alter(connection, topic, ("max.message.bytes", SET, "1000"))["error_code"] == NONE
    with pytest.raises(Refused) as refused:
        connection.produce(topic, 0, [b"x" * 5000])
    assert refused.value.code == 10
    assert connection.produce(topic, 0, [b"x" * 500]) == 1


@pytest.mark.tsan
def test_topics_come_and_go_while_others_are_used(broker, topic):
    with broker.connect() as user, broker.connect() as admin:
        user.create_topic(topic, 4)
        for turn in range(30):
            admin.send(
                "CreateTopics",
                7,
                timeout_ms=30000,
                topics=[{"name": f"{topic}-{turn}", "num_partitions": 3, "replication_factor": 1}],
            )
            for index in range(4):
                assert user.produce(topic, index, [b"%d" % turn]) == turn
            _, body = admin.receive()
            assert body["topics"][0]["error_code"] == NONE
            admin.send("DeleteTopics", 5, topic_names=[f"{topic}-{turn}"], timeout_ms=30000)
            for index in range(4):
                assert len(user.fetch_values(topic, index, 0)) == turn + 1
            _, body = admin.receive()
            assert body["responses"][0]["error_code"] == NONE
