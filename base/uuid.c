#include "base/uuid.h"

#include "base/check.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/random.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct uuid uuid_random(void)
{
	struct uuid uuid;

	do {
		check(getrandom(&uuid, sizeof(uuid), 0) == (ssize_t)sizeof(uuid));
		uuid.bytes[6] = (uint8_t)((uuid.bytes[6] & 0x0f) | 0x40);
		uuid.bytes[8] = (uint8_t)((uuid.bytes[8] & 0x3f) | 0x80);
	} while (alphabet[uuid.bytes[0] >> 2] == '-');
	return uuid;
}

void uuid_text(const struct uuid *uuid, char text[static UUID_TEXT_BYTES])
{
	uint32_t bits = 0;
	int held = 0;
	char *out = text;

	for (int i = 0; i < 16; i++) {
		bits = bits << 8 | uuid->bytes[i];
		held += 8;
		while (held >= 6) {
			held -= 6;
			*out++ = alphabet[bits >> held & 63];
		}
	}
	*out++ = alphabet[bits << (6 - held) & 63];
	*out = '\0';
}

int uuid_parse(struct uuid *ret, const char *text)
{
	struct uuid uuid;
	uint32_t bits = 0;
	int held = 0;
	int filled = 0;

	if (strnlen(text, UUID_TEXT_BYTES) != UUID_TEXT_BYTES - 1)
		return -EINVAL;
	for (; *text; text++) {
		const char *at = strchr(alphabet, *text);
		if (!at)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		held += 6;
		if (held >= 8 && filled < 16) {
			held -= 8;
			uuid.bytes[filled++] = (uint8_t)(bits >> held & 255);
		}
	}
	*ret = uuid;
	return 0;
}

void uuid_hex(const struct uuid *uuid, char text[static UUID_HEX_BYTES])
{
	for (int i = 0; i < 16; i++)
		snprintf(text + (ptrdiff_t)2 * i, 3, "%02x", uuid->bytes[i]);
}
