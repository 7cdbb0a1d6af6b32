"""Transactional producers of the Python libraries behind one face.

    producer = Confluent(address, "my-id", timeout_ms=10000)
    producer.begin()
    producer.send("topic", 0, b"value")
    producer.commit()
    producer.close()

A call raises what its library raises; `fenced(error)` says whether that means that another producer
has the transactional id now, or that the transaction has timed out, which looks the same.
"""
import asyncio

import confluent_kafka
import kafka
from kafka.errors import InvalidProducerEpochError
from kafka.errors import ProducerFencedError as KafkaPythonFenced

import aiokafka
from aiokafka.errors import ProducerFenced as AiokafkaFenced

ANSWER_SECONDS = 30


class Confluent:
    def __init__(self, address, transactional_id, timeout_ms=10000):
        self.producer = confluent_kafka.Producer({
            "bootstrap.servers": address, "transactional.id": transactional_id,
            "transaction.timeout.ms": timeout_ms, "linger.ms": 0, "log_level": 2,
            "reconnect.backoff.max.ms": 500})
        self.producer.init_transactions(ANSWER_SECONDS)

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, partition, value):
        """It is stored when this returns."""
        self.producer.produce(topic, value, partition=partition)
        assert self.producer.flush(ANSWER_SECONDS) == 0

    def commit(self):
        self.producer.commit_transaction(ANSWER_SECONDS)

    def abort(self):
        self.producer.abort_transaction(ANSWER_SECONDS)

    def close(self):
        del self.producer

    @staticmethod
    def fenced(error):
        code = error.args[0]
        return isinstance(error, confluent_kafka.KafkaException) and (
            code.code() in (confluent_kafka.KafkaError._FENCED,
                            confluent_kafka.KafkaError.PRODUCER_FENCED,
                            confluent_kafka.KafkaError.INVALID_PRODUCER_EPOCH))


class KafkaPython:
    def __init__(self, address, transactional_id, timeout_ms=10000):
        self.producer = kafka.KafkaProducer(
            bootstrap_servers=address, transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms, reconnect_backoff_max_ms=500,
            delivery_timeout_ms=15000, request_timeout_ms=10000)
        self.producer.init_transactions()

    def begin(self):
        self.producer.begin_transaction()

    def send(self, topic, partition, value):
        self.producer.send(topic, value, partition=partition).get(ANSWER_SECONDS)

    def commit(self):
        self.producer.commit_transaction()

    def abort(self):
        self.producer.abort_transaction()

    def close(self):
        self.producer.close(ANSWER_SECONDS)

    @staticmethod
    def fenced(error):
        return isinstance(error, (KafkaPythonFenced, InvalidProducerEpochError))


class Aiokafka:
    def __init__(self, address, transactional_id, timeout_ms=10000):
        self.loop = asyncio.new_event_loop()
        self.producer = self.run(self.started(address, transactional_id, timeout_ms))

    @staticmethod
    async def started(address, transactional_id, timeout_ms):
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=address, transactional_id=transactional_id,
            transaction_timeout_ms=timeout_ms)
        await producer.start()
        return producer

    def run(self, work):
        return self.loop.run_until_complete(asyncio.wait_for(work, ANSWER_SECONDS))

    def begin(self):
        self.run(self.producer.begin_transaction())

    def send(self, topic, partition, value):
        self.run(self.producer.send_and_wait(topic, value, partition=partition))

    def commit(self):
        self.run(self.producer.commit_transaction())

    def abort(self):
        self.run(self.producer.abort_transaction())

    def close(self):
        self.run(self.producer.stop())
        self.loop.close()

    @staticmethod
    def fenced(error):
        return isinstance(error, AiokafkaFenced)


ALL = [Confluent, KafkaPython, Aiokafka]
# kafka-python forgets a request to the coordinator that meets a broken connection, and with it the
# records that wait for the answer.
SURVIVORS = [Confluent, Aiokafka]
