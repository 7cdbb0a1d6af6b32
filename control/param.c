#include "control/param.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/nearest.h"
#include "control/listen_address.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit byte_units[] = {
	{"", 1},
	{"B", 1},
	{"k", 1 << 10},
	{"KiB", 1 << 10},
	{"m", 1 << 20},
	{"MiB", 1 << 20},
	{"g", 1 << 30},
	{"GiB", 1 << 30},
	{"t", INT64_C(1) << 40},
	{"TiB", INT64_C(1) << 40},
};

static const struct unit time_units[] = {
	{"", 1},
	{"ms", 1},
	{"s", 1000},
	{"min", INT64_C(60) * 1000},
	{"h", INT64_C(3600) * 1000},
	{"d", INT64_C(24) * 3600 * 1000},
};

static const struct unit no_units[] = {{"", 1}};

static const struct unit *units_of(enum param_kind kind, size_t *ret_count)
{
	switch (kind) {
	case PARAM_BYTES:
		*ret_count = array_count(byte_units);
		return byte_units;
	case PARAM_MS:
		*ret_count = array_count(time_units);
		return time_units;
	case PARAM_TEXT:
	case PARAM_NAME:
	case PARAM_COUNT:
	case PARAM_RATIO:
	case PARAM_BOOL:
	case PARAM_CHOICE:
	case PARAM_LIST:
	case PARAM_LEVELS:
	case PARAM_ADDRESS:
		break;
	}
	*ret_count = array_count(no_units);
	return no_units;
}

static int parse_number(const struct param *param, const char *text, int64_t *ret)
{
	char *end;
	size_t count;
	const struct unit *units = units_of(param->kind, &count);

	errno = 0;
	int64_t number = strtoll(text, &end, 10);
	if (end == text || errno || isspace((unsigned char)text[0]))
		return -ERR_CONFIG;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(end, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(number, units[i].factor, &number))
			return -ERR_CONFIG;
		if (number < param->min || number > param->max)
			return -ERR_CONFIG;
		*ret = number;
		return 0;
	}
	return -ERR_CONFIG;
}

static int parse_ratio(const struct param *param, const char *text, int64_t *ret)
{
	char *end;
	double number = strtod(text, &end);

	/* No other notation, and neither infinity nor what is no number. */
	if (end == text || *end || text[strspn(text, "0123456789.eE+-")])
		return -ERR_CONFIG;
	if (number < (double)param->min || number > (double)param->max)
		return -ERR_CONFIG;
	*ret = (int64_t)(number * PARAM_RATIO_ONE + 0.5);
	return 0;
}

/* Index of the `length` characters at `text` in `choices`; -1 when absent. */
static int find_choice(const char *choices, const char *text, size_t length)
{
	int index = 0;

	for (const char *at = choices;; at++, index++) {
		size_t width = strcspn(at, "|");
		if (width == length && strncasecmp(at, text, length) == 0)
			return index;
		at += width;
		if (!*at)
			return -1;
	}
}

static int parse_list(const struct param *param, const char *text, int64_t *ret)
{
	int64_t mask = 0;

	for (const char *at = text;; at++) {
		while (*at == ' ')
			at++;
		size_t width = strcspn(at, ", ");
		int index = find_choice(param->choices, at, width);
		if (index < 0)
			return -ERR_CONFIG;
		mask |= INT64_C(1) << index;
		at += width;
		at += strspn(at, " ");
		if (!*at)
			break;
		if (*at != ',')
			return -ERR_CONFIG;
	}
	*ret = mask;
	return 0;
}

static bool name_valid(const struct param *param, const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (!isgraph((unsigned char)text[i]))
			return false;
	}
	return length >= (size_t)param->min && length <= (size_t)param->max;
}

static int parse_levels(const char *text)
{
	struct log_levels levels;
	char why[512];

	return log_levels_parse(&levels, text, why, sizeof(why));
}

static bool address_valid(const struct param *param, const char *text)
{
	struct listen_address address;
	size_t length = strlen(text);

	if (!length || length > (size_t)param->max)
		return !length && param->min == 0;
	if (param->choices && find_choice(param->choices, text, length) >= 0)
		return true;
	return listen_address_parse(&address, text) == 0;
}

static int parse_value(const struct param *param, const char *text, int64_t *ret)
{
	switch (param->kind) {
	case PARAM_TEXT:
		*ret = 0;
		return strlen(text) <= (size_t)param->max ? 0 : -ERR_CONFIG;
	case PARAM_NAME:
		*ret = 0;
		return name_valid(param, text) ? 0 : -ERR_CONFIG;
	case PARAM_COUNT:
	case PARAM_BYTES:
	case PARAM_MS:
		return parse_number(param, text, ret);
	case PARAM_RATIO:
		return parse_ratio(param, text, ret);
	case PARAM_BOOL: {
		int index = find_choice("false|true", text, strlen(text));
		*ret = index;
		return index < 0 ? -ERR_CONFIG : 0;
	}
	case PARAM_CHOICE: {
		int index = find_choice(param->choices, text, strlen(text));
		*ret = index;
		return index < 0 ? -ERR_CONFIG : 0;
	}
	case PARAM_LIST:
		return parse_list(param, text, ret);
	case PARAM_LEVELS:
		*ret = 0;
		return parse_levels(text);
	case PARAM_ADDRESS:
		*ret = 0;
		return address_valid(param, text) ? 0 : -ERR_CONFIG;
	}
	return -ERR_CONFIG;
}

int param_parse(const struct param *param, const char *text, int64_t *ret, char *why,
		size_t why_bytes)
{
	int64_t value = 0;
	int rc = parse_value(param, text, &value);

	if (rc == 0) {
		*ret = value;
		return 0;
	}
	char wanted[160];
	param_describe(param, wanted, sizeof(wanted));
	snprintf(why, why_bytes, "%s = \"%.80s\" is not valid: %s", param->key, text, wanted);
	return rc;
}

/* The choice at `index`, not terminated. */
static const char *choice_at(const char *choices, int64_t index, size_t *ret_length)
{
	const char *at = choices;

	for (; index; index--)
		at = strchr(at, '|') + 1;
	*ret_length = strcspn(at, "|");
	return at;
}

static void canonical_list(const struct param *param, int64_t mask, char *text, size_t text_bytes)
{
	size_t at = 0;

	for (int64_t i = 0; mask >> i; i++) {
		size_t length;
		const char *choice = choice_at(param->choices, i, &length);
		if (mask >> i & 1)
			at += (size_t)snprintf(text + at, text_bytes - at, "%s%.*s", at ? "," : "",
					       (int)length, choice);
	}
}

int param_canonical(const struct param *param, const char *text,
		    char canonical[static PARAM_CANONICAL_BYTES], char *why, size_t why_bytes)
{
	int64_t value = 0;
	size_t length;
	const char *choice;
	int rc = param_parse(param, text, &value, why, why_bytes);

	if (rc < 0)
		return rc;
	switch (param->kind) {
	case PARAM_TEXT:
	case PARAM_NAME:
	case PARAM_LEVELS:
	case PARAM_ADDRESS:
		if (strlen(text) >= PARAM_CANONICAL_BYTES) {
			snprintf(why, why_bytes, "%s is longer than %d bytes", param->key,
				 PARAM_CANONICAL_BYTES - 1);
			return -ERR_CONFIG;
		}
		snprintf(canonical, PARAM_CANONICAL_BYTES, "%s", text);
		break;
	case PARAM_COUNT:
	case PARAM_BYTES:
	case PARAM_MS:
		snprintf(canonical, PARAM_CANONICAL_BYTES, "%" PRId64, value);
		break;
	case PARAM_RATIO:
		snprintf(canonical, PARAM_CANONICAL_BYTES, "%.9g", (double)value / PARAM_RATIO_ONE);
		break;
	case PARAM_BOOL:
		snprintf(canonical, PARAM_CANONICAL_BYTES, "%s", value ? "true" : "false");
		break;
	case PARAM_CHOICE:
		choice = choice_at(param->choices, value, &length);
		snprintf(canonical, PARAM_CANONICAL_BYTES, "%.*s", (int)length, choice);
		break;
	case PARAM_LIST:
		canonical_list(param, value, canonical, PARAM_CANONICAL_BYTES);
		break;
	}
	return 0;
}

void param_describe(const struct param *param, char *text, size_t text_bytes)
{
	static const char *const units[] = {
		[PARAM_COUNT] = "number",
		[PARAM_BYTES] = "bytes",
		[PARAM_MS] = "milliseconds",
		[PARAM_RATIO] = "fraction",
	};

	switch (param->kind) {
	case PARAM_TEXT:
		snprintf(text, text_bytes, "text");
		break;
	case PARAM_NAME:
		snprintf(text, text_bytes,
			 "%" PRId64 " to %" PRId64 " visible ASCII characters, no spaces",
			 param->min, param->max);
		break;
	case PARAM_COUNT:
	case PARAM_BYTES:
	case PARAM_MS:
	case PARAM_RATIO:
		snprintf(text, text_bytes, "%s, %" PRId64 " to %" PRId64, units[param->kind],
			 param->min, param->max);
		break;
	case PARAM_BOOL:
		snprintf(text, text_bytes, "true|false");
		break;
	case PARAM_CHOICE:
		snprintf(text, text_bytes, "%s", param->choices);
		break;
	case PARAM_LIST:
		snprintf(text, text_bytes, "comma-separated list of %s", param->choices);
		break;
	case PARAM_ADDRESS:
		snprintf(text, text_bytes, "HOST:PORT%s%s%s", param->choices ? " or " : "",
			 param->choices ? param->choices : "", param->min ? "" : ", or empty");
		break;
	case PARAM_LEVELS:
		snprintf(text, text_bytes,
			 "debug|info|warn|error, and AREA=LEVEL, comma-separated");
		break;
	}
}

int params_find(const struct param *params, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(params[i].key, key) == 0)
			return (int)i;
	}
	return -1;
}

const char *params_nearest(const struct param *params, size_t count, const char *key)
{
	struct nearest nearest;

	nearest_init(&nearest, key);
	for (size_t i = 0; i < count; i++)
		nearest_offer(&nearest, params[i].key);
	return nearest.name;
}

/* ---- overrides ---- */

void params_free_texts(char **texts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(texts[i]);
		texts[i] = NULL;
	}
}

int params_copy_texts(char *const *from, size_t count, char **ret)
{
	for (size_t i = 0; i < count; i++)
		ret[i] = NULL;
	for (size_t i = 0; i < count; i++) {
		if (!from[i])
			continue;
		ret[i] = strdup(from[i]);
		if (!ret[i]) {
			params_free_texts(ret, count);
			return -ENOMEM;
		}
	}
	return 0;
}

int params_set_text(const struct param *params, size_t count, const char *what, char **texts,
		    const char *key, const char *text, char *why, size_t why_bytes)
{
	int index = params_find(params, count, key);
	char *copy = NULL;

	if (index < 0) {
		snprintf(why, why_bytes, "no %s setting is called \"%.80s\"; did you mean \"%s\"?",
			 what, key, params_nearest(params, count, key));
		return -ERR_CONFIG;
	}
	if (text) {
		char canonical[PARAM_CANONICAL_BYTES];
		int rc = param_canonical(&params[index], text, canonical, why, why_bytes);
		if (rc < 0)
			return rc;
		copy = strdup(canonical);
		if (!copy)
			return -ENOMEM;
	}
	free(texts[index]);
	texts[index] = copy;
	return 0;
}
