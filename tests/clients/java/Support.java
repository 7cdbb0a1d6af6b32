import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Clients with the settings they have by default, and checks that say what was expected. */
class Support {
	static final long ANSWER_SECONDS = 30;
	static String address;
	static volatile boolean stopping;

	protected Support() {
	}

	interface Action {
		void run() throws Exception;
	}

	// ---- checks ----

	static void check(boolean holds, String what) {
		if (!holds)
			throw new AssertionError(what);
	}

	static void same(Object expected, Object found, String what) {
		check(Objects.deepEquals(expected, found),
			what + ": expected " + expected + ", found " + found);
	}

	/** The cause that a client gives must be of this very kind. */
	static <E extends Throwable> E fails(Class<E> kind, Action action) throws Exception {
		try {
			action.run();
		} catch (Exception error) {
			Throwable cause =
				error instanceof ExecutionException ? error.getCause() : error;
			if (kind.isInstance(cause))
				return kind.cast(cause);
			throw error;
		}
		throw new AssertionError("expected " + kind.getSimpleName() + ", it succeeded");
	}

	static <T> T done(Future<T> future) throws Exception {
		return future.get(ANSWER_SECONDS, TimeUnit.SECONDS);
	}

	// ---- programs that run until SIGTERM ----

	/** "--NAME VALUE" in turn, over defaults "NAME", "VALUE" in turn. */
	static Map<String, String> options(String[] arguments, String... defaults) {
		Map<String, String> options = new HashMap<>();
		for (int i = 0; i < defaults.length; i += 2)
			options.put(defaults[i], defaults[i + 1]);
		for (int i = 0; i < arguments.length; i += 2)
			options.put(arguments[i].substring(2), arguments[i + 1]);
		return options;
	}

	/** From now on SIGTERM sets `stopping`, and the thread that calls this has to halt. */
	static void heedSigterm() {
		Thread main = Thread.currentThread();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			stopping = true;
			try {
				main.join();
			} catch (InterruptedException error) {
				Thread.currentThread().interrupt();
			}
		}));
	}

	// ---- clients ----

	static Properties properties(String... more) {
		Properties properties = new Properties();
		properties.put("bootstrap.servers", address);
		for (int i = 0; i < more.length; i += 2)
			properties.put(more[i], more[i + 1]);
		return properties;
	}

	static KafkaProducer<byte[], byte[]> producer(String... more) {
		return new KafkaProducer<>(
			properties(more), new ByteArraySerializer(), new ByteArraySerializer());
	}

	static KafkaConsumer<byte[], byte[]> consumer(String... more) {
		return new KafkaConsumer<>(
			properties(more), new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	static Admin admin() {
		return Admin.create(properties());
	}

	static void createTopic(String topic, int partitions, String... configs) throws Exception {
		NewTopic wanted = new NewTopic(topic, partitions, (short) 1);
		Map<String, String> map = new HashMap<>();
		for (int i = 0; i < configs.length; i += 2)
			map.put(configs[i], configs[i + 1]);
		try (Admin admin = admin()) {
			done(admin.createTopics(List.of(wanted.configs(map))).all());
		}
	}

	static List<RecordMetadata> all(Collection<Future<RecordMetadata>> sent) throws Exception {
		List<RecordMetadata> answers = new ArrayList<>();
		for (Future<RecordMetadata> each : sent)
			answers.add(done(each));
		return answers;
	}

	static List<TopicPartition> partitions(String topic, int count) {
		List<TopicPartition> list = new ArrayList<>();
		for (int i = 0; i < count; i++)
			list.add(new TopicPartition(topic, i));
		return list;
	}

	/** Polls until that many records have come, then once more: nothing may follow. */
	static List<ConsumerRecord<byte[], byte[]>> poll(
		KafkaConsumer<byte[], byte[]> consumer, int count) {
		List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
		long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(ANSWER_SECONDS);
		while (records.size() < count) {
			check(System.nanoTime() < deadline,
				records.size() + " of " + count + " records came");
			consumer.poll(Duration.ofMillis(500)).forEach(records::add);
		}
		consumer.poll(Duration.ofMillis(100)).forEach(records::add);
		same(count, records.size(), "records polled");
		return records;
	}

	/** The sum of what the client counts under this name, over all its groups without tags. */
	static double metric(Map<MetricName, ? extends Metric> metrics, String group, String name) {
		double sum = 0;
		boolean found = false;
		for (Map.Entry<MetricName, ? extends Metric> each : metrics.entrySet()) {
			if (!each.getKey().group().equals(group) ||
				!each.getKey().name().equals(name))
				continue;
			found = true;
			sum += ((Number) each.getValue().metricValue()).doubleValue();
		}
		check(found, "the client has a metric " + group + " " + name);
		return sum;
	}
}
