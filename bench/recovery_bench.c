/* How long a start takes: logs are filled by a process that then ends as a kill or a clean stop
 * ends it, and are opened again; beside it, how fast the disk gives the same files.
 *
 *     recovery_bench --dir DIR --bytes N --partitions N [--segment BYTES] [--batch BYTES]
 *                    [--producers N] [--ids] [--end kill|clean] [--unindexed]
 *
 * With --unindexed the indexes, snapshots and files of ids are removed before, so that everything
 * is read and verified: that is the speed of verification.  Otherwise what is read is what lies
 * behind the last checkpoints.  Files are read past the kernel's cache in either case.
 *
 * --producers: that many idempotent producers take turns.  --ids: a dedup window of two minutes,
 * with an id in each record.  The disk is read in pieces of 1 MiB by one thread and by four. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "bench/spent.h"
#include "storage/batch_build.h"
#include "storage/dedup.h"
#include "storage/io.h"
#include "storage/log.h"
#include "storage/records.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RING_DEPTH = 1024,
	BUFFER_BYTES = 256 << 20,
	IN_FLIGHT = 256, /* between two flushes */
	RECORD_BYTES = 1000,
	PIECE_BYTES = 1 << 20,
	READERS = 4,
	ID_HEADERS_MAX = 64,
};

struct settings {
	const char *directory;
	uint64_t bytes;
	uint64_t segment_bytes;
	size_t batch_bytes;
	unsigned partitions;
	unsigned producers;
	bool ids;
	bool clean;
	bool unindexed;
};

struct bench {
	struct settings settings;
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log **logs;
	unsigned open;
	unsigned in_flight;
};

struct slot {
	struct log_append append;
	struct bench *bench;
	bool busy;
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "recovery_bench: %s: %s\n", what, error_text(rc));
	exit(1);
}

/* ---- a store and its logs ---- */

static void open_store(struct bench *bench)
{
	struct io_options io_options = {.depth = RING_DEPTH};
	const struct store_options options = {
		.directory = bench->settings.directory,
		.buffer_bytes_max = BUFFER_BYTES,
		.direct_io = true,
		.producers_max = 10000,
		.producer_expiration_ms = INT64_C(24) * 3600 * 1000,
		.dedup_bytes_max = 256 << 20,
	};
	int rc = store_region_new(&bench->region, BUFFER_BYTES);

	if (rc < 0)
		die("region", rc);
	store_region_options(bench->region, &io_options);
	rc = io_sync_new(&bench->io, &io_options);
	if (rc == 0)
		rc = store_new(&bench->store, &options, bench->region, bench->io, clock_system());
	if (rc < 0)
		die("store", rc);
	bench->logs = calloc(bench->settings.partitions, sizeof(struct log *));
	check(bench->logs);
}

static void open_logs(struct bench *bench, int32_t leader_epoch)
{
	struct log_config config = {
		.retention_ms = -1,
		.retention_bytes = -1,
		.segment_bytes = bench->settings.segment_bytes,
		.segment_ms = INT64_MAX,
		.delete_enabled = true,
	};
	char why[160] = "";

	if (bench->settings.ids)
		config.dedup = (struct dedup_config){
			.enabled = true,
			.window_ms = 120000,
			.entries_max = 10000000,
			.header_length = 8,
			.header = "dedup-id",
		};
	for (; bench->open < bench->settings.partitions; bench->open++) {
		const struct log_identity identity = {
			.topic_id = {{1}},
			.partition = (int32_t)bench->open,
			.leader_epoch = leader_epoch,
		};
		int rc = log_open(&bench->logs[bench->open], bench->store, &identity, &config, why,
				  sizeof(why));
		if (rc < 0)
			die(why, rc);
	}
}

static void turn(struct bench *bench, uint64_t wait_ns)
{
	store_submit(bench->store);
	int rc = io_turn(bench->io, wait_ns);
	if (rc < 0)
		die("io_turn", rc);
}

static void closed(void *context)
{
	((struct bench *)context)->open--;
}

static void close_logs(struct bench *bench)
{
	for (unsigned i = 0; i < bench->settings.partitions; i++)
		log_close(bench->logs[i], false, closed, bench);
	while (bench->open)
		turn(bench, NS_PER_MS);
}

/* ---- filling ---- */

static void append_done(struct log_append *append, int rc)
{
	struct slot *slot = container_of(append, struct slot, append);

	if (rc < 0)
		die("append", rc);
	slot->busy = false;
	slot->bench->in_flight--;
}

static void add_record(struct batch_build *build, const struct settings *s, uint64_t number,
		       struct dedup_id *ret_id)
{
	const struct dedup_config config = {.header_length = 8, .header = "dedup-id"};
	uint8_t value[RECORD_BYTES];
	uint8_t headers[ID_HEADERS_MAX];
	struct record record = {
		.value = value,
		.value_length = sizeof(value),
		.headers = headers,
	};
	uint8_t *room;

	memset(value, (int)number, sizeof(value));
	if (s->ids) {
		uint8_t *at = batch_put_bytes(headers, "dedup-id", 8);
		at = batch_put_bytes(at, &number, sizeof(number));
		record.header_count = 1;
		record.headers_length = (size_t)(at - headers);
	}
	check(batch_build_add(build, &record, clock_wall_ms(clock_system()), &room) == 0);
	memcpy(room, headers, record.headers_length);
	if (s->ids)
		dedup_id_of(&config, &record, ret_id);
}

struct filler {
	uint64_t batches;
	uint64_t records;
	struct dedup_id *ids;
};

/* Each partition has its producers, whose sequences go on by the batch. */
static void build_batch(struct batch_build *build, const struct settings *s, struct filler *filler)
{
	uint64_t turns = filler->batches / s->partitions;
	unsigned count = 0;

	*build = (struct batch_build){0};
	while (build->size < s->batch_bytes)
		add_record(build, s, filler->records++, &filler->ids[count++]);
	if (s->producers)
		batch_build_seal(build, (int64_t)(turns % s->producers), 0,
				 (int32_t)(turns / s->producers * count));
	else
		batch_build_seal(build, -1, -1, -1);
	filler->batches++;
}

static struct slot *free_slot(struct bench *bench, struct slot slots[static IN_FLIGHT])
{
	while (bench->in_flight == IN_FLIGHT)
		turn(bench, NS_PER_MS);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		if (!slots[i].busy)
			return &slots[i];
	}
	return NULL;
}

static void append_one(struct bench *bench, struct slot *slot, const struct batch_build *build,
		       struct log *log, const struct dedup_id *ids)
{
	struct batch batch;
	int rc;

	check(batch_parse(&batch, build->data, build->size) == 0);
	slot->bench = bench;
	slot->append.done = append_done;
	slot->append.ids = ids;
	while ((rc = log_append(log, build->data, &batch, -1, ACK_DURABLE, &slot->append)) ==
	       -ENOBUFS)
		turn(bench, NS_PER_MS);
	if (rc < 0)
		die("append", rc);
	slot->busy = true;
	bench->in_flight++;
	free(build->data);
}

static void fill(struct bench *bench)
{
	const struct settings *s = &bench->settings;
	struct slot slots[IN_FLIGHT] = {0};
	struct filler filler = {
		.ids = calloc(s->batch_bytes / RECORD_BYTES + 2, sizeof(*filler.ids)),
	};
	uint64_t housekeep_ns = 0;

	check(filler.ids);
	for (uint64_t bytes = 0; bytes < s->bytes;) {
		struct batch_build build;
		struct log *log = bench->logs[filler.batches % s->partitions];
		build_batch(&build, s, &filler);
		bytes += build.size;
		append_one(bench, free_slot(bench, slots), &build, log, s->ids ? filler.ids : NULL);
		if (clock_monotonic_ns(clock_system()) >= housekeep_ns) {
			store_housekeep(bench->store);
			housekeep_ns = clock_monotonic_ns(clock_system()) + NS_PER_SECOND;
		}
	}
	while (bench->in_flight)
		turn(bench, NS_PER_MS);
	free(filler.ids);
}

/* In a process of its own, which nothing outlives but the files. */
static void fill_and_end(struct settings *s)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		die("fork", -errno);
	if (child == 0) {
		struct bench bench = {.settings = *s};
		open_store(&bench);
		open_logs(&bench, 1);
		fill(&bench);
		if (s->clean)
			close_logs(&bench);
		_exit(0);
	}
	check(waitpid(child, &status, 0) == child);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		exit(1);
}

/* ---- files ---- */

static bool unindexed;
static char **segments; /* paths */
static size_t segment_count;
static uint64_t segment_bytes;

static int visit(const char *path, const struct stat *info, int type, struct FTW *at)
{
	const char *ending = strrchr(path, '.');

	if (type != FTW_F || !ending)
		return 0;
	if (strcmp(ending, ".log") != 0)
		return unindexed ? remove(path) : 0;
	segments = realloc(segments, (segment_count + 1) * sizeof(*segments));
	check(segments);
	segments[segment_count++] = strdup(path);
	segment_bytes += (uint64_t)info->st_size;
	return 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
	return remove(path);
}

static atomic_size_t next_piece;

/* Piece after piece of all files, whoever comes first. */
static void *read_pieces(void *unused)
{
	uint8_t *data = aligned_alloc(4096, PIECE_BYTES);

	check(data);
	for (size_t i; (i = atomic_fetch_add(&next_piece, 1)) < segment_count * 1024;) {
		int fd = open(segments[i / 1024], O_RDONLY | O_DIRECT);
		check(fd >= 0);
		check(pread(fd, data, PIECE_BYTES, (off_t)(i % 1024) * PIECE_BYTES) >= 0);
		close(fd);
	}
	free(data);
	return unused;
}

static double disk_speed(unsigned readers)
{
	pthread_t threads[READERS];
	uint64_t begin_ns = clock_monotonic_ns(clock_system());

	atomic_store(&next_piece, 0);
	for (unsigned i = 0; i < readers; i++)
		check(pthread_create(&threads[i], NULL, read_pieces, NULL) == 0);
	for (unsigned i = 0; i < readers; i++)
		pthread_join(threads[i], NULL);
	return (double)segment_bytes / 1e9 / seconds_since(begin_ns);
}

/* ---- measuring ---- */

static void run(struct settings *s)
{
	struct bench bench = {.settings = *s};

	fill_and_end(s);
	unindexed = s->unindexed;
	if (nftw(s->directory, visit, 16, FTW_PHYS) != 0)
		die(s->directory, -errno);
	double one = disk_speed(1);
	double four = disk_speed(READERS);
	open_store(&bench);
	double cpu_before = cpu_seconds();
	uint64_t begin_ns = clock_monotonic_ns(clock_system());
	open_logs(&bench, 2);
	double seconds = seconds_since(begin_ns);
	double cpu = cpu_seconds() - cpu_before;
	double read_gb = (double)store_stats(bench.store)->recovered_bytes / 1e9;
	printf("{\"bytes\": %llu, \"partitions\": %u, \"producers\": %u, \"ids\": %s, "
	       "\"end\": \"%s\", \"unindexed\": %s, \"seconds\": %.3f, \"cpu_seconds\": %.3f, "
	       "\"read_gb\": %.3f, "
	       "\"gb_per_s\": %.3f, \"disk_gb_per_s\": %.3f, \"disk_gb_per_s_by_4\": %.3f}\n",
	       (unsigned long long)segment_bytes, s->partitions, s->producers,
	       s->ids ? "true" : "false", s->clean ? "clean" : "kill",
	       s->unindexed ? "true" : "false", seconds, cpu, read_gb, read_gb / seconds, one,
	       four);
	close_logs(&bench);
	store_free(bench.store);
	io_free(bench.io);
	store_region_free(bench.region);
	free(bench.logs);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	const char *units = "KMG";
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (end == text || (*end && !unit) || value == 0) {
		fprintf(stderr, "recovery_bench: not a number: %s\n", text);
		exit(2);
	}
	return unit ? value << (10 * (unit - units + 1)) : value;
}

static void parse(struct settings *s, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},
		{"bytes", required_argument, NULL, 'n'},
		{"segment", required_argument, NULL, 's'},
		{"batch", required_argument, NULL, 'b'},
		{"partitions", required_argument, NULL, 'p'},
		{"producers", required_argument, NULL, 'i'},
		{"ids", no_argument, NULL, 'k'},
		{"end", required_argument, NULL, 'e'},
		{"unindexed", no_argument, NULL, 'u'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			s->directory = optarg;
			break;
		case 'n':
			s->bytes = number(optarg);
			break;
		case 's':
			s->segment_bytes = number(optarg);
			break;
		case 'b':
			s->batch_bytes = number(optarg);
			break;
		case 'p':
			s->partitions = (unsigned)number(optarg);
			break;
		case 'i':
			s->producers = (unsigned)number(optarg);
			break;
		case 'k':
			s->ids = true;
			break;
		case 'e':
			s->clean = strcmp(optarg, "clean") == 0;
			break;
		case 'u':
			s->unindexed = true;
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct settings s = {
		.directory = ".",
		.bytes = 1 << 30,
		.segment_bytes = 1 << 30,
		.batch_bytes = 64 << 10,
		.partitions = 1,
	};
	char *folder = NULL;

	parse(&s, argc, argv);
	if (asprintf(&folder, "%s/recovery_bench.XXXXXX", s.directory) < 0 || !mkdtemp(folder))
		die(s.directory, -errno);
	s.directory = folder;
	run(&s);
	nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(folder);
	return 0;
}
