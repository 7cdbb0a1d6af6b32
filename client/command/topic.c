#include "client/command/choice.h"
#include "client/command/command.h"

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
		if (rc == -SLUICE_KAFKA(36) && flag_value(invocation, FLAG_if_not_exists))
			continue;
		if (rc < 0)
			code = complain_of(invocation, rc);
	}
	return code;
}

int verb_topic_delete(struct invocation *invocation)
{
	if (!choice_confirmed(invocation, "delete %zu topic%s and all their records (%s%s)?",
			      invocation->word_count, invocation->word_count > 1 ? "s" : "",
			      invocation->words[0], invocation->word_count > 1 ? ", ..." : ""))
		return EXIT_FAILED;
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
	bool internal = flag_value(invocation, FLAG_internal) != NULL;
	struct sluice_metadata *metadata;
	regex_t regex;
	bool filtered;
	int code = choice_regex(invocation, &regex, &filtered);

	if (code)
		return code;
	json_t *rows = json_array();
	int rc = sluice_metadata(invocation->client, NULL, 0, &metadata);
	for (size_t i = 0; rc == 0 && i < metadata->topic_count; i++) {
		const struct sluice_topic *topic = &metadata->topics[i];
		if ((internal || !topic->internal) &&
		    (!filtered || regexec(&regex, topic->name, 0, NULL, 0) == 0))
			json_array_append_new(rows, topic_object(topic));
	}
	if (filtered)
		regfree(&regex);
	if (rc < 0) {
		json_decref(rows);
		return complain_of(invocation, rc);
	}
	sluice_metadata_free(metadata);
	return document_print_rows(invocation, rows, columns, EXIT_DONE);
}
