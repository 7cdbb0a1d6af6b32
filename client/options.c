#include "client/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/nearest.h"

enum option_kind { KIND_COUNT, KIND_BYTES, KIND_MS, KIND_BOOL, KIND_TEXT, KIND_CHOICE };

struct option_entry {
	struct sluice_option told; /* to users; type is the choices of a choice */
	enum option_kind kind;
	size_t at; /* of the field in struct sluice_options */
};

static const char *const type_names[] = {
	[KIND_COUNT] = "count", [KIND_BYTES] = "bytes", [KIND_MS] = "ms",
	[KIND_BOOL] = "bool",   [KIND_TEXT] = "text",
};

static const struct option_entry entries[] = {
#define OPTION(option_kind, field, option_name, low, high, text, sentence)                         \
	{.told = {.name = (option_name),                                                           \
		  .min = (low),                                                                    \
		  .max = (high),                                                                   \
		  .default_text = (text),                                                          \
		  .help = (sentence)},                                                             \
	 .kind = KIND_##option_kind,                                                               \
	 .at = offsetof(struct sluice_options, field)},
#define CHOICE(field, option_name, choices, text, sentence)                                        \
	{.told = {.name = (option_name),                                                           \
		  .type = (choices),                                                               \
		  .default_text = (text),                                                          \
		  .help = (sentence)},                                                             \
	 .kind = KIND_CHOICE,                                                                      \
	 .at = offsetof(struct sluice_options, field)},
#include "client/options.def"
#undef OPTION
#undef CHOICE
};

const struct sluice_option *sluice_option_at(size_t index)
{
	static _Thread_local struct sluice_option told;

	if (index >= array_count(entries))
		return NULL;
	told = entries[index].told;
	if (!told.type)
		told.type = type_names[entries[index].kind];
	return &told;
}

static const struct option_entry *find(const char *name)
{
	for (size_t i = 0; i < array_count(entries); i++) {
		if (strcmp(entries[i].told.name, name) == 0)
			return &entries[i];
	}
	return NULL;
}

static const char *nearest_name(const char *name)
{
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (size_t i = 0; i < array_count(entries); i++)
		nearest_offer(&nearest, entries[i].told.name);
	return nearest.name;
}

/* "64k": a number and, of sizes, a unit. */
static int parse_number(const struct option_entry *entry, const char *value, int64_t *ret)
{
	char *end;

	errno = 0;
	long long number = strtoll(value, &end, 10);
	if (end == value || errno)
		return -EINVAL;
	if (entry->kind == KIND_BYTES && *end) {
		int shift = strchr("kK", *end) ? 10 : strchr("mM", *end) ? 20 : 0;
		if (!shift || end[1] || number > (INT64_MAX >> shift) || number < 0)
			return -EINVAL;
		number <<= shift;
	} else if (*end) {
		return -EINVAL;
	}
	if (number < entry->told.min || number > entry->told.max)
		return -ERANGE;
	*ret = number;
	return 0;
}

static int parse_choice(const char *choices, const char *value, int64_t *ret)
{
	size_t length = strlen(value);
	int64_t index = 0;

	for (const char *word = choices; word; index++) {
		const char *bar = strchr(word, '|');
		size_t word_length = bar ? (size_t)(bar - word) : strlen(word);
		if (word_length == length && memcmp(word, value, length) == 0) {
			*ret = index;
			return 0;
		}
		word = bar ? bar + 1 : NULL;
	}
	return -EINVAL;
}

static int store(struct sluice_options *options, const struct option_entry *entry,
		 const char *value)
{
	void *field = (char *)options + entry->at;
	int64_t number;
	int rc;

	if (entry->kind == KIND_TEXT) {
		size_t length = strlen(value);
		if (length >= OPTION_TEXT_BYTES)
			return -ERANGE;
		memcpy(field, value, length + 1);
		return 0;
	}
	if (entry->kind == KIND_BOOL) {
		rc = parse_choice("false|true", value, &number);
		if (rc == 0)
			*(bool *)field = number != 0;
		return rc;
	}
	rc = entry->kind == KIND_CHOICE ? parse_choice(entry->told.type, value, &number)
					: parse_number(entry, value, &number);
	if (rc == 0)
		*(int64_t *)field = number;
	return rc;
}

static void explain(struct sluice_options *options, const struct option_entry *entry,
		    const char *value)
{
	const struct sluice_option *told = &entry->told;

	if (entry->kind == KIND_CHOICE)
		snprintf(options->why, sizeof(options->why), "%s: '%s' is none of %s", told->name,
			 value, told->type);
	else if (entry->kind == KIND_BOOL)
		snprintf(options->why, sizeof(options->why), "%s: '%s' is neither true nor false",
			 told->name, value);
	else
		snprintf(options->why, sizeof(options->why), "%s: '%s' is not %s from %lld to %lld",
			 told->name, value, type_names[entry->kind], (long long)told->min,
			 (long long)told->max);
}

int sluice_options_set(struct sluice_options *options, const char *name, const char *value)
{
	const struct option_entry *entry = find(name);

	if (!entry) {
		snprintf(options->why, sizeof(options->why),
			 "no option is called '%s'; the nearest is '%s'", name, nearest_name(name));
		return -ENOENT;
	}
	int rc = store(options, entry, value);
	if (rc < 0)
		explain(options, entry, value);
	return rc;
}

void options_init(struct sluice_options *options)
{
	*options = (struct sluice_options){0};
	for (size_t i = 0; i < array_count(entries); i++) {
		int rc = store(options, &entries[i], entries[i].told.default_text);
		check(rc == 0);
	}
}

int sluice_options_new(struct sluice_options **ret)
{
	struct sluice_options *options = malloc(sizeof(*options));

	if (!options)
		return -ENOMEM;
	options_init(options);
	*ret = options;
	return 0;
}

void sluice_options_free(struct sluice_options *options)
{
	free(options);
}

const char *sluice_options_error(const struct sluice_options *options)
{
	return options->why;
}
