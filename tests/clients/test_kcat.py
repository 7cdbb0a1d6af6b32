"""kcat as people type it; test_kcat_big_file.py has the large file."""
import json
import subprocess

import pytest


def kcat(broker, *words, text=""):
    done = subprocess.run(["kcat", "-b", broker.address, *words], input=text, capture_output=True,
                          text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_of_the_readme_work(broker):
    kcat(broker, "-P", "-t", "greetings", text="hello\n")
    assert kcat(broker, "-C", "-t", "greetings", "-e", "-q") == "hello\n"


def test_listing_names_broker_topics_and_partitions(broker, topic):
    with broker.connect() as connection:
        connection.create_topic(topic, 3)
    found = json.loads(kcat(broker, "-L", "-J"))
    assert [each["name"] for each in found["brokers"]] == [broker.address]
    [described] = [each for each in found["topics"] if each["topic"] == topic]
    leader = found["brokers"][0]["id"]
    assert [(each["partition"], each["leader"]) for each in described["partitions"]] == [
        (0, leader), (1, leader), (2, leader)]


def test_offsets_are_asked_by_time_and_read_from_the_end(broker, topic):
    kcat(broker, "-P", "-t", topic, text="".join(f"{number}\n" for number in range(10)))
    assert kcat(broker, "-Q", "-t", f"{topic}:0:-1") == f"{topic} [0] offset 10\n"
    assert kcat(broker, "-Q", "-t", f"{topic}:0:-2") == f"{topic} [0] offset 0\n"
    assert kcat(broker, "-C", "-t", topic, "-o", "-3", "-e", "-q") == "7\n8\n9\n"
    assert kcat(broker, "-C", "-t", topic, "-o", "4", "-c", "2", "-q") == "4\n5\n"


def test_keys_headers_and_nulls_come_back(broker, topic):
    kcat(broker, "-P", "-t", topic, "-K", ":", "-Z", "-H", "trace=a1", "-H", "none",
         text="key:value\nkey:\n:value\n")
    shown = kcat(broker, "-C", "-t", topic, "-e", "-q", "-J").splitlines()
    assert [(each["key"], each["payload"], each["headers"]) for each in map(json.loads, shown)] == [
        ("key", "value", ["trace", "a1", "none", None]),
        ("key", None, ["trace", "a1", "none", None]),
        (None, "value", ["trace", "a1", "none", None])]


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks_are_served(broker, topic, acks):
    kcat(broker, "-P", "-t", topic, "-X", f"acks={acks}", text="one\ntwo\n")
    assert kcat(broker, "-C", "-t", topic, "-c", "2", "-q") == "one\ntwo\n"
