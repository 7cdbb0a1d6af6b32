/* One member's way to its target, step by step, without a group around it. */
#include "base/arena.h"
#include "control/groups/consumer_owners.h"
#include "control/groups/consumer_reconcile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Partitions of one topic, as bits. */
enum { PARTITIONS = 8, UNSAID = 0x100 };

/* Members are told apart by their address alone. */
static char me, other;
#define ME ((const struct consumer_member *)(const void *)&me)
#define OTHER ((const struct consumer_member *)(const void *)&other)

struct fixture {
	struct arena arena;
	struct owners owners;
	struct member_assignment now;
};

static struct partition_set set_of(struct fixture *f, unsigned bits)
{
	struct partition_set set = {
		.items = arena_calloc(&f->arena, PARTITIONS, sizeof(struct topic_partition)),
	};

	assert_non_null(set.items);
	for (int32_t p = 0; p < PARTITIONS; p++) {
		if (bits & 1u << p)
			set.items[set.count++] = (struct topic_partition){.index = p};
	}
	return set;
}

static unsigned bits_of(const struct partition_set *set)
{
	unsigned bits = 0;

	for (size_t i = 0; i < set->count; i++)
		bits |= 1u << set->items[i].index;
	return bits;
}

static void own(struct fixture *f, unsigned bits, const struct consumer_member *member)
{
	struct partition_set set = set_of(f, bits);

	assert_int_equal(owners_reserve(&f->owners, &set), 0);
	owners_take(&f->owners, &set, member);
}

/* It has `bits` and is stable at `epoch`. */
static struct fixture *at(struct fixture *f, int32_t epoch, unsigned bits)
{
	arena_init(&f->arena, 1 << 20);
	f->now = (struct member_assignment){
		.epoch = epoch, .previous_epoch = epoch - 1, .assigned = set_of(f, bits)};
	own(f, bits, ME);
	return f;
}

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	owners_fini(&f->owners);
	arena_fini(&f->arena);
	free(f);
	return 0;
}

static void step(struct fixture *f, int32_t target_epoch, unsigned target, unsigned owned)
{
	struct partition_set target_set = set_of(f, target);
	struct partition_set owned_set = set_of(f, owned);
	struct reconciliation reconciliation = {
		.member = ME,
		.current = &f->now,
		.target = &target_set,
		.target_epoch = target_epoch,
		.owned = owned == UNSAID ? NULL : &owned_set,
		.owners = &f->owners,
	};
	struct member_assignment next;

	assert_int_equal(consumer_reconcile(&reconciliation, &f->arena, &next), 0);
	owners_release(&f->owners, &f->now.assigned, ME);
	owners_release(&f->owners, &f->now.revoking, ME);
	owners_take(&f->owners, &next.revoking, ME);
	own(f, bits_of(&next.assigned), ME);
	f->now = next;
}

static void expect(const struct fixture *f, enum member_state state, int32_t epoch,
		   unsigned assigned, unsigned revoking)
{
	assert_int_equal(f->now.state, state);
	assert_int_equal(f->now.epoch, epoch);
	assert_int_equal(bits_of(&f->now.assigned), assigned);
	assert_int_equal(bits_of(&f->now.revoking), revoking);
}

static void at_its_target_it_stays(void **state)
{
	struct fixture *f = at(*state, 3, 0x3);

	step(f, 3, 0x3, 0x3);
	expect(f, MEMBER_STABLE, 3, 0x3, 0);
	assert_int_equal(f->now.previous_epoch, 2);
}

static void a_later_target_with_nothing_new_is_a_later_epoch(void **state)
{
	struct fixture *f = at(*state, 3, 0x3);

	step(f, 7, 0x3, UNSAID);
	expect(f, MEMBER_STABLE, 7, 0x3, 0);
	assert_int_equal(f->now.previous_epoch, 3);
}

static void free_partitions_are_given_at_once(void **state)
{
	struct fixture *f = at(*state, 0, 0);

	step(f, 4, 0x7, 0);
	expect(f, MEMBER_STABLE, 4, 0x7, 0);
}

static void partitions_of_others_are_waited_for(void **state)
{
	struct fixture *f = at(*state, 0, 0);
	struct partition_set freed = set_of(f, 0x6);

	own(f, 0x6, OTHER);
	step(f, 4, 0x7, 0);
	expect(f, MEMBER_UNRELEASED_PARTITIONS, 4, 0x1, 0);
	step(f, 4, 0x7, UNSAID);
	expect(f, MEMBER_UNRELEASED_PARTITIONS, 4, 0x1, 0);
	assert_int_equal(f->now.previous_epoch, 0);
	owners_release(&f->owners, &freed, OTHER);
	step(f, 4, 0x7, UNSAID);
	expect(f, MEMBER_STABLE, 4, 0x7, 0);
}

static void what_has_to_go_keeps_the_epoch_until_it_is_gone(void **state)
{
	struct fixture *f = at(*state, 3, 0xf);

	step(f, 5, 0x3, UNSAID);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 3, 0x3, 0xc);
	step(f, 5, 0x3, UNSAID);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 3, 0x3, 0xc);
	step(f, 5, 0x3, 0x7);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 3, 0x3, 0xc);
	step(f, 5, 0x3, 0x3);
	expect(f, MEMBER_STABLE, 5, 0x3, 0);
	assert_null(owners_get(&f->owners, &(struct topic_partition){.index = 2}));
}

static void nothing_is_given_while_something_has_to_go(void **state)
{
	struct fixture *f = at(*state, 3, 0x3);

	step(f, 4, 0x6, UNSAID);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 3, 0x2, 0x1);
	step(f, 4, 0x6, 0x2);
	expect(f, MEMBER_STABLE, 4, 0x6, 0);
}

static void what_it_does_not_have_any_more_is_not_revoked(void **state)
{
	struct fixture *f = at(*state, 3, 0xf);

	step(f, 5, 0x3, 0);
	expect(f, MEMBER_STABLE, 5, 0x3, 0);
}

static void a_second_revocation_is_one_epoch_on(void **state)
{
	struct fixture *f = at(*state, 3, 0xf);

	step(f, 5, 0x3, UNSAID);
	step(f, 8, 0x1, 0x3);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 4, 0x1, 0x2);
	assert_int_equal(f->now.previous_epoch, 3);
	step(f, 8, 0x1, 0x1);
	expect(f, MEMBER_STABLE, 8, 0x1, 0);
}

static void a_new_target_while_waiting_can_take_away(void **state)
{
	struct fixture *f = at(*state, 0, 0);

	own(f, 0x4, OTHER);
	step(f, 4, 0x7, 0);
	step(f, 6, 0x1, 0x3);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 4, 0x1, 0x2);
}

static void what_was_to_go_comes_back_once_it_is_gone(void **state)
{
	struct fixture *f = at(*state, 3, 0xf);

	step(f, 5, 0x3, UNSAID);
	step(f, 6, 0xf, 0xf);
	expect(f, MEMBER_UNREVOKED_PARTITIONS, 3, 0x3, 0xc);
	step(f, 6, 0xf, 0x3);
	expect(f, MEMBER_STABLE, 6, 0xf, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(at_its_target_it_stays),
		TEST(a_later_target_with_nothing_new_is_a_later_epoch),
		TEST(free_partitions_are_given_at_once),
		TEST(partitions_of_others_are_waited_for),
		TEST(what_has_to_go_keeps_the_epoch_until_it_is_gone),
		TEST(nothing_is_given_while_something_has_to_go),
		TEST(what_it_does_not_have_any_more_is_not_revoked),
		TEST(a_second_revocation_is_one_epoch_on),
		TEST(a_new_target_while_waiting_can_take_away),
		TEST(what_was_to_go_comes_back_once_it_is_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
