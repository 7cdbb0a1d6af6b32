/* client/command/format.h: records printed by a format of % and \ escapes, as kcat's -f. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct sluice_message;

struct format_part {
	char letter; /* of the escape; 0: literal bytes */
	size_t at;   /* in `literals` */
	size_t length;
};

struct format {
	struct format_part *parts;
	size_t count;
	char *literals;
};

/* -EINVAL: an escape that is none, at *ret_wrong; -ENOMEM. */
int format_parse(struct format *ret, const char *text, const char **ret_wrong);
void format_free(struct format *format); /* one of all zeros is fine */
void format_print(const struct format *format, FILE *to, const struct sluice_message *message);
