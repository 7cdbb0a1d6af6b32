/* System calls about threads, time and the process.  Code that runs outside of any fiber (a test's
 * own) gets the same time, but its threads, its end and its affinity are the real ones. */
#include "base/check.h"
#include "tests/sim/calls.h"
#include "tests/sim/log_lines.h"
#include "tests/sim/schedule.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum {
	PROCESSORS = 8,
	PROCESS_ID = 1000,
	FILES_MAX = 1 << 20, /* descriptors_limit is what limits */
	NS_IN_SECOND = 1000000000,
	PREEMPTED_IN_A_MILLION = 200000,
};

static struct random random_bytes;
static struct random preemptions;

void calls_set_random(struct random random)
{
	random_bytes = random_split(&random, "bytes");
	preemptions = random_split(&random, "preemptions");
}

/* ---- threads ---- */

int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *context);
int __real_pthread_join(pthread_t thread, void **ret);
int __real_pthread_setname_np(pthread_t thread, const char *name);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *context)
{
	if (!process_current())
		return __real_pthread_create(ret, attributes, run, context);
	*ret = (pthread_t)(uintptr_t)fiber_spawn(process_current(), "thread", run, context);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
	if (!process_current())
		return __real_pthread_join(thread, ret);
	void *result = fiber_join((struct fiber *)(uintptr_t)thread);
	if (ret)
		*ret = result;
	return 0;
}

pthread_t __real_pthread_self(void);

pthread_t __wrap_pthread_self(void)
{
	return fiber_current() ? (pthread_t)(uintptr_t)fiber_current() : __real_pthread_self();
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	if (!process_current())
		return __real_pthread_setname_np(thread, name);
	fiber_set_name((struct fiber *)(uintptr_t)thread, name);
	return 0;
}

int __real_sched_setaffinity(pid_t process, size_t bytes, const cpu_set_t *set);
int __real_sched_getaffinity(pid_t process, size_t bytes, cpu_set_t *set);

int __wrap_sched_setaffinity(pid_t process, size_t bytes, const cpu_set_t *set)
{
	return process_current() ? 0 : __real_sched_setaffinity(process, bytes, set);
}

int __wrap_sched_getaffinity(pid_t process, size_t bytes, cpu_set_t *set)
{
	if (!process_current())
		return __real_sched_getaffinity(process, bytes, set);
	memset(set, 0, bytes);
	for (size_t i = 0; i < PROCESSORS; i++)
		CPU_SET_S(i, bytes, set);
	return 0;
}

/* ---- time ---- */

/* A thread may lose its processor anywhere; here it does, now and then, so that one which spins
 * until a time comes to it. */
static void maybe_preempted(void)
{
	if (fiber_current() && random_chance(&preemptions, PREEMPTED_IN_A_MILLION))
		fiber_yield();
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
	maybe_preempted();
	if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
		int64_t wall_ms = sim_wall_ms();
		ret->tv_sec = wall_ms / 1000;
		ret->tv_nsec = wall_ms % 1000 * 1000000 + (long)(sim_now_ns() % 1000000);
		return 0;
	}
	ret->tv_sec = (time_t)(sim_now_ns() / NS_IN_SECOND);
	ret->tv_nsec = (long)(sim_now_ns() % NS_IN_SECOND);
	return 0;
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
	check(process_current());
	fiber_sleep_until(sim_now_ns() + (uint64_t)wanted->tv_sec * NS_IN_SECOND +
			  (uint64_t)wanted->tv_nsec);
	if (left)
		*left = (struct timespec){0};
	return 0;
}

int __wrap_sched_yield(void)
{
	check(process_current());
	fiber_yield();
	return 0;
}

/* ---- randomness ---- */

ssize_t __wrap_getrandom(void *data, size_t length, unsigned flags)
{
	uint8_t *to = data;

	(void)flags;
	for (size_t done = 0; done < length; done++)
		to[done] = (uint8_t)random_u64(&random_bytes);
	return (ssize_t)length;
}

/* ---- the process ---- */

_Noreturn void __real_exit(int status);
_Noreturn void __wrap_exit(int status);

void __wrap_exit(int status)
{
	if (!process_current())
		__real_exit(status);
	log_lines_add("exit %d", status);
	process_exit();
}

pid_t __real_getpid(void);

pid_t __wrap_getpid(void)
{
	return process_current() ? PROCESS_ID : __real_getpid();
}

int __real_gethostname(char *name, size_t bytes);

int __wrap_gethostname(char *name, size_t bytes)
{
	if (!process_current())
		return __real_gethostname(name, bytes);
	snprintf(name, bytes, "simulated");
	return 0;
}

int __real_getrlimit64(int resource, struct rlimit *ret);

int __wrap_getrlimit64(int resource, struct rlimit *ret)
{
	if (!process_current() || resource != RLIMIT_NOFILE)
		return __real_getrlimit64(resource, ret);
	*ret = (struct rlimit){FILES_MAX, FILES_MAX};
	return 0;
}

int __real_setpriority(int which, id_t who, int priority);

int __wrap_setpriority(int which, id_t who, int priority)
{
	return process_current() ? 0 : __real_setpriority(which, who, priority);
}
