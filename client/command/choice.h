/* client/command/choice.h: which topics and partitions a command line means, and whether it is
 * meant. */
#pragma once
#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/sluice.h"

struct invocation;

/* --partition */
struct choice_range {
	int32_t first;
	int32_t last;
};

struct choice {
	struct choice_range *ranges; /* null: all */
	size_t count;
};

/* "0,3,7-9"; null: all.  -EINVAL, -ENOMEM. */
int choice_parse(struct choice *ret, const char *text);
void choice_free(struct choice *choice); /* one of all zeros is fine */
bool choice_has(const struct choice *choice, int32_t partition);

/* What --partition says; complains where it makes no sense.  Exit code. */
int choice_read(const struct invocation *invocation, struct choice *ret);
/* Complains where the topic has not all of them.  Exit code. */
int choice_check(const struct choice *choice, const struct sluice_topic *topic);

/* The one topic of that name is metadata->topics[0]; complains where there is none.  Exit code. */
int choice_topic(const struct invocation *invocation, const char *name,
		 struct sluice_metadata **ret);
/* The expression that is the verb's first word; without a word *ret_given is false.  Exit code. */
int choice_regex(const struct invocation *invocation, regex_t *ret, bool *ret_given);

/* Before something is destroyed: asks "... [y/N]" where a person sits at a terminal and --yes is
 * not given. */
bool choice_confirmed(const struct invocation *invocation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
