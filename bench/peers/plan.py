"""Who is measured, what is measured, and in which order.

A *stay* is one start of one contender's broker in one durability class, and all that is measured of
it there.  Stays take turns: a round has each contender once in each class, A B C in the first,
C B A in the second, so that a drift of the machine meets all alike and figures of one round can be
divided by each other.
"""
import dataclasses

from peers import kafka, nats, rabbitmq, redis, sluice


@dataclasses.dataclass(frozen=True)
class Contender:
    """A broker and the client that it is measured through."""

    label: str
    kind: type
    driver: str
    acks: dict  # by class: what sluice-bench asks for
    of: dict = dataclasses.field(default_factory=dict)  # more for the kind
    measures: tuple = ()  # none: all
    note: str = ""

    def takes_part(self, measure):
        return (measure.durability in self.acks
                and (not self.measures or measure.name in self.measures)
                and (not measure.only or self.label in measure.only))


@dataclasses.dataclass(frozen=True)
class Measure:
    """One workload of sluice-bench, in one class."""

    name: str
    title: str
    durability: str
    workload: str
    columns: str  # of its table, see results.py
    settings: dict
    only: tuple = ()  # contenders; none: all


EVERY_CLASS = {"default": "all", "flush": "all"}
SLUICE_CLASS = {"default": "1", "flush": "all"}

CONTENDERS = (
    Contender("sluice", sluice.Sluice, "sluice", SLUICE_CLASS, note="libsluice"),
    Contender("sluice-librdkafka", sluice.Sluice, "kafka", SLUICE_CLASS, note="Kafka's C client"),
    Contender("sluice-acks-all", sluice.Sluice, "sluice", {"default": "all"}, measures=("produce",),
              note="libsluice; its own default, which flushes, beside those of the others"),
    Contender("sluice-memif", sluice.Sluice, "sluice", {"default": "1"}, of={"vdev": True},
              measures=("publish",), note="libsluice over a memif, past the kernel"),
    Contender("kafka", kafka.Kafka, "kafka", EVERY_CLASS, note="librdkafka"),
    Contender("kafka-libsluice", kafka.Kafka, "sluice", {"default": "all"}, measures=("small",),
              note="libsluice"),
    Contender("nats", nats.Nats, "nats", EVERY_CLASS, note="libnats"),
    Contender("redis", redis.Redis, "redis", EVERY_CLASS, note="hiredis"),
    Contender("rabbitmq", rabbitmq.RabbitMq, "rabbitmq", EVERY_CLASS, note="librabbitmq"),
)
PEERS = ("kafka", "nats", "redis", "rabbitmq")
# By one client each, so that their ratio is the brokers' alone.
SAME_CLIENT = (("sluice-librdkafka", "kafka"), ("sluice", "kafka-libsluice"))


def measures(options):
    """options: seconds, warm_up, rate, flush_rate, backlog."""
    timed = {"warmupDuration": f"{options.warm_up}s", "duration": f"{options.seconds}s"}
    wide = timed | {"partitionsPerTopic": options.partitions}
    kilobyte = {"messageSize": 1000}
    return (
        Measure("produce", "Produce, 1 KB records", "default", "produce", "rate", wide | kilobyte),
        Measure("small", "Produce, 100 B records", "default", "produce", "rate",
                wide | {"messageSize": 100, "window": 50000}),
        Measure("latency", f"End to end at {options.rate} records of 1 KB a second", "default",
                "latency", "latency", wide | kilobyte | {"producerRate": options.rate}),
        Measure("catch-up", f"Reading a backlog of {options.backlog} MiB in 1 KB records",
                "default", "consume", "read",
                wide | kilobyte | {"consumerBacklogSize": f"{options.backlog}m"}),
        # A client over DPDK has its process to itself: one producer, and nobody who reads.
        Measure("publish", f"Acknowledgement at {options.rate} records of 100 B a second",
                "default", "transport", "publish",
                timed | {"producerRate": options.rate, "subscriptionsPerTopic": 0},
                only=("sluice", "sluice-memif", "kafka")),
        # Where each record is flushed alone, a window of them takes seconds.
        Measure("produce-flush", "Produce, 1 KB records, flushed", "flush", "produce", "rate",
                wide | kilobyte | {"warmupDuration": f"{3 * options.warm_up}s",
                                   "duration": f"{2 * options.seconds}s"}),
        Measure("latency-flush", f"End to end at {options.flush_rate} records of 1 KB a second, "
                "flushed", "flush", "latency", "latency",
                wide | kilobyte | {"producerRate": options.flush_rate}),
    )


@dataclasses.dataclass(frozen=True)
class Stay:
    round: int
    contender: Contender
    durability: str
    measures: tuple


def stays(rounds, contenders, wanted):
    found = []
    for number in range(rounds):
        for durability in dict.fromkeys(measure.durability for measure in wanted):
            of_class = []
            for contender in contenders:
                own = tuple(measure for measure in wanted if measure.durability == durability
                            and contender.takes_part(measure))
                if own:
                    of_class.append(Stay(number, contender, durability, own))
            found += reversed(of_class) if number % 2 else of_class
    return found
