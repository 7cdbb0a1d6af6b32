"""A group's world: a broker, members of several libraries and producers as processes, their logs,
and the checker's word on them in the end.

    with World(tmp_path, broker, topics=["t"], partitions=4) as world:
        producer = world.producer("p")
        a = world.member(libraries.CONFLUENT, "a", "g")
        world.wait_shared("g", [a])
        ...
        world.judge()
"""
import collections
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import harness
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(harness.ROOT / "tests/history"))
MEMBERS = pathlib.Path(__file__).parent / "members"
sys.path.insert(0, str(MEMBERS))
import checker  # noqa: E402
import group_libraries as libraries  # noqa: E402
from event_log import EventLog, RecordLog, seen_event  # noqa: E402

# Members that are killed are missed soon, which takes most of the time of these tests.
SESSION_MS = 1500
SETTINGS = {"group.min.session.timeout.ms": "1000",
            "group.consumer.session.timeout.ms": "2000",
            "group.consumer.heartbeat.interval.ms": "200"}
SHARE_SECONDS = 60
ANSWER_SECONDS = 30
LEAVE_SECONDS = 30
READ_SECONDS = 120


class Tail:
    """What a log says so far; every call of `update` reads on."""

    def __init__(self, path):
        self.path, self.at, self.rest = path, 0, b""
        self.generation, self.owned = None, frozenset()
        self.rebalances = 0
        self.given = set()  # (topic, partition, offset)
        self.acked = set()
        self.transactions = collections.Counter()  # by how they ended

    def update(self):
        if not self.path.exists():
            return self
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
        self.at += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.take(json.loads(line))
        return self

    def take(self, event):
        kind = event["event"]
        if kind == "owns":
            self.rebalances += 1
            self.generation = event["generation"]
            self.owned = frozenset(map(tuple, event["partitions"]))
        elif kind == "fetched":
            self.given.update((event["topic"], event["partition"], record[0])
                              for record in event["records"])
        elif kind == "acked":
            self.acked.add(event["id"])
        elif kind == "ended":
            self.transactions[event["result"]] += 1


def told(event):
    """An event in few words."""
    kind = event["event"]
    if kind == "fetched":
        offsets = [record[0] for record in event["records"]]
        return f"given {event['topic']}/{event['partition']} {offsets[0]}..{offsets[-1]}"
    if kind == "owns":
        return f"owns {event['partitions']} in {event['generation']}, as {event['member']}"
    if kind == "committed":
        return f"commits {event['offsets']} in {event['generation']}: {event['result']}"
    if kind == "seen":
        return f"sees {event['offsets']}"
    return json.dumps(event, separators=(",", ":"))


def course(logs):
    """What the members were given, saw and committed, for whoever has to explain a violation."""
    lines = []
    for log in logs:
        lines.append(f"{log.stem}:")
        with open(log, encoding="utf-8") as file:
            lines.extend(f"  {told(json.loads(line))}" for line in file)
    return "\n".join(lines)


class Client:
    """A process of a driver, in a process group of its own."""

    def __init__(self, name, library, words, log):
        self.name, self.library, self.log = name, library, log
        self.tail = Tail(log)
        self.errors = log.with_suffix(".err")
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [*library.command(), *words], stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors, env={**os.environ, **library.environment()},
                start_new_session=True)

    def alive(self):
        return self.process.poll() is None

    def check_alive(self):
        if not self.alive():
            code = self.process.returncode
            raise AssertionError(f"{self.name} ended with {code}:\n{self.said()}")

    def said(self):
        return self.errors.read_text(errors="replace")[-4000:]

    def kill(self):
        """kill -9, of what it has started too."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def pause(self):
        if self.alive():
            os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        if self.alive():
            os.killpg(self.process.pid, signal.SIGCONT)

    def leave(self, seconds=LEAVE_SECONDS, codes=(0,)):
        # Its first line says that it has begun to heed signals.
        harness.eventually(f"{self.name} has begun", lambda: (
            self.check_alive(), self.log.exists() and self.log.stat().st_size)[1], seconds)
        self.process.terminate()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} does not end:\n{self.said()}") from None
        assert code in codes, f"{self.name} ended with {code}:\n{self.said()}"


class World:
    unread_topics = ()  # where records may go before anybody has read them

    def __init__(self, folder, broker, topics=("t",), partitions=4, configs=None):
        self.folder, self.broker = pathlib.Path(folder), broker
        self.topics, self.partitions = list(topics), partitions
        self.configs = configs or {}
        self.clients, self.producers, self.groups = [], [], {}
        self.harness = EventLog(self.folder / "harness.jsonl")

    def __enter__(self):
        self.create_topics(self.topics)
        return self

    def create_topics(self, names):
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        wanted = [NewTopic(topic, self.partitions, 1, config=self.configs) for topic in names]
        for future in admin.create_topics(wanted).values():
            future.result(ANSWER_SECONDS)

    def __exit__(self, kind, *_):
        for client in self.clients + self.producers:
            client.kill()
            if kind is not None and client.said():
                print(f"---- {client.name} said ----\n{client.said()}")
        if kind is not None:
            print(f"---- logs are in {self.folder} ----")

    @property
    def places(self):
        return {(topic, number) for topic in self.topics for number in range(self.partitions)}

    # ---- clients ----

    def member(self, library, name, group, **options):
        """Starts one; `options` are those of the drivers, see members/event_log.py."""
        log = self.folder / f"{name}.jsonl"
        words = ["--brokers", self.broker.address, "--group", group, "--name", name, "--log",
                 str(log), "--topics", ",".join(self.topics)]
        for option, value in {"session_ms": SESSION_MS, **library.options, **options}.items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        client = Client(name, library, words, log)
        self.clients.append(client)
        self.groups.setdefault(group, []).append(client)
        return client

    def producer(self, name, rate=500, library=libraries.CONFLUENT_PRODUCER, address=None,
                 topics=None, flags=(), **options):
        """`address`: of a proxy before the broker; `options` and `flags`: more of those of
        members/producer.py, most of which CONFLUENT_PRODUCER alone knows."""
        log = self.folder / f"{name}.jsonl"
        words = ["--brokers", address or self.broker.address, "--name", name, "--log", str(log),
                 "--topics", ",".join(topics or self.topics), "--partitions", str(self.partitions),
                 "--rate", str(rate), *flags]
        for option, value in options.items():
            words += [f"--{option.replace('_', '-')}", str(value)]
        client = Client(name, library, words, log)
        self.producers.append(client)
        return client

    def kill(self, client):
        self.harness.write({"event": "killed", "client": client.name})
        client.kill()

    def kill_broker(self):
        self.broker.check_alive()
        self.harness.write({"event": "broker", "what": "killed"})
        self.broker.kill()

    def start_broker(self):
        self.broker.start()
        self.harness.write({"event": "broker", "what": "started"})

    # ---- waiting ----

    def living(self, group):
        return [each for each in self.groups[group] if each.alive()]

    def check_alive(self, clients):
        self.broker.check_alive()
        for each in clients:
            each.check_alive()

    def wait(self, what, clients, condition, seconds=SHARE_SECONDS):
        def met():
            self.check_alive(clients)
            for each in clients:
                each.tail.update()
            return condition()

        try:
            harness.eventually(what, met, seconds, every=0.05)
        except AssertionError as error:
            state = "\n".join(f"{each.name}: generation {each.tail.generation} owns "
                              f"{sorted(each.tail.owned)}, was given {len(each.tail.given)}"
                              for each in clients)
            raise AssertionError(f"{error}\n{state}") from None

    def wait_shared(self, group, members, seconds=SHARE_SECONDS):
        """Each partition has one owner among these, and each of them has one at least."""
        def shared():
            owned = [place for each in members for place in each.tail.owned]
            return (len(owned) == len(set(owned)) and set(owned) == self.places
                    and all(each.tail.owned for each in members))

        self.wait(f"{group} is shared by {[each.name for each in members]}", members, shared,
                  seconds)

    def wait_given(self, members, count=100, seconds=SHARE_SECONDS):
        """Each is given that many records from now on."""
        before = {each: len(each.tail.update().given) for each in members}
        self.wait(f"{count} records for {[each.name for each in members]}", members,
                  lambda: all(len(each.tail.given) >= before[each] + count for each in members),
                  seconds)

    def stop_producers(self):
        for each in self.producers:
            if each.alive():
                each.leave(SHARE_SECONDS)

    def ends(self):
        """The high watermark of each partition."""
        with self.broker.connect() as connection:
            return {place: connection.list_offset(*place, -1)["offset"] for place in self.places}

    def wait_drained(self, seconds=SHARE_SECONDS):
        """Every group is given every record; who lives and does not go on is found by the
        checker."""
        ends = {place: end for place, end in self.ends().items() if end}
        for group, members in self.groups.items():
            wanted = {(*place, end - 1) for place, end in ends.items()}
            if all(each.library.commits for each in members):
                wanted = {(*place, at) for place, end in ends.items() for at in range(end)}

            def drained(members=members, wanted=wanted):
                return wanted <= set().union(*(each.tail.update().given for each in members))

            self.wait(f"{group} is given its {len(wanted)} records", self.living(group), drained,
                      seconds)

    # ---- the end ----

    def calm(self, seconds):
        """Faults have ended: who lives makes progress within that time."""
        living = [each for each in self.clients + self.producers if each.alive()]
        sizes = {each.log.name: each.log.stat().st_size for each in living if each.log.exists()}
        self.harness.write({"event": "calm", "seconds": seconds, "logs": sizes})
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check_alive(living)
            time.sleep(0.2)

    def judge(self):
        """Stops everything, reads all that there is, and asks the checker."""
        self.stop_producers()
        self.wait_drained()
        self.harness.write({"event": "over"})
        for group in self.groups:
            for each in self.living(group):
                each.leave()
        self.read_all()
        history, found, unread = checker.judge([self.folder])
        text = "\n".join(map(str, found[:20]))
        assert not found, (f"{checker.summary(history, found, unread)}\n{text}\n"
                           f"{course([each.log for each in self.clients])}")
        unread = {place: count for place, count in unread.items()
                  if place.rpartition("/")[0] not in self.unread_topics}
        assert not unread, f"nobody has read these: {unread}"
        return history

    def read_all(self):
        """What is stored and committed in the end, by a reader that is in no group."""
        log = RecordLog(self.folder / "reader.jsonl")
        log.write({"event": "start", "client": "reader"})
        ends = self.ends()
        read_to_the_ends(self.broker.address, log, ends)
        for group in self.groups:
            log.write(seen_event(group, committed(self.broker.address, group, ends), final=True))


def read_to_the_ends(address, log, ends, isolation="read_uncommitted"):
    """An end may lie behind what is no record: that it has come there is told by events."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader",
                         "isolation.level": isolation, "enable.partition.eof": True,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    positions = {place: 0 for place in ends}
    consumer.assign([TopicPartition(*place, 0) for place in ends])
    log.write(*({"event": "position", "topic": topic, "partition": partition, "offset": 0}
                for topic, partition in ends))
    deadline = time.monotonic() + READ_SECONDS
    while any(positions[place] < end for place, end in ends.items()):
        assert time.monotonic() < deadline, f"read up to {positions} of {ends}"
        for each in consumer.consume(1000, timeout=1):
            if each.error() and each.error().code() == KafkaError._PARTITION_EOF:
                positions[each.topic(), each.partition()] = each.offset()
                continue
            assert not each.error(), each.error()
            log.take(each.topic(), each.partition(), each.offset(), each.key(), each.value())
        log.flush()
    consumer.close()
    log.write(*({"event": "end", "topic": topic, "partition": partition, "offset": end,
                 "final": True} for (topic, partition), end in ends.items()))


def committed(address, group, places):
    consumer = Consumer({"bootstrap.servers": address, "group.id": group,
                         "isolation.level": "read_committed"})
    found = consumer.committed([TopicPartition(*place) for place in places],
                               timeout=ANSWER_SECONDS)
    consumer.close()
    assert not [each.error for each in found if each.error]
    return [(each.topic, each.partition, each.offset) for each in found]
