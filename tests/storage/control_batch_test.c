#include "storage/control_batch.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "storage/records.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct control_marker example = {
	.type = CONTROL_COMMIT,
	.producer_id = 4711,
	.producer_epoch = 3,
	.coordinator_epoch = 17,
	.timestamp_ms = 1000,
};

static int read_bytes(struct control_marker *ret, const uint8_t *data, size_t size)
{
	struct batch batch;

	return batch_parse(&batch, data, size) == 0 ? control_batch_read(ret, data, &batch)
						    : -ERR_CORRUPT;
}

static void what_is_written_is_read(void **state)
{
	const int32_t epochs[] = {0, 1, INT32_MAX};

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		struct control_marker marker = {
			.type = i % 2 ? CONTROL_COMMIT : CONTROL_ABORT,
			.producer_id = i % 3 ? INT64_MAX : 0,
			.producer_epoch = i < 3 ? 0 : INT16_MAX,
			.coordinator_epoch = epochs[i % 3],
			.timestamp_ms = 1000 + i,
		};
		struct control_marker read = {0};
		struct made_batch made = make_marker(&marker);
		assert_int_equal(control_batch_read(&read, made.data, &made.batch), 0);
		assert_int_equal(read.type, marker.type);
		assert_int_equal(read.producer_id, marker.producer_id);
		assert_int_equal(read.producer_epoch, marker.producer_epoch);
		assert_int_equal(read.coordinator_epoch, marker.coordinator_epoch);
		assert_int_equal(read.timestamp_ms, marker.timestamp_ms);
		free(made.data);
	}
}

/* As Kafka 4 writes it, but for the offset, which is the log's. */
static void the_bytes_are_kafkas(void **state)
{
	static const uint8_t record[] = {32, 0, 0, 0, 8, 0, 0, 0, 1, 12, 0, 0, 0, 0, 0, 17, 0};
	struct made_batch made = make_marker(&example);

	(void)state;
	assert_int_equal(made.size, BATCH_HEADER_BYTES + sizeof(record));
	assert_memory_equal(made.data + BATCH_HEADER_BYTES, record, sizeof(record));
	assert_true(batch_crc_valid(&made.batch, made.data));
	assert_int_equal(made.batch.attributes, BATCH_TRANSACTIONAL | BATCH_CONTROL);
	assert_int_equal(made.batch.base_sequence, -1);
	assert_int_equal(made.batch.record_count, 1);
	assert_int_equal(made.batch.last_offset_delta, 0);
	assert_int_equal(made.batch.base_timestamp, 1000);
	assert_int_equal(made.batch.max_timestamp, 1000);
	free(made.data);
}

struct wrong_byte {
	size_t at;
	uint8_t value;
};

static void what_is_no_marker_is_refused(void **state)
{
	static const struct wrong_byte all[] = {
		{22, 0x10}, /* not control */
		{22, 0x20}, /* not transactional */
		{22, 0x31}, /* compressed */
		{26, 1},    /* offsets that it has no records for */
		{43, 0x80}, /* no producer */
		{51, 0x80}, /* no epoch */
		{60, 2},    /* two records */
		{61, 30},   /* shorter than the batch */
		{64, 2},    /* an offset of its own */
		{65, 1},    /* no key */
		{65, 6},    /* a short key, so that all else shifts */
		{67, 1},    /* a newer version of the key */
		{69, 2},    /* a type that is no end of a transaction */
		{68, 1},    /* likewise */
		{72, 1},    /* a newer version of the value */
		{77, 2},    /* a header */
	};
	struct made_batch made = make_marker(&example);
	struct control_marker read;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		uint8_t good = made.data[all[i].at];
		made.data[all[i].at] = all[i].value;
		if (read_bytes(&read, made.data, made.size) != -ERR_CORRUPT)
			fail_msg("byte %zu", all[i].at);
		made.data[all[i].at] = good;
	}
	assert_int_equal(read_bytes(&read, made.data, made.size), 0);
	free(made.data);
}

static void a_batch_of_another_size_is_no_marker(void **state)
{
	struct made_batch made = make_producer_batch(1, 30, 1, 0, -1,
						     BATCH_TRANSACTIONAL | BATCH_CONTROL);
	struct control_marker read;

	(void)state;
	assert_int_equal(control_batch_read(&read, made.data, &made.batch), -ERR_CORRUPT);
	free(made.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(the_bytes_are_kafkas),
		cmocka_unit_test(what_is_no_marker_is_refused),
		cmocka_unit_test(a_batch_of_another_size_is_no_marker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
