/* client/command/words.h: the command line of `sluice`, taken apart by the tables of verbs and
 * flags. What is wrong with it is complained of. */
#pragma once
#include "client/command/command.h"

enum verb_needs { NOTHING, BROKER };

struct verb {
	const char *noun;
	const char *verb;
	const char *arguments;
	size_t fewest;
	size_t most;
	enum verb_needs needs;
	int (*run)(struct invocation *invocation);
	const char *help;
	const char *description;
	const char *examples;
};

struct flag {
	char letter; /* 0: none */
	const char *name;
	const char *argument;
	const char *where;
	const char *help;
};

enum verb_index {
#define VERB(noun, verb, arguments, fewest, most, needs, function, help, description, examples)    \
	VERB_##function,
#include "client/command/verbs.def"
#undef VERB
	VERB_COUNT
};

extern const struct verb verbs[VERB_COUNT];
extern const struct flag flags[FLAG_COUNT];

enum { VERB_NAME_BYTES = 32 };
/* "topic-create", "produce": as flags.def has it. */
void verb_name(const struct verb *verb, char text[static VERB_NAME_BYTES]);
bool flag_everywhere(const struct flag *flag);
/* May it be given?  flag_shown: has the verb a use for it, too? */
bool flag_belongs(const struct flag *flag, const struct verb *verb);
bool flag_shown(const struct flag *flag, const struct verb *verb);

/* The flag that a word beginning with '-' is; null: none.  *ret_value: what is in the same word,
 * null for nothing. */
const struct flag *words_flag(const char *word, const char **ret_value);
/* False: there are too many of it. */
bool words_keep(struct invocation *invocation, const struct flag *flag, const char *value);

/* Flags go to their places and words to invocation->words, which has room for argc of them; all
 * point into argv.  EXIT_DONE or EXIT_USAGE. */
int words_parse(struct invocation *invocation, int argc, char **argv);
/* What the first word or two name, which are then no longer among the words; there is one at least.
 * Null: nothing. */
const struct verb *words_verb(struct invocation *invocation);
/* Complains of a noun that there is not, or that has no such verb, and says which was meant where
 * one is like it.  EXIT_USAGE. */
int words_unknown(const char *noun, const char *word);
/* Has the verb as many words as it needs, and no flags of others?  EXIT_DONE or EXIT_USAGE. */
int words_check(const struct invocation *invocation, const struct verb *verb);
