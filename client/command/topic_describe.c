/* What a topic is, where its partitions begin and end, and how it is set.  Two requests to each
 * leader tell of all partitions of all the topics that were named. */
#include <stdlib.h>

#include "client/command/choice.h"
#include "client/command/command.h"
#include "client/command/spots.h"

static json_t *ids_array(const int32_t *ids, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_integer(ids[i]));
	return array;
}

static json_t *partition_object(const struct sluice_partition *partition,
				const struct sluice_spot *spot)
{
	json_t *object = json_object();

	json_object_set_new(object, "partition", json_integer(partition->index));
	document_set_count(object, "leader", partition->leader);
	json_object_set_new(object, "replicas",
			    ids_array(partition->replicas, partition->replica_count));
	json_object_set_new(object, "in_sync",
			    ids_array(partition->in_sync, partition->in_sync_count));
	document_set_count(object, "first_offset", spot->error ? -1 : spot->first);
	document_set_count(object, "next_offset", spot->error ? -1 : spot->end);
	return object;
}

static json_t *config_object(const struct sluice_configs *configs)
{
	json_t *object = json_object();

	for (size_t i = 0; i < configs->count; i++) {
		json_t *setting = json_object();
		document_set_text(setting, "value", configs->configs[i].value);
		document_set_text(setting, "source", configs->configs[i].source);
		json_object_set_new(object, configs->configs[i].name, setting);
	}
	return object;
}

static json_t *topic_object(const struct sluice_topic *topic, const struct sluice_spot *spots,
			    const struct sluice_configs *configs)
{
	json_t *object = json_object();
	json_t *partitions = json_array();

	for (size_t i = 0; i < topic->partition_count; i++)
		json_array_append_new(partitions,
				      partition_object(&topic->partitions[i], &spots[i]));
	document_set_text(object, "name", topic->name);
	document_set_text(object, "id", topic->id);
	json_object_set_new(object, "internal", json_boolean(topic->internal));
	json_object_set_new(object, "partitions", partitions);
	json_object_set_new(object, "config", config_object(configs));
	return object;
}

/* Adds the topic to `documents`. */
static int describe(const struct invocation *invocation, const char *name, json_t *documents)
{
	struct sluice_configs *configs = NULL;
	struct sluice_metadata *metadata;
	int code = choice_topic(invocation, name, &metadata);

	if (code)
		return code;
	const struct sluice_topic *topic = &metadata->topics[0];
	struct sluice_spot *spots = calloc(topic->partition_count + 1, sizeof(*spots));
	if (!spots)
		code = EXIT_FAILED;
	for (size_t i = 0; !code && i < topic->partition_count; i++)
		spots[i] = (struct sluice_spot){.topic = name,
						.partition = topic->partitions[i].index};
	if (!code)
		code = spots_extend(invocation, spots, topic->partition_count);
	int rc = code ? 0 : sluice_configs_get(invocation->client, SLUICE_TOPIC, name, &configs);
	if (rc < 0)
		code = complain_of(invocation, rc);
	if (!code)
		json_array_append_new(documents, topic_object(topic, spots, configs));
	/* What could not be found out is null; that is told all the same. */
	if (!code)
		code = spots_check(spots, topic->partition_count);
	sluice_configs_free(configs);
	free(spots);
	sluice_metadata_free(metadata);
	return code;
}

int verb_topic_describe(struct invocation *invocation)
{
	static const struct column facts[] = {
		{"name", "TOPIC"}, {"id", "ID"}, {"internal", "INTERNAL"}, {0}};
	static const struct column partitions[] = {{"partition", "PARTITION"},
						   {"leader", "LEADER"},
						   {"replicas", "REPLICAS"},
						   {"in_sync", "IN-SYNC"},
						   {"first_offset", "FIRST"},
						   {"next_offset", "NEXT"},
						   {0}};
	static const struct column config[] = {
		{"", "SETTING"}, {"value", "VALUE"}, {"source", "FROM"}, {0}};
	static const struct part parts[] = {{.columns = facts},
					    {.rows = "partitions", .columns = partitions},
					    {.rows = "config", .columns = config},
					    {0}};
	json_t *documents = json_array();
	int code = EXIT_DONE;

	for (size_t i = 0; !code && i < invocation->word_count; i++)
		code = describe(invocation, invocation->words[i], documents);
	/* One that was asked for alone is told alone. */
	if (invocation->word_count > 1)
		return document_print(invocation, documents, parts, code);
	json_t *document = json_incref(json_array_get(documents, 0));
	json_decref(documents);
	return document ? document_print(invocation, document, parts, code) : code;
}
