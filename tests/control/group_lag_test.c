/* Asking shards that are the test's, and the picture that comes of it. */
#include "control/group_lag.h"
#include "control/groups/lag.h"
#include "dataplane/shard_log.h"
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SHARDS = 2, EVERY_MS = 5000 };

struct fixture {
	struct world *world;
	struct group_lag *lag;
	struct shard_log *asked[SHARDS]; /* null: not, or answered */
	unsigned times;
	struct lag_picture *picture; /* the last */
};

static void keep(void *context, unsigned shard, struct shard_log *asked)
{
	struct fixture *f = context;

	assert_true(shard < SHARDS);
	assert_null(f->asked[shard]);
	f->asked[shard] = asked;
	f->times++;
}

static void publish(void *context, struct lag_picture *picture)
{
	struct fixture *f = context;

	lag_picture_free(f->picture);
	f->picture = picture;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->world = world_new(2);
	world_topic(f->world, "orders", 4);
	world_topic(f->world, "bills", 1);
	struct group_lag_options options = {
		.groups = f->world->groups,
		.clock = &f->world->clock,
		.shard_count = SHARDS,
		.send = keep,
		.publish = publish,
		.context = f,
	};
	assert_int_equal(group_lag_new(&f->lag, &options), 0);
	*state = f;
	return 0;
}

/* Every partition's high watermark is 100 and its number, but for `unknown`. */
static void answer(struct fixture *f, unsigned shard, int32_t unknown, int rc)
{
	struct shard_log *log = f->asked[shard];
	struct shard_watermarks *asked = container_of(log, struct shard_watermarks, log);

	assert_non_null(log);
	f->asked[shard] = NULL;
	for (size_t i = 0; i < asked->count; i++) {
		struct shard_watermark *row = &asked->rows[i];
		const struct topic topic = {.number = row->topic_number};
		assert_int_equal(partition_shard(&topic, row->partition, SHARDS), shard);
		row->rc = row->partition == unknown ? -ERR_UNKNOWN_PARTITION : 0;
		row->high_watermark = 100 + row->partition;
	}
	log->rc = rc;
	log->done(&log->message, NULL);
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	group_lag_stop(f->lag);
	for (unsigned i = 0; i < SHARDS; i++) {
		if (f->asked[i])
			answer(f, i, -1, 0);
	}
	assert_true(group_lag_idle(f->lag));
	group_lag_free(f->lag);
	lag_picture_free(f->picture);
	world_free(f->world);
	free(f);
	return 0;
}

static const struct lag_row *row_of(const struct fixture *f, const char *id, const char *topic,
				    int32_t partition)
{
	const struct lag_group *group = lag_picture_find(f->picture, id);

	assert_non_null(group);
	for (size_t i = 0; i < group->row_count; i++) {
		if (strcmp(group->rows[i].topic, topic) == 0 &&
		    group->rows[i].partition == partition)
			return &group->rows[i];
	}
	fail_msg("no row");
	return NULL;
}

static void a_group_lags_by_what_lies_behind_its_offsets(void **state)
{
	struct fixture *f = *state;

	fake_classic(f->world->groups, "g", "consumer", 2);
	commit_one(f->world, 8, "g", "orders", 0, 90);
	commit_one(f->world, 8, "g", "orders", 1, 1);
	commit_one(f->world, 8, "g", "orders", 2, 102);
	commit_one(f->world, 8, "g", "orders", 3, 1000); /* beyond the end */
	commit_one(f->world, 8, "other", "orders", 1, 11);
	assert_true(group_lag_turn(f->lag) == f->world->now_ns + EVERY_MS * NS_PER_MS);
	assert_int_equal(f->times, 2);
	assert_null(f->picture);
	answer(f, 0, -1, 0);
	assert_false(group_lag_idle(f->lag));
	answer(f, 1, -1, 0);
	assert_true(group_lag_idle(f->lag));
	assert_int_equal(f->picture->group_count, 2);
	const struct lag_group *group = lag_picture_find(f->picture, "g");
	assert_string_equal(group->state, "Stable");
	assert_int_equal(group->members, 2);
	assert_int_equal(group->lag, 110);
	/* The most behind first. */
	assert_int_equal(group->rows[0].partition, 1);
	assert_int_equal(row_of(f, "g", "orders", 0)->lag, 10);
	assert_int_equal(row_of(f, "g", "orders", 1)->lag, 100);
	assert_int_equal(row_of(f, "g", "orders", 2)->lag, 0);
	assert_int_equal(row_of(f, "g", "orders", 3)->lag, 0);
	assert_int_equal(row_of(f, "other", "orders", 1)->lag, 90);
	assert_null(lag_picture_find(f->picture, "none such"));
}

static void what_no_shard_knows_has_no_lag(void **state)
{
	struct fixture *f = *state;

	commit_one(f->world, 8, "g", "orders", 0, 90);
	commit_one(f->world, 8, "g", "orders", 1, 90);
	commit_one(f->world, 8, "g", "orders", 2, -1);
	group_lag_turn(f->lag);
	answer(f, 1, 0, 0);
	answer(f, 0, 0, -ERR_CLOSING);
	assert_int_equal(row_of(f, "g", "orders", 0)->lag, -1);
	assert_int_equal(row_of(f, "g", "orders", 1)->lag, -1);
	assert_int_equal(row_of(f, "g", "orders", 2)->lag, -1);
	assert_int_equal(row_of(f, "g", "orders", 2)->committed, -1);
	assert_int_equal(lag_picture_find(f->picture, "g")->lag, 0);
}

static void shards_are_asked_again_every_few_seconds_but_not_twice_at_once(void **state)
{
	struct fixture *f = *state;

	commit_one(f->world, 8, "g", "bills", 0, 1);
	group_lag_turn(f->lag);
	assert_int_equal(f->times, 1);
	world_advance(f->world, EVERY_MS);
	group_lag_turn(f->lag);
	assert_int_equal(f->times, 1);
	for (unsigned i = 0; i < SHARDS; i++) {
		if (f->asked[i])
			answer(f, i, -1, 0);
	}
	group_lag_turn(f->lag);
	assert_int_equal(f->times, 1);
	world_advance(f->world, EVERY_MS);
	group_lag_turn(f->lag);
	assert_int_equal(f->times, 2);
}

static void without_offsets_no_shard_is_asked(void **state)
{
	struct fixture *f = *state;

	fake_classic(f->world->groups, "g", "consumer", 1);
	group_lag_turn(f->lag);
	assert_int_equal(f->times, 0);
	assert_int_equal(f->picture->group_count, 1);
	assert_int_equal(lag_picture_find(f->picture, "g")->row_count, 0);
}

static void a_topic_that_goes_while_shards_are_asked_does_no_harm(void **state)
{
	struct fixture *f = *state;

	commit_one(f->world, 8, "g", "bills", 0, 1);
	commit_one(f->world, 8, "g", "orders", 0, 1);
	group_lag_turn(f->lag);
	world_delete_topic(f->world, "bills");
	world_topic(f->world, "bills", 1);
	commit_one(f->world, 8, "g", "bills", 0, 1);
	for (unsigned i = 0; i < SHARDS; i++) {
		if (f->asked[i])
			answer(f, i, -1, 0);
	}
	assert_int_equal(row_of(f, "g", "bills", 0)->high_watermark, -1);
	assert_int_equal(row_of(f, "g", "orders", 0)->lag, 99);
}

static void the_picture_outlives_the_groups(void **state)
{
	struct fixture *f = *state;

	commit_one(f->world, 8, "g", "orders", 0, 1);
	group_lag_turn(f->lag);
	for (unsigned i = 0; i < SHARDS; i++) {
		if (f->asked[i])
			answer(f, i, -1, 0);
	}
	world_delete_topic(f->world, "orders");
	assert_int_equal(f->world->groups->count, 0);
	assert_int_equal(row_of(f, "g", "orders", 0)->lag, 99);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_group_lags_by_what_lies_behind_its_offsets),
		TEST(what_no_shard_knows_has_no_lag),
		TEST(shards_are_asked_again_every_few_seconds_but_not_twice_at_once),
		TEST(without_offsets_no_shard_is_asked),
		TEST(a_topic_that_goes_while_shards_are_asked_does_no_harm),
		TEST(the_picture_outlives_the_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
