"""Share groups with the Java client as it comes: several members on one partition, one that crashes,
a broker that does.

What was acknowledged is never given again; everything else is, to whoever is there.
"""
import signal
import subprocess

import harness
import pytest
from java_jars import JAVA

READ_SECONDS = 60
END_SECONDS = 30


class Member:
    def __init__(self, class_path, folder, name, broker, group, topic, mode="accept"):
        self.path = folder / name
        self.errors = folder / f"{name}.err"
        with open(self.path, "wb") as said, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [*JAVA, class_path, "ShareMember", broker.address, group, topic, mode],
                stdin=subprocess.DEVNULL, stdout=said, stderr=errors)

    def _lines(self, what):
        whole = self.path.read_text().rpartition("\n")[0]
        return [line.split() for line in whole.splitlines() if line.startswith(what + " ")]

    def given(self):
        """Offset and delivery count, in order."""
        return [(int(line[1]), int(line[2])) for line in self._lines("given")]

    def holds(self):
        """It has said of all that it holds that it was given it."""
        return bool(self._lines("holding"))

    def acked(self):
        return [int(line[1]) for line in self._lines("acked")]

    def refused(self):
        """Told that it failed; a broker that crashed may have kept it all the same."""
        return [int(line[1]) for line in self._lines("refused")]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def leave(self):
        harness.eventually("a member has started", lambda: "started\n" in self.path.read_text(),
                           END_SECONDS)
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(END_SECONDS) == 0, self.errors.read_text()


@pytest.fixture
def start(class_path, tmp_path):
    members = []

    def begin(*arguments):
        members.append(Member(class_path, tmp_path, f"member-{len(members)}", *arguments))
        return members[-1]

    yield begin
    for member in members:
        member.kill()


def produce(broker, topic, count):
    with broker.connect() as connection:
        for i in range(count):
            connection.produce(topic, 0, [b"record-%d" % i])


def acked_by(members):
    return sorted(offset for member in members for offset in member.acked())


def wait_acked(members, count):
    harness.eventually(f"{count} records acknowledged",
                       lambda: len(set(acked_by(members))) >= count, READ_SECONDS, every=0.1)


def test_three_members_process_each_record_once(broker, topic, start):
    with broker.connect() as connection:
        connection.create_topic(topic, 1)
    members = [start(broker, "three", topic) for _ in range(3)]
    produce(broker, topic, 600)
    wait_acked(members, 600)
    for member in members:
        member.leave()
    assert acked_by(members) == list(range(600))
    assert sorted(offset for member in members for offset, _ in member.given()) == list(range(600))


def test_records_of_a_member_that_crashes_go_to_others(broker, topic, start):
    with broker.connect() as connection:
        connection.create_topic(topic, 1)
    produce(broker, topic, 50)
    victim = start(broker, "crash", topic, "hold")
    harness.eventually("records given to the victim", victim.holds, READ_SECONDS)
    others = [start(broker, "crash", topic) for _ in range(2)]
    held = {offset for offset, _ in victim.given()}
    # It may have fetched more than it was given: what is left to others now is unknown.
    assert not held & set(acked_by(others))
    victim.kill()
    wait_acked(others, 50)
    again = dict(each for member in others for each in member.given())
    assert all(again[offset] == 2 for offset in held)
    for member in others:
        member.leave()


def test_what_was_acknowledged_outlives_the_broker(topic, start):
    with harness.Broker() as broker:
        with broker.connect() as connection:
            connection.create_topic(topic, 1)
        members = [start(broker, "restart", topic) for _ in range(2)]
        produce(broker, topic, 200)
        wait_acked(members, 100)
        broker.kill()
        before = {offset for member in members for offset in member.acked()}
        counts = [len(member.given()) for member in members]
        broker.start()
        produce(broker, topic, 200)
        everything = set(range(400))
        harness.eventually("all records done with", lambda: everything == {
            offset for member in members for offset in member.acked() + member.refused()
        }, READ_SECONDS, every=0.1)
        for member, count in zip(members, counts):
            assert not before & {offset for offset, _ in member.given()[count:]}
