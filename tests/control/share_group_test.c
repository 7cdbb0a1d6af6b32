/* Share groups: who is to read what, what is kept of how far they have come, and for how long. */
#include "base/errors.h"
#include "control/groups/share_assignor.h"
#include "control/groups/share_internal.h"
#include "kafka_messages.h"
#include "tests/control/offset_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct kafka_share_group_heartbeat_response heartbeat_answer;

enum { SESSION_MS = 45000, ARENA_BYTES_MAX = 1 << 20, MEMBERS_MAX = 16, TOPICS = 2 };

/* ---- the assignor ---- */

struct plan {
	struct arena arena;
	struct topic_partition items[64];
	struct partition_set all;
	struct share_subscriber members[MEMBERS_MAX];
	size_t member_count;
	struct uuid topics[TOPICS];
};

static void plan_begin(struct plan *plan, int32_t partitions, size_t members)
{
	*plan = (struct plan){.member_count = members};
	arena_init(&plan->arena, ARENA_BYTES_MAX);
	plan->topics[1].bytes[0] = 1;
	plan->all.items = plan->items;
	for (int32_t p = 0; p < partitions; p++)
		plan->items[plan->all.count++] = (struct topic_partition){plan->topics[0], p};
	for (size_t m = 0; m < MEMBERS_MAX; m++) {
		plan->members[m].topics = plan->topics;
		plan->members[m].topic_count = 1;
	}
}

/* Assigns, checks what always holds, and takes the result for what the members have. */
static void plan_assign(struct plan *plan)
{
	size_t readers[64] = {0};
	size_t least = SIZE_MAX, most = 0;

	assert_int_equal(share_assign(&plan->all, plan->members, plan->member_count, &plan->arena),
			 0);
	for (size_t m = 0; m < plan->member_count; m++) {
		struct partition_set *target = &plan->members[m].target;
		least = target->count < least ? target->count : least;
		most = target->count > most ? target->count : most;
		for (size_t i = 0; i < target->count; i++)
			readers[target->items[i].index]++;
		plan->members[m].previous = *target;
	}
	assert_true(least > 0 && most - least <= 1);
	for (size_t p = 0; p < plan->all.count; p++)
		assert_in_range(readers[p], 1, plan->member_count / plan->all.count + 1);
}

static void every_partition_has_a_reader_and_every_member_about_as_many(void **state)
{
	for (int32_t partitions = 1; partitions < 12; partitions++) {
		struct plan plan;
		plan_begin(&plan, partitions, 1);
		/* Members come one by one, and go again. */
		for (; plan.member_count < MEMBERS_MAX; plan.member_count++)
			plan_assign(&plan);
		while (--plan.member_count)
			plan_assign(&plan);
		arena_fini(&plan.arena);
	}
}

static void what_need_not_move_stays(void **state)
{
	struct plan plan;

	plan_begin(&plan, 6, 2);
	plan_assign(&plan);
	struct partition_set first = plan.members[0].target, second = plan.members[1].target;
	plan_assign(&plan);
	assert_true(partition_set_equal(&first, &plan.members[0].target));
	assert_true(partition_set_equal(&second, &plan.members[1].target));
	plan.member_count = 3;
	plan_assign(&plan);
	assert_true(partition_set_within(&plan.members[0].target, &first));
	assert_true(partition_set_within(&plan.members[1].target, &second));
	arena_fini(&plan.arena);
}

static void nobody_reads_what_it_does_not_subscribe_to(void **state)
{
	struct plan plan;

	plan_begin(&plan, 2, 2);
	plan.items[2] = (struct topic_partition){plan.topics[1], 0};
	plan.all.count = 3;
	plan.members[1].topics = &plan.topics[1];
	assert_int_equal(share_assign(&plan.all, plan.members, 2, &plan.arena), 0);
	assert_int_equal(plan.members[0].target.count, 2);
	assert_int_equal(plan.members[1].target.count, 1);
	assert_true(uuid_equal(&plan.members[1].target.items[0].topic, &plan.topics[1]));
	arena_fini(&plan.arena);
}

/* ---- members ---- */

static int set_up(void **state)
{
	struct world *w = world_new(1);

	w->topics.share = (struct share_rules){
		.settings = {.session_timeout_ms = SESSION_MS,
			     .heartbeat_interval_ms = 5000,
			     .record_lock_duration_ms = 30000},
		.deliveries_max = 5,
		.records_max = 200,
	};
	world_topic(w, "t", 3);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	world_check_restart(w);
	world_free(w);
	return 0;
}

/* `topic` null: not said. */
static heartbeat_answer *beat(struct world *w, const char *member, int32_t epoch, const char *topic)
{
	struct world_request *ask = world_ask(w, KAFKA_SHARE_GROUP_HEARTBEAT, 1);
	struct kafka_share_group_heartbeat_request *message = ask->message;

	message->group_id = kafka_string_of("g");
	message->member_id = kafka_string_of(member);
	message->member_epoch = epoch;
	if (topic) {
		message->subscribed_topic_names = world_alloc(ask, 1, sizeof(struct kafka_string));
		message->subscribed_topic_names[0] = kafka_string_of(topic);
		message->subscribed_topic_names_count = 1;
	}
	world_send(ask);
	return world_answer(ask);
}

static heartbeat_answer *join(struct world *w, const char *member)
{
	heartbeat_answer *answer = beat(w, member, 0, "t");

	assert_int_equal(answer->error_code, KAFKA_NONE);
	return answer;
}

static int32_t given(const heartbeat_answer *answer)
{
	int32_t count = 0;

	if (!answer->has_assignment)
		return -1;
	for (int32_t i = 0; i < answer->assignment.topic_partitions_count; i++)
		count += answer->assignment.topic_partitions[i].partitions_count;
	return count;
}

static void the_first_member_reads_everything(void **state)
{
	struct world *w = *state;
	heartbeat_answer *answer = join(w, "a");

	assert_int_equal(answer->member_epoch, 1);
	assert_int_equal(answer->heartbeat_interval_ms, 5000);
	assert_int_equal(given(answer), 3);
	size_t appended = world_appended(w);
	assert_int_equal(given(beat(w, "a", 1, NULL)), -1);
	assert_int_equal(world_appended(w), appended);
}

static void who_comes_and_goes_changes_what_others_read(void **state)
{
	struct world *w = *state;

	join(w, "a");
	assert_int_equal(given(join(w, "b")), 1);
	heartbeat_answer *answer = beat(w, "a", 1, NULL);
	assert_int_equal(answer->member_epoch, 2);
	assert_int_equal(given(answer), 2);
	/* The answer was lost: it says its former epoch again. */
	assert_int_equal(given(beat(w, "a", 1, NULL)), 2);
	assert_int_equal(beat(w, "b", -1, NULL)->error_code, KAFKA_NONE);
	assert_int_equal(given(beat(w, "a", 2, NULL)), 3);
}

static void epochs_and_names_that_are_not_the_members_are_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(beat(w, "a", 3, NULL)->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	join(w, "a");
	assert_int_equal(beat(w, "a", 7, NULL)->error_code, KAFKA_FENCED_MEMBER_EPOCH);
	assert_int_equal(beat(w, "b", 1, NULL)->error_code, KAFKA_UNKNOWN_MEMBER_ID);
	assert_int_equal(beat(w, "", 0, "t")->error_code, KAFKA_INVALID_REQUEST);
	assert_int_equal(beat(w, "c", 0, NULL)->error_code, KAFKA_INVALID_REQUEST);
	assert_int_equal(beat(w, "c", -2, NULL)->error_code, KAFKA_INVALID_REQUEST);
}

static void a_silent_member_is_fenced(void **state)
{
	struct world *w = *state;

	join(w, "a");
	world_advance(w, SESSION_MS - 1000);
	beat(w, "a", 1, NULL);
	world_advance(w, SESSION_MS - 1000);
	assert_int_equal(beat(w, "a", 1, NULL)->error_code, KAFKA_NONE);
	world_advance(w, SESSION_MS + 1000);
	assert_int_equal(beat(w, "a", 1, NULL)->error_code, KAFKA_UNKNOWN_MEMBER_ID);
}

static void a_group_has_so_many_members(void **state)
{
	struct world *w = *state;

	w->config.group_share_max_size = 1;
	join(w, "a");
	assert_int_equal(beat(w, "b", 0, "t")->error_code, KAFKA_GROUP_MAX_SIZE_REACHED);
	join(w, "a");
}

static void topics_that_grow_and_go_are_followed(void **state)
{
	struct world *w = *state;

	join(w, "a");
	world_grow_topic(w, "t", 5);
	heartbeat_answer *answer = beat(w, "a", 1, NULL);
	assert_int_equal(given(answer), 5);
	world_delete_topic(w, "t");
	assert_int_equal(given(beat(w, "a", answer->member_epoch, NULL)), 0);
}

static void members_outlive_a_restart(void **state)
{
	struct world *w = *state;

	join(w, "a");
	world_restart(w);
	assert_int_equal(given(beat(w, "a", 1, NULL)), -1);
}

/* ---- what is kept ---- */

static struct world_share kept_ask(struct world *w, enum share_ask_kind what)
{
	return (struct world_share){
		.ask = {.what = what,
			.group_id = kafka_string_of("g"),
			.topic_id = w->rows[0]->id,
			.partition = 1,
			.log_start = 10,
			.log_end = 50},
	};
}

static struct share_ask open_kept(struct world *w)
{
	struct world_share share = kept_ask(w, SHARE_ASK_OPEN);

	groups_share(w->groups, &share.ask);
	assert_true(share.answered);
	return share.ask;
}

static int write_kept(struct world *w, uint64_t incarnation, int64_t start)
{
	struct share_run run = {start + 2, start + 3, SHARE_ACKNOWLEDGED, 1};
	struct world_share share = kept_ask(w, SHARE_ASK_WRITE);

	share.ask.incarnation = incarnation;
	share.ask.start = start;
	share.ask.runs = &run;
	share.ask.run_count = 1;
	groups_share(w->groups, &share.ask);
	assert_true(share.answered);
	return share.ask.rc;
}

static void a_partition_is_begun_at_its_end_once(void **state)
{
	struct world *w = *state;

	assert_int_equal(open_kept(w).rc, -ERR_UNKNOWN_PARTITION);
	join(w, "a");
	struct share_ask ask = open_kept(w);
	assert_int_equal(ask.rc, 0);
	assert_int_equal(ask.start, 50);
	free(ask.runs);
	w->topics.share.settings.from_earliest = true;
	ask = open_kept(w);
	assert_int_equal(ask.start, 50);
	free(ask.runs);
}

static void what_is_written_outlives_a_restart_and_the_members(void **state)
{
	struct world *w = *state;

	join(w, "a");
	struct share_ask ask = open_kept(w);
	free(ask.runs);
	assert_int_equal(write_kept(w, ask.incarnation, 60), 0);
	assert_int_equal(beat(w, "a", -1, NULL)->error_code, KAFKA_NONE);
	world_restart(w);
	struct share_ask again = open_kept(w);
	assert_int_equal(again.rc, 0);
	assert_int_equal(again.start, 60);
	assert_int_equal(again.run_count, 1);
	assert_int_equal(again.runs[0].first, 62);
	assert_int_equal(again.runs[0].state, SHARE_ACKNOWLEDGED);
	free(again.runs);
	/* Of the life before. */
	assert_true(again.incarnation != ask.incarnation);
	assert_int_equal(write_kept(w, ask.incarnation, 70), -ERR_UNKNOWN_PARTITION);
}

static void a_group_that_has_begun_is_taken_over_by_no_other_kind(void **state)
{
	struct world *w = *state;

	join(w, "a");
	struct share_ask ask = open_kept(w);
	free(ask.runs);
	beat(w, "a", -1, NULL);
	struct world_request *taking = world_ask(w, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1);
	struct kafka_consumer_group_heartbeat_request *message = taking->message;
	message->group_id = kafka_string_of("g");
	message->member_id = kafka_string_of("b");
	message->rebalance_timeout_ms = 1000;
	message->topic_partitions_count = 0;
	message->subscribed_topic_names = world_alloc(taking, 1, sizeof(struct kafka_string));
	message->subscribed_topic_names[0] = kafka_string_of("t");
	message->subscribed_topic_names_count = 1;
	world_send(taking);
	const struct kafka_consumer_group_heartbeat_response *answer = world_answer(taking);
	assert_int_equal(answer->error_code, KAFKA_GROUP_ID_NOT_FOUND);
	ask = open_kept(w);
	assert_int_equal(ask.rc, 0);
	free(ask.runs);
}

static void a_group_takes_offsets_neither_by_themselves_nor_in_a_transaction(void **state)
{
	struct world *w = *state;

	join(w, "a");
	assert_int_equal(commit_one(w, 8, "g", "t", 0, 1), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(txn_one(w, "g", 1000, "t", 0, 1), KAFKA_GROUP_ID_NOT_FOUND);
	assert_int_equal(w->groups->pending_count, 0);
}

static void what_is_kept_goes_with_its_topic(void **state)
{
	struct world *w = *state;

	join(w, "a");
	struct share_ask ask = open_kept(w);
	free(ask.runs);
	const struct group *group = group_find(w->groups, &(struct kafka_string){"g", 1});
	assert_int_equal(share_of(group)->kept_count, 1);
	world_delete_topic(w, "t");
	assert_int_equal(share_of(group)->kept_count, 0);
}

static void nothing_is_told_before_it_is_durable(void **state)
{
	struct world *w = *state;
	struct world_share share = kept_ask(w, SHARE_ASK_OPEN);

	join(w, "a");
	w->log.hold = true;
	groups_share(w->groups, &share.ask);
	assert_false(share.answered);
	world_flush(w, 0);
	assert_true(share.answered);
	assert_int_equal(share.ask.rc, 0);
	free(share.ask.runs);
	w->log.hold = false;
}

int main(void)
{
#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_partition_has_a_reader_and_every_member_about_as_many),
		cmocka_unit_test(what_need_not_move_stays),
		cmocka_unit_test(nobody_reads_what_it_does_not_subscribe_to),
		IN_WORLD(the_first_member_reads_everything),
		IN_WORLD(who_comes_and_goes_changes_what_others_read),
		IN_WORLD(epochs_and_names_that_are_not_the_members_are_refused),
		IN_WORLD(a_silent_member_is_fenced),
		IN_WORLD(a_group_has_so_many_members),
		IN_WORLD(topics_that_grow_and_go_are_followed),
		IN_WORLD(members_outlive_a_restart),
		IN_WORLD(a_partition_is_begun_at_its_end_once),
		IN_WORLD(what_is_written_outlives_a_restart_and_the_members),
		IN_WORLD(a_group_that_has_begun_is_taken_over_by_no_other_kind),
		IN_WORLD(a_group_takes_offsets_neither_by_themselves_nor_in_a_transaction),
		IN_WORLD(what_is_kept_goes_with_its_topic),
		IN_WORLD(nothing_is_told_before_it_is_durable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
