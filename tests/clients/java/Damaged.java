import java.time.Duration;
import java.util.List;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;

/**
 * Reads a topic of which one record is lost: java Damaged ADDRESS TOPIC OFFSET END. It must be told
 * at that offset, each time that it asks, and read what lies before and behind.
 */
final class Damaged extends Support {
	private Damaged() {
	}

	public static void main(String[] arguments) throws Exception {
		address = arguments[0];
		var partition = new TopicPartition(arguments[1], 0);
		long lost = Long.parseLong(arguments[2]), end = Long.parseLong(arguments[3]);
		try (var consumer = consumer()) {
			consumer.assign(List.of(partition));
			consumer.seek(partition, 0);
			long next = 0;
			for (int told = 0; told < 3;) {
				try {
					for (var record : consumer.poll(Duration.ofSeconds(ANSWER_SECONDS)))
						same(next++, record.offset(), "offset");
				} catch (KafkaException error) {
					same(KafkaException.class, error.getClass(), "error");
					same(lost, consumer.position(partition), "position");
					told++;
				}
			}
			same(lost, next, "read before");
			consumer.seek(partition, lost + 1);
			for (next = lost + 1; next < end;)
				for (var record : consumer.poll(Duration.ofSeconds(ANSWER_SECONDS)))
					same(next++, record.offset(), "offset");
		}
		System.out.println("passed");
	}
}
