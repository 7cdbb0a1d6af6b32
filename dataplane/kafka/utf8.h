/* dataplane/kafka/utf8.h: is it UTF-8?  Without this, a name from one client could end in files,
 * logs and other clients' answers in a form that they cannot read. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Strict (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.  NUL is a character.
 */
bool utf8_valid(const void *data, size_t length);
