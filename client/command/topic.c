#include <inttypes.h>
#include <string.h>

#include "client/command/command.h"
#include "client/command/output.h"

enum { CONFIGS_MAX = FLAG_VALUES_MAX, CONFIG_NAME_BYTES = 128 };

/* The --config settings; names are kept in `names`. */
static int read_configs(const struct invocation *invocation, struct sluice_config *ret,
			char names[][CONFIG_NAME_BYTES])
{
	const struct flag_values *given = &invocation->flags[FLAG_config];

	for (size_t i = 0; i < given->count; i++) {
		ret[i] = (struct sluice_config){.name = names[i]};
		if (!split_setting(given->values[i], names[i], CONFIG_NAME_BYTES, &ret[i].value))
			return complain_usage("--config takes KEY=VALUE, not '%s'",
					      given->values[i]);
	}
	return EXIT_DONE;
}

int verb_topic_create(struct invocation *invocation)
{
	struct sluice_config configs[CONFIGS_MAX];
	char names[CONFIGS_MAX][CONFIG_NAME_BYTES];
	int64_t partitions;
	int64_t replicas;

	if (!flag_number(invocation, FLAG_partitions, 1, INT32_MAX, -1, &partitions) ||
	    !flag_number(invocation, FLAG_replicas, 1, INT16_MAX, -1, &replicas))
		return EXIT_USAGE;
	int code = read_configs(invocation, configs, names);
	for (size_t i = 0; !code && i < invocation->word_count; i++) {
		int rc = sluice_topic_create(invocation->client, invocation->words[i],
					     (int32_t)partitions, (int16_t)replicas, configs,
					     invocation->flags[FLAG_config].count);
		if (rc < 0)
			code = complain_of(invocation, rc);
	}
	return code;
}

int verb_topic_delete(struct invocation *invocation)
{
	for (size_t i = 0; i < invocation->word_count; i++) {
		int rc = sluice_topic_delete(invocation->client, invocation->words[i]);
		if (rc < 0)
			return complain_of(invocation, rc);
	}
	return EXIT_DONE;
}

int verb_topic_alter(struct invocation *invocation)
{
	const char *topic = invocation->words[0];
	struct sluice_config configs[CONFIGS_MAX];
	char names[CONFIGS_MAX][CONFIG_NAME_BYTES];
	int64_t partitions;
	int rc = 0;

	if (!flag_number(invocation, FLAG_partitions, 1, INT32_MAX, 0, &partitions))
		return EXIT_USAGE;
	size_t count = invocation->flags[FLAG_config].count;
	int code = read_configs(invocation, configs, names);
	if (code)
		return code;
	if (!partitions && !count)
		return complain_usage("topic alter needs --config or --partitions");
	if (count)
		rc = sluice_configs_set(invocation->client, SLUICE_TOPIC, topic, configs, count);
	if (rc == 0 && partitions)
		rc = sluice_topic_grow(invocation->client, topic, (int32_t)partitions);
	return rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
}

/* ---- listing ---- */

static size_t replicas_of(const struct sluice_topic *topic)
{
	return topic->partition_count ? topic->partitions[0].replica_count : 0;
}

static json_t *topic_object(const struct sluice_topic *topic)
{
	json_t *object = json_object();

	document_set_text(object, "name", topic->name);
	document_set_text(object, "id", topic->id);
	json_object_set_new(object, "internal", json_boolean(topic->internal));
	json_object_set_new(object, "partitions", json_integer((json_int_t)topic->partition_count));
	json_object_set_new(object, "replicas", json_integer((json_int_t)replicas_of(topic)));
	return object;
}

int verb_topic_list(struct invocation *invocation)
{
	static const struct column columns[] = {
		{"name", "TOPIC"}, {"partitions", "PARTITIONS"}, {"replicas", "REPLICAS"}, {0}};
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(invocation->client, NULL, 0, &metadata);

	if (rc < 0)
		return complain_of(invocation, rc);
	json_t *rows = json_array();
	for (size_t i = 0; i < metadata->topic_count; i++)
		json_array_append_new(rows, topic_object(&metadata->topics[i]));
	sluice_metadata_free(metadata);
	return document_print_rows(invocation, rows, columns, EXIT_DONE);
}

/* ---- describing ---- */

struct ends {
	int64_t first;
	int64_t next;
};

static int find_ends(struct invocation *invocation, const char *topic, int32_t partition,
		     struct ends *ret)
{
	int rc = sluice_list_offset(invocation->client, topic, partition, SLUICE_EARLIEST,
				    &ret->first, NULL);

	if (rc == 0)
		rc = sluice_list_offset(invocation->client, topic, partition, SLUICE_LATEST,
					&ret->next, NULL);
	return rc;
}

static void ids_json(const char *name, const int32_t *ids, size_t count)
{
	printf(",\"%s\":[", name);
	for (size_t i = 0; i < count; i++)
		printf("%s%" PRId32, i ? "," : "", ids[i]);
	putchar(']');
}

static int partitions_json(struct invocation *invocation, const struct sluice_topic *topic)
{
	struct ends ends;

	for (size_t i = 0; i < topic->partition_count; i++) {
		const struct sluice_partition *partition = &topic->partitions[i];
		int rc = find_ends(invocation, topic->name, partition->index, &ends);
		if (rc < 0)
			return rc;
		printf("%s{\"partition\":%" PRId32 ",\"leader\":%" PRId32, i ? "," : "",
		       partition->index, partition->leader);
		ids_json("replicas", partition->replicas, partition->replica_count);
		ids_json("in_sync", partition->in_sync, partition->in_sync_count);
		printf(",\"first_offset\":%" PRId64 ",\"next_offset\":%" PRId64 "}", ends.first,
		       ends.next);
	}
	return 0;
}

static int describe_json(struct invocation *invocation, const struct sluice_topic *topic,
			 const struct sluice_configs *configs)
{
	fputs("{\"name\":", stdout);
	put_json_string(stdout, topic->name);
	printf(",\"id\":\"%s\",\"partitions\":[", topic->id);
	int rc = partitions_json(invocation, topic);
	if (rc < 0)
		return rc;
	fputs("],\"config\":{", stdout);
	for (size_t i = 0; i < configs->count; i++) {
		if (i)
			putchar(',');
		put_json_string(stdout, configs->configs[i].name);
		fputs(":{\"value\":", stdout);
		put_json_string(stdout, configs->configs[i].value);
		printf(",\"source\":\"%s\"}", configs->configs[i].source);
	}
	puts("}}");
	return 0;
}

static void add_ids(struct table *table, const int32_t *ids, size_t count)
{
	char text[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRId32,
					 i ? "," : "", ids[i]);
	table_add(table, "%s", text);
}

static int partitions_table(struct invocation *invocation, const struct sluice_topic *topic)
{
	struct table table;
	int rc = 0;

	table_init(&table, 6, "PARTITION", "LEADER", "REPLICAS", "IN-SYNC", "FIRST", "NEXT");
	for (size_t i = 0; rc == 0 && i < topic->partition_count; i++) {
		const struct sluice_partition *partition = &topic->partitions[i];
		struct ends ends = {0};
		rc = find_ends(invocation, topic->name, partition->index, &ends);
		table_add(&table, "%" PRId32, partition->index);
		table_add(&table, "%" PRId32, partition->leader);
		add_ids(&table, partition->replicas, partition->replica_count);
		add_ids(&table, partition->in_sync, partition->in_sync_count);
		table_add(&table, "%" PRId64, ends.first);
		table_add(&table, "%" PRId64, ends.next);
	}
	table_finish(&table);
	return rc;
}

static int describe_table(struct invocation *invocation, const struct sluice_topic *topic,
			  const struct sluice_configs *configs)
{
	struct table table;

	printf("%s  %s\n\n", topic->name, topic->id);
	int rc = partitions_table(invocation, topic);
	if (rc < 0)
		return rc;
	putchar('\n');
	table_init(&table, 3, "SETTING", "VALUE", "FROM");
	for (size_t i = 0; i < configs->count; i++) {
		const struct sluice_config *config = &configs->configs[i];
		table_add(&table, "%s", config->name);
		table_add(&table, "%s", config->value ? config->value : "-");
		table_add(&table, "%s", config->source);
	}
	table_finish(&table);
	return 0;
}

static int describe_one(struct invocation *invocation, const char *name)
{
	struct sluice_client *client = invocation->client;
	struct sluice_metadata *metadata = NULL;
	struct sluice_configs *configs = NULL;
	int rc = sluice_metadata(client, &name, 1, &metadata);

	if (rc == 0 && metadata->topic_count == 1 && metadata->topics[0].error) {
		rc = metadata->topics[0].error;
		complain("topic '%s': %s", name, sluice_error_text(rc));
		sluice_metadata_free(metadata);
		return EXIT_FAILED;
	}
	if (rc == 0)
		rc = sluice_configs_get(client, SLUICE_TOPIC, name, &configs);
	if (rc == 0)
		rc = invocation->json ? describe_json(invocation, &metadata->topics[0], configs)
				      : describe_table(invocation, &metadata->topics[0], configs);
	int code = rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
	sluice_configs_free(configs);
	sluice_metadata_free(metadata);
	return code;
}

int verb_topic_describe(struct invocation *invocation)
{
	int code = EXIT_DONE;

	for (size_t i = 0; !code && i < invocation->word_count; i++) {
		if (i && !invocation->json)
			putchar('\n');
		code = describe_one(invocation, invocation->words[i]);
	}
	return output_finish(code);
}
