import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;

/** Producing and reading by manual assignment. */
final class Records extends Support {
	private Records() {
	}

	private static byte[] bytes(String text) {
		return text.getBytes(StandardCharsets.UTF_8);
	}

	private static Future<RecordMetadata> send(
		KafkaProducer<byte[], byte[]> producer, String topic, String value) {
		return producer.send(new ProducerRecord<>(topic, bytes(value)));
	}

	private static String text(ConsumerRecord<byte[], byte[]> record) {
		return new String(record.value(), StandardCharsets.UTF_8);
	}

	/**
	 * A new topic with values "0", "1" ... stamped 1000, 2000 ..., which retention must leave
	 * alone.
	 */
	private static void number(String topic, int count) throws Exception {
		createTopic(topic, 1, "retention.ms", "-1");
		List<Future<RecordMetadata>> sent = new ArrayList<>();
		try (var producer = producer()) {
			for (int i = 0; i < count; i++)
				sent.add(producer.send(new ProducerRecord<>(
					topic, 0, 1000L * (i + 1), null, bytes("" + i))));
		}
		all(sent);
	}

	/**
	 * The producer as it is without a setting: idempotent, acks=all, five requests in flight.
	 */
	@Scenario
	static void default_producer_and_assigned_consumer() throws Exception {
		String topic = "java-default";
		int partitions = 4, count = 10000;
		createTopic(topic, partitions);
		Map<TopicPartition, List<String>> expected = new HashMap<>();
		List<Future<RecordMetadata>> sent = new ArrayList<>();
		try (var producer = producer()) {
			for (int i = 0; i < count; i++)
				sent.add(producer.send(new ProducerRecord<>(
					topic, bytes("key-" + i % 97), bytes("value-" + i))));
			List<RecordMetadata> answers = all(sent);
			for (int i = 0; i < count; i++) {
				RecordMetadata answer = answers.get(i);
				var lane = expected.computeIfAbsent(
					new TopicPartition(topic, answer.partition()),
					key -> new ArrayList<>());
				same((long) lane.size(), answer.offset(), "offset of record " + i);
				lane.add("key-" + i % 97 + "=value-" + i);
			}
			same(partitions, expected.size(), "partitions used");
			// One for the bootstrap address and one for the broker that it names.
			double connections = metric(producer.metrics(), "producer-metrics",
				"connection-creation-total");
			check(connections <= 2, connections + " connections");
		}
		try (var consumer = consumer()) {
			consumer.assign(partitions(topic, partitions));
			consumer.seekToBeginning(consumer.assignment());
			Map<TopicPartition, List<String>> found = new HashMap<>();
			for (var record : poll(consumer, count))
				found.computeIfAbsent(new TopicPartition(topic, record.partition()),
					     key -> new ArrayList<>())
					.add(new String(record.key(), StandardCharsets.UTF_8) +
						"=" + text(record));
			same(expected, found, "records of each partition");
			Map<TopicPartition, Long> ends = new HashMap<>();
			expected.forEach(
				(partition, lane) -> ends.put(partition, (long) lane.size()));
			same(ends, consumer.endOffsets(expected.keySet()), "end offsets");
			for (long begin : consumer.beginningOffsets(expected.keySet()).values())
				same(0L, begin, "beginning offset");
			double connections = metric(consumer.metrics(), "consumer-metrics",
				"connection-creation-total");
			check(connections <= 2, connections + " connections");
		}
	}

	@Scenario
	static void topic_is_created_by_the_first_record() throws Exception {
		String topic = "java-automatic";
		try (var producer = producer(); var consumer = consumer()) {
			same(0L, done(send(producer, topic, "first")).offset(), "offset");
			same(1, producer.partitionsFor(topic).size(), "partitions");
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			same("first", text(poll(consumer, 1).get(0)), "value");
		}
	}

	@Scenario
	static void nulls_headers_and_timestamps_come_back() throws Exception {
		String topic = "java-shapes";
		createTopic(topic, 1);
		List<Header> headers = List.of(new RecordHeader("trace", bytes("a1")),
			new RecordHeader("trace", bytes("a2")), new RecordHeader("none", null),
			new RecordHeader("empty", new byte[0]),
			new RecordHeader("Schlüssel", bytes("Wert ☃")));
		List<ProducerRecord<byte[], byte[]>> sent = List.of(
			new ProducerRecord<>(topic, 0, 0L, bytes("key"), bytes("value"), headers),
			new ProducerRecord<>(topic, 0, 1L, null, bytes("no key")),
			new ProducerRecord<>(
				topic, 0, 1700000000000L, bytes("tombstone"), (byte[]) null),
			new ProducerRecord<>(topic, 0, 2L, null, (byte[]) null),
			new ProducerRecord<>(topic, 0, 4102444800000L, new byte[0], new byte[0]));
		List<Future<RecordMetadata>> answers = new ArrayList<>();
		try (var producer = producer("linger.ms", "100")) {
			sent.forEach(record -> answers.add(producer.send(record)));
		}
		all(answers);
		try (var consumer = consumer()) {
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			var found = poll(consumer, sent.size());
			for (int i = 0; i < sent.size(); i++) {
				var wanted = sent.get(i);
				var record = found.get(i);
				same(wanted.key(), record.key(), "key of " + i);
				same(wanted.value(), record.value(), "value of " + i);
				same(wanted.timestamp(), record.timestamp(), "timestamp of " + i);
				same(Arrays.asList(wanted.headers().toArray()),
					Arrays.asList(record.headers().toArray()),
					"headers of " + i);
			}
		}
	}

	@Scenario
	static void every_codec_comes_back() throws Exception {
		String topic = "java-codecs";
		String[] codecs = {"none", "gzip", "snappy", "lz4", "zstd"};
		createTopic(topic, codecs.length);
		Random random = new Random(1);
		List<List<byte[]>> expected = new ArrayList<>();
		for (int codec = 0; codec < codecs.length; codec++) {
			List<byte[]> lane = new ArrayList<>();
			List<Future<RecordMetadata>> sent = new ArrayList<>();
			try (var producer = producer(
				     "compression.type", codecs[codec], "batch.size", "200000")) {
				for (int i = 0; i < 2000; i++) {
					// Half of it compresses, the other half does not.
					byte[] value = new byte[random.nextInt(1000)];
					random.nextBytes(value);
					Arrays.fill(value, 0, value.length / 2, (byte) i);
					lane.add(value);
					sent.add(producer.send(
						new ProducerRecord<>(topic, codec, null, value)));
				}
			}
			all(sent);
			expected.add(lane);
		}
		try (var consumer = consumer()) {
			for (int codec = 0; codec < codecs.length; codec++) {
				consumer.assign(List.of(new TopicPartition(topic, codec)));
				consumer.seekToBeginning(consumer.assignment());
				var found = poll(consumer, 2000);
				for (int i = 0; i < 2000; i++)
					same(expected.get(codec).get(i), found.get(i).value(),
						codecs[codec] + " value " + i);
			}
		}
	}

	@Scenario
	static void seeks_to_beginning_end_offset_and_time() throws Exception {
		String topic = "java-seeks";
		TopicPartition partition = new TopicPartition(topic, 0);
		number(topic, 100);
		try (var consumer = consumer()) {
			consumer.assign(List.of(partition));
			consumer.seek(partition, 42);
			same("42", text(poll(consumer, 58).get(0)), "value at 42");
			consumer.seekToEnd(List.of(partition));
			same(100L, consumer.position(partition), "position at the end");
			poll(consumer, 0);
			consumer.seekToBeginning(List.of(partition));
			same("0", text(poll(consumer, 100).get(0)), "value at the beginning");
			for (long[] pair : new long[][] {
				     {0, 0}, {1000, 0}, {1001, 1}, {70000, 69}, {100000, 99}}) {
				OffsetAndTimestamp at =
					consumer.offsetsForTimes(Map.of(partition, pair[0]))
						.get(partition);
				same(pair[1], at.offset(), "offset for time " + pair[0]);
				same(1000 * (pair[1] + 1), at.timestamp(), "timestamp found");
			}
			same(null,
				consumer.offsetsForTimes(Map.of(partition, 100001L)).get(partition),
				"offset for a time after the last record");
		}
	}

	@Scenario
	static void out_of_range_follows_the_reset_policy() throws Exception {
		String topic = "java-out-of-range";
		TopicPartition partition = new TopicPartition(topic, 0);
		number(topic, 10);
		try (var consumer = consumer("auto.offset.reset", "none")) {
			consumer.assign(List.of(partition));
			fails(NoOffsetForPartitionException.class,
				() -> consumer.poll(Duration.ofSeconds(10)));
			consumer.seek(partition, 11);
			var error = fails(OffsetOutOfRangeException.class, () -> poll(consumer, 1));
			same(Map.of(partition, 11L), error.offsetOutOfRangePartitions(), "told");
		}
		try (var consumer = consumer("auto.offset.reset", "earliest")) {
			consumer.assign(List.of(partition));
			consumer.seek(partition, 1000);
			same(0L, poll(consumer, 10).get(0).offset(), "first after a reset");
		}
	}

	@Scenario
	static void record_near_the_limit_is_taken_and_one_over_it_refused() throws Exception {
		String topic = "java-large";
		// The broker's limit is on the batch, and the producer's on its idea of it.
		byte[] large = new byte[1048576 - 100];
		new Random(2).nextBytes(large);
		createTopic(topic, 1);
		try (var producer = producer("max.request.size", "4000000")) {
			done(producer.send(new ProducerRecord<>(topic, large)));
			fails(RecordTooLargeException.class,
				()
					-> done(producer.send(
						new ProducerRecord<>(topic, new byte[1048576]))));
			fails(RecordTooLargeException.class,
				()
					-> done(producer.send(
						new ProducerRecord<>(topic, new byte[3000000]))));
			done(send(producer, topic, "small"));
		}
		// A consumer gets a batch that is larger than what it asked for.
		try (var consumer = consumer(
			     "max.partition.fetch.bytes", "1000", "fetch.max.bytes", "1000")) {
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			var found = poll(consumer, 2);
			same(large, found.get(0).value(), "large value");
			same("small", text(found.get(1)), "value after it");
		}
	}

	@Scenario
	static void topic_with_a_higher_limit_takes_large_records() throws Exception {
		String topic = "java-larger";
		byte[] large = new byte[8 << 20];
		new Random(3).nextBytes(large);
		createTopic(topic, 1, "max.message.bytes", "16777216");
		try (var producer = producer("max.request.size", "16777216");
			var consumer = consumer()) {
			done(producer.send(new ProducerRecord<>(topic, large)));
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			same(large, poll(consumer, 1).get(0).value(), "value");
		}
	}

	@Scenario
	static void acks_0_and_1_are_served() throws Exception {
		for (String acks : new String[] {"0", "1"}) {
			String topic = "java-acks-" + acks;
			createTopic(topic, 1);
			Set<String> expected = new HashSet<>();
			try (var producer = producer("acks", acks)) {
				for (int i = 0; i < 1000; i++) {
					expected.add("" + i);
					send(producer, topic, "" + i);
				}
			}
			try (var consumer = consumer()) {
				consumer.assign(partitions(topic, 1));
				consumer.seekToBeginning(consumer.assignment());
				Set<String> found = new HashSet<>();
				poll(consumer, 1000).forEach(record -> found.add(text(record)));
				same(expected, found, "records with acks=" + acks);
			}
		}
	}

	/** The broker's clock goes into the batch, whose checksum the consumer verifies. */
	@Scenario
	static void append_time_replaces_the_producers_time() throws Exception {
		String topic = "java-append-time";
		createTopic(topic, 1, "message.timestamp.type", "LogAppendTime");
		long before = System.currentTimeMillis();
		try (var producer = producer("compression.type", "zstd");
			var consumer = consumer()) {
			RecordMetadata answer = done(producer.send(
				new ProducerRecord<>(topic, 0, 1000L, null, bytes("stamped"))));
			check(answer.timestamp() >= before - 1000 &&
					answer.timestamp() <= System.currentTimeMillis() + 1000,
				"the answer's time: " + answer.timestamp());
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			var record = poll(consumer, 1).get(0);
			same(TimestampType.LOG_APPEND_TIME, record.timestampType(), "type");
			same(answer.timestamp(), record.timestamp(), "time");
		}
	}

	@Scenario
	static void many_partitions_are_written_and_read_by_one_client() throws Exception {
		String topic = "java-many";
		int partitions = 300;
		createTopic(topic, partitions);
		List<Future<RecordMetadata>> sent = new ArrayList<>();
		try (var producer = producer(); var consumer = consumer()) {
			for (int i = 0; i < 10 * partitions; i++)
				sent.add(producer.send(new ProducerRecord<>(
					topic, i % partitions, null, bytes("" + i))));
			all(sent);
			consumer.assign(partitions(topic, partitions));
			consumer.seekToBeginning(consumer.assignment());
			Map<Integer, Integer> next = new HashMap<>();
			for (var record : poll(consumer, 10 * partitions)) {
				int seen = next.merge(record.partition(), 1, Integer::sum) - 1;
				same("" + (seen * partitions + record.partition()), text(record),
					"value");
			}
			consumer.pause(consumer.assignment());
			done(send(producer, topic, "later"));
			poll(consumer, 0);
			consumer.resume(consumer.assignment());
			same("later", text(poll(consumer, 1).get(0)), "after the pause");
		}
	}

	/** Both of what readers may ask for: there is nothing uncommitted yet. */
	@Scenario
	static void read_committed_reads_all() throws Exception {
		String topic = "java-committed";
		number(topic, 10);
		try (var consumer = consumer("isolation.level", "read_committed")) {
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			same("9", text(poll(consumer, 10).get(9)), "last value");
			same(10L,
				consumer.endOffsets(consumer.assignment())
					.get(new TopicPartition(topic, 0)),
				"last stable offset");
		}
	}

	@Scenario
	static void waiting_consumer_asks_seldom_and_is_woken_at_once() throws Exception {
		String topic = "java-waiting";
		createTopic(topic, 1);
		try (var consumer = consumer("fetch.max.wait.ms", "1000");
			var producer = producer()) {
			consumer.assign(partitions(topic, 1));
			consumer.seekToBeginning(consumer.assignment());
			poll(consumer, 0);
			double before = metric(consumer.metrics(), "consumer-fetch-manager-metrics",
				"fetch-total");
			for (int i = 0; i < 4; i++)
				consumer.poll(Duration.ofSeconds(1));
			double asked = metric(consumer.metrics(), "consumer-fetch-manager-metrics",
					       "fetch-total") -
				       before;
			check(asked >= 2 && asked <= 6, asked + " fetches in 4 s of 1 s each");
			done(send(producer, topic, "now"));
			long begun = System.nanoTime();
			same("now", text(poll(consumer, 1).get(0)), "value");
			double waited = (System.nanoTime() - begun) / 1e9;
			check(waited < 1.0, "a record came " + waited + " s after its answer");
		}
	}

	@Scenario
	static void transactions_are_delivered_if_they_were_committed() throws Exception {
		String topic = "java-transactions";
		createTopic(topic, 2);
		try (var producer = producer("transactional.id", topic)) {
			producer.initTransactions();
			for (int i = 0; i < 3; i++) {
				producer.beginTransaction();
				for (int partition = 0; partition < 2; partition++)
					producer.send(new ProducerRecord<>(
						topic, partition, null, bytes("" + i)));
				if (i == 1) {
					producer.flush();
					producer.abortTransaction();
				} else {
					producer.commitTransaction();
				}
			}
		}
		for (var level : Map.of("read_committed", "0022", "read_uncommitted", "001122")
				 .entrySet()) {
			try (var consumer = consumer("isolation.level", level.getKey())) {
				consumer.assign(partitions(topic, 2));
				consumer.seekToBeginning(consumer.assignment());
				String found = poll(consumer, level.getValue().length())
						.stream()
						.map(Records::text)
						.sorted()
						.collect(Collectors.joining());
				same(level.getValue(), found, level.getKey());
			}
		}
	}

	/** Groups come later: until then a member waits, does not fail and lets go at once. */
	@Scenario
	static void group_member_waits_for_a_coordinator() throws Exception {
		createTopic("java-group", 1);
		try (var consumer = consumer("group.id", "java-group")) {
			consumer.subscribe(List.of("java-group"));
			check(consumer.poll(Duration.ofSeconds(2)).isEmpty(),
				"nothing is assigned");
			double asked =
				metric(consumer.metrics(), "consumer-metrics", "request-total");
			check(asked < 60, asked + " requests in 2 s");
			long begun = System.nanoTime();
			consumer.close();
			check(System.nanoTime() - begun < 5e9, "close returns");
		}
	}

	@Scenario(says = "NOT_ENOUGH_REPLICAS")
	static void what_a_full_dedup_window_refuses_is_sent_again() throws Exception {
		String topic = "java-full-window";
		createTopic(topic, 1, "dedup.enable", "true", "dedup.max.entries", "100",
			"dedup.on.full", "reject", "dedup.window.ms", "2000");
		try (var producer = producer("enable.idempotence", "false")) {
			for (int i = 0; i < 150; i++) {
				var record = new ProducerRecord<>(topic, 0, bytes("key"), bytes("v"));
				record.headers().add("dedup-id", bytes("id-" + i));
				same((long) i, done(producer.send(record)).offset(), "offset " + i);
			}
		}
	}
}
