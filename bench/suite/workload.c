/* What a workload says, set key by key from the table workload_keys.def. */
#include "bench/suite/workload.h"

#include "base/bytes.h"
#include "control/param.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_OF(field) sizeof(((struct workload *)NULL)->field)

#define PARAM(kind_, key_, min_, max_, choices_, help_)                                            \
	{.key = (key_),                                                                            \
	 .kind = PARAM_##kind_,                                                                    \
	 .min = (min_),                                                                            \
	 .max = (max_),                                                                            \
	 .choices = (choices_),                                                                    \
	 .help = (help_)},

static const struct param params[] = {
#define NUMBER(kind, field, key, unit, min, max, choices, help)                                    \
	PARAM(kind, key, min, max, choices, help)
#define RATIO(field, key, help) PARAM(RATIO, key, 0, 1, NULL, help)
#define TEXT(kind, field, key, choices, help) PARAM(kind, key, 0, SIZE_OF(field) - 1, choices, help)
#define SETTING(field, key, help) PARAM(TEXT, key, 0, WORKLOAD_SETTING_BYTES_MAX, NULL, help)
#define KEPT(kind, key, min, max, choices, help) PARAM(kind, key, min, max, choices, help)
#include "bench/suite/workload_keys.def"
#undef NUMBER
#undef RATIO
#undef TEXT
#undef SETTING
#undef KEPT
};

/* Where the value of the parameter with the same index goes. */
static const struct field {
	enum { FIELD_NUMBER, FIELD_RATIO, FIELD_TEXT, FIELD_SETTINGS, FIELD_NONE } kind;
	size_t at;
	size_t bytes;
	int64_t unit;
} fields[] = {
#define WHERE(field) offsetof(struct workload, field), SIZE_OF(field)
#define NUMBER(kind, field, key, unit, min, max, choices, help) {FIELD_NUMBER, WHERE(field), unit},
#define RATIO(field, key, help) {FIELD_RATIO, WHERE(field), 1},
#define TEXT(kind, field, key, choices, help) {FIELD_TEXT, WHERE(field), 1},
#define SETTING(field, key, help) {FIELD_SETTINGS, WHERE(field), 1},
#define KEPT(kind, key, min, max, choices, help) {FIELD_NONE, 0, 0, 1},
#include "bench/suite/workload_keys.def"
#undef NUMBER
#undef RATIO
#undef TEXT
#undef SETTING
#undef KEPT
#undef WHERE
};

static const struct workload plain = {
	.name = "unnamed",
	.topics = 1,
	.partitions_per_topic = 1,
	.message_bytes = 1024,
	.random_bytes_share = 1,
	.producers_per_topic = 1,
	.subscriptions_per_topic = 1,
	.consumers_per_subscription = 1,
	.warm_up_ms = 60000, /* OpenMessaging's default */
	.duration_ms = 10000,
	.acks = DRIVER_ACKS_ALL,
	.compression = "none",
};

/* ---- settings ---- */

static void settings_free(char *settings[WORKLOAD_SETTINGS_MAX])
{
	for (size_t i = 0; i < WORKLOAD_SETTINGS_MAX; i++) {
		free(settings[i]);
		settings[i] = NULL;
	}
}

/* -ERANGE: there is no place left; one stays null. */
static int settings_add(char *settings[WORKLOAD_SETTINGS_MAX], const char *setting)
{
	size_t count = 0;

	while (settings[count])
		count++;
	if (count == WORKLOAD_SETTINGS_MAX - 1)
		return -ERANGE;
	settings[count] = strdup(setting);
	return settings[count] ? 0 : -ENOMEM;
}

static int settings_copy(char *const from[WORKLOAD_SETTINGS_MAX], char *to[WORKLOAD_SETTINGS_MAX])
{
	int rc = 0;

	memset(to, 0, WORKLOAD_SETTINGS_MAX * sizeof(to[0]));
	for (size_t i = 0; rc == 0 && from[i]; i++)
		rc = settings_add(to, from[i]);
	return rc;
}

/* ---- keys ---- */

const struct param *workload_key_at(size_t index)
{
	return index < array_count(params) ? &params[index] : NULL;
}

bool workload_key_repeats(size_t index)
{
	return fields[index].kind == FIELD_SETTINGS;
}

int workload_key_find(const char *key, size_t *ret, char *why, size_t why_bytes)
{
	int index = params_find(params, array_count(params), key);

	if (index < 0) {
		snprintf(why, why_bytes, "no key is called \"%.80s\"; did you mean \"%s\"?", key,
			 params_nearest(params, array_count(params), key));
		return -ENOENT;
	}
	*ret = (size_t)index;
	return 0;
}

static void store_number(const struct field *field, void *at, int64_t number)
{
	number *= field->unit;
	if (field->bytes == sizeof(bool))
		*(bool *)at = number;
	else if (field->bytes == sizeof(uint32_t))
		*(uint32_t *)at = (uint32_t)number;
	else
		*(uint64_t *)at = (uint64_t)number;
}

static int store_text(const struct param *param, const struct field *field, char *at,
		      const char *text, char *why, size_t why_bytes)
{
	char canonical[PARAM_CANONICAL_BYTES];

	for (const char *c = text; *c; c++) {
		if (iscntrl((unsigned char)*c)) {
			snprintf(why, why_bytes, "%s has a control character", param->key);
			return -EINVAL;
		}
	}
	if (param_canonical(param, text, canonical, why, why_bytes) < 0)
		return -EINVAL;
	snprintf(at, field->bytes, "%s", canonical);
	return 0;
}

static int store_setting(const struct param *param, char **settings, const char *text, char *why,
			 size_t why_bytes)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text) {
		snprintf(why, why_bytes, "%s = \"%.80s\" is not valid: name=value", param->key,
			 text);
		return -EINVAL;
	}
	int rc = settings_add(settings, text);
	if (rc == -ERANGE)
		snprintf(why, why_bytes, "%s: there are more than %d", param->key,
			 WORKLOAD_SETTINGS_MAX - 1);
	else if (rc < 0)
		snprintf(why, why_bytes, "%s: %s", param->key, strerror(-rc));
	return rc;
}

int workload_set(struct workload *workload, const char *key, const char *value, char *why,
		 size_t why_bytes)
{
	size_t index;
	int64_t number;
	int rc = workload_key_find(key, &index, why, why_bytes);

	if (rc < 0)
		return rc;
	const struct param *param = &params[index];
	const struct field *field = &fields[index];
	void *at = (char *)workload + field->at;
	if (param_parse(param, value, &number, why, why_bytes) < 0)
		return -EINVAL;
	switch (field->kind) {
	case FIELD_NUMBER:
		store_number(field, at, number);
		break;
	case FIELD_RATIO:
		*(double *)at = (double)number / PARAM_RATIO_ONE;
		break;
	case FIELD_TEXT:
		return store_text(param, field, at, value, why, why_bytes);
	case FIELD_SETTINGS:
		return store_setting(param, at, value, why, why_bytes);
	case FIELD_NONE:
		break;
	}
	return 0;
}

static int64_t load_number(const struct field *field, const void *at)
{
	if (field->bytes == sizeof(bool))
		return *(const bool *)at;
	if (field->bytes == sizeof(uint32_t))
		return *(const uint32_t *)at;
	return *(const int64_t *)at;
}

/* Number `index` of "one|two|three". */
static const char *choice_text(const char *choices, int64_t index, char *text, size_t bytes)
{
	while (index-- > 0 && *choices) {
		choices += strcspn(choices, "|");
		choices += *choices == '|';
	}
	snprintf(text, bytes, "%.*s", (int)strcspn(choices, "|"), choices);
	return text;
}

static const char *number_text(const struct param *param, int64_t number, char *text, size_t bytes)
{
	if (param->kind == PARAM_CHOICE)
		return choice_text(param->choices, number, text, bytes);
	if (param->kind == PARAM_BOOL)
		snprintf(text, bytes, "%s", number ? "true" : "false");
	else
		snprintf(text, bytes, "%" PRId64, number);
	return text;
}

const char *workload_get(const struct workload *workload, size_t key_index, size_t value_index,
			 char *text, size_t bytes)
{
	if (key_index >= array_count(params))
		return NULL;
	const struct param *param = &params[key_index];
	const struct field *field = &fields[key_index];
	const void *at = (const char *)workload + field->at;
	if (field->kind == FIELD_SETTINGS) {
		const char *setting = value_index < WORKLOAD_SETTINGS_MAX
					      ? ((char *const *)at)[value_index]
					      : NULL;
		if (setting)
			snprintf(text, bytes, "%s", setting);
		return setting ? text : NULL;
	}
	if (value_index > 0 || field->kind == FIELD_NONE)
		return NULL;
	if (field->kind == FIELD_TEXT)
		snprintf(text, bytes, "%s", (const char *)at);
	else if (field->kind == FIELD_RATIO)
		snprintf(text, bytes, "%.6f", *(const double *)at);
	else if (load_number(field, at) % field->unit == 0)
		return number_text(param, load_number(field, at) / field->unit, text, bytes);
	else
		return NULL;
	return text;
}

/* ---- as a whole ---- */

void workload_init(struct workload *workload)
{
	*workload = plain;
}

int workload_copy(const struct workload *workload, struct workload *ret)
{
	struct workload copy = *workload;
	int rc = settings_copy(workload->topic_configs, copy.topic_configs);
	int rc2 = settings_copy(workload->client_settings, copy.client_settings);

	if (rc < 0 || rc2 < 0) {
		workload_fini(&copy);
		return -ENOMEM;
	}
	*ret = copy;
	return 0;
}

int workload_builtin(const char *name, struct workload *ret)
{
	const struct workload *from;

	for (size_t i = 0; (from = workload_at(i)); i++) {
		if (strcmp(from->name, name) == 0)
			return workload_copy(from, ret);
	}
	return -ENOENT;
}

static int refuse(char *why, size_t why_bytes, const char *reason)
{
	snprintf(why, why_bytes, "%s", reason);
	return -EINVAL;
}

/* -EINVAL: more of them than the program makes. */
static int check_count(const char *what, uint64_t topics, uint64_t of_each, uint64_t most,
		       char *why, size_t why_bytes)
{
	if (topics * of_each <= most)
		return 0;
	snprintf(why, why_bytes, "%" PRIu64 " %s: at most %" PRIu64, topics * of_each, what, most);
	return -EINVAL;
}

static int check_counts(const struct workload *w, char *why, size_t why_bytes)
{
	uint64_t consumers = (uint64_t)w->subscriptions_per_topic * w->consumers_per_subscription;
	int rc = check_count("partitions", w->topics, w->partitions_per_topic,
			     WORKLOAD_PARTITIONS_MAX, why, why_bytes);

	if (rc == 0)
		rc = check_count("producers", w->topics, w->producers_per_topic,
				 WORKLOAD_CLIENTS_MAX, why, why_bytes);
	if (rc == 0)
		rc = check_count("consumers", w->topics, consumers + w->tail_consumers,
				 WORKLOAD_CLIENTS_MAX, why, why_bytes);
	return rc;
}

int workload_check(const struct workload *w, char *why, size_t why_bytes)
{
	if (w->backlog_bytes && !w->subscriptions_per_topic)
		return refuse(why, why_bytes,
			      "consumerBacklogSize without subscriptionsPerTopic: nobody reads it");
	if (w->tail_consumers && !w->backlog_bytes)
		return refuse(why, why_bytes,
			      "tailConsumers without consumerBacklogSize: there is nothing to read "
			      "beside them");
	if (w->grouped && !w->subscriptions_per_topic)
		return refuse(why, why_bytes,
			      "consumerGroups without subscriptionsPerTopic: a group has members");
	if (w->rebalance_ms && !w->grouped)
		return refuse(why, why_bytes,
			      "rebalanceInterval without consumerGroups: there are no members");
	if (w->rebalance_ms && w->consumers_per_subscription < 2)
		return refuse(why, why_bytes,
			      "rebalanceInterval with one consumerPerSubscription: none stays when "
			      "it leaves");
	return check_counts(w, why, why_bytes);
}

void workload_fini(struct workload *workload)
{
	settings_free(workload->topic_configs);
	settings_free(workload->client_settings);
}
