/* Sets a broker's wall clock while it runs: preloaded into sluiced by clocks.py.
 *
 * CLOCK_SHIFT names a file of one int64, nanoseconds, which is added to what the wall clock says.
 * The monotonic clock is left alone, as a step of the real one leaves it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_SECOND = 1000000000 };

static _Atomic int64_t *shift_ns;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_SHIFT");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof(*shift_ns), PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		shift_ns = mapped;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	if (!real_gettime)
		real_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT,
									    "clock_gettime");
	int rc = real_gettime(id, now);

	if (rc < 0 || !shift_ns || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
		return rc;
	int64_t ns = (int64_t)now->tv_sec * NS_PER_SECOND + now->tv_nsec + atomic_load(shift_ns);
	now->tv_sec = ns / NS_PER_SECOND;
	now->tv_nsec = ns % NS_PER_SECOND;
	return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec ns;
	int rc = clock_gettime(CLOCK_REALTIME, &ns);

	(void)zone;
	now->tv_sec = ns.tv_sec;
	now->tv_usec = ns.tv_nsec / 1000;
	return rc;
}

time_t time(time_t *ret)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}
