/* Balance, stickiness and the rest are checked as properties over seeded random inputs; the seed is
 * in the message of a failure.  Small fixed cases show what they mean. */
#include "base/arena.h"
#include "control/groups/assignors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { TOPICS_MAX = 8, MEMBERS_MAX = 12, PARTITIONS_MAX = 16, ROUNDS = 400 };

struct fixture {
	uint64_t seed;
	uint64_t random;
	struct arena arena;
	struct assignor_topic topics[TOPICS_MAX];
	struct assignor_member members[MEMBERS_MAX];
	uint32_t subscribed[MEMBERS_MAX][TOPICS_MAX];
	char names[MEMBERS_MAX][8];
	struct assignment assignment;
};

static uint32_t below(struct fixture *f, uint32_t bound)
{
	f->random = f->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(f->random >> 33) % bound;
}

static void begin(struct fixture *f, uint64_t seed)
{
	memset(f, 0, sizeof(*f));
	f->seed = f->random = seed;
	arena_init(&f->arena, 64 << 20);
	f->assignment.topics = f->topics;
	f->assignment.members = f->members;
}

static void end(struct fixture *f)
{
	for (size_t m = 0; m < f->assignment.member_count; m++)
		partition_set_fini(&f->members[m].current);
	arena_fini(&f->arena);
}

static void add_topic(struct fixture *f, int32_t partition_count)
{
	struct assignor_topic *topic = &f->topics[f->assignment.topic_count++];

	topic->id.bytes[0] = (uint8_t)f->assignment.topic_count;
	topic->partition_count = partition_count;
}

static struct assignor_member *add_member(struct fixture *f, const char *name, unsigned topics)
{
	size_t m = f->assignment.member_count++;
	struct assignor_member *member = &f->members[m];

	snprintf(f->names[m], sizeof(f->names[m]), "%s", name);
	*member = (struct assignor_member){.id = kafka_string_of(f->names[m]),
					   .instance_id = kafka_string_of(NULL),
					   .topics = f->subscribed[m]};
	for (uint32_t t = 0; t < TOPICS_MAX; t++) {
		if (topics & 1u << t)
			f->subscribed[m][member->topic_count++] = t;
	}
	return member;
}

static void assign(struct fixture *f, const char *name)
{
	struct kafka_string text = kafka_string_of(name);

	assert_int_equal(assignor_find(&text)->assign(&f->assignment, &f->arena), 0);
}

/* What was assigned is what the members have from now on. */
static void settle(struct fixture *f)
{
	for (size_t m = 0; m < f->assignment.member_count; m++) {
		struct assignor_member *member = &f->members[m];
		partition_set_fini(&member->current);
		assert_int_equal(partition_set_copy(&member->assigned, &member->current), 0);
		member->assigned = (struct partition_set){0};
	}
	arena_reset(&f->arena);
}

static void remove_member(struct fixture *f, size_t m)
{
	struct fixture *last = f;
	size_t end_index = --f->assignment.member_count;

	partition_set_fini(&f->members[m].current);
	if (m == end_index)
		return;
	memcpy(f->subscribed[m], last->subscribed[end_index], sizeof(f->subscribed[m]));
	memcpy(f->names[m], last->names[end_index], sizeof(f->names[m]));
	f->members[m] = f->members[end_index];
	f->members[m].topics = f->subscribed[m];
	f->members[m].id = kafka_string_of(f->names[m]);
	f->members[end_index] = (struct assignor_member){0};
}

static bool subscribed(const struct assignor_member *member, uint32_t topic)
{
	for (size_t i = 0; i < member->topic_count; i++) {
		if (member->topics[i] == topic)
			return true;
	}
	return false;
}

static struct topic_partition partition(const struct fixture *f, uint32_t topic, int32_t index)
{
	return (struct topic_partition){.topic = f->topics[topic].id, .index = index};
}

/* -1: nobody. */
static int owner(const struct fixture *f, uint32_t topic, int32_t index, bool before)
{
	struct topic_partition sought = partition(f, topic, index);

	for (size_t m = 0; m < f->assignment.member_count; m++) {
		if (partition_set_has(before ? &f->members[m].current : &f->members[m].assigned,
				      &sought))
			return (int)m;
	}
	return -1;
}

static void seeded(const struct fixture *f, bool holds, const char *what)
{
	if (!holds)
		fail_msg("%s (seed %llu)", what, (unsigned long long)f->seed);
}

/* ---- properties ---- */

static void check_each_partition_has_one_subscriber(struct fixture *f)
{
	size_t total = 0, given = 0;

	for (uint32_t t = 0; t < f->assignment.topic_count; t++) {
		bool wanted = false;
		for (size_t m = 0; m < f->assignment.member_count; m++)
			wanted |= subscribed(&f->members[m], t);
		for (int32_t p = 0; p < f->topics[t].partition_count; p++) {
			int member = owner(f, t, p, false);
			seeded(f, (member >= 0) == wanted, "a partition is without an owner");
			seeded(f, member < 0 || subscribed(&f->members[member], t),
			       "who does not subscribe owns");
			total += wanted;
		}
	}
	for (size_t m = 0; m < f->assignment.member_count; m++) {
		struct partition_set sorted = f->members[m].assigned;
		given += sorted.count;
		partition_set_sort(&sorted);
		seeded(f, partition_set_equal(&sorted, &f->members[m].assigned), "not in order");
	}
	seeded(f, given == total, "a partition has two owners");
}

static void check_no_move_makes_it_more_even(struct fixture *f)
{
	for (uint32_t t = 0; t < f->assignment.topic_count; t++) {
		for (int32_t p = 0; p < f->topics[t].partition_count; p++) {
			int from = owner(f, t, p, false);
			for (size_t to = 0; from >= 0 && to < f->assignment.member_count; to++) {
				seeded(f,
				       !subscribed(&f->members[to], t) ||
					       f->members[from].assigned.count <=
						       f->members[to].assigned.count + 1,
				       "a move would make it more even");
			}
		}
	}
}

static void check_nothing_moved(struct fixture *f)
{
	for (size_t m = 0; m < f->assignment.member_count; m++)
		seeded(f, partition_set_equal(&f->members[m].current, &f->members[m].assigned),
		       "moved without a reason");
}

/* Alike subscriptions: with every member at or below its share nobody has to give more away. */
static void check_as_few_moved_as_balance_allows(struct fixture *f)
{
	size_t total = 0, kept_most = 0, kept = 0, bigger = 0;
	size_t count = f->assignment.member_count;

	for (uint32_t t = 0; t < f->assignment.topic_count; t++)
		total += (size_t)f->topics[t].partition_count;
	for (size_t m = 0; m < count; m++) {
		size_t had = f->members[m].current.count;
		kept_most += had < total / count ? had : total / count;
		bigger += had > total / count;
	}
	kept_most += bigger < total % count ? bigger : total % count;
	for (uint32_t t = 0; t < f->assignment.topic_count; t++) {
		for (int32_t p = 0; p < f->topics[t].partition_count; p++) {
			int before = owner(f, t, p, true);
			kept += before >= 0 && before == owner(f, t, p, false);
		}
	}
	seeded(f, kept == kept_most, "more moved than balance asks for");
}

static void check_ranges(struct fixture *f)
{
	for (uint32_t t = 0; t < f->assignment.topic_count; t++) {
		size_t sizes[MEMBERS_MAX] = {0};
		int previous = -1;
		for (int32_t p = 0; p < f->topics[t].partition_count; p++) {
			int member = owner(f, t, p, false);
			if (member < 0)
				continue;
			seeded(f, member == previous || sizes[member] == 0, "not contiguous");
			sizes[member]++;
			previous = member;
		}
		for (size_t a = 0; a < f->assignment.member_count; a++) {
			for (size_t b = 0; b < f->assignment.member_count; b++)
				seeded(f,
				       !subscribed(&f->members[a], t) ||
					       !subscribed(&f->members[b], t) ||
					       sizes[a] <= sizes[b] + 1,
				       "ranges differ by more than one");
		}
	}
}

static bool same_class(const struct fixture *f, uint32_t one, uint32_t other)
{
	for (size_t m = 0; m < f->assignment.member_count; m++) {
		if (subscribed(&f->members[m], one) != subscribed(&f->members[m], other))
			return false;
	}
	return f->topics[one].partition_count == f->topics[other].partition_count;
}

static void check_topics_of_a_class_are_cut_alike(struct fixture *f)
{
	for (uint32_t one = 0; one < f->assignment.topic_count; one++) {
		for (uint32_t other = 0; other < one; other++) {
			for (int32_t p = 0;
			     same_class(f, one, other) && p < f->topics[one].partition_count; p++)
				seeded(f, owner(f, one, p, false) == owner(f, other, p, false),
				       "not cut alike");
		}
	}
}

/* ---- random groups that change ---- */

static void draw(struct fixture *f, bool alike)
{
	size_t topics = 1 + below(f, TOPICS_MAX - 1);
	size_t members = 1 + below(f, MEMBERS_MAX - 1);
	unsigned all = (1u << topics) - 1;
	char name[8];

	for (size_t t = 0; t < topics; t++)
		add_topic(f, (int32_t)below(f, PARTITIONS_MAX));
	for (size_t m = 0; m < members; m++) {
		snprintf(name, sizeof(name), "m%u", below(f, 100000));
		add_member(f, name, alike ? all : below(f, all + 1));
	}
}

/* A member leaves or comes, a topic grows or comes. */
static void change(struct fixture *f, bool alike)
{
	unsigned all = (1u << f->assignment.topic_count) - 1;

	switch (below(f, 4)) {
	case 0:
		if (f->assignment.member_count > 1)
			remove_member(f, below(f, (uint32_t)f->assignment.member_count));
		break;
	case 1:
		if (f->assignment.member_count < MEMBERS_MAX)
			add_member(f, "new", alike ? all : below(f, all + 1));
		break;
	case 2:
		f->topics[below(f, (uint32_t)f->assignment.topic_count)].partition_count +=
			(int32_t)below(f, 3);
		break;
	default:
		if (f->assignment.topic_count == TOPICS_MAX)
			break;
		add_topic(f, (int32_t)below(f, PARTITIONS_MAX));
		for (size_t m = 0; m < f->assignment.member_count; m++) {
			if (alike || below(f, 2))
				f->subscribed[m][f->members[m].topic_count++] =
					(uint32_t)f->assignment.topic_count - 1;
		}
	}
}

static void over_random_groups(const char *assignor, bool alike, void (*check)(struct fixture *f))
{
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		struct fixture f;
		begin(&f, seed);
		draw(&f, alike);
		for (int step = 0; step < 6; step++) {
			assign(&f, assignor);
			check(&f);
			settle(&f);
			change(&f, alike);
		}
		end(&f);
	}
}

static void over_settled_groups(const char *assignor, bool alike)
{
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		struct fixture f;
		begin(&f, seed);
		draw(&f, alike);
		for (int step = 0; step < 6; step++) {
			assign(&f, assignor);
			settle(&f);
			assign(&f, assignor);
			check_nothing_moved(&f);
			settle(&f);
			change(&f, alike);
		}
		end(&f);
	}
}

static void check_uniform(struct fixture *f)
{
	check_each_partition_has_one_subscriber(f);
	check_no_move_makes_it_more_even(f);
}

static void uniform_is_complete_and_even_when_all_subscribe_alike(void **state)
{
	over_random_groups("uniform", true, check_uniform);
}

static void uniform_is_complete_and_even_when_subscriptions_differ(void **state)
{
	over_random_groups("uniform", false, check_uniform);
}

static void uniform_moves_as_few_as_balance_allows(void **state)
{
	over_random_groups("uniform", true, check_as_few_moved_as_balance_allows);
}

static void check_range(struct fixture *f)
{
	check_each_partition_has_one_subscriber(f);
	check_ranges(f);
	check_topics_of_a_class_are_cut_alike(f);
}

static void range_is_complete_contiguous_and_copartitioned(void **state)
{
	over_random_groups("range", true, check_range);
	over_random_groups("range", false, check_range);
}

static void what_does_not_change_does_not_move(void **state)
{
	over_settled_groups("uniform", true);
	over_settled_groups("uniform", false);
	over_settled_groups("range", true);
	over_settled_groups("range", false);
}

/* ---- small cases ---- */

static void uniform_spreads_each_topic_over_the_members(void **state)
{
	struct fixture f;

	begin(&f, 0);
	add_topic(&f, 2);
	add_topic(&f, 2);
	add_member(&f, "a", 3);
	add_member(&f, "b", 3);
	assign(&f, "uniform");
	for (uint32_t t = 0; t < 2; t++)
		assert_int_not_equal(owner(&f, t, 0, false), owner(&f, t, 1, false));
	end(&f);
}

static void uniform_gives_who_has_a_choice_less(void **state)
{
	struct fixture f;

	begin(&f, 0);
	add_topic(&f, 4);
	add_topic(&f, 4);
	add_member(&f, "a", 1);
	add_member(&f, "b", 3);
	assign(&f, "uniform");
	assert_int_equal(f.members[0].assigned.count, 4);
	assert_int_equal(f.members[1].assigned.count, 4);
	end(&f);
}

static void range_puts_a_newcomer_behind_those_who_have_ranges(void **state)
{
	struct fixture f;

	begin(&f, 0);
	add_topic(&f, 6);
	add_member(&f, "b", 1);
	add_member(&f, "c", 1);
	assign(&f, "range");
	settle(&f);
	add_member(&f, "a", 1);
	assign(&f, "range");
	for (int32_t p = 0; p < 6; p++)
		assert_int_equal(owner(&f, 0, p, false), p / 2);
	end(&f);
}

static void range_orders_static_members_by_instance_id(void **state)
{
	struct fixture f;

	begin(&f, 0);
	add_topic(&f, 3);
	add_member(&f, "a", 1);
	add_member(&f, "y", 1)->instance_id = kafka_string_of("2");
	add_member(&f, "z", 1)->instance_id = kafka_string_of("1");
	assign(&f, "range");
	assert_int_equal(owner(&f, 0, 0, false), 2);
	assert_int_equal(owner(&f, 0, 1, false), 1);
	assert_int_equal(owner(&f, 0, 2, false), 0);
	end(&f);
}

static void without_members_nothing_is_assigned(void **state)
{
	struct fixture f;

	begin(&f, 0);
	add_topic(&f, 3);
	assign(&f, "uniform");
	assign(&f, "range");
	end(&f);
}

static void uniform_is_the_default_and_what_is_unknown_is_not_found(void **state)
{
	struct kafka_string sticky = kafka_string_of("sticky");

	assert_string_equal(assignors[0].name, "uniform");
	assert_null(assignor_find(&sticky));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uniform_is_complete_and_even_when_all_subscribe_alike),
		cmocka_unit_test(uniform_is_complete_and_even_when_subscriptions_differ),
		cmocka_unit_test(uniform_moves_as_few_as_balance_allows),
		cmocka_unit_test(range_is_complete_contiguous_and_copartitioned),
		cmocka_unit_test(what_does_not_change_does_not_move),
		cmocka_unit_test(uniform_spreads_each_topic_over_the_members),
		cmocka_unit_test(uniform_gives_who_has_a_choice_less),
		cmocka_unit_test(range_puts_a_newcomer_behind_those_who_have_ranges),
		cmocka_unit_test(range_orders_static_members_by_instance_id),
		cmocka_unit_test(without_members_nothing_is_assigned),
		cmocka_unit_test(uniform_is_the_default_and_what_is_unknown_is_not_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
