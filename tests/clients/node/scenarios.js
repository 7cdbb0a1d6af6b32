/* KafkaJS as it comes.  `node scenarios.js ADDRESS NAME` runs one method of `scenarios` below and
 * ends with 0 when all its checks held.
 *
 * KafkaJS reads only as a member of a group.  Until there are groups, its own connection and codec
 * read instead, one level below the consumer: see Reader. */
'use strict'

const assert = require('assert')
const { ConfigResourceTypes, CompressionTypes, Kafka, logLevel } = require('kafkajs')

const [, , address, name] = process.argv

function client() {
	return new Kafka({ brokers: [address], logLevel: logLevel.WARN })
}

async function using(thing, work) {
	await thing.connect()
	try {
		return await work(thing)
	} finally {
		await thing.disconnect()
	}
}

function withProducer(work, options = {}) {
	return using(client().producer(options), work)
}

function withAdmin(work) {
	return using(client().admin(), work)
}

async function createTopic(topic, partitions, configs = {}) {
	const configEntries = Object.entries(configs).map(([key, value]) => ({ name: key, value }))
	await withAdmin(async admin => {
		const topics = [{ topic, numPartitions: partitions, configEntries }]
		assert.strictEqual(await admin.createTopics({ topics }), true)
	})
}

/* What the consumer is made of, without the group. */
class Reader {
	constructor() {
		const kafka = client()
		const create = Object.getOwnPropertySymbols(kafka).find(symbol =>
			String(symbol).includes('createCluster'),
		)
		this.cluster = kafka[create]({ isolationLevel: 1 })
	}

	connect() {
		return this.cluster.connect()
	}

	disconnect() {
		return this.cluster.disconnect()
	}

	/* Everything from `offset` up to the high watermark. */
	async read(topic, partition, offset = 0) {
		await this.cluster.addTargetTopic(topic)
		const leaders = this.cluster.findLeaderForPartitions(topic, [partition])
		const broker = await this.cluster.findBroker({ nodeId: Object.keys(leaders)[0] })
		const found = []
		for (;;) {
			const { responses } = await broker.fetch({
				maxWaitTime: 100,
				minBytes: 1,
				maxBytes: 10485760,
				isolationLevel: 1,
				topics: [
					{
						topic,
						partitions: [
							{
								partition,
								fetchOffset: String(offset),
								maxBytes: 1048576,
							},
						],
					},
				],
			})
			const [answer] = responses[0].partitions
			// A batch is given whole, so it may begin before what was asked for.
			found.push(...answer.messages.filter(each => Number(each.offset) >= offset))
			if (found.length) offset = Number(found[found.length - 1].offset) + 1
			if (offset >= Number(answer.highWatermark)) return found
		}
	}
}

function read(topic, partition, offset) {
	return using(new Reader(), reader => reader.read(topic, partition, offset))
}

/* The first values that a member of a group of its own is given. */
async function consume(topic, count) {
	const found = []
	await using(client().consumer({ groupId: `of-${topic}` }), async consumer => {
		await consumer.subscribe({ topic, fromBeginning: true })
		await new Promise((resolve, reject) => {
			const eachMessage = async ({ message }) => {
				if (found.push(String(message.value)) === count) resolve()
			}
			consumer.run({ eachMessage }).catch(reject)
		})
	})
	return found
}

async function code(work) {
	try {
		await work()
	} catch (error) {
		return (error.originalError || error.errors?.[0] || error).type || error.name
	}
	return assert.fail('expected an error, it succeeded')
}

async function sendAndRead(topic, compression, options) {
	await createTopic(topic, 3)
	const sent = new Map()
	await withProducer(async producer => {
		for (let round = 0; round < 20; round++) {
			const messages = Array.from({ length: 100 }, (_, index) => ({
				partition: index % 3,
				key: `key-${index}`,
				value: `value-${round}-${index}-${'x'.repeat(index)}`,
			}))
			const answers = await producer.send({
				topic,
				messages,
				acks: -1,
				compression,
			})
			for (const { partition, baseOffset, errorCode } of answers) {
				assert.strictEqual(errorCode, 0)
				messages.filter(each => each.partition === partition).forEach(
					(each, index) =>
						sent.set(
							`${partition}/${Number(baseOffset) + index}`,
							each.value,
						),
				)
			}
		}
	}, options)
	assert.strictEqual(sent.size, 2000)
	for (let partition = 0; partition < 3; partition++) {
		const found = await read(topic, partition)
		found.forEach((each, index) => {
			assert.strictEqual(each.offset, String(index))
			assert.strictEqual(String(each.value), sent.get(`${partition}/${index}`))
			sent.delete(`${partition}/${index}`)
		})
	}
	assert.strictEqual(sent.size, 0)
}

const scenarios = {
	async records_come_back_in_order() {
		await sendAndRead('node-plain', CompressionTypes.None, {})
	},

	async gzip_comes_back_in_order() {
		await sendAndRead('node-gzip', CompressionTypes.GZIP, {})
	},

	async idempotent_producer_is_served() {
		await sendAndRead('node-idempotent', CompressionTypes.None, {
			idempotent: true,
			maxInFlightRequests: 1,
		})
	},

	async topic_is_created_by_the_first_record() {
		await withProducer(producer =>
			producer.send({ topic: 'node-automatic', messages: [{ value: 'first' }] }),
		)
		const [record] = await read('node-automatic', 0)
		assert.strictEqual(String(record.value), 'first')
	},

	async nulls_headers_and_timestamps_come_back() {
		const topic = 'node-shapes'
		await createTopic(topic, 1)
		await withProducer(producer =>
			producer.send({
				topic,
				messages: [
					{
						key: 'key',
						value: 'value',
						timestamp: '1',
						headers: { trace: ['a1', 'a2'], empty: '' },
					},
					{ key: null, value: 'no key' },
					{ key: 'tombstone', value: null },
					{ key: '', value: '' },
				],
			}),
		)
		const found = await read(topic, 0)
		const text = part => (part === null ? null : String(part))
		assert.deepStrictEqual(
			found.map(each => [text(each.key), text(each.value)]),
			[
				['key', 'value'],
				[null, 'no key'],
				['tombstone', null],
				['', ''],
			],
		)
		assert.deepStrictEqual(found[0].headers.trace.map(String), ['a1', 'a2'])
		assert.strictEqual(String(found[0].headers.empty), '')
		assert.strictEqual(found[0].timestamp, '1')
	},

	async record_near_the_limit_is_taken_and_one_over_it_refused() {
		const topic = 'node-large'
		await createTopic(topic, 1)
		const large = Buffer.alloc(1048576 - 100, 'abcdefg')
		await withProducer(async producer => {
			const send = value => producer.send({ topic, messages: [{ value }] })
			await send(large)
			assert.strictEqual(
				await code(() => send(Buffer.alloc(1048576))),
				'MESSAGE_TOO_LARGE',
			)
			await send('small')
		})
		const found = await read(topic, 0)
		assert.deepStrictEqual(
			found.map(each => each.value.length),
			[large.length, 5],
		)
		assert(found[0].value.equals(large))
	},

	async topics_are_created_listed_described_grown_and_deleted() {
		const topic = 'node-topic'
		await createTopic(topic, 2)
		await withAdmin(async admin => {
			assert((await admin.listTopics()).includes(topic))
			const described = async () =>
				(await admin.fetchTopicMetadata({ topics: [topic] })).topics[0]
			assert.strictEqual((await described()).partitions.length, 2)
			await admin.createPartitions({ topicPartitions: [{ topic, count: 5 }] })
			assert.strictEqual((await described()).partitions.length, 5)
			assert.strictEqual(await admin.createTopics({ topics: [{ topic }] }), false)
			assert.strictEqual(
				await code(() =>
					admin.createTopics({
						topics: [{ topic: 'a/b', numPartitions: 1 }],
					}),
				),
				'INVALID_TOPIC_EXCEPTION',
			)
			await admin.deleteTopics({ topics: [topic] })
			assert(!(await admin.listTopics()).includes(topic))
		})
	},

	async configs_are_described_and_changed() {
		const topic = 'node-configs'
		await createTopic(topic, 1, { 'retention.bytes': '1000000' })
		await withAdmin(async admin => {
			const resource = { type: ConfigResourceTypes.TOPIC, name: topic }
			const described = async key =>
				(
					await admin.describeConfigs({
						includeSynonyms: true,
						resources: [{ ...resource, configNames: [key] }],
					})
				).resources[0].configEntries.find(entry => entry.configName === key)
					.configValue
			assert.strictEqual(await described('retention.bytes'), '1000000')
			await admin.alterConfigs({
				validateOnly: false,
				resources: [
					{
						...resource,
						configEntries: [
							{ name: 'retention.ms', value: '777' },
						],
					},
				],
			})
			assert.strictEqual(await described('retention.ms'), '777')
		})
	},

	async offsets_are_listed_and_records_deleted() {
		const topic = 'node-offsets'
		await createTopic(topic, 1, { 'retention.ms': '-1' })
		await withProducer(async producer => {
			for (let number = 0; number < 20; number++)
				await producer.send({
					topic,
					messages: [
						{
							value: String(number),
							timestamp: String(1000 * (number + 1)),
						},
					],
				})
		})
		await withAdmin(async admin => {
			const offsets = async () => (await admin.fetchTopicOffsets(topic))[0]
			assert.deepStrictEqual(await offsets(), {
				partition: 0,
				offset: '20',
				high: '20',
				low: '0',
			})
			assert.deepStrictEqual(
				await admin.fetchTopicOffsetsByTimestamp(topic, 5001),
				[{ partition: 0, offset: '5' }],
			)
			await admin.deleteTopicRecords({
				topic,
				partitions: [{ partition: 0, offset: '7' }],
			})
			assert.strictEqual((await offsets()).low, '7')
		})
		const found = await read(topic, 0, 7)
		assert.deepStrictEqual(
			found.map(each => Number(each.value)),
			Array.from({ length: 13 }, (_, index) => index + 7),
		)
	},

	async cluster_is_described() {
		await withAdmin(async admin => {
			const { brokers, clusterId } = await admin.describeCluster()
			assert.deepStrictEqual(
				brokers.map(each => `${each.host}:${each.port}`),
				[address],
			)
			assert(clusterId.length > 0)
		})
	},

	async transactions_are_delivered_if_they_were_committed() {
		const topic = 'node-transactions'
		const options = {
			transactionalId: 'node-transaction',
			idempotent: true,
			maxInFlightRequests: 1,
		}
		await createTopic(topic, 1)
		await withProducer(async producer => {
			for (const value of ['kept', 'dropped', 'kept too']) {
				const transaction = await producer.transaction()
				await transaction.send({ topic, messages: [{ value }] })
				if (value === 'dropped') await transaction.abort()
				else await transaction.commit()
			}
		}, options)
		assert.deepStrictEqual(await consume(topic, 2), ['kept', 'kept too'])
	},
}

scenarios[name]().then(
	() => console.log(`passed ${name}`),
	error => {
		console.error(error)
		process.exitCode = 1
	},
)
