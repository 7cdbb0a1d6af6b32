/* One byte of codec, one of limit, then compressed data.  Whatever that claims, what comes out and
 * the memory that is taken for it stay within the limit.  A decompressor that has seen many inputs
 * must say the same as a new one: nothing of one client's batch may show in another's. */
#include "base/check.h"
#include "base/errors.h"
#include "storage/compress.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory.h"

#include <errno.h>
#include <string.h>

enum {
	CHOICE_BYTES = 2,
	BYTES_MAX_LOW = 64,
	BYTES_MAX = 1 << 20,
	COMPARED = 0x80, /* in the byte of limit: making a decompressor takes time */
	/* Beyond the output, of which there are two while it grows: what a codec keeps of its own.
	 * An lz4 frame may have blocks of 4 MiB, of which the context keeps two. */
	OWN_BYTES_MAX = 128 << 10,
	LZ4_OWN_BYTES_MAX = 9 << 20,
};

static void check_memory(enum batch_codec codec, size_t bytes_max)
{
	size_t own = codec == CODEC_LZ4 ? LZ4_OWN_BYTES_MAX : OWN_BYTES_MAX;

	check(memory_peak_bytes() <= 2 * bytes_max + own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct decompressor *used;
	struct decompressor *fresh;
	const void *out = NULL, *fresh_out = NULL;
	size_t length = 0, fresh_length = 0;

	if (size < CHOICE_BYTES)
		return 0;
	if (!used)
		check(decompressor_new(&used) == 0);
	enum batch_codec codec = data[0] % (CODEC_COUNT + 2);
	size_t bytes_max = data[1] & 1 ? BYTES_MAX_LOW : BYTES_MAX;
	memory_watch();
	int rc = decompress(used, codec, data + CHOICE_BYTES, size - CHOICE_BYTES, bytes_max, &out,
			    &length);
	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_TOO_LARGE || rc == -ERR_CODEC);
	check(length <= bytes_max);
	check_memory(codec, bytes_max);
	if (!(data[1] & COMPARED))
		return 0;
	check(decompressor_new(&fresh) == 0);
	int fresh_rc = decompress(fresh, codec, data + CHOICE_BYTES, size - CHOICE_BYTES, bytes_max,
				  &fresh_out, &fresh_length);
	check(rc == fresh_rc);
	if (rc == 0 && fresh_rc == 0) {
		check(fresh_length == length);
		check(length == 0 || memcmp(out, fresh_out, length) == 0);
	}
	decompressor_free(fresh);
	return 0;
}
