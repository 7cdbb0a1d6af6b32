/* What a log's folder tells of producers and transactions: a byte that chooses, then a snapshot
 * (even) or a control batch (odd).  Each is tried as it is and with its checksum put right.  What
 * was accepted is written and read the same; open transactions can be ended. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "storage/control_batch.h"
#include "storage/producers.h"
#include "tests/fuzz/fuzz.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { PRODUCERS_MAX = 20, SUM_AT = 24, SUMMED_AT = 32, AT_CRC = 17 };

/* ---- snapshots ---- */

static uint8_t *written(const struct producers *producers, int64_t offset, size_t *ret_size)
{
	*ret_size = producers_snapshot_size(producers);
	uint8_t *bytes = malloc(*ret_size);

	check(bytes);
	producers_snapshot_write(producers, offset, bytes);
	return bytes;
}

static void expect_same(const struct producers *producers, int64_t offset)
{
	struct producers again;
	int64_t told = -1;
	size_t size, size_again;
	uint8_t *bytes = written(producers, offset, &size);

	producers_init(&again, PRODUCERS_MAX);
	check(producers_snapshot_read(&again, bytes, size, 0, &told) == 0);
	check(told == offset);
	uint8_t *bytes_again = written(&again, offset, &size_again);
	check(size == size_again);
	check(memcmp(bytes, bytes_again, size) == 0);
	free(bytes);
	free(bytes_again);
	producers_fini(&again);
}

static void end_all(struct producers *producers, int64_t offset)
{
	while (!list_empty(&producers->open)) {
		const struct producer *producer = container_of(producers->open.next,
							       struct producer, link);
		const struct control_marker marker = {.type = CONTROL_ABORT};
		const struct batch batch = {
			.base_offset = offset++,
			.attributes = BATCH_TRANSACTIONAL | BATCH_CONTROL,
			.producer_id = producer->id,
			.producer_epoch = producer->epoch,
		};
		int64_t first;
		check(producers_check(producers, &batch, &first) == 0);
		check(producers_reserve(producers, &batch) == 0);
		producers_apply(producers, &batch, &marker, 0);
		log_transactions_durable(&producers->transactions, offset);
	}
	check(log_transactions_unstable_from(&producers->transactions) == INT64_MAX);
	check(log_transactions_aborted(&producers->transactions, 0, INT64_MAX, NULL, 0) <=
	      producers->transactions.aborted_count);
}

static void read_snapshot(const uint8_t *data, size_t size)
{
	struct producers producers;
	int64_t offset = -1;

	producers_init(&producers, PRODUCERS_MAX);
	int rc = producers_snapshot_read(&producers, data, size, 0, &offset);
	check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT || rc == -ENOMEM);
	if (rc < 0) {
		check(producers_count(&producers) == 0);
	} else {
		expect_same(&producers, offset);
		/* No log is longer. */
		if (offset < INT64_MAX / 2)
			end_all(&producers, offset);
	}
	producers_fini(&producers);
}

static void fix_snapshot(uint8_t *data, size_t size)
{
	if (size < SUMMED_AT)
		return;
	uint64_t sum = htole64(XXH3_64bits_withSeed(data + SUMMED_AT, size - SUMMED_AT,
						    XXH3_64bits(data, SUM_AT)));
	memcpy(data + SUM_AT, &sum, sizeof(sum));
}

/* ---- control batches ---- */

static void read_control(const uint8_t *data, size_t size)
{
	struct control_marker marker, again;
	uint8_t bytes[CONTROL_BATCH_BYTES];
	struct batch batch;

	if (batch_parse(&batch, data, size) < 0 || !batch_crc_valid(&batch, data) ||
	    control_batch_read(&marker, data, &batch) < 0)
		return;
	control_batch_write(&marker, bytes);
	check(batch_parse(&batch, bytes, sizeof(bytes)) == 0);
	check(batch_crc_valid(&batch, bytes));
	check(control_batch_read(&again, bytes, &batch) == 0);
	check(again.type == marker.type);
	check(again.producer_id == marker.producer_id);
	check(again.producer_epoch == marker.producer_epoch);
	check(again.coordinator_epoch == marker.coordinator_epoch);
	check(again.timestamp_ms == marker.timestamp_ms);
}

static void fix_control(uint8_t *data, size_t size)
{
	if (size >= BATCH_HEADER_BYTES)
		store_be32(data + AT_CRC,
			   crc32c(0, data + BATCH_CRC_START, size - BATCH_CRC_START));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	bool control = data[0] & 1;
	void (*read_one)(const uint8_t *, size_t) = control ? read_control : read_snapshot;
	uint8_t *copy = malloc(size);

	check(copy);
	size--;
	memcpy(copy, data + 1, size);
	read_one(copy, size);
	if (control)
		fix_control(copy, size);
	else
		fix_snapshot(copy, size);
	read_one(copy, size);
	free(copy);
	return 0;
}
