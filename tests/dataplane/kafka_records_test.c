/* Every type of stored record, every version of its value: this test names none of them. */
#include "base/arena.h"
#include "base/errors.h"
#include "kafka_messages.h"
#include "tests/dataplane/kafka_fill.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ARENA_BYTES_MAX = 1 << 20, EXAMPLES = 20 };

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes bytes_of(const struct wire_writer *writer)
{
	struct bytes out = {malloc(writer->bytes), 0};

	assert_non_null(out.data);
	for (size_t i = 0; i < writer->vector_count; i++) {
		const struct iovec *v = &writer->vectors[i];
		memcpy(out.data + out.size, v->iov_base, v->iov_len);
		out.size += v->iov_len;
	}
	assert_int_equal(out.size, writer->bytes);
	return out;
}

static struct bytes key_of(const struct kafka_record *record, const void *key, struct arena *arena)
{
	struct wire_writer writer;

	assert_int_equal(kafka_encode_record_key(record, key, arena, &writer), 0);
	return bytes_of(&writer);
}

static struct bytes value_of(const struct kafka_record *record, const void *value,
			     struct arena *arena)
{
	struct wire_writer writer;

	assert_int_equal(kafka_encode_record_value(record, value, arena, &writer), 0);
	return bytes_of(&writer);
}

static struct bytes example_key(const struct kafka_record *record, uint64_t seed,
				struct arena *arena)
{
	struct kafka_fill fill;
	void *key = arena_calloc(arena, 1, record->key_size);

	kafka_fill_init(&fill, seed, arena);
	kafka_fill_record(&fill, record->type, false, 0, key);
	return key_of(record, key, arena);
}

static struct bytes example_value(const struct kafka_record *record, uint64_t seed,
				  struct arena *arena)
{
	struct kafka_fill fill;
	void *value = arena_calloc(arena, 1, record->value_size);

	kafka_fill_init(&fill, seed, arena);
	kafka_fill_record(&fill, record->type, true, record->write_version, value);
	return value_of(record, value, arena);
}

static void for_each_example(void (*test)(const struct kafka_record *record, struct bytes key,
					  struct bytes value, struct arena *arena))
{
	for (size_t i = 0; i < kafka_record_count; i++) {
		for (uint64_t seed = 1; seed <= EXAMPLES; seed++) {
			struct arena arena;
			arena_init(&arena, ARENA_BYTES_MAX);
			struct bytes key = example_key(&kafka_records[i], seed, &arena);
			struct bytes value = example_value(&kafka_records[i], seed, &arena);
			test(&kafka_records[i], key, value, &arena);
			free(key.data);
			free(value.data);
			arena_fini(&arena);
		}
	}
}

static void there_and_back(const struct kafka_record *record, struct bytes key, struct bytes value,
			   struct arena *arena)
{
	const struct kafka_record *found;
	void *decoded_key, *decoded_value;

	assert_int_equal(kafka_decode_record(key.data, key.size, value.data, value.size, arena,
					     &found, &decoded_key, &decoded_value),
			 0);
	assert_ptr_equal(found, record);
	struct bytes again = key_of(record, decoded_key, arena);
	assert_int_equal(again.size, key.size);
	assert_memory_equal(again.data, key.data, key.size);
	free(again.data);
	again = value_of(record, decoded_value, arena);
	assert_int_equal(again.size, value.size);
	assert_memory_equal(again.data, value.data, value.size);
	free(again.data);
}

static void what_is_encoded_decodes_to_the_same(void **state)
{
	(void)state;
	for_each_example(there_and_back);
}

static void cut(const struct kafka_record *record, struct bytes key, struct bytes value,
		struct arena *arena)
{
	const struct kafka_record *found;
	void *decoded_key, *decoded_value;

	(void)record;
	for (size_t size = 0; size < key.size; size++) {
		/* A copy of just that size, for the sanitizer to watch its end. */
		uint8_t *prefix = malloc(size ? size : 1);
		memcpy(prefix, key.data, size);
		assert_int_equal(kafka_decode_record(prefix, size, value.data, value.size, arena,
						     &found, &decoded_key, &decoded_value),
				 -ERR_BAD_REQUEST);
		free(prefix);
	}
	for (size_t size = 0; size < value.size; size++) {
		uint8_t *prefix = malloc(size ? size : 1);
		memcpy(prefix, value.data, size);
		assert_int_equal(kafka_decode_record(key.data, key.size, prefix, size, arena,
						     &found, &decoded_key, &decoded_value),
				 -ERR_BAD_REQUEST);
		free(prefix);
	}
}

static void every_proper_prefix_is_refused(void **state)
{
	(void)state;
	for_each_example(cut);
}

static void a_tombstone_has_no_value(void **state)
{
	const struct kafka_record *found;
	void *key, *value;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	struct bytes bytes = example_key(&kafka_records[0], 1, &arena);
	assert_int_equal(
		kafka_decode_record(bytes.data, bytes.size, NULL, 0, &arena, &found, &key, &value),
		0);
	assert_null(value);
	free(bytes.data);
	arena_fini(&arena);
}

static void an_unknown_type_or_version_is_named_so(void **state)
{
	static const uint8_t unknown_key[] = {0x7f, 0xff, 0, 0}, unknown_value[] = {0x7f, 0xff};
	const struct kafka_record *found;
	void *key, *value;
	struct arena arena;

	(void)state;
	arena_init(&arena, ARENA_BYTES_MAX);
	struct bytes bytes = example_key(&kafka_records[0], 1, &arena);
	assert_int_equal(kafka_decode_record(unknown_key, sizeof(unknown_key), NULL, 0, &arena,
					     &found, &key, &value),
			 -ERR_VERSION);
	assert_int_equal(kafka_decode_record(bytes.data, bytes.size, unknown_value,
					     sizeof(unknown_value), &arena, &found, &key, &value),
			 -ERR_VERSION);
	free(bytes.data);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_encoded_decodes_to_the_same),
		cmocka_unit_test(every_proper_prefix_is_refused),
		cmocka_unit_test(a_tombstone_has_no_value),
		cmocka_unit_test(an_unknown_type_or_version_is_named_so),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
