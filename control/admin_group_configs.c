/* Settings of groups (resource type GROUP): those of share groups.  A group need not exist to have
 * any, as who sets them does so before its first member comes. */
#include "control/admin_configs_internal.h"

#include "base/arena.h"
#include "base/errors.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

/* The catalog has ids as texts that end with NUL. */
static int id_of(struct arena *arena, const struct kafka_string *name, char **ret,
		 char why[static WHY_BYTES])
{
	if (name->length <= 0 || name->length > CATALOG_GROUP_ID_MAX ||
	    memchr(name->data, 0, (size_t)name->length))
		return requests_refuse(why, -ERR_BAD_REQUEST,
				       "a group with settings needs an id without NUL");
	*ret = arena_strndup(arena, name->data, (size_t)name->length);
	return *ret ? 0 : -ENOMEM;
}

/* ---- DescribeConfigs ---- */

static int describe_setting(const struct describe *d, const struct group_overrides *overrides,
			    enum group_config_index index)
{
	const struct param *param = &group_params[index];
	const char *text = overrides->texts[index];
	int broker = group_config_broker_index(index);
	struct config_value value = {.source = SOURCE_GROUP};

	if (!text && broker == NO_BROKER_SETTING)
		value.source = SOURCE_DEFAULT;
	else if (!text)
		value.source = admin_config_source(d->control->config->origins[broker]);
	if (!text)
		text = group_config_default(d->control->config, index);
	int rc = admin_config_canonical(d->arena, param, text, &value.text);
	if (rc == 0)
		admin_config_add_row(d, param, &value);
	return rc;
}

int admin_describe_group(const struct describe *d)
{
	const struct group_overrides none = {0};
	char why[WHY_BYTES];
	char *id = NULL;
	int rc = id_of(d->arena, &d->resource->resource_name, &id, why);

	if (rc < 0)
		return rc;
	const struct catalog_group *group = catalog_find_group(d->control->catalog, id);
	d->result->configs = arena_calloc(d->arena, GROUP_CONFIG_COUNT,
					  sizeof(*d->result->configs));
	if (!d->result->configs)
		return -ENOMEM;
	for (int i = 0; i < GROUP_CONFIG_COUNT && rc == 0; i++) {
		if (admin_config_wanted(d, group_params[i].key))
			rc = describe_setting(d, group ? &group->overrides : &none,
					      (enum group_config_index)i);
	}
	return rc;
}

/* ---- changing ---- */

static int begin(const struct control *control, const char *id, bool anew,
		 struct group_overrides *ret)
{
	const struct catalog_group *group = anew ? NULL : catalog_find_group(control->catalog, id);

	return group ? group_overrides_copy(ret, &group->overrides) : 0;
}

static const char *inherited(const struct config *config, int index)
{
	return group_config_default(config, (enum group_config_index)index);
}

static int set(void *overrides, const char *key, const char *text, char *why, size_t why_bytes)
{
	return group_overrides_set(overrides, key, text, why, why_bytes);
}

static const struct config_table table = {group_params, GROUP_CONFIG_COUNT, inherited, set};

static int commit(struct control *control, const char *id, const struct group_overrides *overrides,
		  bool *changed)
{
	int rc = catalog_configure_group(control->catalog, id, overrides);

	if (rc == 0) {
		*changed = true;
		log_info("catalog", "group configured id=%s", id);
	}
	return rc;
}

int admin_change_group(struct control *control, struct arena *arena, const struct changes *changes,
		       bool *changed, char why[static WHY_BYTES])
{
	struct group_overrides overrides = {0};
	const struct altering altering = {&table, control->config, arena, &overrides,
					  overrides.texts};
	char *id = NULL;
	int rc = id_of(arena, changes->name, &id, why);

	if (rc == 0)
		rc = begin(control, id, changes->anew, &overrides);
	if (rc == 0)
		rc = admin_config_alter(&altering, changes, why);
	if (rc == 0 && !changes->validate_only)
		rc = commit(control, id, &overrides, changed);
	group_overrides_fini(&overrides);
	return rc;
}
