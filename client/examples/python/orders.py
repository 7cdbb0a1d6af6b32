"""Produces and consumes orders with confluent-kafka.

    orders.py produce COUNT      sends orders, each under the key of its customer
    orders.py consume COUNT      works on that many as a member of the group `billing`
"""
import json
import os
import sys

from confluent_kafka import Consumer, KafkaError, Producer

BROKER = os.environ.get("BROKER", "127.0.0.1:9092")
TOPIC = "orders"


def produce(count):
    # Idempotence: a batch that is sent again after a lost answer is stored once, in order.
    producer = Producer({"bootstrap.servers": BROKER, "enable.idempotence": True, "linger.ms": 5})
    failed = []

    def delivered(error, _message):
        if error:
            failed.append(error)

    for number in range(count):
        order = {"order": number, "customer": f"customer-{number % 3}"}
        # One key, one partition: a customer's orders stay in order.  The id is for the dedup
        # window, which recognises the order even when another process sends it again.
        producer.produce(TOPIC, json.dumps(order), key=order["customer"],
                         headers={"dedup-id": f"order-{number}"}, on_delivery=delivered)
        producer.poll(0)
    producer.flush()
    if failed:
        sys.exit(f"{len(failed)} orders were not stored: {failed[0]}")
    print(f"{count} orders are stored")


def consume(count):
    consumer = Consumer({"bootstrap.servers": BROKER, "group.id": "billing",
                         "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([TOPIC])
    done = 0
    while done < count:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                continue  # not made yet
            sys.exit(f"cannot read: {message.error()}")
        json.loads(message.value())  # the work
        done += 1
        # After the work: what a crash interrupts is given again, to whoever takes over.
        consumer.commit(message)
    consumer.close()
    print(f"{done} orders are billed")


if __name__ == "__main__":
    {"produce": produce, "consume": consume}[sys.argv[1]](int(sys.argv[2]))
