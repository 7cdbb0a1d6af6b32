"""Histories as clients have logged them, in the form that the rules ask for.

log_reader.py fills one from logs.  A record costs a few numbers here and no object of its own, so that
millions of them fit: a producer's are arrays by number, what a reader was given are arrays by run.
"""
import array
import collections
import io

from cuts import Cuts

# A record's id "PRODUCER:NUMBER" is kept as one integer: the producer's index, then the number.
NUMBER_BITS = 40
NUMBER_MAX = (1 << NUMBER_BITS) - 1
NOWHERE = -1
HASH_BITS = 32
COMMITTED, ABORTED, UNKNOWN = "committed", "aborted", "unknown"


class BadHistory(Exception):
    """A log that is not what README.md says; there is nothing to judge."""


class Where:
    """An event's place: a log and a line of it, which proves a violation."""

    def __init__(self, log, line):
        self.log, self.line = log, line

    def before(self):
        """The event before it in its log."""
        return Where(self.log, self.line - 1)

    def text(self):
        with self.log.open() as lines:
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
        self.single = False  # each request carries one record
        self.hashes = array.array("q")
        self.places = array.array("q")  # where it was sent to: index of the partition or NOWHERE
        self.topics = []  # only where the partition was left to the client: by number
        self.sent_lines = array.array("q")
        self.acked_lines = array.array("q")
        # Of records that have one, by number: its transaction; what it was made from, as (index
        # of the partition, offset); its message id, as an index; its timestamp.
        self.transactions, self.sources, self.dedups, self.timestamps = {}, {}, {}, {}
        self.sent_ms, self.acked_ms = {}, {}  # likewise, by a clock that is never set
        self.keys = {}  # likewise, as indices
        self.tombstones = set()  # numbers

    def ordered(self):
        return self.idempotent or self.in_flight == 1

    def grow(self, number):
        missing = number + 1 - len(self.hashes)
        for values in (self.hashes, self.places, self.sent_lines, self.acked_lines):
            values.extend([NOWHERE] * missing)
        self.topics.extend([None] * missing)


class Transaction:
    """What one producer did from `begun` to `ended`, and how it ended as far as it knows."""

    def __init__(self, session, number, where):
        self.session, self.number, self.begun = session, number, where
        self.records = []  # ids
        self.offsets = []  # (group's name, index of the partition, offset)
        self.generation = None  # in which the offsets were sent
        self.fenced = None  # where its member had been told that it is none, before that
        self.ending = None  # where its end was asked for
        self.commits = False
        self.result = None  # what was answered
        self.ended = None
        self.visible = None  # an event that shows that it is committed

    def __str__(self):
        return f"transaction {self.number} of {self.session.client}"

    @property
    def outcome(self):
        """Who has never asked for a commit has none, whatever became of it afterwards."""
        if self.result == COMMITTED:
            return COMMITTED
        return UNKNOWN if self.commits and self.result != ABORTED else ABORTED

    def is_committed(self):
        return self.outcome == COMMITTED or (self.outcome == UNKNOWN and bool(self.visible))

    def proof(self):
        return self.ended or self.ending or self.begun


class Run:
    """Records that one reader was given of one partition, one after another."""

    def __init__(self, session, start, own_committed):
        self.session, self.start = session, start
        self.generation = session.generation
        self.own_committed = own_committed  # the session's own acknowledged commit before it
        self.end = None  # the position that the reader came to, where it said so
        self.final = False
        self.end_line = None
        self.told = []  # (from, to, where): it was refused these offsets as lost
        self.offsets, self.ids = array.array("q"), array.array("q")
        self.hashes = array.array("q")
        self.lines = array.array("q")  # of the log, two a batch: index of its first record, line

    @property
    def committed_only(self):
        return self.session.isolation == "read_committed"

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
        self.damaged = []  # (from, to)
        self.quarantined = []  # (from, to, where)
        self.keyed = collections.defaultdict(list)  # records sent here, by key
        self.stable = []  # (last stable offset, where), in the order of the logs
        # Of what was sent here: in how many transactions; how many with a message id, and of how
        # many different ids.
        self.transactions, self.last_transaction = 0, None
        self.dedup_sent, self.dedup_ids = 0, set()
        self.dedup_retried = False  # by a producer that is not idempotent

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
        self.asked = collections.defaultdict(set)  # plain commits, by partition, answered or not


class Log:
    """One client's log, or the harness's; `open` gives its bytes as a file."""

    def __init__(self, name, opener):
        self.name, self.open = name, opener
        self.progress_bytes = -1  # where its last event of progress begins
        self.stopped = False

    @classmethod
    def of_file(cls, path):
        return cls(path.name, lambda: open(path, "rb"))

    @classmethod
    def of_bytes(cls, name, data):
        return cls(name, lambda: io.BytesIO(data))


class Session:
    """One run of one client: what its last events were."""

    def __init__(self, log, fields, where):
        self.log, self.where = log, where
        self.client = fields.get("client", log.name)
        self.group = fields.get("group")
        self.after = fields.get("after", [])
        self.isolation = fields.get("isolation", "read_uncommitted")
        self.transaction, self.transactions = None, 0  # the open one, and how many it has begun
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
        self.transactions = []
        self.cuts = Cuts()
        self.dedup_names = {}  # message ids, each with its index
        self.key_names = {}  # likewise
        self.windows = {}  # by topic: milliseconds for which ids are known, None: all of them
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
        producer, number = self.sender(record)
        if number >= len(producer.hashes) or producer.sent_lines[number] == NOWHERE:
            return None
        return Where(producer.log, producer.sent_lines[number])

    def sender(self, record):
        """The producer of a record, and its number there."""
        return self.producers[record >> NUMBER_BITS], record & NUMBER_MAX

    def transaction_of(self, record):
        return self.producers[record >> NUMBER_BITS].transactions.get(record & NUMBER_MAX)

    def dedup_of(self, record):
        """Its message id, unless it is in a transaction."""
        producer, number = self.sender(record)
        return None if number in producer.transactions else producer.dedups.get(number)

    def acked_where(self, record):
        producer = self.producers[record >> NUMBER_BITS]
        return Where(producer.log, producer.acked_lines[record & NUMBER_MAX])
