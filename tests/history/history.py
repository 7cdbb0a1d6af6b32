"""Histories as clients have logged them, read into what the rules ask for.

README.md has the events.  A record costs a few numbers here and no object of its own, so that
millions of them fit: a producer's are arrays by number, what a reader was given are arrays by run.
"""
import array
import collections
import json

# A record's id "PRODUCER:NUMBER" is kept as one integer: the producer's index, then the number.
NUMBER_BITS = 40
NUMBER_MAX = (1 << NUMBER_BITS) - 1
NOWHERE = -1
HASH_BITS = 32
PROGRESS = frozenset(["acked", "fetched", "committed"])


class BadHistory(Exception):
    """A log that is not what README.md says; there is nothing to judge."""


class Where:
    """An event's place: a log and a line of it, which proves a violation."""

    def __init__(self, log, line):
        self.log, self.line = log, line

    def text(self):
        with open(self.log.path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if number == self.line:
                    return f"{self.log.name}:{number}: {shortened(line.decode(errors='replace'))}"
        return f"{self.log.name}:{self.line}"


def shortened(line, limit=300):
    line = line.strip()
    return line if len(line) <= limit else line[:limit] + " ..."


class Producer:
    """What one producer sent and what it was told, by the number in the record's id."""

    def __init__(self, name, index):
        self.name, self.index = name, index
        self.log = None  # of the client that declared it
        self.acks, self.idempotent, self.in_flight = "all", False, 0
        self.hashes = array.array("q")
        self.places = array.array("q")  # where it was sent to: index of the partition or NOWHERE
        self.topics = []  # only where the partition was left to the client: by number
        self.sent_lines = array.array("q")
        self.acked_lines = array.array("q")

    def ordered(self):
        return self.idempotent or self.in_flight == 1

    def grow(self, number):
        missing = number + 1 - len(self.hashes)
        for values in (self.hashes, self.places, self.sent_lines, self.acked_lines):
            values.extend([NOWHERE] * missing)
        self.topics.extend([None] * missing)


class Run:
    """Records that one reader was given of one partition, one after another."""

    def __init__(self, session, start, own_committed):
        self.session, self.start = session, start
        self.generation = session.generation
        self.own_committed = own_committed  # the session's own acknowledged commit before it
        self.end = None  # the position that the reader came to, where it said so
        self.final = False
        self.end_line = None
        self.offsets, self.ids = array.array("q"), array.array("q")
        self.hashes = array.array("q")
        self.lines = array.array("q")  # of the log, two a batch: index of its first record, line

    def where(self, index):
        line = self.lines[1]
        for at in range(0, len(self.lines), 2):
            if self.lines[at] > index:
                break
            line = self.lines[at + 1]
        return Where(self.session.log, line)


class Partition:
    def __init__(self, topic, number, index):
        self.topic, self.number, self.index = topic, number, index
        self.runs = []
        # What was acknowledged here, in the order of the logs.
        self.acked_offsets, self.acked_ids = array.array("q"), array.array("q")
        self.deleted_before = 0
        self.gaps = None  # why offsets may be missing
        self.compacted = False

    def __str__(self):
        return f"{self.topic}/{self.number}"


# One row: an assignment, a commit or a committed offset that somebody saw.
Owned = collections.namedtuple("Owned", "session generation identity partitions where")
Commit = collections.namedtuple("Commit", "session generation offset where")
Seen = collections.namedtuple("Seen", "session generation offset own_committed final where")


class Group:
    def __init__(self, name):
        self.name = name
        self.topics = set()
        self.owned = []
        self.commits = collections.defaultdict(list)  # acknowledged, by partition
        self.seen = collections.defaultdict(list)
        self.resets = collections.defaultdict(list)
        self.after_processing = True
        self.fenced_commits = []  # (where fenced, where committed)
        self.fallen_generations = []  # (where the higher, where the lower)


class Log:
    """One client's file, or the harness's."""

    def __init__(self, path):
        self.path, self.name = path, path.name
        self.progress_bytes = -1  # where its last event of progress begins
        self.stopped = False


class Session:
    """One run of one client: what its last events were."""

    def __init__(self, log, fields, where):
        self.log, self.where = log, where
        self.client = fields.get("client", log.name)
        self.group = fields.get("group")
        self.after = fields.get("after", [])
        self.generation = None
        self.member = None
        self.owns = None
        self.owns_where = None
        self.runs = {}  # the open one, by partition
        self.committed = {}  # the highest acknowledged, by partition
        self.fenced = {}  # where, by (member, generation)


class History:
    def __init__(self):
        self.producers, self.producer_names = [], {}
        self.partitions, self.by_place = [], {}
        self.groups = {}
        self.logs = {}
        self.sessions = {}  # by client
        self.calm = None  # (seconds, bytes of each log, where)
        self.over = None

    # ---- lookups ----

    def producer(self, name):
        index = self.producer_names.setdefault(name, len(self.producers))
        if index == len(self.producers):
            self.producers.append(Producer(name, index))
        return self.producers[index]

    def partition(self, topic, number):
        found = self.by_place.get((topic, number))
        if found is None:
            found = self.by_place[topic, number] = Partition(topic, number, len(self.partitions))
            self.partitions.append(found)
        return found

    def partitions_of(self, topic):
        return [each for each in self.partitions if each.topic == topic]

    def group(self, name):
        if name not in self.groups:
            self.groups[name] = Group(name)
        return self.groups[name]

    def id_of(self, text):
        name, _, number = text.rpartition(":")
        try:
            count = int(number)
        except ValueError:
            # Not of a producer's making: it keeps its text and no producer has sent it.
            return self.producer(text).index << NUMBER_BITS
        return self.producer(name).index << NUMBER_BITS | count

    def id_text(self, record):
        producer = self.producers[record >> NUMBER_BITS]
        return f"{producer.name}:{record & NUMBER_MAX}"

    def sent_where(self, record):
        """Where the record was sent; None for one that nobody has sent."""
        producer, number = self.producers[record >> NUMBER_BITS], record & NUMBER_MAX
        if number >= len(producer.hashes) or producer.sent_lines[number] == NOWHERE:
            return None
        return Where(producer.log, producer.sent_lines[number])

    def acked_where(self, record):
        producer = self.producers[record >> NUMBER_BITS]
        return Where(producer.log, producer.acked_lines[record & NUMBER_MAX])

    # ---- reading ----

    def read(self, path):
        log = self.logs[path.name] = Log(path)
        reader = LogReader(self, log)
        at = 0
        with open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                # A client that was killed may have left half a line.
                if not line.endswith(b"\n"):
                    break
                try:
                    reader.take(json.loads(line), number, at)
                except (ValueError, KeyError, TypeError) as error:
                    raise BadHistory(f"{path}:{number}: {type(error).__name__} {error}: "
                                     f"{shortened(line.decode(errors='replace'))}") from error
                at += len(line)


class LogReader:
    """The events of one log, each told to the history."""

    def __init__(self, history, log):
        self.history, self.log = history, log
        self.session = Session(log, {}, Where(log, 1))
        self.line = 0
        self.handlers = {name.removeprefix("on_"): getattr(self, name)
                         for name in dir(self) if name.startswith("on_")}

    def where(self):
        return Where(self.log, self.line)

    def take(self, fields, line, at):
        self.line = line
        name = fields["event"]
        if name not in self.handlers:
            raise ValueError(f"no event {name!r}")
        if name in PROGRESS:
            self.log.progress_bytes = at
        self.handlers[name](fields)

    def on_start(self, fields):
        self.session = Session(self.log, fields, self.where())
        self.history.sessions[self.session.client] = self.session
        if "acks" in fields:
            producer = self.history.producer(fields["client"])
            producer.log = self.log
            producer.acks = str(fields["acks"])
            producer.idempotent = fields.get("idempotent", False)
            producer.in_flight = fields.get("in_flight", 0)
        if self.session.group is not None:
            group = self.history.group(self.session.group)
            group.topics.update(fields["topics"])
            group.after_processing &= fields.get("commit", "after") == "after"

    def on_stop(self, _fields):
        self.log.stopped = True

    # ---- producers ----

    def on_sent(self, fields):
        record = self.history.id_of(fields["id"])
        producer, number = self.history.producers[record >> NUMBER_BITS], record & NUMBER_MAX
        if number >= len(producer.hashes):
            producer.grow(number)
        producer.log = self.log
        producer.hashes[number] = fields["hash"]
        producer.sent_lines[number] = self.line
        if fields["partition"] is None:
            producer.topics[number] = fields["topic"]
        else:
            place = self.history.partition(fields["topic"], fields["partition"])
            producer.places[number] = place.index

    def on_acked(self, fields):
        record = self.history.id_of(fields["id"])
        producer, number = self.history.producers[record >> NUMBER_BITS], record & NUMBER_MAX
        if number >= len(producer.hashes) or producer.sent_lines[number] == NOWHERE:
            raise ValueError("acknowledged before it was sent")
        producer.acked_lines[number] = self.line
        if producer.acks not in ("all", "-1"):
            return
        if producer.topics[number] is not None:
            place = self.history.partition(producer.topics[number], fields["partition"])
        else:
            place = self.history.partitions[producer.places[number]]
        place.acked_offsets.append(fields["offset"])
        place.acked_ids.append(record)

    def on_failed(self, _fields):
        """Stored once or not at all: nothing follows from it."""

    # ---- readers ----

    def run(self, place, start=None):
        run = Run(self.session, start, self.session.committed.get(place.index))
        self.session.runs[place.index] = run
        place.runs.append(run)
        return run

    def on_position(self, fields):
        self.run(self.history.partition(fields["topic"], fields["partition"]), fields["offset"])

    def on_fetched(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        run = self.session.runs.get(place.index)
        if run is None:
            run = self.run(place)
        run.lines.extend((len(run.offsets), self.line))
        id_of = self.history.id_of
        for offset, record, content in fields["records"]:
            run.offsets.append(offset)
            run.ids.append(id_of(record))
            run.hashes.append(content)

    def on_end(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        run = self.session.runs.get(place.index) or self.run(place)
        run.end, run.end_line = fields["offset"], self.line
        run.final = fields.get("final", False)

    # ---- members of groups ----

    def on_owns(self, fields):
        session, group = self.session, self.history.group(fields["group"])
        places = [self.history.partition(*each).index for each in fields["partitions"]]
        if session.generation is not None and fields["generation"] is not None and (
                fields["generation"] < session.generation and session.committed):
            group.fallen_generations.append((session.owns_where, self.where()))
        session.generation, session.member = fields["generation"], fields["member"]
        session.owns, session.owns_where = frozenset(places), self.where()
        for place in list(session.runs):
            if place not in session.owns:
                del session.runs[place]
        identity = fields.get("instance") or fields["member"]
        group.owned.append(Owned(session, session.generation, identity, session.owns,
                                 self.where()))

    def on_fenced(self, fields):
        generation = fields.get("generation", self.session.generation)
        self.session.fenced[self.session.member, generation] = self.where()

    def on_committed(self, fields):
        if fields["result"] not in ("ok", "unknown", "refused"):
            raise ValueError(f"no result {fields['result']!r}")
        if fields["result"] != "ok":
            return
        session, group = self.session, self.history.group(fields["group"])
        generation = fields.get("generation", session.generation)
        if (session.member, generation) in session.fenced:
            group.fenced_commits.append((session.fenced[session.member, generation],
                                         self.where()))
        for topic, number, offset in fields["offsets"]:
            place = self.history.partition(topic, number).index
            group.commits[place].append(Commit(session, generation, offset, self.where()))
            session.committed[place] = max(offset, session.committed.get(place, 0))

    def on_seen(self, fields):
        session, group = self.session, self.history.group(fields["group"])
        for topic, number, offset in fields["offsets"]:
            place = self.history.partition(topic, number).index
            group.seen[place].append(Seen(session, session.generation, offset,
                                          session.committed.get(place),
                                          fields.get("final", False), self.where()))

    def on_reset(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"]).index
        self.history.group(fields["group"]).resets[place].append(fields["offset"])
        self.session.committed.pop(place, None)

    # ---- the harness ----

    def on_killed(self, fields):
        """Of a client or the broker: what the others saw of it is theirs to tell."""

    on_broker = on_note = on_killed

    def on_deleted(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        place.deleted_before = max(place.deleted_before, fields["before"])

    def on_gaps(self, fields):
        place = self.history.partition(fields["topic"], fields["partition"])
        place.gaps = fields["why"]
        place.compacted |= fields["why"] == "compaction"

    def on_calm(self, fields):
        self.history.calm = (fields["seconds"], fields["logs"], self.where())

    def on_over(self, _fields):
        self.history.over = self.where()
