/* Settings of topics, of groups and of the client, by name and value: { byte that says whose, name,
 * value } and so on, both ended by a NUL byte; without a value the setting is removed.  Those of
 * topics and groups pile up, as a request of an administrator has several. */
#include "base/bytes.h"
#include "base/errors.h"
#include "client/options.h"
#include "control/config.h"
#include "control/group_config.h"
#include "control/topic_config.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <stdbool.h>

enum { OF_TOPIC, OF_GROUP, OF_CLIENT, KINDS };
enum { SETTINGS_MAX = 16 };

struct overrides {
	struct topic_overrides topic;
	struct group_overrides group;
};

static const struct config *defaults(void)
{
	static struct config config;
	char name[] = "sluiced", *argv[] = {name, NULL}, *environment[] = {NULL};
	enum config_action action;
	char why[256];

	if (!config.texts[0])
		check(config_load(&config, 1, argv, environment, &action, NULL, why, sizeof(why)) ==
		      0);
	return &config;
}

/* What is kept is canonical: setting it again changes nothing. */
static void check_kept(const struct param *params, size_t count, char *const *texts)
{
	char canonical[PARAM_CANONICAL_BYTES], why[512];

	for (size_t i = 0; i < count; i++) {
		if (!texts[i])
			continue;
		check(param_canonical(&params[i], texts[i], canonical, why, sizeof(why)) == 0);
		check(strcmp(canonical, texts[i]) == 0);
	}
}

static void set_option(const char *name, const char *value)
{
	struct sluice_options *options;

	check(sluice_options_new(&options) == 0);
	int rc = sluice_options_set(options, name, value);
	check(rc == 0 || rc == -ENOENT || rc == -EINVAL || rc == -ERANGE);
	check(rc == 0 || sluice_options_error(options)[0]);
	sluice_options_free(options);
}

static void set(struct overrides *overrides, uint8_t kind, const char *name, const char *value)
{
	char why[512] = "";
	int rc = 0;

	if (kind == OF_TOPIC)
		rc = topic_overrides_set(&overrides->topic, name, value, why, sizeof(why));
	else if (kind == OF_GROUP)
		rc = group_overrides_set(&overrides->group, name, value, why, sizeof(why));
	else if (value)
		set_option(name, value);
	check(rc == 0 || (rc == -ERR_CONFIG && why[0]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct overrides overrides = {0};
	struct input input = {data, size};

	for (unsigned i = 0; i < SETTINGS_MAX && input.left > 0; i++) {
		uint8_t kind = input_u8(&input) % KINDS;
		char *name = input_text(&input, 0);
		char *value = input.left ? input_text(&input, 0) : NULL;
		set(&overrides, kind, name, value);
		free(name);
		free(value);
	}
	check_kept(topic_params, TOPIC_CONFIG_COUNT, overrides.topic.texts);
	check_kept(group_params, GROUP_CONFIG_COUNT, overrides.group.texts);
	topic_config_resolve(defaults(), &overrides.topic);
	group_config_resolve(defaults(), &overrides.group);
	topic_overrides_fini(&overrides.topic);
	group_overrides_fini(&overrides.group);
	return 0;
}
