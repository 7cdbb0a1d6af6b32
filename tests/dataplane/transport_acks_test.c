#include "dataplane/transport/acks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void the_first_packet_is_next(void **state)
{
	struct acks acks = {0};

	(void)state;
	assert_int_equal(acks_kind(&acks, 1), ACKS_NEXT);
	acks_note(&acks, 1, 77);
	assert_int_equal(acks.largest, 1);
	assert_int_equal(acks.bitmap, 0);
	assert_int_equal(acks.largest_ns, 77);
	assert_int_equal(acks.owed, 1);
	assert_int_equal(acks_kind(&acks, 1), ACKS_AGAIN);
}

static void a_gap_shows_as_a_zero_bit_until_it_is_filled(void **state)
{
	struct acks acks = {0};

	(void)state;
	acks_note(&acks, 1, 1);
	assert_int_equal(acks_kind(&acks, 3), ACKS_GAP);
	acks_note(&acks, 3, 2);
	assert_int_equal(acks.bitmap, 2); /* 1 has come, 2 has not */
	assert_int_equal(acks_kind(&acks, 2), ACKS_GAP);
	acks_note(&acks, 2, 3);
	assert_int_equal(acks.bitmap, 3);
	assert_int_equal(acks.largest_ns, 2);
	assert_int_equal(acks_kind(&acks, 2), ACKS_AGAIN);
}

static void numbers_before_the_first_do_not_exist(void **state)
{
	struct acks acks = {0};

	(void)state;
	acks_note(&acks, 2, 1);
	assert_int_equal(acks_kind(&acks, 1), ACKS_GAP);
	assert_int_equal(acks_kind(&acks, 0), ACKS_OLD);
	assert_int_equal(acks_kind(&acks, UINT32_MAX), ACKS_OLD);
}

static void what_is_64_behind_is_remembered_and_65_is_not(void **state)
{
	struct acks acks = {0};

	(void)state;
	for (uint32_t i = 1; i <= 100; i++)
		acks_note(&acks, i, i);
	assert_int_equal(acks.bitmap, UINT64_MAX);
	assert_int_equal(acks_kind(&acks, 36), ACKS_AGAIN);
	assert_int_equal(acks_kind(&acks, 35), ACKS_OLD);
}

static void a_jump_shifts_everything_out(void **state)
{
	(void)state;
	for (uint32_t jump = 62; jump <= 67; jump++) {
		struct acks acks = {0};

		acks_note(&acks, 1, 1);
		acks_note(&acks, 1 + jump, 2);
		assert_int_equal(acks.bitmap, jump <= 64 ? UINT64_C(1) << (jump - 1) : 0);
	}
}

static void far_ahead_is_refused(void **state)
{
	struct acks acks = {0};

	(void)state;
	acks_note(&acks, 10, 1);
	assert_int_equal(acks_kind(&acks, 10 + ACKS_AHEAD_MAX), ACKS_GAP);
	assert_int_equal(acks_kind(&acks, 11 + ACKS_AHEAD_MAX), ACKS_FAR);
	assert_int_equal(acks_kind(&acks, 10u + INT32_MAX), ACKS_FAR);
}

static void numbers_wrap_without_a_zero(void **state)
{
	struct acks acks = {.largest = UINT32_MAX - 1};

	(void)state;
	assert_int_equal(acks_kind(&acks, UINT32_MAX), ACKS_NEXT);
	acks_note(&acks, UINT32_MAX, 1);
	/* Its sender skips 0. */
	assert_int_equal(acks_kind(&acks, 1), ACKS_GAP);
	acks_note(&acks, 1, 2);
	assert_int_equal(acks.largest, (uint64_t)UINT32_MAX + 2);
	assert_int_equal(acks.bitmap & 3, 2);
	assert_int_equal(acks_kind(&acks, UINT32_MAX), ACKS_AGAIN);
	assert_int_equal(acks_kind(&acks, 2), ACKS_NEXT);
}

/* Against a plain table of what has come. */
static void it_agrees_with_a_model(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct acks acks = {0};
		bool come[3000] = {false};
		uint32_t largest = 0;
		uint64_t random = seed;

		for (int i = 0; i < 2000; i++) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			uint32_t number = (largest > 80 ? largest - 80 : 0) +
					  (uint32_t)(random >> 33) % 90;
			if (!number || number >= 3000)
				continue;
			enum acks_kind kind = acks_kind(&acks, number);
			if (number + 64 < largest)
				assert_int_equal(kind, ACKS_OLD);
			else if (come[number])
				assert_int_equal(kind, ACKS_AGAIN);
			else
				assert_int_equal(kind,
						 number == largest + 1 ? ACKS_NEXT : ACKS_GAP);
			if (kind > ACKS_GAP)
				continue;
			acks_note(&acks, number, 1);
			come[number] = true;
			largest = number > largest ? number : largest;
			assert_int_equal(acks.largest, largest);
			for (uint32_t bit = 0; bit < 64 && bit + 1 < largest; bit++)
				assert_int_equal(acks.bitmap >> bit & 1, come[largest - 1 - bit]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_packet_is_next),
		cmocka_unit_test(a_gap_shows_as_a_zero_bit_until_it_is_filled),
		cmocka_unit_test(numbers_before_the_first_do_not_exist),
		cmocka_unit_test(what_is_64_behind_is_remembered_and_65_is_not),
		cmocka_unit_test(a_jump_shifts_everything_out),
		cmocka_unit_test(far_ahead_is_refused),
		cmocka_unit_test(numbers_wrap_without_a_zero),
		cmocka_unit_test(it_agrees_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
