/* client/command/help.h: what `sluice` says of itself, made of its tables. */
#pragma once
#include <stdio.h>

struct invocation;

#define SLUICE_SUMMARY                                                                             \
	"topics, records and brokers of Sluice, or of any broker that speaks the Kafka protocol"

/* `sluice help WORDS...`, which are those of the invocation: nothing, a noun, a noun and a verb,
 * "options", or "man".  Returns the exit code. */
int help_show(const struct invocation *invocation);

/* The man page, in the macros of man(7). */
void man_print(FILE *to);
