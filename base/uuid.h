/* base/uuid.h: 16-byte identifiers in Kafka's forms. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct uuid {
	uint8_t bytes[16];
};

enum {
	UUID_TEXT_BYTES = 23, /* base64url without padding, and NUL */
	UUID_HEX_BYTES = 33,
};

/* Random, version 4, never zero and never beginning with '-' in text form (as Kafka's). */
struct uuid uuid_random(void);
void uuid_text(const struct uuid *uuid, char text[static UUID_TEXT_BYTES]);
/* -EINVAL unless `text` is 22 characters of base64url. */
int uuid_parse(struct uuid *ret, const char *text);
void uuid_hex(const struct uuid *uuid, char text[static UUID_HEX_BYTES]);

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool uuid_zero(const struct uuid *uuid)
{
	static const struct uuid zero;
	return uuid_equal(uuid, &zero);
}
