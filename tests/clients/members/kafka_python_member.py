"""A member of a group with kafka-python."""
import kafka
from event_log import MemberLog, Stop, member_parser
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import CommitFailedError, KafkaError, NoBrokersAvailable
from kafka.structs import OffsetAndMetadata

ANSWER_MS = 10000


class Member(ConsumerRebalanceListener):
    def __init__(self, options):
        for name, wanted in [("protocol", "classic"), ("assignor", "range"), ("instance", None)]:
            if getattr(options, name) != wanted:
                raise SystemExit(f"kafka-python has no {name} {getattr(options, name)}")
        self.options = options
        self.stop = Stop()
        self.log = MemberLog(options, f"kafka-python {kafka.__version__}")
        self.consumer = self.connected()

    def connected(self):
        options = self.options
        while True:
            try:
                return KafkaConsumer(
                    bootstrap_servers=options.brokers, group_id=options.group,
                    client_id=options.name, auto_offset_reset="earliest",
                    enable_auto_commit=False, session_timeout_ms=options.session_ms,
                    heartbeat_interval_ms=options.session_ms // 10,
                    partition_assignment_strategy=[RangePartitionAssignor],
                    reconnect_backoff_max_ms=500)
            except NoBrokersAvailable:
                # The broker may be about to start again; this library does not wait for that.
                if self.stop:
                    raise

    @property
    def membership(self):
        # There is no other way to learn of it.
        return self.consumer._coordinator._generation

    def on_partitions_assigned(self, assigned):
        joined = self.membership
        self.log.owns(assigned, joined.member_id, joined.generation_id)
        try:
            offsets = [(*each, self.consumer.committed(each, timeout_ms=ANSWER_MS))
                       for each in assigned]
        except KafkaError:
            return
        self.log.seen(offsets)

    def on_partitions_revoked(self, revoked):
        self.commit()
        joined = self.membership
        # Without a valid generation it has been thrown out, and is told so by nothing else.
        if revoked and not joined.is_valid:
            self.log.write({"event": "note", "text": "no longer a member"})
        self.log.owns(set(), joined.member_id, joined.generation_id if joined.is_valid else None)

    def commit(self):
        positions = self.log.flush()
        generation = self.membership.generation_id
        if not positions or self.options.commit == "none":
            return
        offsets = {TopicPartition(*place): OffsetAndMetadata(offset, "", -1)
                   for place, offset in positions.items()}
        try:
            self.consumer.commit(offsets, timeout_ms=ANSWER_MS)
            error = None
        except CommitFailedError:
            # Of which it does not say more.
            error = "REBALANCE_IN_PROGRESS"
        except KafkaError as failure:
            error = type(failure).__name__
        self.log.committed(positions, error, generation)

    def run(self):
        self.consumer.subscribe(self.options.topics, listener=self)
        while not self.stop:
            for place, records in self.consumer.poll(timeout_ms=100).items():
                for each in records:
                    self.log.take(*place, each.offset, each.key, each.value)
            self.commit()
        self.consumer.close(autocommit=False, timeout_ms=ANSWER_MS)
        self.log.stop()


if __name__ == "__main__":
    Member(member_parser().parse_args()).run()
