/* sluice config get and set: settings of brokers, topics and groups, over the Kafka protocol. */
#include <inttypes.h>
#include <string.h>

#include "client/command/command.h"

enum { CONFIG_NAME_BYTES = 128, CONFIGS_MAX = 100 };

/* ---- whose ---- */

struct target {
	enum sluice_resource type;
	const char *name;
	char number[16]; /* of the only broker */
};

/* Of a cluster of one the broker is meant. */
static int take_only_broker(const struct invocation *invocation, struct target *ret)
{
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(invocation->client, NULL, 0, &metadata);

	if (rc < 0)
		return complain_of(invocation, rc);
	size_t count = metadata->broker_count;
	if (count)
		snprintf(ret->number, sizeof(ret->number), "%" PRId32, metadata->brokers[0].id);
	sluice_metadata_free(metadata);
	if (count != 1)
		return complain_usage(
			"there are %zu brokers: --broker names one, or all of them (--broker all)",
			count);
	ret->type = SLUICE_BROKER;
	ret->name = ret->number;
	return EXIT_DONE;
}

static int find_target(const struct invocation *invocation, struct target *ret)
{
	static const struct {
		enum flag_index flag;
		enum sluice_resource type;
	} places[] = {
		{FLAG_topic, SLUICE_TOPIC},
		{FLAG_of_group, SLUICE_GROUP},
		{FLAG_of_broker, SLUICE_BROKER},
	};

	ret->name = NULL;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		const char *name = flag_value(invocation, places[i].flag);
		if (name && ret->name)
			return complain_usage("--topic, --group and --broker exclude one another");
		if (name)
			*ret = (struct target){.type = places[i].type, .name = name};
	}
	if (!ret->name)
		return take_only_broker(invocation, ret);
	if (ret->type == SLUICE_BROKER && strcmp(ret->name, "all") == 0)
		ret->name = "";
	return EXIT_DONE;
}

/* ---- get ---- */

static json_t *setting_object(const struct sluice_config *config)
{
	json_t *object = json_object();

	document_set_text(object, "name", config->name);
	document_set_text(object, "value", config->value);
	document_set_text(object, "source", config->source);
	json_object_set_new(object, "read_only", json_boolean(config->read_only));
	document_set_text(object, "help", config->help);
	return object;
}

static const struct sluice_config *find(const struct sluice_configs *configs, const char *name)
{
	for (size_t i = 0; i < configs->count; i++) {
		if (strcmp(configs->configs[i].name, name) == 0)
			return &configs->configs[i];
	}
	return NULL;
}

/* Those that are asked for, in that order.  False, and a complaint: one is not there. */
static bool pick(const struct invocation *invocation, const struct sluice_configs *configs,
		 json_t *rows)
{
	for (size_t i = 0; i < invocation->word_count; i++) {
		const struct sluice_config *config = find(configs, invocation->words[i]);
		if (!config) {
			complain("it has no setting '%s'; `sluice config explain` lists Sluice's",
				 invocation->words[i]);
			return false;
		}
		json_array_append_new(rows, setting_object(config));
	}
	return true;
}

static void take_all(const struct sluice_configs *configs, bool changed, json_t *rows)
{
	for (size_t i = 0; i < configs->count; i++) {
		if (!changed || strcmp(configs->configs[i].source, "default") != 0)
			json_array_append_new(rows, setting_object(&configs->configs[i]));
	}
}

int verb_config_get(struct invocation *invocation)
{
	static const struct column columns[] = {
		{"name", "SETTING"}, {"value", "VALUE"}, {"source", "FROM"}, {0}};
	struct sluice_configs *configs;
	struct target target = {.name = NULL};
	int code = find_target(invocation, &target);

	if (code)
		return code;
	int rc = sluice_configs_get(invocation->client, target.type, target.name, &configs);
	if (rc < 0)
		return complain_of(invocation, rc);
	json_t *rows = json_array();
	bool found = pick(invocation, configs, rows);
	if (!invocation->word_count)
		take_all(configs, flag_value(invocation, FLAG_changed) != NULL, rows);
	sluice_configs_free(configs);
	if (found)
		return document_print_rows(invocation, rows, columns, EXIT_DONE);
	json_decref(rows);
	return EXIT_FAILED;
}

/* ---- set ---- */

int verb_config_set(struct invocation *invocation)
{
	struct sluice_config configs[CONFIGS_MAX];
	char names[CONFIGS_MAX][CONFIG_NAME_BYTES];
	struct target target = {.name = NULL};
	size_t count = invocation->word_count;

	if (count > CONFIGS_MAX)
		return complain_usage("at most %d settings at once", CONFIGS_MAX);
	for (size_t i = 0; i < count; i++) {
		configs[i] = (struct sluice_config){.name = names[i]};
		if (!split_setting(invocation->words[i], names[i], CONFIG_NAME_BYTES,
				   &configs[i].value))
			return complain_usage("config set takes KEY=VALUE, not '%s'",
					      invocation->words[i]);
	}
	int code = find_target(invocation, &target);
	if (code)
		return code;
	int rc = sluice_configs_set(invocation->client, target.type, target.name, configs, count);
	return rc < 0 ? complain_of(invocation, rc) : EXIT_DONE;
}
