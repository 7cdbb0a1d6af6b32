"""What must be on a disk, by what clients had been told, and whether it is.

`Facts` takes a recording's entries one by one: it reads requests and answers as they passed the
broker's sockets, so it knows at every point of the recording what had been asked for and what had
been answered.  `Facts.judge` compares that with a `Report` of what a start has found.
"""

import struct
import zlib
from collections import defaultdict
from typing import NamedTuple

import oplog
from messages import MESSAGES, Codec, Reader, response_body
from records import batches, values_of
from transactional import CONTROL

NAMES = {message.key: name for kind, name in MESSAGES for message in [MESSAGES[kind, name]]}
INTERNAL = {"__consumer_offsets", "__transaction_state"}
TRANSACTED = "transacted"  # the topic of all transactions
WINDOWED = "windowed"  # the topic with a dedup window
COMPACTED = "compacted"  # the topic of which the last record of each key stays
ROW = struct.Struct("<qiIII")
UNBOUNDED = 1 << 63


class Report:
    """What a start has found in a folder."""

    def __init__(self):
        self.refused = None
        self.cluster = self.run = self.producer = None
        self.topics = {}  # by id: name, partitions
        self.logs = {}  # by (id, partition): start, end, rows as bytes
        self.offsets = {}  # by group, topic, partition
        self.keyed = None  # batches of COMPACTED as bytes
        self.visible = None  # values of TRANSACTED as committed records, where it was asked
        self.wrong = []


class Stored(NamedTuple):
    """A batch but for its offset."""

    last_delta: int
    crc: int
    size: int


def stored(raw):
    return Stored(*struct.unpack(">i", raw[23:27]), *struct.unpack(">I", raw[17:21]), len(raw))


class Topic:
    def __init__(self, name, topic_id, partitions):
        self.name, self.id = name, topic_id
        self.partitions, self.partitions_max = partitions, partitions
        self.deleting = self.deleted = False


class Place:
    """A partition."""

    def __init__(self):
        self.sent = set()  # every Stored that has been sent to it
        self.kept = {}  # by base offset: what somebody relies on
        self.answered = {}  # the base offset of each Stored
        self.trimmed = 0  # answered
        self.trimming = 0  # asked for


class Streams:
    """Bytes of connections made into frames again."""

    def __init__(self):
        self.rest = defaultdict(bytes)

    def frames(self, port, data):
        data = self.rest[port] + data
        while len(data) >= 4 and len(data) >= 4 + (size := struct.unpack(">i", data[:4])[0]):
            yield data[4 : 4 + size]
            data = data[4 + size :]
        self.rest[port] = data


class Facts:
    def __init__(self):
        self.runs = self.runs_told = 0
        self.requests = self.answers = None
        self.waiting = {}  # by port and correlation id: name, version, request
        self.asked_names = set(INTERNAL)
        self.topics = {}  # by id
        self.by_name = {}
        self.places = defaultdict(Place)  # by name and partition
        self.offsets_sent = defaultdict(set)  # by group, topic, partition
        self.offsets = {}
        self.open = set()  # values of the transaction that is open
        self.ending = False  # its end was asked for and not answered
        self.committed, self.aborted = set(), set()
        self.producer = -1
        self.cluster = None
        self.keyed_sent = set()  # (key, CRC of the value) of COMPACTED
        self.keyed = {}  # by key: offset and CRC of its last record that was answered
        self.repeatable = set()  # batches that the window of WINDOWED knows
        self.contradictions = []  # between answers
        self.told = 0  # answers

    def begin_anew(self):
        """The power was cut here: what a run had not told anybody it may not have been."""
        self.runs = self.runs_told

    # ---- what passes the sockets ----

    def take(self, entry):
        if entry.kind == oplog.RUN:
            self.runs += 1
            self.requests, self.answers, self.waiting = Streams(), Streams(), {}
        elif entry.kind == oplog.RECEIVED:
            for frame in self.requests.frames(entry.port, entry.data):
                self._request(entry.port, frame)
        elif entry.kind == oplog.SENT:
            for frame in self.answers.frames(entry.port, entry.data):
                self._answer(entry.port, frame)

    def _request(self, port, frame):
        key, version, correlation, length = struct.unpack(">hhih", frame[:10])
        name = NAMES[key]
        codec = Codec("request", name, version)
        at = 10 + max(length, 0) + codec.flexible
        body = codec.decode(frame[at:])
        self.waiting[port, correlation] = name, version, body
        if take := getattr(self, f"_asked_{name}", None):
            take(body)

    def _answer(self, port, frame):
        [correlation] = struct.unpack(">i", frame[:4])
        name, version, request = self.waiting.pop((port, correlation))
        body = response_body(name, version, frame[4:])
        self.told += 1
        self.runs_told = self.runs
        if take := getattr(self, f"_told_{name}", None):
            take(request, body)

    def _asked_CreateTopics(self, body):
        self.asked_names.update(topic["name"] for topic in body["topics"])

    def _told_CreateTopics(self, request, body):
        for asked, answer in zip(request["topics"], body["topics"]):
            if answer["error_code"] == 0:
                topic = Topic(asked["name"], answer["topic_id"].hex(), asked["num_partitions"])
                self.topics[topic.id] = self.by_name[topic.name] = topic

    def _asked_CreatePartitions(self, body):
        for asked in body["topics"]:
            self.by_name[asked["name"]].partitions_max = asked["count"]

    def _told_CreatePartitions(self, request, body):
        for asked, answer in zip(request["topics"], body["results"]):
            if answer["error_code"] == 0:
                self.by_name[asked["name"]].partitions = asked["count"]

    def _asked_DeleteTopics(self, body):
        for name in body["topic_names"]:
            self.by_name[name].deleting = True

    def _told_DeleteTopics(self, _, body):
        for answer in body["responses"]:
            if answer["error_code"] == 0:
                self.by_name[answer["name"]].deleted = True

    def _asked_Produce(self, body):
        for topic in body["topic_data"]:
            for part in topic["partition_data"]:
                self.places[topic["name"], part["index"]].sent.add(stored(part["records"]))
                if topic["name"] == COMPACTED:
                    rows = keyed_rows(part["records"])
                    self.keyed_sent.update((key, value) for _, key, value in rows)

    def _told_Produce(self, request, body):
        if request["acks"] != -1:
            return
        for topic, told in zip(request["topic_data"], body["responses"]):
            for part, answer in zip(topic["partition_data"], told["partition_responses"]):
                if answer["error_code"] != 0:
                    continue
                if topic["name"] == COMPACTED:
                    for delta, key, value in keyed_rows(part["records"]):
                        self.keyed[key] = answer["base_offset"] + delta, value
                else:
                    place = self.places[topic["name"], part["index"]]
                    self._keep(place, answer["base_offset"], stored(part["records"]))
                    if topic["name"] == WINDOWED:
                        self.repeatable.add(part["records"])
                    if request["transactional_id"] is not None:
                        self.open.update(values_of(part["records"]))

    def _keep(self, place, base, batch):
        first = place.answered.setdefault(batch, base)
        if first != base:
            self.contradictions.append(f"{batch} sent again was at {first} and is at {base}")
        place.kept[base] = batch

    def _told_Fetch(self, _, body):
        for topic in body["responses"]:
            for part in topic["partitions"]:
                place = self.places[topic["topic"], part["partition_index"]]
                if topic["topic"] == COMPACTED:
                    continue
                for batch in batches(part["records"]):
                    place.kept[batch.base_offset] = stored(batch.raw)

    def _each_deletion(self, request):
        for topic in request["topics"]:
            for part in topic["partitions"]:
                yield self.places[topic["name"], part["partition_index"]], part

    def _asked_DeleteRecords(self, body):
        for place, part in self._each_deletion(body):
            until = UNBOUNDED if part["offset"] == -1 else part["offset"]
            place.trimming = max(place.trimming, until)

    def _told_DeleteRecords(self, _, body):
        for place, part in self._each_deletion(body):
            if part["error_code"] == 0:
                place.trimmed = max(place.trimmed, part["low_watermark"])

    def _each_commit(self, request):
        for topic in request["topics"]:
            for part in topic["partitions"]:
                place = request["group_id"], topic["name"], part["partition_index"]
                yield place, part["committed_offset"]

    def _asked_OffsetCommit(self, body):
        for place, offset in self._each_commit(body):
            self.offsets_sent[place].add(offset)

    def _told_OffsetCommit(self, request, body):
        codes = {part["error_code"] for topic in body["topics"] for part in topic["partitions"]}
        if codes == {0}:
            self.offsets.update(self._each_commit(request))

    def _told_InitProducerId(self, request, body):
        self.producer = max(self.producer, body["producer_id"])
        if request["transactional_id"] is not None and body["error_code"] == 0:
            if not self.ending:
                self.aborted |= self.open
            self.open, self.ending = set(), False

    def _asked_EndTxn(self, _):
        self.ending = True

    def _told_EndTxn(self, request, body):
        if body["error_code"] == 0:
            ended = self.committed if request["committed"] else self.aborted
            ended |= self.open
            self.open, self.ending = set(), False

    def _told_DescribeCluster(self, _, body):
        self.cluster = body["cluster_id"]

    # ---- what must be there ----

    def judge(self, report):
        """What is wrong, a sentence each."""
        if report.refused is not None:
            return [f"refused: {report.refused}"]
        return [
            *report.wrong,
            *self.contradictions,
            *self._judge_cluster(report),
            *self._judge_topics(report),
            *self._judge_logs(report),
            *self._judge_keyed(report),
            *self._judge_offsets(report),
            *self._judge_transactions(report),
        ]

    def _judge_cluster(self, report):
        if self.cluster not in (None, report.cluster):
            yield f"the cluster id was {self.cluster} and is {report.cluster}"
        if report.run is not None and report.run <= self.runs_told:
            yield f"run {report.run} begins after run {self.runs_told} has served"
        if report.producer is not None and report.producer <= self.producer:
            yield f"producer id {report.producer} is given out again after {self.producer}"

    def _judge_topics(self, report):
        for topic in self.topics.values():
            _, count = report.topics.get(topic.id, (None, None))
            if topic.deleted and count is not None:
                yield f"deleted topic {topic.name} is back"
            if topic.deleting:
                continue
            if count is None:
                yield f"topic {topic.name} is gone"
            elif not topic.partitions <= count <= topic.partitions_max:
                yield f"topic {topic.name} has {count} partitions and not {topic.partitions}"
        for name, _ in report.topics.values():
            if name not in self.asked_names:
                yield f"nobody has made topic {name}"

    def _judge_logs(self, report):
        for (topic_id, partition), (start, end, rows) in report.logs.items():
            name = report.topics[topic_id][0]
            where = f"{name}/{partition}"
            if name not in INTERNAL and name != COMPACTED:
                for what in judge_log(self.places[name, partition], start, end, rows):
                    yield f"{where}: {what}"

    def _judge_keyed(self, report):
        """Any record may be gone that another of its key follows."""
        found, before = {}, -1
        for offset, key, value in keyed_rows(report.keyed or b""):
            if offset <= before:
                yield f"{COMPACTED}: offset {offset} follows {before}"
            if (key, value) not in self.keyed_sent:
                yield f"{COMPACTED}: the record at {offset} was never sent"
            found[key], before = (offset, value), offset
        for key, told in self.keyed.items():
            got = found.get(key)
            if got is None or got[0] < told[0] or (got[0] == told[0] and got != told):
                yield f"{COMPACTED}: of {key} somebody was told {told}, there is {got}"

    def _judge_offsets(self, report):
        for place, offset in self.offsets.items():
            got = report.offsets.get(place)
            if got is None or got < offset or got not in self.offsets_sent[place]:
                yield f"offset of {place} was committed as {offset} and is {got}"


    def _judge_transactions(self, report):
        if report.visible is None:
            return
        if lost := len(self.committed - report.visible):
            yield f"{lost} values of committed transactions are not to be seen"
        if seen := len(self.aborted & report.visible):
            yield f"{seen} values of aborted transactions are to be seen"


def keyed_rows(raw):
    """Offset, key and CRC of the value of each record."""
    return [
        (offset, key, zlib.crc32(value))
        for batch in batches(raw)
        for offset, _, key, value in batch.records()
    ]


def judge_log(place, start, end, rows):
    if not place.trimmed <= start <= place.trimming:
        yield f"starts at {start}, deleted were {place.trimmed}, asked for {place.trimming}"
    found, seen = {}, set()
    next_offset = None
    for base, *rest in ROW.iter_unpack(rows):
        batch = Stored(*rest[:3])
        if next_offset not in (None, base):
            yield f"a hole from {next_offset} to {base}"
        next_offset = base + batch.last_delta + 1
        found[base] = batch
        if rest[3] & CONTROL:
            continue  # the broker's own
        if batch not in place.sent:
            yield f"the batch at {base} was never sent"
        if batch in seen:
            yield f"the batch at {base} is there twice"
        seen.add(batch)
    if next_offset not in (None, end):
        yield f"ends at {end}, its last batch before {next_offset}"
    for base, batch in place.kept.items():
        if base + batch.last_delta >= start and found.get(base) != batch:
            yield f"of offset {base} somebody was told {batch}, there is {found.get(base)}"


def committed_in(raw):
    """Offsets in batches of the internal topic, by group, topic and partition."""
    found = {}
    for batch in batches(raw):
        for _, _, key, value in batch.records():
            reader = Reader(key)
            if reader.fixed("int16") > 1:
                continue
            group = reader.take(reader.fixed("int16")).decode()
            topic = reader.take(reader.fixed("int16")).decode()
            place = group, topic, reader.fixed("int32")
            found[place] = value and struct.unpack(">q", value[2:10])[0]
    return found
