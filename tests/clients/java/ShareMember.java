import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * A member of a share group that says on its standard output what it is given and what it has
 * acknowledged, offset by offset: ShareMember BROKERS GROUP TOPIC accept|hold.  One that holds
 * acknowledges nothing.  Ends on SIGTERM, from when it has said "started".
 */
final class ShareMember {
	private static volatile boolean stopping;

	private ShareMember() {
	}

	private static void beginAtTheFirstRecord(String group) throws Exception {
		ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
		AlterConfigOp earliest = new AlterConfigOp(
			new ConfigEntry("share.auto.offset.reset", "earliest"),
			AlterConfigOp.OpType.SET);
		try (Admin admin = Support.admin()) {
			Support.done(
				admin.incrementalAlterConfigs(Map.of(resource, List.of(earliest))).all());
		}
	}

	private static void say(String what, long offset, Object more) {
		System.out.println(what + " " + offset + " " + more);
		System.out.flush();
	}

	private static void run(String group, String topic, boolean hold) {
		try (KafkaShareConsumer<byte[], byte[]> consumer = new KafkaShareConsumer<>(
			     Support.properties("group.id", group,
				     "share.acknowledgement.mode", "explicit",
				     "max.poll.records", "20"),
			     new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
			consumer.setAcknowledgementCommitCallback((offsets, error) -> {
				for (Map.Entry<TopicIdPartition, java.util.Set<Long>> each :
					offsets.entrySet())
					for (long offset : each.getValue())
						say(error == null ? "acked" : "refused", offset,
							error == null ? "" : error.getClass().getSimpleName());
			});
			consumer.subscribe(List.of(topic));
			// Once at least: this client's close waits for its time-out, 30 s, when it has
			// subscribed and never polled.
			do {
				int given = 0;
				for (ConsumerRecord<byte[], byte[]> record :
					consumer.poll(Duration.ofMillis(100))) {
					given++;
					say("given", record.offset(), record.deliveryCount().get());
					if (!hold)
						consumer.acknowledge(record, AcknowledgeType.ACCEPT);
				}
				if (!hold)
					consumer.commitSync();
				else if (given > 0)
					hold(given);
			} while (!stopping);
		}
	}

	/** Until it is killed: who polls again has to acknowledge first. */
	private static void hold(int given) {
		say("holding", given, "");
		try {
			Thread.sleep(Long.MAX_VALUE);
		} catch (InterruptedException error) {
			stopping = true;
		}
	}

	public static void main(String[] arguments) throws Exception {
		Support.address = arguments[0];
		boolean hold = arguments[3].equals("hold");
		Thread main = Thread.currentThread();
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			stopping = true;
			try {
				main.join();
			} catch (InterruptedException error) {
				Thread.currentThread().interrupt();
			}
		}));
		System.out.println("started");
		beginAtTheFirstRecord(arguments[1]);
		int code = 0;
		try {
			run(arguments[1], arguments[2], hold);
		} catch (RuntimeException error) {
			error.printStackTrace();
			code = 1;
		}
		// SIGTERM alone would end it with 143.
		Runtime.getRuntime().halt(code);
	}
}
