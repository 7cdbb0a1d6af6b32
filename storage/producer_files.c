/* A log's producers and transactions through restarts.
 *
 *     checkpoint, sealed segment, close
 *         image of the state at next_offset ─> durable so far ─> job: NNNN.producers
 *     recovery
 *         newest snapshot that is sound ─> batches behind it, headers and markers ─> the state
 *         ... around what is quarantined: what was open there may have ended in it
 *
 * NNNN is the offset that the snapshot speaks of; the two newest are kept, so that one that is
 * damaged costs only reading.  Each is written beside, flushed, renamed, and its name flushed, by a
 * job: neither compaction nor retention takes what no such snapshot has taken note of.  Segments
 * whose index says that no batch has a producer id are not read, so a log without idempotent
 * producers has no such files and opens as fast.
 *
 * A snapshot beyond the end of the log (a tail that was durable and is damaged) would speak of
 * batches that are no more: it is removed, durably, before anything is appended. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/folder_reader.h"
#include "base/log.h"
#include "base/whole.h"
#include "storage/segment_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_BYTES = 32,
	KEPT = 2,
	SNAPSHOTS_MAX = 16, /* of a folder; more are never left */
};
static const char ending[] = ".producers";
static const char new_name[] = "producers.new";

static void snapshot_name(char name[static NAME_BYTES], int64_t offset)
{
	snprintf(name, NAME_BYTES, "%020" PRId64 "%s", offset, ending);
}

static bool is_snapshot(const char *name, int64_t *ret_offset)
{
	if (strspn(name, "0123456789") != 20 || strcmp(name + 20, ending) != 0)
		return false;
	errno = 0;
	*ret_offset = strtoll(name, NULL, 10);
	return errno == 0;
}

static int compare_falling(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;
	return (*x < *y) - (*x > *y);
}

/* Offsets of the folder's snapshots, newest first; how many, or -errno. */
static int list_snapshots(const struct log *log, int64_t offsets[static SNAPSHOTS_MAX])
{
	struct folder_reader reader;
	int count = 0;
	const char *name;

	folder_reader_open(&reader, folder_open(log));
	while (count < SNAPSHOTS_MAX && (name = folder_reader_next(&reader)))
		count += is_snapshot(name, &offsets[count]);
	int rc = folder_reader_close(&reader);
	if (rc < 0)
		return rc;
	if (count)
		qsort(offsets, (size_t)count, sizeof(offsets[0]), compare_falling);
	return count;
}

static void remove_snapshot(const struct log *log, int64_t offset)
{
	char name[NAME_BYTES];

	snapshot_name(name, offset);
	folder_unlink(log, name);
}

/* ---- writing ---- */

struct producers_save {
	struct store_job job;
	struct log *log;
	struct producers_image image;
	int rc;
};

static int write_file(const struct log *log, const struct producers_image *image)
{
	char name[NAME_BYTES];
	int fd = folder_open_file(log, new_name, O_WRONLY | O_CREAT | O_TRUNC);

	if (fd < 0)
		return fd;
	int rc = whole_pwrite(fd, image->bytes, image->size, 0);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	snapshot_name(name, image->offset);
	if (rc == 0)
		rc = folder_rename(log, new_name, name);
	if (rc == 0)
		rc = folder_sync(log);
	if (rc < 0)
		folder_unlink(log, new_name);
	return rc;
}

static void remove_older(const struct log *log)
{
	int64_t offsets[SNAPSHOTS_MAX];
	int count = list_snapshots(log, offsets);

	for (int i = KEPT; i < count; i++)
		remove_snapshot(log, offsets[i]);
}

static uint64_t save(struct store_job *job)
{
	struct producers_save *save = container_of(job, struct producers_save, job);

	save->rc = write_file(save->log, &save->image);
	if (save->rc == 0)
		remove_older(save->log);
	return STORE_JOB_DONE;
}

static void saved(struct producers_save *save)
{
	struct log *log = save->log;

	log->saving = NULL;
	log->snapshot_rc = save->rc;
	if (save->rc == 0)
		log->snapshot_offset = save->image.offset;
	else
		log_warn("storage", "producers not saved log=%s error=\"%s\"", log->name,
			 error_text(save->rc));
	free(save->image.bytes);
	free(save);
	log->io_count--;
}

static void came_back(struct store_job *job)
{
	struct producers_save *save = container_of(job, struct producers_save, job);
	struct log *log = save->log;

	saved(save);
	producers_durable(log);
	log_finish_close(log);
}

static void drop_image(struct log *log)
{
	free(log->image.bytes);
	log->image = (struct producers_image){0};
}

/* Its image becomes a file. */
static void start_save(struct log *log)
{
	const struct store_options *options = &log->store->options;
	struct producers_save *job = malloc(sizeof(*job));

	if (!job) {
		drop_image(log);
		return;
	}
	*job = (struct producers_save){
		.job = {.step = save, .done = came_back},
		.log = log,
		.image = log->image,
	};
	log->image = (struct producers_image){0};
	log->saving = job;
	log->io_count++;
	if (options->offload) {
		options->offload(options->offload_context, &job->job);
		return;
	}
	store_job_run(&job->job);
	saved(job);
}

void producers_durable(struct log *log)
{
	log_transactions_durable(&log->producers.transactions, log->durable_offset);
	if (log->image.bytes && log->image.offset <= log->durable_offset && !log->saving)
		start_save(log);
}

void producers_checkpoint(struct log *log)
{
	if (!log->producers_changed)
		return;
	drop_image(log);
	size_t size = producers_snapshot_size(&log->producers);
	uint8_t *bytes = malloc(size);
	if (!bytes)
		return;
	producers_snapshot_write(&log->producers, log->next_offset, bytes);
	log->image = (struct producers_image){bytes, size, log->next_offset};
	log->producers_changed = false;
	producers_durable(log);
}

int producers_reach(struct log *log, const struct segment *segment)
{
	if (!segment->idempotent || segment->next_offset <= log->snapshot_offset)
		return 1;
	/* One that is on its way will do. */
	if (!log->saving && !log->image.bytes) {
		log->producers_changed = true;
		producers_checkpoint(log);
	}
	if (segment->next_offset <= log->snapshot_offset)
		return 1;
	return log->saving || log->image.bytes ? 0 : log->snapshot_rc;
}

/* ---- recovery ---- */

static int read_file(const struct log *log, int64_t offset, uint8_t **ret, size_t *ret_size)
{
	char name[NAME_BYTES];
	struct stat info;
	int rc = 0;

	snapshot_name(name, offset);
	int fd = folder_open_file(log, name, O_RDONLY);
	if (fd < 0)
		return -errno;
	uint8_t *bytes = fstat(fd, &info) < 0 ? NULL : malloc((size_t)info.st_size + 1);
	if (!bytes)
		rc = -ENOMEM;
	else if (whole_pread(fd, bytes, (size_t)info.st_size, 0) != (ssize_t)info.st_size)
		rc = -EIO;
	close(fd);
	if (rc < 0) {
		free(bytes);
		return rc;
	}
	*ret = bytes;
	*ret_size = (size_t)info.st_size;
	return 0;
}

/* False: it is not to be believed. */
static bool take_snapshot(const struct log *log, int64_t offset, struct producers *producers)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int64_t told = -1;
	int rc = read_file(log, offset, &bytes, &size);

	if (rc == 0)
		rc = producers_snapshot_read(producers, bytes, size,
					     clock_monotonic_ns(log->store->clock), &told);
	free(bytes);
	if (rc == 0 && told != offset)
		rc = -ERR_CORRUPT;
	if (rc == 0)
		return true;
	log_warn("storage", "snapshot of producers not used log=%s offset=%" PRId64 " error=\"%s\"",
		 log->name, offset, error_text(rc));
	producers_clear(producers);
	return false;
}

/* Where the log's batches begin. */
static int64_t first_offset(const struct log *log)
{
	return list_empty(&log->segments)
		       ? log->next_offset
		       : container_of(log->segments.next, struct segment, link)->base_offset;
}

/* The newest that can be read and reaches the log's first batch.  What an older one says has been
 * overtaken by batches that are deleted: their numbers would be asked for again.  *ret_from: the
 * batches from here on are still to be applied. */
static int load_snapshot(const struct log *log, struct producers *producers, int64_t *ret_from)
{
	int64_t offsets[SNAPSHOTS_MAX] = {0};
	int count = list_snapshots(log, offsets);
	bool removed = false;

	*ret_from = 0;
	for (int i = 0; i < count; i++) {
		if (offsets[i] > log->next_offset) {
			remove_snapshot(log, offsets[i]);
			removed = true;
		} else if (!log->snapshots_doubtful && offsets[i] >= first_offset(log) &&
			   take_snapshot(log, offsets[i], producers)) {
			*ret_from = offsets[i];
			break;
		}
	}
	if (removed)
		return folder_sync(log);
	return count < 0 ? count : 0;
}

/* The header at `at`, which is below the segment's end.  -ERR_CORRUPT. */
static int header_at(struct file_window *file, const struct segment *segment, struct place at,
		     struct batch *ret)
{
	const uint8_t *data = file_window_at(file, at.position, BATCH_HEADER_BYTES);

	if (!data)
		return file->error < 0 ? file->error : -ERR_CORRUPT;
	int rc = batch_parse(ret, data, BATCH_HEADER_BYTES);
	return (rc == 0 || rc == -EMSGSIZE) && segment_may_hold(segment, ret, at.offset)
		       ? 0
		       : -ERR_CORRUPT;
}

/* What it says of a transaction cannot be guessed from its header. */
static int marker_at(struct file_window *file, uint64_t position, const struct batch *batch,
		     struct control_marker *ret)
{
	const uint8_t *data = file_window_at(file, position, CONTROL_BATCH_BYTES);

	if (!data)
		return file->error < 0 ? file->error : -ERR_CORRUPT;
	if (batch->size != CONTROL_BATCH_BYTES || !batch_crc_valid(batch, data))
		return -ERR_CORRUPT;
	return control_batch_read(ret, data, batch);
}

struct replay {
	struct producers *producers;
	struct quarantine *quarantine;
	size_t ranges_passed; /* of the quarantine */
	int64_t from;
	uint64_t now_ns;
	struct file_window file;
};

/* The batches below `offset` have been applied, where there are any. */
static void pass_ranges(struct replay *replay, int64_t offset)
{
	for (; replay->ranges_passed < replay->quarantine->count; replay->ranges_passed++) {
		const struct damage *range = &replay->quarantine->ranges[replay->ranges_passed];
		if (range->from >= offset)
			return;
		if (range->to <= replay->from)
			continue;
		int64_t open_from = producers_lose(replay->producers, range->from);
		log_transactions_durable(&replay->producers->transactions, range->from);
		quarantine_bar_committed(replay->quarantine, replay->ranges_passed, open_from);
	}
}

static int replay_batch(struct replay *replay, uint64_t position, const struct batch *batch)
{
	bool control = batch->attributes & BATCH_CONTROL;
	struct control_marker marker;
	int rc = control ? marker_at(&replay->file, position, batch, &marker) : 0;

	if (rc == 0)
		rc = producers_reserve(replay->producers, batch);
	if (rc < 0)
		return rc;
	producers_apply(replay->producers, batch, control ? &marker : NULL, replay->now_ns);
	log_transactions_durable(&replay->producers->transactions,
				 batch->base_offset + batch->last_offset_delta + 1);
	return 0;
}

static int replay_segment(struct replay *replay, struct segment *segment)
{
	struct place at;
	int sought = segment_seek(segment, replay->from, &at.position, &at.offset);

	if (sought < 0)
		return sought;
	uint64_t told = at.position;
	replay->file.fd = segment_fd(segment);
	replay->file.file_bytes = segment->allocated_end;
	replay->file.length = 0;
	while (at.position < segment->end) {
		const struct damage *damage = quarantine_at(replay->quarantine,
							    segment->base_offset, at.position);
		struct batch batch = {0};
		if (damage) {
			at = (struct place){damage->end, damage->to};
			continue;
		}
		int rc = header_at(&replay->file, segment, at, &batch);
		if (rc == 0)
			pass_ranges(replay, batch.base_offset);
		if (rc == 0 && batch.producer_id >= 0 && batch.base_offset >= replay->from)
			rc = replay_batch(replay, at.position, &batch);
		if (rc < 0)
			return rc;
		at = place_behind(at, &batch);
		recovery_reached(segment->log, at.position, &told);
	}
	recovery_went_on(segment->log, at.position - told);
	return 0;
}

/* Nothing of what is quarantined in it had a producer id. */
static void pass_without_producers(struct replay *replay, const struct segment *segment)
{
	pass_ranges(replay, segment->base_offset);
	while (replay->ranges_passed < replay->quarantine->count &&
	       replay->quarantine->ranges[replay->ranges_passed].from < segment->next_offset)
		replay->ranges_passed++;
}

static int replay(struct log *log, struct producers *producers, int64_t from)
{
	struct replay replay = {
		.producers = producers,
		.quarantine = &log->quarantine,
		.from = from,
		.now_ns = clock_monotonic_ns(log->store->clock),
	};
	int rc = 0;

	list_foreach(node, &log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (rc == 0 && !segment->idempotent)
			pass_without_producers(&replay, segment);
		else if (rc == 0 && segment->next_offset > from)
			rc = replay_segment(&replay, segment);
	}
	pass_ranges(&replay, INT64_MAX);
	file_window_fini(&replay.file);
	return rc;
}

/* Made beside what there is: of a log that fails to be verified, that still holds readers back. */
int producers_recover(struct log *log)
{
	struct producers fresh;
	int64_t from;

	drop_image(log);
	log->snapshot_offset = 0;
	producers_init(&fresh, log->producers.max);
	int rc = load_snapshot(log, &fresh, &from);
	if (rc == 0)
		rc = replay(log, &fresh, from);
	if (rc == 0) {
		log_transactions_trim(&fresh.transactions, log->start_offset);
		log->store->stats.producers -= producers_count(&log->producers);
		log->store->stats.producers += producers_count(&fresh);
		producers_move(&log->producers, &fresh);
		/* What had to be read is not read again. */
		log->producers_changed = (producers_count(&log->producers) ||
					  log->producers.transactions.aborted_count) &&
					 from < log->next_offset;
	}
	producers_fini(&fresh);
	return rc;
}
