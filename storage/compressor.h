/* storage/compressor.h: doing what compress.h undoes: Kafka's four codecs. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

struct compressor; /* contexts, reused; one a thread */

/* `level` -1: the codec's default; others are cut to the codec's bounds. */
int compressor_new(struct compressor **ret, enum batch_codec codec, int level);
void compressor_free(struct compressor *compressor); /* null is fine */

/* The most that `length` bytes become. */
size_t compressor_bound(const struct compressor *compressor, size_t length);
/* gzip (RFC 1952), snappy (one raw block), lz4 frame (independent blocks, as Java reads no other),
 * zstd.  `room` is at least the bound.  Returns the bytes made; -ENOMEM, -EIO. */
int64_t compressor_run(struct compressor *compressor, const void *data, size_t length, void *out,
		       size_t room);
