/* storage/compress.h: undoing Kafka's four codecs, with a bound on what comes out. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

struct decompressor; /* contexts and an output buffer, reused; one a thread */

int decompressor_new(struct decompressor **ret);
void decompressor_free(struct decompressor *decompressor);

/* gzip (RFC 1952), snappy (raw or xerial-framed), lz4 frame, zstd.  *ret_data belongs to the
 * decompressor and is valid until the next call.  -ERR_CORRUPT: truncated or broken,
 * -ERR_TOO_LARGE: more than `bytes_max` would come out, -ERR_CODEC: codec unknown, -ENOMEM. */
int decompress(struct decompressor *decompressor, enum batch_codec codec, const void *data,
	       size_t length, size_t bytes_max, const void **ret_data, size_t *ret_length);
