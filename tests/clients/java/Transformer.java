import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;

/**
 * Makes records from others in transactions, with kafka-clients; the options are those of
 * transformer_parser in members/event_log.py.
 */
final class Transformer extends LoggedMember {
	private static final int FENCED = 3, VALUE_BYTES = 200;
	private static final long PATIENCE_NS = 60_000_000_000L;

	private final KafkaProducer<byte[], byte[]> producer;
	private final int partitions, abortEvery;
	private int number, transactions;

	/** Its producer can do nothing more. */
	private static final class AtItsEnd extends Exception {
		private static final long serialVersionUID = 1;

		AtItsEnd(Exception cause) {
			super(cause);
		}
	}

	private Transformer(Map<String, String> options) throws Exception {
		super(options, "read_committed");
		partitions = Integer.parseInt(options.get("partitions"));
		abortEvery = Integer.parseInt(options.get("abort-every"));
		producer = Support.producer("client.id", options.get("name"), "transactional.id",
			options.get("transactional-id"), "transaction.timeout.ms",
			options.get("transaction-timeout-ms"), "linger.ms", "5",
			"request.timeout.ms", "3000", "delivery.timeout.ms", "8000", "max.block.ms",
			"10000", "retry.backoff.max.ms", "500", "reconnect.backoff.max.ms", "500");
	}

	/** Asks again where a broker was away for long. */
	private static void patiently(Runnable call) {
		long begun = System.nanoTime();
		while (true) {
			try {
				call.run();
				return;
			} catch (TimeoutException error) {
				if (System.nanoTime() - begun > PATIENCE_NS)
					throw error;
			}
		}
	}

	private void transform(ConsumerRecords<byte[], byte[]> records) throws AtItsEnd {
		transactions++;
		log.write("event", "begun");
		try {
			producer.beginTransaction();
			fill(records);
			if (abortEvery != 0 && transactions % abortEvery == 0) {
				abort();
				return;
			}
			log.write("event", "ending", "commit", true);
			patiently(producer::commitTransaction);
			ended("committed", "");
		} catch (KafkaException error) {
			fail(error);
		}
	}

	private void fill(ConsumerRecords<byte[], byte[]> records) {
		Map<TopicPartition, Long> positions = new HashMap<>();
		for (ConsumerRecord<byte[], byte[]> each : records) {
			make(each);
			positions.put(new TopicPartition(each.topic(), each.partition()),
				each.offset() + 1);
		}
		producer.flush();
		ConsumerGroupMetadata metadata = consumer.groupMetadata();
		Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
		positions.forEach((at, offset) -> offsets.put(at, new OffsetAndMetadata(offset)));
		log.write("event", "offsets", "group", options.get("group"), "offsets",
			EventLog.offsets(positions), "generation", generation(metadata));
		patiently(() -> producer.sendOffsetsToTransaction(offsets, metadata));
	}

	private void make(ConsumerRecord<byte[], byte[]> source) {
		String id = options.get("name") + ":" + number;
		int partition = number % partitions;
		number++;
		List<Object> of = List.of(source.topic(), source.partition(), source.offset());
		String text = id + " " + of + " " + EventLog.id(source.value()) + " ";
		byte[] value = (text + "x".repeat(VALUE_BYTES - text.length()))
				       .getBytes(StandardCharsets.UTF_8);
		CRC32 hash = new CRC32();
		hash.update(source.key());
		hash.update(value);
		String output = options.get("output");
		log.write("event", "sent", "id", id, "topic", output, "partition", partition,
			"hash", hash.getValue(), "of", of);
		producer.send(new ProducerRecord<>(output, partition, source.key(), value),
			(answer, error) -> answered(id, answer, error));
	}

	private void answered(String id, RecordMetadata answer, Exception error) {
		if (error == null)
			log.write("event", "acked", "id", id, "offset", answer.offset(),
				"partition", answer.partition());
		else
			log.write("event", "failed", "id", id, "error", error.toString(),
				"definite", false);
	}

	private void ended(String result, String error) {
		log.write("event", "ended", "result", result, "error", error);
	}

	private void abort() {
		log.write("event", "ending", "commit", false);
		patiently(producer::abortTransaction);
		ended("aborted", "");
		back();
	}

	private void fail(KafkaException error) throws AtItsEnd {
		KafkaException last = error;
		if (!(error instanceof ProducerFencedException)) {
			try {
				abort();
				return;
			} catch (KafkaException another) {
				last = another;
			}
		}
		ended("unknown", last.toString());
		throw new AtItsEnd(last);
	}

	/** To what is committed: what was aborted is made again. */
	private void back() {
		Map<TopicPartition, Long> known = new HashMap<>();
		patiently(() -> known.putAll(seen(consumer.assignment())));
		known.forEach((at, offset) -> {
			long position = Math.max(offset, 0);
			consumer.seek(at, position);
			log.write("event", "position", "topic", at.topic(), "partition",
				at.partition(), "offset", position);
		});
	}

	private void run() throws AtItsEnd {
		start("commit", "after", "isolation", "read_committed", "acks", "all", "idempotent",
			true, "in_flight", 5);
		try (consumer; producer) {
			patiently(producer::initTransactions);
			while (!Support.stopping) {
				var records = poll();
				log.fetched(records);
				if (!records.isEmpty())
					transform(records);
			}
		}
		log.write("event", "stop");
	}

	public static void main(String[] arguments) throws Exception {
		Map<String, String> options = Support.options(arguments, "protocol", "classic",
			"assignor", "range", "session-ms", "6000", "abort-every", "0",
			"transaction-timeout-ms", "10000");
		Support.heedSigterm();
		int code = 0;
		try {
			new Transformer(options).run();
		} catch (AtItsEnd | KafkaException error) {
			error.printStackTrace();
			code = FENCED;
		}
		// SIGTERM alone would end it with 143.
		Runtime.getRuntime().halt(code);
	}
}
