/* Of real processes: this one forks others that burn, sleep or fork. */
#include "bench/suite/usage.h"

#include "base/check.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const double burnt_s = 0.3;

/* Until the caller itself has had so much processor time. */
static void burn(double seconds)
{
	struct timespec used;

	do
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	while ((double)used.tv_sec + (double)used.tv_nsec / 1e9 < seconds);
}

static void tell(int fd)
{
	check(write(fd, "x", 1) == 1);
}

static void wait_told(int fd)
{
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
}

/* A child that burns, says so, and waits to be killed; with `deep` it is a grandchild that does. */
static pid_t start(bool deep, int *ret_told)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(60);
		pid_t grandchild = deep ? fork() : 0;
		if (grandchild == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			burn(burnt_s);
			tell(ends[1]);
		}
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	close(ends[1]);
	*ret_told = ends[0];
	return pid;
}

static void end(pid_t pid, int told)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(told);
}

static void a_process_that_burns_is_seen_to(void **state)
{
	struct usage_total usage;
	int told;
	pid_t pid = start(false, &told);

	wait_told(told);
	assert_int_equal(usage_of(&pid, 1, &usage), 0);
	assert_true(usage.user_s + usage.system_s >= burnt_s - 0.03); /* in ticks of 10 ms */
	assert_true(usage.user_s + usage.system_s < 10);
	assert_true(usage.resident_bytes_max > 10000);
	assert_true(usage.resident_bytes_max < 1 << 30);
	assert_true(usage.context_switches > 0);
	end(pid, told);
}

static void what_descendants_use_counts(void **state)
{
	struct usage_total usage;
	int told;
	pid_t pid = start(true, &told);

	wait_told(told);
	assert_int_equal(usage_of(&pid, 1, &usage), 0);
	assert_true(usage.user_s + usage.system_s >= burnt_s - 0.03);
	end(pid, told);
}

static void a_process_named_with_its_child_counts_once(void **state)
{
	struct usage_total alone, both;
	int told;
	pid_t child = start(false, &told);
	pid_t pids[] = {getpid(), child};

	wait_told(told);
	assert_int_equal(usage_of(pids, 1, &alone), 0);
	assert_int_equal(usage_of(pids, 2, &both), 0);
	assert_true(both.user_s + both.system_s < alone.user_s + alone.system_s + burnt_s / 2);
	end(child, told);
}

static void nobody_there_is_an_error(void **state)
{
	struct usage_total usage = {.user_s = 7};
	int told;
	pid_t pid = start(false, &told);

	end(pid, told);
	assert_int_equal(usage_of(&pid, 1, &usage), -ESRCH);
	assert_int_equal(usage_of(NULL, 0, &usage), -ESRCH);
	assert_true(usage.user_s == 7);
}

static void between_is_the_difference_and_the_larger_memory(void **state)
{
	const struct usage_total from = {1, 2, 700, 10, 20, 30};
	const struct usage_total to = {1.5, 4, 600, 15, 60, 31};
	struct usage_total between = usage_between(&from, &to);

	assert_true(between.user_s == 0.5 && between.system_s == 2);
	assert_int_equal(between.resident_bytes_max, 700);
	assert_int_equal(between.read_bytes, 5);
	assert_int_equal(between.written_bytes, 40);
	assert_int_equal(between.context_switches, 1);
}

static void a_process_that_ended_between_makes_nothing_negative(void **state)
{
	const struct usage_total from = {5, 5, 700, 10, 20, 30};
	const struct usage_total to = {1, 2, 0, 0, 0, 0};
	struct usage_total between = usage_between(&from, &to);

	assert_true(between.user_s == 0 && between.system_s == 0);
	assert_int_equal(between.written_bytes, 0);
	assert_int_equal(between.context_switches, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_that_burns_is_seen_to),
		cmocka_unit_test(what_descendants_use_counts),
		cmocka_unit_test(a_process_named_with_its_child_counts_once),
		cmocka_unit_test(nobody_there_is_an_error),
		cmocka_unit_test(between_is_the_difference_and_the_larger_memory),
		cmocka_unit_test(a_process_that_ended_between_makes_nothing_negative),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
