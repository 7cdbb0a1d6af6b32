"""/v1: topics, their partitions and their records."""

import base64
import time

import pytest

from http_client import HttpBroker

BEGUN_MS = time.time_ns() // 1_000_000  # retention takes what is old


@pytest.fixture(scope="module")
def broker():
    with HttpBroker() as it:
        yield it


def create(broker, name, partitions=1, **settings):
    body = {"name": name, "partitions": partitions, "settings": settings}
    return broker.api("POST", "/v1/topics", body, 201)


def produce(broker, topic, *messages):
    rows = broker.api("POST", f"/v1/topics/{topic}/messages", {"messages": list(messages)})
    assert not any(row["error"] for row in rows["messages"]), rows
    return rows["messages"]


def pages(broker, target, list_name):
    """The entries of every page."""
    entries, after = [], ""
    while after is not None:
        page = broker.get(f"{target}{after}")
        entries += page[list_name]
        after = page["next"] and f"&after={page['next']}"
    return entries


def setting(topic, name):
    return next(row for row in topic["settings"] if row["name"] == name)


def test_the_document_describes_every_operation(broker):
    names = [
        operation["operationId"]
        for path in broker.document["paths"].values()
        for operation in path.values()
    ]
    assert len(names) == len(set(names)) > 10
    for name in ("Topics", "Problem", "Messages"):
        assert name in broker.document["components"]["schemas"]


def test_the_cluster_and_its_brokers_are_told(broker):
    cluster = broker.get("/v1/cluster")
    assert (cluster["port"], cluster["ready"], cluster["shards"]) == (broker.port, True, 2)
    [row] = broker.get("/v1/brokers")["brokers"]
    assert row["port"] == broker.port and row["controller"]


@pytest.mark.tsan
def test_a_topic_is_made_changed_and_deleted(broker):
    made = create(broker, "life", 2, **{"retention.ms": "60000"})
    assert made["partitions"] == 2
    assert setting(made, "retention.ms")["value"] == "60000"
    change = {"partitions": 3, "settings": {"retention.ms": None, "segment.ms": "90000"}}
    changed = broker.api("PATCH", "/v1/topics/life", change)
    assert (changed["id"], changed["partitions"]) == (made["id"], 3)
    assert setting(changed, "retention.ms")["source"] == "default"
    assert setting(changed, "segment.ms")["value"] == "90000"
    assert broker.get("/v1/topics/life") == changed
    broker.api("DELETE", "/v1/topics/life", status=204)
    assert broker.api("GET", "/v1/topics/life", status=404)["error"] == "UNKNOWN_TOPIC_OR_PARTITION"


@pytest.mark.parametrize(
    "method, target, body, status",
    [
        ("POST", "/v1/topics", {"name": "no/topic"}, 400),
        ("POST", "/v1/topics", {"name": "t", "partitions": 0}, 400),
        ("POST", "/v1/topics", {"name": "t", "partitions": "2"}, 400),
        ("POST", "/v1/topics", {"name": "t", "settings": {"retention.mss": "1"}}, 400),
        ("POST", "/v1/topics", {"name": "t", "settings": {"retention.ms": 1}}, 400),
        ("POST", "/v1/topics", {"name": "t", "settings": []}, 400),
        ("POST", "/v1/topics", {"name": "t", "colour": "blue"}, 400),
        ("POST", "/v1/topics", {}, 400),
        ("POST", "/v1/topics", b"{", 400),
        ("POST", "/v1/topics", b"[]", 400),
        ("POST", "/v1/topics", b"", 400),
        ("POST", "/v1/topics", b'{"name":"t","name":"u"}', 400),
        pytest.param("POST", "/v1/topics", b"[" * 100_000, 400, id="deep"),
        ("PATCH", "/v1/topics/absent", {"partitions": 2}, 404),
        ("DELETE", "/v1/topics/absent", None, 404),
        ("GET", "/v1/topics?limit=0", None, 400),
        ("GET", "/v1/topics?limit=1001", None, 400),
        ("GET", "/v1/topics?limit=many", None, 400),
        ("GET", "/v1/topics?internal=maybe", None, 400),
        ("GET", "/v1/topics?limit=1&limit=2", None, 400),
        ("GET", "/v1/topics/absent/partitions", None, 404),
        ("GET", "/v1/topics/absent/messages", None, 404),
        ("POST", "/v1/topics/absent/messages", {"messages": [{"value": "x"}]}, 404),
    ],
)
def test_a_bad_request_changes_nothing_and_says_why(broker, method, target, body, status):
    before = broker.get("/v1/cluster")["topics"]
    headers = {"Content-Type": "application/json"} if body is not None else {}
    found, _, problem = broker.http(method, target, body, headers)
    assert (found, problem["status"]) == (status, status) and problem["detail"]
    assert broker.get("/v1/cluster")["topics"] == before


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/json", "Origin": "http://evil.example"}, 403),
        ({"Content-Type": "application/json", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "application/json", "Host": "evil.example"}, 421),
    ],
)
def test_a_page_of_another_origin_cannot_change_anything(broker, headers, status):
    found, _, _ = broker.http("POST", "/v1/topics", b'{"name":"theirs"}', headers)
    assert found == status
    broker.api("GET", "/v1/topics/theirs", status=404)
    origin = {"Origin": "http://evil.example"}
    create(broker, "ours")
    assert broker.http("DELETE", "/v1/topics/ours", headers=origin)[0] == 403
    broker.api("DELETE", "/v1/topics/ours", status=204)


def test_topics_are_paged_and_searched():
    with HttpBroker() as broker:
        names = sorted(f"page-{index}" for index in range(7)) + ["Other"]
        for name in names:
            create(broker, name)
        found = pages(broker, "/v1/topics?limit=3", "topics")
        assert [row["name"] for row in found] == sorted(names)
        found = pages(broker, "/v1/topics?limit=2&search=PAGE", "topics")
        assert [row["name"] for row in found] == sorted(names)[1:]
        page = broker.get("/v1/topics?search=absent")
        assert (page["topics"], page["next"], page["total"]) == ([], None, len(names))


def test_partitions_are_paged_and_say_where_they_begin_and_end(broker):
    create(broker, "parts", 7)
    produce(broker, "parts", *({"partition": 5, "value": "x"} for _ in range(3)))
    rows = pages(broker, "/v1/topics/parts/partitions?limit=3", "partitions")
    assert [row["partition"] for row in rows] == list(range(7))
    assert [row["end"] for row in rows] == [0, 0, 0, 0, 0, 3, 0]
    assert {row["shard"] for row in rows} == {0, 1}
    assert broker.get("/v1/topics/parts/partitions?after=6")["partitions"] == []
    broker.api("GET", "/v1/topics/parts/partitions?after=x", status=400)


@pytest.mark.tsan
def test_records_come_back_as_they_were_produced(broker):
    create(broker, "kinds")
    everything = bytes(range(256))
    produce(
        broker,
        "kinds",
        {"key": "k", "value": "grün", "headers": [{"name": "h", "value": "v"}]},
        {"value": {"base64": base64.b64encode(everything).decode()}, "timestamp_ms": BEGUN_MS},
        {"key": {"text": ""}, "value": None},
    )
    page = broker.get("/v1/topics/kinds/messages?from=0")
    one, two, three = page["messages"]
    assert (one["key"]["text"], one["value"]["text"], one["value"]["bytes"]) == ("k", "grün", 5)
    assert one["headers"][0]["name"] == "h" and one["headers"][0]["value"]["text"] == "v"
    assert base64.b64decode(two["value"]["base64"]) == everything and two["key"] is None
    assert two["timestamp_ms"] == BEGUN_MS
    assert (three["key"]["text"], three["value"]) == ("", None)
    assert (page["start"], page["end"], page["next"]) == (0, 3, None)
    cut = broker.get("/v1/topics/kinds/messages?from=0&value_bytes=3")["messages"][0]["value"]
    assert cut == {"text": "gr", "bytes": 5, "cut": True}  # not half a letter


def test_records_are_read_from_an_offset_the_end_or_a_time(broker):
    create(broker, "places")
    produce(
        broker, "places", *({"value": f"{i}", "timestamp_ms": BEGUN_MS + i} for i in range(10))
    )

    def values(query):
        page = broker.get(f"/v1/topics/places/messages?{query}")
        return "".join(row["value"]["text"] for row in page["messages"]), page["next"]

    assert values("from=4") == ("456789", None)
    assert values("from=-3") == ("789", None)
    assert values("from=-300") == ("0123456789", None)
    assert values(f"from=@{BEGUN_MS + 6}") == ("6789", None)
    assert values(f"from=@{BEGUN_MS + 1_000_000}") == ("", None)
    assert values("from=99") == ("", None)
    assert values("from=2&limit=3") == ("234", "5")
    for place in ("x", "-", "@", "--1", "1x", "99999999999999999999"):
        broker.api("GET", f"/v1/topics/places/messages?from={place}", status=400)
    broker.api("GET", "/v1/topics/places/messages?partition=7", status=404)


def test_a_partition_is_trimmed(broker):
    create(broker, "trimmed", 2)
    produce(broker, "trimmed", *({"partition": 0, "value": "x"} for _ in range(5)))
    body = {"partitions": [{"partition": 0, "offset": 3}, {"partition": 9, "offset": 0}]}
    good, bad = broker.api("POST", "/v1/topics/trimmed/trim", body)["partitions"]
    assert good == {"partition": 0, "start": 3, "error": None}
    assert bad["error"] == "UNKNOWN_TOPIC_OR_PARTITION"
    page = broker.get("/v1/topics/trimmed/messages?from=0")
    assert [row["offset"] for row in page["messages"]] == [3, 4] and page["start"] == 3
    for wrong in ([], [{"partition": 0}], [{"partition": 0, "offset": -2}], [0], {}):
        broker.api("POST", "/v1/topics/trimmed/trim", {"partitions": wrong}, 400)


def test_a_search_finds_by_key_and_text_and_goes_on_where_it_stopped(broker):
    create(broker, "search")
    for start in range(0, 200, 100):
        messages = [{"key": f"k{i % 5}", "value": f"number {i}"} for i in range(start, start + 100)]
        produce(broker, "search", *messages)
    page = broker.get("/v1/topics/search/messages?from=0&key=k3&limit=1000")
    assert [row["offset"] for row in page["messages"]] == list(range(3, 200, 5))
    assert page["scanned_records"] == 200
    page = broker.get("/v1/topics/search/messages?from=0&contains=number%2019")
    assert [row["offset"] for row in page["messages"]] == [19, *range(190, 200)]
    found, begin = [], "0"
    while begin is not None:
        page = broker.get(f"/v1/topics/search/messages?from={begin}&key=k1&limit=7")
        found += [row["offset"] for row in page["messages"]]
        begin = page["next"]
    assert found == list(range(1, 200, 5))


def test_a_search_reads_a_bounded_part_of_a_large_log(broker):
    create(broker, "large")
    with broker.connect() as connection:
        for _ in range(40):
            connection.produce("large", 0, [b"x" * 1_000_000])
    page = broker.get("/v1/topics/large/messages?from=0&contains=absent")
    assert page["messages"] == [] and page["next"] is not None
    assert page["scanned_bytes"] < 34 << 20
    page = broker.get(f"/v1/topics/large/messages?from={page['next']}&contains=absent")
    assert page["next"] is None
    # What is shown is bounded too.
    page = broker.get("/v1/topics/large/messages?from=0&value_bytes=1000000")
    assert 0 < len(page["messages"]) < 10 and page["next"] is not None


@pytest.mark.parametrize(
    "message",
    [
        {"value": 1},
        {"value": {"base64": "???"}},
        {"value": {"base64": "abc"}},
        {"value": {}},
        {"key": ["k"], "value": "v"},
        {"value": "v", "headers": [{"name": "h"}]},
        {"value": "v", "headers": {}},
        {"value": "v", "colour": "blue"},
        "text",
    ],
)
def test_a_message_that_is_none_is_refused_with_all_that_came_with_it(broker, message):
    name = "refuse"
    if broker.http("GET", f"/v1/topics/{name}")[0] == 404:
        create(broker, name)
    body = {"messages": [{"value": "good"}, message]}
    broker.api("POST", f"/v1/topics/{name}/messages", body, 400)
    broker.api("POST", f"/v1/topics/{name}/messages", {"messages": []}, 400)
    assert broker.get(f"/v1/topics/{name}/partitions")["partitions"][0]["end"] == 0


def test_one_message_may_fail_and_the_others_be_stored(broker):
    create(broker, "some", 1)
    body = {"messages": [{"value": "a"}, {"partition": 9, "value": "b"}]}
    good, bad = broker.api("POST", "/v1/topics/some/messages", body)["messages"]
    assert good == {"partition": 0, "offset": 0, "error": None}
    assert bad["error"] == "UNKNOWN_TOPIC_OR_PARTITION" and bad["offset"] is None
    body = {"messages": [{"partition": 9, "value": "b"}]}
    broker.api("POST", "/v1/topics/some/messages", body, 404)


def test_the_broker_finds_itself_whatever_address_clients_are_told():
    with HttpBroker(settings={"advertised.listen": "nowhere.invalid:9"}) as broker:
        create(broker, "inside")
        produce(broker, "inside", {"value": "x"})
        [row] = broker.get("/v1/topics/inside/partitions")["partitions"]
        assert row["end"] == 1 and row["error"] is None


@pytest.mark.tsan
def test_a_stop_does_not_wait_for_requests():
    with HttpBroker() as broker:
        create(broker, "last")
        produce(broker, "last", {"value": "x"})
        assert broker.stop() < 30
