#include "dataplane/transport/inbound.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SEGMENT = 100 };

static uint8_t *begin(struct inbound *inbound, uint32_t length)
{
	/* Of exactly what it asks for, so that a sanitizer sees more. */
	uint8_t *buffer = malloc(inbound_bytes(length, SEGMENT));

	memset(buffer, 0xee, inbound_bytes(length, SEGMENT));
	inbound_begin(inbound, buffer, length, SEGMENT);
	return buffer;
}

static void segments_in_any_order_make_the_message(void **state)
{
	static const uint32_t lengths[] = {101, 200, 6399, 6400, 6401, 12345};

	(void)state;
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		uint32_t length = lengths[l];
		uint32_t count = inbound_segments(length, SEGMENT);
		uint8_t *message = malloc(length);
		struct inbound inbound;

		for (uint32_t i = 0; i < length; i++)
			message[i] = (uint8_t)(i * 7 + i / 256);
		uint8_t *buffer = begin(&inbound, length);
		/* A step without a common divisor with the count visits all. */
		uint32_t step = count % 7 ? 7 : 11;
		for (uint32_t i = 0; i < count; i++) {
			uint32_t offset = i * step % count * SEGMENT;
			uint32_t bytes = length - offset < SEGMENT ? length - offset : SEGMENT;

			assert_int_equal(inbound.segments_missing, count - i);
			assert_int_equal(
				inbound_add(&inbound, length, offset, message + offset, bytes),
				INBOUND_TAKEN);
			assert_int_equal(inbound_add(&inbound, length, offset, message, bytes),
					 INBOUND_AGAIN);
		}
		assert_int_equal(inbound.segments_missing, 0);
		assert_memory_equal(buffer, message, length);
		free(buffer);
		free(message);
	}
}

static void what_came_first_stays(void **state)
{
	struct inbound inbound;
	uint8_t *buffer = begin(&inbound, 250);
	uint8_t ones[SEGMENT];
	uint8_t twos[SEGMENT];

	(void)state;
	memset(ones, 1, SEGMENT);
	memset(twos, 2, SEGMENT);
	assert_int_equal(inbound_add(&inbound, 250, 100, ones, SEGMENT), INBOUND_TAKEN);
	assert_int_equal(inbound_add(&inbound, 250, 100, twos, SEGMENT), INBOUND_AGAIN);
	assert_memory_equal(buffer + 100, ones, SEGMENT);
	free(buffer);
}

static void what_is_no_segment_of_the_message_is_wrong(void **state)
{
	struct inbound inbound;
	uint8_t *buffer = begin(&inbound, 250);
	uint8_t data[SEGMENT * 2] = {0};

	(void)state;
	assert_int_equal(inbound_add(&inbound, 251, 0, data, 100), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 50, data, 100), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 0, data, 99), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 0, data, 101), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 200, data, 49), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 200, data, 51), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 200, data, 100), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, 300, data, 50), INBOUND_WRONG);
	assert_int_equal(inbound_add(&inbound, 250, UINT32_MAX - 95, data, 100), INBOUND_WRONG);
	assert_int_equal(inbound.segments_missing, 3);
	free(buffer);
}

static void fitting_is_exact(void **state)
{
	(void)state;
	assert_true(inbound_fits(0, SEGMENT, 0, 0));
	assert_false(inbound_fits(0, SEGMENT, 0, 1));
	assert_true(inbound_fits(SEGMENT, SEGMENT, 0, SEGMENT));
	assert_false(inbound_fits(SEGMENT, SEGMENT, SEGMENT, 0));
	assert_true(inbound_fits(SEGMENT + 1, SEGMENT, SEGMENT, 1));
	assert_false(inbound_fits(SEGMENT + 1, SEGMENT, 0, SEGMENT + 1));
	assert_true(inbound_fits(UINT32_MAX, SEGMENT, UINT32_MAX / SEGMENT * SEGMENT,
				 UINT32_MAX % SEGMENT));
}

static void counts_do_not_overflow(void **state)
{
	(void)state;
	assert_int_equal(inbound_segments(0, SEGMENT), 1);
	assert_int_equal(inbound_segments(SEGMENT, SEGMENT), 1);
	assert_int_equal(inbound_segments(SEGMENT + 1, SEGMENT), 2);
	assert_int_equal(inbound_segments(UINT32_MAX, SEGMENT), UINT32_MAX / SEGMENT + 1);
	assert_true(inbound_bytes(UINT32_MAX, SEGMENT) > UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(segments_in_any_order_make_the_message),
		cmocka_unit_test(what_came_first_stays),
		cmocka_unit_test(what_is_no_segment_of_the_message_is_wrong),
		cmocka_unit_test(fitting_is_exact),
		cmocka_unit_test(counts_do_not_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
