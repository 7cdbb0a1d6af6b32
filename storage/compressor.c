#include "storage/compressor.h"

#include <errno.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "base/check.h"

enum {
	GZIP_LEVEL_MAX = 9,
	GZIP_WINDOW_BITS = 15 + 16, /* 16: with gzip's header and trailer */
	GZIP_MEMORY_LEVEL = 8,
	LZ4_LEVEL_MAX = 12,
};

struct compressor {
	enum batch_codec codec;
	int level;
	z_stream deflate;
	ZSTD_CCtx *zstd;
	LZ4F_preferences_t lz4;
};

static int within(int level, int most)
{
	return level > most ? most : level;
}

static int prepare(struct compressor *c, int level)
{
	switch (c->codec) {
	case CODEC_GZIP:
		c->level = level < 0 ? Z_DEFAULT_COMPRESSION : within(level, GZIP_LEVEL_MAX);
		if (deflateInit2(&c->deflate, c->level, Z_DEFLATED, GZIP_WINDOW_BITS,
				 GZIP_MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
			return -ENOMEM;
		return 0;
	case CODEC_ZSTD:
		c->level = level <= 0 ? ZSTD_CLEVEL_DEFAULT : within(level, ZSTD_maxCLevel());
		c->zstd = ZSTD_createCCtx();
		return c->zstd ? 0 : -ENOMEM;
	case CODEC_LZ4:
		c->lz4.frameInfo.blockMode = LZ4F_blockIndependent;
		c->lz4.frameInfo.blockSizeID = LZ4F_max64KB;
		c->lz4.compressionLevel = level < 0 ? 0 : within(level, LZ4_LEVEL_MAX);
		return 0;
	case CODEC_SNAPPY:
		return 0;
	case CODEC_NONE:
	case CODEC_COUNT:
		break;
	}
	return -EINVAL;
}

int compressor_new(struct compressor **ret, enum batch_codec codec, int level)
{
	struct compressor *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->codec = codec;
	int rc = prepare(c, level);
	if (rc < 0) {
		free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	if (c->codec == CODEC_GZIP)
		deflateEnd(&c->deflate);
	ZSTD_freeCCtx(c->zstd);
	free(c);
}

size_t compressor_bound(const struct compressor *c, size_t length)
{
	switch (c->codec) {
	case CODEC_GZIP:
		/* deflateBound changes nothing, but does not say so. */
		return deflateBound((z_stream *)(uintptr_t)&c->deflate, length);
	case CODEC_SNAPPY:
		return snappy_max_compressed_length(length);
	case CODEC_LZ4:
		return LZ4F_compressFrameBound(length, &c->lz4);
	case CODEC_ZSTD:
		return ZSTD_compressBound(length);
	case CODEC_NONE:
	case CODEC_COUNT:
		break;
	}
	return length;
}

static int64_t gzip(struct compressor *c, const void *data, size_t length, void *out, size_t room)
{
	z_stream *z = &c->deflate;

	z->next_in = (uint8_t *)(uintptr_t)data;
	z->avail_in = (uInt)length;
	z->next_out = out;
	z->avail_out = (uInt)room;
	int rc = deflate(z, Z_FINISH);
	size_t made = room - z->avail_out;
	/* Of a stream that has ended deflateBound forgets gzip's header. */
	if (deflateReset(z) != Z_OK || rc != Z_STREAM_END)
		return -EIO;
	return (int64_t)made;
}

int64_t compressor_run(struct compressor *c, const void *data, size_t length, void *out,
		       size_t room)
{
	size_t made = room;

	check(room >= compressor_bound(c, length) && room <= UINT32_MAX);
	switch (c->codec) {
	case CODEC_GZIP:
		return gzip(c, data, length, out, room);
	case CODEC_SNAPPY:
		return snappy_compress(data, length, out, &made) == SNAPPY_OK ? (int64_t)made
									      : -EIO;
	case CODEC_LZ4:
		made = LZ4F_compressFrame(out, room, data, length, &c->lz4);
		return LZ4F_isError(made) ? -EIO : (int64_t)made;
	case CODEC_ZSTD:
		made = ZSTD_compressCCtx(c->zstd, out, room, data, length, c->level);
		return ZSTD_isError(made) ? -EIO : (int64_t)made;
	case CODEC_NONE:
	case CODEC_COUNT:
		break;
	}
	return -EINVAL;
}
