import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.StaleMemberEpochException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.utils.AppInfoParser;

/**
 * A member of a group with kafka-clients; the options are those of members/event_log.py.
 */
final class GroupMember implements ConsumerRebalanceListener {
	private static final Set<String> REFUSALS = Set.of("CommitFailedException",
		"IllegalGenerationException", "UnknownMemberIdException",
		"RebalanceInProgressException", "FencedInstanceIdException",
		"FencedMemberEpochException", "StaleMemberEpochException");

	private final Map<String, String> options;
	private final EventLog log;
	private final KafkaConsumer<byte[], byte[]> consumer;
	private final Set<TopicPartition> owned = new HashSet<>();

	private GroupMember(Map<String, String> options) throws Exception {
		this.options = options;
		log = new EventLog(options.get("log"));
		Support.address = options.get("brokers");
		consumer = Support.consumer(settings());
	}

	private String[] settings() {
		Map<String, String> all = new LinkedHashMap<>(Map.of("group.id",
			options.get("group"), "client.id", options.get("name"),
			"auto.offset.reset", "earliest", "enable.auto.commit", "false",
			"reconnect.backoff.max.ms", "500", "group.protocol",
			options.get("protocol")));
		if (options.get("protocol").equals("classic")) {
			int session = Integer.parseInt(options.get("session-ms"));
			String kind = options.get("assignor").equals("range") ? "Range"
									      : "CooperativeSticky";
			all.put("session.timeout.ms", "" + session);
			all.put("heartbeat.interval.ms", "" + session / 10);
			all.put("partition.assignment.strategy",
				"org.apache.kafka.clients.consumer." + kind + "Assignor");
		}
		if (options.containsKey("instance"))
			all.put("group.instance.id", options.get("instance"));
		List<String> flat = new ArrayList<>();
		all.forEach((key, value) -> flat.addAll(List.of(key, value)));
		return flat.toArray(new String[0]);
	}

	private void owns() {
		ConsumerGroupMetadata metadata = consumer.groupMetadata();
		// Who was thrown out has none.
		Integer generation =
			metadata.generationId() < 0 ? null : (Integer)metadata.generationId();
		log.write("event", "owns", "group", options.get("group"), "member",
			metadata.memberId(), "instance", options.get("instance"), "generation",
			generation, "partitions", EventLog.places(owned));
	}

	@Override
	public void onPartitionsAssigned(Collection<TopicPartition> added) {
		owned.addAll(added);
		owns();
		Map<TopicPartition, Long> known = new LinkedHashMap<>();
		try {
			consumer.committed(Set.copyOf(added), Duration.ofSeconds(10))
				.forEach((at, offset)
						 -> known.put(at, offset == null ? -1 : offset.offset()));
		} catch (KafkaException error) {
			return;
		}
		log.write("event", "seen", "group", options.get("group"), "offsets",
			EventLog.offsets(known));
	}

	/** What was polled is committed already. */
	@Override
	public void onPartitionsRevoked(Collection<TopicPartition> taken) {
		owned.removeAll(taken);
		owns();
	}

	@Override
	public void onPartitionsLost(Collection<TopicPartition> taken) {
		fenced("lost");
		owned.removeAll(taken);
		owns();
	}

	private void fenced(String why) {
		log.write("event", "fenced", "group", options.get("group"), "error", why);
	}

	private void commit(Map<TopicPartition, Long> positions) {
		Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
		positions.forEach((at, offset) -> offsets.put(at, new OffsetAndMetadata(offset)));
		int generation = consumer.groupMetadata().generationId();
		if (options.get("commit").equals("async")) {
			consumer.commitAsync(offsets,
				(unused, error) -> committed(positions, error, generation));
			return;
		}
		try {
			consumer.commitSync(offsets, Duration.ofSeconds(10));
			committed(positions, null, generation);
		} catch (FencedInstanceIdException error) {
			committed(positions, error, generation);
			throw error;
		} catch (KafkaException error) {
			committed(positions, error, generation);
		}
	}

	private void committed(
		Map<TopicPartition, Long> positions, Exception error, int generation) {
		String name = error == null ? "" : error.getClass().getSimpleName();
		String result = error == null	? "ok"
			: REFUSALS.contains(name) ? "refused"
						  : "unknown";
		log.write("event", "committed", "group", options.get("group"), "result", result,
			"offsets", EventLog.offsets(positions), "generation", generation, "error",
			name);
	}

	/** Who was thrown out may be told so here, and joins again by himself. */
	private ConsumerRecords<byte[], byte[]> poll() {
		try {
			return consumer.poll(Duration.ofMillis(100));
		} catch (UnknownMemberIdException | StaleMemberEpochException error) {
			log.write("event", "note", "text", error.toString());
			return ConsumerRecords.empty();
		}
	}

	private void run() {
		String commit = options.get("commit");
		String protocol = options.get("protocol");
		List<Object> topics = List.of((Object[])options.get("topics").split(","));
		log.write("event", "start", "client", options.get("name"), "library",
			"kafka-clients " + AppInfoParser.getVersion(), "group",
			options.get("group"), "topics", topics, "protocol", protocol, "assignor",
			options.get("assignor"), "commit", commit.equals("none") ? "none" : "after",
			"after",
			options.containsKey("after")
				? List.of((Object[])options.get("after").split(","))
				: List.of());
		try (consumer) {
			consumer.subscribe(List.of(options.get("topics").split(",")), this);
			while (!Support.stopping) {
				var positions = log.fetched(consumer.poll(Duration.ofMillis(100)));
				if (!positions.isEmpty() && !commit.equals("none"))
					commit(positions);
			}
		} catch (FencedInstanceIdException error) {
			fenced(error.getClass().getSimpleName());
			throw error;
		}
		log.write("event", "stop");
	}

	public static void main(String[] arguments) throws Exception {
		Map<String, String> options = Support.options(arguments, "protocol", "classic",
			"assignor", "range", "commit", "sync", "session-ms", "6000");
		Support.heedSigterm();
		int code = 0;
		try {
			new GroupMember(options).run();
		} catch (KafkaException error) {
			error.printStackTrace();
			code = 1;
		}
		// SIGTERM alone would end it with 143.
		Runtime.getRuntime().halt(code);
	}
}
