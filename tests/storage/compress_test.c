/* Each codec: what other libraries compress is undone, also in several frames; every truncation and
 * every flipped byte is refused or at least bounded; what expands beyond the bound stops there. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/compress.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <lz4frame.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct bytes {
	uint8_t *data; /* to free */
	size_t size;
};

/* Text-like: repeats itself, but not only. */
static struct bytes plain(size_t size, uint64_t seed)
{
	struct chance chance = {.state = seed};
	struct bytes out = {malloc(size + 1), size};

	check(out.data);
	for (size_t i = 0; i < size; i++) {
		if (i > 100 && chance_below(&chance, 100) < 90)
			out.data[i] = out.data[i - 100];
		else
			out.data[i] = (uint8_t)('a' + chance_below(&chance, 26));
	}
	return out;
}

static struct bytes zeros(size_t size)
{
	struct bytes out = {calloc(1, size + 1), size};

	check(out.data);
	return out;
}

static struct bytes gzip(struct bytes in)
{
	struct bytes out = {malloc(in.size + in.size / 100 + 1000), 0};
	z_stream stream = {
		.next_in = in.data,
		.avail_in = (uInt)in.size,
		.next_out = out.data,
		.avail_out = (uInt)(in.size + in.size / 100 + 1000),
	};

	check(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	check(deflate(&stream, Z_FINISH) == Z_STREAM_END);
	out.size = stream.total_out;
	deflateEnd(&stream);
	return out;
}

static struct bytes lz4(struct bytes in)
{
	LZ4F_preferences_t preferences = {
		.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled,
	};
	size_t room = LZ4F_compressFrameBound(in.size, &preferences);
	struct bytes out = {malloc(room), 0};

	out.size = LZ4F_compressFrame(out.data, room, in.data, in.size, &preferences);
	check(!LZ4F_isError(out.size));
	return out;
}

static struct bytes zstd(struct bytes in)
{
	size_t room = ZSTD_compressBound(in.size);
	struct bytes out = {malloc(room), 0};
	ZSTD_CCtx *context = ZSTD_createCCtx();

	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	out.size = ZSTD_compress2(context, out.data, room, in.data, in.size);
	check(!ZSTD_isError(out.size));
	ZSTD_freeCCtx(context);
	return out;
}

/* ---- snappy, the encoder that Debian has no C library for ---- */

static uint8_t *put_literal(uint8_t *at, const uint8_t *data, size_t length)
{
	*at++ = 61 << 2; /* two bytes of length follow */
	*at++ = (uint8_t)(length - 1);
	*at++ = (uint8_t)((length - 1) >> 8);
	memcpy(at, data, length);
	return at + length;
}

/* Copies of what lay 100 bytes before, literals else. */
static struct bytes snappy(struct bytes in)
{
	struct bytes out = {malloc(in.size * 2 + 100), 0};
	uint8_t *at = out.data;
	size_t length = in.size;
	size_t done = 0;

	for (; length >= 0x80; length >>= 7)
		*at++ = (uint8_t)(length | 0x80);
	*at++ = (uint8_t)length;
	for (size_t i = 0; i < in.size;) {
		size_t same = 0;
		while (i >= 100 && same < 64 && i + same < in.size &&
		       in.data[i + same] == in.data[i + same - 100])
			same++;
		if (same < 4 && i - done < 60000) {
			i++;
			continue;
		}
		if (i > done)
			at = put_literal(at, in.data + done, i - done);
		if (same >= 4) {
			*at++ = (uint8_t)((same - 1) << 2 | 2);
			*at++ = 100;
			*at++ = 0;
			i += same;
		}
		done = i;
	}
	if (in.size > done)
		at = put_literal(at, in.data + done, in.size - done);
	out.size = (size_t)(at - out.data);
	return out;
}

/* As snappy-java frames it. */
static struct bytes snappy_java(struct bytes in)
{
	static const uint8_t head[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
					 0,    0,   0,   1,   0,   0,   0,   1};
	struct bytes out = {malloc(in.size * 2 + 4096), sizeof(head)};

	memcpy(out.data, head, sizeof(head));
	for (size_t i = 0; i < in.size; i += 32768) {
		size_t part = in.size - i < 32768 ? in.size - i : 32768;
		struct bytes block = snappy((struct bytes){in.data + i, part});
		store_be32(out.data + out.size, (uint32_t)block.size);
		memcpy(out.data + out.size + 4, block.data, block.size);
		out.size += 4 + block.size;
		free(block.data);
	}
	return out;
}

static const struct codec {
	const char *name;
	enum batch_codec codec;
	struct bytes (*compress)(struct bytes in);
	bool frames;   /* several one after the other are one */
	bool checksum; /* finds every flipped byte of contents */
} codecs[] = {
	{"gzip", CODEC_GZIP, gzip, true, true},
	{"snappy", CODEC_SNAPPY, snappy, false, false},
	{"snappy-java", CODEC_SNAPPY, snappy_java, false, false},
	{"lz4", CODEC_LZ4, lz4, true, true},
	{"zstd", CODEC_ZSTD, zstd, true, true},
};

static struct decompressor *decompressor;

static int setup(void **state)
{
	(void)state;
	return decompressor_new(&decompressor);
}

static int teardown(void **state)
{
	(void)state;
	decompressor_free(decompressor);
	return 0;
}

/* In memory of exactly its size, so that a byte too far is seen. */
static int undo(const struct codec *codec, const uint8_t *data, size_t size, size_t bytes_max,
		const void **ret_data, size_t *ret_size)
{
	uint8_t *exact = malloc(size ? size : 1);

	check(exact);
	if (size)
		memcpy(exact, data, size);
	int rc = decompress(decompressor, codec->codec, exact, size, bytes_max, ret_data, ret_size);
	free(exact);
	return rc;
}

static void check_undone(const struct codec *codec, struct bytes in, struct bytes packed)
{
	const void *data = NULL;
	size_t size = 0;

	int rc = undo(codec, packed.data, packed.size, in.size, &data, &size);
	if (rc < 0)
		print_error("%s of %zu bytes: %s\n", codec->name, in.size, error_text(rc));
	assert_int_equal(rc, 0);
	assert_int_equal(size, in.size);
	if (size)
		assert_memory_equal(data, in.data, size);
}

static void what_was_compressed_is_undone(void **state)
{
	static const size_t sizes[] = {0,     1,     3,     100,    101,    4096,
				       65535, 65536, 65537, 300000, 5 << 20};

	(void)state;
	for (size_t c = 0; c < array_count(codecs); c++) {
		for (size_t i = 0; i < array_count(sizes); i++) {
			struct bytes in = plain(sizes[i], i);
			struct bytes packed = codecs[c].compress(in);
			check_undone(&codecs[c], in, packed);
			free(in.data);
			free(packed.data);
		}
	}
}

static void frames_one_after_the_other_are_one(void **state)
{
	(void)state;
	for (size_t c = 0; c < array_count(codecs); c++) {
		if (!codecs[c].frames)
			continue;
		struct bytes in = plain(250000, 5);
		struct bytes packed = {malloc(400000), 0};
		static const size_t cuts[] = {0, 1, 100000, 100000, 250000};
		for (size_t i = 0; i + 1 < array_count(cuts); i++) {
			struct bytes part = codecs[c].compress(
				(struct bytes){in.data + cuts[i], cuts[i + 1] - cuts[i]});
			memcpy(packed.data + packed.size, part.data, part.size);
			packed.size += part.size;
			free(part.data);
		}
		check_undone(&codecs[c], in, packed);
		free(in.data);
		free(packed.data);
	}
}

static void every_truncation_is_refused(void **state)
{
	const void *data;
	size_t size;

	(void)state;
	for (size_t c = 0; c < array_count(codecs); c++) {
		struct bytes in = plain(70000, 1);
		struct bytes packed = codecs[c].compress(in);
		size_t step = packed.size / 400 + 1;
		for (size_t cut = 0; cut < packed.size; cut += cut < 300 ? 1 : step) {
			int rc = undo(&codecs[c], packed.data, cut, 1 << 20, &data, &size);
			/* Framed blocks may end between two. */
			if (rc == 0 && codecs[c].compress == snappy_java)
				assert_true(size < in.size);
			else
				assert_int_equal(rc, -ERR_CORRUPT);
		}
		free(in.data);
		free(packed.data);
	}
}

static void flipped_bytes_are_found_or_do_no_harm(void **state)
{
	const void *data;
	size_t size;

	(void)state;
	for (size_t c = 0; c < array_count(codecs); c++) {
		struct bytes in = plain(20000, 1);
		struct bytes packed = codecs[c].compress(in);
		struct chance chance = {.state = c};
		for (size_t i = 0; i < packed.size; i++) {
			uint8_t was = packed.data[i];
			packed.data[i] ^= (uint8_t)(1 + chance_below(&chance, 255));
			int rc = undo(&codecs[c], packed.data, packed.size, 1 << 20, &data, &size);
			assert_true(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_TOO_LARGE);
			/* Header fields such as a time stamp may differ. */
			if (rc == 0 && codecs[c].checksum)
				assert_true(size == in.size && memcmp(data, in.data, size) == 0);
			packed.data[i] = was;
		}
		free(in.data);
		free(packed.data);
	}
}

static void random_bytes_are_survived(void **state)
{
	struct chance chance = {.state = 42};
	uint8_t noise[600];
	const void *data;
	size_t size;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const struct codec *codec = &codecs[chance_below(&chance, array_count(codecs))];
		size_t length = chance_below(&chance, sizeof(noise));
		for (size_t j = 0; j < length; j++)
			noise[j] = (uint8_t)chance_next(&chance);
		int rc = undo(codec, noise, length, 1 << 20, &data, &size);
		assert_true(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_TOO_LARGE);
		if (rc == 0)
			assert_true(size <= 1 << 20);
	}
}

static void a_bomb_stops_at_the_bound(void **state)
{
	const void *data;
	size_t size;

	(void)state;
	for (size_t c = 0; c < array_count(codecs); c++) {
		struct bytes in = zeros(6 << 20);
		struct bytes packed = codecs[c].compress(in);
		static const size_t bounds[] = {0, 1, 65536, 1 << 20, (6 << 20) - 1};
		for (size_t i = 0; i < array_count(bounds); i++)
			assert_int_equal(
				undo(&codecs[c], packed.data, packed.size, bounds[i], &data, &size),
				-ERR_TOO_LARGE);
		check_undone(&codecs[c], in, packed); /* exactly the bound */
		/* A larger buffer from before does not widen a later bound. */
		assert_int_equal(undo(&codecs[c], packed.data, packed.size, 1000, &data, &size),
				 -ERR_TOO_LARGE);
		free(in.data);
		free(packed.data);
	}
}

/* Few bytes that announce much: nothing is allocated for them. */
static void a_snappy_length_is_bounded_before_it_is_believed(void **state)
{
	static const uint8_t announced[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x00, 'a'};
	static const uint8_t too_long[] = {0xff, 0xff, 0xff, 0xff, 0x7f, 0x00, 'a'};
	const struct codec *codec = &codecs[1];
	const void *data;
	size_t size;

	(void)state;
	assert_int_equal(undo(codec, announced, sizeof(announced), 1 << 20, &data, &size),
			 -ERR_TOO_LARGE);
	assert_int_equal(undo(codec, too_long, sizeof(too_long), 1 << 20, &data, &size),
			 -ERR_CORRUPT);
}

/* The frame says that it may refer to 128 MiB before, and holds one byte. */
static void the_window_of_a_zstd_frame_takes_no_memory(void **state)
{
	static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x09, 0x00, 0x00, 'a'};
	struct mallinfo2 before = mallinfo2();
	const void *data;
	size_t size;

	(void)state;
	assert_int_equal(
		decompress(decompressor, CODEC_ZSTD, frame, sizeof(frame), 1 << 20, &data, &size),
		0);
	assert_int_equal(size, 1);
	struct mallinfo2 after = mallinfo2();
	assert_true(after.uordblks + after.hblkhd < before.uordblks + before.hblkhd + (1 << 20));
}

/* A whole frame of version 0.7, which the library would take. */
static void frames_of_early_zstd_are_refused(void **state)
{
	static const uint8_t frame[] = {0x27, 0xb5, 0x2f, 0xfd, 0x20, 0x01, 0x40,
					0x00, 0x01, 'a',  0xc0, 0x00, 0x00};
	const void *data;
	size_t size;

	(void)state;
	assert_int_equal(
		decompress(decompressor, CODEC_ZSTD, frame, sizeof(frame), 1 << 20, &data, &size),
		-ERR_CORRUPT);
}

static void an_unknown_codec_is_refused(void **state)
{
	const void *data;
	size_t size;

	(void)state;
	for (int codec = 5; codec < 8; codec++)
		assert_int_equal(decompress(decompressor, (enum batch_codec)codec, "x", 1, 100,
					    &data, &size),
				 -ERR_CODEC);
}

/* lz4 1.9 keeps what is left of an announced size over a reset of its context. */
static void a_broken_frame_does_not_spoil_the_next(void **state)
{
	struct decompressor *d = NULL;
	struct bytes in = plain(5000, 7);
	LZ4F_preferences_t announced = {.frameInfo.contentSize = in.size};
	size_t room = LZ4F_compressFrameBound(in.size, &announced);
	uint8_t *broken = malloc(room);
	struct bytes good = lz4(in);
	const void *out;
	size_t length;

	check(broken && decompressor_new(&d) == 0);
	size_t size = LZ4F_compressFrame(broken, room, in.data, in.size, &announced);
	check(!LZ4F_isError(size));
	int rc = decompress(d, CODEC_LZ4, broken, size / 2, 1 << 20, &out, &length);
	assert_int_equal(rc, -ERR_CORRUPT);
	rc = decompress(d, CODEC_LZ4, good.data, good.size, 1 << 20, &out, &length);
	assert_int_equal(rc, 0);
	assert_int_equal(length, in.size);
	assert_memory_equal(out, in.data, in.size);
	decompressor_free(d);
	free(broken);
	free(good.data);
	free(in.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_compressed_is_undone),
		cmocka_unit_test(frames_one_after_the_other_are_one),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(flipped_bytes_are_found_or_do_no_harm),
		cmocka_unit_test(random_bytes_are_survived),
		cmocka_unit_test(a_bomb_stops_at_the_bound),
		cmocka_unit_test(a_snappy_length_is_bounded_before_it_is_believed),
		cmocka_unit_test(a_broken_frame_does_not_spoil_the_next),
		cmocka_unit_test(the_window_of_a_zstd_frame_takes_no_memory),
		cmocka_unit_test(frames_of_early_zstd_are_refused),
		cmocka_unit_test(an_unknown_codec_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
