"""What a broker carries while something happens to it: unmodified clients of several libraries, their
logs, and the checker's word on them in the end.

    with harness.Broker(settings=SETTINGS) as broker:
        with LoadedWorld(folder, broker) as world:
            world.begin(LOADS[0])
            ...
            history = world.end()
"""
import collections
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / part) for part in ("broker", "clients", "history")]
import group_libraries as libraries  # noqa: E402
import group_world  # noqa: E402
import transactions  # noqa: E402
from transaction_world import TransactionWorld  # noqa: E402

READERS = "readers"
RATE = 150  # records a second, of each producer
SETTINGS = {**group_world.SETTINGS, **transactions.SMALL}
DRAIN_SECONDS = 120


class Load:
    """Libraries: of those with transactions and their protocol, of the idempotent producer, and of the
    members of a group."""

    def __init__(self, transformer, protocol, producer, readers):
        self.transformer, self.protocol = transformer, protocol
        self.producer, self.readers = producer, readers

    def there(self):
        library = transactions.LIBRARIES[self.transformer]
        return all(each.there() for each in (library.transformer, library.verifier, self.producer,
                                             *self.readers))

    def __str__(self):
        return f"{self.transformer} {self.protocol}"


LOADS = [
    Load("confluent-kafka", "cooperative", libraries.CONFLUENT_PRODUCER,
         [libraries.KAFKA_PYTHON, libraries.CONFLUENT]),
    Load("java", "consumer", libraries.JAVA_PRODUCER,
         [libraries.CONFLUENT_CONSUMER, libraries.JAVA_CONSUMER]),
    Load("franz-go", "range", libraries.FRANZ_GO_PRODUCER,
         [libraries.FRANZ_GO, libraries.KAFKA_PYTHON]),
    Load("confluent-kafka", "consumer", libraries.JAVA_PRODUCER, [libraries.AIOKAFKA])]


class LoadedWorld(TransactionWorld):
    """A plain and an idempotent producer, members with transactions, readers of what is committed,
    and a group."""

    def begin(self, load, rate=RATE):
        library = transactions.LIBRARIES[load.transformer]
        self.verify(library.verifier)
        self.producer("plain", rate, flags=["--plain"])
        self.producer("idempotent", rate, library=load.producer)
        for number, reader in enumerate(load.readers):
            self.member(reader, f"reader-{number}-{reader.name}", READERS)
        for slot in range(transactions.SLOTS):
            self.transform(library.transformer, slot, load.protocol)
        self.wait_going_on()

    def tick(self):
        super().tick()
        self.check_alive(self.living(READERS))

    def wait_going_on(self, seconds=DRAIN_SECONDS):
        """Producers, transactions and the group: each has new results."""
        acked = {each: len(each.tail.update().acked) for each in self.producers}
        given = sum(len(each.tail.update().given) for each in self.groups[READERS])

        def all_go_on():
            return (all(len(each.tail.update().acked) > count for each, count in acked.items())
                    and sum(len(each.tail.update().given) for each in self.groups[READERS]) > given)

        self.wait_committed(transactions.FIRST_TRANSACTIONS, seconds)
        self.wait_until("producers and readers go on", all_go_on, seconds)

    def end(self, calm_seconds=6):
        """Faults are over.  Raises AssertionError for what is wrong."""
        self.wait_going_on()
        self.calm(calm_seconds)
        return self.judge()

    def wait_drained(self, seconds=DRAIN_SECONDS):
        ends = {place: end for place, end in self.ends().items() if end}
        wanted = {(*place, at) for place, end in ends.items() for at in range(end)}
        members = self.groups[READERS]
        self.wait_until(
            f"{READERS} are given {len(wanted)} records",
            lambda: wanted <= set().union(*(each.tail.update().given for each in members)), seconds)
        super().wait_drained(seconds)


def told(history, **more):
    """What a history has seen, to be added up and printed by `text`."""
    ends = collections.Counter(each.outcome for each in history.transactions)
    acked = sum(len(place.acked_offsets) for place in history.partitions)
    return collections.Counter({
        **more, "records acknowledged": acked, "transactions committed": ends["committed"],
        "transactions aborted": ends["aborted"]})


def text(counts):
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def verdict(folder, run):
    """What `run` has seen, or what was wrong, for people; returns a program's exit code."""
    try:
        seen = run()
    except AssertionError as error:
        print(f"{error}\nWRONG; logs in {folder}")
        return 1
    print(f"right: {text(seen)}; logs in {folder}")
    return 0
