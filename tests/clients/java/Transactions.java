import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;

/** Transactions, and what the admin client sees of them. */
final class Transactions extends Support {
	private Transactions() {
	}

	private static KafkaProducer<byte[], byte[]> transactional(String id, String... more) {
		List<String> settings = new ArrayList<>(List.of("transactional.id", id));
		settings.addAll(List.of(more));
		var producer = producer(settings.toArray(new String[0]));
		producer.initTransactions();
		return producer;
	}

	private static void send(KafkaProducer<byte[], byte[]> producer, String topic,
		int partition, String value) throws Exception {
		done(producer.send(new ProducerRecord<>(
			topic, partition, null, value.getBytes(StandardCharsets.UTF_8))));
	}

	/** Values up to the end that this isolation sees. */
	private static List<String> read(TopicPartition place, String isolation) {
		List<String> values = new ArrayList<>();
		try (var consumer = consumer("isolation.level", isolation)) {
			consumer.assign(List.of(place));
			consumer.seekToBeginning(List.of(place));
			long end = consumer.endOffsets(List.of(place)).get(place);
			long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
			while (consumer.position(place) < end) {
				check(System.nanoTime() < deadline, "all is read");
				for (var each : consumer.poll(Duration.ofMillis(100)))
					values.add(
						new String(each.value(), StandardCharsets.UTF_8));
			}
		}
		return values;
	}

	private static void settled(TopicPartition place) throws Exception {
		long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
		try (var all = consumer("isolation.level", "read_uncommitted");
			var committed = consumer("isolation.level", "read_committed")) {
			while (!all.endOffsets(List.of(place))
					.equals(committed.endOffsets(List.of(place)))) {
				check(System.nanoTime() < deadline, "the transaction is ended");
				Thread.sleep(20);
			}
		}
	}

	@Scenario
	static void what_is_committed_is_read_and_what_is_aborted_or_open_is_not()
		throws Exception {
		createTopic("java-commits", 1);
		var place = new TopicPartition("java-commits", 0);
		try (var producer = transactional("java-commits")) {
			for (String value : List.of("one", "two", "three")) {
				producer.beginTransaction();
				send(producer, place.topic(), 0, value);
				if (value.equals("two"))
					producer.abortTransaction();
				else
					producer.commitTransaction();
			}
			producer.beginTransaction();
			send(producer, place.topic(), 0, "open");
			same(List.of("one", "three"), read(place, "read_committed"), "committed");
			same(List.of("one", "two", "three", "open"),
				read(place, "read_uncommitted"), "all");
			producer.commitTransaction();
			settled(place);
			same(List.of("one", "three", "open"), read(place, "read_committed"),
				"committed in the end");
		}
	}

	@Scenario
	static void offsets_are_committed_with_their_transaction() throws Exception {
		createTopic("java-transaction-offsets", 1);
		var place = new TopicPartition("java-transaction-offsets", 0);
		var metadata = new ConsumerGroupMetadata("java-transaction-offsets-group");
		try (var producer = transactional("java-transaction-offsets");
			var consumer = consumer("group.id", "java-transaction-offsets-group", "isolation.level",
				"read_committed")) {
			for (long offset : new long[] {5, 7}) {
				producer.beginTransaction();
				producer.sendOffsetsToTransaction(
					Map.of(place, new OffsetAndMetadata(offset)), metadata);
				if (offset == 5)
					producer.commitTransaction();
				else
					producer.abortTransaction();
				same(5L, consumer.committed(Set.of(place)).get(place).offset(),
					"committed after " + offset);
			}
		}
	}

	@Scenario(says = "fenced|epoch")
	static void second_instance_fences_the_first() throws Exception {
		createTopic("java-fencing", 1);
		var place = new TopicPartition("java-fencing", 0);
		try (var first = transactional("java-fenced")) {
			first.beginTransaction();
			send(first, place.topic(), 0, "first");
			try (var second = transactional("java-fenced")) {
				second.beginTransaction();
				send(second, place.topic(), 0, "second");
				fails(ProducerFencedException.class, first::commitTransaction);
				second.commitTransaction();
			}
		}
		settled(place);
		same(List.of("second"), read(place, "read_committed"), "committed");
	}

	@Scenario(says = "fenced|epoch|transition")
	static void transaction_that_takes_too_long_is_aborted() throws Exception {
		createTopic("java-late", 1);
		var place = new TopicPartition("java-late", 0);
		try (var late = transactional("java-late", "transaction.timeout.ms", "1000")) {
			late.beginTransaction();
			send(late, place.topic(), 0, "late");
			settled(place);
			KafkaException error = fails(KafkaException.class, late::commitTransaction);
			check(error instanceof ProducerFencedException ||
					error instanceof InvalidProducerEpochException ||
					error.getCause() instanceof InvalidProducerEpochException,
				"it is fenced: " + error);
		}
		same(List.of(), read(place, "read_committed"), "committed");
	}

	private static Map<String, TransactionState> listed(
		Admin admin, ListTransactionsOptions options) throws Exception {
		Map<String, TransactionState> found = new HashMap<>();
		for (TransactionListing each : done(admin.listTransactions(options).all()))
			found.put(each.transactionalId(), each.state());
		return found;
	}

	private static List<ProducerState> producers(Admin admin, TopicPartition place)
		throws Exception {
		return done(admin.describeProducers(List.of(place)).partitionResult(place))
			.activeProducers();
	}

	@Scenario
	static void transactions_are_listed_described_and_aborted() throws Exception {
		createTopic("java-admin-transactions", 2);
		var place = new TopicPartition("java-admin-transactions", 1);
		try (var producer = transactional("java-admin", "transaction.timeout.ms", "54321");
			var admin = admin()) {
			same(TransactionState.EMPTY,
				listed(admin, new ListTransactionsOptions()).get("java-admin"),
				"state before it has begun");
			producer.beginTransaction();
			send(producer, place.topic(), 1, "open");
			var ongoing = new ListTransactionsOptions().filterStates(
				Set.of(TransactionState.ONGOING));
			same(TransactionState.ONGOING, listed(admin, ongoing).get("java-admin"),
				"state while it is open");
			TransactionDescription told = done(
				admin.describeTransactions(List.of("java-admin"))
					.description("java-admin"));
			same(Set.of(place), told.topicPartitions(), "partitions");
			same(54321L, told.transactionTimeoutMs(), "time-out");
			check(told.transactionStartTimeMs().isPresent(), "its start");
			fails(TransactionalIdNotFoundException.class,
				()
					-> done(admin.describeTransactions(List.of("java-nobody"))
							.all()));
			same(List.of(),
				producers(admin, new TopicPartition("java-admin-transactions", 0)),
				"producers where none has written");
			ProducerState state = producers(admin, place).get(0);
			same(told.producerId(), state.producerId(), "producer id");
			same(0L, state.currentTransactionStartOffset().orElse(-1),
				"where it begins");
			producer.commitTransaction();
			settled(place);
			check(producers(admin, place)
					.get(0)
					.currentTransactionStartOffset()
					.isEmpty(),
				"no transaction is open");
			done(admin.fenceProducers(List.of("java-admin")).all());
		}
	}
}
