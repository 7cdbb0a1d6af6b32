"""Producers without idempotence and with message ids, through the proxy that sends their requests
twice, late and in part while the broker is killed: each id is stored once within the window.

SLUICE_LONG=1 goes on for five minutes; the variables of test_idempotence.py are known here too.
"""
import random
import time

import group_libraries as libraries
import harness
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from fault_proxy import FaultProxy
from test_idempotence import (FAULTS, NONE, PARTITIONS, RATE, SEED, SETTINGS, DirectlyReadWorld,
                              kill_again_and_again, told_of, wait_acknowledged)

HEADER = "dedup-id"
TWINS = 2  # producers of each library, all of which send the same ids
WINDOW_SECONDS = 4
# An id is remembered for an eighth of the window longer at most; the rest is for the machine.
FORGOTTEN_SECONDS = WINDOW_SECONDS * (1 + 1 / 8) + 0.5
READ_SECONDS = 60


def test_each_id_is_stored_once_whoever_sends_it_and_whatever_the_network_does(tmp_path):
    print(f"SLUICED_IDEMPOTENCE_SEED={SEED}", flush=True)
    chance = random.Random(SEED)
    port = harness.free_port()
    with FaultProxy("127.0.0.1", port, SEED) as proxy, harness.Broker(
            port=port, settings={**SETTINGS, "advertised.listen": proxy.address}) as broker:
        with DirectlyReadWorld(tmp_path, broker, partitions=PARTITIONS,
                               configs={"dedup.enable": "true", "dedup.window.ms": "1h"}) as world:
            world.harness.write({"event": "dedup", "topic": "t", "window_ms": None})
            proxy.faults = FAULTS
            for library in libraries.PRODUCERS:
                if library.there():
                    for twin in range(TWINS):
                        world.producer(f"{library.name}-{twin}", RATE // TWINS, library,
                                       proxy.address, dedup="id")
            kill_again_and_again(world, chance)
            wait_acknowledged(world)
            history = world.judge()
        print(proxy.report(), flush=True)
        for producer in history.producers:
            sent, stored = told_of(producer)
            print(f"{producer.name}: {sent} records")
            assert sent == stored, f"{producer.name} was told of {stored} of {sent} records only"
        assert proxy.counts["twice"] and proxy.late_answers and broker.starts > 2
        assert set(proxy.late_answers) <= {NONE}


# ---- one client, with all in its hand ----


def create(broker, topic, **configs):
    configs = {f"dedup.{key.replace('_', '.')}": str(value) for key, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": broker.address})
    [done] = admin.create_topics(
        [NewTopic(topic, 1, 1, config={"dedup.enable": "true", **configs})]).values()
    done.result(READ_SECONDS)


class Sender:
    """One request a record, so that what it is told is of that record."""

    def __init__(self, broker, **settings):
        self.producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 0,
                                  "enable.idempotence": False, "retry.backoff.max.ms": 500,
                                  **settings})
        self.answers = []

    def send(self, topic, message_id):
        """(error's name or None, offset)"""
        self.producer.produce(topic, message_id, partition=0, headers=[(HEADER, message_id)],
                              on_delivery=lambda *answer: self.answers.append(answer))
        assert self.producer.flush(READ_SECONDS) == 0
        error, message = self.answers.pop()
        return (error.name() if error else None), message.offset()


def read_values(broker, topic):
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "reader",
                         "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    deadline = time.monotonic() + READ_SECONDS
    while time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():  # the end
            consumer.close()
            return found
        found.append((message.offset(), message.value().decode()))
    raise AssertionError(f"no end of {topic}")


def test_ids_just_inside_the_window_are_known_and_just_outside_are_stored_again(broker, topic):
    create(broker, topic, window_ms=WINDOW_SECONDS * 1000)
    sender = Sender(broker)
    ids = [f"id-{number}" for number in range(30)]
    sent, stored, offsets = {}, {}, {}
    for each in ids:
        sent[each] = time.monotonic()
        error, offsets[each] = sender.send(topic, each)
        stored[each] = time.monotonic()
        assert error is None
        time.sleep(0.05)
    late = []
    for each in ids:
        time.sleep(max(0, sent[each] + WINDOW_SECONDS - 0.3 - time.monotonic()))
        if sender.send(topic, each) != (None, offsets[each]):
            # After the answer: one that came within the window was judged within it.
            assert time.monotonic() - sent[each] >= WINDOW_SECONDS
            late.append(each)
    # Those that a slow machine was late with are stored again already, and known.
    on_time = [each for each in ids if each not in late]
    again = []
    for each in on_time:
        time.sleep(max(0, stored[each] + FORGOTTEN_SECONDS - time.monotonic()))
        again.append(sender.send(topic, each))
    first = len(ids) + len(late)
    assert again == [(None, first + index) for index in range(len(on_time))]
    assert [value for _, value in read_values(broker, topic)] == ids + late + on_time


def test_a_consumer_reads_over_the_gaps(broker, topic):
    create(broker, topic)
    sender = Sender(broker)
    for number in (1, 3, 5):
        sender.send(topic, f"id-{number}")
    batching = Producer({"bootstrap.servers": broker.address, "linger.ms": 500,
                         "enable.idempotence": False})
    for number in range(7):
        batching.produce(topic, f"id-{number}", partition=0, headers=[(HEADER, f"id-{number}")])
    assert batching.flush(READ_SECONDS) == 0
    assert read_values(broker, topic) == [
        (0, "id-1"), (1, "id-3"), (2, "id-5"), (3, "id-0"), (5, "id-2"), (7, "id-4"), (9, "id-6")]


def test_librdkafka_sends_again_what_a_full_window_refuses(broker, topic):
    create(broker, topic, max_entries=100, on_full="reject", window_ms=2000)
    sender = Sender(broker)
    answers = [sender.send(topic, f"id-{number}") for number in range(150)]
    assert answers == [(None, number) for number in range(150)]


def test_what_a_full_window_refuses_for_too_long_fails_with_a_name(broker, topic):
    create(broker, topic, max_entries=100, on_full="reject", window_ms=3600_000)
    sender = Sender(broker, **{"message.timeout.ms": 3000})
    for number in range(101):
        error, _ = sender.send(topic, f"id-{number}")
    assert error in ("NOT_ENOUGH_REPLICAS", "_MSG_TIMED_OUT")


def test_an_aborted_record_does_not_hide_its_retry(broker, topic):
    create(broker, topic)
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": topic})
    producer.init_transactions(READ_SECONDS)
    for commit in (False, True):
        producer.begin_transaction()
        producer.produce(topic, "value", partition=0, headers=[(HEADER, "id")])
        assert producer.flush(READ_SECONDS) == 0
        if commit:
            producer.commit_transaction(READ_SECONDS)
        else:
            producer.abort_transaction(READ_SECONDS)
    assert [value for _, value in read_values(broker, topic)] == ["value"]
