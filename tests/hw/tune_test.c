/* Tuning and its undoing, killed at any point, and what the state file may say. */
#include "base/bytes.h"
#include "base/errors.h"
#include "hw/tune/tune.h"
#include "hw/tune/tune_state.h"
#include "tests/hw/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define THP "sys/kernel/mm/transparent_hugepage/enabled"

/* What a plan for this tree changes; the layout's file comes last. */
static const char *const values[][3] = {
	{"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "performance"},
	{"sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave", "performance"},
	{THP, "always", "madvise"},
	{"proc/sys/net/core/somaxconn", "128", "4096"},
	{"proc/sys/net/core/rmem_max", "212992", "8388608"},
	{"proc/sys/net/core/wmem_max", "212992", "8388608"},
};

static int set_up(void **state)
{
	tree_set_up(state);
	struct tree *tree = *state;

	for (size_t i = 0; i < array_count(values); i++)
		tree_write(tree, values[i][0], values[i][1]);
	tree_write(tree, THP, "[always] madvise never");
	tree_write(tree, "sys/devices/system/cpu/online", "0-1");
	tree_write(tree, "proc/sys/kernel/random/boot_id", "first");
	return 0;
}

static struct tune plan(struct tree *tree)
{
	static struct host host;
	struct tune tune;
	char why[256];

	assert_int_equal(host_read(&host, &tree->root, NULL, NULL, why, sizeof(why)), 0);
	assert_int_equal(tune_plan(&tune, &host), 0);
	return tune;
}

static void apply(struct tree *tree)
{
	struct tune tune = plan(tree);
	char why[256];

	assert_int_equal(tune_apply(&tune, &tree->root, why, sizeof(why)), 0);
	tune_free(&tune);
}

static struct tune undo(struct tree *tree)
{
	struct tune tune;
	char why[256];

	assert_int_equal(tune_undo(&tune, &tree->root, false, why, sizeof(why)), 0);
	return tune;
}

static void undo_all(struct tree *tree)
{
	struct tune tune = undo(tree);

	tune_free(&tune);
}

static void expect_values(struct tree *tree, int column)
{
	for (size_t i = 0; i < array_count(values); i++) {
		/* What the tree shows before it is ever written. */
		if (strcmp(tree_text(tree, values[i][0]), "[always] madvise never") == 0)
			assert_int_equal(column, 1);
		else
			assert_string_equal(tree_text(tree, values[i][0]), values[i][column]);
	}
	assert_int_equal(host_exists(&tree->root, TUNE_LAYOUT), column == 2);
	assert_int_equal(host_exists(&tree->root, TUNE_STATE), column == 2);
}

static void what_is_applied_is_undone(void **state)
{
	struct tree *tree = *state;

	apply(tree);
	expect_values(tree, 2);
	undo_all(tree);
	expect_values(tree, 1);
}

static void a_second_run_changes_nothing_and_one_undo_undoes_both(void **state)
{
	struct tree *tree = *state;

	apply(tree);
	struct tune tune = plan(tree);
	assert_int_equal(tune.count, 0);
	tune_free(&tune);
	apply(tree);
	/* Something that was unwell again in between keeps its first former value. */
	tree_write(tree, "proc/sys/net/core/somaxconn", "256");
	apply(tree);
	undo_all(tree);
	expect_values(tree, 1);
}

static void nothing_to_undo_is_no_failure(void **state)
{
	struct tune tune = undo(*state);

	assert_int_equal(tune.count, 0);
	tune_free(&tune);
}

/* ---- killed ---- */

static int writes_left;

static void die(void *context, const char *path, const char *text)
{
	if (writes_left-- == 0)
		_exit(0);
}

/* `what` in a process that ends right after its `writes`th write; true: it came through. */
static bool killed_after(struct tree *tree, int writes, void (*what)(struct tree *))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		writes_left = writes;
		tree->root.wrote = die;
		what(tree);
		_exit(1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 1;
}

static void killed_at_any_write_it_is_undone_all_the_same(void **state)
{
	struct tree *tree = *state;
	int writes = 0;

	while (!killed_after(tree, writes++, apply)) {
		undo_all(tree);
		expect_values(tree, 1);
	}
	assert_int_equal(writes, array_count(values) + 1);
}

static void an_undo_that_is_killed_is_ended_by_the_next(void **state)
{
	struct tree *tree = *state;

	for (int writes = 0; writes < (int)array_count(values); writes++) {
		apply(tree);
		assert_false(killed_after(tree, writes, undo_all));
		undo_all(tree);
		expect_values(tree, 1);
	}
}

/* ---- others ---- */

static void what_somebody_else_has_changed_since_stays(void **state)
{
	struct tree *tree = *state;

	apply(tree);
	tree_write(tree, "proc/sys/net/core/somaxconn", "9999");
	struct tune tune = undo(tree);
	size_t left = 0;
	for (size_t i = 0; i < tune.count; i++)
		left += tune.at[i].outcome == TUNE_LEFT;
	assert_int_equal(left, 1);
	tune_free(&tune);
	assert_string_equal(tree_text(tree, "proc/sys/net/core/somaxconn"), "9999");
	assert_false(host_exists(&tree->root, TUNE_STATE));
}

static void a_file_of_somebody_elses_comes_back(void **state)
{
	struct tree *tree = *state;

	tree_write(tree, TUNE_LAYOUT, "shards = 1\n");
	apply(tree);
	assert_non_null(strstr(tree_text(tree, TUNE_LAYOUT), "shards = 2"));
	undo_all(tree);
	assert_string_equal(tree_text(tree, TUNE_LAYOUT), "shards = 1");
}

static void after_a_restart_of_the_host_only_files_are_undone(void **state)
{
	struct tree *tree = *state;

	apply(tree);
	for (size_t i = 0; i < array_count(values); i++)
		tree_write(tree, values[i][0], "from the kernel");
	tree_write(tree, "proc/sys/kernel/random/boot_id", "second");
	struct tune tune = undo(tree);
	assert_int_equal(tune.count, 1);
	assert_string_equal(tune.at[0].path, TUNE_LAYOUT);
	tune_free(&tune);
	assert_string_equal(tree_text(tree, values[0][0]), "from the kernel");
}

static void a_value_that_the_kernel_refuses_is_said_and_not_remembered(void **state)
{
	struct tree *tree = *state;
	struct tune tune = plan(tree);
	char why[256];

	assert_string_equal(tune.at[0].path, values[0][0]);
	assert_int_equal(unlinkat(tree->root.fd, values[0][0], 0), 0);
	assert_int_equal(tune_apply(&tune, &tree->root, why, sizeof(why)), 0);
	assert_int_equal(tune.at[0].outcome, TUNE_REFUSED);
	assert_int_equal(tune.at[1].outcome, TUNE_DONE);
	tune_free(&tune);
}

/* ---- the state file ---- */

static void a_state_that_is_not_ours_is_refused_and_nothing_changed(void **state)
{
	struct tree *tree = *state;
	static const char *const wrong[] = {
		"",
		"[]",
		"{\"version\": 2, \"boot\": \"first\", \"changes\": []}",
		"{\"version\": 1, \"boot\": \"first\", \"changes\": [{\"path\": \"etc/passwd\", "
		"\"former\": \"x\", \"set\": \"y\", \"file\": false}]}",
		"{\"version\": 1, \"boot\": \"first\", \"changes\": [{\"path\": \"etc/passwd\", "
		"\"former\": \"x\", \"set\": \"y\", \"file\": true}]}",
		"{\"version\": 1, \"boot\": \"first\", \"changes\": [{\"path\": "
		"\"sys/../etc/passwd\", \"former\": \"x\", \"set\": \"y\", \"file\": false}]}",
		"{\"version\": 1, \"boot\": \"first\", \"changes\": [{\"path\": \"sys/a\", "
		"\"former\": null, \"set\": \"y\", \"file\": false}]}",
		"{\"version\": 1, \"boot\": \"first\", \"changes\": [{\"path\": \"sys/a\"}]}",
	};

	for (size_t i = 0; i < array_count(wrong); i++) {
		char why[256];
		struct tune tune = plan(tree);
		tree_write(tree, TUNE_STATE, wrong[i]);
		assert_int_equal(tune_apply(&tune, &tree->root, why, sizeof(why)), -ERR_FORMAT);
		assert_non_null(strstr(why, TUNE_STATE));
		assert_string_equal(tree_text(tree, values[0][0]), values[0][1]);
		tune_free(&tune);
		assert_int_equal(tune_undo(&tune, &tree->root, false, why, sizeof(why)),
				 -ERR_FORMAT);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tree_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_applied_is_undone),
		TEST(a_second_run_changes_nothing_and_one_undo_undoes_both),
		TEST(nothing_to_undo_is_no_failure),
		TEST(killed_at_any_write_it_is_undone_all_the_same),
		TEST(an_undo_that_is_killed_is_ended_by_the_next),
		TEST(what_somebody_else_has_changed_since_stays),
		TEST(a_file_of_somebody_elses_comes_back),
		TEST(after_a_restart_of_the_host_only_files_are_undone),
		TEST(a_value_that_the_kernel_refuses_is_said_and_not_remembered),
		TEST(a_state_that_is_not_ours_is_refused_and_nothing_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
