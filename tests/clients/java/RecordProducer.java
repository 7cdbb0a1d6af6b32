import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.CRC32;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;

/**
 * Produces with kafka-clients until SIGTERM; the options are those of members/producer.py.
 */
final class RecordProducer {
	private static final int STEP_MS = 20, VALUE_BYTES = 100;

	private final Map<String, String> options;
	private final EventLog log;
	private final String[] topics;
	private final String dedup; // prefix of message ids; null: idempotent
	private final int partitions, rate, inFlight;
	private final AtomicInteger waiting = new AtomicInteger();
	private int number;

	private RecordProducer(Map<String, String> options) throws Exception {
		this.options = options;
		log = new EventLog(options.get("log"));
		topics = options.get("topics").split(",");
		partitions = Integer.parseInt(options.get("partitions"));
		rate = Integer.parseInt(options.get("rate"));
		dedup = options.get("dedup");
		inFlight = dedup == null ? 5 : 1;
		Support.address = options.get("brokers");
	}

	private KafkaProducer<byte[], byte[]> connect() {
		// It never gives up: a record that timed out would say nothing.
		return Support.producer("client.id", options.get("name"), "enable.idempotence",
			"" + (dedup == null), "acks", "all",
			"max.in.flight.requests.per.connection", "" + inFlight,
			"linger.ms", "5", "delivery.timeout.ms", "" + Integer.MAX_VALUE,
			"max.block.ms", "" + Integer.MAX_VALUE, "request.timeout.ms", "3000",
			"retry.backoff.max.ms", "500", "reconnect.backoff.max.ms", "500");
	}

	private void send(KafkaProducer<byte[], byte[]> producer) {
		String id = options.get("name") + ":" + number;
		String topic = topics[number % topics.length];
		int partition = number / topics.length % partitions;
		byte[] key = ("k" + number % 50).getBytes(StandardCharsets.UTF_8);
		String text = id + " ";
		byte[] value = (text + "x".repeat(VALUE_BYTES - text.length()))
				       .getBytes(StandardCharsets.UTF_8);
		CRC32 hash = new CRC32();
		hash.update(key);
		hash.update(value);
		var record = new ProducerRecord<>(topic, partition, key, value);
		if (dedup == null) {
			log.write("event", "sent", "id", id, "topic", topic, "partition",
				partition, "hash", hash.getValue());
		} else {
			String messageId = dedup + ":" + number;
			record.headers().add("dedup-id", messageId.getBytes(StandardCharsets.UTF_8));
			log.write("event", "sent", "id", id, "topic", topic, "partition",
				partition, "hash", hash.getValue(), "dedup", messageId);
		}
		number++;
		waiting.incrementAndGet();
		producer.send(record, (answer, error) -> answered(id, answer, error));
	}

	private void answered(String id, RecordMetadata answer, Exception error) {
		if (error == null)
			log.write("event", "acked", "id", id, "offset", answer.offset(),
				"partition", answer.partition());
		else
			log.write("event", "failed", "id", id, "error", error.toString(),
				"definite", false);
		waiting.decrementAndGet();
	}

	private void run() throws InterruptedException {
		log.write("event", "start", "client", options.get("name"), "acks", "all",
			"idempotent", dedup == null, "in_flight", inFlight);
		try (var producer = connect()) {
			while (!Support.stopping) {
				// Where the broker is away, what waits for it stays within bounds.
				for (int i = 0; i < Math.max(1, rate * STEP_MS / 1000); i++)
					if (waiting.get() < 10 * rate)
						send(producer);
				Thread.sleep(STEP_MS);
			}
		}
		log.write("event", "stop");
	}

	public static void main(String[] arguments) throws Exception {
		Support.heedSigterm();
		new RecordProducer(Support.options(arguments, "rate", "500")).run();
		// SIGTERM alone would end it with 143.
		Runtime.getRuntime().halt(0);
	}
}
