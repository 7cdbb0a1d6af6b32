/* client/builder.h: makes one record batch (magic 2) out of records.
 *
 * Phases: empty -> add, add, ... -> compress (once, or not at all) -> seal, which may be repeated
 * with other numbers.  The bytes are then what a Produce request carries. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct compressor;
struct sluice_record;

struct builder {
	uint8_t *data; /* the header's room, then the records */
	size_t size;
	size_t capacity;
	int32_t count;
	int64_t base_timestamp_ms;
	int64_t max_timestamp_ms;
	uint16_t attributes;
};

void builder_fini(struct builder *builder); /* one of all zeros is an empty one */
/* The most bytes that a record takes in a batch. */
size_t builder_record_bytes(const struct sluice_record *record);
/* `timestamp_ms` in place of the record's own.  -ENOMEM: the batch is as it was. */
int builder_add(struct builder *builder, const struct sluice_record *record, int64_t timestamp_ms);
/* Keeps the records as they are where they would not become smaller.  -ENOMEM, -EIO. */
int builder_compress(struct builder *builder, struct compressor *compressor, unsigned codec);
/* Writes the header; producer_id -1, epoch -1 and sequence -1: not numbered. */
void builder_seal(struct builder *builder, int64_t producer_id, int16_t producer_epoch,
		  int32_t base_sequence);
