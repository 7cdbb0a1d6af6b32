"""A member of a group with confluent-kafka, which is librdkafka."""
import collections

import confluent_kafka
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from event_log import MemberLog, Stop, member_parser
from librdkafka_debug import StandardError

BATCH = 200
ANSWER_SECONDS = 10


def places(partitions):
    return {(each.topic, each.partition) for each in partitions}


class Member:
    settings = {}  # of its consumer, more than those of every member
    started = {}  # what it logs of itself in the beginning, likewise

    def __init__(self, options):
        self.options = options
        self.stop = Stop()
        self.membership = StandardError()
        self.log = MemberLog(options, f"confluent-kafka {confluent_kafka.libversion()[0]}",
                             **self.started)
        # Assignments come as a difference to what is owned.
        self.incremental = (options.protocol == "consumer" or options.assignor == "cooperative")
        self.asked = collections.deque()  # asynchronous commits without an answer
        config = {"bootstrap.servers": options.brokers, "group.id": options.group,
                  "client.id": options.name, "auto.offset.reset": "earliest",
                  "enable.auto.commit": False, "group.protocol": options.protocol,
                  "debug": "cgrp", "on_commit": self.on_commit,
                  "reconnect.backoff.max.ms": 500, **self.settings}
        if options.protocol == "classic":
            config["session.timeout.ms"] = options.session_ms
            config["heartbeat.interval.ms"] = max(options.session_ms // 10, 100)
            config["partition.assignment.strategy"] = {
                "range": "range", "cooperative": "cooperative-sticky"}[options.assignor]
        if options.instance:
            config["group.instance.id"] = options.instance
        self.consumer = Consumer(config)

    @property
    def generation(self):
        self.membership.update()
        return self.membership.generation

    def owns(self, partitions):
        generation = self.generation
        self.log.owns(partitions, self.membership.member, generation)

    def on_assign(self, consumer, partitions):
        if self.incremental:
            self.owns(self.log.owned | places(partitions))
        else:
            self.owns(places(partitions))
        try:
            known = [each for each in consumer.committed(partitions, timeout=ANSWER_SECONDS)
                     if not each.error]
            self.log.seen((each.topic, each.partition, each.offset) for each in known)
            self.begin(partitions, places(each for each in known if each.offset < 0))
        except KafkaException:
            pass
        (consumer.incremental_assign if self.incremental else consumer.assign)(partitions)

    def begin(self, partitions, new):
        """Says where the `new` ones begin.  librdkafka 2.12, when it has to ask and the partition
        is taken away before the answer has come, asks again half a second later and goes back
        there, wherever it then is ("outdated offset response" in its log)."""
        for each in partitions:
            if (each.topic, each.partition) in new:
                each.offset, _ = self.consumer.get_watermark_offsets(each, ANSWER_SECONDS)

    def on_revoke(self, _consumer, partitions):
        self.commit(asynchronous=False)
        self.owns(self.log.owned - places(partitions))

    def on_lost(self, _consumer, partitions):
        self.log.flush()
        self.log.fenced("lost", self.generation)
        self.owns(self.log.owned - places(partitions))

    def commit(self, asynchronous):
        positions = self.log.flush()
        if not positions or self.options.commit == "none":
            return
        generation = self.generation
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        if asynchronous:
            self.asked.append(generation)
        try:
            self.consumer.commit(offsets=offsets, asynchronous=asynchronous)
            error = None
        except KafkaException as failure:
            error = failure.args[0].name()
        if not asynchronous:
            self.log.committed(positions, error, generation)

    def on_commit(self, error, partitions):
        """Also told of synchronous ones, which have logged their answer themselves."""
        if self.options.commit == "async" and self.asked:
            positions = {(each.topic, each.partition): each.offset for each in partitions}
            failed = error or next((each.error for each in partitions if each.error), None)
            self.log.committed(positions, failed.name() if failed else None, self.asked.popleft())

    def run(self):
        self.consumer.subscribe(self.options.topics, on_assign=self.on_assign,
                                on_revoke=self.on_revoke, on_lost=self.on_lost)
        while not self.stop:
            message = self.consumer.poll(0.1)
            if message is not None and not message.error():
                self.log.take(message.topic(), message.partition(), message.offset(),
                              message.key(), message.value())
            elif message is not None and message.error().code() == KafkaError._FATAL:
                # It is at its end, as one whose instance id another has.
                self.log.fenced(message.error().str(), self.generation)
                raise SystemExit(message.error().str())
            if message is None or self.log.count() >= BATCH:
                self.commit(self.options.commit == "async")
                self.membership.update()
        self.commit(asynchronous=False)
        self.consumer.close()
        self.log.stop()


if __name__ == "__main__":
    Member(member_parser().parse_args()).run()
