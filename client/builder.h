/* client/builder.h: what a producer's record batch needs beyond storage/batch_build.h: records as
 * the API has them, and compression.
 *
 * Phases: empty -> add, add, ... -> compress (once, or not at all) -> batch_build_seal. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "storage/batch_build.h"

struct compressor;
struct sluice_record;

/* The most bytes that a record takes in a batch. */
size_t builder_record_bytes(const struct sluice_record *record);
/* `timestamp_ms` in place of the record's own.  -ENOMEM: the batch is as it was. */
int builder_add(struct batch_build *build, const struct sluice_record *record,
		int64_t timestamp_ms);
/* Keeps the records as they are where they would not become smaller.  -ENOMEM, -EIO. */
int builder_compress(struct batch_build *build, struct compressor *compressor, unsigned codec);
