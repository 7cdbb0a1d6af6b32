/* What a dedup window costs: memory an id, and time a probe, with a million ids of one partition in
 * memory, and with all but the newest sixteenth in files.
 *
 *     dedup_bench [--ids N] [--rounds N] [--dir DIR]
 *
 * Prints one line of JSON a state; times are of the processor, medians of the rounds. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "storage/dedup_window.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 101, BATCH = 100 };

struct bench {
	struct dedup_window window;
	struct dedup_now now;
	struct dedup_id *ids; /* that are there, then as many that are not */
	size_t count;
	unsigned rounds;
	int dir_fd;
	struct open_files open_files;
};

static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void make_ids(struct bench *bench)
{
	uint64_t state = 4711;

	bench->ids = malloc(2 * bench->count * sizeof(*bench->ids));
	check(bench->ids);
	for (size_t i = 0; i < 2 * bench->count; i++) {
		bench->ids[i].low = mix(&state);
		bench->ids[i].high = mix(&state);
	}
}

/* Of this process: another one on the same core does not count. */
static uint64_t cpu_ns(void)
{
	struct timespec now;

	check(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static double ns_since(uint64_t start, size_t count)
{
	return (double)(cpu_ns() - start) / (double)count;
}

/* As a log does it, a batch at a time.  Nanoseconds an id. */
static double insert_all(struct bench *bench)
{
	uint64_t start = cpu_ns();

	for (size_t at = 0; at < bench->count; at += BATCH) {
		for (size_t i = at; i < at + BATCH && i < bench->count; i++) {
			if (i + DEDUP_PREFETCH < bench->count)
				dedup_window_prefetch(&bench->window,
						      &bench->ids[i + DEDUP_PREFETCH]);
			check(dedup_window_find(&bench->window, &bench->ids[i]) < 0);
			check(dedup_window_reserve(&bench->window, 1) == 0);
			dedup_window_insert(&bench->window, &bench->ids[i], (int64_t)i,
					    &bench->now);
		}
		if (dedup_window_due(&bench->window, &bench->now, false))
			dedup_window_close_bucket(&bench->window, (int64_t)at + BATCH);
	}
	return ns_since(start, bench->count);
}

/* Of ids in the order of time, which is a random one in the table. */
static double probe(struct bench *bench, const struct dedup_id *ids, bool there)
{
	uint64_t start = cpu_ns();
	size_t found = 0;

	for (size_t i = 0; i < bench->count; i++) {
		if (i + DEDUP_PREFETCH < bench->count)
			dedup_window_prefetch(&bench->window, &ids[i + DEDUP_PREFETCH]);
		found += dedup_window_find(&bench->window, &ids[i]) >= 0;
	}
	check(found == (there ? bench->count : 0));
	return ns_since(start, bench->count);
}

static int compare(const void *a, const void *b)
{
	const double *x = a;
	const double *y = b;
	return (*x > *y) - (*x < *y);
}

static double median_probe(struct bench *bench, bool there)
{
	double times[ROUNDS_MAX];

	for (unsigned i = 0; i < bench->rounds; i++)
		times[i] = probe(bench, there ? bench->ids : bench->ids + bench->count, there);
	qsort(times, bench->rounds, sizeof(times[0]), compare);
	return times[bench->rounds / 2];
}

/* As a log does it: what has ended goes into a file, and what can stand for it is made. */
static struct dedup_spill file_bucket(struct bench *bench, struct dedup_bucket *bucket)
{
	struct dedup_file_head head = {.from = bucket->from, .to = bucket->to, .last_ms = -1};
	struct dedup_spill spill = {.from = bucket->from, .to = bucket->to};
	size_t count = dedup_chunks_count(bucket->chunks);
	struct dedup_entry *entries = malloc(count * sizeof(*entries));

	check(entries);
	dedup_chunks_copy(bucket->chunks, entries);
	head.count = spill.count = dedup_entries_sort(entries, count);
	check(dedup_file_write(bench->dir_fd, &head, entries) == 0);
	check(dedup_filter_new(&spill.filter, entries, head.count) == 0);
	free(entries);
	dedup_window_free_chunks(&bench->window, bucket->chunks);
	bucket->chunks = NULL;
	bucket->filed = true;
	return spill;
}

static unsigned file_all(struct bench *bench, struct dedup_spill spills[static DEDUP_BUCKETS_MAX])
{
	unsigned count = 0;

	list_foreach(node, &bench->window.buckets) {
		struct dedup_bucket *bucket = container_of(node, struct dedup_bucket, link);
		if (bucket->to >= 0)
			spills[count++] = file_bucket(bench, bucket);
	}
	return count;
}

static void remove_files(const struct bench *bench, const struct dedup_spill *spills,
			 unsigned count)
{
	char name[DEDUP_FILE_NAME_BYTES];

	for (unsigned i = 0; i < count; i++) {
		dedup_file_name(name, spills[i].from, spills[i].to);
		unlinkat(bench->dir_fd, name, 0);
	}
}

static void report(struct bench *bench, const char *state)
{
	double miss = median_probe(bench, false);
	double hit = median_probe(bench, true);

	printf("{\"state\":\"%s\",\"ids\":%zu,\"bytes_per_id\":%.1f,\"miss_ns\":%.1f,"
	       "\"hit_ns\":%.1f}\n",
	       state, bench->count,
	       (double)dedup_window_bytes(&bench->window) / (double)bench->count, miss, hit);
}

static void begin(struct bench *bench)
{
	struct dedup_config config = {.window_ms = 120000, .entries_max = bench->count};

	const struct dedup_place place = {
		.dir_fd = bench->dir_fd,
		.path = ".",
		.open_files = &bench->open_files,
	};
	open_files_init(&bench->open_files, OPEN_FILES_KEPT, SIZE_MAX);
	dedup_window_init(&bench->window, &place);
	check(dedup_window_begin(&bench->window, &config, 0, 1) == 0);
	bench->now = (struct dedup_now){.ns = 1, .wall_ms = 1, .largest_ms = 1};
}

static double median_insertion(struct bench *bench)
{
	double times[ROUNDS_MAX];

	for (unsigned i = 0; i < bench->rounds; i++) {
		begin(bench);
		times[i] = insert_all(bench);
		dedup_window_end(&bench->window);
	}
	qsort(times, bench->rounds, sizeof(times[0]), compare);
	return times[bench->rounds / 2];
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"ids", required_argument, NULL, 'i'},
		{"rounds", required_argument, NULL, 'r'},
		{"dir", required_argument, NULL, 'd'},
		{0},
	};
	struct bench bench = {.count = 1000000, .rounds = 9};
	struct dedup_spill spills[DEDUP_BUCKETS_MAX];
	const char *dir = "/tmp";
	unsigned count;
	int choice;

	while ((choice = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (choice == 'i')
			bench.count = strtoull(optarg, NULL, 10);
		else if (choice == 'r')
			bench.rounds = (unsigned)strtoul(optarg, NULL, 10);
		else if (choice == 'd')
			dir = optarg;
		else
			return 2;
	}
	if (!bench.count || !bench.rounds || bench.rounds > ROUNDS_MAX)
		return 2;
	bench.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(bench.dir_fd >= 0);
	make_ids(&bench);
	printf("{\"insert_ns\":%.1f}\n", median_insertion(&bench));
	begin(&bench);
	insert_all(&bench);
	count = file_all(&bench, spills);
	while (dedup_window_shrink(&bench.window))
		continue;
	report(&bench, "memory");
	for (unsigned i = 0; i < count; i++)
		check(dedup_window_spill(&bench.window, &spills[i]) == 0);
	while (dedup_window_shrink(&bench.window))
		continue;
	report(&bench, "spilled");
	remove_files(&bench, spills, count);
	dedup_window_end(&bench.window);
	free(bench.ids);
	close(bench.dir_fd);
	return 0;
}
