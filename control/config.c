/* Every source ends in set(), which parses one key's text by the table. */
#include "control/config.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 8192 };

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

/* Options that are settings by another name. */
static const struct {
	const char *option;
	enum config_index index;
} short_options[] = {
	{"--listen", CONFIG_listen}, {"--data", CONFIG_data}, {"--shards", CONFIG_shards},
	{"--io", CONFIG_io},         {"--poll", CONFIG_poll}, {"--vdev", CONFIG_dpdk_port},
};

#define STORE_TEXT(field, number, text) (field) = (text)
#define STORE_COUNT(field, number, text) (field) = (number)
#define STORE_BYTES(field, number, text) (field) = (number)
#define STORE_MS(field, number, text) (field) = (number)
#define STORE_RATIO(field, number, text) (field) = (number)
#define STORE_BOOL(field, number, text) (field) = (number) != 0
#define STORE_CHOICE(field, number, text) (field) = (number)
#define STORE_LIST(field, number, text) (field) = (number)

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

static int set(struct config *config, unsigned index, const char *text, char *why, size_t why_bytes)
{
	int64_t number = 0;
	int rc = param_parse(&config_params[index], text, &number, why, why_bytes);

	if (rc < 0)
		return rc;
	char *copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	free(config->texts[index]);
	config->texts[index] = copy;
	store(config, index, number, copy);
	return 0;
}

static int set_key(struct config *config, const char *key, const char *text, unsigned *ret_index,
		   char *why, size_t why_bytes)
{
	int index = params_find(config_params, CONFIG_COUNT, key);

	if (index < 0) {
		snprintf(why, why_bytes, "no setting is called \"%.80s\"; did you mean \"%s\"?",
			 key, params_nearest(config_params, CONFIG_COUNT, key));
		return -ERR_CONFIG;
	}
	int rc = set(config, (unsigned)index, text, why, why_bytes);
	if (rc == 0)
		*ret_index = (unsigned)index;
	return rc;
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	char *end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return text;
}

/* The protocol's and the files' texts are UTF-8; a key or value that is not would come back
 * mangled. */
static bool is_utf8(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	while (*at) {
		unsigned more = *at < 0x80 ? 0 : *at >= 0xf0 ? 3 : *at >= 0xe0 ? 2 : 1;
		if ((*at >= 0x80 && *at < 0xc2) || *at > 0xf4)
			return false;
		for (at++; more; more--, at++) {
			if ((*at & 0xc0) != 0x80)
				return false;
		}
	}
	return true;
}

/* "key = value" in place; null for the value of a line without '='. */
static void split(char *line, char **ret_key, char **ret_value)
{
	char *equals = strchr(line, '=');

	if (equals)
		*equals = '\0';
	*ret_value = equals ? trim(equals + 1) : NULL;
	*ret_key = trim(line);
}

static int set_line(struct config *config, char *line, unsigned *lines_of, unsigned number,
		    char *why, size_t why_bytes)
{
	char *key;
	char *value;
	unsigned index = 0;

	line = trim(line);
	if (!*line || *line == '#')
		return 0;
	if (!is_utf8(line)) {
		snprintf(why, why_bytes, "the line is not UTF-8");
		return -ERR_CONFIG;
	}
	split(line, &key, &value);
	if (!value) {
		snprintf(why, why_bytes, "expected \"key = value\", found \"%.80s\"", key);
		return -ERR_CONFIG;
	}
	int rc = set_key(config, key, value, &index, why, why_bytes);
	if (rc < 0)
		return rc;
	if (lines_of[index]) {
		snprintf(why, why_bytes, "%s is already set on line %u", key, lines_of[index]);
		return -ERR_CONFIG;
	}
	lines_of[index] = number;
	config->given[index] = true;
	return 0;
}

static int load_lines(struct config *config, const char *path, FILE *file, char *why,
		      size_t why_bytes)
{
	unsigned lines_of[CONFIG_COUNT] = {0};
	char line[LINE_MAX_BYTES];
	char reason[512] = "";

	for (unsigned number = 1; fgets(line, sizeof(line), file); number++) {
		int rc = -ERR_CONFIG;
		/* Neither a newline nor the end: longer than the buffer, or a NUL inside. */
		if (!strchr(line, '\n') && !feof(file))
			snprintf(reason, sizeof(reason),
				 "the line is longer than %d bytes or has a NUL",
				 LINE_MAX_BYTES - 2);
		else
			rc = set_line(config, line, lines_of, number, reason, sizeof(reason));
		if (rc < 0) {
			snprintf(why, why_bytes, "%s:%u: %s", path, number, reason);
			return rc;
		}
	}
	if (ferror(file)) {
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		return -EIO;
	}
	return 0;
}

static int load_file(struct config *config, const char *path, char *why, size_t why_bytes)
{
	FILE *file = fopen(path, "re");

	if (!file) {
		int rc = -errno;
		snprintf(why, why_bytes, "%s: %s", path, strerror(errno));
		return rc;
	}
	int rc = load_lines(config, path, file, why, why_bytes);
	fclose(file);
	return rc;
}

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
		int rc = set(config, index, name + length + (name[length] == '='), reason,
			     sizeof(reason));
		if (rc < 0) {
			snprintf(why, why_bytes, "environment variable %.*s: %s",
				 (int)(length + sizeof(prefix) - 1), *entry, reason);
			return rc;
		}
		config->given[index] = true;
	}
	return 0;
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
	if (word[length] == '=') {
		option.value = word + length + 1;
	} else if (*at < argc && strncmp(option.name, "--", 2) == 0 &&
		   strcmp(option.name, "--help") != 0 && strcmp(option.name, "--version") != 0) {
		option.value = argv[(*at)++];
	}
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
	split(copy, &key, &value);
	if (!value) {
		snprintf(why, why_bytes, "--set expects KEY=VALUE, found \"%.80s\"", pair);
	} else {
		rc = set_key(config, key, value, &index, why, why_bytes);
		if (rc == 0)
			config->given[index] = true;
	}
	free(copy);
	return rc;
}

/* Says what may have been meant: an option, or a setting that needs --set. */
static int refuse_option(const char *name, char *why, size_t why_bytes)
{
	static const char *const others[] = {"--config", "--set", "--help", "--version"};
	const char *nearest = others[0];

	if (params_find(config_params, CONFIG_COUNT, name + strspn(name, "-")) >= 0) {
		snprintf(why, why_bytes, "\"%s\" is a setting: --set %s=VALUE", name,
			 name + strspn(name, "-"));
		return -ERR_CONFIG;
	}
	for (size_t i = 1; i < array_count(others); i++) {
		if (param_distance(name, others[i]) < param_distance(name, nearest))
			nearest = others[i];
	}
	for (size_t i = 0; i < array_count(short_options); i++) {
		if (param_distance(name, short_options[i].option) < param_distance(name, nearest))
			nearest = short_options[i].option;
	}
	snprintf(why, why_bytes, "unknown option \"%s\"; did you mean %s? See --help", name,
		 nearest);
	return -ERR_CONFIG;
}

static int apply_option(struct config *config, const struct option *option, char *why,
			size_t why_bytes)
{
	if (strcmp(option->name, "--set") == 0)
		return set_pair(config, option->value, why, why_bytes);
	for (size_t i = 0; i < array_count(short_options); i++) {
		if (strcmp(option->name, short_options[i].option) != 0)
			continue;
		char reason[512] = "";
		int rc = set(config, short_options[i].index, option->value, reason, sizeof(reason));
		if (rc < 0)
			snprintf(why, why_bytes, "%s: %s", option->name, reason);
		else
			config->given[short_options[i].index] = true;
		return rc;
	}
	return refuse_option(option->name, why, why_bytes);
}

/* `file_only`: finds --config, --help and --version; otherwise applies the rest. */
static int walk_options(struct config *config, int argc, char **argv, bool file_only,
			const char **ret_file, enum config_action *action, char *why,
			size_t why_bytes)
{
	for (int at = 1; at < argc;) {
		struct option option = next_option(argc, argv, &at);
		int rc = 0;

		if (strcmp(option.name, "--help") == 0 || strcmp(option.name, "-h") == 0)
			*action = CONFIG_HELP;
		else if (strcmp(option.name, "--version") == 0)
			*action = CONFIG_VERSION;
		else if (strncmp(option.name, "--", 2) == 0 && !option.value)
			rc = -ERR_CONFIG;
		else if (strcmp(option.name, "--config") == 0)
			*ret_file = option.value;
		else if (!file_only && (rc = apply_option(config, &option, why, why_bytes)) < 0)
			return rc;
		if (rc < 0) {
			snprintf(why, why_bytes, "%s needs a value; see --help", option.name);
			return rc;
		}
	}
	return 0;
}

int config_load(struct config *ret, int argc, char **argv, char **environment,
		enum config_action *ret_action, void (*ignored)(const char *variable), char *why,
		size_t why_bytes)
{
	struct config config = {0};
	const char *file = NULL;
	enum config_action action = CONFIG_RUN;
	int rc = 0;

	for (unsigned i = 0; i < CONFIG_COUNT && rc == 0; i++)
		rc = set(&config, i, config_params[i].default_text, why, why_bytes);
	if (rc == 0)
		rc = walk_options(&config, argc, argv, true, &file, &action, why, why_bytes);
	if (rc == 0 && action == CONFIG_RUN) {
		if (file)
			rc = load_file(&config, file, why, why_bytes);
		if (rc == 0)
			rc = load_environment(&config, environment, ignored, why, why_bytes);
		if (rc == 0)
			rc = walk_options(&config, argc, argv, false, &file, &action, why,
					  why_bytes);
	}
	if (rc < 0) {
		config_fini(&config);
		return rc;
	}
	*ret = config;
	*ret_action = action;
	return 0;
}

void config_fini(struct config *config)
{
	for (unsigned i = 0; i < CONFIG_COUNT; i++)
		free(config->texts[i]);
	*config = (struct config){0};
}

void config_print_help(void)
{
	puts("usage: sluiced [--listen HOST:PORT] [--data DIR] [--shards N] [--io auto|uring|sync]\n"
	     "               [--poll adaptive|busy] [--vdev DEVICE] [--config FILE]\n"
	     "               [--set KEY=VALUE]...\n"
	     "\n"
	     "Runs the broker until SIGTERM or SIGINT. Each setting below may stand in the file\n"
	     "(\"key = value\" lines), in the environment (SLUICE_NUM_PARTITIONS for num.partitions)\n"
	     "or after --set; a later one of these wins.\n");
	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		const struct param *param = &config_params[i];
		char wanted[160];
		param_describe(param, wanted, sizeof(wanted));
		printf("  %s = %s\n      %s. (%s)\n", param->key, param->default_text, param->help,
		       wanted);
	}
}
