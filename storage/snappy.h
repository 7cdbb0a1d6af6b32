/* storage/snappy.h: the snappy block format, decoding only (Debian has no C library of it that
 * bounds its output the way we need). */
#pragma once
#include <stddef.h>

/* The length that a block says it expands to.  -ERR_CORRUPT. */
int snappy_block_length(const void *data, size_t length, size_t *ret_expanded);
/* Expands one block into exactly `expanded` bytes.  -ERR_CORRUPT. */
int snappy_block_decode(const void *data, size_t length, void *out, size_t expanded);
