"""Settings that change while the broker runs: what SIGHUP has it read again."""

import signal

import pytest

from harness import Broker, eventually


class Reloaded:
    """A broker with a configuration file, and what a reload makes of it."""

    def __init__(self, folder, text="", **options):
        self.file = folder / "sluice.conf"
        self.file.write_text(text)
        self.broker = Broker(data=folder / "data", args=["--config", str(self.file)], **options)

    def write(self, text, piece=None):
        if piece is None:
            self.file.write_text(text)
            return
        (self.file.parent / "conf.d").mkdir(exist_ok=True)
        (self.file.parent / "conf.d" / piece).write_text(text)

    def reload(self):
        """What the log says of it."""
        before = len(self.broker.log())
        self.broker.process.send_signal(signal.SIGHUP)

        def over():
            text = self.broker.log()[before:]
            return text if "config: reloaded" in text or "config: not reloaded" in text else None

        return eventually("the end of the reload", over)

    def __enter__(self):
        self.broker.__enter__()
        return self

    def __exit__(self, *what):
        return self.broker.__exit__(*what)


def partitions_of_new(connection, topic):
    [answer] = connection.request(
        "CreateTopics",
        7,
        topics=[{"name": topic, "num_partitions": -1, "replication_factor": -1}],
        timeout_ms=10000,
    )["topics"]
    assert answer["error_code"] == 0, answer
    return answer["num_partitions"]


def setting_of(connection, topic, name):
    [answer] = connection.request(
        "DescribeConfigs",
        4,
        resources=[{"resource_type": 2, "resource_name": topic, "configuration_keys": [name]}],
    )["results"]
    [row] = answer["configs"]
    return row["value"]


def test_what_needs_no_restart_holds_after_a_reload(tmp_path):
    with Reloaded(tmp_path, "num.partitions = 2\n") as r, r.broker.connect() as connection:
        assert partitions_of_new(connection, "before") == 2
        assert setting_of(connection, "before", "retention.ms") == "604800000"
        r.write("num.partitions = 3\nlog.retention.ms = 1h\nconnections.max.idle.ms = 1h\n")
        r.write("num.partitions = 4\n", piece="10-more.conf")
        log = r.reload()
        assert "changed num.partitions = 4 (was 2)" in log
        assert "changed log.retention.ms = 1h (was 7d)" in log
        assert partitions_of_new(connection, "after") == 4
        assert setting_of(connection, "before", "retention.ms") == "3600000"
        r.write("")
        assert "changed log.retention.ms = 7d (was 1h)" in r.reload()
        assert setting_of(connection, "before", "retention.ms") == "604800000"
        assert partitions_of_new(connection, "last") == 4


def test_what_needs_a_restart_is_named_and_stays(tmp_path):
    with Reloaded(tmp_path) as r:
        r.write("log.buffer.bytes = 64MiB\nnum.partitions = 5\nshutdown.drain.ms = 1s\n")
        for _ in range(2):
            log = r.reload()
            assert (
                "warn config: log.buffer.bytes = 64MiB needs a restart; until then it is 512MiB"
                in log
            )
        with r.broker.connect() as connection:
            assert partitions_of_new(connection, "t") == 5
        r.broker.restart()
        assert "log.buffer.bytes = 64MiB" in r.broker.log()
        assert "needs a restart" not in r.reload()


def test_a_bad_file_changes_nothing_and_says_why(tmp_path):
    with Reloaded(tmp_path, "num.partitions = 2\n") as r, r.broker.connect() as connection:
        r.write("num.partitions = 3\n")
        r.write("log.retention.ms = 1h\nnum.partitons = 4\n", piece="10-more.conf")
        log = r.reload()
        assert "not reloaded, everything stays as it was" in log
        assert '10-more.conf:2: no setting is called "num.partitons"' in log
        assert "changed" not in log
        assert partitions_of_new(connection, "t") == 2
        assert setting_of(connection, "t", "retention.ms") == "604800000"
        r.write("", piece="10-more.conf")
        assert "changed num.partitions = 3" in r.reload()


def test_levels_of_the_log_change_at_run_time(tmp_path):
    with Reloaded(tmp_path, "log.level = info,catalog=error\n") as r, r.broker.connect() as c:
        c.create_topic_if_missing("quiet")
        r.write("log.level = info,control=warn\n")
        r.reload()
        c.create_topic_if_missing("told")
        assert "info catalog: topic created name=told" in r.broker.log()
        assert "info catalog: topic created name=quiet" not in r.broker.log()


def test_limits_of_the_shards_change_at_run_time(tmp_path):
    with Reloaded(tmp_path, "max.connections = 1\n", shards=1) as r:
        with r.broker.connect() as first:
            first.create_topic_if_missing("t")
            with r.broker.connect() as second, pytest.raises((ConnectionError, AssertionError)):
                second.create_topic_if_missing("t")
            r.write("max.connections = 2\n")
            r.reload()
            with r.broker.connect() as second:
                second.create_topic_if_missing("t")


def test_many_reloads_under_load_lose_nothing(tmp_path):
    with Reloaded(tmp_path) as r, r.broker.connect() as connection:
        connection.create_topic_if_missing("t")
        for i in range(20):
            r.write(f"log.retention.ms = {i + 1}h\n")
            r.broker.process.send_signal(signal.SIGHUP)
            assert connection.produce("t", 0, [b"%d" % i]) == i
        r.reload()
        assert setting_of(connection, "t", "retention.ms") == str(20 * 3600000)


def test_settings_of_groups_follow_a_reload(tmp_path):
    with Reloaded(tmp_path) as r, r.broker.connect() as connection:

        def join(session_ms):
            return connection.request(
                "JoinGroup",
                4,
                group_id="g",
                session_timeout_ms=session_ms,
                rebalance_timeout_ms=1000,
                member_id="",
                protocol_type="consumer",
                protocols=[{"name": "range", "metadata": b""}],
            )["error_code"]

        eventually("a coordinator", lambda: join(100) not in (14, 15, 16))
        assert join(100) == 26  # INVALID_SESSION_TIMEOUT
        r.write("group.min.session.timeout.ms = 50ms\n")
        r.reload()
        eventually("the new least session", lambda: join(100) == 79)  # MEMBER_ID_REQUIRED
