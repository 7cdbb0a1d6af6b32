/* One byte of codec, one of limit, then compressed data.  A decompressor that has seen many inputs
 * must say the same as a new one: nothing of one client's batch may show in another's. */
#include "base/check.h"
#include "base/errors.h"
#include "storage/compress.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

enum {
	CHOICE_BYTES = 2,
	BYTES_MAX_LOW = 64,
	BYTES_MAX = 1 << 20,
	COMPARED = 0x80, /* in the byte of limit: making a decompressor takes time */
};

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
	int rc = decompress(used, codec, data + CHOICE_BYTES, size - CHOICE_BYTES, bytes_max, &out,
			    &length);
	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_TOO_LARGE || rc == -ERR_CODEC);
	check(length <= bytes_max);
	if (!(data[1] & COMPARED))
		return 0;
	check(decompressor_new(&fresh) == 0);
	int fresh_rc = decompress(fresh, codec, data + CHOICE_BYTES, size - CHOICE_BYTES, bytes_max,
				  &fresh_out, &fresh_length);
	/* How far back a broken zstd frame may refer depends on the size of a context's buffer. */
	check(rc == fresh_rc || codec == CODEC_ZSTD);
	if (rc == 0 && fresh_rc == 0) {
		check(fresh_length == length);
		check(length == 0 || memcmp(out, fresh_out, length) == 0);
	}
	decompressor_free(fresh);
	return 0;
}
