/* How fast compaction goes: a log of records with keys is filled and compacted in one pass, all of
 * it dirty, by this thread alone; beside it, how fast the disk gives the same files to one reader.
 *
 *     compaction_bench --dir DIR [--bytes N] [--keys N] [--record BYTES] [--batch BYTES]
 *                      [--segment BYTES] [--codec none|gzip|snappy|lz4|zstd]
 *
 * Each record's key is one of `keys`, drawn anew, so about that many records stay.  A pass reads
 * the log twice (for the keys, then to rewrite it) and writes what stays; files go past the
 * kernel's cache.  gb_per_s is the log's size by the time of the pass. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "bench/spent.h"
#include "storage/batch_build.h"
#include "storage/compressor.h"
#include "storage/io.h"
#include "storage/log.h"
#include "storage/records.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	RING_DEPTH = 1024,
	BUFFER_BYTES = 256 << 20,
	MAP_BYTES = 1 << 30,
	IN_FLIGHT = 256, /* between two flushes */
	PIECE_BYTES = 1 << 20,
	RECORD_BYTES_MAX = 64 << 10,
};

struct settings {
	const char *directory;
	uint64_t bytes;
	uint64_t keys;
	uint64_t record_bytes;
	uint64_t batch_bytes;
	uint64_t segment_bytes;
	enum batch_codec codec;
};

struct slot {
	struct log_append append;
	struct bench *bench;
	bool busy;
};

struct bench {
	struct settings settings;
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log *log;
	struct log_config config;
	struct compressor *compressor;
	uint64_t records;
	uint64_t chance;
	unsigned in_flight;
	bool closed;
	struct slot slots[IN_FLIGHT];
};

static void die(const char *what, int rc)
{
	fprintf(stderr, "compaction_bench: %s: %s\n", what, error_text(rc));
	exit(1);
}

static uint64_t draw(struct bench *bench)
{
	uint64_t z = bench->chance += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- the log ---- */

static void open_log(struct bench *bench)
{
	struct io_options io_options = {.depth = RING_DEPTH};
	const struct store_options options = {
		.directory = bench->settings.directory,
		.buffer_bytes_max = BUFFER_BYTES,
		.direct_io = true,
		.compact_map_bytes = MAP_BYTES,
	};
	const struct log_identity identity = {.topic_id = {{1}}, .leader_epoch = 1};
	char why[160] = "";
	int rc = store_region_new(&bench->region, BUFFER_BYTES);

	if (rc < 0)
		die("region", rc);
	store_region_options(bench->region, &io_options);
	rc = io_sync_new(&bench->io, &io_options);
	if (rc == 0)
		rc = store_new(&bench->store, &options, bench->region, bench->io, clock_system());
	if (rc < 0)
		die("store", rc);
	bench->config = (struct log_config){
		.retention_ms = -1,
		.retention_bytes = -1,
		.segment_bytes = bench->settings.segment_bytes,
		.segment_ms = INT64_MAX,
		.compact = {.max_lag_ms = INT64_MAX, .delete_retention_ms = INT64_MAX},
	};
	rc = log_open(&bench->log, bench->store, &identity, &bench->config, why, sizeof(why));
	if (rc < 0)
		die(why, rc);
}

static void turn(struct bench *bench)
{
	store_submit(bench->store);
	int rc = io_turn(bench->io, NS_PER_MS);
	if (rc < 0)
		die("io_turn", rc);
}

static void add_record(struct bench *bench, struct batch_build *build)
{
	static uint8_t value[RECORD_BYTES_MAX];
	char key[32];
	int length = snprintf(key, sizeof(key), "key-%llu",
			      (unsigned long long)(draw(bench) % bench->settings.keys));
	const struct record record = {
		.key = (const uint8_t *)key,
		.key_length = (size_t)length,
		.value = value,
		.value_length = bench->settings.record_bytes,
	};
	uint8_t *headers;

	/* Half of it can be compressed. */
	for (size_t i = 0; i + 8 <= bench->settings.record_bytes / 2; i += 8) {
		uint64_t bits = draw(bench);
		memcpy(value + i, &bits, sizeof(bits));
	}
	check(batch_build_add(build, &record, clock_wall_ms(clock_system()), &headers) == 0);
	bench->records++;
}

static void compress(struct bench *bench, struct batch_build *build)
{
	size_t length = build->size - BATCH_HEADER_BYTES;

	if (!bench->compressor)
		return;
	size_t bound = compressor_bound(bench->compressor, length);
	uint8_t *packed = malloc(BATCH_HEADER_BYTES + bound);
	check(packed);
	int64_t made = compressor_run(bench->compressor, build->data + BATCH_HEADER_BYTES, length,
				      packed + BATCH_HEADER_BYTES, bound);
	check(made > 0);
	free(build->data);
	build->data = packed;
	build->size = BATCH_HEADER_BYTES + (size_t)made;
	build->attributes |= (uint16_t)bench->settings.codec;
}

static void appended(struct log_append *append, int rc)
{
	struct slot *slot = container_of(append, struct slot, append);

	if (rc < 0)
		die("append", rc);
	slot->busy = false;
	slot->bench->in_flight--;
}

static struct slot *free_slot(struct bench *bench)
{
	struct slot *slot = bench->slots;

	while (bench->in_flight == IN_FLIGHT)
		turn(bench);
	while (slot->busy)
		slot++;
	slot->bench = bench;
	slot->append.done = appended;
	return slot;
}

static size_t append_batch(struct bench *bench)
{
	struct batch_build build = {0};
	struct batch batch;
	size_t size;
	int rc;

	while (build.size < bench->settings.batch_bytes)
		add_record(bench, &build);
	compress(bench, &build);
	batch_build_seal(&build, -1, -1, -1);
	check(batch_parse(&batch, build.data, build.size) == 0);
	struct slot *slot = free_slot(bench);
	while ((rc = log_append(bench->log, build.data, &batch, -1, ACK_DURABLE, &slot->append)) ==
	       -ENOBUFS)
		turn(bench);
	if (rc < 0)
		die("append", rc);
	slot->busy = true;
	bench->in_flight++;
	size = build.size;
	free(build.data);
	return size;
}

/* All of it but one batch in closed segments. */
static void fill(struct bench *bench)
{
	for (uint64_t bytes = 0; bytes < bench->settings.bytes;)
		bytes += append_batch(bench);
	bench->config.segment_ms = -1;
	log_set_config(bench->log, &bench->config);
	append_batch(bench);
	while (bench->in_flight)
		turn(bench);
}

static void closed(void *context)
{
	((struct bench *)context)->closed = true;
}

static void close_log(struct bench *bench)
{
	log_close(bench->log, false, closed, bench);
	while (!bench->closed)
		turn(bench);
	store_free(bench->store);
	io_free(bench->io);
	store_region_free(bench->region);
	compressor_free(bench->compressor);
}

/* ---- files ---- */

static uint64_t disk_bytes;

static int read_file(const char *path, const struct stat *info, int type, struct FTW *at)
{
	const char *ending = strrchr(path, '.');
	static uint8_t *data;

	if (type != FTW_F || !ending || strcmp(ending, ".log") != 0)
		return 0;
	if (!data)
		data = aligned_alloc(4096, PIECE_BYTES);
	int fd = open(path, O_RDONLY | O_DIRECT);
	check(data && fd >= 0);
	for (off_t from = 0; from < info->st_size; from += PIECE_BYTES) {
		ssize_t got = pread(fd, data, PIECE_BYTES, from);
		check(got >= 0);
		disk_bytes += (uint64_t)got;
	}
	close(fd);
	return 0;
}

static double disk_gb_per_s(const char *directory)
{
	uint64_t begin_ns = clock_monotonic_ns(clock_system());

	if (nftw(directory, read_file, 16, FTW_PHYS) != 0)
		die(directory, -errno);
	return (double)disk_bytes / 1e9 / seconds_since(begin_ns);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
	return remove(path);
}

/* ---- measuring ---- */

static void run(struct bench *bench)
{
	const struct settings *s = &bench->settings;

	if (s->codec != CODEC_NONE)
		check(compressor_new(&bench->compressor, s->codec, -1) == 0);
	open_log(bench);
	fill(bench);
	double disk = disk_gb_per_s(s->directory);
	uint64_t bytes = log_bytes(bench->log);
	double cpu_before = cpu_seconds();
	uint64_t begin_ns = clock_monotonic_ns(clock_system());
	bench->config.compact.enabled = true;
	log_set_config(bench->log, &bench->config);
	store_housekeep(bench->store);
	double seconds = seconds_since(begin_ns);
	double cpu = cpu_seconds() - cpu_before;
	const struct store_stats *stats = store_stats(bench->store);
	check(stats->compactions == 1);
	printf("{\"bytes\": %llu, \"records\": %llu, \"keys\": %llu, \"record_bytes\": %llu, "
	       "\"codec\": %d, \"seconds\": %.3f, \"cpu_seconds\": %.3f, \"read_gb\": %.3f, "
	       "\"written_gb\": %.3f, \"removed_records\": %llu, \"gb_per_s\": %.3f, "
	       "\"records_per_s\": %.0f, \"disk_gb_per_s\": %.3f}\n",
	       (unsigned long long)bytes, (unsigned long long)bench->records,
	       (unsigned long long)s->keys, (unsigned long long)s->record_bytes, (int)s->codec,
	       seconds, cpu, (double)stats->compact_read_bytes / 1e9,
	       (double)stats->compact_written_bytes / 1e9,
	       (unsigned long long)stats->compact_removed_records, (double)bytes / 1e9 / seconds,
	       (double)bench->records / seconds, disk);
	close_log(bench);
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	const char *units = "KMG";
	const char *unit = *end ? strchr(units, *end) : NULL;

	if (end == text || (*end && !unit) || value == 0) {
		fprintf(stderr, "compaction_bench: not a number: %s\n", text);
		exit(2);
	}
	return unit ? value << (10 * (unit - units + 1)) : value;
}

static enum batch_codec codec_of(const char *text)
{
	static const char *const names[CODEC_COUNT] = {"none", "gzip", "snappy", "lz4", "zstd"};

	for (unsigned i = 0; i < CODEC_COUNT; i++) {
		if (strcmp(text, names[i]) == 0)
			return (enum batch_codec)i;
	}
	fprintf(stderr, "compaction_bench: no codec: %s\n", text);
	exit(2);
}

static void read_options(struct settings *s, int argc, char **argv)
{
	static const struct option options[] = {
		{"dir", required_argument, NULL, 'd'},     {"bytes", required_argument, NULL, 'b'},
		{"keys", required_argument, NULL, 'k'},    {"record", required_argument, NULL, 'r'},
		{"batch", required_argument, NULL, 'a'},   {"codec", required_argument, NULL, 'c'},
		{"segment", required_argument, NULL, 's'}, {0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'd':
			s->directory = optarg;
			break;
		case 'b':
			s->bytes = number(optarg);
			break;
		case 'k':
			s->keys = number(optarg);
			break;
		case 'r':
			s->record_bytes = number(optarg);
			break;
		case 'a':
			s->batch_bytes = number(optarg);
			break;
		case 'c':
			s->codec = codec_of(optarg);
			break;
		case 's':
			s->segment_bytes = number(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (!s->directory || optind != argc || s->record_bytes > RECORD_BYTES_MAX) {
		fprintf(stderr, "usage: compaction_bench --dir DIR [--bytes N] [--keys N] "
				"[--record BYTES] [--batch BYTES] [--segment BYTES] [--codec C]\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct bench bench = {
		.settings =
			{
				.bytes = 1 << 30,
				.keys = 100000,
				.record_bytes = 1000,
				.batch_bytes = 16 << 10,
				.segment_bytes = 128 << 20,
			},
	};
	char folder[256];

	log_set_level(LOG_WARN);
	read_options(&bench.settings, argc, argv);
	snprintf(folder, sizeof(folder), "%.200s/compaction-XXXXXX", bench.settings.directory);
	if (!mkdtemp(folder))
		die(folder, -errno);
	bench.settings.directory = folder;
	run(&bench);
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : 1;
}
