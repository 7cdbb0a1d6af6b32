// Produces and consumes orders with KafkaJS.
//
//   orders.js produce COUNT      sends orders, each under the key of its customer
//   orders.js consume COUNT      works on that many as a member of the group `billing-js`
"use strict";

const { Kafka, logLevel } = require("kafkajs");

const TOPIC = "orders";
const kafka = new Kafka({
	clientId: "orders",
	brokers: [process.env.BROKER ?? "127.0.0.1:9092"],
	logLevel: logLevel.ERROR,
});

async function produce(count) {
	// Idempotence: what is sent again after a lost answer is stored once.
	const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
	await producer.connect();
	await producer.send({
		topic: TOPIC,
		messages: Array.from({ length: count }, (_, number) => ({
			// One key, one partition: a customer's orders stay in order.
			key: `customer-${number % 3}`,
			value: JSON.stringify({ order: number }),
			// For the dedup window, whoever sends it again.
			headers: { "dedup-id": `order-${number}` },
		})),
	});
	await producer.disconnect();
	console.log(`${count} orders are stored`);
}

async function consume(count) {
	const consumer = kafka.consumer({ groupId: "billing-js" });
	let done = 0;
	let finished;
	const all = new Promise(resolve => {
		finished = resolve;
	});
	await consumer.connect();
	await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
	await consumer.run({
		autoCommit: false,
		eachMessage: async ({ topic, partition, message }) => {
			JSON.parse(message.value); // the work
			// After the work: what a crash interrupts is given again.
			const offset = String(BigInt(message.offset) + 1n);
			await consumer.commitOffsets([{ topic, partition, offset }]);
			if (++done >= count)
				finished();
		},
	});
	await all;
	await consumer.disconnect();
	console.log(`${done} orders are billed`);
}

const [verb, count] = process.argv.slice(2);
({ produce, consume })[verb](Number(count)).catch(error => {
	console.error(error);
	process.exit(1);
});
