import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Produces and consumes orders with Apache Kafka's client.
 *
 * Orders produce COUNT sends orders, each under the key of its customer; Orders consume COUNT works
 * on that many as a member of the group billing-java, by the protocol in which the broker assigns.
 */
public final class Orders {
	private static final String TOPIC = "orders";

	private Orders() {
	}

	private static Properties properties(String... more) {
		Properties properties = new Properties();
		properties.put("bootstrap.servers", System.getenv().getOrDefault("BROKER", "127.0.0.1:9092"));
		for (int i = 0; i < more.length; i += 2)
			properties.put(more[i], more[i + 1]);
		return properties;
	}

	private static void produce(int count) {
		AtomicReference<Exception> failure = new AtomicReference<>();
		// Idempotent by default: what is sent again after a lost answer is stored once, in order.
		try (KafkaProducer<String, String> producer = new KafkaProducer<>(
			     properties("linger.ms", "5"), new StringSerializer(), new StringSerializer())) {
			for (int number = 0; number < count; number++) {
				// One key, one partition: a customer's orders stay in order.
				ProducerRecord<String, String> order = new ProducerRecord<>(
					TOPIC, "customer-" + number % 3, "{\"order\":" + number + "}");
				// For the dedup window, whoever sends it again.
				order.headers().add("dedup-id", ("order-" + number).getBytes());
				producer.send(order, (metadata, error) -> failure.compareAndSet(null, error));
			}
		}
		if (failure.get() != null)
			throw new IllegalStateException("not all orders were stored", failure.get());
		System.out.println(count + " orders are stored");
	}

	private static void consume(int count) {
		int done = 0;
		try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(
			     properties("group.id", "billing-java", "group.protocol", "consumer",
				     "auto.offset.reset", "earliest", "enable.auto.commit", "false"),
			     new StringDeserializer(), new StringDeserializer())) {
			consumer.subscribe(List.of(TOPIC));
			while (done < count) {
				for (ConsumerRecord<String, String> order : consumer.poll(Duration.ofSeconds(1))) {
					order.value().length(); // the work
					done++;
				}
				// After the work: what a crash interrupts is given again, to whoever takes over.
				consumer.commitSync();
			}
		}
		System.out.println(done + " orders are billed");
	}

	public static void main(String[] arguments) {
		int count = Integer.parseInt(arguments[1]);
		if (arguments[0].equals("produce"))
			produce(count);
		else
			consume(count);
	}
}
