/* Changes of settings, whatever kind of resource has them: set, put back to the default, added to a
 * list and taken out of one. */
#include "control/admin_configs_internal.h"

#include "base/arena.h"
#include "base/errors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- lists ---- */

static bool list_has(const char *list, const char *item, size_t length)
{
	for (const char *at = list; *at; at += strspn(at, ",")) {
		size_t width = strcspn(at, ",");
		if (width == length && memcmp(at, item, length) == 0)
			return true;
		at += width;
	}
	return false;
}

/* The items of `list` that are not among `others`, behind what `ret` holds already. */
static int add_items(const char *list, const char *others, char *ret, size_t ret_bytes)
{
	size_t used = strlen(ret);

	for (const char *at = list; *at; at += strspn(at, ",")) {
		size_t width = strcspn(at, ",");
		if (width && !list_has(others, at, width)) {
			used += (size_t)snprintf(ret + used, ret_bytes - used, "%s%.*s",
						 used ? "," : "", (int)width, at);
			if (used >= ret_bytes)
				return -ERR_CONFIG;
		}
		at += width;
	}
	return 0;
}

/* A list's text with the items of `items` added or taken out.  -ERR_CONFIG: too long. */
static int edit_list(const char *list, const char *items, bool add, char *ret, size_t ret_bytes)
{
	int rc;

	ret[0] = '\0';
	rc = add_items(list, add ? "" : items, ret, ret_bytes);
	if (rc == 0 && add)
		rc = add_items(items, list, ret, ret_bytes);
	return rc;
}

/* ---- changes ---- */

/* A key that the table has not is left for `set` to refuse. */
static int edit(const struct altering *altering, const char *key, bool add, char **text,
		char why[static WHY_BYTES])
{
	const struct config_table *table = altering->table;
	char edited[2 * PARAM_CANONICAL_BYTES];
	int index = params_find(table->params, table->count, key);

	if (index < 0)
		return 0;
	if (table->params[index].kind != PARAM_LIST)
		return requests_refuse(why, -ERR_CONFIG, "%s is not a list", key);
	const char *now = altering->texts[index] ? altering->texts[index]
						 : table->inherited(altering->config, index);
	if (edit_list(now, *text, add, edited, sizeof(edited)) < 0)
		return requests_refuse(why, -ERR_CONFIG, "%s: too long", key);
	*text = arena_strndup(altering->arena, edited, strlen(edited));
	return *text ? 0 : -ENOMEM;
}

static int alter(const struct altering *altering, const struct alteration *alteration,
		 char why[static WHY_BYTES])
{
	const struct kafka_string *value = alteration->value;
	char *key = arena_strndup(altering->arena, alteration->key->data,
				  (size_t)alteration->key->length);
	char *text = NULL;
	int rc = 0;

	if (!key)
		return -ENOMEM;
	if (alteration->operation != OPERATION_DELETE) {
		if (value->length < 0)
			return requests_refuse(why, -ERR_CONFIG, "\"%.80s\" has no value", key);
		text = arena_strndup(altering->arena, value->data, (size_t)value->length);
		if (!text)
			return -ENOMEM;
	}
	switch (alteration->operation) {
	case OPERATION_SET:
	case OPERATION_DELETE:
		break;
	case OPERATION_APPEND:
	case OPERATION_SUBTRACT:
		rc = edit(altering, key, alteration->operation == OPERATION_APPEND, &text, why);
		break;
	default:
		return requests_refuse(why, -ERR_BAD_REQUEST, "unknown operation %d",
				       alteration->operation);
	}
	return rc < 0 ? rc : altering->table->set(altering->overrides, key, text, why, WHY_BYTES);
}

int admin_config_alter(const struct altering *altering, const struct changes *changes,
		       char why[static WHY_BYTES])
{
	int rc = 0;

	for (int32_t i = 0; rc == 0 && i < changes->count; i++)
		rc = alter(altering, &changes->alterations[i], why);
	return rc;
}
