"""Produces with confluent-kafka until SIGTERM, evenly to all partitions, and logs each record."""
import argparse
import time
import zlib

from confluent_kafka import Producer
from event_log import EventLog, Stop

BATCH_SECONDS = 0.02
VALUE_BYTES = 100


class Producing:
    def __init__(self, options):
        self.options = options
        self.stop = Stop()
        self.log = EventLog(options.log)
        self.answers = []
        self.number = 0
        self.log.write({"event": "start", "client": options.name, "acks": "all",
                        "idempotent": True, "in_flight": 5})
        # It never gives up: a record that timed out would say nothing.
        self.producer = Producer({
            "bootstrap.servers": options.brokers, "client.id": options.name,
            "enable.idempotence": True, "linger.ms": 5, "delivery.timeout.ms": 2147483647,
            "reconnect.backoff.max.ms": 500, "retry.backoff.max.ms": 500, "log_level": 2})

    def send(self, count):
        records = []
        for number in range(self.number, self.number + count):
            name = f"{self.options.name}:{number}"
            topic = self.options.topics[number % len(self.options.topics)]
            partition = number // len(self.options.topics) % self.options.partitions
            value = f"{name} ".encode().ljust(VALUE_BYTES, b"x")
            records.append((topic, partition, b"k%d" % (number % 50), value, name))
        self.number += count
        self.log.write(*({"event": "sent", "id": name, "topic": topic, "partition": partition,
                          "hash": zlib.crc32(key + value)}
                         for topic, partition, key, value, name in records))
        for topic, partition, key, value, name in records:
            self.producer.produce(topic, value, key, partition, on_delivery=self.answer(name))

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
    return parser.parse_args()


if __name__ == "__main__":
    Producing(parsed_options()).run()
