/* bench/suite/usage.c: what processes have used, as /proc tells it.
 *
 * All of /proc is read once for who is whose child; then each process that counts is looked at:
 *
 *     stat             CPU time in ticks of 10 ms, that of children it has waited for included
 *     io               bytes that it caused to be read from and written to block devices
 *     task/TID/status  context switches, which the kernel keeps for each thread
 *     status           resident memory
 *     smaps_rollup     the same where several processes count: its proportional share, as what a
 *                      fork shares would count twice.  Asking walks all pages, which a process
 *                      that is alone is spared.
 *
 * io and smaps_rollup of another user's process are closed to who is not root: they count as 0. */
#include "bench/suite/usage.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 8192 };

struct process {
	pid_t pid;
	pid_t parent;
	uint64_t user_ticks;
	uint64_t system_ticks;
	bool counts;
};

/* ---- files of /proc ---- */

/* Ended by a null byte; false: it is not there, or not for us. */
static bool proc_read(const char *path, char text[FILE_BYTES_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t count = fd < 0 ? -1 : read(fd, text, FILE_BYTES_MAX - 1);

	if (fd >= 0)
		close(fd);
	text[count < 0 ? 0 : count] = '\0';
	return count > 0;
}

static bool proc_read_of(pid_t pid, const char *name, char text[FILE_BYTES_MAX])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return proc_read(path, text);
}

/* Of the line "name:  123 kB"; 0 when there is none. */
static uint64_t number_of(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return strtoull(line + length + 1, NULL, 10);
	}
	return 0;
}

/* ---- who there is ---- */

/* Of a line of numbers; 0 where it has fewer. */
static uint64_t field_at(const char *text, unsigned index)
{
	while (index-- > 0) {
		text += strcspn(text, " ");
		text += strspn(text, " ");
	}
	return strtoull(text, NULL, 10);
}

/* proc(5), with its numbers of fields: the second one, a name in brackets, may hold anything. */
static bool process_parse(const char *stat, struct process *ret)
{
	const char *after_name = strrchr(stat, ')');

	if (!after_name || after_name[1] != ' ')
		return false;
	const char *third = after_name + 2;
	*ret = (struct process){
		.pid = (pid_t)strtol(stat, NULL, 10),
		.parent = (pid_t)field_at(third, 4 - 3),
		.user_ticks = field_at(third, 14 - 3) + field_at(third, 16 - 3),
		.system_ticks = field_at(third, 15 - 3) + field_at(third, 17 - 3),
	};
	return true;
}

static int processes_add(struct process **processes, size_t *count, const struct process *process)
{
	if ((*count & (*count - 1)) == 0) { /* a power of two: full */
		struct process *grown = realloc(*processes,
						(*count ? 2 * *count : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		*processes = grown;
	}
	(*processes)[(*count)++] = *process;
	return 0;
}

static int processes_read(struct process **ret, size_t *ret_count)
{
	DIR *proc = opendir("/proc");
	struct process process;
	struct dirent *entry;
	char text[FILE_BYTES_MAX];
	int rc = 0;

	if (!proc)
		return -errno;
	while (rc == 0 && (entry = readdir(proc))) {
		if (isdigit((unsigned char)entry->d_name[0]) &&
		    proc_read_of((pid_t)strtol(entry->d_name, NULL, 10), "stat", text) &&
		    process_parse(text, &process))
			rc = processes_add(ret, ret_count, &process);
	}
	closedir(proc);
	return rc;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (pids[i] == pid)
			return true;
	}
	return false;
}

static bool parent_counts(const struct process *process, const struct process *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (all[i].pid == process->parent)
			return all[i].counts;
	}
	return false;
}

/* Returns how many count: those asked for and their descendants. */
static size_t processes_choose(struct process *all, size_t count, const pid_t *pids,
			       size_t pid_count)
{
	size_t chosen = 0;
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = 0; i < count; i++) {
			if (all[i].counts || (!is_among(all[i].pid, pids, pid_count) &&
					      !parent_counts(&all[i], all, count)))
				continue;
			all[i].counts = true;
			more = true;
			chosen++;
		}
	}
	return chosen;
}

/* ---- what one has used ---- */

static uint64_t switches_of(pid_t pid)
{
	char path[300], text[FILE_BYTES_MAX];
	uint64_t switches = 0;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	if (!tasks)
		return 0;
	while ((entry = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, entry->d_name);
		if (proc_read(path, text))
			switches += number_of(text, "voluntary_ctxt_switches") +
				    number_of(text, "nonvoluntary_ctxt_switches");
	}
	closedir(tasks);
	return switches;
}

static uint64_t resident_bytes_of(pid_t pid, bool alone)
{
	char text[FILE_BYTES_MAX];

	if (!alone && proc_read_of(pid, "smaps_rollup", text))
		return number_of(text, "Pss") * 1024;
	return proc_read_of(pid, "status", text) ? number_of(text, "VmRSS") * 1024 : 0;
}

static void usage_add(struct usage_total *usage, const struct process *process, bool alone)
{
	double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
	char text[FILE_BYTES_MAX];

	usage->user_s += (double)process->user_ticks * tick_s;
	usage->system_s += (double)process->system_ticks * tick_s;
	usage->resident_bytes_max += resident_bytes_of(process->pid, alone);
	usage->context_switches += switches_of(process->pid);
	if (proc_read_of(process->pid, "io", text)) {
		usage->read_bytes += number_of(text, "read_bytes");
		usage->written_bytes += number_of(text, "write_bytes");
	}
}

int usage_of(const pid_t *pids, size_t count, struct usage_total *ret)
{
	struct process *all = NULL;
	size_t all_count = 0;
	struct usage_total usage = {0};

	int rc = processes_read(&all, &all_count);
	if (rc < 0)
		goto out;
	size_t chosen = processes_choose(all, all_count, pids, count);
	for (size_t i = 0; i < all_count; i++) {
		if (all[i].counts)
			usage_add(&usage, &all[i], chosen == 1);
	}
	if (chosen)
		*ret = usage;
	else
		rc = -ESRCH;
out:
	free(all);
	return rc;
}

/* ---- between two moments ---- */

/* A process that has ended since takes what it had used with it. */
static uint64_t count_between(uint64_t from, uint64_t to)
{
	return to > from ? to - from : 0;
}

static double seconds_between(double from, double to)
{
	return to > from ? to - from : 0;
}

struct usage_total usage_between(const struct usage_total *from, const struct usage_total *to)
{
	return (struct usage_total){
		.user_s = seconds_between(from->user_s, to->user_s),
		.system_s = seconds_between(from->system_s, to->system_s),
		.resident_bytes_max = from->resident_bytes_max > to->resident_bytes_max
					      ? from->resident_bytes_max
					      : to->resident_bytes_max,
		.read_bytes = count_between(from->read_bytes, to->read_bytes),
		.written_bytes = count_between(from->written_bytes, to->written_bytes),
		.context_switches = count_between(from->context_switches, to->context_switches),
	};
}
