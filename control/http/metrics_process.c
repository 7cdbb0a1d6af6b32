/* What the process takes of the machine, as Prometheus's own libraries name it. */
#include "control/http/metrics_internal.h"

#include "base/clock.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STAT_FIELDS_TO_START = 20 }; /* from behind the name, proc(5): starttime is the 22nd */

/* A line of a file of /proc/self. */
static bool read_line(const char *path, char *text, int bytes)
{
	FILE *file = fopen(path, "re");
	bool got = file && fgets(text, bytes, file);

	if (file)
		fclose(file);
	return got;
}

static void write_memory(struct exposition *exposition)
{
	char text[256];
	char *rest;

	if (!read_line("/proc/self/statm", text, sizeof(text)))
		return;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t pages = strtoull(text, &rest, 10);
	metrics_begin_family(exposition, METRIC_RESIDENT);
	exposition_count(exposition, NO_LABELS, strtoull(rest, NULL, 10) * page);
	metrics_begin_family(exposition, METRIC_VIRTUAL);
	exposition_count(exposition, NO_LABELS, pages * page);
}

static void write_descriptors(struct exposition *exposition)
{
	DIR *folder = opendir("/proc/self/fd");
	struct rlimit limit;
	uint64_t count = 0;

	if (folder) {
		for (const struct dirent *entry; (entry = readdir(folder));)
			count += entry->d_name[0] != '.';
		closedir(folder);
		metrics_begin_family(exposition, METRIC_OPEN_FDS);
		exposition_count(exposition, NO_LABELS, count - 1); /* the folder itself */
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		metrics_begin_family(exposition, METRIC_MAX_FDS);
		exposition_count(exposition, NO_LABELS, limit.rlim_cur);
	}
}

/* After the machine's start. */
static bool started_ns(uint64_t *ret)
{
	char text[1024];

	if (!read_line("/proc/self/stat", text, sizeof(text)))
		return false;
	const char *at = strrchr(text, ')');
	for (int i = 0; at && i < STAT_FIELDS_TO_START; i++)
		at = strchr(at + 1, ' ');
	if (!at)
		return false;
	*ret = strtoull(at, NULL, 10) * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
	return true;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

void metrics_write_process(struct exposition *exposition)
{
	uint64_t started;

	if (started_ns(&started)) {
		uint64_t up_ns = clock_ns(CLOCK_BOOTTIME) - started;
		metrics_begin_family(exposition, METRIC_UPTIME);
		exposition_ns(exposition, NO_LABELS, up_ns);
		metrics_begin_family(exposition, METRIC_START);
		exposition_ns(exposition, NO_LABELS, clock_ns(CLOCK_REALTIME) - up_ns);
	}
	metrics_begin_family(exposition, METRIC_CPU);
	exposition_ns(exposition, NO_LABELS, clock_ns(CLOCK_PROCESS_CPUTIME_ID));
	write_memory(exposition);
	write_descriptors(exposition);
}
