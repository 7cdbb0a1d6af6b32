/* Settings of the broker (resource type BROKER): what holds, and what clients may change of it.
 *
 * As in Kafka: a resource with the broker's number is this one, a resource without a name is every
 * broker of the cluster; what is set for one wins over what is set for all, and both over file,
 * environment and command line.  The catalog keeps them; live.c has them hold. */
#include "control/admin_configs_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum config_source admin_config_source(enum config_origin origin)
{
	switch (origin) {
	case CONFIG_BY_DEFAULT:
		break;
	case CONFIG_BY_FILE:
	case CONFIG_BY_ENVIRONMENT:
	case CONFIG_BY_COMMAND:
		return SOURCE_BROKER_FILE;
	case CONFIG_BY_CLUSTER:
		return SOURCE_ALL_BROKERS;
	case CONFIG_BY_BROKER:
		return SOURCE_BROKER;
	}
	return SOURCE_DEFAULT;
}

static int scope_of(const struct control *control, const struct kafka_string *name,
		    enum broker_scope *ret, char why[static WHY_BYTES])
{
	char self[12];

	if (name->length == 0) {
		*ret = BROKER_ALL;
		return 0;
	}
	snprintf(self, sizeof(self), "%d", control->node_id);
	struct kafka_string own = kafka_string_of(self);
	if (!kafka_string_equal(name, &own))
		return requests_refuse(why, -ERR_BAD_REQUEST, "this is broker %s", self);
	*ret = BROKER_ONE;
	return 0;
}

/* ---- DescribeConfigs ---- */

static int add_synonym(const struct describe *d, describe_row *row, unsigned index,
		       const char *text, enum config_source source)
{
	const char *canonical;

	if (!text)
		return 0;
	int rc = admin_config_canonical(d->arena, &config_params[index], text, &canonical);
	if (rc == 0)
		admin_config_add_synonym(row, config_params[index].key, canonical, source);
	return rc;
}

/* Where the value comes from and would come from, most specific first. */
static int add_synonyms(const struct describe *d, describe_row *row, unsigned index)
{
	const struct control *control = d->control;
	const struct config *said = &control->said;
	const struct {
		const char *text;
		enum config_source source;
	} places[] = {
		{catalog_broker_overrides(control->catalog, BROKER_ONE)->texts[index],
		 SOURCE_BROKER},
		{catalog_broker_overrides(control->catalog, BROKER_ALL)->texts[index],
		 SOURCE_ALL_BROKERS},
		{config_given(said, (int)index) ? said->texts[index] : NULL, SOURCE_BROKER_FILE},
		{config_params[index].default_text, SOURCE_DEFAULT},
	};
	int rc = 0;

	if (!d->message->include_synonyms)
		return 0;
	row->synonyms = arena_calloc(d->arena, array_count(places), sizeof(*row->synonyms));
	if (!row->synonyms)
		return -ENOMEM;
	for (size_t i = 0; i < array_count(places) && rc == 0; i++)
		rc = add_synonym(d, row, index, places[i].text, places[i].source);
	return rc;
}

static int describe_setting(const struct describe *d, unsigned index, const char *text,
			    enum config_source source)
{
	struct config_value value = {.source = source};
	int rc = admin_config_canonical(d->arena, &config_params[index], text, &value.text);

	if (rc < 0)
		return rc;
	describe_row *row = admin_config_add_row(d, &config_params[index], &value);
	row->read_only = !config_params[index].live;
	return add_synonyms(d, row, index);
}

int admin_describe_broker(const struct describe *d)
{
	const struct config *config = d->control->config;
	const struct broker_overrides *all = catalog_broker_overrides(d->control->catalog,
								      BROKER_ALL);
	char why[WHY_BYTES];
	enum broker_scope scope = BROKER_ALL;
	int rc = scope_of(d->control, &d->resource->resource_name, &scope, why);

	if (rc < 0)
		return rc;
	d->result->configs = arena_calloc(d->arena, CONFIG_COUNT, sizeof(*d->result->configs));
	if (!d->result->configs)
		return -ENOMEM;
	for (unsigned i = 0; i < CONFIG_COUNT && rc == 0; i++) {
		if (!admin_config_wanted(d, config_params[i].key))
			continue;
		/* Of all brokers only what was set for all is known. */
		if (scope == BROKER_ONE)
			rc = describe_setting(d, i, config->texts[i],
					      admin_config_source(config->origins[i]));
		else if (all->texts[i])
			rc = describe_setting(d, i, all->texts[i], SOURCE_ALL_BROKERS);
	}
	return rc;
}

/* ---- changing ---- */

static const char *inherited(const struct config *config, int index)
{
	return config->texts[index];
}

static int set(void *overrides, const char *key, const char *text, char *why, size_t why_bytes)
{
	return broker_overrides_set(overrides, key, text, why, why_bytes);
}

static const struct config_table table = {config_params, CONFIG_COUNT, inherited, set};

static int commit(struct control *control, enum broker_scope scope,
		  const struct broker_overrides *overrides, bool *changed)
{
	int rc = catalog_configure_broker(control->catalog, scope, overrides);

	if (rc < 0)
		return rc;
	*changed = true;
	log_info("catalog", "broker configured scope=%s", scope == BROKER_ALL ? "all" : "one");
	live_catalog_changed(control);
	return 0;
}

int admin_change_broker(struct control *control, struct arena *arena, const struct changes *changes,
			bool *changed, char why[static WHY_BYTES])
{
	struct broker_overrides overrides = {0};
	const struct altering altering = {&table, control->config, arena, &overrides,
					  overrides.texts};
	enum broker_scope scope = BROKER_ALL;
	int rc = scope_of(control, changes->name, &scope, why);

	if (rc == 0 && !changes->anew)
		rc = broker_overrides_copy(&overrides,
					   catalog_broker_overrides(control->catalog, scope));
	if (rc == 0)
		rc = admin_config_alter(&altering, changes, why);
	if (rc == 0 && !changes->validate_only)
		rc = commit(control, scope, &overrides, changed);
	broker_overrides_fini(&overrides);
	return rc;
}
