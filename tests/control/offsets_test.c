/* The offsets of one group against a model that is an array. */
#include "control/groups/offsets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TOPICS = 12, PARTITIONS = 20, STEPS = 20000 };

static const struct uuid ids[] = {{{0}}, {{1}}, {{2}}};

static void put(struct offsets *offsets, const struct kafka_string *topic, const struct uuid *id,
		int32_t partition, int64_t offset, const char *metadata,
		struct committed_offset *ret_former)
{
	struct kafka_string text = kafka_string_of(metadata);

	*ret_former = (struct committed_offset){.offset = offset, .leader_epoch = 3};
	assert_int_equal(committed_offset_set_metadata(ret_former, &text), 0);
	assert_int_equal(offsets_exchange(offsets, topic, id, partition, ret_former), 0);
}

static void check_order(const struct offsets *offsets)
{
	size_t count = 0;

	for (size_t i = 0; i < offsets->topic_count; i++) {
		const struct offset_topic *topic = offsets->topics[i];
		assert_true(topic->count > 0);
		assert_true(i == 0 || strcmp(offsets->topics[i - 1]->name, topic->name) < 0);
		for (size_t j = 1; j < topic->count; j++)
			assert_true(topic->partitions[j - 1].index < topic->partitions[j].index);
		count += topic->count;
	}
	assert_int_equal(offsets->count, count);
}

static void what_was_put_last_is_there_and_what_was_removed_is_not(void **state)
{
	/* Names that begin with one another, and one that is empty. */
	static const char *const names[TOPICS] = {"",   "a",  "aa", "aaa", "ab", "b",
						  "ba", "bb", "c",  "ca",  "z",  "zz"};
	int64_t model[TOPICS][PARTITIONS];
	struct offsets offsets;
	uint64_t seed = 7;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	offsets_init(&offsets);
	for (int i = 0; i < TOPICS * PARTITIONS; i++)
		model[i / PARTITIONS][i % PARTITIONS] = OFFSET_NONE;
	for (int64_t step = 0; step < STEPS; step++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned topic = (unsigned)(seed >> 33) % TOPICS;
		int32_t partition = (int32_t)(seed >> 45) % PARTITIONS;
		struct kafka_string name = kafka_string_of(names[topic]);
		if ((seed >> 60) < 6) {
			offsets_remove(&offsets, &name, partition);
			model[topic][partition] = OFFSET_NONE;
		} else {
			struct committed_offset former;
			put(&offsets, &name, &ids[0], partition, step, step % 3 ? "text" : NULL,
			    &former);
			assert_int_equal(former.offset, model[topic][partition]);
			committed_offset_fini(&former);
			model[topic][partition] = step;
		}
		const struct committed_offset *now = offsets_get(&offsets, &name, partition);
		assert_int_equal(now ? now->offset : OFFSET_NONE, model[topic][partition]);
		if (now && now->offset % 3)
			assert_memory_equal(committed_offset_metadata(now).data, "text", 4);
		check_order(&offsets);
	}
	for (unsigned i = 0; i < TOPICS * PARTITIONS; i++) {
		struct kafka_string name = kafka_string_of(names[i / PARTITIONS]);
		const struct committed_offset *now = offsets_get(&offsets, &name,
								 (int32_t)(i % PARTITIONS));
		assert_int_equal(now ? now->offset : OFFSET_NONE,
				 model[i / PARTITIONS][i % PARTITIONS]);
	}
	offsets_fini(&offsets);
}

static void a_topic_of_another_id_takes_the_place_of_the_former(void **state)
{
	struct kafka_string name = kafka_string_of("t");
	struct committed_offset former;
	struct offsets offsets;

	(void)state;
	offsets_init(&offsets);
	put(&offsets, &name, &ids[1], 0, 10, "old", &former);
	put(&offsets, &name, &ids[1], 1, 11, NULL, &former);
	put(&offsets, &name, &ids[2], 1, 21, NULL, &former);
	assert_true(former.offset == OFFSET_NONE);
	assert_int_equal(offsets.count, 1);
	assert_null(offsets_get(&offsets, &name, 0));
	assert_int_equal(offsets_get(&offsets, &name, 1)->offset, 21);
	assert_true(uuid_equal(&offsets_topic(&offsets, &name)->id, &ids[2]));
	offsets_fini(&offsets);
}

static void an_id_that_was_not_known_is_learnt(void **state)
{
	struct kafka_string name = kafka_string_of("t");
	struct committed_offset former;
	struct offsets offsets;

	(void)state;
	offsets_init(&offsets);
	put(&offsets, &name, &ids[0], 0, 10, NULL, &former);
	put(&offsets, &name, &ids[1], 1, 11, NULL, &former);
	put(&offsets, &name, &ids[0], 2, 12, NULL, &former);
	assert_int_equal(offsets.count, 3);
	assert_true(uuid_equal(&offsets_topic(&offsets, &name)->id, &ids[1]));
	offsets_fini(&offsets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_last_is_there_and_what_was_removed_is_not),
		cmocka_unit_test(a_topic_of_another_id_takes_the_place_of_the_former),
		cmocka_unit_test(an_id_that_was_not_known_is_learnt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
