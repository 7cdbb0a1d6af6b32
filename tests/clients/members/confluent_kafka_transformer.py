"""Makes records from others in transactions, with confluent-kafka, which is librdkafka."""
import sys
import time
import zlib

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka_member import ANSWER_SECONDS, Member
from event_log import FENCED, seen_event, transformer_parser

BATCH = 100
VALUE_BYTES = 200
PATIENCE_SECONDS = 60
SEEK_SECONDS = 5


class AtItsEnd(Exception):
    """Its producer can do nothing more."""


def patiently(call, *arguments):
    """Calls again what has met a broker that was away."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call(*arguments, ANSWER_SECONDS)
        except KafkaException as failure:
            if not failure.args[0].retriable() or time.monotonic() > deadline:
                raise


class Transformer(Member):
    settings = {"isolation.level": "read_committed"}
    started = {"isolation": "read_committed", "acks": "all", "idempotent": True, "in_flight": 5}

    def __init__(self, options):
        super().__init__(options)
        self.number, self.transactions = 0, 0
        self.answers = []
        self.producer = Producer({
            "bootstrap.servers": options.brokers, "client.id": options.name,
            "transactional.id": options.transactional_id, "linger.ms": 5,
            "transaction.timeout.ms": options.transaction_timeout_ms,
            "reconnect.backoff.max.ms": 500, "retry.backoff.max.ms": 500})

    @property
    def generation(self):
        found = super().generation
        return None if found is None else found + self.options.era

    def commit(self, asynchronous):
        """Offsets are committed with transactions alone, and none is open in a callback."""

    # ---- one transaction ----

    def transform(self, messages):
        self.transactions += 1
        every = self.options.abort_every
        self.log.write({"event": "begun"})
        try:
            self.producer.begin_transaction()
            self.fill(messages)
            if every and self.transactions % every == 0:
                self.abort()
            else:
                self.log.write({"event": "ending", "commit": True})
                patiently(self.producer.commit_transaction)
                self.ended("committed")
        except KafkaException as failure:
            self.fail(failure.args[0])

    def fill(self, messages):
        made = [self.made(message) for message in messages]
        self.log.write(*(event for event, _, _ in made))
        for event, key, value in made:
            self.producer.produce(self.options.output, value, key, event["partition"],
                                  on_delivery=self.answer(event["id"]))
        self.producer.flush(ANSWER_SECONDS)
        self.tell()
        offsets = {}
        for message in messages:
            offsets[message.topic(), message.partition()] = message.offset() + 1
        self.log.write({"event": "offsets", "group": self.options.group,
                        "generation": self.generation,
                        "offsets": [[*place, offset] for place, offset in offsets.items()]})
        patiently(self.producer.send_offsets_to_transaction,
                  [TopicPartition(*place, offset) for place, offset in offsets.items()],
                  self.consumer.consumer_group_metadata())

    def made(self, message):
        """The event of a record from this one, its key and value."""
        name = f"{self.options.name}:{self.number}"
        source = [message.topic(), message.partition(), message.offset()]
        text = f"{name} {source} {message.value().split()[0].decode()} "
        key, value = message.key(), text.encode().ljust(VALUE_BYTES, b"x")
        event = {"event": "sent", "id": name, "topic": self.options.output, "of": source,
                 "partition": self.number % self.options.partitions,
                 "hash": zlib.crc32(key + value)}
        self.number += 1
        return event, key, value

    def answer(self, name):
        def answered(error, message):
            if error is None:
                self.answers.append({"event": "acked", "id": name, "offset": message.offset(),
                                     "partition": message.partition()})
            else:
                self.answers.append({"event": "failed", "id": name, "error": error.name(),
                                     "definite": False})
        return answered

    def tell(self):
        answers, self.answers = self.answers, []
        self.log.write(*answers)

    def abort(self):
        self.log.write({"event": "ending", "commit": False})
        patiently(self.producer.abort_transaction)
        self.ended("aborted")
        self.back()

    def ended(self, result, **more):
        self.tell()
        self.log.write({"event": "ended", "result": result, **more})

    def fail(self, error):
        try:
            if not error.fatal() and error.txn_requires_abort():
                self.abort()
                return
        except KafkaException as failure:
            error = failure.args[0]
        self.ended("unknown", error=error.str())
        raise AtItsEnd(error.str())

    def back(self):
        """To what is committed: what was aborted is made again."""
        assigned = self.consumer.assignment()
        if not assigned:
            return
        known = patiently(self.consumer.committed, assigned)
        self.log.write(seen_event(self.options.group, (
            (each.topic, each.partition, each.offset) for each in known)))
        for each in known:
            each.offset = max(each.offset, 0)
            self.seek(each)
            self.log.write({"event": "position", "topic": each.topic,
                            "partition": each.partition, "offset": each.offset})

    def seek(self, place):
        """One that was just assigned is not read yet, and cannot be sought in."""
        deadline = time.monotonic() + SEEK_SECONDS
        while True:
            try:
                return self.consumer.seek(place)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    # ---- all of them ----

    def run(self):
        patiently(self.producer.init_transactions)
        self.consumer.subscribe(self.options.topics, on_assign=self.on_assign,
                                on_revoke=self.on_revoke, on_lost=self.on_lost)
        while not self.stop:
            messages = self.taken(self.consumer.consume(BATCH, timeout=0.1))
            if messages:
                self.transform(messages)
            self.membership.update()
        self.consumer.close()
        self.log.stop()

    def taken(self, messages):
        for message in messages:
            if not message.error():
                self.log.take(message.topic(), message.partition(), message.offset(),
                              message.key(), message.value())
            elif message.error().code() == KafkaError._FATAL:
                raise AtItsEnd(message.error().str())
        self.log.flush()
        return [message for message in messages if not message.error()]


def main():
    transformer = Transformer(transformer_parser().parse_args())
    try:
        transformer.run()
    except (AtItsEnd, KafkaException) as error:
        print(f"at its end: {error}", file=sys.stderr, flush=True)
        transformer.membership.update()
        sys.exit(FENCED)


if __name__ == "__main__":
    main()
