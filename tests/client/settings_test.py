"""`sluice config`: settings explained and files checked without a broker; read and changed on one."""
import json
import subprocess

import pytest
from sluice_process import SECONDS, program

NOBODY = "127.0.0.1:1"


def offline(*words, code=0):
    done = subprocess.run([program(), "config", *map(str, words)], capture_output=True,
                          timeout=SECONDS, check=False, text=True)
    assert done.returncode == code, done
    return done


def explained(*keys):
    return json.loads(offline("explain", *keys, "-o", "json").stdout)


def test_settings_are_explained_without_a_broker():
    broker, topic, group = explained("log.retention.ms", "retention.ms", "share.session.timeout.ms")
    assert (broker["of"], broker["default"], broker["change"]) == ("broker", "7d", "at once")
    assert broker["variable"] == "SLUICE_LOG_RETENTION_MS"
    assert (topic["of"], topic["default_from"]) == ("topic", "log.retention.ms")
    assert (group["of"], group["default"]) == ("group", "45s")
    [listen] = explained("listen")
    assert listen["change"] == "after a restart"
    lines = offline("explain", "num.partitions").stdout.splitlines()
    assert ["VALID", "number,", "1", "to", "10000"] in [line.split() for line in lines]


def test_every_setting_is_explained():
    settings = explained()
    assert {s["of"] for s in settings} == {"broker", "topic", "group"}
    assert len(settings) > 100
    assert all(s["name"] and s["valid"] and s["help"] for s in settings)


def test_an_unknown_setting_is_answered_with_the_nearest_of_all_tables():
    for wrong, nearest in (("num.partitons", "num.partitions"), ("retention.m", "retention.ms"),
                           ("share.auto.ofset.reset", "share.auto.offset.reset")):
        assert f"did you mean '{nearest}'?" in offline("explain", wrong, code=2).stderr


def test_lint_names_file_line_and_what_is_meant(tmp_path):
    file = tmp_path / "sluice.conf"
    file.write_text("listen = 127.0.0.1:9092\nnum.partitions = 3\n")
    assert offline("lint", file).stdout == ""
    assert json.loads(offline("lint", file, "-o", "json").stdout) == []
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "60-host.conf").write_text("shards = some\n")
    file.write_text("lisen = 127.0.0.1:9092\nretention.ms = 5\n")
    problems = json.loads(offline("lint", file, "-o", "json", code=1).stdout)
    assert [(p["file"], p["line"]) for p in problems] == [
        (str(file), 1), (str(file), 2), (str(tmp_path / "conf.d" / "60-host.conf"), 1)]
    assert 'did you mean "listen"' in problems[0]["problem"]
    assert '"log.retention.ms"' in problems[1]["problem"]
    assert "number, 0 to 126" in problems[2]["problem"]
    missing = offline("lint", tmp_path / "gone.conf", code=1).stdout
    assert "gone.conf" in missing and "No such file" in missing


def test_a_brokers_settings_are_read_changed_and_put_back(sluice):
    def get(*words):
        return {s["name"]: s for s in json.loads(sluice.run("config", "get", *words, "-o", "json"))}

    before = get()
    assert before["group.max.size"]["source"] == "default" and before["listen"]["read_only"] is True
    sluice.run("config", "set", "group.max.size=3", "log.retention.ms=1d")
    try:
        changed = get("--changed")
        assert (changed["group.max.size"]["value"], changed["group.max.size"]["source"]) == (
            "3", "broker")
        assert changed["log.retention.ms"]["value"] == "86400000"
        assert changed["listen"]["source"] == "file" and "group.max.groups" not in changed
        sluice.run("config", "set", "log.retention.ms=2d", "group.max.groups=5", "--broker", "all")
        assert list(get("--broker", "all")) == ["group.max.groups", "log.retention.ms"]
        assert get("log.retention.ms", "--broker", "1")["log.retention.ms"]["value"] == "86400000"
        assert get("group.max.groups")["group.max.groups"]["source"] == "cluster"
    finally:
        sluice.run("config", "set", "group.max.size=", "log.retention.ms=")
        sluice.run("config", "set", "log.retention.ms=", "group.max.groups=", "--broker", "all")
    assert get() == before


def test_settings_of_topics_and_groups(sluice, topic):
    sluice.run("topic", "create", topic)
    sluice.run("config", "set", "retention.ms=1h", "--topic", topic)
    lines = sluice.lines("config", "get", "retention.ms", "segment.bytes", "--topic", topic)
    assert [line.split() for line in lines] == [
        ["SETTING", "VALUE", "FROM"], ["retention.ms", "3600000", "topic"],
        ["segment.bytes", "1073741824", "default"]]
    sluice.run("config", "set", "share.auto.offset.reset=earliest", "--group", f"g-{topic}")
    assert ["share.auto.offset.reset", "earliest", "group"] in [
        line.split() for line in sluice.lines("config", "get", "--group", f"g-{topic}")]


@pytest.mark.parametrize("words, code, says", [
    (("set", "num.partitions"), 2, "KEY=VALUE"),
    (("set", "shards=4"), 1, "configuration file"),
    (("set", "num.partitons=4"), 1, "did you mean"),
    (("set", "num.partitions=0"), 1, "1 to 10000"),
    (("set", "num.partitions=2", "--broker", "7"), 1, ""),
    (("get", "no.such"), 1, "no.such"),
    (("get", "--topic", "a", "--group", "b"), 2, "exclude one another"),
    (("get", "--topic", "not-there"), 1, ""),
])
def test_what_is_wrong_is_said(sluice, words, code, says):
    sluice.run("config", *words, code=code)
    assert says in sluice.errors and sluice.errors
