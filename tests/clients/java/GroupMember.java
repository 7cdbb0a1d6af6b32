import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.StaleMemberEpochException;
import org.apache.kafka.common.errors.UnknownMemberIdException;

/**
 * A member of a group with kafka-clients; the options are those of members/event_log.py.
 */
final class GroupMember extends LoggedMember {
	private static final Set<String> REFUSALS = Set.of("CommitFailedException",
		"IllegalGenerationException", "UnknownMemberIdException",
		"RebalanceInProgressException", "FencedInstanceIdException",
		"FencedMemberEpochException", "StaleMemberEpochException");

	private GroupMember(Map<String, String> options) throws Exception {
		super(options, "read_uncommitted");
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
		String result = error == null             ? "ok"
				: REFUSALS.contains(name) ? "refused"
							  : "unknown";
		log.write("event", "committed", "group", options.get("group"), "result", result,
			"offsets", EventLog.offsets(positions), "generation", generation, "error",
			name);
	}

	private void run() {
		String commit = options.get("commit");
		start("commit", commit.equals("none") ? "none" : "after");
		try (consumer) {
			while (!Support.stopping) {
				var positions = log.fetched(poll());
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
