/* What is an id and what is not, which are the same, and ids taken while a batch is validated. */
#include "storage/dedup.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/batch.h"
#include "storage/batch_build.h"
#include "storage/compress.h"
#include "storage/compressor.h"
#include "storage/records.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct dedup_config by_partition = {.header = "dedup-id", .header_length = 8};
static const struct dedup_config by_key = {
	.header = "dedup-id",
	.header_length = 8,
	.scope = DEDUP_KEY,
};

struct made_record {
	struct record record;
	uint8_t headers[256];
};

static uint8_t *put_text(uint8_t *at, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	check(length < 64);
	*at++ = text ? (uint8_t)(2 * length) : 1; /* zigzag; -1 is null */
	if (text)
		memcpy(at, text, length);
	return at + length;
}

static void add_header(struct made_record *made, const char *name, const char *value)
{
	uint8_t *at = made->headers + made->record.headers_length;

	made->record.headers_length = (size_t)(put_text(put_text(at, name), value) - made->headers);
	made->record.headers = made->headers;
	made->record.header_count++;
}

static struct dedup_id id_of(const struct dedup_config *config, const char *key, const char *id)
{
	struct made_record made = {0};
	struct dedup_id ret = {0};

	made.record.key = (const uint8_t *)key;
	made.record.key_length = key ? strlen(key) : 0;
	add_header(&made, "dedup-id", id);
	assert_true(dedup_id_of(config, &made.record, &ret));
	assert_true(ret.low || ret.high);
	return ret;
}

static bool same(struct dedup_id a, struct dedup_id b)
{
	return a.low == b.low && a.high == b.high;
}

static void a_record_without_the_header_has_no_id(void **state)
{
	struct made_record made = {0};
	struct dedup_id id;

	(void)state;
	assert_false(dedup_id_of(&by_partition, &made.record, &id));
	add_header(&made, "dedup-i", "1");
	add_header(&made, "dedup-idx", "2");
	add_header(&made, "Dedup-Id", "3");
	add_header(&made, "", "4");
	assert_false(dedup_id_of(&by_partition, &made.record, &id));
}

static void the_first_header_with_a_value_counts(void **state)
{
	struct made_record made = {0};
	struct dedup_id id;

	(void)state;
	add_header(&made, "other", "0");
	add_header(&made, "dedup-id", NULL);
	add_header(&made, "dedup-id", "");
	assert_false(dedup_id_of(&by_partition, &made.record, &id));
	add_header(&made, "dedup-id", "a");
	add_header(&made, "dedup-id", "b");
	assert_true(dedup_id_of(&by_partition, &made.record, &id));
	assert_true(same(id, id_of(&by_partition, NULL, "a")));
}

static void the_header_has_the_configured_name(void **state)
{
	struct dedup_config cloud_events = {.header = "ce_id", .header_length = 5};
	struct made_record made = {0};
	struct dedup_id id;

	(void)state;
	add_header(&made, "dedup-id", "a");
	add_header(&made, "ce_id", "b");
	assert_true(dedup_id_of(&cloud_events, &made.record, &id));
	assert_true(same(id, id_of(&by_partition, NULL, "b")));
}

static void in_a_partition_the_key_does_not_matter(void **state)
{
	(void)state;
	assert_true(same(id_of(&by_partition, "k", "a"), id_of(&by_partition, NULL, "a")));
	assert_false(same(id_of(&by_partition, "k", "a"), id_of(&by_partition, "k", "b")));
}

static void under_a_key_it_does_and_null_is_not_empty(void **state)
{
	(void)state;
	assert_true(same(id_of(&by_key, "k", "a"), id_of(&by_key, "k", "a")));
	assert_false(same(id_of(&by_key, "k", "a"), id_of(&by_key, "l", "a")));
	assert_false(same(id_of(&by_key, "", "a"), id_of(&by_key, NULL, "a")));
	assert_false(same(id_of(&by_key, "", "a"), id_of(&by_partition, "", "a")));
}

static void key_and_id_are_not_run_together(void **state)
{
	(void)state;
	assert_false(same(id_of(&by_key, "ab", "c"), id_of(&by_key, "a", "bc")));
	assert_false(same(id_of(&by_key, "a", "b"), id_of(&by_key, "b", "a")));
}

/* Windows outlive this program: another value here is another format. */
static void fingerprints_are_what_they_were(void **state)
{
	struct dedup_id id = id_of(&by_partition, NULL, "order-1");
	struct dedup_id under_key = id_of(&by_key, "k", "order-1");

	(void)state;
	assert_true(
		same(id, (struct dedup_id){.low = 0xaf63a0f835ca6746, .high = 0x5a8a409613f90ad0}));
	assert_true(same(under_key,
			 (struct dedup_id){.low = 0xc4070f37025edfec, .high = 0x075f3e89b9e0a7ca}));
}

/* ---- while a batch is validated ---- */

enum { RECORDS = 40 };

/* Record i has the id "i" where i is odd; under `codec`. */
static struct made_batch batch_with_ids(enum batch_codec codec)
{
	struct batch_build build = {.attributes = (uint16_t)codec};

	for (int i = 0; i < RECORDS; i++) {
		struct made_record made = {.record.value = (const uint8_t *)"value"};
		char id[8];
		uint8_t *headers;
		snprintf(id, sizeof(id), "%d", i);
		made.record.value_length = 5;
		if (i % 2)
			add_header(&made, "dedup-id", id);
		check(batch_build_add(&build, &made.record, 1000, &headers) == 0);
		if (made.record.headers_length)
			memcpy(headers, made.headers, made.record.headers_length);
	}
	batch_build_seal(&build, -1, -1, -1);
	struct made_batch ret = {.data = build.data, .size = build.size};
	return ret;
}

static struct made_batch compressed(struct made_batch plain, enum batch_codec codec)
{
	struct compressor *compressor;
	size_t length = plain.size - BATCH_HEADER_BYTES;

	check(compressor_new(&compressor, codec, -1) == 0);
	size_t bound = compressor_bound(compressor, length);
	struct made_batch made = {.data = malloc(BATCH_HEADER_BYTES + bound)};
	memcpy(made.data, plain.data, BATCH_HEADER_BYTES);
	int64_t size = compressor_run(compressor, plain.data + BATCH_HEADER_BYTES, length,
				      made.data + BATCH_HEADER_BYTES, bound);
	check(size > 0);
	made.size = BATCH_HEADER_BYTES + (size_t)size;
	fix_batch(made.data, made.size);
	compressor_free(compressor);
	free(plain.data);
	return made;
}

static int validate(const struct made_batch *made, struct dedup_id *ids)
{
	const struct batch_rules rules = {
		.batch_bytes_max = 1 << 20,
		.decompressed_bytes_max = 1 << 20,
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = INT64_MAX,
		.zstd_allowed = true,
		.dedup = &by_partition,
		.ids = ids,
	};
	struct decompressor *decompressor;
	struct batch_fault fault;
	struct batch batch;

	check(decompressor_new(&decompressor) == 0);
	int rc = batch_validate(&batch, made->data, made->size, &rules, decompressor, &fault);
	decompressor_free(decompressor);
	return rc;
}

static void validation_takes_the_ids_under_every_codec(void **state)
{
	struct dedup_id ids[RECORDS];

	(void)state;
	for (int codec = 0; codec < CODEC_COUNT; codec++) {
		struct made_batch made = batch_with_ids((enum batch_codec)codec);
		if (codec != CODEC_NONE)
			made = compressed(made, (enum batch_codec)codec);
		memset(ids, 0xff, sizeof(ids));
		assert_int_equal(validate(&made, ids), 0);
		for (int i = 0; i < RECORDS; i++) {
			char id[8];
			snprintf(id, sizeof(id), "%d", i);
			assert_true(same(ids[i], i % 2 ? id_of(&by_partition, NULL, id)
						       : (struct dedup_id){0}));
		}
		free(made.data);
	}
}

static void a_count_too_small_does_not_write_behind_the_ids(void **state)
{
	struct made_batch made = batch_with_ids(CODEC_NONE);
	struct dedup_id *ids = malloc(3 * sizeof(*ids));

	(void)state;
	store_be32(made.data + 23, 2);
	store_be32(made.data + 57, 3);
	fix_batch(made.data, made.size);
	assert_int_equal(validate(&made, ids), -ERR_INVALID_RECORD);
	free(ids);
	free(made.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_without_the_header_has_no_id),
		cmocka_unit_test(the_first_header_with_a_value_counts),
		cmocka_unit_test(the_header_has_the_configured_name),
		cmocka_unit_test(in_a_partition_the_key_does_not_matter),
		cmocka_unit_test(under_a_key_it_does_and_null_is_not_empty),
		cmocka_unit_test(key_and_id_are_not_run_together),
		cmocka_unit_test(fingerprints_are_what_they_were),
		cmocka_unit_test(validation_takes_the_ids_under_every_codec),
		cmocka_unit_test(a_count_too_small_does_not_write_behind_the_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
