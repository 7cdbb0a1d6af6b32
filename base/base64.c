#include "base/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

void base64_write(char *ret, const void *bytes, size_t length)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *at = bytes;

	for (size_t i = 0; i < length; i += 3) {
		size_t left = length - i;
		uint32_t three = (uint32_t)at[i] << 16;
		three |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
		three |= left > 2 ? at[i + 2] : 0;
		*ret++ = digits[three >> 18];
		*ret++ = digits[three >> 12 & 63];
		*ret++ = left > 1 ? digits[three >> 6 & 63] : '=';
		*ret++ = left > 2 ? digits[three & 63] : '=';
	}
	*ret = 0;
}

static int digit_value(char digit)
{
	if (digit >= 'A' && digit <= 'Z')
		return digit - 'A';
	if (digit >= 'a' && digit <= 'z')
		return digit - 'a' + 26;
	if (digit >= '0' && digit <= '9')
		return digit - '0' + 52;
	return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

/* Four digits as three bytes; how many of them count, 0: none of it. */
static size_t read_four(const char *text, uint8_t ret[static 3])
{
	uint32_t three = 0;
	size_t padding = text[3] != '=' ? 0 : text[2] != '=' ? 1 : 2;

	for (size_t i = 0; i < 4; i++) {
		int value = i >= 4 - padding ? 0 : digit_value(text[i]);
		if (value < 0)
			return 0;
		three = three << 6 | (uint32_t)value;
	}
	ret[0] = (uint8_t)(three >> 16);
	ret[1] = (uint8_t)(three >> 8);
	ret[2] = (uint8_t)three;
	return 3 - padding;
}

int base64_read(void *ret, size_t *ret_length, const char *text, size_t length)
{
	uint8_t *to = ret;
	uint8_t three[3];
	size_t used = 0;

	if (length % 4)
		return -EINVAL;
	for (size_t i = 0; i < length; i += 4) {
		size_t count = read_four(text + i, three);
		if (count == 0 || (count < 3 && i + 4 < length))
			return -EINVAL;
		memcpy(to + used, three, count);
		used += count;
	}
	*ret_length = used;
	return 0;
}
