/* storage/control_batch.h: the marker that ends a transaction in a partition (KIP-98): a batch of
 * one record, which readers are not shown. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "storage/batch.h"

enum control_type { CONTROL_ABORT = 0, CONTROL_COMMIT = 1 };

struct control_marker {
	enum control_type type;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t coordinator_epoch;
	int64_t timestamp_ms;
};

enum { CONTROL_BATCH_BYTES = 78 };

/* The whole batch, CONTROL_BATCH_BYTES, its checksum included. */
void control_batch_write(const struct control_marker *marker, void *out);
/* `data` is a whole batch that `batch` was parsed from, its checksum found right.  -ERR_CORRUPT:
 * not a marker; a control record of another type (a client could only read over it) is one too. */
int control_batch_read(struct control_marker *ret, const void *data, const struct batch *batch);
