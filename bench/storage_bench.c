/* The storage engine alone: appends of one batch size into a number of partitions, through log.h
 * and a real back end, and what they cost.
 *
 *     storage_bench --dir DIR --ack durable|submitted --batch BYTES --partitions N --depth N
 *
 * A closed loop: `depth` appends are in flight (asked for, not yet answered), spread over the
 * partitions in turn; with --rounds the next `depth` start when the last of them has ended.  The
 * clock stops when everything appended is durable, in either mode, so nothing is left in memory
 * that the figures would hide.  An append of `submitted` ends when its write has been handed to
 * the kernel; there the tail buffers bound what is on its way, not the depth.
 *
 * CPU seconds are this process's, user and system, the kernel's io_uring workers included (they
 * are threads of it), over the measured part only.  Before it a warm-up on a partition of its own
 * touches the buffers, and one append makes each partition's first segment; a running broker has
 * done that long ago. */
#include "base/check.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "storage/batch.h"
#include "storage/io.h"
#include "storage/log.h"

#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RING_DEPTH = 1024,
	WAIT_MS = 1000,
	FD_MARGIN = 64,
};

struct settings {
	const char *directory;
	const char *io;
	size_t batch_bytes;
	size_t buffer_bytes;
	uint64_t segment_bytes;
	uint64_t bytes;
	double seconds;
	unsigned partitions;
	unsigned depth;
	enum log_ack ack;
	bool rounds;
	bool direct;
};

struct bench;

struct slot {
	struct log_append append; /* first: append_done gets it back */
	struct bench *bench;
	struct slot *next_free;
};

struct bench {
	struct settings settings;
	char *work; /* the run's own folder under settings.directory */
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log **logs;
	unsigned log_count;
	unsigned logs_open;
	unsigned next_log;
	uint8_t *data;
	struct batch batch;
	struct slot *slots;
	struct slot *free_slot;
	unsigned in_flight;
	unsigned round_left;
	uint64_t appended_bytes;
	uint64_t ended_appends;
	int rc;
};

struct sample {
	uint64_t ns;
	double user_s;
	double system_s;
	long switches;
	struct store_stats stats;
};

static const struct log_config log_config = {
	.retention_ms = -1,
	.retention_bytes = -1,
	.segment_ms = INT64_MAX,
};

static _Noreturn void die(const char *what, int rc)
{
	fprintf(stderr, "storage_bench: %s: %s\n", what, error_text(rc));
	exit(1);
}

/* ---- one batch, appended over and over ---- */

static void make_batch(struct bench *bench)
{
	size_t size = bench->settings.batch_bytes;
	uint8_t *data = aligned_alloc(64, round_up(size, 64));

	if (!data)
		die("batch", -ENOMEM);
	/* Pseudo-random bytes: nothing below may profit from zeros. */
	uint64_t state = 88172645463325252;
	for (size_t i = 0; i < size; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		data[i] = (uint8_t)state;
	}
	memset(data, 0, BATCH_HEADER_BYTES);
	store_be32(data + 8, (uint32_t)(size - BATCH_LENGTH_PREFIX));
	data[16] = 2;                       /* magic */
	memset(data + 43, 0xff, 8 + 2 + 4); /* no producer id, epoch, sequence */
	store_be32(data + 57, 1);           /* records */
	store_be32(data + 17, crc32c(0, data + BATCH_CRC_START, size - BATCH_CRC_START));
	bench->data = data;
	int rc = batch_parse(&bench->batch, data, size);
	if (rc < 0)
		die("batch", rc);
	check(batch_crc_valid(&bench->batch, data));
}

/* ---- the loop ---- */

static void append_done(struct log_append *append, int rc)
{
	struct slot *slot = (struct slot *)append;
	struct bench *bench = slot->bench;

	if (rc < 0)
		bench->rc = rc;
	bench->ended_appends++;
	bench->in_flight--;
	slot->next_free = bench->free_slot;
	bench->free_slot = slot;
}

static bool wants_more(const struct bench *bench, uint64_t now_ns, uint64_t end_ns)
{
	return bench->appended_bytes < bench->settings.bytes && now_ns < end_ns && bench->rc == 0;
}

/* Appends while there are slots.  False: the buffers are full. */
static bool fill(struct bench *bench)
{
	const struct settings *s = &bench->settings;

	if (!bench->round_left && (!s->rounds || !bench->in_flight))
		bench->round_left = s->depth;
	while (bench->free_slot && bench->round_left) {
		struct slot *slot = bench->free_slot;
		slot->append.done = append_done;
		int rc = log_append(bench->logs[bench->next_log], bench->data, &bench->batch, -1,
				    s->ack, &slot->append);
		if (rc == -ENOBUFS)
			return false;
		if (rc < 0)
			die("append", rc);
		bench->free_slot = slot->next_free;
		bench->in_flight++;
		bench->round_left--;
		bench->next_log = (bench->next_log + 1) % bench->log_count;
		bench->appended_bytes += s->batch_bytes;
	}
	return true;
}

static bool may_append(const struct bench *bench)
{
	if (bench->settings.rounds && bench->in_flight)
		return false;
	return bench->free_slot;
}

static void turn(struct bench *bench, bool sleep)
{
	int rc = io_turn(bench->io, sleep ? WAIT_MS * NS_PER_MS : 0);
	if (rc < 0)
		die("io_turn", rc);
}

static bool all_durable(const struct bench *bench)
{
	for (unsigned i = 0; i < bench->log_count; i++) {
		if (log_high_watermark(bench->logs[i]) != log_end_offset(bench->logs[i]))
			return false;
	}
	return true;
}

static void append_all(struct bench *bench)
{
	uint64_t now_ns = clock_monotonic_ns(clock_system());
	uint64_t end_ns = now_ns + (uint64_t)(bench->settings.seconds * (double)NS_PER_SECOND);
	uint64_t housekeep_ns = now_ns + NS_PER_SECOND;

	while (wants_more(bench, now_ns, end_ns)) {
		bool room = fill(bench);
		store_submit(bench->store);
		/* Submitted appends have ended in there: then there is more to do at once. */
		turn(bench, !room || !may_append(bench));
		now_ns = clock_monotonic_ns(clock_system());
		if (now_ns >= housekeep_ns) {
			store_housekeep(bench->store);
			housekeep_ns = now_ns + NS_PER_SECOND;
		}
	}
	while (bench->rc == 0 && (bench->in_flight || !all_durable(bench))) {
		store_submit(bench->store);
		turn(bench, true);
	}
	if (bench->rc < 0)
		die("append", bench->rc);
}

/* ---- setting up and tearing down ---- */

static void open_log(struct bench *bench, struct log **ret, int32_t partition)
{
	struct log_identity identity = {.partition = partition};
	struct log_config config = log_config;
	char why[160] = "";

	config.segment_bytes = bench->settings.segment_bytes;
	memset(&identity.topic_id, partition < 0 ? 2 : 1, sizeof(identity.topic_id));
	if (partition < 0)
		identity.partition = 0;
	int rc = log_open(ret, bench->store, &identity, &config, why, sizeof(why));
	if (rc < 0)
		die(why[0] ? why : "log_open", rc);
}

static void closed(void *context)
{
	struct bench *bench = context;

	bench->logs_open--;
}

static void close_logs(struct bench *bench)
{
	for (unsigned i = 0; i < bench->log_count; i++)
		log_close(bench->logs[i], true, closed, bench);
	while (bench->logs_open) {
		store_submit(bench->store);
		turn(bench, true);
	}
}

static void open_logs(struct bench *bench, unsigned count, bool warm_up)
{
	bench->log_count = count;
	bench->next_log = 0;
	for (unsigned i = 0; i < count; i++, bench->logs_open++)
		open_log(bench, &bench->logs[i], warm_up ? -1 : (int32_t)i);
}

/* A file or two a partition; the default limit of 1024 is below a thousand of them. */
static void raise_file_limit(unsigned partitions)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	rlim_t wanted = 3 * (rlim_t)partitions + FD_MARGIN;
	if (limit.rlim_cur < wanted)
		limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static void set_up(struct bench *bench)
{
	const struct settings *s = &bench->settings;
	struct store_options store_options = {
		.buffer_bytes_max = s->buffer_bytes,
		.direct_io = s->direct,
	};
	struct io_options io_options = {.depth = RING_DEPTH};

	raise_file_limit(s->partitions);
	if (asprintf(&bench->work, "%s/storage_bench.XXXXXX", s->directory) < 0)
		die("folder", -ENOMEM);
	if (!mkdtemp(bench->work))
		die(bench->work, -errno);
	store_options.directory = bench->work;
	int rc = store_region_new(&bench->region, s->buffer_bytes);
	if (rc < 0)
		die("region", rc);
	store_region_options(bench->region, &io_options);
	rc = strcmp(s->io, "sync") == 0 ? io_sync_new(&bench->io, &io_options)
					: io_uring_new(&bench->io, &io_options);
	if (rc < 0)
		die(s->io, rc);
	rc = store_new(&bench->store, &store_options, bench->region, bench->io, clock_system());
	if (rc < 0)
		die("store", rc);
	bench->logs = calloc(s->partitions, sizeof(struct log *));
	bench->slots = calloc(s->depth, sizeof(*bench->slots));
	if (!bench->logs || !bench->slots)
		die("slots", -ENOMEM);
	for (unsigned i = 0; i < s->depth; i++) {
		bench->slots[i].bench = bench;
		bench->slots[i].next_free = bench->free_slot;
		bench->free_slot = &bench->slots[i];
	}
	make_batch(bench);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
	return remove(path);
}

static void tear_down(struct bench *bench)
{
	store_free(bench->store);
	io_free(bench->io);
	store_region_free(bench->region);
	nftw(bench->work, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(bench->work);
	free(bench->logs);
	free(bench->slots);
	free(bench->data);
}

/* ---- measuring ---- */

static double seconds_of(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static struct sample take_sample(const struct bench *bench)
{
	struct rusage usage;

	check(getrusage(RUSAGE_SELF, &usage) == 0);
	return (struct sample){
		.ns = clock_monotonic_ns(clock_system()),
		.user_s = seconds_of(usage.ru_utime),
		.system_s = seconds_of(usage.ru_stime),
		.switches = usage.ru_nvcsw + usage.ru_nivcsw,
		.stats = *store_stats(bench->store),
	};
}

static void report(const struct bench *bench, const struct sample *from, const struct sample *to)
{
	const struct settings *s = &bench->settings;
	double seconds = (double)(to->ns - from->ns) / 1e9;
	double user_s = to->user_s - from->user_s;
	double system_s = to->system_s - from->system_s;
	uint64_t bytes = to->stats.append_bytes - from->stats.append_bytes;
	uint64_t appends = to->stats.appends - from->stats.appends;
	uint64_t flushes = to->stats.flushes - from->stats.flushes;
	double gigabytes = (double)bytes / 1e9;

	printf("{\"io\": \"%s\", \"ack\": \"%s\", \"batch_bytes\": %zu, \"partitions\": %u, "
	       "\"depth\": %u, \"rounds\": %s, \"seconds\": %.4f, \"bytes\": %llu, "
	       "\"mb_per_s\": %.1f, \"appends_per_s\": %.0f, \"user_s\": %.4f, \"system_s\": %.4f, "
	       "\"cpu_s_per_gb\": %.4f, \"flushes\": %llu, \"appends_per_flush\": %.2f, "
	       "\"writes\": %llu, \"write_bytes\": %llu, \"context_switches\": %ld}\n",
	       s->io, s->ack == ACK_DURABLE ? "durable" : "submitted", s->batch_bytes,
	       s->partitions, s->depth, s->rounds ? "true" : "false", seconds,
	       (unsigned long long)bytes, (double)bytes / 1e6 / seconds, (double)appends / seconds,
	       user_s, system_s, (user_s + system_s) / gigabytes, (unsigned long long)flushes,
	       flushes ? (double)appends / (double)flushes : 0.0,
	       (unsigned long long)(to->stats.writes - from->stats.writes),
	       (unsigned long long)(to->stats.write_bytes - from->stats.write_bytes),
	       to->switches - from->switches);
}

/* Appends before the clock starts, all of them durable when it returns. */
static void append_before(struct bench *bench, uint64_t bytes)
{
	struct settings saved = bench->settings;

	bench->settings.bytes = bytes;
	bench->settings.ack = ACK_DURABLE;
	bench->settings.rounds = false;
	append_all(bench);
	bench->settings = saved;
	bench->appended_bytes = 0;
	bench->round_left = 0;
}

static void touch_buffers(struct bench *bench)
{
	open_logs(bench, 1, true);
	append_before(bench, bench->settings.buffer_bytes);
	close_logs(bench);
}

/* Partitions with a first segment, as fio makes its files before it starts the clock. */
static void make_partitions(struct bench *bench)
{
	open_logs(bench, bench->settings.partitions, false);
	append_before(bench, bench->settings.batch_bytes * bench->settings.partitions);
}

static void run(struct bench *bench)
{
	set_up(bench);
	touch_buffers(bench);
	make_partitions(bench);
	struct sample from = take_sample(bench);
	append_all(bench);
	struct sample to = take_sample(bench);
	report(bench, &from, &to);
	close_logs(bench);
	tear_down(bench);
}

/* ---- the command line ---- */

static _Noreturn void usage(int status)
{
	fprintf(status ? stderr : stdout,
		"storage_bench --dir DIR [options]: append throughput of the storage engine, as JSON\n"
		"  --ack durable|submitted  answer after the flush or after submission (durable)\n"
		"  --batch BYTES            of one record batch, 62 and more (262144)\n"
		"  --partitions N           (1)\n"
		"  --depth N                appends in flight over all partitions (8)\n"
		"  --rounds                 wait for all of them before the next --depth\n"
		"  --bytes BYTES            stop after these (1 GiB)\n"
		"  --seconds S              or after this time (60)\n"
		"  --io uring|sync          back end (uring)\n"
		"  --buffered               no O_DIRECT\n"
		"  --buffer-bytes BYTES     tail buffers of the store (256 MiB)\n"
		"  --segment-bytes BYTES    (1 GiB)\n");
	exit(status);
}

static uint64_t number_of(const char *text, uint64_t least, uint64_t most)
{
	char *end;

	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		fprintf(stderr, "storage_bench: %s is no number from %llu to %llu\n", text,
			(unsigned long long)least, (unsigned long long)most);
		exit(2);
	}
	return value;
}

static bool choice_of(const char *text, const char *first, const char *second)
{
	if (strcmp(text, first) != 0 && strcmp(text, second) != 0) {
		fprintf(stderr, "storage_bench: %s is neither %s nor %s\n", text, first, second);
		exit(2);
	}
	return strcmp(text, first) == 0;
}

static double seconds_option(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value > 0 && value < 1e6)) {
		fprintf(stderr, "storage_bench: %s is no time in seconds\n", text);
		exit(2);
	}
	return value;
}

static void parse(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},
		{"ack", required_argument, NULL, 'a'},
		{"batch", required_argument, NULL, 'b'},
		{"partitions", required_argument, NULL, 'p'},
		{"depth", required_argument, NULL, 'q'},
		{"rounds", no_argument, NULL, 'r'},
		{"bytes", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 't'},
		{"io", required_argument, NULL, 'i'},
		{"buffered", no_argument, NULL, 'B'},
		{"buffer-bytes", required_argument, NULL, 'm'},
		{"segment-bytes", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			s->directory = optarg;
			break;
		case 'a':
			s->ack = choice_of(optarg, "durable", "submitted") ? ACK_DURABLE
									   : ACK_SUBMITTED;
			break;
		case 'b':
			s->batch_bytes = number_of(optarg, BATCH_HEADER_BYTES + 1, INT_MAX / 2);
			break;
		case 'p':
			s->partitions = (unsigned)number_of(optarg, 1, 100000);
			break;
		case 'q':
			s->depth = (unsigned)number_of(optarg, 1, 100000);
			break;
		case 'r':
			s->rounds = true;
			break;
		case 'n':
			s->bytes = number_of(optarg, 1, INT64_MAX);
			break;
		case 't':
			s->seconds = seconds_option(optarg);
			break;
		case 'i':
			choice_of(optarg, "uring", "sync");
			s->io = optarg;
			break;
		case 'B':
			s->direct = false;
			break;
		case 'm':
			s->buffer_bytes = number_of(optarg, 1, INT64_MAX);
			break;
		case 's':
			s->segment_bytes = number_of(optarg, 4096, INT64_MAX);
			break;
		case 'h':
			usage(0);
		default:
			usage(2);
		}
	}
	if (optind != argc || !s->directory)
		usage(2);
}

int main(int argc, char **argv)
{
	struct bench bench = {
		.settings =
			{
				.io = "uring",
				.batch_bytes = 256 << 10,
				.buffer_bytes = 256 << 20,
				.segment_bytes = 1 << 30,
				.bytes = 1 << 30,
				.seconds = 60,
				.partitions = 1,
				.depth = 8,
				.ack = ACK_DURABLE,
				.direct = true,
			},
	};

	parse(argc, argv, &bench.settings);
	run(&bench);
	return 0;
}
