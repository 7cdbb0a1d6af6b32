/* What members of a classic group say in opaque bytes. */
#include "client/membership.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"

/* Version 3; topics "a" and "bc"; user data null; nothing owned; generation 5; rack "r". */
static const uint8_t subscription[] =
	"\0\3\0\0\0\2\0\1a\0\2bc\xff\xff\xff\xff\0\0\0\0\0\0\0\5\0\1r";
/* Version 1; "bc" with 4 and 0, "a" with 7; user data null. */
static const uint8_t assignment[] =
	"\0\1\0\0\0\2\0\2bc\0\0\0\2\0\0\0\4\0\0\0\0\0\1a\0\0\0\1\0\0\0\7\xff\xff\xff\xff";
enum {
	SUBSCRIPTION_TOPICS_END = 13,
	ASSIGNMENT_TOPICS_END = 33,
	ARENA_BYTES = 64 << 10,
};

static void topics_are_read_of_any_version(void **state)
{
	struct kafka_bytes bytes = {subscription, sizeof(subscription) - 1};
	const char *const *topics;
	struct arena arena;
	size_t count;

	arena_init(&arena, ARENA_BYTES);
	assert_int_equal(membership_read_topics(&bytes, &arena, &topics, &count), 0);
	assert_int_equal(count, 2);
	assert_string_equal(topics[0], "a");
	assert_string_equal(topics[1], "bc");
	arena_fini(&arena);
}

static void partitions_are_read_in_their_order(void **state)
{
	static const struct sluice_assigned expected[] = {{"bc", 4}, {"bc", 0}, {"a", 7}};
	struct kafka_bytes bytes = {assignment, sizeof(assignment) - 1};
	struct assigned_list list;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	assert_int_equal(membership_read_assignment(&bytes, &arena, &list), 0);
	assert_int_equal(list.count, array_count(expected));
	for (size_t i = 0; i < list.count; i++) {
		assert_string_equal(list.at[i].topic, expected[i].topic);
		assert_int_equal(list.at[i].partition, expected[i].partition);
	}
	arena_fini(&arena);
}

static void every_prefix_that_cuts_topics_fails(void **state)
{
	const char *const *topics;
	struct assigned_list list;
	struct arena arena;
	size_t count;

	arena_init(&arena, ARENA_BYTES);
	for (int32_t cut = -1; cut < SUBSCRIPTION_TOPICS_END; cut++) {
		struct kafka_bytes bytes = {subscription, cut};
		assert_int_equal(membership_read_topics(&bytes, &arena, &topics, &count),
				 -ERR_BAD_REQUEST);
	}
	for (int32_t cut = -1; cut < ASSIGNMENT_TOPICS_END; cut++) {
		struct kafka_bytes bytes = {assignment, cut};
		assert_int_equal(membership_read_assignment(&bytes, &arena, &list),
				 -ERR_BAD_REQUEST);
	}
	arena_fini(&arena);
}

static void counts_beyond_the_bytes_are_refused(void **state)
{
	static const uint8_t many[] = "\0\0\x7f\xff\xff\xff\0\1a\0\0\0\0";
	static const uint8_t negative[] = "\0\0\xff\xff\xff\xff\0\1a\0\0\0\0";
	static const uint8_t *const cases[] = {many, negative};
	const char *const *topics;
	struct assigned_list list;
	struct arena arena;
	size_t count;

	arena_init(&arena, ARENA_BYTES);
	for (size_t i = 0; i < array_count(cases); i++) {
		struct kafka_bytes bytes = {cases[i], sizeof(many) - 1};
		assert_int_equal(membership_read_topics(&bytes, &arena, &topics, &count),
				 -ERR_BAD_REQUEST);
		assert_int_equal(membership_read_assignment(&bytes, &arena, &list),
				 -ERR_BAD_REQUEST);
	}
	arena_fini(&arena);
}

static void a_name_with_a_nul_is_refused(void **state)
{
	static const uint8_t nul[] = "\0\0\0\0\0\1\0\2a\0\0\0\0\0";
	struct kafka_bytes bytes = {nul, sizeof(nul) - 1};
	const char *const *topics;
	struct arena arena;
	size_t count;

	arena_init(&arena, ARENA_BYTES);
	assert_int_equal(membership_read_topics(&bytes, &arena, &topics, &count), -ERR_BAD_REQUEST);
	arena_fini(&arena);
}

static void a_list_keeps_what_it_has_while_it_grows(void **state)
{
	struct assigned_list list = {0};
	struct arena arena;

	arena_init(&arena, ARENA_BYTES);
	for (int32_t i = 0; i < 100; i++) {
		struct sluice_assigned *added = assigned_list_add(&list, 1, &arena);
		assert_non_null(added);
		*added = (struct sluice_assigned){"t", i};
	}
	for (int32_t i = 0; i < 100; i++)
		assert_int_equal(list.at[i].partition, i);
	assert_null(assigned_list_add(&list, ARENA_BYTES, &arena));
	assert_int_equal(list.count, 100);
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics_are_read_of_any_version),
		cmocka_unit_test(partitions_are_read_in_their_order),
		cmocka_unit_test(every_prefix_that_cuts_topics_fails),
		cmocka_unit_test(counts_beyond_the_bytes_are_refused),
		cmocka_unit_test(a_name_with_a_nul_is_refused),
		cmocka_unit_test(a_list_keeps_what_it_has_while_it_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
