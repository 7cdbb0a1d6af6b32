/* ISA-L picks the fastest implementation of the CPU at run time (PCLMUL, VPCLMUL). */
#include "base/crc32c.h"

#include "base/check.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t length)
{
	check(length <= INT_MAX);
	/* crc32_iscsi takes its buffer unqualified but only reads it. */
	union {
		const void *in;
		unsigned char *out;
	} bytes = {.in = data};
	return ~crc32_iscsi(bytes.out, (int)length, ~crc);
}
