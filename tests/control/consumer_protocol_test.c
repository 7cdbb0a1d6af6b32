/* The bytes that classic consumers exchange: read in every version, cut anywhere, and written. */
#include "control/groups/consumer_protocol.h"

#include "base/errors.h"
#include "tests/control/groups_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A subscription of version 3 to "t" and "u", with user data "xy", owning t:1, t:0 and gone:5, of
 * generation 9 and rack "r". */
static const uint8_t subscription[] = {0,   3, 0,   0,   0,   2,   0,   1, 't', 0,  1,
				       'u', 0, 0,   0,   2,   'x', 'y', /* version 0 so far */
				       0,   0, 0,   2,   0,   1,   't', 0, 0,   0,  2,
				       0,   0, 0,   1,   0,   0,   0,   0, /* owned */
				       0,   4, 'g', 'o', 'n', 'e', 0,   0, 0,   1,  0,
				       0,   0, 5,   0,   0,   0,   9,   0, 1,   'r'};
enum { SUBSCRIPTION_V0_BYTES = 18 };

struct fixture {
	struct world *w;
	struct arena arena;
};

static int set_up(void **state)
{
	static struct fixture f;

	f.w = world_new(1);
	world_topic(f.w, "t", 2);
	world_topic(f.w, "u", 1);
	arena_init(&f.arena, 1 << 20);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	arena_fini(&f->arena);
	world_free(f->w);
	return 0;
}

/* Of a copy of exactly that size, so that a look past its end is one into other memory. */
static int read_subscription(struct fixture *f, const uint8_t *bytes, size_t length,
			     int16_t version, struct consumer_protocol_subscription *ret)
{
	uint8_t *copy = arena_alloc(&f->arena, length);

	memcpy(copy, bytes, length);
	if (length > 1)
		copy[1] = (uint8_t)version;
	return consumer_protocol_read_subscription(&(struct kafka_bytes){copy, (int32_t)length},
						   f->w->groups->topics, &f->arena, ret);
}

static void a_subscription_says_topics_partitions_and_rack(void **state)
{
	struct fixture *f = *state;
	struct consumer_protocol_subscription read;

	assert_int_equal(read_subscription(f, subscription, sizeof(subscription), 3, &read), 0);
	assert_int_equal(read.version, 3);
	assert_int_equal(read.topic_count, 2);
	assert_memory_equal(read.topics[1].data, "u", 1);
	/* Sorted; the topic that does not exist is left out. */
	assert_int_equal(read.owned.count, 2);
	assert_int_equal(read.owned.items[0].index, 0);
	assert_int_equal(read.owned.items[1].index, 1);
	assert_int_equal(read.rack_id.length, 1);
}

static void old_versions_say_less_and_later_ones_are_read_as_the_last(void **state)
{
	struct fixture *f = *state;
	struct consumer_protocol_subscription read;

	assert_int_equal(read_subscription(f, subscription, SUBSCRIPTION_V0_BYTES, 0, &read), 0);
	assert_int_equal(read.topic_count, 2);
	assert_int_equal(read.owned.count, 0);
	assert_int_equal(read_subscription(f, subscription, sizeof(subscription), 1, &read), 0);
	assert_int_equal(read.owned.count, 2);
	assert_int_equal(read.rack_id.length, -1);
	assert_int_equal(read_subscription(f, subscription, sizeof(subscription), 7, &read), 0);
	assert_int_equal(read.version, 3);
	assert_int_equal(read.rack_id.length, 1);
}

static void every_proper_prefix_fails(void **state)
{
	struct fixture *f = *state;
	struct consumer_protocol_subscription read;

	for (size_t length = 0; length < sizeof(subscription); length++)
		assert_int_equal(read_subscription(f, subscription, length, 3, &read),
				 -ERR_BAD_REQUEST);
}

static void counts_that_cannot_be_are_refused(void **state)
{
	static const uint8_t negative[] = {0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t huge[] = {0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t before[] = {0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
	struct fixture *f = *state;
	struct consumer_protocol_subscription read;
	struct consumer_protocol_assignment assignment;
	const struct topics *topics = f->w->groups->topics;

	assert_int_equal(read_subscription(f, negative, sizeof(negative), 0, &read),
			 -ERR_BAD_REQUEST);
	assert_int_equal(read_subscription(f, huge, sizeof(huge), 0, &read), -ERR_BAD_REQUEST);
	assert_int_equal(
		consumer_protocol_read_subscription(&(struct kafka_bytes){before, sizeof(before)},
						    topics, &f->arena, &read),
		-ERR_BAD_REQUEST);
	assert_int_equal(
		consumer_protocol_read_assignment(&(struct kafka_bytes){negative, sizeof(negative)},
						  topics, &f->arena, &assignment),
		-ERR_BAD_REQUEST);
	assert_int_equal(
		consumer_protocol_read_assignment(&(struct kafka_bytes){huge, sizeof(huge)}, topics,
						  &f->arena, &assignment),
		-ERR_BAD_REQUEST);
}

static void what_is_written_is_read_again(void **state)
{
	struct fixture *f = *state;
	const struct topics *topics = f->w->groups->topics;
	struct topic_partition items[] = {{f->w->rows[0]->id, 1},
					  {f->w->rows[1]->id, 0},
					  {f->w->rows[0]->id, 0},
					  {uuid_random(), 3}}; /* its topic is gone */
	struct partition_set set = {items, 4};
	struct consumer_protocol_assignment read;
	struct kafka_bytes bytes;

	partition_set_sort(&set);
	assert_int_equal(consumer_protocol_write_assignment(&set, 1, topics, &f->arena, &bytes), 0);
	assert_int_equal(consumer_protocol_version(&bytes), 1);
	assert_int_equal(consumer_protocol_read_assignment(&bytes, topics, &f->arena, &read), 0);
	assert_int_equal(read.partitions.count, 3);
	assert_true(partition_set_within(&read.partitions, &set));
	assert_false(read.user_data);
	for (int32_t length = 1; length < bytes.length; length++) {
		struct kafka_bytes cut = {bytes.data, length};
		assert_int_equal(consumer_protocol_read_assignment(&cut, topics, &f->arena, &read),
				 -ERR_BAD_REQUEST);
	}
}

static void no_bytes_are_an_empty_assignment(void **state)
{
	struct fixture *f = *state;
	struct consumer_protocol_assignment read;
	const struct kafka_bytes nothing = {NULL, 0};

	assert_int_equal(
		consumer_protocol_read_assignment(&nothing, f->w->groups->topics, &f->arena, &read),
		0);
	assert_int_equal(read.partitions.count, 0);
	assert_int_equal(consumer_protocol_version(&nothing), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_subscription_says_topics_partitions_and_rack),
		TEST(old_versions_say_less_and_later_ones_are_read_as_the_last),
		TEST(every_proper_prefix_fails),
		TEST(counts_that_cannot_be_are_refused),
		TEST(what_is_written_is_read_again),
		TEST(no_bytes_are_an_empty_assignment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
