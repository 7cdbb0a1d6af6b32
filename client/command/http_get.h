/* client/command/http_get.h: one GET of the broker's admin HTTP.
 *
 * HTTP/1.0 (RFC 1945), so that the body ends with the connection. */
#pragma once
#include <stddef.h>

enum { HTTP_WHY_BYTES = 200 };

/* `address` is "http://HOST:PORT", `path` begins with '/'.  The body is the caller's to free; it
 * ends with a NUL byte that is not counted.  -errno, -EPROTO for an answer that is none of HTTP's
 * or has another status than 200, -EFBIG; with the reason in `why`. */
int http_get(const char *address, const char *path, size_t bytes_max, int timeout_ms,
	     char **ret_body, size_t *ret_length, char why[static HTTP_WHY_BYTES]);

/* The status and where the body begins; -EPROTO. */
int http_answer_parse(const char *text, size_t length, int *ret_status, size_t *ret_body);
