#include "dataplane/kafka/utf8.h"

#include <stdint.h>
#include <string.h>

/* How many bytes follow the first one, and the range of the second (RFC 3629 section 4): that is
 * where overlong forms, surrogates and too large numbers show. */
struct lead {
	unsigned following;
	uint8_t low;
	uint8_t high;
};

static bool lead_of(uint8_t byte, struct lead *ret)
{
	if (byte >= 0xc2 && byte <= 0xdf)
		*ret = (struct lead){1, 0x80, 0xbf};
	else if (byte >= 0xe0 && byte <= 0xef)
		*ret = (struct lead){2, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf};
	else if (byte >= 0xf0 && byte <= 0xf4)
		*ret = (struct lead){3, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf};
	else
		return false;
	return true;
}

/* Bytes of the character at `at`; 0: malformed. */
static size_t character_bytes(const uint8_t *at, size_t left)
{
	struct lead lead;

	if (*at < 0x80)
		return 1;
	if (!lead_of(*at, &lead) || left <= lead.following || at[1] < lead.low || at[1] > lead.high)
		return 0;
	for (unsigned i = 2; i <= lead.following; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	return lead.following + 1;
}

static bool ascii(const uint8_t *at, size_t length)
{
	uint64_t seen = 0;
	uint64_t eight;
	uint32_t four;
	uint16_t two;

	for (; length >= sizeof(eight); length -= sizeof(eight), at += sizeof(eight)) {
		memcpy(&eight, at, sizeof(eight));
		seen |= eight;
	}
	if (length & sizeof(four)) {
		memcpy(&four, at, sizeof(four));
		seen |= four;
		at += sizeof(four);
	}
	if (length & sizeof(two)) {
		memcpy(&two, at, sizeof(two));
		seen |= two;
		at += sizeof(two);
	}
	if (length & 1)
		seen |= *at;
	return !(seen & UINT64_C(0x8080808080808080));
}

bool utf8_valid(const void *data, size_t length)
{
	const uint8_t *at = data;

	if (ascii(at, length))
		return true;
	while (length > 0) {
		size_t step = character_bytes(at, length);
		if (step == 0)
			return false;
		at += step;
		length -= step;
	}
	return true;
}
