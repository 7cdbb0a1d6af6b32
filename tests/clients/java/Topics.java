import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConfigEntry.ConfigSource;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** The admin client. */
final class Topics extends Support {
	private Topics() {
	}

	private static TopicDescription describe(Admin admin, String topic) throws Exception {
		return done(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
	}

	@Scenario
	static void topics_are_created_listed_described_and_deleted() throws Exception {
		try (var admin = admin()) {
			var created =
				admin.createTopics(List.of(new NewTopic("java-one", 3, (short) 1),
					new NewTopic("java-two", 1, (short) -1)));
			done(created.all());
			Uuid id = done(created.topicId("java-one"));
			same(3, done(created.numPartitions("java-one")), "partitions told");
			check(done(admin.listTopics().names())
					.containsAll(List.of("java-one", "java-two")),
				"both are listed");
			TopicDescription one = describe(admin, "java-one");
			same(id, one.topicId(), "topic id");
			same(3, one.partitions().size(), "partitions described");
			check(one.partitions().stream().allMatch(each
				      -> each.leader() != null && each.replicas().size() == 1 &&
						 each.isr().size() == 1),
				"each partition has a leader");
			same("java-one",
				done(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id)))
						.allTopicIds())
					.get(id)
					.name(),
				"name by id");
			done(admin.deleteTopics(List.of("java-one")).all());
			done(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(
							describe(admin, "java-two").topicId())))
					.all());
			check(done(admin.listTopics().names())
					.stream()
					.noneMatch(name
						-> name.equals("java-one") ||
							   name.equals("java-two")),
				"both are gone");
			fails(UnknownTopicOrPartitionException.class,
				() -> describe(admin, "java-one"));
			// A new topic of an old name starts empty and is another one.
			var again =
				admin.createTopics(List.of(new NewTopic("java-one", 1, (short) 1)));
			check(!done(again.topicId("java-one")).equals(id), "another id");
		}
	}

	@Scenario
	static void wrong_topics_are_refused_by_name_of_the_error() throws Exception {
		try (var admin = admin()) {
			createTopic("java-there", 1);
			fails(TopicExistsException.class, () -> createTopic("java-there", 1));
			for (String name : new String[] {
				     "", ".", "..", "with/slash", "with space", "x".repeat(250)})
				fails(InvalidTopicException.class, () -> createTopic(name, 1));
			fails(InvalidPartitionsException.class, () -> createTopic("java-no", 0));
			fails(InvalidReplicationFactorException.class,
				()
					-> done(admin.createTopics(List.of(new NewTopic("java-no",
									   1, (short) 3)))
							.all()));
			fails(InvalidConfigurationException.class,
				() -> createTopic("java-no", 1, "retention.ms", "soon"));
			fails(InvalidConfigurationException.class,
				() -> createTopic("java-no", 1, "no.such.setting", "1"));
			fails(UnknownTopicOrPartitionException.class,
				() -> done(admin.deleteTopics(List.of("java-no")).all()));
			fails(UnknownTopicIdException.class,
				()
					-> done(admin.deleteTopics(
							     TopicCollection.ofTopicIds(
								     List.of(Uuid.randomUuid())))
							.all()));
			done(admin.createTopics(
					  List.of(new NewTopic("java-validated", 2, (short) 1)),
					  new CreateTopicsOptions().validateOnly(true))
					.all());
			fails(UnknownTopicOrPartitionException.class,
				() -> describe(admin, "java-validated"));
		}
	}

	@Scenario
	static void partitions_are_added_and_used_by_a_running_producer() throws Exception {
		String topic = "java-growing";
		createTopic(topic, 1);
		try (var admin = admin(); var producer = producer("metadata.max.age.ms", "200");
			var consumer = consumer()) {
			done(producer.send(new ProducerRecord<>(topic, 0, null, "old".getBytes())));
			done(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4)))
					.all());
			same(4, describe(admin, topic).partitions().size(), "partitions");
			same(0L,
				done(producer.send(new ProducerRecord<>(
					     topic, 3, null, "new".getBytes())))
					.offset(),
				"offset");
			fails(InvalidPartitionsException.class,
				()
					-> done(admin
							.createPartitions(Map.of(
								topic, NewPartitions.increaseTo(2)))
							.all()));
			fails(UnknownTopicOrPartitionException.class,
				()
					-> done(admin.createPartitions(
							     Map.of("java-no",
								     NewPartitions.increaseTo(2)))
							.all()));
			consumer.assign(partitions(topic, 4));
			consumer.seekToBeginning(consumer.assignment());
			poll(consumer, 2);
		}
	}

	private static Config config(Admin admin, ConfigResource resource) throws Exception {
		return done(admin.describeConfigs(List.of(resource)).all()).get(resource);
	}

	private static Map<ConfigResource, Collection<AlterConfigOp>> change(
		ConfigResource resource, String key, String value, OpType type) {
		return Map.of(
			resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), type)));
	}

	@Scenario
	static void topic_configs_are_described_changed_and_reset() throws Exception {
		ConfigResource topic =
			new ConfigResource(ConfigResource.Type.TOPIC, "java-configs");
		createTopic(topic.name(), 1, "retention.bytes", "1000000");
		try (var admin = admin()) {
			ConfigEntry bytes = config(admin, topic).get("retention.bytes");
			same("1000000", bytes.value(), "retention.bytes");
			same(ConfigSource.DYNAMIC_TOPIC_CONFIG, bytes.source(), "its source");
			String before = config(admin, topic).get("retention.ms").value();
			done(admin.incrementalAlterConfigs(
					  change(topic, "retention.ms", "123456", OpType.SET))
					.all());
			same("123456", config(admin, topic).get("retention.ms").value(), "changed");
			same("1000000", config(admin, topic).get("retention.bytes").value(),
				"kept");
			done(admin.incrementalAlterConfigs(
					  change(topic, "retention.ms", "", OpType.DELETE))
					.all());
			same(before, config(admin, topic).get("retention.ms").value(), "reset");
			fails(InvalidConfigurationException.class,
				()
					-> done(admin.incrementalAlterConfigs(
							     change(topic, "retention.ms", "-5",
								     OpType.SET))
							.all()));
			fails(InvalidConfigurationException.class,
				()
					-> done(admin.incrementalAlterConfigs(
							     change(topic, "no.such.setting", "1",
								     OpType.SET))
							.all()));
			fails(UnknownTopicOrPartitionException.class,
				()
					-> config(
						admin, new ConfigResource(ConfigResource.Type.TOPIC,
							       "java-no-configs")));
		}
	}

	@Scenario
	static void broker_configs_and_cluster_are_described() throws Exception {
		try (var admin = admin()) {
			var cluster = admin.describeCluster();
			var nodes = done(cluster.nodes());
			same(1, nodes.size(), "brokers");
			var node = nodes.iterator().next();
			same(address, node.host() + ":" + node.port(), "address");
			same(node, done(cluster.controller()), "controller");
			check(!done(cluster.clusterId()).isEmpty(), "cluster id");
			Config config = config(admin,
				new ConfigResource(ConfigResource.Type.BROKER, node.idString()));
			same("1048588", config.get("message.max.bytes").value(),
				"message.max.bytes");
		}
	}

	/**
	 * A new topic of batches of one record stamped 1000, 2000 ..., which retention must leave
	 * alone.
	 */
	private static void fill(String topic, int count) throws Exception {
		createTopic(topic, 1, "retention.ms", "-1");
		List<Future<RecordMetadata>> sent = new ArrayList<>();
		try (var producer = producer("batch.size", "0")) {
			for (int i = 0; i < count; i++)
				sent.add(producer.send(new ProducerRecord<>(
					topic, 0, 1000L * (i + 1), null, ("" + i).getBytes())));
		}
		all(sent);
	}

	@Scenario(says = "OFFSET_OUT_OF_RANGE")
	static void records_are_deleted_up_to_an_offset() throws Exception {
		String topic = "java-deleting";
		TopicPartition partition = new TopicPartition(topic, 0);
		fill(topic, 20);
		try (var admin = admin(); var consumer = consumer()) {
			same(7L,
				done(admin.deleteRecords(Map.of(partition,
								 RecordsToDelete.beforeOffset(7)))
						.lowWatermarks()
						.get(partition))
					.lowWatermark(),
				"low watermark");
			consumer.assign(List.of(partition));
			same(7L, consumer.beginningOffsets(List.of(partition)).get(partition),
				"beginning");
			consumer.seekToBeginning(List.of(partition));
			same(7L, poll(consumer, 13).get(0).offset(), "first offset");
			fails(OffsetOutOfRangeException.class,
				()
					-> done(admin
							.deleteRecords(Map.of(partition,
								RecordsToDelete.beforeOffset(21)))
							.all()));
			same(20L,
				done(admin.deleteRecords(Map.of(partition,
								 RecordsToDelete.beforeOffset(-1)))
						.lowWatermarks()
						.get(partition))
					.lowWatermark(),
				"all of them");
			same(20L, consumer.beginningOffsets(List.of(partition)).get(partition),
				"empty");
		}
	}

	private static long offset(Admin admin, TopicPartition partition, OffsetSpec spec)
		throws Exception {
		ListOffsetsResultInfo found =
			done(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition));
		return found.offset();
	}

	@Scenario
	static void offsets_are_listed_every_way() throws Exception {
		TopicPartition partition = new TopicPartition("java-offsets", 0);
		fill("java-offsets", 20);
		try (var admin = admin()) {
			same(0L, offset(admin, partition, OffsetSpec.earliest()), "earliest");
			same(20L, offset(admin, partition, OffsetSpec.latest()), "latest");
			same(19L, offset(admin, partition, OffsetSpec.maxTimestamp()),
				"max timestamp");
			same(5L, offset(admin, partition, OffsetSpec.forTimestamp(5001)),
				"by time");
			same(-1L, offset(admin, partition, OffsetSpec.forTimestamp(20001)),
				"after all");
		}
	}
}
