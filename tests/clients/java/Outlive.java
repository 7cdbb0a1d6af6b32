import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Produces while test_java.py kills the broker and starts it again: java Outlive ADDRESS TOPIC
 * COUNT. A line tells each thousand acknowledged; in the end every one of them must be where it was
 * said.
 */
final class Outlive extends Support {
	private record Place(int partition, long offset) {
	}

	private Outlive() {
	}

	public static void main(String[] arguments) throws Exception {
		address = arguments[0];
		String topic = arguments[1];
		int count = Integer.parseInt(arguments[2]), partitions = 4;
		createTopic(topic, partitions);
		Place[] places = new Place[count];
		AtomicInteger acknowledged = new AtomicInteger();
		AtomicReference<Exception> failed = new AtomicReference<>();
		try (var producer = producer("reconnect.backoff.max.ms", "500")) {
			for (int i = 0; i < count; i++) {
				int number = i;
				byte[] value = ("" + i).getBytes(StandardCharsets.UTF_8);
				producer.send(
					new ProducerRecord<>(topic, i % partitions, null, value),
					(answer, error) -> {
						if (error != null) {
							failed.compareAndSet(null, error);
							return;
						}
						places[number] = new Place(
							answer.partition(), answer.offset());
						int total = acknowledged.incrementAndGet();
						if (total % 1000 == 0)
							System.out.println("acknowledged " + total);
					});
				if (i % 100 == 0)
					Thread.sleep(2);
			}
		}
		if (failed.get() != null)
			throw failed.get();
		same(count, acknowledged.get(), "acknowledged");
		verify(topic, partitions, places);
		System.out.println("passed");
	}

	private static void verify(String topic, int partitions, Place[] places) {
		Map<Place, String> found = new HashMap<>();
		try (var consumer = consumer()) {
			var all = partitions(topic, partitions);
			consumer.assign(all);
			consumer.seekToBeginning(all);
			long ends = 0;
			for (Map.Entry<TopicPartition, Long> end :
				consumer.endOffsets(all).entrySet())
				ends += end.getValue();
			for (var record : poll(consumer, (int) ends))
				found.put(new Place(record.partition(), record.offset()),
					new String(record.value(), StandardCharsets.UTF_8));
		}
		for (int i = 0; i < places.length; i++)
			same("" + i, found.get(places[i]), "the record at " + places[i]);
	}
}
