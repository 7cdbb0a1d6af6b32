/* dataplane/handlers/read_batches.h: the batches of what was read, which may lie in several pieces.
 *
 *     for (size_t at = 0; read_batch_at(read, at, &batch); at += batch.size)
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"
#include "storage/log.h"

/* The header of the batch that begins at `at`.  False: the end. */
bool read_batch_at(const struct log_read *read, size_t at, struct batch *ret);
/* Of the last one; -1: not one batch. */
int64_t read_last_offset(const struct log_read *read);

static inline int64_t batch_last_offset(const struct batch *batch)
{
	return batch->base_offset + batch->last_offset_delta;
}
