import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * The log of tests/history: one write a line, and none is held back, so that kill -9 leaves what
 * was logged.
 */
final class EventLog {
	private final FileOutputStream file;

	EventLog(String path) throws IOException {
		file = new FileOutputStream(path);
	}

	/** Keys and values in turn; a value is text, a number, a boolean, null or a list of them. */
	void write(Object... fields) {
		StringBuilder line = new StringBuilder("{");
		for (int i = 0; i < fields.length; i += 2) {
			line.append(i == 0 ? "" : ",");
			append(line, fields[i]);
			line.append(':');
			append(line, fields[i + 1]);
		}
		try {
			file.write(line.append("}\n").toString().getBytes(StandardCharsets.UTF_8));
		} catch (IOException error) {
			throw new IllegalStateException(error);
		}
	}

	private static void append(StringBuilder line, Object value) {
		if (value instanceof Collection<?> list) {
			String comma = "[";
			for (Object each : list) {
				line.append(comma);
				append(line, each);
				comma = ",";
			}
			line.append(list.isEmpty() ? "[]" : "]");
		} else if (value instanceof String text) {
			line.append('"').append(text.replace("\\", "\\\\").replace("\"", "\\\""));
			line.append('"');
		} else {
			line.append(value);
		}
	}

	static List<Object> place(TopicPartition partition) {
		return List.of(partition.topic(), partition.partition());
	}

	static List<Object> places(Collection<TopicPartition> partitions) {
		List<Object> places = new ArrayList<>();
		for (TopicPartition each : partitions)
			places.add(place(each));
		return places;
	}

	static List<Object> offsets(Map<TopicPartition, Long> positions) {
		List<Object> rows = new ArrayList<>();
		positions.forEach(
			(at, offset) -> rows.add(List.of(at.topic(), at.partition(), offset)));
		return rows;
	}

	/** Logs the records; returns the positions behind them. */
	Map<TopicPartition, Long> fetched(Iterable<ConsumerRecord<byte[], byte[]>> records) {
		Map<TopicPartition, List<Object>> rows = new LinkedHashMap<>();
		Map<TopicPartition, Long> positions = new LinkedHashMap<>();
		for (ConsumerRecord<byte[], byte[]> each : records) {
			TopicPartition at = new TopicPartition(each.topic(), each.partition());
			rows.computeIfAbsent(at, unused -> new ArrayList<>())
				.add(List.of(each.offset(), id(each.value()), hash(each)));
			positions.put(at, each.offset() + 1);
		}
		rows.forEach((at, list)
			-> write("event", "fetched", "topic", at.topic(), "partition",
				at.partition(), "records", list));
		return positions;
	}

	static String id(byte[] value) {
		return new String(value == null ? new byte[0] : value, StandardCharsets.UTF_8)
			.split(" ", 2)[0];
	}

	private static long hash(ConsumerRecord<byte[], byte[]> record) {
		CRC32 sum = new CRC32();
		if (record.key() != null)
			sum.update(record.key());
		if (record.value() != null)
			sum.update(record.value());
		return sum.getValue();
	}
}
