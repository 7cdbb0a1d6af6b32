/* Settings from the command line of sluiced. */
#include "control/config_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/nearest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Options that are settings by another name. */
static const struct {
	const char *option;
	enum config_index index;
} short_options[] = {
	{"--listen", CONFIG_listen}, {"--data", CONFIG_data}, {"--shards", CONFIG_shards},
	{"--io", CONFIG_io},         {"--poll", CONFIG_poll}, {"--vdev", CONFIG_dpdk_port},
};

/* Options that say what to do, and take no value. */
static const struct {
	const char *option;
	enum config_action action;
} actions[] = {
	{"--help", CONFIG_HELP},          {"-h", CONFIG_HELP},
	{"--check", CONFIG_CHECK},        {"--version", CONFIG_VERSION},
	{"--print-config", CONFIG_PRINT},
};

/* CONFIG_RUN: it is none of them. */
static enum config_action action_of(const char *option)
{
	for (size_t i = 0; i < array_count(actions); i++) {
		if (strcmp(actions[i].option, option) == 0)
			return actions[i].action;
	}
	return CONFIG_RUN;
}

/* One option with its value, from "--name=value" or "--name value". */
struct option {
	char name[32];
	const char *value; /* null: none */
};

static struct option next_option(int argc, char **argv, int *at)
{
	struct option option = {.value = NULL};
	const char *word = argv[*at];
	size_t length = strcspn(word, "=");

	snprintf(option.name, sizeof(option.name), "%.*s", (int)length, word);
	(*at)++;
	if (word[length] == '=')
		option.value = word + length + 1;
	else if (*at < argc && strncmp(option.name, "--", 2) == 0 && !action_of(option.name))
		option.value = argv[(*at)++];
	return option;
}

static int set_pair(struct config *config, const char *pair, char *why, size_t why_bytes)
{
	char *copy = strdup(pair);
	char *key;
	char *value;
	unsigned index = 0;
	int rc = -ERR_CONFIG;

	if (!copy)
		return -ENOMEM;
	config_split(copy, &key, &value);
	if (!value)
		snprintf(why, why_bytes, "--set expects KEY=VALUE, found \"%.80s\"", pair);
	else
		rc = config_set_key(config, key, value, CONFIG_BY_COMMAND, &index, why, why_bytes);
	free(copy);
	return rc;
}

/* Says what may have been meant: an option, or a setting that needs --set. */
static int refuse_option(const char *name, char *why, size_t why_bytes)
{
	struct nearest nearest;

	if (params_find(config_params, CONFIG_COUNT, name + strspn(name, "-")) >= 0) {
		snprintf(why, why_bytes, "\"%s\" is a setting: --set %s=VALUE", name,
			 name + strspn(name, "-"));
		return -ERR_CONFIG;
	}
	nearest_init(&nearest, name);
	nearest_offer(&nearest, "--config");
	nearest_offer(&nearest, "--set");
	for (size_t i = 0; i < array_count(actions); i++)
		nearest_offer(&nearest, actions[i].option);
	for (size_t i = 0; i < array_count(short_options); i++)
		nearest_offer(&nearest, short_options[i].option);
	snprintf(why, why_bytes, "unknown option \"%s\"; did you mean %s? See --help", name,
		 nearest.name);
	return -ERR_CONFIG;
}

static int apply_option(struct config *config, const struct option *option, char *why,
			size_t why_bytes)
{
	char reason[512] = "";

	if (strcmp(option->name, "--set") == 0)
		return set_pair(config, option->value, why, why_bytes);
	for (size_t i = 0; i < array_count(short_options); i++) {
		if (strcmp(option->name, short_options[i].option) != 0)
			continue;
		int rc = config_set(config, short_options[i].index, option->value,
				    CONFIG_BY_COMMAND, reason, sizeof(reason));
		if (rc < 0)
			snprintf(why, why_bytes, "%s: %s", option->name, reason);
		return rc;
	}
	return refuse_option(option->name, why, why_bytes);
}

static int refuse_without_value(const struct option *option, char *why, size_t why_bytes)
{
	if (strncmp(option->name, "--", 2) != 0 || option->value)
		return 0;
	snprintf(why, why_bytes, "%s needs a value; see --help", option->name);
	return -ERR_CONFIG;
}

int config_scan_options(int argc, char **argv, enum config_action *ret_action,
			const char **ret_file, char *why, size_t why_bytes)
{
	for (int at = 1; at < argc;) {
		struct option option = next_option(argc, argv, &at);
		enum config_action action = action_of(option.name);
		int rc = action ? 0 : refuse_without_value(&option, why, why_bytes);
		if (rc < 0)
			return rc;
		if (action)
			*ret_action = action;
		else if (strcmp(option.name, "--config") == 0)
			*ret_file = option.value;
	}
	return 0;
}

int config_apply_options(struct config *config, int argc, char **argv, char *why, size_t why_bytes)
{
	for (int at = 1; at < argc;) {
		struct option option = next_option(argc, argv, &at);
		int rc = 0;
		if (!action_of(option.name) && strcmp(option.name, "--config") != 0)
			rc = apply_option(config, &option, why, why_bytes);
		if (rc < 0)
			return rc;
	}
	return 0;
}

const char *config_file_of(int argc, char **argv)
{
	enum config_action action = CONFIG_RUN;
	const char *file = NULL;
	char why[256];

	return config_scan_options(argc, argv, &action, &file, why, sizeof(why)) < 0 ? NULL : file;
}
