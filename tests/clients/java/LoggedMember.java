import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.StaleMemberEpochException;
import org.apache.kafka.common.errors.UnknownMemberIdException;
import org.apache.kafka.common.utils.AppInfoParser;

/** What members of a group have in common: they log what they own, and what is committed then. */
class LoggedMember implements ConsumerRebalanceListener {
	protected final Map<String, String> options;
	protected final EventLog log;
	protected final KafkaConsumer<byte[], byte[]> consumer;
	private final Set<TopicPartition> owned = new HashSet<>();

	protected LoggedMember(Map<String, String> options, String isolation) throws Exception {
		this.options = options;
		log = new EventLog(options.get("log"));
		Support.address = options.get("brokers");
		consumer = Support.consumer(settings(isolation));
	}

	private String[] settings(String isolation) {
		Map<String, String> all = new LinkedHashMap<>(
			Map.of("group.id", options.get("group"), "client.id", options.get("name"),
				"auto.offset.reset", "earliest", "enable.auto.commit", "false",
				"reconnect.backoff.max.ms", "500", "group.protocol",
				options.get("protocol"), "isolation.level", isolation));
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

	/** More fields, as those of a producer, in `more`. */
	protected void start(Object... more) {
		List<Object> fields = new ArrayList<>(List.of("event", "start", "client",
			options.get("name"), "library",
			"kafka-clients " + AppInfoParser.getVersion(), "group",
			options.get("group"), "topics",
			List.of((Object[])options.get("topics").split(",")), "protocol",
			options.get("protocol"), "assignor", options.get("assignor"), "after",
			options.containsKey("after")
				? List.of((Object[])options.get("after").split(","))
				: List.of()));
		fields.addAll(List.of(more));
		log.write(fields.toArray());
		consumer.subscribe(List.of(options.get("topics").split(",")), this);
	}

	/** Those of a group begin anew where it was empty and takes another protocol. */
	protected int generation(ConsumerGroupMetadata metadata) {
		return metadata.generationId() + Integer.parseInt(options.getOrDefault("era", "0"));
	}

	private void owns() {
		ConsumerGroupMetadata metadata = consumer.groupMetadata();
		// Who was thrown out has none.
		Integer generation = metadata.generationId() < 0 ? null
								 : (Integer)generation(metadata);
		log.write("event", "owns", "group", options.get("group"), "member",
			metadata.memberId(), "instance", options.get("instance"), "generation",
			generation, "partitions", EventLog.places(owned));
	}

	/** What is committed of these, which is logged. */
	protected Map<TopicPartition, Long> seen(Collection<TopicPartition> partitions) {
		Map<TopicPartition, Long> known = new LinkedHashMap<>();
		consumer.committed(Set.copyOf(partitions), Duration.ofSeconds(10))
			.forEach((at, offset)
					 -> known.put(at, offset == null ? -1 : offset.offset()));
		log.write("event", "seen", "group", options.get("group"), "offsets",
			EventLog.offsets(known));
		return known;
	}

	@Override
	public void onPartitionsAssigned(Collection<TopicPartition> added) {
		owned.addAll(added);
		owns();
		try {
			seen(added);
		} catch (KafkaException error) {
			log.write("event", "note", "text", error.toString());
		}
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

	protected void fenced(String why) {
		log.write("event", "fenced", "group", options.get("group"), "error", why);
	}

	/** Who was thrown out may be told so here, and joins again by himself. */
	protected ConsumerRecords<byte[], byte[]> poll() {
		try {
			return consumer.poll(Duration.ofMillis(100));
		} catch (UnknownMemberIdException | StaleMemberEpochException error) {
			log.write("event", "note", "text", error.toString());
			return ConsumerRecords.empty();
		}
	}
}
