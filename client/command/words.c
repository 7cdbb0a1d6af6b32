#include "client/command/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"

const struct verb verbs[VERB_COUNT] = {
#define VERB(noun, verb, arguments, fewest, most, needs, function, help, description, examples)    \
	{noun, verb, arguments, fewest, most, needs, verb_##function, help, description, examples},
#include "client/command/verbs.def"
#undef VERB
};

const struct flag flags[FLAG_COUNT] = {
#define FLAG(field, letter, name, argument, where, help) {letter, name, argument, where, help},
#include "client/command/flags.def"
#undef FLAG
};

enum { NAME_BYTES = 80, MEANT_BYTES = 96 };

/* What the first word or two name; null: nothing. */
static const struct verb *find_verb(const char *const *words, size_t count)
{
	const char *noun = count > 0 ? words[0] : "";
	const char *word = count > 1 ? words[1] : "";

	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].noun, noun) == 0 &&
		    (!*verbs[i].verb || strcmp(verbs[i].verb, word) == 0))
			return &verbs[i];
	}
	return NULL;
}

/* ---- flags ---- */

const char *flag_value(const struct invocation *invocation, enum flag_index flag)
{
	const struct flag_values *values = &invocation->flags[flag];

	return values->count ? values->values[values->count - 1] : NULL;
}

bool flag_number(const struct invocation *invocation, enum flag_index flag, int64_t min,
		 int64_t max, int64_t otherwise, int64_t *ret)
{
	const char *text = flag_value(invocation, flag);
	char *end;

	*ret = otherwise;
	if (!text)
		return true;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (end == text || *end || errno || number < min || number > max) {
		complain_usage("--%s takes a whole number from %lld to %lld, not '%s'",
			       flags[flag].name, (long long)min, (long long)max, text);
		return false;
	}
	*ret = number;
	return true;
}

bool split_setting(const char *text, char *name, size_t name_bytes, const char **ret_value)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text || (size_t)(equals - text) >= name_bytes)
		return false;
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = 0;
	*ret_value = equals[1] ? equals + 1 : NULL;
	return true;
}

const struct flag *words_flag(const char *word, const char **ret_value)
{
	bool is_long = word[1] == '-';
	const char *equals = is_long ? strchr(word, '=') : NULL;
	size_t length = equals ? (size_t)(equals - word) : strlen(word);

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (is_long ? strlen(flags[i].name) != length - 2 ||
				      memcmp(flags[i].name, word + 2, length - 2) != 0
			    : word[1] != flags[i].letter)
			continue;
		if (is_long)
			*ret_value = equals ? equals + 1 : NULL;
		else
			*ret_value = word[2] ? word + 2 : NULL;
		return &flags[i];
	}
	return NULL;
}

bool words_keep(struct invocation *invocation, const struct flag *flag, const char *value)
{
	struct flag_values *values = &invocation->flags[flag - flags];

	if (values->count == FLAG_VALUES_MAX)
		return false;
	values->values[values->count++] = value;
	return true;
}

/* "; did you mean 'x'?", or nothing where no name is like it. */
static const char *meant(const struct nearest *nearest, const char *dashes,
			 char text[static MEANT_BYTES])
{
	*text = 0;
	if (nearest_likely(nearest))
		snprintf(text, MEANT_BYTES, "; did you mean '%s%s'?", dashes, nearest->name);
	return text;
}

/* Of the verb, where the words before the flag name one. */
static int complain_of_flag(const struct invocation *invocation, const char *word)
{
	const struct verb *verb = find_verb(invocation->words, invocation->word_count);
	char name[NAME_BYTES];
	char text[MEANT_BYTES];
	struct nearest nearest;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	nearest_init(&nearest, name + strspn(name, "-"));
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (!verb || flag_shown(&flags[i], verb))
			nearest_offer(&nearest, flags[i].name);
	}
	return complain_usage("no flag is called '%s'%s", name, meant(&nearest, "--", text));
}

/* "-n5", "-n 5", "--count=5", "--count 5"; *at moves past an argument that stands alone. */
static int take_flag(struct invocation *invocation, char **words, int count, int *at)
{
	const char *word = words[*at];
	const char *value;
	const struct flag *flag = words_flag(word, &value);

	if (!flag)
		return complain_of_flag(invocation, word);
	if (!flag->argument && value)
		return complain_usage("--%s takes nothing after it", flag->name);
	if (flag->argument && !value && *at + 1 < count)
		value = words[++*at];
	if (flag->argument && !value)
		return complain_usage("--%s needs %s", flag->name, flag->argument);
	if (!words_keep(invocation, flag, value ? value : ""))
		return complain_usage("too many of --%s", flag->name);
	return EXIT_DONE;
}

int words_parse(struct invocation *invocation, int argc, char **argv)
{
	bool only_words = false;

	for (int i = 1; i < argc; i++) {
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
			int code = take_flag(invocation, argv, argc, &i);
			if (code)
				return code;
		} else {
			invocation->words[invocation->word_count++] = argv[i];
		}
	}
	return EXIT_DONE;
}

/* ---- verbs ---- */

void verb_name(const struct verb *verb, char text[static VERB_NAME_BYTES])
{
	snprintf(text, VERB_NAME_BYTES, "%s%s%s", verb->noun, *verb->verb ? "-" : "", verb->verb);
}

static bool for_brokers(const struct flag *flag)
{
	return strcmp(flag->where, "@broker") == 0;
}

bool flag_everywhere(const struct flag *flag)
{
	return !*flag->where || for_brokers(flag);
}

bool flag_shown(const struct flag *flag, const struct verb *verb)
{
	return flag_belongs(flag, verb) && (verb->needs == BROKER || !for_brokers(flag));
}

bool flag_belongs(const struct flag *flag, const struct verb *verb)
{
	char name[VERB_NAME_BYTES];
	size_t length;

	if (flag_everywhere(flag))
		return true;
	verb_name(verb, name);
	length = strlen(name);
	for (const char *at = flag->where; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");
		if (word == length && memcmp(at, name, length) == 0)
			return true;
		at += word;
	}
	return false;
}

/* "topic knows no 'lst', only list, create; did you mean 'list'?" */
static int complain_of_verb(const char *noun, const char *word)
{
	char known[256] = "";
	char text[MEANT_BYTES];
	size_t used = 0;
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].noun, noun) != 0)
			continue;
		nearest_offer(&nearest, verbs[i].verb);
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", verbs[i].verb);
	}
	if (*word)
		return complain_usage("%s knows no '%s', only %s%s", noun, word, known,
				      meant(&nearest, "", text));
	return complain_usage("%s what?  %s", noun, known);
}

int words_unknown(const char *noun, const char *word)
{
	char text[MEANT_BYTES];
	struct nearest nearest;

	nearest_init(&nearest, noun);
	nearest_offer(&nearest, "help");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].noun, noun) == 0)
			return complain_of_verb(noun, word);
		nearest_offer(&nearest, verbs[i].noun);
	}
	return complain_usage("there is no '%s'%s", noun, meant(&nearest, "", text));
}

const struct verb *words_verb(struct invocation *invocation)
{
	const struct verb *verb = find_verb(invocation->words, invocation->word_count);

	if (!verb) {
		words_unknown(invocation->words[0],
			      invocation->word_count > 1 ? invocation->words[1] : "");
		return NULL;
	}
	size_t taken = *verb->verb ? 2 : 1;
	invocation->words += taken;
	invocation->word_count -= taken;
	return verb;
}

int words_check(const struct invocation *invocation, const struct verb *verb)
{
	char name[VERB_NAME_BYTES];

	snprintf(name, sizeof(name), "%s%s%s", verb->noun, *verb->verb ? " " : "", verb->verb);
	if (invocation->word_count < verb->fewest)
		return complain_usage("%s needs %s", name, verb->arguments);
	if (invocation->word_count > verb->most)
		return complain_usage("%s takes no '%s'", name, invocation->words[verb->most]);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (invocation->flags[i].count > 0 && !flag_belongs(&flags[i], verb))
			return complain_usage("%s has no --%s", name, flags[i].name);
	}
	return EXIT_DONE;
}
