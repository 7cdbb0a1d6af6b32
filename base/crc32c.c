/* Short data: the processor's own instruction, eight bytes at a time.  Longer data: ISA-L, which
 * works on several lanes at once and picks the fastest implementation of the CPU at run time
 * (PCLMUL, VPCLMUL).  On an AMD EPYC 81 bytes took 9 ns against 18, 192 bytes 20 against 28, 256
 * bytes 26 against 17. */
#include "base/crc32c.h"

#include "base/check.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <nmmintrin.h>
#include <string.h>

enum { LONG_BYTES = 256 };

static uint32_t crc_of_short(uint32_t crc, const uint8_t *at, size_t length)
{
	const uint8_t *tail = at + (length & ~(size_t)7);
	uint64_t wide = crc;

	for (; at < tail; at += sizeof(uint64_t)) {
		uint64_t eight;
		memcpy(&eight, at, sizeof(eight));
		wide = _mm_crc32_u64(wide, eight);
	}
	crc = (uint32_t)wide;
	if (length & 4) {
		uint32_t four;
		memcpy(&four, at, sizeof(four));
		crc = _mm_crc32_u32(crc, four);
		at += sizeof(four);
	}
	for (tail = at + (length & 3); at < tail; at++)
		crc = _mm_crc32_u8(crc, *at);
	return crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t length)
{
	if (length < LONG_BYTES)
		return ~crc_of_short(~crc, data, length);
	check(length <= INT_MAX);
	/* crc32_iscsi takes its buffer unqualified but only reads it. */
	union {
		const void *in;
		unsigned char *out;
	} bytes = {.in = data};
	return ~crc32_iscsi(bytes.out, (int)length, ~crc);
}
