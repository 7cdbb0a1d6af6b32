#include "tests/storage/support.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "storage/batch_build.h"
#include "storage/compressor.h"
#include "storage/control_batch.h"
#include "storage/store_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- chance ---- */

/* splitmix64 */
uint64_t chance_next(struct chance *chance)
{
	uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t chance_below(struct chance *chance, uint64_t below)
{
	return chance_next(chance) % below;
}

/* ---- batches ---- */

static uint8_t *put_varint(uint8_t *at, int64_t value)
{
	uint64_t raw = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

	for (; raw >= 0x80; raw >>= 7)
		*at++ = (uint8_t)(raw | 0x80);
	*at++ = (uint8_t)raw;
	return at;
}

static uint8_t *put_record(uint8_t *at, unsigned index, size_t value_bytes, struct chance *chance)
{
	uint8_t head[32];
	uint8_t *end = head;

	*end++ = 0;
	end = put_varint(end, index);
	end = put_varint(end, index);
	end = put_varint(end, -1);
	end = put_varint(end, (int64_t)value_bytes);
	at = put_varint(at, (int64_t)((size_t)(end - head) + value_bytes + 1));
	memcpy(at, head, (size_t)(end - head));
	at += end - head;
	for (size_t i = 0; i < value_bytes; i++)
		*at++ = (uint8_t)chance_next(chance);
	*at++ = 0;
	return at;
}

void fix_batch(uint8_t *data, size_t size)
{
	store_be32(data + 8, (uint32_t)(size - BATCH_LENGTH_PREFIX));
	store_be32(data + 17, crc32c(0, data + BATCH_CRC_START, size - BATCH_CRC_START));
}

struct made_batch make_batch(unsigned records, size_t value_bytes, int64_t first_ms, uint64_t seed)
{
	struct made_batch made = {
		.data = calloc(1, BATCH_HEADER_BYTES + records * (value_bytes + 40)),
	};
	struct chance chance = {.state = seed};

	check(made.data);
	uint8_t *at = made.data + BATCH_HEADER_BYTES;
	for (unsigned i = 0; i < records; i++)
		at = put_record(at, i, value_bytes, &chance);
	made.size = (size_t)(at - made.data);
	made.data[16] = 2;
	store_be32(made.data + 12, UINT32_MAX);
	store_be32(made.data + 23, records - 1);
	store_be64(made.data + 27, (uint64_t)first_ms);
	store_be64(made.data + 35, (uint64_t)first_ms + records - 1);
	store_be64(made.data + 43, UINT64_MAX);
	store_be16(made.data + 51, UINT16_MAX);
	store_be32(made.data + 53, UINT32_MAX);
	store_be32(made.data + 57, records);
	fix_batch(made.data, made.size);
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	return made;
}

struct made_batch make_producer_batch(unsigned records, size_t value_bytes, int64_t producer_id,
				      int16_t epoch, int32_t sequence, uint16_t attributes)
{
	struct made_batch made = make_batch(records, value_bytes, 1000,
					    (uint64_t)producer_id << 32 | (uint32_t)sequence);

	store_be16(made.data + 21, attributes);
	store_be64(made.data + 43, (uint64_t)producer_id);
	store_be16(made.data + 51, (uint16_t)epoch);
	store_be32(made.data + 53, (uint32_t)sequence);
	fix_batch(made.data, made.size);
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	return made;
}

void compress_build(struct batch_build *build, enum batch_codec codec)
{
	struct compressor *compressor;
	size_t length = build->size - BATCH_HEADER_BYTES;

	if (codec == CODEC_NONE)
		return;
	check(compressor_new(&compressor, codec, -1) == 0);
	size_t bound = compressor_bound(compressor, length);
	uint8_t *packed = malloc(BATCH_HEADER_BYTES + bound);
	check(packed);
	int64_t made = compressor_run(compressor, build->data + BATCH_HEADER_BYTES, length,
				      packed + BATCH_HEADER_BYTES, bound);
	check(made > 0);
	free(build->data);
	build->data = packed;
	build->size = BATCH_HEADER_BYTES + (size_t)made;
	build->attributes |= (uint16_t)codec;
	compressor_free(compressor);
}

struct made_batch make_marker(const struct control_marker *marker)
{
	struct made_batch made = {.data = malloc(CONTROL_BATCH_BYTES), .size = CONTROL_BATCH_BYTES};

	check(made.data);
	control_batch_write(marker, made.data);
	check(batch_parse(&made.batch, made.data, made.size) == 0);
	return made;
}

/* ---- folders ---- */

/* Containers often give it 64 MiB only. */
static bool memory_has_room(void)
{
	struct statvfs info;

	return access("/dev/shm", W_OK) == 0 && statvfs("/dev/shm", &info) == 0 &&
	       (uint64_t)info.f_bavail * info.f_frsize >= UINT64_C(1) << 30;
}

void make_folder(char path[static 128], bool memory)
{
	const char *base = getenv("TMPDIR");

	if (memory && memory_has_room())
		base = "/dev/shm";
	snprintf(path, 128, "%s/sluice-test-XXXXXX", base ? base : "/tmp");
	check(mkdtemp(path));
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
	(void)info;
	(void)type;
	(void)ftw;
	return remove(path);
}

void remove_folder(const char *path)
{
	check(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

uint8_t *load_file(const char *path, size_t *ret_size)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	check(fd >= 0);
	check(fstat(fd, &info) == 0);
	size_t size = (size_t)info.st_size;
	uint8_t *data = malloc(size + 1);
	check(data);
	check(read(fd, data, size) == (ssize_t)size);
	close(fd);
	*ret_size = size;
	return data;
}

void save_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	check(fd >= 0);
	check(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

bool file_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

void copy_folder(const char *from, const char *to)
{
	DIR *dir = opendir(from);
	const struct dirent *entry;

	check(dir);
	check(mkdir(to, 0755) == 0 || errno == EEXIST);
	while ((entry = readdir(dir))) {
		char source[512];
		char target[512];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(source, sizeof(source), "%s/%s", from, entry->d_name);
		snprintf(target, sizeof(target), "%s/%s", to, entry->d_name);
		if (entry->d_type == DT_DIR) {
			copy_folder(source, target);
			continue;
		}
		size_t size;
		uint8_t *data = load_file(source, &size);
		save_file(target, data, size);
		free(data);
	}
	closedir(dir);
}

/* ---- rig ---- */

static uint64_t rig_monotonic_ns(const struct clock *clock)
{
	return ((const struct rig *)(const void *)clock)->now_ns;
}

static int64_t rig_wall_ms(const struct clock *clock)
{
	return ((const struct rig *)(const void *)clock)->now_ms;
}

static void make_store(struct rig *rig)
{
	struct store_options options = {
		.directory = rig->folder,
		.direct_io = rig->direct_io,
		.flush_shared = rig->flush_shared,
		.producers_max = rig->producers_max,
		.producer_expiration_ms = RIG_PRODUCER_EXPIRATION_MS,
		.dedup_bytes_max = rig->dedup_bytes_max,
		.scrub_interval_ms = rig->scrub_interval_ms,
		.scrub_bytes_per_second = rig->scrub_bytes_per_second,
		.compact_map_bytes = rig->compact_map_bytes,
		.open_files_max = rig->open_files_max,
		.index_bytes_max = rig->index_bytes_max,
		.compact_bytes_per_second = rig->compact_bytes_per_second,
		.offload = rig->offload,
		.offload_context = rig,
	};

	check(store_new(&rig->store, &options, rig->region, rig->io, &rig->clock) == 0);
}

void rig_init(struct rig *rig, const char *kind, struct io_backend *io, size_t buffer_bytes)
{
	struct io_options options = {.depth = 64};

	*rig = (struct rig){
		.clock = {.monotonic_ns = rig_monotonic_ns, .wall_ms = rig_wall_ms},
		.now_ns = NS_PER_SECOND,
		.now_ms = INT64_C(1700000000000),
		.io_kind = kind,
		.io = io,
		.identity = {.topic_id = {{1, 2, 3}}, .partition = 7, .leader_epoch = 1},
		.config =
			{
				.retention_ms = -1,
				.retention_bytes = -1,
				.segment_bytes = 1 << 20,
				.segment_ms = INT64_C(7) * 24 * 3600 * 1000,
				.delete_enabled = true,
			},
		.direct_io = kind != NULL,
		.producers_max = 100,
	};
	make_folder(rig->folder, !kind);
	check(store_region_new(&rig->region, buffer_bytes) == 0);
	store_region_options(rig->region, &options);
	if (!io)
		check((strcmp(kind, "uring") == 0 ? io_uring_new(&rig->io, &options)
						  : io_sync_new(&rig->io, &options)) == 0);
	make_store(rig);
}

void rig_fini(struct rig *rig)
{
	if (rig->log)
		rig_close(rig);
	store_free(rig->store);
	if (rig->io_kind)
		io_free(rig->io);
	store_region_free(rig->region);
	remove_folder(rig->folder);
}

int rig_try_open(struct rig *rig, char *why, size_t why_bytes)
{
	rig->closed = false;
	return log_open(&rig->log, rig->store, &rig->identity, &rig->config, why, why_bytes);
}

void rig_open(struct rig *rig)
{
	char why[160];
	int rc = rig_try_open(rig, why, sizeof(why));

	if (rc < 0)
		fprintf(stderr, "log_open: %s: %s\n", error_text(rc), why);
	check(rc == 0);
}

static void rig_log_closed(void *context)
{
	struct rig *rig = context;

	rig->closed = true;
	rig->log = NULL;
}

void rig_begin_close(struct rig *rig)
{
	rig->closed = false;
	log_close(rig->log, false, rig_log_closed, rig);
}

void rig_close(struct rig *rig)
{
	rig_begin_close(rig);
	for (int turns = 0; !rig->closed; turns++) {
		check(turns < 10000);
		rig_turn(rig);
	}
}

void rig_reopen(struct rig *rig)
{
	if (rig->log)
		rig_close(rig);
	rig->identity.leader_epoch++;
	rig_open(rig);
}

void rig_restart(struct rig *rig)
{
	check(!rig->log);
	store_free(rig->store);
	make_store(rig);
}

void rig_move(struct rig *rig, const char *folder)
{
	if (rig->log)
		rig_close(rig);
	store_free(rig->store);
	remove_folder(rig->folder);
	snprintf(rig->folder, sizeof(rig->folder), "%s", folder);
	make_store(rig);
}

static void keep_job(void *context, struct store_job *job)
{
	struct rig *rig = context;

	check(!rig->job);
	rig->job = job;
}

void rig_keep_jobs(struct rig *rig)
{
	rig->job = NULL;
	rig->offload = keep_job;
}

void rig_keep_no_jobs(struct rig *rig)
{
	rig->offload = rig->store->options.offload = NULL;
}

void rig_return_job(struct rig *rig)
{
	struct store_job *job = rig->job;

	check(job);
	rig->job = NULL;
	job->done(job);
}

void rig_run_job(struct rig *rig)
{
	check(rig->job);
	store_job_run(rig->job);
	rig_return_job(rig);
}

void rig_kill(struct rig *rig)
{
	char copy[128];

	make_folder(copy, !rig->io_kind);
	copy_folder(rig->folder, copy);
	rig_move(rig, copy);
}

void rig_path(const struct rig *rig, const char *name, char path[static 256])
{
	char topic[UUID_HEX_BYTES];

	uuid_hex(&rig->identity.topic_id, topic);
	snprintf(path, 256, "%s/%s/%d/%s", rig->folder, topic, rig->identity.partition, name);
}

unsigned segment_positions(const char *path, size_t at[static SEGMENT_POSITIONS_MAX])
{
	size_t size;
	unsigned count = 0;
	size_t position = SEGMENT_HEADER_BYTES;
	struct batch batch;
	uint8_t *data = load_file(path, &size);

	while (count < SEGMENT_POSITIONS_MAX - 1 &&
	       batch_parse(&batch, data + position, size - position) == 0) {
		at[count++] = position;
		position += batch.size;
	}
	at[count] = position;
	free(data);
	return count;
}

void rig_pass_time(struct rig *rig, int64_t ms)
{
	rig->now_ms += ms;
	rig->now_ns += (uint64_t)ms * NS_PER_MS;
}

void rig_turn(struct rig *rig)
{
	store_submit(rig->store);
	check(io_turn(rig->io, 10 * NS_PER_MS) >= 0);
}

static void append_done(struct log_append *append, int rc)
{
	struct rig_append *mine = container_of(append, struct rig_append, append);

	check(!mine->done);
	mine->done = true;
	mine->rc = rc;
}

int rig_start_append(struct rig *rig, const struct made_batch *batch, enum log_ack ack,
		     struct rig_append *append)
{
	*append = (struct rig_append){.append.done = append_done, .append.ids = batch->ids};
	return log_append(rig->log, batch->data, &batch->batch, -1, ack, &append->append);
}

int rig_append(struct rig *rig, const struct made_batch *batch, enum log_ack ack,
	       int64_t *ret_base_offset)
{
	struct rig_append append;
	int turns = 0;
	int rc;

	while ((rc = rig_start_append(rig, batch, ack, &append)) == -ENOBUFS) {
		check(turns++ < 10000);
		rig_turn(rig);
	}
	if (rc < 0)
		return rc;
	while (!append.done) {
		check(turns++ < 10000);
		rig_turn(rig);
	}
	if (ret_base_offset)
		*ret_base_offset = append.append.base_offset;
	return append.rc;
}

void rig_fill(struct rig *rig, unsigned count, size_t value_bytes, int64_t first_ms)
{
	for (unsigned i = 0; i < count; i++) {
		struct made_batch made = make_batch(1, value_bytes, first_ms + i, i);
		check(rig_append(rig, &made, ACK_DURABLE, NULL) == 0);
		free(made.data);
	}
}

void waited_read_done(struct log_read *read, int rc)
{
	struct waited_read *waited = container_of(read, struct waited_read, read);

	check(!waited->done);
	waited->done = true;
	waited->rc = rc;
}

static uint64_t records_in(const uint8_t *data, size_t size)
{
	uint64_t records = 0;
	struct batch batch;

	for (size_t at = 0; at < size; at += batch.size) {
		check(batch_parse(&batch, data + at, size - at) == 0);
		records += (uint64_t)batch.record_count;
	}
	return records;
}

static struct rig_read wait_for_read(struct rig *rig, struct waited_read *waited)
{
	struct rig_read ret = {0};

	waited->read.done = waited_read_done;
	log_read(rig->log, &waited->read);
	for (int turns = 0; !waited->done; turns++) {
		check(turns < 10000);
		rig_turn(rig);
	}
	ret.rc = waited->rc;
	ret.data = malloc(waited->read.bytes + 1);
	check(ret.data);
	for (unsigned i = 0; i < waited->read.vector_count; i++) {
		memcpy(ret.data + ret.size, waited->read.vectors[i].iov_base,
		       waited->read.vectors[i].iov_len);
		ret.size += waited->read.vectors[i].iov_len;
	}
	check(ret.size == waited->read.bytes);
	check(waited->read.records == records_in(ret.data, ret.size));
	log_read_release(rig->store, &waited->read);
	log_read_release(rig->store, &waited->read);
	return ret;
}

struct rig_read rig_read(struct rig *rig, int64_t offset, size_t bytes_max, bool oversize_first)
{
	struct waited_read waited = {
		.read = {.offset = offset,
			 .bytes_max = bytes_max,
			 .oversize_first = oversize_first},
	};

	return wait_for_read(rig, &waited);
}

struct rig_read rig_read_committed(struct rig *rig, int64_t offset, size_t bytes_max)
{
	struct waited_read waited = {
		.read = {.offset = offset,
			 .bytes_max = bytes_max,
			 .oversize_first = true,
			 .committed = true},
	};

	return wait_for_read(rig, &waited);
}

struct waited_find {
	struct log_find find;
	bool done;
	int rc;
};

static void find_done(struct log_find *find, int rc)
{
	struct waited_find *waited = container_of(find, struct waited_find, find);

	waited->done = true;
	waited->rc = rc;
}

static void wait_for_find(struct rig *rig, struct waited_find *waited)
{
	waited->find.done = find_done;
	log_find(rig->log, &waited->find);
	for (int turns = 0; !waited->done; turns++) {
		check(turns < 10000);
		rig_turn(rig);
	}
}

int rig_find(struct rig *rig, int64_t timestamp_ms, int64_t *ret_offset, int64_t *ret_ms)
{
	struct waited_find waited = {.find = {.timestamp_ms = timestamp_ms}};

	wait_for_find(rig, &waited);
	*ret_offset = waited.find.offset;
	*ret_ms = waited.find.found_ms;
	return waited.rc;
}

int rig_find_committed(struct rig *rig, int64_t timestamp_ms, int64_t *ret_offset)
{
	struct waited_find waited = {.find = {.timestamp_ms = timestamp_ms, .committed = true}};

	wait_for_find(rig, &waited);
	*ret_offset = waited.find.offset;
	return waited.rc;
}

struct waited_trim {
	struct log_trim trim;
	bool done;
	int rc;
};

static void trim_done(struct log_trim *trim, int rc)
{
	struct waited_trim *waited = container_of(trim, struct waited_trim, trim);

	waited->done = true;
	waited->rc = rc;
}

int rig_trim(struct rig *rig, int64_t offset, int64_t *ret_start)
{
	struct waited_trim waited = {.trim = {.offset = offset, .done = trim_done}};

	log_trim(rig->log, &waited.trim);
	for (int turns = 0; !waited.done; turns++) {
		check(turns < 10000);
		rig_turn(rig);
	}
	if (ret_start)
		*ret_start = waited.trim.start_offset;
	return waited.rc;
}

unsigned rig_check_all(struct rig *rig)
{
	int64_t offset = log_start_offset(rig->log);
	bool first = true;
	unsigned count = 0;

	while (offset < log_high_watermark(rig->log)) {
		struct rig_read got = rig_read(rig, offset, 100000, true);
		check(got.rc == 0);
		check(got.size > 0);
		for (size_t at = 0; at < got.size; count++) {
			struct batch batch;
			check(batch_parse(&batch, got.data + at, got.size - at) == 0);
			check(batch_crc_valid(&batch, got.data + at));
			/* The log may start inside a batch. */
			check(batch.base_offset == offset || (first && batch.base_offset < offset));
			first = false;
			offset = batch.base_offset + batch.last_offset_delta + 1;
			at += batch.size;
		}
		free(got.data);
	}
	check(offset == log_high_watermark(rig->log));
	return count;
}
