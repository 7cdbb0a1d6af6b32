/* A segment's scrub:
 *
 *     housekeeping ─> the segment that is due ─> job: header, then batch by batch, a MiB a step
 *                                                 └─> done: what is damaged is quarantined
 *
 * A log is not scrubbed while it is compacted: what it has lost is told by the bytes of a file,
 * which may be another by then.  Where a reader waits for it the compaction is given up.
 *
 * The job has all that it needs to know copied, and reads below what is durable, where nothing
 * changes.  The segment counts it as a reader, so the file stays open; the log as an operation in
 * flight, so it stays. */
#include "storage/scrub.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/whole.h"
#include "storage/compact.h"
#include "storage/segment_internal.h"
#include "storage/segment_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { STEP_BYTES = 1 << 20 };
static const char file_name[] = "scrub";

struct scrub {
	struct store_job job;
	struct log *log;
	struct segment *segment;
	struct scrub_progress after; /* the log's, when this segment is done */
	bool of_round;               /* not for a reader's sake alone */
	bool cached;                 /* what is read comes into the kernel's cache */
	uint64_t bytes_per_second;   /* 0: no limit */
	struct segment_scan scan;
	struct index_entry *entries;
	struct epoch_start *epochs;
	struct quarantine known;
	struct place at;
	struct quarantine found;
	int rc;
};

/* ---- the file ---- */

size_t scrub_format(const struct scrub_progress *progress, char text[static SCRUB_FILE_BYTES])
{
	int length = snprintf(text, SCRUB_FILE_BYTES,
			      "sluice-scrub 1\nround %" PRId64 " %" PRId64 " %" PRId64 "\n",
			      progress->begun_ms, progress->next_offset, progress->end_offset);

	length += snprintf(text + length, SCRUB_FILE_BYTES - (size_t)length, "sum %016" PRIx64 "\n",
			   XXH3_64bits(text, (size_t)length));
	return (size_t)length;
}

int scrub_parse(struct scrub_progress *ret, const char *text, size_t length)
{
	static const char before[] = "sluice-scrub 1\nround ";
	char copy[SCRUB_FILE_BYTES + 1];
	char expected[SCRUB_FILE_BYTES];
	struct scrub_progress progress;
	char *end;

	if (length > SCRUB_FILE_BYTES)
		return -ERR_CORRUPT;
	memcpy(copy, text, length);
	copy[length] = '\0';
	if (strncmp(copy, before, sizeof(before) - 1) != 0)
		return -ERR_CORRUPT;
	/* Whatever is wrong with the numbers, or follows them, is found by the comparison. */
	progress.begun_ms = strtoll(copy + sizeof(before) - 1, &end, 10);
	progress.next_offset = strtoll(end, &end, 10);
	progress.end_offset = strtoll(end, NULL, 10);
	if (progress.begun_ms < 0 || progress.next_offset < 0 || progress.end_offset < 0 ||
	    scrub_format(&progress, expected) != length || memcmp(expected, text, length) != 0)
		return -ERR_CORRUPT;
	*ret = progress;
	return 0;
}

/* What is not there after a power cut costs reading some of it again. */
static int write_progress(const struct log *log, const struct scrub_progress *progress)
{
	char text[SCRUB_FILE_BYTES];

	return log_write_file(log, file_name, text, scrub_format(progress, text));
}

void scrub_recover(struct log *log)
{
	char text[SCRUB_FILE_BYTES + 1];
	int fd = folder_open_file(log, file_name, O_RDONLY);
	ssize_t got = fd < 0 ? -1 : whole_pread(fd, text, sizeof(text), 0);

	if (fd >= 0)
		close(fd);
	log->scrub = (struct scrub_progress){0};
	if (got >= 0 && scrub_parse(&log->scrub, text, (size_t)got) < 0)
		log_warn("storage", "scrub begins anew log=%s error=\"%s\"", log->name,
			 error_text(-ERR_CORRUPT));
}

/* ---- on the background thread ---- */

static bool header_sound(const struct scrub *scrub)
{
	struct segment_header header;
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);

	if (!block)
		return true; /* next time */
	ssize_t got = patient_pread(scrub->scan.file.fd, block, SEGMENT_HEADER_BYTES, 0);
	memcpy(&header, block, sizeof(header));
	free(block);
	if (got < 0 && got != -EIO)
		return true; /* the machine's trouble: likewise */
	return got == SEGMENT_HEADER_BYTES && header.id == scrub->segment->id &&
	       header.checksum == XXH3_64bits(&header, offsetof(struct segment_header, checksum));
}

/* All of it is lost with the next start: readers are told now. */
static int lose_all(struct scrub *scrub)
{
	const struct place end = scrub->scan.end;
	const struct damage damage = {
		.from = scrub->scan.base_offset,
		.to = end.offset,
		.committed_from = scrub->scan.base_offset,
		.segment = scrub->scan.base_offset,
		.end = end.position,
		.kind = DAMAGE_HEADER,
	};

	scrub->at = end;
	return quarantine_add(&scrub->found, &damage);
}

static bool sound_batch(struct scrub *scrub, struct batch *ret)
{
	return scan_batch(&scrub->scan, scrub->at, ret) &&
	       ret->leader_epoch <= scrub->scan.epoch_max;
}

/* Once more from the device: a transfer that went wrong is no damage. */
static bool sound_at_second_sight(struct scrub *scrub, struct batch *ret)
{
	scrub->scan.file.length = 0;
	scrub->scan.file.unreadable_end = 0;
	return sound_batch(scrub, ret);
}

static int verify_next(struct scrub *scrub)
{
	const struct damage *known = scan_known_damage(&scrub->scan, scrub->at);
	struct place next = scrub->scan.end;
	struct batch batch;

	if (known) {
		scrub->at = (struct place){known->end, known->to};
		return 0;
	}
	if (sound_batch(scrub, &batch) || sound_at_second_sight(scrub, &batch)) {
		scrub->at = place_behind(scrub->at, &batch);
		return 0;
	}
	if (scrub->scan.file.error < 0)
		return scrub->scan.file.error;
	if (!scan_behind_damage(&scrub->scan, scrub->at, &next))
		next = scrub->scan.end;
	const struct damage damage = scan_damage(&scrub->scan, scrub->at, next);
	scrub->at = next;
	return quarantine_add(&scrub->found, &damage);
}

static uint64_t pause_after(const struct scrub *scrub, uint64_t bytes)
{
	return scrub->bytes_per_second ? bytes * NS_PER_SECOND / scrub->bytes_per_second : 0;
}

static uint64_t step(struct store_job *job)
{
	struct scrub *scrub = container_of(job, struct scrub, job);
	const uint64_t from = scrub->at.position;
	const uint64_t end = scrub->scan.end.position;

	if (atomic_load(&job->give_up)) {
		scrub->rc = -ECANCELED;
		return STORE_JOB_DONE;
	}
	if (from == SEGMENT_HEADER_BYTES && !header_sound(scrub) && !header_sound(scrub))
		scrub->rc = lose_all(scrub);
	while (scrub->rc >= 0 && scrub->at.position < end && scrub->at.position - from < STEP_BYTES)
		scrub->rc = verify_next(scrub);
	if (scrub->cached)
		posix_fadvise(scrub->scan.file.fd, (off_t)from, (off_t)(scrub->at.position - from),
			      POSIX_FADV_DONTNEED);
	if (scrub->rc >= 0 && scrub->at.position < end)
		return pause_after(scrub, scrub->at.position - from);
	/* Damage comes first: the shard writes it down, and this then. */
	if (scrub->rc >= 0 && scrub->of_round && !scrub->found.count)
		write_progress(scrub->log, &scrub->after);
	return STORE_JOB_DONE;
}

/* ---- on the shard ---- */

static void take_damage(struct scrub *scrub)
{
	struct log *log = scrub->log;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < scrub->found.count; i++) {
		const struct damage *damage = &scrub->found.ranges[i];
		rc = log_quarantine(log, damage);
		if (rc == 0 && damage->kind != DAMAGE_HEADER)
			rc = segment_add_entry(scrub->segment, damage->end, damage->to);
	}
	log_drop_ahead(log);
	log_count_quarantine(log);
	if (rc == 0)
		rc = log_write_quarantine(log);
	/* So that a start does not have to replay what is lost. */
	producers_checkpoint(log);
	if (rc == 0 && scrub->of_round)
		rc = write_progress(log, &scrub->after);
	if (rc < 0)
		log_error("storage", "quarantine not written log=%s error=\"%s\"", log->name,
			  error_text(rc));
}

static void scrub_free(struct scrub *scrub)
{
	file_window_fini(&scrub->scan.file);
	quarantine_fini(&scrub->known);
	quarantine_fini(&scrub->found);
	free(scrub->entries);
	free(scrub->epochs);
	free(scrub);
}

static void done(struct store_job *job)
{
	struct scrub *scrub = container_of(job, struct scrub, job);
	struct segment *segment = scrub->segment;
	struct log *log = scrub->log;

	log->store->scrub = NULL;
	log->store->stats.scrubbed_bytes += scrub->at.position - SEGMENT_HEADER_BYTES;
	segment->readers--;
	if (segment->dead) {
		if (!segment->readers)
			segment_free(segment);
	} else {
		if (scrub->found.count)
			take_damage(scrub);
		/* What could not be read this time is read in the next round. */
		if (scrub->of_round && scrub->rc != -ECANCELED)
			log->scrub = scrub->after;
		if (scrub->rc < 0 && scrub->rc != -ECANCELED)
			log_warn("storage",
				 "scrub failed log=%s segment=%020" PRId64 " error=\"%s\"",
				 log->name, segment->base_offset, error_text(scrub->rc));
	}
	scrub_free(scrub);
	log->io_count--;
	log->reads_out--;
	log_finish_close(log);
}

static int copy_what_is_known(struct scrub *scrub)
{
	const struct segment *segment = scrub->segment;
	const struct quarantine *known = &scrub->log->quarantine;
	const size_t entry_bytes = segment->index_count * sizeof(*scrub->entries);
	const size_t epoch_bytes = segment->epoch_count * sizeof(*scrub->epochs);
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < known->count; i++) {
		if (known->ranges[i].segment == segment->base_offset)
			rc = quarantine_add(&scrub->known, &known->ranges[i]);
	}
	scrub->entries = malloc(entry_bytes + 1);
	scrub->epochs = malloc(epoch_bytes + 1);
	if (rc < 0 || !scrub->entries || !scrub->epochs)
		return -ENOMEM;
	if (entry_bytes)
		memcpy(scrub->entries, segment->index, entry_bytes);
	if (epoch_bytes)
		memcpy(scrub->epochs, segment->epochs, epoch_bytes);
	return 0;
}

static void set_up(struct scrub *scrub)
{
	const struct segment *segment = scrub->segment;
	const struct store_options *options = &scrub->log->store->options;
	int flags = fcntl(segment->file.fd, F_GETFL);

	scrub->job.step = step;
	scrub->job.done = done;
	scrub->cached = flags >= 0 && !(flags & O_DIRECT);
	scrub->bytes_per_second = scrub->of_round ? options->scrub_bytes_per_second : 0;
	scrub->at = (struct place){SEGMENT_HEADER_BYTES, segment->base_offset};
	scrub->scan = (struct segment_scan){
		.file = {.fd = segment->file.fd, .file_bytes = segment->durable_end},
		.base_offset = segment->base_offset,
		.limit = segment->durable_next_offset,
		.epoch_max = scrub->log->identity.leader_epoch,
		.gaps = segment->gaps,
		.epochs = scrub->epochs,
		.epoch_count = segment->epoch_count,
		.epochs_end = segment->durable_next_offset,
		.entries = scrub->entries,
		.entry_count = segment->index_count,
		.end = {segment->durable_end, segment->durable_next_offset},
		.known = &scrub->known,
		.budget = 4 * segment->durable_end,
	};
}

/* The log may be gone when it returns, if the job has been done at once and it is closing. */
static void start(struct log *log, struct segment *segment, bool of_round)
{
	struct store *store = log->store;
	/* What cannot be opened now is tried again by a later housekeeping. */
	bool open = segment_need_index(segment) == 0 && segment_fd(segment) >= 0;
	struct scrub *scrub = open ? calloc(1, sizeof(*scrub)) : NULL;

	if (!scrub)
		return;
	segment->suspect = false;
	scrub->log = log;
	scrub->segment = segment;
	scrub->of_round = of_round;
	scrub->after = log->scrub;
	scrub->after.next_offset = segment->next_offset;
	if (copy_what_is_known(scrub) < 0) {
		scrub_free(scrub);
		return;
	}
	set_up(scrub);
	store->scrub = scrub;
	segment->readers++;
	log->io_count++;
	log->reads_out++;
	store_job_start(store, &scrub->job);
}

/* ---- what is due ---- */

static bool readable(const struct segment *segment)
{
	return segment->lost_from != segment->base_offset &&
	       segment->durable_end > SEGMENT_HEADER_BYTES;
}

static struct segment *suspect_of(const struct log *log)
{
	list_foreach(node, &log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (segment->suspect && readable(segment))
			return segment;
	}
	return NULL;
}

static struct segment *next_of_round(const struct log *log)
{
	list_foreach(node, &log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (segment == log->active || segment->base_offset >= log->scrub.end_offset)
			return NULL;
		if (segment->base_offset >= log->scrub.next_offset && readable(segment))
			return segment;
	}
	return NULL;
}

/* Begins a round of what is closed by now, when it is time. */
static struct segment *due_of(struct log *log, int64_t now_ms)
{
	struct scrub_progress *round = &log->scrub;
	struct segment *segment = next_of_round(log);

	/* The clock has been set back. */
	if (round->begun_ms > now_ms)
		round->begun_ms = now_ms;
	if (segment || now_ms - round->begun_ms < log->store->options.scrub_interval_ms)
		return segment;
	*round = (struct scrub_progress){
		.begun_ms = now_ms,
		.end_offset = log->active ? log->active->base_offset : 0,
	};
	return next_of_round(log);
}

void scrub_housekeep(struct store *store)
{
	struct segment *segment;

	if (store->scrub)
		return;
	list_foreach(node, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		segment = log->state == LOG_WRITABLE ? suspect_of(log) : NULL;
		if (segment && compact_under_way(log)) {
			compact_stop(log);
		} else if (segment) {
			start(log, segment, false);
			return;
		}
	}
	if (!store->options.scrub_interval_ms)
		return;
	list_foreach(node, &store->logs) {
		struct log *log = container_of(node, struct log, link);
		bool may = log->state == LOG_WRITABLE && !compact_under_way(log);
		segment = may ? due_of(log, store_wall_ms(store)) : NULL;
		if (segment) {
			start(log, segment, true);
			return;
		}
	}
}

bool scrub_wants(const struct log *log)
{
	const struct scrub *scrub = log->store->scrub;

	return (scrub && scrub->log == log) || suspect_of(log);
}

void scrub_stop(struct log *log)
{
	struct scrub *scrub = log->store->scrub;

	if (scrub && scrub->log == log)
		store_job_give_up(log->store, &scrub->job);
}
