/* storage/records.h: walking the records of one (decompressed) batch. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/errors.h"

struct record {
	int64_t timestamp_delta;
	int32_t offset_delta;
	const uint8_t *key; /* null: none */
	size_t key_length;
	const uint8_t *value; /* null: tombstone */
	size_t value_length;
	int32_t header_count;
	const uint8_t *headers; /* first header */
	size_t headers_length;
};

struct record_cursor {
	const uint8_t *at;
	const uint8_t *end;
};

static inline struct record_cursor record_cursor_over(const void *records, size_t length)
{
	const uint8_t *at = records;
	return (struct record_cursor){.at = at, .end = at + length};
}

/* ---- of one record ----
 * What reads returns where to go on, or null: past the end or malformed. */

/* Zigzag varint of at most `bytes_max` bytes. */
const uint8_t *record_get_long(const uint8_t *at, const uint8_t *end, unsigned bytes_max,
			       int64_t *ret);
const uint8_t *record_skip_headers(const uint8_t *at, const uint8_t *end, int32_t count);

/* Inline, so that who looks at few of a record's fields does not pay for the others. */
static inline int64_t record_unzigzag(uint64_t raw)
{
	return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

/* Nearly all of a record's numbers are one byte or two: where it goes on behind such a one, else
 * null. */
static inline const uint8_t *record_get_short(const uint8_t *at, const uint8_t *end, int32_t *ret)
{
	uint32_t raw;

	if (at < end && at[0] < 0x80) {
		raw = at[0];
		at += 1;
	} else if (end - at >= 2 && at[1] < 0x80) {
		raw = (at[0] & 0x7fu) | (uint32_t)at[1] << 7;
		at += 2;
	} else {
		return NULL;
	}
	*ret = (int32_t)(raw >> 1) ^ -(int32_t)(raw & 1);
	return at;
}

static inline const uint8_t *record_get_varlong(const uint8_t *at, const uint8_t *end, int64_t *ret)
{
	int64_t value;
	int32_t small;
	const uint8_t *after = record_get_short(at, end, &small);

	if (after) {
		*ret = small;
		return after;
	}
	at = record_get_long(at, end, 10, &value);
	if (at)
		*ret = value;
	return at;
}

static inline const uint8_t *record_get_varint(const uint8_t *at, const uint8_t *end, int32_t *ret)
{
	int64_t value = 0;
	const uint8_t *after = record_get_short(at, end, ret);

	if (after)
		return after;
	at = record_get_long(at, end, 5, &value);
	if (!at || value < INT32_MIN || value > INT32_MAX)
		return NULL;
	*ret = (int32_t)value;
	return at;
}

/* A length and that many bytes; -1 is null where allowed. */
static inline const uint8_t *record_get_bytes(const uint8_t *at, const uint8_t *end, bool nullable,
					      const uint8_t **ret, size_t *ret_length)
{
	int32_t length;

	at = record_get_varint(at, end, &length);
	if (!at || length > end - at || length < (nullable ? -1 : 0))
		return NULL;
	*ret = length < 0 ? NULL : at;
	*ret_length = length < 0 ? 0 : (size_t)length;
	return at + *ret_length;
}

/* The body of one record, which it has to fill. */
static inline bool record_parse(const uint8_t *at, const uint8_t *end, struct record *ret)
{
	if (at == end)
		return false;
	at++; /* attributes: unused, Kafka ignores them */
	if (!(at = record_get_varlong(at, end, &ret->timestamp_delta)) ||
	    !(at = record_get_varint(at, end, &ret->offset_delta)) ||
	    !(at = record_get_bytes(at, end, true, &ret->key, &ret->key_length)) ||
	    !(at = record_get_bytes(at, end, true, &ret->value, &ret->value_length)) ||
	    !(at = record_get_varint(at, end, &ret->header_count)))
		return false;
	ret->headers = at;
	if (ret->header_count)
		at = record_skip_headers(at, end, ret->header_count);
	ret->headers_length = (size_t)(end - ret->headers);
	return at == end;
}

/* 1: *ret filled and the cursor moved on; 0: the end; -ERR_INVALID_RECORD: does not parse (every
 * length and header checked). */
static inline int record_next(struct record_cursor *cursor, struct record *ret)
{
	const uint8_t *at = cursor->at;
	int32_t length;

	if (at == cursor->end)
		return 0;
	at = record_get_varint(at, cursor->end, &length);
	if (!at || length < 0 || length > cursor->end - at || !record_parse(at, at + length, ret))
		return -ERR_INVALID_RECORD;
	cursor->at = at + length;
	return 1;
}
