import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
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
final class Topics {
	private Topics() {
	}

	private static TopicDescription describe(org.apache.kafka.clients.admin.Admin admin, String topic)
		throws Exception {
		return Support.done(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
	}

	@Scenario
	static void topics_are_created_listed_described_and_deleted() throws Exception {
		try (var admin = Support.admin()) {
			var created = admin.createTopics(List.of(new NewTopic("java-one", 3, (short) 1),
								 new NewTopic("java-two", 1, (short) -1)));
			Support.done(created.all());
			Uuid id = Support.done(created.topicId("java-one"));
			Support.same(3, Support.done(created.numPartitions("java-one")), "partitions told");
			Support.check(Support.done(admin.listTopics().names())
					      .containsAll(List.of("java-one", "java-two")), "both are listed");
			TopicDescription one = describe(admin, "java-one");
			Support.same(id, one.topicId(), "topic id");
			Support.same(3, one.partitions().size(), "partitions described");
			Support.check(one.partitions().stream().allMatch(each -> each.leader() != null
				      && each.replicas().size() == 1 && each.isr().size() == 1),
				      "each partition has a leader");
			Support.same("java-one", Support.done(admin.describeTopics(
				TopicCollection.ofTopicIds(List.of(id))).allTopicIds()).get(id).name(),
				"name by id");
			Support.done(admin.deleteTopics(List.of("java-one")).all());
			Support.done(admin.deleteTopics(TopicCollection.ofTopicIds(
				List.of(describe(admin, "java-two").topicId()))).all());
			Support.check(Support.done(admin.listTopics().names()).stream().noneMatch(
				name -> name.equals("java-one") || name.equals("java-two")), "both are gone");
			Support.fails(UnknownTopicOrPartitionException.class, () -> describe(admin, "java-one"));
			// A new topic of an old name starts empty and is another one.
			var again = admin.createTopics(List.of(new NewTopic("java-one", 1, (short) 1)));
			Support.check(!Support.done(again.topicId("java-one")).equals(id), "another id");
		}
	}

	@Scenario
	static void wrong_topics_are_refused_by_name_of_the_error() throws Exception {
		try (var admin = Support.admin()) {
			Support.createTopic("java-there", 1);
			Support.fails(TopicExistsException.class, () -> Support.createTopic("java-there", 1));
			for (String name : new String[] {"", ".", "..", "with/slash", "with space",
							 "x".repeat(250)})
				Support.fails(InvalidTopicException.class, () -> Support.createTopic(name, 1));
			Support.fails(InvalidPartitionsException.class, () -> Support.createTopic("java-no", 0));
			Support.fails(InvalidReplicationFactorException.class, () -> Support.done(
				admin.createTopics(List.of(new NewTopic("java-no", 1, (short) 3))).all()));
			Support.fails(InvalidConfigurationException.class,
				      () -> Support.createTopic("java-no", 1, "retention.ms", "soon"));
			Support.fails(InvalidConfigurationException.class,
				      () -> Support.createTopic("java-no", 1, "no.such.setting", "1"));
			Support.fails(UnknownTopicOrPartitionException.class,
				      () -> Support.done(admin.deleteTopics(List.of("java-no")).all()));
			Support.fails(UnknownTopicIdException.class, () -> Support.done(admin.deleteTopics(
				TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).all()));
			Support.done(admin.createTopics(List.of(new NewTopic("java-validated", 2, (short) 1)),
							new CreateTopicsOptions().validateOnly(true)).all());
			Support.fails(UnknownTopicOrPartitionException.class,
				      () -> describe(admin, "java-validated"));
		}
	}

	@Scenario
	static void partitions_are_added_and_used_by_a_running_producer() throws Exception {
		String topic = "java-growing";
		Support.createTopic(topic, 1);
		try (var admin = Support.admin();
		     var producer = Support.producer("metadata.max.age.ms", "200");
		     var consumer = Support.consumer()) {
			Support.done(producer.send(new ProducerRecord<>(topic, 0, null, "old".getBytes())));
			Support.done(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all());
			Support.same(4, describe(admin, topic).partitions().size(), "partitions");
			Support.same(0L, Support.done(producer.send(
				new ProducerRecord<>(topic, 3, null, "new".getBytes()))).offset(), "offset");
			Support.fails(InvalidPartitionsException.class, () -> Support.done(
				admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all()));
			Support.fails(UnknownTopicOrPartitionException.class, () -> Support.done(
				admin.createPartitions(Map.of("java-no", NewPartitions.increaseTo(2))).all()));
			consumer.assign(Support.partitions(topic, 4));
			consumer.seekToBeginning(consumer.assignment());
			Support.poll(consumer, 2);
		}
	}

	private static Config config(org.apache.kafka.clients.admin.Admin admin, ConfigResource resource)
		throws Exception {
		return Support.done(admin.describeConfigs(List.of(resource)).all()).get(resource);
	}

	private static Map<ConfigResource, Collection<AlterConfigOp>> change(ConfigResource resource,
									     String key, String value,
									     OpType type) {
		return Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), type)));
	}

	@Scenario
	static void topic_configs_are_described_changed_and_reset() throws Exception {
		ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "java-configs");
		Support.createTopic(topic.name(), 1, "retention.bytes", "1000000");
		try (var admin = Support.admin()) {
			ConfigEntry bytes = config(admin, topic).get("retention.bytes");
			Support.same("1000000", bytes.value(), "retention.bytes");
			Support.same(ConfigSource.DYNAMIC_TOPIC_CONFIG, bytes.source(), "its source");
			String before = config(admin, topic).get("retention.ms").value();
			Support.done(admin.incrementalAlterConfigs(
				change(topic, "retention.ms", "123456", OpType.SET)).all());
			Support.same("123456", config(admin, topic).get("retention.ms").value(), "changed");
			Support.same("1000000", config(admin, topic).get("retention.bytes").value(), "kept");
			Support.done(admin.incrementalAlterConfigs(
				change(topic, "retention.ms", "", OpType.DELETE)).all());
			Support.same(before, config(admin, topic).get("retention.ms").value(), "reset");
			Support.fails(InvalidConfigurationException.class, () -> Support.done(
				admin.incrementalAlterConfigs(
					change(topic, "retention.ms", "-5", OpType.SET)).all()));
			Support.fails(InvalidConfigurationException.class, () -> Support.done(
				admin.incrementalAlterConfigs(
					change(topic, "no.such.setting", "1", OpType.SET)).all()));
			Support.fails(UnknownTopicOrPartitionException.class, () -> config(admin,
				new ConfigResource(ConfigResource.Type.TOPIC, "java-no-configs")));
		}
	}

	@Scenario
	static void broker_configs_and_cluster_are_described() throws Exception {
		try (var admin = Support.admin()) {
			var cluster = admin.describeCluster();
			var nodes = Support.done(cluster.nodes());
			Support.same(1, nodes.size(), "brokers");
			var node = nodes.iterator().next();
			Support.same(Support.address, node.host() + ":" + node.port(), "address");
			Support.same(node, Support.done(cluster.controller()), "controller");
			Support.check(!Support.done(cluster.clusterId()).isEmpty(), "cluster id");
			Config config = config(admin, new ConfigResource(ConfigResource.Type.BROKER,
									 node.idString()));
			Support.same("1048588", config.get("message.max.bytes").value(), "message.max.bytes");
		}
	}

	/** A new topic of batches of one record stamped 1000, 2000 ..., which retention must leave alone. */
	private static void fill(String topic, int count) throws Exception {
		Support.createTopic(topic, 1, "retention.ms", "-1");
		List<Future<RecordMetadata>> sent = new ArrayList<>();
		try (var producer = Support.producer("batch.size", "0")) {
			for (int i = 0; i < count; i++)
				sent.add(producer.send(new ProducerRecord<>(topic, 0, 1000L * (i + 1), null,
									    ("" + i).getBytes())));
		}
		Support.all(sent);
	}

	@Scenario(says = "OFFSET_OUT_OF_RANGE")
	static void records_are_deleted_up_to_an_offset() throws Exception {
		String topic = "java-deleting";
		TopicPartition partition = new TopicPartition(topic, 0);
		fill(topic, 20);
		try (var admin = Support.admin(); var consumer = Support.consumer()) {
			Support.same(7L, Support.done(admin.deleteRecords(
				Map.of(partition, RecordsToDelete.beforeOffset(7))).lowWatermarks().get(partition))
				.lowWatermark(), "low watermark");
			consumer.assign(List.of(partition));
			Support.same(7L, consumer.beginningOffsets(List.of(partition)).get(partition), "beginning");
			consumer.seekToBeginning(List.of(partition));
			Support.same(7L, Support.poll(consumer, 13).get(0).offset(), "first offset");
			Support.fails(OffsetOutOfRangeException.class, () -> Support.done(admin.deleteRecords(
				Map.of(partition, RecordsToDelete.beforeOffset(21))).all()));
			Support.same(20L, Support.done(admin.deleteRecords(
				Map.of(partition, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(partition))
				.lowWatermark(), "all of them");
			Support.same(20L, consumer.beginningOffsets(List.of(partition)).get(partition), "empty");
		}
	}

	private static long offset(org.apache.kafka.clients.admin.Admin admin, TopicPartition partition,
				   OffsetSpec spec) throws Exception {
		ListOffsetsResultInfo found =
			Support.done(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition));
		return found.offset();
	}

	@Scenario
	static void offsets_are_listed_every_way() throws Exception {
		TopicPartition partition = new TopicPartition("java-offsets", 0);
		fill("java-offsets", 20);
		try (var admin = Support.admin()) {
			Support.same(0L, offset(admin, partition, OffsetSpec.earliest()), "earliest");
			Support.same(20L, offset(admin, partition, OffsetSpec.latest()), "latest");
			Support.same(19L, offset(admin, partition, OffsetSpec.maxTimestamp()), "max timestamp");
			Support.same(5L, offset(admin, partition, OffsetSpec.forTimestamp(5001)), "by time");
			Support.same(-1L, offset(admin, partition, OffsetSpec.forTimestamp(20001)), "after all");
		}
	}
}
