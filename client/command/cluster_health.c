/* Is anything wrong with the cluster?  As clients see it: brokers that do not answer, partitions
 * that nobody leads or that lack replicas, topics in error. */
#include <string.h>

#include "client/command/command.h"

static json_t *problem(const char *kind, const char *text)
{
	json_t *object = json_object();

	document_set_text(object, "kind", kind);
	json_object_set_new(object, "broker", json_null());
	json_object_set_new(object, "topic", json_null());
	json_object_set_new(object, "partition", json_null());
	document_set_text(object, "problem", text);
	return object;
}

static void check_partition(const struct sluice_topic *topic,
			    const struct sluice_partition *partition, json_t *problems)
{
	const char *kind = NULL;
	const char *text = NULL;

	if (partition->leader < 0) {
		kind = "leaderless";
		text = "nobody leads the partition: it can be neither written nor read";
	} else if (partition->in_sync_count < partition->replica_count) {
		kind = "under_replicated";
		text = "fewer replicas are in sync than the partition has";
	}
	if (!kind)
		return;
	json_t *object = problem(kind, text);
	document_set_text(object, "topic", topic->name);
	json_object_set_new(object, "partition", json_integer(partition->index));
	json_array_append_new(problems, object);
}

static void check_topics(const struct sluice_metadata *metadata, json_t *problems)
{
	for (size_t i = 0; i < metadata->topic_count; i++) {
		const struct sluice_topic *topic = &metadata->topics[i];
		if (topic->error) {
			json_t *object = problem("topic", sluice_error_text(topic->error));
			document_set_text(object, "topic", topic->name);
			json_array_append_new(problems, object);
		}
		for (size_t j = 0; j < topic->partition_count; j++)
			check_partition(topic, &topic->partitions[j], problems);
	}
}

/* How many answer; -EINTR. */
static int check_brokers(const struct invocation *invocation,
			 const struct sluice_metadata *metadata, json_t *problems)
{
	int reachable = 0;

	for (size_t i = 0; i < metadata->broker_count; i++) {
		int rc = sluice_broker_check(invocation->client, metadata->brokers[i].id);
		if (interrupted())
			return rc;
		reachable += rc == 0;
		if (rc == 0)
			continue;
		json_t *object = problem("broker", sluice_last_error(invocation->client));
		json_object_set_new(object, "broker", json_integer(metadata->brokers[i].id));
		json_array_append_new(problems, object);
	}
	return reachable;
}

static size_t count_kind(const json_t *problems, const char *kind)
{
	const json_t *object;
	size_t count = 0;
	size_t i;

	json_array_foreach(problems, i, object)
	{
		if (strcmp(json_string_value(json_object_get(object, "kind")), kind) == 0)
			count++;
	}
	return count;
}

static json_t *health_object(const struct sluice_metadata *metadata, int reachable,
			     json_t *problems)
{
	json_t *object = json_object();

	json_object_set_new(object, "healthy", json_boolean(json_array_size(problems) == 0));
	document_set_text(object, "cluster_id", metadata->cluster_id);
	document_set_count(object, "controller", metadata->controller);
	json_object_set_new(object, "brokers", json_integer((json_int_t)metadata->broker_count));
	json_object_set_new(object, "brokers_reachable", json_integer(reachable));
	json_object_set_new(object, "topics", json_integer((json_int_t)metadata->topic_count));
	json_object_set_new(object, "topics_in_error",
			    json_integer((json_int_t)count_kind(problems, "topic")));
	json_object_set_new(object, "leaderless",
			    json_integer((json_int_t)count_kind(problems, "leaderless")));
	json_object_set_new(object, "under_replicated",
			    json_integer((json_int_t)count_kind(problems, "under_replicated")));
	json_object_set_new(object, "problems", problems);
	return object;
}

int verb_cluster_health(struct invocation *invocation)
{
	static const struct column facts[] = {{"healthy", "HEALTHY"},
					      {"cluster_id", "CLUSTER"},
					      {"controller", "CONTROLLER"},
					      {"brokers", "BROKERS"},
					      {"brokers_reachable", "REACHABLE"},
					      {"topics", "TOPICS"},
					      {"topics_in_error", "TOPICS IN ERROR"},
					      {"leaderless", "LEADERLESS PARTITIONS"},
					      {"under_replicated", "UNDER-REPLICATED PARTITIONS"},
					      {0}};
	static const struct column problem_columns[] = {
		{"kind", "KIND"},           {"broker", "BROKER"},   {"topic", "TOPIC"},
		{"partition", "PARTITION"}, {"problem", "PROBLEM"}, {0}};
	static const struct part healthy[] = {{.columns = facts}, {0}};
	static const struct part unwell[] = {
		{.columns = facts}, {.rows = "problems", .columns = problem_columns}, {0}};
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(invocation->client, NULL, 0, &metadata);

	if (rc < 0)
		return complain_of(invocation, rc);
	json_t *problems = json_array();
	int reachable = check_brokers(invocation, metadata, problems);
	if (interrupted()) {
		json_decref(problems);
		sluice_metadata_free(metadata);
		return EXIT_INTERRUPTED;
	}
	if (metadata->controller < 0)
		json_array_append_new(problems, problem("controller", "there is no controller: "
								      "topics cannot be changed"));
	check_topics(metadata, problems);
	bool well = json_array_size(problems) == 0;
	json_t *object = health_object(metadata, reachable, problems);
	sluice_metadata_free(metadata);
	return document_print(invocation, object, well ? healthy : unwell,
			      well ? EXIT_DONE : EXIT_FAILED);
}
