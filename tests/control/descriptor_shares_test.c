/* Whose the descriptors are: by the limit, the shards and the settings. */
#include "control/config.h"
#include "control/descriptor_shares.h"
#include "storage/open_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <sys/resource.h>

static void shares_of_all_shards_fit_in_the_limit(void **state)
{
	const struct config config = {0};

	(void)state;
	for (unsigned shards = 1; shards <= 64; shards *= 2) {
		for (uint64_t limit = 4096; limit <= 1 << 20; limit *= 2) {
			struct descriptor_shares shares = descriptor_shares(&config, shards, limit);
			uint64_t total = (uint64_t)shards *
					 (shares.files_a_shard + shares.connections_a_shard);
			assert_true(total < limit);
			assert_true(total > limit / 2);
			assert_true(shares.connections_a_shard > shares.files_a_shard);
		}
	}
}

static void a_setting_says_how_many_files_stay_open(void **state)
{
	const struct config config = {.log_descriptors_max = 1000};

	(void)state;
	struct descriptor_shares shares = descriptor_shares(&config, 4, 20000);
	assert_int_equal(shares.files_a_shard, 250);
	assert_true(shares.connections_a_shard > 4000);
}

static void each_gets_a_few_where_there_are_too_few_for_all(void **state)
{
	const struct config config = {0};

	(void)state;
	struct descriptor_shares shares = descriptor_shares(&config, 8, 64);
	assert_true(shares.files_a_shard >= OPEN_FILES_KEPT);
	assert_true(shares.connections_a_shard > 0);
}

static void the_limit_is_raised_to_what_the_process_may_have(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 50;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(descriptor_limit_raise() > 50 || limit.rlim_max <= 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_of_all_shards_fit_in_the_limit),
		cmocka_unit_test(a_setting_says_how_many_files_stay_open),
		cmocka_unit_test(each_gets_a_few_where_there_are_too_few_for_all),
		cmocka_unit_test(the_limit_is_raised_to_what_the_process_may_have),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
