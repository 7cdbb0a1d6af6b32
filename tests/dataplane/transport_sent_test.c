#include "base/bytes.h"
#include "dataplane/transport/sent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { CAPACITY = 16, PACKET_BYTES = 100 };

/* What was resolved, in order, by the segment it carried. */
struct fixture {
	struct sent_packet ring[CAPACITY];
	struct sent sent;
	struct sent_visitor visitor;
	uint32_t acked[256];
	uint32_t lost[256];
	unsigned acked_count;
	unsigned lost_count;
};

static void acked(struct sent_visitor *visitor, const struct sent_packet *packet)
{
	struct fixture *f = container_of(visitor, struct fixture, visitor);

	f->acked[f->acked_count++] = packet->segment;
}

static void lost(struct sent_visitor *visitor, const struct sent_packet *packet)
{
	struct fixture *f = container_of(visitor, struct fixture, visitor);

	f->lost[f->lost_count++] = packet->segment;
}

static struct fixture *set_up(void)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	sent_init(&f.sent, f.ring, CAPACITY);
	f.visitor = (struct sent_visitor){.acked = acked, .lost = lost};
	return &f;
}

/* Each carries its own number as segment. */
static uint32_t send_one(struct fixture *f, uint64_t now_ns)
{
	uint32_t number = sent_number(&f->sent);

	*sent_place(&f->sent) =
		(struct sent_packet){.sent_ns = now_ns, .segment = number, .bytes = PACKET_BYTES};
	sent_note(&f->sent);
	return number;
}

static void send_many(struct fixture *f, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		send_one(f, f->sent.next * 10);
}

static struct sent_acked acknowledge(struct fixture *f, uint32_t largest, uint64_t bitmap)
{
	uint64_t number = sent_widen(&f->sent, largest, bitmap);

	assert_true(number != 0);
	return sent_acknowledge(&f->sent, number, bitmap, &f->visitor);
}

static void an_acknowledgement_resolves_what_it_names(void **state)
{
	struct fixture *f = set_up();
	struct sent_acked result;

	(void)state;
	send_many(f, 5);
	assert_int_equal(f->sent.count, 5);
	assert_int_equal(f->sent.bytes, 5 * PACKET_BYTES);
	result = acknowledge(f, 4, 5); /* 4, 3 and 1 */
	assert_int_equal(result.packets, 3);
	assert_int_equal(result.bytes, 3 * PACKET_BYTES);
	assert_int_equal(result.largest_sent_ns, 40);
	assert_int_equal(result.newest_sent_ns, 40);
	assert_int_equal(f->sent.oldest, 2);
	assert_int_equal(f->sent.count, 2);
	/* Again: nothing. */
	assert_int_equal(acknowledge(f, 4, 5).packets, 0);
}

static void no_sample_comes_from_a_largest_that_was_known(void **state)
{
	struct fixture *f = set_up();
	struct sent_acked result;

	(void)state;
	send_many(f, 4);
	acknowledge(f, 4, 0);
	result = acknowledge(f, 4, 1);
	assert_int_equal(result.packets, 1);
	assert_int_equal(result.largest_sent_ns, 0);
	assert_int_equal(result.newest_sent_ns, 30);
}

static void what_was_never_sent_is_not_plausible(void **state)
{
	struct fixture *f = set_up();

	(void)state;
	assert_int_equal(sent_widen(&f->sent, 1, 0), 0);
	assert_int_equal(sent_widen(&f->sent, 0, 0), 0);
	send_many(f, 3);
	assert_int_equal(sent_widen(&f->sent, 3, 3), 3);
	assert_int_equal(sent_widen(&f->sent, 4, 0), 0);
	assert_int_equal(sent_widen(&f->sent, 0, 0), 0);
	assert_int_equal(sent_widen(&f->sent, 3, 4), 0); /* names packet 0 */
	assert_int_equal(sent_widen(&f->sent, 1, 1), 0);
	assert_int_equal(sent_widen(&f->sent, UINT32_MAX, 0), 0);
	assert_int_equal(sent_widen(&f->sent, 3, UINT64_C(1) << 63), 0);
}

static void three_later_ones_make_a_packet_lost(void **state)
{
	struct fixture *f = set_up();

	(void)state;
	send_many(f, 5);
	acknowledge(f, 3, 0);
	assert_int_equal(sent_find_lost(&f->sent, 1000, 60, &f->visitor), 0);
	assert_int_equal(f->sent.loss_due_ns, 10 + 1000);
	acknowledge(f, 4, 0);
	assert_int_equal(sent_find_lost(&f->sent, 1000, 60, &f->visitor), 1);
	assert_int_equal(f->lost[0], 1);
	assert_int_equal(f->sent.loss_due_ns, 20 + 1000);
	assert_int_equal(f->sent.oldest, 2);
}

static void time_makes_a_packet_lost(void **state)
{
	struct fixture *f = set_up();

	(void)state;
	send_many(f, 2);
	/* Nothing after it was acknowledged: time alone does nothing. */
	assert_int_equal(sent_find_lost(&f->sent, 100, 100000, &f->visitor), 0);
	assert_int_equal(f->sent.loss_due_ns, 0);
	acknowledge(f, 2, 0);
	assert_int_equal(sent_find_lost(&f->sent, 100, 109, &f->visitor), 0);
	assert_int_equal(sent_find_lost(&f->sent, 100, 110, &f->visitor), 1);
	assert_int_equal(f->sent.count, 0);
	assert_int_equal(f->sent.bytes, 0);
}

static void the_oldest_are_taken_back(void **state)
{
	struct fixture *f = set_up();

	(void)state;
	send_many(f, 4);
	acknowledge(f, 2, 0);
	assert_int_equal(sent_take_back(&f->sent, 2, &f->visitor), 2);
	assert_int_equal(f->lost[0], 1);
	assert_int_equal(f->lost[1], 3);
	assert_int_equal(f->sent.count, 1);
	assert_int_equal(sent_take_back(&f->sent, 2, &f->visitor), 1);
	assert_int_equal(sent_take_back(&f->sent, 2, &f->visitor), 0);
}

static void a_full_ring_says_so(void **state)
{
	struct fixture *f = set_up();
	unsigned count = 0;

	(void)state;
	for (; !sent_full(&f->sent); count++)
		send_one(f, 1);
	assert_in_range(count, CAPACITY - 2, CAPACITY - 1);
	acknowledge(f, 1, 0);
	assert_false(sent_full(&f->sent));
}

static void numbers_wrap_and_skip_zero(void **state)
{
	struct fixture *f = set_up();

	(void)state;
	f->sent.next = f->sent.oldest = UINT32_MAX - 1;
	assert_int_equal(send_one(f, 1), UINT32_MAX - 1);
	assert_int_equal(send_one(f, 2), UINT32_MAX);
	assert_int_equal(send_one(f, 3), 1);
	assert_int_equal(send_one(f, 4), 2);
	/* 2, 1 and UINT32_MAX - 1; bit 1 is the 0 that never was. */
	assert_int_equal(acknowledge(f, 2, 1 | 8).packets, 3);
	assert_int_equal(f->sent.count, 1);
	assert_int_equal(f->sent.oldest, UINT32_MAX);
	assert_int_equal(acknowledge(f, UINT32_MAX, 0).packets, 1);
	assert_int_equal(f->sent.oldest, f->sent.next);
}

static void the_short_way_does_what_the_long_one_does(void **state)
{
	struct fixture *f = set_up();
	const struct sent_packet *packet;

	(void)state;
	send_many(f, 4);
	acknowledge(f, 2, 0);
	assert_null(sent_acknowledge_oldest(&f->sent, 3));
	packet = sent_acknowledge_oldest(&f->sent, 1);
	assert_int_equal(packet->segment, 1);
	assert_int_equal(f->sent.oldest, 3);
	assert_int_equal(f->sent.largest_acked, 2);
	assert_int_equal(f->sent.bytes, 2 * PACKET_BYTES);
	assert_non_null(sent_acknowledge_oldest(&f->sent, 3));
	assert_non_null(sent_acknowledge_oldest(&f->sent, 4));
	assert_int_equal(f->sent.count, 0);
	assert_int_equal(f->sent.oldest, f->sent.next);
	assert_null(sent_acknowledge_oldest(&f->sent, f->sent.oldest));
}

/* Every packet is resolved exactly once, whatever order acknowledgements, losses and probes come.
 */
static void each_packet_is_resolved_once(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct fixture *f = set_up();
		uint8_t resolved[256] = {0};
		uint64_t random = seed;
		uint64_t now_ns = 0;

		while (f->sent.next < 200) {
			random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
			unsigned what = (unsigned)(random >> 60);

			now_ns += 10;
			if (what < 9 && !sent_full(&f->sent)) {
				send_one(f, now_ns);
			} else if (what < 13 && f->sent.next > 1) {
				uint64_t back = (random >> 20) % CAPACITY;
				if (back + 1 >= f->sent.next)
					continue;
				uint64_t number = f->sent.next - 1 - back;
				uint64_t bitmap =
					number > 64 ? random
						    : random & ((UINT64_C(1) << (number - 1)) - 1);
				acknowledge(f, (uint32_t)number, bitmap);
			} else if (what < 15) {
				sent_find_lost(&f->sent, 200, now_ns, &f->visitor);
			} else {
				sent_take_back(&f->sent, 1, &f->visitor);
			}
			for (; f->acked_count; f->acked_count--)
				assert_int_equal(resolved[f->acked[f->acked_count - 1]]++, 0);
			for (; f->lost_count; f->lost_count--)
				assert_int_equal(resolved[f->lost[f->lost_count - 1]]++, 0);
			unsigned open = 0;
			for (uint64_t i = 1; i < f->sent.next; i++)
				open += !resolved[i];
			assert_int_equal(open, f->sent.count);
			assert_int_equal(f->sent.bytes, open * PACKET_BYTES);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_acknowledgement_resolves_what_it_names),
		cmocka_unit_test(no_sample_comes_from_a_largest_that_was_known),
		cmocka_unit_test(what_was_never_sent_is_not_plausible),
		cmocka_unit_test(three_later_ones_make_a_packet_lost),
		cmocka_unit_test(time_makes_a_packet_lost),
		cmocka_unit_test(the_oldest_are_taken_back),
		cmocka_unit_test(a_full_ring_says_so),
		cmocka_unit_test(numbers_wrap_and_skip_zero),
		cmocka_unit_test(the_short_way_does_what_the_long_one_does),
		cmocka_unit_test(each_packet_is_resolved_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
