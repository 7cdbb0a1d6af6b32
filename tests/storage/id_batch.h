/* tests/storage/id_batch.h: batches whose records have message ids, which are numbers here, and a
 * log's records by their ids. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "storage/dedup.h"
#include "tests/storage/support.h"

struct id_batch_options {
	enum batch_codec codec;
	uint16_t attributes; /* besides the codec */
	int64_t first_ms;    /* of all of its records */
	int64_t producer_id; /* 0: none */
	int32_t base_sequence;
};

/* A record for each number, in its header `dedup-id`; 0: without one. */
struct made_batch make_id_batch(const uint64_t *numbers, unsigned count,
				const struct id_batch_options *options);
void free_id_batch(struct made_batch *made);

/* A window of `dedup-id` by partition. */
struct dedup_config id_window(int64_t window_ms, uint64_t entries_max);
struct dedup_id id_of_number(const struct dedup_config *config, uint64_t number);

/* One record of `number` at `now_ms`, waited for; returns log_append's or its answer's rc. */
int rig_append_id(struct rig *rig, uint64_t number, int64_t *ret_offset);

/* The same; it is stored, or known. */
int64_t rig_keep_id(struct rig *rig, uint64_t number); /* its offset */

/* So long passes by both clocks, then a turn and the housekeeping. */
void rig_pass(struct rig *rig, int64_t ms);

/* Calls `each` for each record of the log, in order, with the number that its value tells. */
void rig_each_record(struct rig *rig, void (*each)(void *context, int64_t offset, uint64_t number),
		     void *context);
