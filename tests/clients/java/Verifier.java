import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/**
 * Reads topics from their beginnings on and on, with kafka-clients; the options are those of
 * verifier_parser in members/event_log.py.
 */
final class Verifier {
	private static final long ASK_NS = 200_000_000L;
	private static final Duration ANSWER = Duration.ofSeconds(2);

	private final EventLog log;
	private final List<TopicPartition> places = new ArrayList<>();
	private final KafkaConsumer<byte[], byte[]> consumer;
	private final boolean committed;

	private Verifier(Map<String, String> options) throws Exception {
		log = new EventLog(options.get("log"));
		Support.address = options.get("brokers");
		String isolation = options.get("isolation");
		committed = isolation.equals("read_committed");
		for (String topic : options.get("topics").split(","))
			places.addAll(Support.partitions(
				topic, Integer.parseInt(options.get("partitions"))));
		consumer = Support.consumer("client.id", options.get("name"), "isolation.level",
			isolation, "auto.offset.reset", "earliest", "reconnect.backoff.max.ms",
			"500");
		log.write("event", "start", "client", options.get("name"), "isolation", isolation);
	}

	/** The ends that a read_committed consumer is told are last stable offsets. */
	private void askStable() {
		// What is asked for after this line is known to be.
		log.write("event", "note", "text", "asks");
		try {
			var ends = consumer.endOffsets(places, ANSWER);
			log.write("event", "stable", "offsets", EventLog.offsets(ends));
		} catch (KafkaException error) {
			log.write("event", "note", "text", error.toString());
		}
	}

	private void run() {
		try (consumer) {
			consumer.assign(places);
			for (TopicPartition each : places) {
				consumer.seek(each, 0);
				log.write("event", "position", "topic", each.topic(), "partition",
					each.partition(), "offset", 0);
			}
			long asked = System.nanoTime() - ASK_NS;
			while (!Support.stopping) {
				log.fetched(consumer.poll(Duration.ofMillis(100)));
				if (committed && System.nanoTime() - asked >= ASK_NS) {
					asked = System.nanoTime();
					askStable();
				}
			}
		}
		log.write("event", "stop");
	}

	public static void main(String[] arguments) throws Exception {
		Support.heedSigterm();
		new Verifier(Support.options(arguments, "isolation", "read_committed")).run();
		// SIGTERM alone would end it with 143.
		Runtime.getRuntime().halt(0);
	}
}
