/* A block is a varint length and a sequence of elements; an element's low two bits say what it is:
 *   0 literal, 1 copy with 1-byte offset, 2 copy with 2-byte offset, 3 copy with 4-byte offset.
 * Source: the snappy format description. */
#include "storage/snappy.h"

#include "base/errors.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct block {
	const uint8_t *at;
	const uint8_t *end;
	uint8_t *out;
	size_t made;
	size_t room;
};

static bool get_length(struct block *b, size_t *ret)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 5 && b->at < b->end; i++) {
		uint8_t byte = *b->at++;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret = (size_t)value;
			return value <= UINT32_MAX;
		}
	}
	return false;
}

/* `count` bytes, little-endian. */
static bool get_number(struct block *b, unsigned count, uint32_t *ret)
{
	uint32_t value = 0;

	if ((size_t)(b->end - b->at) < count)
		return false;
	for (unsigned i = 0; i < count; i++)
		value |= (uint32_t)b->at[i] << (8 * i);
	b->at += count;
	*ret = value;
	return true;
}

static bool put_literal(struct block *b, uint8_t tag)
{
	uint32_t length = tag >> 2;

	if (length >= 60 && !get_number(b, length - 59, &length))
		return false;
	size_t bytes = (size_t)length + 1;
	if (bytes > (size_t)(b->end - b->at) || bytes > b->room - b->made)
		return false;
	memcpy(b->out + b->made, b->at, bytes);
	b->at += bytes;
	b->made += bytes;
	return true;
}

static bool put_copy(struct block *b, size_t distance, size_t length)
{
	if (distance == 0 || distance > b->made || length > b->room - b->made)
		return false;
	/* Source and target may overlap: that repeats a pattern. */
	for (size_t i = 0; i < length; i++, b->made++)
		b->out[b->made] = b->out[b->made - distance];
	return true;
}

static bool put_element(struct block *b)
{
	uint8_t tag = *b->at++;
	uint32_t distance;

	switch (tag & 3) {
	case 0:
		return put_literal(b, tag);
	case 1:
		return get_number(b, 1, &distance) &&
		       put_copy(b, ((size_t)(tag >> 5) << 8) | distance, ((tag >> 2) & 7u) + 4u);
	case 2:
		return get_number(b, 2, &distance) && put_copy(b, distance, (tag >> 2) + 1u);
	default:
		return get_number(b, 4, &distance) && put_copy(b, distance, (tag >> 2) + 1u);
	}
}

int snappy_block_length(const void *data, size_t length, size_t *ret_expanded)
{
	struct block b = {.at = data};

	b.end = b.at + length;
	return get_length(&b, ret_expanded) ? 0 : -ERR_CORRUPT;
}

int snappy_block_decode(const void *data, size_t length, void *out, size_t expanded)
{
	struct block b = {.at = data, .out = out, .room = expanded};
	size_t said;

	b.end = b.at + length;
	if (!get_length(&b, &said) || said != expanded)
		return -ERR_CORRUPT;
	while (b.at < b.end) {
		if (!put_element(&b))
			return -ERR_CORRUPT;
	}
	return b.made == expanded ? 0 : -ERR_CORRUPT;
}
