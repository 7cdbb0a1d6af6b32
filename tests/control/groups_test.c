/* What all requests have in common: phases of partitions, refusals, the end. */
#include "base/errors.h"
#include "storage/records.h"
#include "tests/control/fake_kinds.h"
#include "tests/control/offset_requests.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int set_up(void **state)
{
	struct world *world = world_new(3);

	world_topic(world, "orders", 3);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	world_free(*state);
	return 0;
}

/* ---- which partition ---- */

static int32_t partition_of(const char *id, int32_t count)
{
	struct kafka_string name = kafka_string_of(id);

	return group_partition_of(&name, count);
}

/* Expected values are Java's: Math.abs("...".hashCode()) % count. */
static void a_groups_partition_is_kafkas(void **state)
{
	(void)state;
	assert_int_equal(partition_of("", 50), 0);
	assert_int_equal(partition_of("a", 50), 97 % 50);
	assert_int_equal(partition_of("group", INT32_MAX), 98629247);
	assert_int_equal(partition_of("my-group", INT32_MAX), 1906497762);
	assert_int_equal(partition_of("hello", INT32_MAX), 99162322);
	assert_int_equal(partition_of("The quick brown fox", INT32_MAX), 1739336029);
	/* Beyond ASCII, beyond the BMP: over UTF-16 code units. */
	assert_int_equal(partition_of("gr\xc3\xbcn", INT32_MAX), 3185949);
	assert_int_equal(partition_of("\xe2\x82\xac", INT32_MAX), 0x20ac);
	assert_int_equal(partition_of("\xf0\x9f\x98\x80", INT32_MAX), 0xd83d * 31 + 0xde00);
	/* "polygenelubricants".hashCode() is Integer.MIN_VALUE, which has no absolute value. */
	assert_int_equal(partition_of("polygenelubricants", 50), 0);
}

static void groups_are_found_among_very_many(void **state)
{
	struct world *world = *state;
	char id[16];

	for (int i = 0; i < 5000; i++) {
		enum kafka_error error;
		snprintf(id, sizeof(id), "group-%d", i);
		struct kafka_string name = kafka_string_of(id);
		assert_null(group_find(world->groups, &name));
		struct group *group = group_obtain(world->groups, &name, &error);
		assert_non_null(group);
		assert_ptr_equal(group_obtain(world->groups, &name, &error), group);
	}
	for (int i = 0; i < 5000; i += 2) {
		snprintf(id, sizeof(id), "group-%d", i);
		struct kafka_string name = kafka_string_of(id);
		group_drop(group_find(world->groups, &name), KAFKA_NONE);
	}
	assert_int_equal(world->groups->count, 2500);
	for (int i = 0; i < 5000; i++) {
		snprintf(id, sizeof(id), "group-%d", i);
		struct kafka_string name = kafka_string_of(id);
		assert_int_equal(group_find(world->groups, &name) != NULL, i % 2);
	}
}

/* ---- refusals ---- */

/* A request of any API for group "g", as small as it can be. */
static struct world_request *ask_of(struct world *world, const struct kafka_api *api,
				    int16_t version)
{
	struct world_request *ask = world_ask(world, api->key, version);
	struct kafka_string *ids = world_alloc(ask, 1, sizeof(*ids));

	ids[0] = kafka_string_of("g");
	switch (api->key) {
	case KAFKA_JOIN_GROUP:
		((struct kafka_join_group_request *)ask->message)->group_id = ids[0];
		((struct kafka_join_group_request *)ask->message)->member_id =
			kafka_string_of("member");
		break;
	case KAFKA_SYNC_GROUP:
		((struct kafka_sync_group_request *)ask->message)->group_id = ids[0];
		break;
	case KAFKA_HEARTBEAT:
		((struct kafka_heartbeat_request *)ask->message)->group_id = ids[0];
		break;
	case KAFKA_LEAVE_GROUP:
		((struct kafka_leave_group_request *)ask->message)->group_id = ids[0];
		break;
	case KAFKA_OFFSET_COMMIT:
		ask = commit_ask(world, version, "g");
		commit_add(ask, "orders", 0, 1, NULL);
		break;
	case KAFKA_TXN_OFFSET_COMMIT:
		ask = txn_ask(world, version, "g", 1000);
		txn_add(ask, "orders", 0, 1, NULL);
		break;
	case KAFKA_OFFSET_FETCH:
		ask = fetch_ask(world, version, "g");
		fetch_add(ask, "orders", 0);
		break;
	case KAFKA_OFFSET_DELETE:
		ask = delete_ask(world, "g");
		delete_add(ask, "orders", 0);
		break;
	case KAFKA_DESCRIBE_GROUPS:
		((struct kafka_describe_groups_request *)ask->message)->groups = ids;
		((struct kafka_describe_groups_request *)ask->message)->groups_count = 1;
		break;
	case KAFKA_DELETE_GROUPS:
		((struct kafka_delete_groups_request *)ask->message)->groups_names = ids;
		((struct kafka_delete_groups_request *)ask->message)->groups_names_count = 1;
		break;
	case KAFKA_CONSUMER_GROUP_HEARTBEAT:
		((struct kafka_consumer_group_heartbeat_request *)ask->message)->group_id = ids[0];
		break;
	case KAFKA_CONSUMER_GROUP_DESCRIBE:
		((struct kafka_consumer_group_describe_request *)ask->message)->group_ids = ids;
		((struct kafka_consumer_group_describe_request *)ask->message)->group_ids_count = 1;
		break;
	case KAFKA_SHARE_GROUP_HEARTBEAT:
		((struct kafka_share_group_heartbeat_request *)ask->message)->group_id = ids[0];
		((struct kafka_share_group_heartbeat_request *)ask->message)->member_id =
			kafka_string_of("member");
		break;
	case KAFKA_SHARE_GROUP_DESCRIBE:
		((struct kafka_share_group_describe_request *)ask->message)->group_ids = ids;
		((struct kafka_share_group_describe_request *)ask->message)->group_ids_count = 1;
		break;
	default:
		assert_int_equal(api->key, KAFKA_LIST_GROUPS);
	}
	return ask;
}

/* The error of the response, wherever its API has it. */
static int16_t error_of(struct world_request *ask)
{
	void *answer = world_answer(ask);

	switch (ask->request.api->key) {
	case KAFKA_JOIN_GROUP: {
		struct kafka_join_group_response *join = answer;
		assert_int_equal(join->generation_id, -1);
		assert_int_equal(join->member_id.length, 6);
		return join->error_code;
	}
	case KAFKA_SYNC_GROUP:
		return ((struct kafka_sync_group_response *)answer)->error_code;
	case KAFKA_HEARTBEAT:
		return ((struct kafka_heartbeat_response *)answer)->error_code;
	case KAFKA_LEAVE_GROUP:
		return ((struct kafka_leave_group_response *)answer)->error_code;
	case KAFKA_OFFSET_COMMIT:
		return commit_error(ask, "orders", 0);
	case KAFKA_TXN_OFFSET_COMMIT:
		return txn_error(ask, "orders", 0);
	case KAFKA_OFFSET_FETCH:
		return ask->request.version < 2 ? fetch_row(ask, "orders", 0).error
						: fetch_error(ask);
	case KAFKA_OFFSET_DELETE:
		return ((struct kafka_offset_delete_response *)answer)->error_code;
	case KAFKA_LIST_GROUPS:
		return ((struct kafka_list_groups_response *)answer)->error_code;
	case KAFKA_DESCRIBE_GROUPS:
		return ((struct kafka_describe_groups_response *)answer)->groups[0].error_code;
	case KAFKA_DELETE_GROUPS:
		return ((struct kafka_delete_groups_response *)answer)->results[0].error_code;
	case KAFKA_CONSUMER_GROUP_HEARTBEAT:
		return ((struct kafka_consumer_group_heartbeat_response *)answer)->error_code;
	case KAFKA_CONSUMER_GROUP_DESCRIBE:
		return ((struct kafka_consumer_group_describe_response *)answer)
			->groups[0]
			.error_code;
	case KAFKA_SHARE_GROUP_HEARTBEAT:
		return ((struct kafka_share_group_heartbeat_response *)answer)->error_code;
	case KAFKA_SHARE_GROUP_DESCRIBE:
		return ((struct kafka_share_group_describe_response *)answer)->groups[0].error_code;
	default:
		fail_msg("%s has no error here", ask->request.api->name);
		return 0;
	}
}

/* The others are of transactions. */
static bool of_groups(const struct kafka_api *api)
{
	return api->where == KAFKA_ON_COORDINATOR && api->key != KAFKA_ADD_PARTITIONS_TO_TXN &&
	       api->key != KAFKA_ADD_OFFSETS_TO_TXN && api->key != KAFKA_END_TXN &&
	       api->key != KAFKA_DESCRIBE_TRANSACTIONS && api->key != KAFKA_LIST_TRANSACTIONS;
}

/* Asks every version of every API of the groups. */
static void each_request(struct world *world, bool (*wanted)(const struct kafka_api *api),
			 enum kafka_error expected)
{
	unsigned asked = 0;

	for (size_t i = 0; i < kafka_api_count; i++) {
		const struct kafka_api *api = &kafka_apis[i];
		if (!of_groups(api) || (wanted && !wanted(api)))
			continue;
		for (int16_t version = api->min_version; version <= api->max_version; version++) {
			struct world_request *ask = ask_of(world, api, version);
			world_send(ask);
			if (error_of(ask) != expected)
				fail_msg("%s v%d: %s", api->name, version,
					 kafka_error_name(error_of(ask)));
			asked++;
		}
	}
	assert_in_range(asked, 5, 1000);
}

static bool told_of_loading(const struct kafka_api *api)
{
	return api->key != KAFKA_HEARTBEAT && api->key != KAFKA_SYNC_GROUP &&
	       api->key != KAFKA_TXN_OFFSET_COMMIT &&
	       api->key != KAFKA_CONSUMER_GROUP_DESCRIBE; /* the fake has its own answer */
}

static bool heartbeat(const struct kafka_api *api)
{
	return api->key == KAFKA_HEARTBEAT;
}

static bool sync_group(const struct kafka_api *api)
{
	return api->key == KAFKA_SYNC_GROUP;
}

static void nothing_is_answered_before_its_partition_is_loaded(void **state)
{
	struct world *world = *state;

	for (int32_t i = 0; i < 3; i++)
		groups_begin_load(world->groups, i);
	each_request(world, told_of_loading, KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
	/* Where clients end at that. */
	each_request(world, heartbeat, KAFKA_NONE);
	each_request(world, sync_group, KAFKA_REBALANCE_IN_PROGRESS);
	for (int32_t i = 0; i < 3; i++)
		groups_end_load(world->groups, i);
	assert_int_equal(commit_one(world, 8, "g", "orders", 0, 1), KAFKA_NONE);
}

static void a_list_waits_for_all_partitions(void **state)
{
	struct world *world = *state;
	struct world_request *ask = world_ask(world, KAFKA_LIST_GROUPS, 5);

	groups_begin_load(world->groups, 2);
	world_send(ask);
	assert_int_equal(error_of(ask), KAFKA_COORDINATOR_LOAD_IN_PROGRESS);
}

static void after_the_stop_everything_is_refused(void **state)
{
	struct world *world = *state;

	groups_stop(world->groups);
	each_request(world, NULL, KAFKA_COORDINATOR_NOT_AVAILABLE);
	assert_true(groups_turn(world->groups) == UINT64_MAX);
}

static bool empty_id_is_refused(const struct kafka_api *api)
{
	return api->key == KAFKA_JOIN_GROUP || api->key == KAFKA_SYNC_GROUP ||
	       api->key == KAFKA_HEARTBEAT || api->key == KAFKA_LEAVE_GROUP ||
	       api->key == KAFKA_OFFSET_DELETE;
}

static void members_of_a_group_without_a_name_are_refused(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < kafka_api_count; i++) {
		const struct kafka_api *api = &kafka_apis[i];
		if (!empty_id_is_refused(api))
			continue;
		for (int16_t version = api->min_version; version <= api->max_version; version++) {
			struct world_request *ask = ask_of(world, api, version);
			/* group_id comes first in all of them. */
			*(struct kafka_string *)ask->message = kafka_string_of("");
			world_send(ask);
			assert_int_equal(error_of(ask), KAFKA_INVALID_GROUP_ID);
		}
	}
}

static void what_was_drawn_from_a_lost_record_is_not_answered(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < kafka_api_count; i++) {
		const struct kafka_api *api = &kafka_apis[i];
		if (api->key != KAFKA_LIST_GROUPS && api->key != KAFKA_DESCRIBE_GROUPS &&
		    api->key != KAFKA_DELETE_GROUPS)
			continue;
		for (int16_t version = api->min_version; version <= api->max_version; version++) {
			struct world_request *commit = commit_ask(world, 8, "g");
			struct world_request *ask = ask_of(world, api, version);
			world->log.hold = true;
			commit_add(commit, "orders", 0, 1, NULL);
			world_send(commit);
			world_send(ask);
			assert_false(ask->answered);
			world_fail(world, partition_of("g", 3));
			/* ListGroups asks all brokers: none is the wrong one. */
			assert_int_equal(error_of(ask), api->key == KAFKA_LIST_GROUPS
								? KAFKA_COORDINATOR_NOT_AVAILABLE
								: KAFKA_NOT_COORDINATOR);
			assert_int_equal(world->groups->count, 0);
		}
	}
}

static void a_parked_request_is_told_that_its_partition_is_loaded_anew(void **state)
{
	struct world *world = *state;
	struct world_request *ask = ask_of(world, kafka_api_find(KAFKA_JOIN_GROUP), 5);

	world_send(ask);
	assert_false(ask->answered);
	world_fail(world, partition_of("g", 3));
	assert_int_equal(error_of(ask), KAFKA_NOT_COORDINATOR);
}

static void a_parked_request_is_told_of_the_end(void **state)
{
	struct world *world = *state;
	struct world_request *ask = ask_of(world, kafka_api_find(KAFKA_JOIN_GROUP), 5);

	world_send(ask);
	groups_stop(world->groups);
	assert_int_equal(error_of(ask), KAFKA_COORDINATOR_NOT_AVAILABLE);
}

static void a_loaded_group_is_told_of_topics_once_they_change(void **state)
{
	struct world *world = *state;
	struct fake_group *group = fake_classic(world->groups, "g", "consumer", 1);

	world_topic(world, "bills", 1);
	assert_int_equal(group->topics_changed, 1);
	world_restart(world);
	group = fake_find(world->groups, "g");
	assert_int_equal(group->loaded, 1);
}

/* ---- replay ---- */

static int replay(struct world *world, int32_t partition, const void *key, size_t key_size,
		  const void *value, size_t value_size, char why[static 200])
{
	struct record record = {
		.key = key, .key_length = key_size, .value = value, .value_length = value_size};

	return groups_replay(world->groups, partition, &record, 0, why, 200);
}

static void a_record_that_is_not_ours_is_told_and_changes_nothing(void **state)
{
	static const uint8_t type_99[] = {0, 99, 0, 1, 'g'};
	static const uint8_t cut[] = {0, 1, 0, 1, 'g', 0, 9, 'o'};
	static const uint8_t good[] = {0, 1, 0, 1, 'g', 0, 1, 'o', 0, 0, 0, 0};
	static const uint8_t version_9[] = {0, 9, 0, 0};
	struct world *world = *state;
	int32_t home = partition_of("g", 3);
	char why[200] = "";

	for (int32_t i = 0; i < 3; i++)
		groups_begin_load(world->groups, i);
	assert_int_equal(replay(world, home, type_99, sizeof(type_99), NULL, 0, why), -ERR_FORMAT);
	assert_string_not_equal(why, "");
	assert_int_equal(replay(world, home, cut, sizeof(cut), NULL, 0, why), -ERR_CORRUPT);
	assert_int_equal(replay(world, home, NULL, 0, NULL, 0, why), -ERR_CORRUPT);
	assert_int_equal(replay(world, home, good, sizeof(good), version_9, sizeof(version_9), why),
			 -ERR_FORMAT);
	assert_int_equal(replay(world, (home + 1) % 3, good, sizeof(good), NULL, 0, why),
			 -ERR_CORRUPT);
	assert_non_null(strstr(why, "belongs to partition"));
	assert_int_equal(replay(world, home, good, sizeof(good), NULL, 0, why), 0);
	assert_int_equal(world->groups->count, 0);
}

/* Kafka's versions 0 to 3 of the value, as a broker that was replaced may have left them. */
static void offsets_in_older_formats_are_read(void **state)
{
	static const uint8_t key[] = {0,   1,   0,   1,   'g', 0, 6, 'o', 'r',
				      'd', 'e', 'r', 's', 0,   0, 0, 1};
	static const uint8_t version_1[] = {0, 1, 0,   0,    0, 0, 0, 0, 0, 7, /* offset */
					    0, 1, 'm',                         /* metadata */
					    0, 0, 0,   0,    0, 0, 0, 5,       /* committed */
					    0, 0, 0,   0x40, 0, 0, 0, 0};      /* expires */
	static const uint8_t version_3[] = {0, 3, 0,   0, 0, 0, 0, 0, 0, 8,    /* offset */
					    0, 0, 0,   4,                      /* leader epoch */
					    0, 1, 'n',                         /* metadata */
					    0, 0, 0,   0, 0, 0, 0, 6};         /* committed */
	struct world *world = *state;
	struct kafka_string id = kafka_string_of("g"), topic = kafka_string_of("orders");
	int32_t home = partition_of("g", 3);
	char why[200];

	groups_begin_load(world->groups, home);
	assert_int_equal(replay(world, home, key, sizeof(key), version_1, sizeof(version_1), why),
			 0);
	struct group *group = group_find(world->groups, &id);
	const struct committed_offset *committed = offsets_get(&group->offsets, &topic, 1);
	assert_int_equal(committed->offset, 7);
	assert_int_equal(committed->leader_epoch, -1);
	assert_int_equal(committed->commit_ms, 5);
	assert_true(committed->expire_ms == INT64_C(0x4000000000));
	assert_memory_equal(committed->metadata, "m", 1);
	assert_int_equal(replay(world, home, key, sizeof(key), version_3, sizeof(version_3), why),
			 0);
	committed = offsets_get(&group->offsets, &topic, 1);
	assert_int_equal(committed->offset, 8);
	assert_int_equal(committed->leader_epoch, 4);
	assert_true(committed->expire_ms == -1);
}

static void a_rewrite_that_ran_out_of_memory_says_so(void **state)
{
	struct world *world = *state;

	commit_one(world, 8, "g", "orders", 0, 1);
	commit_one(world, 8, "g", "orders", 1, 1);
	world->log.refuse_after = 1;
	assert_int_equal(groups_rewrite(world->groups, partition_of("g", 3)), -ENOMEM);
}

/* Random commits, deletions, topics and failures of the log against what the answers promise: an
 * acknowledged commit is fetched, after a restart too. */
static void committed_offsets_survive_whatever_happens(void **state)
{
	enum { GROUPS = 4, PARTITIONS = 3, STEPS = 3000 };
	struct world *world = *state;
	int64_t model[GROUPS][PARTITIONS];
	static const char *const ids[GROUPS] = {"a", "b", "c", "d"};
	uint64_t seed = 42;

	memset(model, -1, sizeof(model));
	print_message("seed %llu\n", (unsigned long long)seed);
	for (int64_t step = 1; step <= STEPS; step++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		unsigned group = seed >> 40 & 3, partition = (unsigned)(seed >> 50) % PARTITIONS;
		struct world_request *ask;
		switch (seed >> 33 & 15) {
		case 0:
			world_restart(world);
			break;
		case 1:
			ask = delete_ask(world, ids[group]);
			delete_add(ask, "orders", (int32_t)partition);
			world_send(ask);
			model[group][partition] = -1;
			break;
		case 2:
			world_delete_topic(world, "orders");
			world_topic(world, "orders", PARTITIONS);
			memset(model, -1, sizeof(model));
			break;
		case 3: /* lost: the former offset stands */
			world->log.hold = true;
			ask = commit_ask(world, 8, ids[group]);
			commit_add(ask, "orders", (int32_t)partition, step, NULL);
			world_send(ask);
			world_fail(world, partition_of(ids[group], 3));
			world->log.hold = false;
			assert_int_equal(commit_error(ask, "orders", (int32_t)partition),
					 KAFKA_NOT_COORDINATOR);
			break;
		default:
			assert_int_equal(commit_one(world, 8, ids[group], "orders",
						    (int32_t)partition, step),
					 KAFKA_NONE);
			model[group][partition] = step;
		}
		struct fetched row = fetch_one(world, 8, ids[group], "orders", (int32_t)partition);
		assert_int_equal(row.offset, model[group][partition]);
		if (step % 100 == 0)
			world_check_restart(world);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_groups_partition_is_kafkas),
		TEST(groups_are_found_among_very_many),
		TEST(nothing_is_answered_before_its_partition_is_loaded),
		TEST(a_list_waits_for_all_partitions),
		TEST(after_the_stop_everything_is_refused),
		TEST(members_of_a_group_without_a_name_are_refused),
		TEST(what_was_drawn_from_a_lost_record_is_not_answered),
		TEST(a_parked_request_is_told_that_its_partition_is_loaded_anew),
		TEST(a_parked_request_is_told_of_the_end),
		TEST(a_loaded_group_is_told_of_topics_once_they_change),
		TEST(a_record_that_is_not_ours_is_told_and_changes_nothing),
		TEST(offsets_in_older_formats_are_read),
		TEST(a_rewrite_that_ran_out_of_memory_says_so),
		TEST(committed_offsets_survive_whatever_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
