/* A member of a group with KafkaJS; the options are those of members/event_log.py. */
'use strict'

const fs = require('fs')
const { Kafka, KafkaJSNonRetriableError, logLevel } = require('kafkajs')

const REFUSALS = [
	'ILLEGAL_GENERATION',
	'UNKNOWN_MEMBER_ID',
	'REBALANCE_IN_PROGRESS',
	'FENCED_INSTANCE_ID',
]

const options = { protocol: 'classic', assignor: 'range', commit: 'sync', 'session-ms': '6000' }
for (let i = 2; i < process.argv.length; i += 2) {
	options[process.argv[i].slice(2)] = process.argv[i + 1]
}
for (const [name, wanted] of [
	['protocol', 'classic'],
	['assignor', 'range'],
	['instance', undefined],
]) {
	if (options[name] !== wanted) {
		throw new Error(`KafkaJS has no ${name} ${options[name]}`)
	}
}

/* One write a line, and none is held back: kill -9 leaves what was logged. */
const log = fs.openSync(options.log, 'wx')

function write(event, fields) {
	fs.writeSync(log, JSON.stringify({ event, ...fields }) + '\n')
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
	for (let bit = 0; bit < 8; bit++) {
		byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1
	}
	return byte
})

function crc32(...buffers) {
	let sum = 0xffffffff
	for (const buffer of buffers) {
		for (const byte of buffer || []) {
			sum = (sum >>> 8) ^ CRC_TABLE[(sum ^ byte) & 0xff]
		}
	}
	return (sum ^ 0xffffffff) >>> 0
}

/* The generation stands in no event of a rebalance, only in the answer that is logged. */
let generation = null

function logCreator() {
	return ({ level, label, log: { message, ...extra } }) => {
		if (message.startsWith('Response JoinGroup') && extra.data) {
			generation = extra.data.generationId
		}
		if (level <= logLevel.ERROR) {
			console.error(label, message, JSON.stringify(extra))
		}
	}
}

const kafka = new Kafka({
	brokers: [options.brokers],
	clientId: options.name,
	logLevel: logLevel.DEBUG,
	logCreator,
	retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 1000 },
})
const consumer = kafka.consumer({
	groupId: options.group,
	sessionTimeout: Number(options['session-ms']),
	heartbeatInterval: Number(options['session-ms']) / 10,
	maxWaitTimeInMs: 100,
})
let member = ''
let owned = []

function owns(partitions) {
	owned = partitions
	write('owns', { group: options.group, member, generation, partitions })
}

function position(offset) {
	return Number(BigInt(offset) + 1n)
}

/* Of an error here the next heartbeat tells too, and that has it join again. */
async function commit(topic, partition, offset) {
	const answer = { group: options.group, generation, offsets: [[topic, partition, offset]] }
	try {
		await consumer.commitOffsets([{ topic, partition, offset: String(offset) }])
		write('committed', { ...answer, result: 'ok' })
	} catch (error) {
		const result = REFUSALS.includes(error.type) ? 'refused' : 'unknown'
		write('committed', { ...answer, result, error: error.type || error.name })
	}
}

async function take({ batch, isStale, heartbeat, resolveOffset }) {
	// It was fetched for an assignment that is over.
	if (isStale() || !owned.some(([topic, at]) => topic === batch.topic && at === batch.partition)) {
		return
	}
	const records = batch.messages.map(({ key, value, offset }) => [
		Number(offset),
		String(value || '').split(' ', 1)[0],
		crc32(key, value),
	])
	write('fetched', { topic: batch.topic, partition: batch.partition, records })
	if (options.commit !== 'none') {
		await commit(batch.topic, batch.partition, position(batch.lastOffset()))
	}
	// A heartbeat that fails would have it read the batch again.
	resolveOffset(batch.lastOffset())
	await heartbeat()
}

async function main() {
	process.on('SIGTERM', async () => {
		await consumer.disconnect()
		write('stop', {})
		process.exit(0)
	})
	write('start', {
		client: options.name,
		library: `KafkaJS ${require('kafkajs/package.json').version}`,
		group: options.group,
		topics: options.topics.split(','),
		commit: options.commit === 'none' ? 'none' : 'after',
		after: options.after ? options.after.split(',') : [],
	})
	const { GROUP_JOIN, REBALANCING, CRASH } = consumer.events
	consumer.on(REBALANCING, () => owns([]))
	consumer.on(GROUP_JOIN, ({ payload }) => {
		member = payload.memberId
		// Each time it begins anew, from what is committed.
		owns([])
		owns(
			Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
				partitions.map(partition => [topic, partition]),
			),
		)
	})
	consumer.on(CRASH, ({ payload }) => {
		owns([])
		console.error('crash', payload.error.message, 'restart', payload.restart)
		if (payload.error instanceof KafkaJSNonRetriableError && !payload.restart) {
			process.exit(1)
		}
	})
	await consumer.connect()
	await consumer.subscribe({ topics: options.topics.split(','), fromBeginning: true })
	await consumer.run({
		autoCommit: false,
		eachBatchAutoResolve: true,
		partitionsConsumedConcurrently: 1,
		eachBatch: take,
	})
}

main().catch(error => {
	console.error(error)
	process.exit(1)
})
