/* storage/batch_build.h: makes one record batch (magic 2) out of records.
 *
 * Phases: empty -> add, add, ... -> seal, which may be repeated with other numbers.  Whoever
 * compresses does so before sealing and says with what in `attributes`.  The bytes are then what
 * log_append takes and a Produce request carries. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct record;

struct batch_build {
	uint8_t *data; /* the header's room, then the records */
	size_t size;
	size_t capacity;
	int32_t count;
	int64_t base_timestamp_ms;
	int64_t max_timestamp_ms;
	uint16_t attributes;
};

void batch_build_fini(struct batch_build *build); /* one of all zeros is an empty one */
/* The most bytes that a record takes in a batch. */
size_t batch_build_record_bytes(const struct record *record);
/* Copies key and value; offset and timestamp are set here, the record's own not looked at.  Its
 * headers are not copied: room for headers_length bytes is left, *ret_headers is where it lies
 * until the next call.  -ENOMEM: the batch is as it was. */
int batch_build_add(struct batch_build *build, const struct record *record, int64_t timestamp_ms,
		    uint8_t **ret_headers);
/* Writes the header; producer_id -1, epoch -1 and sequence -1: not numbered. */
void batch_build_seal(struct batch_build *build, int64_t producer_id, int16_t producer_epoch,
		      int32_t base_sequence);

/* A whole batch of BATCH_HEADER_BYTES that has no records (batch_is_filler). */
void batch_build_filler(void *data, int64_t base_offset, int32_t last_offset_delta,
			int32_t leader_epoch);

/* Varints as records have them: zigzag, at most 10 bytes.  Returns what is behind. */
uint8_t *batch_put_varint(uint8_t *at, int64_t value);
size_t batch_varint_bytes(int64_t value);
/* A length and bytes; null is -1. */
uint8_t *batch_put_bytes(uint8_t *at, const void *data, size_t length);
size_t batch_bytes_bytes(const void *data, size_t length);
