/* client/options.h: a client's settings, from options.def. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "client/sluice.h"

enum client_acks { CLIENT_ACKS_0, CLIENT_ACKS_1, CLIENT_ACKS_ALL };
enum client_offset_reset { CLIENT_RESET_ERROR, CLIENT_RESET_EARLIEST, CLIENT_RESET_LATEST };
enum { OPTION_TEXT_BYTES = 256, OPTION_WHY_BYTES = 320 };

#define OPTION_TYPE_COUNT int64_t
#define OPTION_TYPE_BYTES int64_t
#define OPTION_TYPE_MS int64_t
#define OPTION_TYPE_BOOL bool
/* A text is kept in place, so that a copy of the struct is a copy of the options. */
#define OPTION_FIELD_COUNT(field) int64_t field;
#define OPTION_FIELD_BYTES(field) int64_t field;
#define OPTION_FIELD_MS(field) int64_t field;
#define OPTION_FIELD_BOOL(field) bool field;
#define OPTION_FIELD_TEXT(field) char field[OPTION_TEXT_BYTES];

struct sluice_options {
#define OPTION(kind, field, name, min, max, text, help) OPTION_FIELD_##kind(field)
#define CHOICE(field, name, choices, text, help) int64_t field;
#include "client/options.def"
#undef OPTION
#undef CHOICE
	char why[OPTION_WHY_BYTES];
};

void options_init(struct sluice_options *options); /* the defaults */
