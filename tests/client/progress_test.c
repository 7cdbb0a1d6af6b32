/* How far long work has come. */
#include "client/command/progress.h"

#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "client/command/command.h"

static void expect(const char *wanted, int64_t done, int64_t total, const char *unit)
{
	struct progress progress = {
		.label = "producing", .unit = unit, .total = total, .done = done};
	char text[PROGRESS_TEXT_BYTES];

	progress_text(&progress, 2000, text);
	assert_string_equal(text, wanted);
}

static void a_bar_where_the_end_is_known(void **state)
{
	expect("producing  [........................]   0%  0 of 10 records  0/s", 0, 10,
	       "records");
	expect("producing  [############............]  50%  1.0 MB of 2.0 MB  500.0 kB/s", 1000000,
	       2000000, "bytes");
	expect("producing  [########################] 100%  12 of 10 records  6/s", 12, 10,
	       "records");
}

static void without_an_end_there_is_a_count_and_a_rate(void **state)
{
	expect("producing  1.2M records  617.3k/s", 1234567, 0, "records");
	expect("producing  1.2 MB  617.3 kB/s", 1234567, -1, "bytes");
	expect("producing  999 records  500/s", 999, 0, "records");
	expect("producing  1.0M records  500.0k/s", 999999, 0, "records");
}

/* Standard error becomes `fd`; the one before is returned. */
static int replace_errors(int fd)
{
	int kept = dup(STDERR_FILENO);

	dup2(fd, STDERR_FILENO);
	return kept;
}

static void restore_errors(int kept)
{
	fflush(stderr);
	dup2(kept, STDERR_FILENO);
	close(kept);
}

/* One that began long ago, so that the first step draws. */
static void step(struct progress *progress)
{
	progress_begin(progress, "reading", 0, "records");
	progress->begun_ms -= 1000;
	progress_step(progress, 5);
	progress_step(progress, 6);
}

static void a_terminal_has_one_line_until_a_complaint_or_the_end(void **state)
{
	struct progress progress;
	char text[512] = "";
	int master;
	int slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	int kept = replace_errors(slave);
	step(&progress);
	complain("it rains");
	progress_end(&progress);
	restore_errors(kept);
	/* It comes in as many pieces as were written. */
	for (size_t used = 0; !strstr(text, "rains");) {
		ssize_t count = read(master, text + used, sizeof(text) - 1 - used);
		assert_true(count > 0);
		used += (size_t)count;
	}
	close(master);
	close(slave);
	assert_int_equal(strncmp(text, "\rreading  5 records  ", 21), 0);
	assert_non_null(strstr(text, "\x1b[K\r\x1b[Ksluice: it rains"));
	assert_null(strstr(text, "6 records"));
}

static void what_is_no_terminal_sees_nothing(void **state)
{
	struct progress progress;
	int ends[2];
	char byte;

	assert_int_equal(pipe(ends), 0);
	int kept = replace_errors(ends[1]);
	step(&progress);
	progress_end(&progress);
	restore_errors(kept);
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bar_where_the_end_is_known),
		cmocka_unit_test(without_an_end_there_is_a_count_and_a_rate),
		cmocka_unit_test(a_terminal_has_one_line_until_a_complaint_or_the_end),
		cmocka_unit_test(what_is_no_terminal_sees_nothing),
	};

	setenv("TERM", "xterm", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
