/* The settings themselves and the order of their sources.  Files: config_file.c; the command line:
 * config_options.c; the environment is here. */
#include "control/config_internal.h"

#include "base/errors.h"
#include "base/log.h"
#include "control/setting_tables.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct param config_params[CONFIG_COUNT] = {
#define PARAM(kind_, field, key_, def, min_, max_, choices_, when, help_)                          \
	[CONFIG_##field] = {.key = (key_),                                                         \
			    .kind = PARAM_##kind_,                                                 \
			    .min = (min_),                                                         \
			    .max = (max_),                                                         \
			    .default_text = (def),                                                 \
			    .choices = (choices_),                                                 \
			    .live = PARAM_##when,                                                  \
			    .help = (help_)},
#include "control/config.def"
#undef PARAM
};

/* ---- one setting ---- */

#define STORE_TEXT(field, number, text) (field) = (text)
#define STORE_COUNT(field, number, text) (field) = (number)
#define STORE_BYTES(field, number, text) (field) = (number)
#define STORE_MS(field, number, text) (field) = (number)
#define STORE_RATIO(field, number, text) (field) = (number)
#define STORE_BOOL(field, number, text) (field) = (number) != 0
#define STORE_CHOICE(field, number, text) (field) = (number)
#define STORE_LIST(field, number, text) (field) = (number)
#define STORE_LEVELS(field, number, text) (field) = (text)
#define STORE_ADDRESS(field, number, text) (field) = (text)

static void store(struct config *config, unsigned index, int64_t number, const char *text)
{
	switch ((enum config_index)index) {
#define PARAM(kind, field, key, def, min, max, choices, when, help)                                \
	case CONFIG_##field:                                                                       \
		STORE_##kind(config->field, number, text);                                         \
		break;
#include "control/config.def"
#undef PARAM
	case CONFIG_COUNT:
		break;
	}
}

int config_set(struct config *config, unsigned index, const char *text, enum config_origin origin,
	       char *why, size_t why_bytes)
{
	int64_t number = 0;
	int rc = param_parse(&config_params[index], text, &number, why, why_bytes);

	if (rc < 0)
		return rc;
	char *copy = strdup(text);
	if (!copy) {
		snprintf(why, why_bytes, "no memory");
		return -ENOMEM;
	}
	free(config->texts[index]);
	config->texts[index] = copy;
	config->origins[index] = origin;
	store(config, index, number, copy);
	return 0;
}

/* Says what may have been meant: a setting of topics that has a default here, or the nearest. */
static int refuse_key(const char *key, char *why, size_t why_bytes)
{
	int topic = params_find(topic_params, TOPIC_CONFIG_COUNT, key);
	int broker = topic < 0 ? NO_BROKER_SETTING
			       : topic_config_broker_index((enum topic_config_index)topic);

	if (broker != NO_BROKER_SETTING)
		snprintf(why, why_bytes, "%s is set for topics; their default is set as \"%s\"",
			 key, config_params[broker].key);
	else if (topic >= 0)
		snprintf(why, why_bytes, "%s is set for topics, not for the broker", key);
	else
		snprintf(why, why_bytes, "no setting is called \"%.80s\"; did you mean \"%s\"?",
			 key, params_nearest(config_params, CONFIG_COUNT, key));
	return -ERR_CONFIG;
}

int config_set_key(struct config *config, const char *key, const char *text,
		   enum config_origin origin, unsigned *ret_index, char *why, size_t why_bytes)
{
	int index = params_find(config_params, CONFIG_COUNT, key);

	if (index < 0)
		return refuse_key(key, why, why_bytes);
	int rc = config_set(config, (unsigned)index, text, origin, why, why_bytes);
	if (rc == 0)
		*ret_index = (unsigned)index;
	return rc;
}

void config_set_log_levels(const struct config *config)
{
	struct log_levels levels;
	char why[256];

	/* Was parsed before. */
	if (log_levels_parse(&levels, config->log_level, why, sizeof(why)) == 0)
		log_set_levels(&levels);
}

bool config_same(const struct config *a, const struct config *b, unsigned index)
{
	char texts[2][PARAM_CANONICAL_BYTES];
	char why[256];

	if (strcmp(a->texts[index], b->texts[index]) == 0)
		return true;
	return param_canonical(&config_params[index], a->texts[index], texts[0], why,
			       sizeof(why)) == 0 &&
	       param_canonical(&config_params[index], b->texts[index], texts[1], why,
			       sizeof(why)) == 0 &&
	       strcmp(texts[0], texts[1]) == 0;
}

int config_copy(struct config *ret, const struct config *from)
{
	char why[256];
	int rc = 0;

	*ret = (struct config){0};
	for (unsigned i = 0; i < CONFIG_COUNT && rc == 0; i++)
		rc = config_set(ret, i, from->texts[i], from->origins[i], why, sizeof(why));
	if (rc < 0)
		config_fini(ret);
	return rc;
}

void config_fini(struct config *config)
{
	for (unsigned i = 0; i < CONFIG_COUNT; i++)
		free(config->texts[i]);
	*config = (struct config){0};
}

/* ---- the environment ---- */

/* SLUICE_NUM_PARTITIONS for num.partitions. */
static bool names_variable(const char *key, const char *variable, size_t length)
{
	if (strlen(key) != length)
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = (char)toupper((unsigned char)key[i]);
		if ((c == '.' ? '_' : c) != variable[i])
			return false;
	}
	return true;
}

static int load_environment(struct config *config, char **environment,
			    void (*ignored)(const char *variable), char *why, size_t why_bytes)
{
	static const char prefix[] = "SLUICE_";

	for (char **entry = environment; entry && *entry; entry++) {
		if (strncmp(*entry, prefix, sizeof(prefix) - 1) != 0)
			continue;
		const char *name = *entry + sizeof(prefix) - 1;
		size_t length = strcspn(name, "=");
		unsigned index = 0;
		while (index < CONFIG_COUNT &&
		       !names_variable(config_params[index].key, name, length))
			index++;
		if (index == CONFIG_COUNT) {
			ignored(*entry);
			continue;
		}
		char reason[512] = "";
		int rc = config_set(config, index, name + length + (name[length] == '='),
				    CONFIG_BY_ENVIRONMENT, reason, sizeof(reason));
		if (rc < 0) {
			snprintf(why, why_bytes, "environment variable %.*s: %s",
				 (int)(length + sizeof(prefix) - 1), *entry, reason);
			return rc;
		}
	}
	return 0;
}

/* ---- all of it ---- */

static int load_sources(struct config *config, const char *file, int argc, char **argv,
			char **environment, void (*ignored)(const char *variable), char *why,
			size_t why_bytes)
{
	int rc = file ? config_load_files(config, file, why, why_bytes) : 0;

	if (rc == 0)
		rc = load_environment(config, environment, ignored, why, why_bytes);
	if (rc == 0)
		rc = config_apply_options(config, argc, argv, why, why_bytes);
	return rc;
}

int config_load(struct config *ret, int argc, char **argv, char **environment,
		enum config_action *ret_action, void (*ignored)(const char *variable), char *why,
		size_t why_bytes)
{
	struct config config = {0};
	const char *file = NULL;
	int rc = 0;

	*ret_action = CONFIG_RUN;
	for (unsigned i = 0; i < CONFIG_COUNT && rc == 0; i++)
		rc = config_set(&config, i, config_params[i].default_text, CONFIG_BY_DEFAULT, why,
				why_bytes);
	if (rc == 0)
		rc = config_scan_options(argc, argv, ret_action, &file, why, why_bytes);
	bool reads = *ret_action != CONFIG_HELP && *ret_action != CONFIG_VERSION;
	if (rc == 0 && reads)
		rc = load_sources(&config, file, argc, argv, environment, ignored, why, why_bytes);
	if (rc < 0) {
		config_fini(&config);
		return rc;
	}
	*ret = config;
	return 0;
}
