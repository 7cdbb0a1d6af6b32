"""Produces with confluent-kafka until SIGTERM, evenly to all partitions, and logs each record.

It is idempotent; or, with --dedup PREFIX, its records have message ids, PREFIX:NUMBER, and one
request is in flight, so that they stay in order; or, with --plain, neither: then what it sends again
may be stored twice.
"""
import argparse
import time
import zlib

from confluent_kafka import Producer
from event_log import EventLog, Stop

BATCH_SECONDS = 0.02


class Producing:
    def __init__(self, options):
        self.options = options
        self.stop = Stop()
        self.log = EventLog(options.log)
        self.answers = []
        self.number = 0
        idempotent = options.dedup is None and not options.plain
        in_flight = 1 if options.dedup else 5
        self.log.write({"event": "start", "client": options.name, "acks": "all",
                        "idempotent": idempotent, "in_flight": in_flight})
        # It never gives up: a record that timed out would say nothing.
        self.producer = Producer({
            "bootstrap.servers": options.brokers, "client.id": options.name,
            "enable.idempotence": idempotent, "acks": "all", "max.in.flight": in_flight,
            "linger.ms": 5, "delivery.timeout.ms": 2147483647, "reconnect.backoff.max.ms": 500, "retry.backoff.max.ms": 500, "log_level": 2})

    def send(self, count):
        records = []
        for number in range(self.number, self.number + count):
            name = f"{self.options.name}:{number}"
            topic = self.options.topics[number % len(self.options.topics)]
            partition = number // len(self.options.topics) % self.options.partitions
            value = f"{name} ".encode().ljust(self.options.value_bytes, b"x")
            message_id = self.options.dedup and f"{self.options.dedup}:{number}"
            records.append((topic, partition, b"k%d" % (number % 50), value, name, message_id))
        self.number += count
        self.log.write(*({"event": "sent", "id": name, "topic": topic, "partition": partition,
                          "hash": zlib.crc32(key + value),
                          **({"dedup": message_id} if message_id else {})}
                         for topic, partition, key, value, name, message_id in records))
        for topic, partition, key, value, name, message_id in records:
            self.producer.produce(topic, value, key, partition, on_delivery=self.answer(name),
                                  headers=[("dedup-id", message_id)] if message_id else None)

    def answer(self, name):
        def answered(error, message):
            if error is None:
                self.answers.append({"event": "acked", "id": name, "offset": message.offset(),
                                     "partition": message.partition()})
            else:
                self.answers.append({"event": "failed", "id": name, "error": error.name(),
                                     "definite": False})
        return answered

    def tell(self, seconds):
        """Serves callbacks for that long, and logs what they said."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.producer.poll(left)
        answers, self.answers = self.answers, []
        self.log.write(*answers)

    def run(self):
        count = max(1, int(self.options.rate * BATCH_SECONDS))
        while not self.stop:
            # Where the broker is away, what waits for it stays within bounds.
            if len(self.producer) < 10 * self.options.rate:
                self.send(count)
            self.tell(BATCH_SECONDS)
        while len(self.producer):
            self.tell(BATCH_SECONDS)
        self.tell(BATCH_SECONDS)
        self.log.write({"event": "stop"})


def parsed_options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topics", required=True, type=lambda text: text.split(","))
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--rate", type=int, default=500, help="records a second")
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--dedup", help="prefix of message ids")
    parser.add_argument("--plain", action="store_true", help="acks=all alone")
    return parser.parse_args()


if __name__ == "__main__":
    Producing(parsed_options()).run()
