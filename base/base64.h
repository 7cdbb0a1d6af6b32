/* base/base64.h: bytes as text (RFC 4648, with padding). */
#pragma once
#include <stddef.h>

/* The NUL byte too. */
#define BASE64_BYTES(length) (((length) + 2) / 3 * 4 + 1)

void base64_write(char *ret, const void *bytes, size_t length);
/* At most length / 4 * 3 bytes, *ret_length of them.  -EINVAL: not that, or without its padding. */
int base64_read(void *ret, size_t *ret_length, const char *text, size_t length);
