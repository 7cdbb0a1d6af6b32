/* bench/suite/command.h: what the commands of sluice-bench share. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/suite/result.h"

enum exit_code {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* nothing was measured, or a file could not be read or written */
	EXIT_USAGE = 2,  /* the command line is wrong */
	EXIT_GATE = 3,   /* compare: a gate is not kept */
};

enum flag_index {
#define FLAG(field, name, argument, commands, help) FLAG_##field,
#include "bench/suite/flags.def"
#undef FLAG
	FLAG_COUNT
};

enum { FLAG_VALUES_MAX = 64, MANY = INT32_MAX };

struct arguments {
	struct {
		const char *values[FLAG_VALUES_MAX]; /* "" of a flag without argument */
		size_t count;
	} flags[FLAG_COUNT];
	char **words; /* that are no flags */
	size_t word_count;
	int argc; /* all of it as it was given */
	char **argv;
};

extern const char bench_commit[]; /* of this program's source; "" when unknown */

/* Null: not given.  The last one counts. */
const char *argument_of(const struct arguments *arguments, enum flag_index flag);
/* False, and a complaint: not a whole number from `min` to `max`. */
bool argument_number(const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *ret);

/* "sluice-bench: ..." on standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Of the command line: with a word about help.  Returns EXIT_USAGE. */
int complain_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* All that was measured so far. */
struct results {
	struct result *list;
	size_t count;
};

/* Can the files that flags ask for be written?  Before there is anything to lose.  EXIT_DONE or
 * EXIT_FAILED. */
int results_check(const struct arguments *arguments);
/* What run and report make of results: the summary, and the files that flags ask for.  EXIT_DONE
 * or EXIT_FAILED. */
int results_show(const struct arguments *arguments, const struct results *results);

#define COMMAND(name, words, fewest, most, function, help)                                         \
	int command_##function(const struct arguments *arguments);
#include "bench/suite/commands.def"
#undef COMMAND
