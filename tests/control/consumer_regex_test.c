/* Regular expressions by themselves, and groups that subscribe with them. */
#include "base/bytes.h"
#include "control/groups/consumer_regex.h"
#include "tests/control/consumer_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- by themselves ---- */

static int matches(const char *expression, const char *name, int64_t *steps)
{
	struct kafka_string text = kafka_string_of(expression);
	struct regex *regex = NULL;
	char why[REGEX_WHY_BYTES] = "";
	int rc = regex_compile(&regex, &text, why, sizeof(why));

	if (rc == 0)
		rc = regex_match(regex, name, strlen(name), steps);
	else
		assert_true(strlen(why) > 0);
	regex_free(regex);
	return rc;
}

static void the_whole_name_has_to_match(void **state)
{
	static const struct {
		const char *expression;
		const char *name;
		int matches;
	} cases[] = {
		{"abc", "abc", 1},
		{"b", "abc", 0},
		{"ab", "abc", 0},
		{"a.*", "abc", 1},
		{"a|ab|abc", "abc", 1},
		{"^abc$", "abc", 1},
		{"[a-c]+", "abc", 1},
		{"(?i)ABC", "abc", 1},
		{"a\\.b", "a.b", 1},
		{"a\\.b", "axb", 0},
		{"(a|b)*c", "ababc", 1},
		{"", "a", 0},
		{"\\w{3}", "abc", 1},
		{"(?P<x>a)bc", "abc", 1},
		{"a+?bc", "aabc", 1},
		{"[[:alpha:]]*", "abc", 1},
		{"\\Qa.b\\E", "a.b", 1},
		{"\\p{L}+", "abc", 1},
		{"(foo|bar)-[0-9]{1,3}", "bar-42", 1},
		{"(foo|bar)-[0-9]{1,3}", "bar-4242", 0},
	};

	for (size_t i = 0; i < array_count(cases); i++) {
		int64_t steps = REGEX_STEPS_MAX;
		if (matches(cases[i].expression, cases[i].name, &steps) != cases[i].matches)
			fail_msg("%s on %s", cases[i].expression, cases[i].name);
	}
}

static void what_is_not_valid_does_not_compile(void **state)
{
	static const char *const bad[] = {"[",
					  "(",
					  "a{2,1}",
					  "*",
					  "\\",
					  "(a)\\1",
					  "(?<n>a)\\k<n>",
					  "a\\C",
					  "((a{1,1000}){1,1000}){1,1000}",
					  "(?P<>a)"};

	for (size_t i = 0; i < array_count(bad); i++) {
		int64_t steps = REGEX_STEPS_MAX;
		if (matches(bad[i], "a", &steps) != -EINVAL)
			fail_msg("%s", bad[i]);
	}
}

static void what_is_too_long_does_not_compile(void **state)
{
	char *text = malloc(REGEX_BYTES_MAX + 2);
	int64_t steps = REGEX_STEPS_MAX;

	memset(text, 'a', REGEX_BYTES_MAX + 1);
	text[REGEX_BYTES_MAX + 1] = '\0';
	assert_int_equal(matches(text, "a", &steps), -EINVAL);
	free(text);
}

/* Backtracking these takes time exponential in the length of the name. */
static void nothing_takes_long(void **state)
{
	static const char *const hard[] = {"(a*)*b",         "(a|a)*b",          "(a|aa)+b",
					   "(a?){60}a{60}b", "(.*)*(.*)*(.*)*x", "(((a*)*)*)*b"};
	char name[TOPIC_NAME_MAX + 1];

	memset(name, 'a', TOPIC_NAME_MAX);
	name[TOPIC_NAME_MAX] = '\0';
	for (size_t i = 0; i < array_count(hard); i++) {
		int64_t steps = REGEX_STEPS_MAX;
		if (matches(hard[i], name, &steps) == 1)
			fail_msg("%s", hard[i]);
		assert_true(REGEX_STEPS_MAX - steps < REGEX_STEPS_MAX / 10);
	}
}

static void steps_are_bounded(void **state)
{
	int64_t steps = 5;

	assert_int_equal(matches("(a|b|c)*d", "abcabcabcabcd", &steps), -E2BIG);
	assert_int_equal(matches("a", "a", &steps), -E2BIG);
}

/* ---- in groups ---- */

static int set_up(void **state)
{
	struct world *w = world_new(1);

	world_topic(w, "in-1", 2);
	world_topic(w, "in-2", 1);
	world_topic(w, "out", 1);
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

static heartbeat_answer *join_matching(struct world *w, const char *member, const char *regex)
{
	return beat(w,
		    (struct beat){
			    .member = member, .regex = regex, .owned = "", .rebalance_ms = 60000});
}

static void topics_that_match_are_assigned(void **state)
{
	struct world *w = *state;

	expect(w, join_matching(w, "a", "in-.*"), 1, "in-1:0,1 in-2:0");
	assert_string_equal(appended_types(w, 0), "3 5 16 7 6 8");
}

static void topics_that_come_later_and_match_are_assigned_then(void **state)
{
	struct world *w = *state;

	join_matching(w, "a", "in-.*");
	world_topic(w, "out-2", 1);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	world_topic(w, "in-3", 1);
	size_t appended = world_appended(w);
	expect(w, alive(w, "a", 1), 2, "in-1:0,1 in-2:0 in-3:0");
	assert_string_equal(appended_types(w, appended), "3 16 7 6 8");
}

static void names_and_an_expression_add_up(void **state)
{
	struct world *w = *state;

	expect(w,
	       beat(w, (struct beat){.member = "a",
				     .topics = "out,in-1",
				     .regex = "in-.*",
				     .owned = "",
				     .rebalance_ms = 1000}),
	       1, "in-1:0,1 in-2:0 out:0");
}

static void an_expression_that_nobody_needs_is_forgotten(void **state)
{
	struct world *w = *state;

	join_matching(w, "a", "in-.*");
	size_t appended = world_appended(w);
	beat(w, (struct beat){.member = "a", .epoch = 1, .regex = "", .topics = "out"});
	assert_string_equal(appended_types(w, appended), "3 5 16- 7 6 8");
	join_matching(w, "b", "out");
	appended = world_appended(w);
	leave(w, "b");
	assert_string_equal(appended_types(w, appended), "3 8- 7- 5- 16-");
}

static void members_with_one_expression_share_its_record(void **state)
{
	struct world *w = *state;

	join_matching(w, "a", "in-.*");
	size_t appended = world_appended(w);
	join_matching(w, "b", "in-.*");
	assert_null(strstr(appended_types(w, appended), "16"));
	leave(w, "a");
	assert_null(strstr(appended_types(w, appended), "16"));
}

static void an_invalid_expression_is_refused_with_the_reason(void **state)
{
	struct world *w = *state;
	const heartbeat_answer *answer = join_matching(w, "a", "in-[");

	expect_refused(answer, KAFKA_INVALID_REGULAR_EXPRESSION);
	assert_non_null(memmem(answer->error_message.data, (size_t)answer->error_message.length,
			       "terminating ]", 13));
	assert_int_equal(world_appended(w), 0);
	assert_int_equal(w->groups->count, 0);
}

static void who_asks_for_an_invalid_expression_keeps_what_it_had(void **state)
{
	struct world *w = *state;

	join_matching(w, "a", "in-.*");
	size_t appended = world_appended(w);
	expect_refused(beat(w, (struct beat){.member = "a", .epoch = 1, .regex = "("}),
		       KAFKA_INVALID_REGULAR_EXPRESSION);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	assert_int_equal(world_appended(w), appended);
}

static void internal_topics_do_not_match(void **state)
{
	struct world *w = *state;

	w->rows[2]->internal = true;
	expect(w, join_matching(w, "a", ".*"), 1, "in-1:0,1 in-2:0");
}

static void after_a_restart_the_same_topics_are_the_same(void **state)
{
	struct world *w = *state;

	join_matching(w, "a", "in-.*");
	size_t appended = world_appended(w);
	world_restart(w);
	expect(w, alive(w, "a", 1), 1, "unchanged");
	assert_int_equal(world_appended(w), appended);
	world_topic(w, "in-3", 1);
	expect(w, alive(w, "a", 1), 2, "in-1:0,1 in-2:0 in-3:0");
}

/* What the expression matched is of a picture that is gone. */
static void a_member_leaves_after_a_topic_that_matched_is_deleted(void **state)
{
	struct world *w = *state;

	join_matching(w, "a", "in-.*");
	join_matching(w, "b", "in-.*");
	world_delete_topic(w, "in-2");
	assert_int_equal(leave(w, "b")->error_code, 0);
	world_check_restart(w);
	size_t appended = world_appended(w);
	alive(w, "a", 1);
	assert_non_null(strstr(appended_types(w, appended), "16"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_name_has_to_match),
		cmocka_unit_test(what_is_not_valid_does_not_compile),
		cmocka_unit_test(what_is_too_long_does_not_compile),
		cmocka_unit_test(nothing_takes_long),
		cmocka_unit_test(steps_are_bounded),
		TEST(topics_that_match_are_assigned),
		TEST(topics_that_come_later_and_match_are_assigned_then),
		TEST(names_and_an_expression_add_up),
		TEST(an_expression_that_nobody_needs_is_forgotten),
		TEST(members_with_one_expression_share_its_record),
		TEST(an_invalid_expression_is_refused_with_the_reason),
		TEST(who_asks_for_an_invalid_expression_keeps_what_it_had),
		TEST(internal_topics_do_not_match),
		TEST(after_a_restart_the_same_topics_are_the_same),
		TEST(a_member_leaves_after_a_topic_that_matched_is_deleted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
