/* Lines as they arrive at standard error, which is a pipe here. */
#include "base/log.h"

#include "base/errors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct capture {
	int pipe[2];
	int stderr_before;
};

static int setup(void **state)
{
	struct capture *capture = malloc(sizeof(*capture));

	if (!capture || pipe2(capture->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	capture->stderr_before = dup(STDERR_FILENO);
	dup2(capture->pipe[1], STDERR_FILENO);
	*state = capture;
	return 0;
}

static int teardown(void **state)
{
	struct capture *capture = *state;

	dup2(capture->stderr_before, STDERR_FILENO);
	close(capture->stderr_before);
	close(capture->pipe[0]);
	close(capture->pipe[1]);
	free(capture);
	log_set_level(LOG_INFO);
	return 0;
}

static const char *arrived(const struct capture *capture)
{
	static char text[8192];
	ssize_t got = read(capture->pipe[0], text, sizeof(text) - 1);

	text[got < 0 ? 0 : got] = '\0';
	return text;
}

static void a_line_has_level_module_and_end(void **state)
{
	log_info("storage", "opened log=%s next=%d", "a/0", 7);
	assert_string_equal(arrived(*state), "info storage: opened log=a/0 next=7\n");
	log_warn("shard 1", "slow");
	log_error("x", "%s", "broken");
	assert_string_equal(arrived(*state), "warn shard 1: slow\nerror x: broken\n");
}

static void lines_below_the_level_are_dropped(void **state)
{
	log_debug("m", "not by default");
	assert_string_equal(arrived(*state), "");
	log_set_level(LOG_DEBUG);
	log_debug("m", "now");
	assert_string_equal(arrived(*state), "debug m: now\n");
	log_set_level(LOG_ERROR);
	log_warn("m", "not");
	assert_string_equal(arrived(*state), "");
}

static void a_milestone_is_told_at_every_level(void **state)
{
	log_set_level(LOG_ERROR);
	log_info("control", "not");
	log_milestone("control", "ready shards=%d", 2);
	assert_string_equal(arrived(*state), "info control: ready shards=2\n");
}

static void long_lines_are_cut_to_one_kibibyte(void **state)
{
	char text[3000];

	for (size_t length = 1000; length < 1040; length++) {
		memset(text, 'x', length);
		text[length] = '\0';
		log_info("m", "%s", text);
		const char *line = arrived(*state);
		size_t got = strlen(line);
		assert_true(got <= 1024);
		assert_int_equal(line[got - 1], '\n');
		assert_int_equal(line[got - 2], 'x');
		assert_ptr_equal(strchr(line, '\n'), line + got - 1);
	}
	memset(text, 'm', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_info(text, "long module");
	assert_true(strlen(arrived(*state)) <= 1024);
}

static void an_area_has_a_level_of_its_own(void **state)
{
	struct log_levels levels;
	char why[256];

	assert_int_equal(
		log_levels_parse(&levels, "warn,storage=debug, tcp=error", why, sizeof(why)), 0);
	log_set_levels(&levels);
	log_info("control", "dropped");
	log_debug("storage", "kept");
	log_info("elsewhere", "dropped");
	log_warn("tcp", "dropped");
	log_error("tcp 1", "kept");
	log_warn("shard 1", "kept");
	assert_string_equal(arrived(*state),
			    "debug storage: kept\nerror tcp 1: kept\nwarn shard 1: kept\n");
}

static void bad_levels_are_refused_and_named(void **state)
{
	static const char *const cases[][2] = {
		{"", "\"\" is no level"},
		{"loud", "\"loud\" is no level"},
		{"infos", "is no level"},
		{"info,storage", "is no AREA=LEVEL"},
		{"info,,tcp=warn", "is no AREA=LEVEL"},
		{"storage=", "is no level"},
		{"stor=info", "\"stor\" is no area of the log: background, catalog"},
		{"other=info", "is no area"},
		{"tcp warn=info", "\"tcp\" is no level"},
		{"info tcp=warn", "expected a comma before \"tcp=warn\""},
	};
	struct log_levels levels;
	char why[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(log_levels_parse(&levels, cases[i][0], why, sizeof(why)),
				 -ERR_CONFIG);
		if (!strstr(why, cases[i][1]))
			fail_msg("\"%s\": \"%s\" does not say \"%s\"", cases[i][0], why,
				 cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_line_has_level_module_and_end, setup, teardown),
		cmocka_unit_test_setup_teardown(lines_below_the_level_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_milestone_is_told_at_every_level, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_area_has_a_level_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_levels_are_refused_and_named, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_are_cut_to_one_kibibyte, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
