/* dataplane/transport/inbound.h: a message of several segments on its way in.
 *
 * Segments have one size, except the last, and begin at multiples of it: two segments either are
 * the same one or do not overlap, so what came first stays.  The buffer is taken when the first
 * segment arrives and holds, behind the message, a bit for each segment.  Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inbound {
	uint8_t *buffer; /* null: no message under way */
	size_t buffer_bytes;
	uint32_t length;
	uint32_t segment_bytes;
	uint32_t segments_missing;
};

enum inbound_result {
	INBOUND_TAKEN,
	INBOUND_AGAIN, /* has come before */
	INBOUND_WRONG, /* not a segment of this message */
};

/* What a message needs. */
static inline uint32_t inbound_segments(uint32_t length, uint32_t segment_bytes)
{
	return length <= segment_bytes ? 1 : (length - 1) / segment_bytes + 1;
}

size_t inbound_bytes(uint32_t length, uint32_t segment_bytes);
/* `buffer` has inbound_bytes() and is the caller's; 8-byte aligned. */
void inbound_begin(struct inbound *inbound, uint8_t *buffer, uint32_t length,
		   uint32_t segment_bytes);
/* Lies at a multiple of the segment size and has the size that its place demands. */
static inline bool inbound_fits(uint32_t length, uint32_t segment_bytes, uint32_t offset,
				uint32_t bytes)
{
	if (length <= segment_bytes)
		return !offset && bytes == length;
	if (offset >= length || offset % segment_bytes)
		return false;
	uint32_t left = length - offset;
	return bytes == (left < segment_bytes ? left : segment_bytes);
}

enum inbound_result inbound_add(struct inbound *inbound, uint32_t length, uint32_t offset,
				const uint8_t *data, uint32_t bytes);
