"""Reads topics from their beginnings on and on, with confluent-kafka, which is librdkafka."""
import time

from confluent_kafka import (OFFSET_INVALID, Consumer, IsolationLevel, KafkaException,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, OffsetSpec
from event_log import RecordLog, Stop, verifier_parser

ASK_SECONDS = 0.2
ANSWER_SECONDS = 2


class Verifier:
    def __init__(self, options):
        self.options = options
        self.stop = Stop()
        self.log = RecordLog(options.log)
        self.places = [(topic, number) for topic in options.topics
                       for number in range(options.partitions)]
        settings = {"bootstrap.servers": options.brokers, "client.id": options.name,
                    "reconnect.backoff.max.ms": 500}
        self.admin = AdminClient(settings)
        self.consumer = Consumer({**settings, "group.id": options.name,
                                  "enable.auto.commit": False, "auto.offset.reset": "earliest",
                                  "isolation.level": options.isolation})

    def ask_stable(self):
        wanted = {TopicPartition(*place): OffsetSpec.latest() for place in self.places}
        # What is asked for after this line is known to be.
        self.log.write({"event": "note", "text": "asks"})
        try:
            found = self.admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED,
                                            request_timeout=ANSWER_SECONDS)
            rows = [[place.topic, place.partition, future.result().offset]
                    for place, future in found.items()]
        except KafkaException:
            return
        # So it also tells that no broker has answered.
        if any(offset == OFFSET_INVALID for _, _, offset in rows):
            return
        self.log.write({"event": "stable", "offsets": rows})

    def run(self):
        self.log.write({"event": "start", "client": self.options.name,
                        "isolation": self.options.isolation},
                       *({"event": "position", "topic": topic, "partition": number, "offset": 0}
                         for topic, number in self.places))
        self.consumer.assign([TopicPartition(*place, 0) for place in self.places])
        asked = 0
        while not self.stop:
            for message in self.consumer.consume(1000, timeout=0.1):
                if not message.error():
                    self.log.take(message.topic(), message.partition(), message.offset(),
                                  message.key(), message.value())
            self.log.flush()
            if time.monotonic() > asked + ASK_SECONDS:
                asked = time.monotonic()
                self.ask_stable()
        self.consumer.close()
        self.log.write({"event": "stop"})


if __name__ == "__main__":
    Verifier(verifier_parser().parse_args()).run()
