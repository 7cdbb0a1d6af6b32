"""ApiVersions, Metadata, DescribeCluster, FindCoordinator, InitProducerId."""

import base64
import itertools

import pytest

from harness import Broker
from messages import MESSAGES, framed, request_header, response_body

NONE, UNKNOWN_TOPIC, INVALID_TOPIC, INVALID_GROUP, UNSUPPORTED, INVALID = 0, 3, 17, 24, 35, 42
UNKNOWN_ID = 100
SERVED = {
    "Produce": (0, 13),
    "Fetch": (4, 18),
    "ListOffsets": (1, 10),
    "Metadata": (0, 13),
    "OffsetCommit": (2, 10),
    "OffsetFetch": (1, 10),
    "FindCoordinator": (0, 6),
    "JoinGroup": (0, 9),
    "Heartbeat": (0, 4),
    "LeaveGroup": (0, 5),
    "SyncGroup": (0, 5),
    "DescribeGroups": (0, 6),
    "ListGroups": (0, 5),
    "ApiVersions": (0, 4),
    "CreateTopics": (2, 7),
    "DeleteTopics": (1, 6),
    "DeleteRecords": (0, 2),
    "InitProducerId": (0, 5),
    "AddPartitionsToTxn": (0, 3),
    "AddOffsetsToTxn": (0, 4),
    "EndTxn": (0, 5),
    "TxnOffsetCommit": (0, 5),
    "DescribeProducers": (0, 0),
    "WriteTxnMarkers": (1, 1),
    "DescribeTransactions": (0, 0),
    "ListTransactions": (0, 2),
    "OffsetForLeaderEpoch": (2, 4),
    "DescribeConfigs": (1, 4),
    "AlterConfigs": (0, 2),
    "CreatePartitions": (0, 3),
    "DeleteGroups": (0, 2),
    "IncrementalAlterConfigs": (0, 1),
    "OffsetDelete": (0, 0),
    "DescribeCluster": (0, 2),
    "ConsumerGroupHeartbeat": (0, 1),
    "ConsumerGroupDescribe": (0, 1),
    "ShareGroupHeartbeat": (1, 1),
    "ShareGroupDescribe": (1, 1),
    "ShareFetch": (1, 1),
    "ShareAcknowledge": (1, 1),
}


# ---- ApiVersions ----


@pytest.mark.parametrize("version", range(5))
def test_every_api_is_advertised_with_its_range(connection, version):
    body = connection.request(
        "ApiVersions", version, client_software_name="test", client_software_version="1.0"
    )
    assert body["error_code"] == NONE
    got = {row["api_key"]: (row["min_version"], row["max_version"]) for row in body["api_keys"]}
    assert got == {MESSAGES["request", name].key: span for name, span in SERVED.items()}


@pytest.mark.parametrize("version", range(5))
def test_transactions_are_advertised_as_a_feature(connection, version):
    body = connection.request(
        "ApiVersions", version, client_software_name="test", client_software_version="1.0"
    )
    feature = {"name": "transaction.version"}
    level = {"max_version_level": 2, "min_version_level": 2}
    if version < 3:
        assert "finalized_features" not in body
        return
    assert body["finalized_features"] == [{**feature, **level}]
    assert body["finalized_features_epoch"] == 0
    # A range that begins at 0 is more than clients of version 3 can read.
    known = [] if version == 3 else [{**feature, "min_version": 0, "max_version": 2}]
    assert body["supported_features"] == known


@pytest.mark.parametrize("version", [5, 99, 32767, -1])
def test_an_unknown_version_is_answered_in_version_0(connection, version):
    connection.send_bytes(
        framed(request_header(18, version, 4711, flexible=True) + b"\x01\x01\x00")
    )
    correlation, frame = connection.receive_frame()
    assert correlation == 4711
    body = response_body("ApiVersions", 0, frame)
    assert body["error_code"] == UNSUPPORTED
    assert [
        (row["api_key"], row["min_version"], row["max_version"]) for row in body["api_keys"]
    ] == [(18, 0, 4)]
    # The client asks again on the same connection.
    assert (
        connection.request(
            "ApiVersions", 4, client_software_name="test", client_software_version="1.0"
        )["error_code"]
        == NONE
    )


@pytest.mark.parametrize("name", ["-x", "a b", "naïve", "x-", "a/b"])
def test_an_illegal_software_name_is_an_invalid_request(connection, name):
    body = connection.request(
        "ApiVersions", 3, client_software_name=name, client_software_version="1.0"
    )
    assert body["error_code"] == INVALID


@pytest.mark.parametrize("client_id", [None, "", "x" * 32767, "naïve-ключ"])
def test_any_client_id_is_taken(broker, client_id):
    with broker.connect() as connection:
        raw = None if client_id is None else client_id.encode()
        assert raw is None or len(raw) < 32768
        assert connection.request("ApiVersions", 3, client_id=client_id)["error_code"] == NONE


# ---- Metadata ----


@pytest.mark.parametrize("version", range(14))
def test_every_version_describes_a_topic(broker, connection, topic, version):
    topic_id = connection.create_topic(topic, 3)
    body = connection.request("Metadata", version, topics=[{"name": topic}])
    assert [(b["node_id"], b["host"], b["port"]) for b in body["brokers"]] == [
        (1, broker.host, broker.port)
    ]
    (row,) = body["topics"]
    assert (row["error_code"], row["name"]) == (NONE, topic)
    assert [
        (p["partition_index"], p["leader_id"], p["replica_nodes"], p["isr_nodes"])
        for p in row["partitions"]
    ] == [(i, 1, [1], [1]) for i in range(3)]
    assert all(p["error_code"] == NONE for p in row["partitions"])
    if version >= 1:
        assert body["controller_id"] == 1 and not row["is_internal"]
    if version >= 2:
        assert len(base64.urlsafe_b64decode(body["cluster_id"] + "==")) == 16
    if version >= 7:
        assert all(p["leader_epoch"] >= 0 for p in row["partitions"])
    if version >= 10:
        assert row["topic_id"] == topic_id != bytes(16)


@pytest.mark.parametrize("version", range(14))
def test_every_version_lists_all_and_from_1_on_none(connection, topic, version):
    names = [f"{topic}-a", f"{topic}-b"]
    for name in names:
        connection.create_topic(name)
    every = connection.request("Metadata", version, topics=[] if version == 0 else None)
    assert set(names) <= {row["name"] for row in every["topics"]}
    if version:
        none = connection.request("Metadata", version, topics=[])
        assert none["topics"] == [] and len(none["brokers"]) == 1


@pytest.mark.parametrize("version", [12, 13])
def test_a_topic_is_described_by_its_id(connection, topic, version):
    topic_id = connection.create_topic(topic)
    body = connection.request(
        "Metadata",
        version,
        topics=[{"topic_id": topic_id, "name": None}, {"topic_id": bytes(range(16)), "name": None}],
    )
    known, unknown = body["topics"]
    assert (known["error_code"], known["name"], known["topic_id"]) == (NONE, topic, topic_id)
    assert (unknown["error_code"], unknown["topic_id"]) == (UNKNOWN_ID, bytes(range(16)))


@pytest.mark.parametrize("version", [0, 3, 4, 9, 13])
def test_a_missing_topic_is_created_and_usable_at_once(broker, connection, topic, version):
    body = connection.request(
        "Metadata", version, allow_auto_topic_creation=True, topics=[{"name": topic}]
    )
    (row,) = body["topics"]
    assert (row["error_code"], len(row["partitions"])) == (NONE, 1)
    with broker.connect() as other:
        assert other.produce(topic, 0, [b"x"]) == 0


def test_a_missing_topic_is_not_created_where_the_client_forbids_it(connection, topic):
    for _ in range(2):
        body = connection.request(
            "Metadata", 9, allow_auto_topic_creation=False, topics=[{"name": topic}]
        )
        assert body["topics"][0]["error_code"] == UNKNOWN_TOPIC


def test_a_missing_topic_is_not_created_where_the_broker_forbids_it(topic):
    with Broker(settings={"auto.create.topics.enable": "false"}) as broker:
        with broker.connect() as connection:
            for _ in range(2):
                body = connection.request(
                    "Metadata", 9, allow_auto_topic_creation=True, topics=[{"name": topic}]
                )
                assert body["topics"][0]["error_code"] == UNKNOWN_TOPIC


def test_created_topics_have_the_number_of_partitions_that_is_set(topic):
    with Broker(settings={"num.partitions": 5}) as broker, broker.connect() as connection:
        body = connection.request(
            "Metadata", 9, topics=[{"name": topic}], allow_auto_topic_creation=True
        )
        assert len(body["topics"][0]["partitions"]) == 5


ILLEGAL_NAMES = ["", ".", "..", "x" * 250, "a/b", "a\0b", "a b", "naïve", "../../etc/passwd"]


@pytest.mark.parametrize("name", ILLEGAL_NAMES)
def test_an_illegal_name_is_never_created(connection, name):
    for version in (4, 9, 13):
        body = connection.request(
            "Metadata", version, topics=[{"name": name}], allow_auto_topic_creation=True
        )
        assert body["topics"][0]["error_code"] == INVALID_TOPIC
    every = connection.request("Metadata", 9, topics=None)
    assert name not in {row["name"] for row in every["topics"]}


def test_the_longest_name_is_legal(connection, topic):
    name = (topic + "x" * 249)[:249]
    body = connection.request(
        "Metadata", 9, topics=[{"name": name}], allow_auto_topic_creation=True
    )
    assert body["topics"][0]["error_code"] == NONE
    assert connection.produce(name, 0, [b"x"]) == 0


@pytest.mark.tsan
def test_one_topic_created_by_many_at_once_is_created_once(broker, topic):
    connections = [broker.connect() for _ in range(16)]
    for connection in connections:
        connection.send("Metadata", 12, topics=[{"name": topic}], allow_auto_topic_creation=True)
    ids = set()
    for connection in connections:
        _, body = connection.receive()
        assert body["topics"][0]["error_code"] == NONE
        ids.add(body["topics"][0]["topic_id"])
        connection.close()
    assert len(ids) == 1


def test_the_advertised_address_is_what_clients_are_told():
    with Broker(settings={"advertised.listen": "broker.example:19092", "node.id": 7}) as broker:
        with broker.connect() as connection:
            body = connection.request("Metadata", 9, topics=[])
            assert body["brokers"] == [
                {"node_id": 7, "host": "broker.example", "port": 19092, "rack": None}
            ]
            assert body["controller_id"] == 7


# ---- DescribeCluster, FindCoordinator ----


@pytest.mark.parametrize("version", range(3))
def test_the_cluster_is_described(broker, connection, version):
    body = connection.request("DescribeCluster", version)
    assert (body["error_code"], body["controller_id"]) == (NONE, 1)
    (row,) = body["brokers"]
    assert (row["broker_id"], row["host"], row["port"]) == (1, broker.host, broker.port)
    if version >= 2:
        assert not row["is_fenced"]
    assert body["cluster_id"] == connection.request("Metadata", 9, topics=[])["cluster_id"]


@pytest.mark.parametrize("kind", [0, 2, 3])
def test_controllers_are_not_described_here(connection, kind):
    body = connection.request("DescribeCluster", 1, endpoint_type=kind)
    assert body["error_code"] in (114, 115)
    assert body["error_message"]


def find_coordinators(connection, version, kind, keys):
    """A row a key, whatever the version."""
    if version >= 4:
        body = connection.request(
            "FindCoordinator", version, key_type=kind, coordinator_keys=keys
        )
        assert [row["key"] for row in body["coordinators"]] == keys
        return body["coordinators"]
    return [
        connection.request("FindCoordinator", version, key=key, key_type=kind) for key in keys
    ]


@pytest.mark.parametrize("kind, version", [(0, 0), *itertools.product((0, 1), range(1, 7))])
def test_this_broker_coordinates_every_group_and_transaction(broker, connection, version, kind):
    for row in find_coordinators(connection, version, kind, ["one", "two"]):
        assert (row["error_code"], row["node_id"]) == (NONE, 1)
        assert (row["host"], row["port"]) == (broker.host, broker.port)


@pytest.mark.parametrize("version", range(7))
@pytest.mark.parametrize(
    "kind, key, code", [(0, "", INVALID_GROUP), (1, "", INVALID), (7, "one", INVALID)]
)
def test_what_is_not_coordinated_is_refused(connection, version, kind, key, code):
    if version == 0 and kind:
        pytest.skip("version 0 knows groups only")
    (row,) = find_coordinators(connection, version, kind, [key])
    assert (row["error_code"], row["node_id"]) == (code, -1)
    assert row.get("error_message") or version == 0


# ---- InitProducerId ----


@pytest.mark.parametrize("version", range(6))
def test_every_version_gives_a_fresh_id(connection, version):
    ids = set()
    for _ in range(3):
        body = connection.request(
            "InitProducerId", version, transactional_id=None, transaction_timeout_ms=60000
        )
        assert (body["error_code"], body["producer_epoch"]) == (NONE, 0)
        ids.add(body["producer_id"])
    assert len(ids) == 3 and min(ids) >= 0


def test_producer_ids_are_never_given_twice():
    seen = []

    def take(broker, count):
        with broker.connect() as one, broker.connect() as other:
            for connection in (one, other):
                for _ in range(count):
                    connection.send(
                        "InitProducerId", 1, transactional_id=None, transaction_timeout_ms=1000
                    )
                seen.extend(connection.receive()[1]["producer_id"] for _ in range(count))

    with Broker() as broker:
        take(broker, 700)  # past one block
        broker.restart()
        take(broker, 10)
        broker.kill()
        broker.start()
        take(broker, 10)
    assert len(seen) == len(set(seen)) and min(seen) >= 0
