/* What can be set in a workload, and the sentences for what is wrong. */
#include "bench/suite/workload.h"

#include "base/bytes.h"
#include "control/param.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct world {
	struct workload workload;
	char why[256];
};

static int setup(void **state)
{
	static struct world world;

	workload_init(&world.workload);
	world.why[0] = '\0';
	*state = &world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	workload_fini(&world->workload);
	return 0;
}

static int set(struct world *world, const char *key, const char *value)
{
	return workload_set(&world->workload, key, value, world->why, sizeof(world->why));
}

static int check_it(struct world *world)
{
	return workload_check(&world->workload, world->why, sizeof(world->why));
}

static void every_builtin_fits_together_and_is_found_by_its_name(void **state)
{
	struct world *world = *state;
	const struct workload *builtin;
	size_t count = 0;

	for (; (builtin = workload_at(count)); count++) {
		workload_fini(&world->workload);
		assert_int_equal(workload_builtin(builtin->name, &world->workload), 0);
		assert_string_equal(world->workload.help, builtin->help);
		assert_int_equal(check_it(world), 0);
		assert_true(builtin->help[0]);
		for (size_t i = 0; i < count; i++)
			assert_string_not_equal(workload_at(i)->name, builtin->name);
	}
	assert_true(count > 0);
	assert_int_equal(workload_builtin("lateny", &world->workload), -ENOENT);
	assert_string_equal(workload_nearest("lateny"), "latency");
	assert_string_equal(workload_nearest("dedup_off"), "dedup-off");
}

static void openmessaging_keys_set_what_they_mean(void **state)
{
	struct world *world = *state;
	struct workload *w = &world->workload;

	assert_int_equal(set(world, "name", "1 producer / 1 consumer on 1 topic"), 0);
	assert_int_equal(set(world, "topics", "3"), 0);
	assert_int_equal(set(world, "partitionsPerTopic", "16"), 0);
	assert_int_equal(set(world, "keyDistributor", "KEY_ROUND_ROBIN"), 0);
	assert_int_equal(set(world, "messageSize", "100"), 0);
	assert_int_equal(set(world, "randomBytesRatio", "0.5"), 0);
	assert_int_equal(set(world, "subscriptionsPerTopic", "0"), 0);
	assert_int_equal(set(world, "producersPerTopic", "4"), 0);
	assert_int_equal(set(world, "consumerPerSubscription", "5"), 0);
	assert_int_equal(set(world, "producerRate", "10000000"), 0);
	assert_int_equal(set(world, "consumerBacklogSizeGB", "100"), 0);
	assert_int_equal(set(world, "testDurationMinutes", "15"), 0);
	assert_int_equal(set(world, "warmupDurationMinutes", "0"), 0);
	assert_string_equal(w->name, "1 producer / 1 consumer on 1 topic");
	assert_int_equal(w->topics, 3);
	assert_int_equal(w->partitions_per_topic, 16);
	assert_int_equal(w->keys, KEYS_ROUND_ROBIN);
	assert_int_equal(w->message_bytes, 100);
	assert_true(w->random_bytes_share == 0.5);
	assert_int_equal(w->subscriptions_per_topic, 0);
	assert_int_equal(w->producers_per_topic, 4);
	assert_int_equal(w->consumers_per_subscription, 5);
	assert_int_equal(w->producer_rate, 10000000);
	assert_int_equal(w->backlog_bytes, UINT64_C(100) << 30);
	assert_int_equal(w->duration_ms, 15 * 60000);
	assert_int_equal(w->warm_up_ms, 0);
}

static void our_keys_take_human_units(void **state)
{
	struct world *world = *state;
	struct workload *w = &world->workload;

	assert_int_equal(set(world, "messageSize", "1k"), 0);
	assert_int_equal(set(world, "consumerBacklogSize", "256 MiB"), 0);
	assert_int_equal(set(world, "duration", "10s"), 0);
	assert_int_equal(set(world, "warmupDuration", "500ms"), 0);
	assert_int_equal(set(world, "acks", "1"), 0);
	assert_int_equal(set(world, "batchSize", "64k"), 0);
	assert_int_equal(set(world, "lingerUs", "250"), 0);
	assert_int_equal(set(world, "compression", "ZSTD"), 0);
	assert_int_equal(set(world, "dedup", "true"), 0);
	assert_int_equal(set(world, "rebalanceInterval", "3s"), 0);
	assert_int_equal(w->message_bytes, 1024);
	assert_int_equal(w->backlog_bytes, 256 << 20);
	assert_int_equal(w->duration_ms, 10000);
	assert_int_equal(w->warm_up_ms, 500);
	assert_int_equal(w->acks, DRIVER_ACKS_ONE);
	assert_int_equal(w->batch_bytes_max, 64 << 10);
	assert_int_equal(w->linger_us, 250);
	assert_string_equal(w->compression, "zstd");
	assert_true(w->dedup);
	assert_int_equal(w->rebalance_ms, 3000);
}

static void settings_are_added_up_to_their_limit(void **state)
{
	struct world *world = *state;

	assert_int_equal(set(world, "topicConfig", "a=b=c"), 0);
	for (int i = 1; i < WORKLOAD_SETTINGS_MAX - 1; i++)
		assert_int_equal(set(world, "topicConfig", "retention.ms=1"), 0);
	assert_string_equal(world->workload.topic_configs[0], "a=b=c");
	assert_null(world->workload.topic_configs[WORKLOAD_SETTINGS_MAX - 1]);
	assert_int_equal(set(world, "topicConfig", "one=more"), -ERANGE);
	assert_int_equal(set(world, "clientSetting", "no-equals"), -EINVAL);
	assert_int_equal(set(world, "clientSetting", "=no-name"), -EINVAL);
	assert_null(world->workload.client_settings[0]);
}

static void an_unknown_key_is_told_the_nearest_one(void **state)
{
	struct world *world = *state;

	assert_int_equal(set(world, "partitionPerTopics", "1"), -ENOENT);
	assert_non_null(strstr(world->why, "partitionPerTopics"));
	assert_non_null(strstr(world->why, "\"partitionsPerTopic\""));
}

static void a_bad_value_is_told_what_a_good_one_is_and_changes_nothing(void **state)
{
	static const char *const bad[][2] = {
		{"messageSize", "7"},
		{"messageSize", "1x"},
		{"messageSize", ""},
		{"topics", "0"},
		{"topics", "-1"},
		{"randomBytesRatio", "1.1"},
		{"randomBytesRatio", "nan"},
		{"keyDistributor", "X"},
		{"testDurationMinutes", "0"},
		{"testDurationMinutes", "99999999999999999999"},
		{"dedup", "maybe"},
		{"name", "a\nb"},
		{"useRandomizedPayloads", "perhaps"},
	};
	struct world *world = *state;
	struct workload before = world->workload;

	for (size_t i = 0; i < array_count(bad); i++) {
		assert_int_equal(set(world, bad[i][0], bad[i][1]), -EINVAL);
		assert_non_null(strstr(world->why, bad[i][0]));
	}
	assert_memory_equal(&before, &world->workload, sizeof(before));
}

static void every_key_takes_its_bounds_and_nothing_beyond(void **state)
{
	struct world *world = *state;
	const struct param *param;
	char text[32];

	for (size_t i = 0; (param = workload_key_at(i)); i++) {
		if (param->kind != PARAM_COUNT && param->kind != PARAM_BYTES &&
		    param->kind != PARAM_MS)
			continue;
		for (int beyond = 0; beyond <= 1; beyond++) {
			int expected = beyond ? -EINVAL : 0;
			snprintf(text, sizeof(text), "%lld", (long long)param->min - beyond);
			assert_int_equal(set(world, param->key, text), expected);
			snprintf(text, sizeof(text), "%lld", (long long)param->max + beyond);
			assert_int_equal(set(world, param->key, text), expected);
		}
	}
}

/* Each line is what is set on top of a plain workload, and words of the reason. */
static void what_does_not_fit_together_is_refused(void **state)
{
	static const struct {
		const char *sets[4][2];
		const char *reason;
	} cases[] = {
		{{{"consumerBacklogSize", "1m"}, {"subscriptionsPerTopic", "0"}}, "nobody"},
		{{{"tailConsumers", "1"}}, "consumerBacklogSize"},
		{{{"consumerGroups", "true"}, {"subscriptionsPerTopic", "0"}}, "members"},
		{{{"rebalanceInterval", "1s"}}, "consumerGroups"},
		{{{"rebalanceInterval", "1s"}, {"consumerGroups", "true"}}, "none stays"},
		{{{"topics", "100001"}}, "producers: at most"},
		{{{"topics", "1000"}, {"consumerPerSubscription", "101"}}, "consumers: at most"},
		{{{"topics", "21"}, {"partitionsPerTopic", "100000"}}, "partitions: at most"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < array_count(cases); i++) {
		workload_fini(&world->workload);
		workload_init(&world->workload);
		assert_int_equal(check_it(world), 0);
		for (size_t j = 0; cases[i].sets[j][0]; j++)
			assert_int_equal(set(world, cases[i].sets[j][0], cases[i].sets[j][1]), 0);
		assert_int_equal(check_it(world), -EINVAL);
		assert_non_null(strstr(world->why, cases[i].reason));
	}
}

#define each(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(every_builtin_fits_together_and_is_found_by_its_name),
		each(openmessaging_keys_set_what_they_mean),
		each(our_keys_take_human_units),
		each(settings_are_added_up_to_their_limit),
		each(an_unknown_key_is_told_the_nearest_one),
		each(a_bad_value_is_told_what_a_good_one_is_and_changes_nothing),
		each(every_key_takes_its_bounds_and_nothing_beyond),
		each(what_does_not_fit_together_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
