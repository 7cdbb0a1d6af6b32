/* storage/records.h: walking the records of one (decompressed) batch. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

/* 1: *ret filled and the cursor moved on; 0: the end; -ERR_INVALID_RECORD: does not parse (every
 * length and header checked). */
int record_next(struct record_cursor *cursor, struct record *ret);
