#include "client/command/base64.h"

#include <stdint.h>

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
