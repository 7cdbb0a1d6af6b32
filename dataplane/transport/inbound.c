#include "dataplane/transport/inbound.h"

#include "base/bytes.h"

#include <string.h>

size_t inbound_bytes(uint32_t length, uint32_t segment_bytes)
{
	size_t words = (inbound_segments(length, segment_bytes) + (size_t)63) / 64;

	return round_up(length, 8) + words * 8;
}

static uint64_t *bitmap_of(const struct inbound *inbound)
{
	return (uint64_t *)(void *)(inbound->buffer + round_up(inbound->length, 8));
}

/* The buffer is written to through the struct. */
void inbound_begin(struct inbound *inbound, uint8_t *buffer, /* NOLINT(*-non-const-parameter) */
		   uint32_t length, uint32_t segment_bytes)
{
	*inbound = (struct inbound){
		.buffer = buffer,
		.buffer_bytes = inbound_bytes(length, segment_bytes),
		.length = length,
		.segment_bytes = segment_bytes,
		.segments_missing = inbound_segments(length, segment_bytes),
	};
	memset(bitmap_of(inbound), 0, inbound->buffer_bytes - round_up(length, 8));
}

enum inbound_result inbound_add(struct inbound *inbound, uint32_t length, uint32_t offset,
				const uint8_t *data, uint32_t bytes)
{
	if (length != inbound->length ||
	    !inbound_fits(length, inbound->segment_bytes, offset, bytes))
		return INBOUND_WRONG;
	uint32_t segment = offset / inbound->segment_bytes;
	uint64_t *word = &bitmap_of(inbound)[segment / 64];
	uint64_t bit = UINT64_C(1) << segment % 64;

	if (*word & bit)
		return INBOUND_AGAIN;
	*word |= bit;
	memcpy(inbound->buffer + offset, data, bytes);
	inbound->segments_missing--;
	return INBOUND_TAKEN;
}
