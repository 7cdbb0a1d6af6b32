/* What a log's folder says: its segments in order, the tail cut at the last whole batch, and
 * partition.meta (log start).
 *
 * Damage of what was durable is never skipped in silence: it is quarantined (quarantine.h), and
 * that is on the disk before anything else changes.  Where a log cannot be, it refuses to open, and
 * nothing in the folder is changed.  What an index vouches for is not read; where replaying
 * producers or message ids finds it damaged, everything is verified, once. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/folder_reader.h"
#include "base/log.h"
#include "base/whole.h"
#include "storage/compact.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

/* ---- partition.meta: text, its last line the XXH3 of what stands above ----
 *
 * It is written when records are deleted up to an offset; without it the log begins with its first
 * segment. */

int log_write_file(const struct log *log, const char *name, const void *data, size_t length)
{
	char new_name[64];

	snprintf(new_name, sizeof(new_name), "%s.new", name);
	int fd = folder_open_file(log, new_name, O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	int rc = whole_pwrite(fd, data, length, 0);
	if (rc == 0 && fsync(fd) < 0)
		rc = -errno;
	close(fd);
	if (rc == 0)
		rc = folder_rename(log, new_name, name);
	return rc == 0 ? folder_sync(log) : rc;
}

int log_write_meta(struct log *log)
{
	char text[128];
	int length = snprintf(text, sizeof(text), "sluice-partition 1\nstart %" PRId64 "\n",
			      log->start_offset);
	uint64_t sum = XXH3_64bits(text, (size_t)length);

	length += snprintf(text + length, sizeof(text) - (size_t)length, "sum %016" PRIx64 "\n",
			   sum);
	return log_write_file(log, "partition.meta", text, (size_t)length);
}

static int parse_meta(struct log *log, const char *text, size_t length)
{
	static const char before_start[] = "sluice-partition 1\nstart ";
	char expected[128];

	/* The sum covers the first line too, so a newer format is told by that line alone. */
	if (strncmp(text, "sluice-partition ", 17) == 0 &&
	    strncmp(text, "sluice-partition 1\n", 19) != 0)
		return -ERR_FORMAT;
	if (strncmp(text, before_start, sizeof(before_start) - 1) != 0)
		return -ERR_CORRUPT;
	/* Whatever follows the number is compared below, as is a number that does not fit. */
	int64_t start = strtoll(text + sizeof(before_start) - 1, NULL, 10);
	int head = snprintf(expected, sizeof(expected), "sluice-partition 1\nstart %" PRId64 "\n",
			    start);
	int whole = head + snprintf(expected + head, sizeof(expected) - (size_t)head,
				    "sum %016" PRIx64 "\n", XXH3_64bits(expected, (size_t)head));
	if (start < 0 || (size_t)whole != length || memcmp(text, expected, length) != 0)
		return -ERR_CORRUPT;
	log->start_offset = start;
	return 0;
}

static int read_meta(struct log *log)
{
	char text[256];
	int fd = folder_open_file(log, "partition.meta", O_RDONLY);

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	ssize_t got = whole_pread(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (got < 0)
		return (int)got;
	text[got] = '\0';
	return parse_meta(log, text, (size_t)got);
}

/* ---- progress ---- */

void recovery_went_on(struct log *log, uint64_t bytes)
{
	struct store *store = log->store;
	uint64_t now_ns = clock_monotonic_ns(store->clock);

	store->stats.recovered_bytes += bytes;
	if (!store->recovery_told_ns)
		store->recovery_told_ns = now_ns;
	uint64_t passed_ns = now_ns - store->recovery_told_ns;
	if (passed_ns < NS_PER_SECOND)
		return;
	uint64_t since = store->stats.recovered_bytes - store->recovery_told_bytes;
	log_info("storage",
		 "recovering log=%s logs_done=%u read_mib=%" PRIu64 " mib_per_s=%" PRIu64,
		 log->name, store->recovered_logs, store->stats.recovered_bytes >> 20,
		 (since * NS_PER_SECOND / passed_ns) >> 20);
	store->recovery_told_ns = now_ns;
	store->recovery_told_bytes = store->stats.recovered_bytes;
}

/* ---- segments ---- */

static int compare_offsets(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;
	return (*x > *y) - (*x < *y);
}

static bool is_of_segment(const char *name, const char *ending, int64_t *ret_offset)
{
	if (strspn(name, "0123456789") != 20 || strcmp(name + 20, ending) != 0)
		return false;
	errno = 0;
	*ret_offset = strtoll(name, NULL, 10);
	return errno == 0;
}

/* Base offsets of the folder's segments, or of their indexes, ascending; *ret is the caller's to
 * free. */
static int list_offsets(const struct log *log, const char *ending, int64_t **ret, size_t *ret_count)
{
	struct folder_reader reader;
	int64_t *offsets = NULL;
	size_t count = 0;
	const char *name;

	folder_reader_open(&reader, folder_open(log));
	while ((name = folder_reader_next(&reader))) {
		int64_t offset;
		if (!is_of_segment(name, ending, &offset))
			continue;
		/* Room for one more, as add_missing wants it. */
		int64_t *more = realloc(offsets, (count + 2) * sizeof(*offsets));
		if (more) {
			offsets = more;
			offsets[count++] = offset;
		} else {
			reader.rc = -ENOMEM;
		}
	}
	int rc = folder_reader_close(&reader);
	if (rc < 0) {
		free(offsets);
		return rc;
	}
	if (count)
		qsort(offsets, count, sizeof(*offsets), compare_offsets);
	*ret = offsets;
	*ret_count = count;
	return 0;
}

/* A segment that is missing between two others is a gap.  That the last one is missing can be told
 * from its index, which speaks of what follows the end of the one before.  There is one at least.
 */
static int add_missing(struct log *log, int64_t *offsets, size_t *count)
{
	int64_t *indexes = NULL;
	size_t index_count = 0;
	int rc = list_offsets(log, ".idx", &indexes, &index_count);
	int64_t last = index_count ? indexes[index_count - 1] : -1;

	if (index_count && last > offsets[*count - 1] &&
	    segment_index_end(log, offsets[*count - 1]) == last &&
	    segment_index_end(log, last) > last)
		offsets[(*count)++] = last;
	free(indexes);
	return rc;
}

static int list_segments(const struct log *log, int64_t **ret, size_t *ret_count)
{
	return list_offsets(log, ".log", ret, ret_count);
}

/* Between the log's end so far and where the next segment begins a file is missing. */
static int quarantine_gap(struct log *log, int64_t from, int64_t to)
{
	return log_quarantine(log, &(struct damage){
					   .from = from,
					   .to = to,
					   .committed_from = from,
					   .segment = from,
					   .kind = DAMAGE_MISSING,
				   });
}

/* Each segment ends where the next begins: it was flushed whole before that one was made, or made
 * of what was.  One that compaction has made of several has the name of the first; what the others
 * have left, where the broker ended before they were removed, is passed over. */
static int load_segments(struct log *log, char *why, size_t why_bytes)
{
	int64_t *offsets = NULL;
	size_t count = 0;
	int rc = list_segments(log, &offsets, &count);

	log->leftovers = false;
	if (rc == 0 && count)
		rc = add_missing(log, offsets, &count);
	check(offsets || !count);
	for (size_t i = 0; rc == 0 && i < count;) {
		int64_t next = i + 1 < count ? offsets[i + 1] : -1;
		rc = segment_load(log, offsets[i++], next, why, why_bytes);
		while (rc == 0 && log->active->compacted && i < count &&
		       offsets[i] < log->active->next_offset) {
			log->leftovers = true;
			i++;
		}
		if (rc == 0 && i < count && log->active->next_offset != offsets[i])
			rc = quarantine_gap(log, log->active->next_offset, offsets[i]);
	}
	free(offsets);
	return rc;
}

/* Durably: the one that stands for them may be removed before the next start. */
static int remove_leftovers(struct log *log)
{
	int64_t *offsets = NULL;
	size_t count = 0;
	int rc = list_segments(log, &offsets, &count);

	for (size_t i = 0; i < count; i++) {
		if (log_segment_at(log, offsets[i])->base_offset != offsets[i])
			segment_unlink_at(log, offsets[i]);
	}
	free(offsets);
	if (rc == 0)
		rc = folder_sync(log);
	log->leftovers = rc < 0;
	return rc;
}

static int collect_epochs(struct log *log)
{
	int rc = 0;

	log->epoch_count = 0;
	list_foreach(node, &log->segments) {
		const struct segment *segment = container_of(node, struct segment, link);
		for (size_t i = 0; rc == 0 && i < segment->epoch_count; i++)
			rc = log_note_epoch(log, segment->epochs[i].epoch,
					    segment->epochs[i].offset);
	}
	return rc == 0 ? log_note_epoch(log, log->identity.leader_epoch, log->next_offset) : rc;
}

static int check_bounds(const struct log *log, int64_t must_reach, char *why, size_t why_bytes)
{
	int32_t epoch = log->epoch_count ? log->epochs[log->epoch_count - 1].epoch : -1;

	if (log->next_offset < must_reach) {
		snprintf(why, why_bytes,
			 "the log ends at offset %" PRId64 " but was durable up to %" PRId64,
			 log->next_offset, must_reach);
		return -ERR_CORRUPT;
	}
	if (epoch > log->identity.leader_epoch) {
		snprintf(why, why_bytes,
			 "holds records of leader epoch %" PRId32 ", this run's is %" PRId32, epoch,
			 log->identity.leader_epoch);
		return -ERR_CORRUPT;
	}
	return 0;
}

static void report_tail(const struct log *log)
{
	const struct segment *active = log->active;

	if (active->torn)
		log_warn("storage",
			 "torn tail cut log=%s segment=%020" PRId64 " byte=%" PRIu64
			 " next=%" PRId64,
			 log->name, active->base_offset, active->end, active->next_offset);
}

/* Where the last segment has been lost in part, its bytes stay, and the log goes on in another; so
 * it does where the one behind a compacted segment is missing. */
static int make_end_appendable(struct log *log)
{
	int rc = 0;

	if (log->active && (log->active->lost_from >= 0 || log->active->compacted))
		return segment_create(log, log->next_offset);
	if (log->active)
		rc = segment_cut(log->active);
	if (log->active && rc == 0)
		report_tail(log);
	return rc;
}

/* Everything is in order: now the files may change. */
static int finish_recovery(struct log *log)
{
	quarantine_trim(&log->quarantine, log->start_offset);
	int rc = log_write_quarantine(log);
	if (rc == 0)
		rc = make_end_appendable(log);
	if (rc == 0 && log->leftovers)
		rc = remove_leftovers(log);
	if (rc < 0)
		return rc;
	list_foreach(node, &log->segments) {
		struct segment *segment = container_of(node, struct segment, link);
		if (segment->checkpoint_end != segment->end)
			segment_checkpoint(segment);
	}
	return 0;
}

/* A quarantine that cannot be believed is found again: not by the indexes, which do not tell of it,
 * and not by snapshots of producers, which were taken past it. */
static int read_quarantine(struct log *log, char *why, size_t why_bytes)
{
	int rc = log_read_quarantine(log);

	if (rc == -ERR_CORRUPT) {
		log_error("storage",
			  "quarantine cannot be read, everything is verified log=%s error=\"%s\"",
			  log->name, error_text(rc));
		log->verify_all = log->snapshots_doubtful = true;
		log->quarantine.changed = true;
		return 0;
	}
	if (rc < 0) {
		snprintf(why, why_bytes, "quarantine: %s", error_text(rc));
		return rc;
	}
	/* Indexes and snapshots may be of when it could not be read. */
	if (log_reread_quarantine(log))
		log->verify_all = log->snapshots_doubtful = true;
	return 0;
}

/* Where the log begins and ends. */
static int find_bounds(struct log *log, int64_t must_reach, char *why, size_t why_bytes)
{
	int64_t first = log->start_offset;

	log->next_offset = log->start_offset;
	if (!list_empty(&log->segments)) {
		first = container_of(log->segments.next, struct segment, link)->base_offset;
		log->next_offset = log->active->next_offset;
	}
	/* Records are deleted up to durable ones only, so the log reaches its start. */
	if (must_reach < log->start_offset)
		must_reach = log->start_offset;
	int rc = collect_epochs(log);
	if (rc == 0)
		rc = check_bounds(log, must_reach, why, why_bytes);
	if (rc < 0)
		return rc;
	if (log->start_offset < first)
		log->start_offset = first;
	log->durable_offset = log->next_offset;
	return 0;
}

static int recover(struct log *log, int64_t must_reach, char *why, size_t why_bytes)
{
	int rc = read_meta(log);

	if (rc < 0) {
		snprintf(why, why_bytes, "partition.meta: %s", error_text(rc));
		return rc;
	}
	rc = read_quarantine(log, why, why_bytes);
	if (rc == 0)
		rc = load_segments(log, why, why_bytes);
	log->name_durable = log->active; /* it came first */
	if (rc == 0)
		rc = find_bounds(log, must_reach, why, why_bytes);
	return rc;
}

/* What is derived of the batches.  -ERR_CORRUPT, -EIO: they are not what indexes vouch for. */
static int replay(struct log *log, char *why, size_t why_bytes)
{
	int rc = producers_recover(log);

	if (rc < 0) {
		snprintf(why, why_bytes, "producers: %s", error_text(rc));
		return rc;
	}
	compact_recover(log);
	rc = finish_recovery(log);
	if (rc < 0)
		return rc;
	rc = dedup_recover(log);
	if (rc < 0)
		snprintf(why, why_bytes, "dedup window: %s", error_text(rc));
	return rc;
}

static void forget_segments(struct log *log)
{
	while (!list_empty(&log->segments))
		segment_free(container_of(log->segments.next, struct segment, link));
	log->active = NULL;
	log->epoch_count = 0;
	log->start_offset = 0;
}

int log_recover(struct log *log, int64_t must_reach, char *why, size_t why_bytes)
{
	log->verify_all = log->snapshots_doubtful = false;
	int rc = recover(log, must_reach, why, why_bytes);
	if (rc < 0)
		return rc;
	rc = replay(log, why, why_bytes);
	if ((rc == -ERR_CORRUPT || rc == -EIO) && !log->verify_all) {
		log_error("storage", "damage found, everything is verified log=%s", log->name);
		forget_segments(log);
		log->verify_all = true;
		rc = recover(log, must_reach, why, why_bytes);
		if (rc == 0)
			rc = replay(log, why, why_bytes);
	}
	log_count_quarantine(log);
	recovery_went_on(log, 0);
	log->store->recovered_logs++;
	return rc;
}
