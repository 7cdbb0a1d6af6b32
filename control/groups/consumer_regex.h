/* control/groups/consumer_regex.h: regular expressions that consumers subscribe with.
 *
 * Kafka has RE2's syntax; ours is PCRE2's as its DFA matcher takes it, which never backtracks and,
 * like RE2, refuses back references.  README.md says where the two differ.  The whole name has to
 * match.  What a client can make us do is bounded: the length of the text, the states that are
 * alive at once, and the steps of one walk over all topics. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/kafka/wire.h"

struct regex;

enum {
	REGEX_BYTES_MAX = 4096,
	REGEX_WHY_BYTES = 160,
	REGEX_STEPS_MAX = 20000000, /* of all names that one caller matches in a row */
};

/* -EINVAL: `why` says what is wrong with it, and where; -ENOMEM. */
int regex_compile(struct regex **ret, const struct kafka_string *text, char *why, size_t why_bytes);
void regex_free(struct regex *regex); /* null is fine */
/* *steps is counted down and not below 0.  1: the whole name matches; 0: it does not;
 * -E2BIG: too many states or steps, or it asks for what cannot be matched without backtracking. */
int regex_match(const struct regex *regex, const char *name, size_t length, int64_t *steps);
