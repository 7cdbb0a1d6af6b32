/* client/command/command.h: what the verbs of `sluice` share.
 *
 * A verb gets its words and flags checked against the tables, and, when it needs a broker, a client
 * that is open but has connected to nothing yet.  Results go to standard output through document.h,
 * complaints to standard error. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/command/document.h"
#include "client/sluice.h"

enum exit_code {
#define EXIT_CODE(name, number, help) EXIT_##name = (number),
#include "client/command/manual.def"
};

enum flag_index {
#define FLAG(field, letter, name, argument, where, help) FLAG_##field,
#include "client/command/flags.def"
#undef FLAG
	FLAG_COUNT
};

enum { FLAG_VALUES_MAX = 64, MANY = INT32_MAX };

struct flag_values {
	const char *values[FLAG_VALUES_MAX]; /* a flag without argument has "" */
	size_t count;
};

struct invocation {
	struct sluice_client *client; /* null: the verb needs no broker */
	struct flag_values flags[FLAG_COUNT];
	const char **words; /* after noun and verb */
	size_t word_count;
	enum output_form output;
};

/* Null: not given.  The last one counts. */
const char *flag_value(const struct invocation *invocation, enum flag_index flag);
/* False, and a complaint: not a whole number from `min` to `max`.  `otherwise` when not given. */
bool flag_number(const struct invocation *invocation, enum flag_index flag, int64_t min,
		 int64_t max, int64_t otherwise, int64_t *ret);
/* NAME=VALUE; value null for "NAME=" and false without '='. */
bool split_setting(const char *text, char *name, size_t name_bytes, const char **ret_value);

/* "sluice: ..." on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Complains of a failed call of the library, with advice; returns the exit code. */
int complain_of(const struct invocation *invocation, int rc);
/* Complains of the command line, and where its help is; returns EXIT_USAGE. */
int complain_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

bool interrupted(void); /* Ctrl-C or SIGTERM has come */

#define VERB(noun, verb, arguments, fewest, most, needs, function, help, description, examples)    \
	int verb_##function(struct invocation *invocation);
#include "client/command/verbs.def"
#undef VERB
