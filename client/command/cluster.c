#include "client/command/command.h"

static size_t partition_total(const struct sluice_metadata *metadata)
{
	size_t total = 0;

	for (size_t i = 0; i < metadata->topic_count; i++)
		total += metadata->topics[i].partition_count;
	return total;
}

static json_t *broker_object(const struct sluice_broker *broker)
{
	json_t *object = json_object();

	json_object_set_new(object, "id", json_integer(broker->id));
	document_set_text(object, "host", broker->host);
	json_object_set_new(object, "port", json_integer(broker->port));
	document_set_text(object, "rack", broker->rack);
	return object;
}

static json_t *info_object(const struct sluice_metadata *metadata)
{
	json_t *object = json_object();
	json_t *brokers = json_array();

	document_set_text(object, "cluster_id", metadata->cluster_id);
	json_object_set_new(object, "controller", json_integer(metadata->controller));
	json_object_set_new(object, "topics", json_integer((json_int_t)metadata->topic_count));
	json_object_set_new(object, "partitions",
			    json_integer((json_int_t)partition_total(metadata)));
	for (size_t i = 0; i < metadata->broker_count; i++)
		json_array_append_new(brokers, broker_object(&metadata->brokers[i]));
	json_object_set_new(object, "brokers", brokers);
	return object;
}

int verb_cluster_info(struct invocation *invocation)
{
	static const struct column facts[] = {{"cluster_id", "CLUSTER"},
					      {"controller", "CONTROLLER"},
					      {"topics", "TOPICS"},
					      {"partitions", "PARTITIONS"},
					      {0}};
	static const struct column brokers[] = {
		{"id", "BROKER"}, {"host", "HOST"}, {"port", "PORT"}, {"rack", "RACK"}, {0}};
	static const struct part parts[] = {
		{.columns = facts}, {.rows = "brokers", .columns = brokers}, {0}};
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(invocation->client, NULL, 0, &metadata);

	if (rc < 0)
		return complain_of(invocation, rc);
	json_t *object = info_object(metadata);
	sluice_metadata_free(metadata);
	return document_print(invocation, object, parts, EXIT_DONE);
}
