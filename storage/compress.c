/* Every codec fills `out` through `room`, which grows it, but never beyond the caller's bound: a
 * few compressed bytes that expand without end stop there. */
#include "storage/compress.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "storage/snappy.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <lz4frame.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
	FIRST_BYTES = 64 << 10,
	KEPT_BYTES_MAX = 4 << 20,
};

struct decompressor {
	LZ4F_dctx *lz4;
	ZSTD_DCtx *zstd;
	struct inflate_state inflate;
	uint8_t *out;
	size_t capacity;
	size_t made;
	size_t bytes_max;
};

int decompressor_new(struct decompressor **ret)
{
	struct decompressor *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->zstd = ZSTD_createDCtx();
	if (!d->zstd || LZ4F_isError(LZ4F_createDecompressionContext(&d->lz4, LZ4F_VERSION))) {
		decompressor_free(d);
		return -ENOMEM;
	}
	*ret = d;
	return 0;
}

void decompressor_free(struct decompressor *d)
{
	if (!d)
		return;
	LZ4F_freeDecompressionContext(d->lz4);
	ZSTD_freeDCtx(d->zstd);
	free(d->out);
	free(d);
}

/* Makes sure that some output room is left.  -ERR_TOO_LARGE, -ENOMEM. */
static int room(struct decompressor *d, size_t at_least)
{
	if (at_least > d->bytes_max - d->made)
		return -ERR_TOO_LARGE;
	if (d->out && d->capacity - d->made >= at_least)
		return 0;
	size_t capacity = d->capacity ? d->capacity * 2 : FIRST_BYTES;
	if (capacity > d->bytes_max)
		capacity = d->bytes_max;
	if (capacity < d->made + at_least)
		capacity = d->made + at_least;
	uint8_t *out = realloc(d->out, capacity);
	if (!out)
		return -ENOMEM;
	d->out = out;
	d->capacity = capacity;
	return 0;
}

/* What a codec may write now; the bound holds also where an earlier batch left a larger buffer. */
static size_t room_left(const struct decompressor *d)
{
	size_t limit = d->capacity < d->bytes_max ? d->capacity : d->bytes_max;
	return limit - d->made;
}

static int inflate_member(struct decompressor *d, struct inflate_state *state)
{
	do {
		int rc = room(d, 1);
		if (rc < 0)
			return rc;
		size_t space = room_left(d);
		state->next_out = d->out + d->made;
		state->avail_out = (uint32_t)(space > UINT32_MAX ? UINT32_MAX : space);
		uint32_t before_out = state->avail_out;
		uint32_t before_in = state->avail_in;
		if (isal_inflate(state) != ISAL_DECOMP_OK)
			return -ERR_CORRUPT;
		d->made += before_out - state->avail_out;
		if (state->block_state == ISAL_BLOCK_FINISH)
			return 0;
		if (state->avail_out == before_out && state->avail_in == before_in)
			return -ERR_CORRUPT; /* truncated */
	} while (1);
}

static int gunzip(struct decompressor *d, const void *data, size_t length)
{
	struct inflate_state *state = &d->inflate;

	if (length > UINT32_MAX)
		return -ERR_TOO_LARGE;
	isal_inflate_init(state);
	state->crc_flag = ISAL_GZIP;
	state->next_in = (uint8_t *)(uintptr_t)data;
	state->avail_in = (uint32_t)length;
	/* RFC 1952 allows several members one after the other. */
	do {
		int rc = inflate_member(d, state);
		if (rc < 0)
			return rc;
		/* Bits read ahead belong to what follows. */
		uint32_t unread = state->avail_in + (uint32_t)state->read_in_length / 8;
		if (unread == 0)
			return 0;
		const uint8_t *next = (const uint8_t *)data + (length - unread);
		isal_inflate_reset(state);
		state->crc_flag = ISAL_GZIP;
		state->next_in = (uint8_t *)(uintptr_t)next;
		state->avail_in = unread;
	} while (1);
}

static int unsnap_block(struct decompressor *d, const void *data, size_t length)
{
	size_t expanded;
	int rc = snappy_block_length(data, length, &expanded);

	if (rc == 0)
		rc = room(d, expanded);
	if (rc == 0)
		rc = snappy_block_decode(data, length, d->out + d->made, expanded);
	if (rc == 0)
		d->made += expanded;
	return rc;
}

/* Java wraps blocks: magic of 8 bytes, two versions of 4, then length and block, repeated. */
static int unsnap(struct decompressor *d, const uint8_t *data, size_t length)
{
	static const uint8_t magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
	size_t at = 16;

	if (length < at || memcmp(data, magic, sizeof(magic)) != 0)
		return unsnap_block(d, data, length);
	while (at < length) {
		if (length - at < 4)
			return -ERR_CORRUPT;
		size_t block = load_be32(data + at);
		at += 4;
		if (block > length - at)
			return -ERR_CORRUPT;
		int rc = unsnap_block(d, data + at, block);
		if (rc < 0)
			return rc;
		at += block;
	}
	return 0;
}

static int unlz4_frames(struct decompressor *d, const uint8_t *data, size_t length)
{
	size_t at = 0;
	size_t hint = 1;

	while (at < length) {
		int rc = room(d, 1);
		if (rc < 0)
			return rc;
		size_t out = room_left(d);
		size_t in = length - at;
		hint = LZ4F_decompress(d->lz4, d->out + d->made, &out, data + at, &in, NULL);
		if (LZ4F_isError(hint) || (!in && !out))
			return -ERR_CORRUPT;
		at += in;
		d->made += out;
	}
	/* Output may be left inside when the last input was taken. */
	while (hint != 0) {
		int rc = room(d, 1);
		if (rc < 0)
			return rc;
		size_t out = room_left(d);
		size_t in = 0;
		hint = LZ4F_decompress(d->lz4, d->out + d->made, &out, data + at, &in, NULL);
		if (LZ4F_isError(hint) || !out)
			return -ERR_CORRUPT; /* truncated */
		d->made += out;
	}
	return 0;
}

/* A frame that ends in an error leaves the rest of its announced size in the context, and lz4 1.9
 * does not forget that when it is reset: the next good frame would be refused.  So a context that
 * failed is replaced. */
static int unlz4(struct decompressor *d, const uint8_t *data, size_t length)
{
	LZ4F_dctx *fresh = NULL;
	int rc = unlz4_frames(d, data, length);

	if (rc == 0)
		return 0;
	if (LZ4F_isError(LZ4F_createDecompressionContext(&fresh, LZ4F_VERSION)))
		return -ENOMEM;
	LZ4F_freeDecompressionContext(d->lz4);
	d->lz4 = fresh;
	return rc;
}

/* In one pass, again with more room where there was too little: of a stream zstd keeps as much as
 * the frame's window says, which may be 128 MiB for a few bytes.  What the frame says that it holds
 * is made room for at once, so a second pass is rare. */
static int unzstd_frame(struct decompressor *d, const void *data, size_t length)
{
	unsigned long long told = ZSTD_getFrameContentSize(data, length);
	size_t made;

	if (told == ZSTD_CONTENTSIZE_ERROR)
		return -ERR_CORRUPT;
	int rc = room(d, told == ZSTD_CONTENTSIZE_UNKNOWN || !told ? 1 : told);
	if (rc < 0)
		return rc;
	for (;;) {
		size_t space = room_left(d);
		made = ZSTD_decompressDCtx(d->zstd, d->out + d->made, space, data, length);
		if (ZSTD_getErrorCode(made) != ZSTD_error_dstSize_tooSmall)
			break;
		rc = room(d, space + 1);
		if (rc < 0)
			return rc;
	}
	if (ZSTD_isError(made))
		return -ERR_CORRUPT;
	d->made += made;
	return 0;
}

/* The library knows frames of zstd's early versions too, with a decoder for each; nobody sends
 * them but who looks for faults there. */
static bool is_zstd_frame(const uint8_t *data, size_t length)
{
	enum { SKIPPED_MAGIC = 0x184d2a50, SKIPPED_VARIANTS = 0x0f };
	uint32_t magic = 0;

	if (length >= sizeof(magic))
		memcpy(&magic, data, sizeof(magic)); /* little-endian, as we are */
	return magic == ZSTD_MAGICNUMBER || (magic & ~SKIPPED_VARIANTS) == SKIPPED_MAGIC;
}

static int unzstd(struct decompressor *d, const uint8_t *data, size_t length)
{
	int rc = length ? 0 : -ERR_CORRUPT;

	while (rc == 0 && length) {
		size_t frame = is_zstd_frame(data, length)
				       ? ZSTD_findFrameCompressedSize(data, length)
				       : 0;
		if (frame == 0 || ZSTD_isError(frame))
			return -ERR_CORRUPT;
		rc = unzstd_frame(d, data, frame);
		data += frame;
		length -= frame;
	}
	return rc;
}

static void shrink(struct decompressor *d)
{
	if (d->capacity <= KEPT_BYTES_MAX)
		return;
	free(d->out);
	d->out = NULL;
	d->capacity = 0;
}

int decompress(struct decompressor *d, enum batch_codec codec, const void *data, size_t length,
	       size_t bytes_max, const void **ret_data, size_t *ret_length)
{
	int rc = -ERR_CODEC;

	shrink(d);
	d->made = 0;
	/* One more, so that what fills the bound exactly can come to its end. */
	d->bytes_max = bytes_max < SIZE_MAX ? bytes_max + 1 : bytes_max;
	if (codec == CODEC_GZIP)
		rc = gunzip(d, data, length);
	else if (codec == CODEC_SNAPPY)
		rc = unsnap(d, data, length);
	else if (codec == CODEC_LZ4)
		rc = unlz4(d, data, length);
	else if (codec == CODEC_ZSTD)
		rc = unzstd(d, data, length);
	if (rc == 0 && d->made > bytes_max)
		rc = -ERR_TOO_LARGE;
	if (rc < 0)
		return rc;
	*ret_data = d->out;
	*ret_length = d->made;
	return 0;
}
