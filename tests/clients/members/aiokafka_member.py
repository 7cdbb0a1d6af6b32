"""A member of a group with aiokafka."""
import asyncio

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, KafkaConnectionError, KafkaError
from event_log import MemberLog, Stop, member_parser

ANSWER_SECONDS = 10


class Member(aiokafka.ConsumerRebalanceListener):
    def __init__(self, options):
        for name, wanted in [("protocol", "classic"), ("assignor", "range")]:
            if getattr(options, name) != wanted:
                raise SystemExit(f"aiokafka has no {name} {getattr(options, name)}")
        self.options = options
        self.stop = Stop()
        self.log = MemberLog(options, f"aiokafka {aiokafka.__version__}")
        self.consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=options.brokers, group_id=options.group, client_id=options.name,
            group_instance_id=options.instance, auto_offset_reset="earliest",
            enable_auto_commit=False, session_timeout_ms=options.session_ms,
            heartbeat_interval_ms=options.session_ms // 10,
            partition_assignment_strategy=[RangePartitionAssignor])

    @property
    def coordinator(self):
        # There is no other way to learn of the generation.
        return self.consumer._coordinator

    def owns(self, partitions):
        generation = self.coordinator.generation
        self.log.owns(((each.topic, each.partition) for each in partitions),
                      self.coordinator.member_id, generation if generation >= 0 else None)

    async def on_partitions_assigned(self, assigned):
        self.owns(assigned)
        try:
            offsets = [(*each, await self.consumer.committed(each)) for each in assigned]
        except KafkaError:
            return
        self.log.seen(offsets)

    async def on_partitions_revoked(self, revoked):
        self.owns([])

    async def commit(self):
        positions = self.log.flush()
        generation = self.coordinator.generation
        if not positions or self.options.commit == "none":
            return
        offsets = {aiokafka.TopicPartition(*place): offset for place, offset in positions.items()}
        try:
            await asyncio.wait_for(self.consumer.commit(offsets), ANSWER_SECONDS)
            error = None
        except CommitFailedError:
            # Of which it does not say more.
            error = "REBALANCE_IN_PROGRESS"
        except (KafkaError, asyncio.TimeoutError) as failure:
            error = type(failure).__name__
        self.log.committed(positions, error, generation)

    async def start(self):
        while True:
            try:
                return await self.consumer.start()
            except KafkaConnectionError:
                # The broker may be about to start again; this library does not wait for that.
                if self.stop:
                    raise
                await asyncio.sleep(0.1)

    async def run(self):
        self.consumer.subscribe(self.options.topics, listener=self)
        await self.start()
        while not self.stop:
            batches = await self.consumer.getmany(timeout_ms=100, max_records=500)
            for place, records in batches.items():
                # Rebalances happen in a task of their own, and may have come in between.
                for each in records if place in self.log.owned else ():
                    self.log.take(*place, each.offset, each.key, each.value)
            await self.commit()
        await self.consumer.stop()
        self.log.stop()


async def main():
    await Member(member_parser().parse_args()).run()


if __name__ == "__main__":
    asyncio.run(main())
