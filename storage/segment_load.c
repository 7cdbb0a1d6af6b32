/* What a segment's file holds, at a start and after a failure.
 *
 * An index is believed when its checksum and the segment's id fit and the last batches it tells of
 * are where it says; what lies behind them is read and verified.  Without an index that is the
 * whole segment.  A segment that holds less than its index vouches for is damaged. */
#include "storage/segment_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "base/log.h"
#include "base/whole.h"
#include "storage/segment_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* 1: created, but its header never reached the disk, so nothing can have been put behind it; 0; or
 * -errno. */
static int never_used(const struct segment *segment, uint8_t block[static SEGMENT_HEADER_BYTES])
{
	for (uint64_t at = 0; at < SEGMENT_HEADER_BYTES + BLOCK_BYTES; at += BLOCK_BYTES) {
		ssize_t got = patient_pread(segment->file.fd, block, BLOCK_BYTES, at);
		if (got < 0)
			return (int)got;
		for (ssize_t i = 0; i < got; i++) {
			if (block[i])
				return 0;
		}
	}
	return 1;
}

static bool checks(const struct segment_header *header)
{
	return header->checksum == XXH3_64bits(header, offsetof(struct segment_header, checksum));
}

static bool is_compacted(const struct segment_header *header)
{
	return header->version == SEGMENT_COMPACTED_VERSION ||
	       header->version == SEGMENT_GAPS_VERSION;
}

/* Of one that is compacted: where it ends. */
static bool take_extent(struct segment *segment, const uint8_t *block)
{
	const struct segment_extent *extent =
		(const struct segment_extent *)(block + sizeof(struct segment_header));
	size_t checked = sizeof(struct segment_header) + offsetof(struct segment_extent, checksum);

	if (extent->checksum != XXH3_64bits(block, checked) ||
	    extent->next_offset <= segment->base_offset || extent->end < SEGMENT_HEADER_BYTES)
		return false;
	segment->compacted = true;
	segment->extent_next = extent->next_offset;
	segment->extent_end = extent->end;
	return true;
}

static int take_header(struct segment *segment, const uint8_t *block)
{
	const struct segment_header *header = (const struct segment_header *)block;
	const struct log *log = segment->log;

	/* First: every version has it there, and a version may be what is damaged. */
	if (memcmp(header->magic, segment_magic, sizeof(header->magic)) != 0 || !checks(header))
		return -ERR_CORRUPT;
	if (header->version != SEGMENT_FORMAT_VERSION && !is_compacted(header))
		return -ERR_FORMAT;
	if (!uuid_equal(&header->topic_id, &log->identity.topic_id) ||
	    header->partition != log->identity.partition ||
	    header->base_offset != segment->base_offset)
		return -ERR_CORRUPT;
	if (is_compacted(header) && !take_extent(segment, block))
		return -ERR_CORRUPT;
	segment->gaps = header->version == SEGMENT_GAPS_VERSION;
	segment->id = header->id;
	segment->created_ms = header->created_ms;
	return 0;
}

static int read_header(struct segment *segment, bool last)
{
	uint8_t *block = aligned_alloc(BLOCK_BYTES, SEGMENT_HEADER_BYTES);
	int rc;

	if (!block)
		return -ENOMEM;
	ssize_t got = patient_pread(segment->file.fd, block, SEGMENT_HEADER_BYTES, 0);
	if (got == SEGMENT_HEADER_BYTES)
		rc = take_header(segment, block);
	else
		rc = got < 0 ? (int)got : -ERR_CORRUPT;
	int unused = rc == -ERR_CORRUPT && last ? never_used(segment, block) : 0;
	free(block);
	segment->unused = unused == 1;
	return unused < 0 ? unused : unused ? 0 : rc;
}

struct load {
	struct segment *segment;
	struct segment_scan scan;
	const struct index_header *index; /* of this segment; null: none that checks */
	int64_t next_base; /* where the segment behind it begins; -1: it is the last */
	bool header_lost;  /* all of it is quarantined, whatever is found */
};

static struct place end_of(const struct segment *segment)
{
	return (struct place){segment->end, segment->next_offset};
}

static int32_t last_epoch(const struct segment *segment)
{
	return segment->epoch_count ? segment->epochs[segment->epoch_count - 1].epoch : INT32_MIN;
}

static bool complete(const struct load *l)
{
	if (l->segment->compacted)
		return l->segment->end == l->segment->extent_end;
	return l->next_base >= 0 && l->segment->next_offset == l->next_base;
}

/* By bytes and by offsets: one that contradicts itself there knows nothing. */
static bool index_knows_more(const struct load *l)
{
	return l->index && l->segment->end < l->index->end &&
	       l->segment->next_offset < l->index->next_offset;
}

/* What ends here has not been torn off: there was more, and it was durable. */
static bool more_was_durable(const struct load *l)
{
	return l->next_base >= 0 || index_knows_more(l) ||
	       scan_known_damage(&l->scan, end_of(l->segment));
}

/* ---- damage ---- */

static int quarantine_from(struct load *l, struct place to)
{
	struct damage damage = scan_damage(&l->scan, end_of(l->segment), to);

	return l->header_lost ? 0 : log_quarantine(l->segment->log, &damage);
}

/* Did a write that was broken off leave something?  A look at what follows is enough to tell. */
static bool remains_behind(struct file_window *w, uint64_t end)
{
	size_t count = BLOCK_BYTES;

	if (end >= w->file_bytes)
		return false;
	if (count > w->file_bytes - end)
		count = (size_t)(w->file_bytes - end);
	const uint8_t *data = file_window_at(w, end, count);
	for (size_t i = 0; data && i < count; i++) {
		if (data[i])
			return true;
	}
	return false;
}

/* Nothing of the file counts behind its end; the log goes on with another, at `next_offset`. */
static int lose_rest(struct load *l, int64_t next_offset)
{
	struct segment *segment = l->segment;
	bool bytes = remains_behind(&l->scan.file, segment->end);
	const struct place to = {bytes ? l->scan.file.file_bytes : segment->end, next_offset};
	int rc = quarantine_from(l, to);

	segment->lost_from = segment->next_offset;
	segment->next_offset = next_offset;
	return rc;
}

/* 1: batches go on; 0: nothing more of the file counts. */
static int pass_damage(struct load *l)
{
	struct segment *segment = l->segment;
	const struct index_header *index = l->index;
	struct place next;

	/* Of batches with producer ids, unless the index says that there are none. */
	if (!index || index->content != CONTENT_NO_PRODUCERS || segment->end >= index->end)
		segment->idempotent = true;
	/* Where it matters when the segment is deleted. */
	if (index && index->max_ms > segment->max_ms)
		segment->max_ms = index->max_ms;
	if (!scan_behind_damage(&l->scan, end_of(segment), &next))
		return lose_rest(l, l->next_base >= 0 ? l->next_base : l->scan.end.offset);
	int rc = quarantine_from(l, next);
	segment->end = next.position;
	segment->next_offset = next.offset;
	segment->indexed_to = 0; /* readers begin behind it */
	return rc < 0 ? rc : 1;
}

/* Adds the batches behind segment->end. */
static int scan(struct load *l)
{
	struct segment *segment = l->segment;
	uint64_t told = segment->end;
	struct batch batch;
	int rc = 1;

	while (rc > 0 && !complete(l)) {
		recovery_reached(segment->log, segment->end, &told);
		bool durable = more_was_durable(l);
		bool whole = scan_batch(&l->scan, end_of(segment), &batch) &&
			     !(durable && last_epoch(segment) <= l->scan.epoch_max &&
			       scan_epoch_damaged(&l->scan, end_of(segment), &batch));
		/* What a run before the last one left behind has a lower epoch. */
		if (whole && (durable || batch.leader_epoch >= last_epoch(segment))) {
			rc = segment_reserve(segment);
			if (rc < 0)
				return rc;
			segment_add_batch(segment, &batch, segment->end);
			rc = 1;
		} else if (l->scan.file.error < 0 || !durable) {
			break;
		} else {
			rc = pass_damage(l);
		}
	}
	recovery_went_on(segment->log, segment->end - told);
	if (rc < 0 || l->scan.file.error < 0)
		return rc < 0 ? rc : l->scan.file.error;
	/* A torn tail is cut, but what cannot be read may have been whole. */
	bool tail = l->next_base < 0 && segment->lost_from < 0;
	return tail && l->scan.file.unreadable_end > segment->end ? -EIO : 0;
}

/* ---- index ---- */

/* Are the last batches where the index says, and do they end there? */
static bool index_fits(struct load *l)
{
	const struct segment *segment = l->segment;
	const struct index_header *index = l->index;
	const struct index_entry *entries = (const struct index_entry *)(index + 1);
	struct place at = {SEGMENT_HEADER_BYTES, segment->base_offset};
	struct batch batch;

	if (index->entry_count) {
		at.position = entries[index->entry_count - 1].position;
		at.offset = entries[index->entry_count - 1].offset;
	}
	while (at.position < index->end) {
		const struct damage *damage = scan_known_damage(&l->scan, at);
		if (damage)
			at = (struct place){damage->end, damage->to};
		else if (scan_batch(&l->scan, at, &batch))
			at = place_behind(at, &batch);
		else
			return false;
	}
	if (segment->compacted)
		return at.position == segment->extent_end &&
		       index->next_offset == segment->extent_next;
	return at.position == index->end && at.offset == index->next_offset;
}

/* Readers behind what is quarantined begin there. */
static int add_entries_behind_damage(struct segment *segment)
{
	const struct quarantine *quarantine = &segment->log->quarantine;

	for (size_t i = 0; i < quarantine->count; i++) {
		const struct damage *range = &quarantine->ranges[i];
		if (range->segment != segment->base_offset || !range->end)
			continue;
		int rc = segment_add_entry(segment, range->end, range->to);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int take_entries(struct segment *segment, const struct index_header *file)
{
	/* One at least: malloc(0) may be null. */
	segment->index = malloc((file->entry_count + 1) * sizeof(*segment->index));
	if (!segment->index)
		return -ENOMEM;
	segment->index_capacity = file->entry_count + 1;
	memcpy(segment->index, file + 1, file->entry_count * sizeof(*segment->index));
	segment->index_count = file->entry_count;
	segment->index_on_disk = false;
	return 0;
}

static int take_index(struct segment *segment, const struct index_header *file)
{
	const struct index_entry *entries = (const struct index_entry *)(file + 1);
	int rc = take_entries(segment, file);

	segment->epoch_capacity = file->epoch_count + 1;
	segment->epochs = malloc(segment->epoch_capacity * sizeof(*segment->epochs));
	if (rc < 0 || !segment->epochs)
		return -ENOMEM;
	memcpy(segment->epochs, entries + file->entry_count,
	       file->epoch_count * sizeof(*segment->epochs));
	segment->epoch_count = file->epoch_count;
	segment->next_offset = file->next_offset;
	segment->end = file->end;
	segment->max_ms = file->max_ms;
	segment->idempotent = file->content != CONTENT_NO_PRODUCERS;
	segment->checkpoint_end = file->end;
	if (file->entry_count)
		segment->indexed_to = entries[file->entry_count - 1].position +
				      INDEX_INTERVAL_BYTES;
	return add_entries_behind_damage(segment);
}

/* The index that the segment had, by the headers of its batches. */
static int index_anew(struct segment *segment)
{
	const struct quarantine *quarantine = &segment->log->quarantine;
	struct segment *again = segment_new(segment->log, segment->base_offset);
	struct file_window w = {.fd = segment->file.fd, .file_bytes = segment->allocated_end};
	int rc = again ? 0 : -ENOMEM;

	while (rc == 0 && again->end < segment->end) {
		const struct damage *damage = quarantine_at(quarantine, segment->base_offset,
							    again->end);
		const uint8_t *data;
		struct batch batch;
		if (damage) {
			again->end = damage->end;
			again->next_offset = damage->to;
			again->indexed_to = 0;
			continue;
		}
		data = file_window_at(&w, again->end, BATCH_HEADER_BYTES);
		rc = data ? batch_parse(&batch, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;
		if ((rc == 0 || rc == -EMSGSIZE) &&
		    segment_may_hold(segment, &batch, again->next_offset))
			rc = segment_reserve(again);
		else
			rc = -ERR_CORRUPT;
		if (rc == 0)
			segment_add_batch(again, &batch, again->end);
	}
	if (rc == 0) {
		segment->index = again->index;
		segment->index_count = again->index_count;
		segment->index_capacity = again->index_capacity;
		segment->index_on_disk = false;
		again->index = NULL;
	}
	file_window_fini(&w);
	segment_free(again);
	return rc;
}

int segment_need_index(struct segment *segment)
{
	int rc = segment->index_on_disk ? segment_fd(segment) : 0;

	if (rc < 0 || !segment->index_on_disk)
		return rc;
	struct index_header *file = segment_read_index(segment, false);
	if (file && file->end == segment->end) {
		rc = take_entries(segment, file);
	} else {
		log_warn("storage", "index is made anew log=%s segment=%020lld", segment->log->name,
			 (long long)segment->base_offset);
		rc = index_anew(segment);
	}
	free(file);
	if (rc == 0)
		rc = add_entries_behind_damage(segment);
	if (rc == 0)
		segment_index_may_go(segment);
	return rc;
}

static void prepare_scan(struct load *l)
{
	const struct segment *segment = l->segment;
	const struct index_header *index = l->index;

	l->scan = (struct segment_scan){
		.file = {.fd = segment->file.fd, .file_bytes = segment->allocated_end},
		.base_offset = segment->base_offset,
		.limit = l->next_base >= 0 ? l->next_base : INT64_MAX,
		.epoch_max = segment->log->identity.leader_epoch,
		.known = &segment->log->quarantine,
		.budget = 4 * segment->allocated_end,
	};
	if (segment->compacted) {
		/* Behind its end there is nothing of its own. */
		if (l->scan.file.file_bytes > segment->extent_end)
			l->scan.file.file_bytes = segment->extent_end;
		l->scan.gaps = segment->gaps;
		l->scan.end = (struct place){segment->extent_end, segment->extent_next};
	}
	if (!index)
		return;
	l->scan.entries = (const struct index_entry *)(index + 1);
	l->scan.entry_count = index->entry_count;
	l->scan.epochs = (const struct epoch_start *)(l->scan.entries + index->entry_count);
	l->scan.epoch_count = index->epoch_count;
	l->scan.epochs_end = index->next_offset;
	if (!segment->compacted)
		l->scan.end = (struct place){index->end, index->next_offset};
}

/* What batches there are, from the index as far as it goes and reaches. */
static int find_batches(struct load *l)
{
	struct segment *segment = l->segment;
	struct index_header *index = segment->unused ? NULL
						     : segment_read_index(segment, l->header_lost);
	int rc = 0;

	/* An index that goes beyond the next segment is of another life of the file. */
	if (index && (l->next_base < 0 || index->next_offset <= l->next_base))
		l->index = index;
	prepare_scan(l);
	if (l->index && !segment->log->verify_all && index_fits(l))
		rc = take_index(segment, l->index);
	l->scan.file.error = rc < 0 ? rc : 0;
	if (rc == 0)
		rc = scan(l);
	if (segment->compacted && segment->lost_from < 0)
		segment->next_offset = segment->extent_next;
	segment->torn = rc == 0 && l->next_base < 0 && segment->lost_from < 0 &&
			remains_behind(&l->scan.file, segment->end);
	file_window_fini(&l->scan.file);
	l->index = NULL;
	free(index);
	return rc;
}

/* ---- the whole file ---- */

/* It is known by its name alone: nothing in it is the log's.  The last one's end is where its
 * batches end, as far as they can be followed. */
static int lose_file(struct load *l, enum damage_kind kind)
{
	struct segment *segment = l->segment;
	int64_t to = l->next_base >= 0 ? l->next_base : segment->next_offset;

	if (to == segment->base_offset)
		to++;
	segment->end = SEGMENT_HEADER_BYTES;
	segment->max_ms = INT64_MIN;
	segment->index_count = 0;
	segment->epoch_count = 0;
	segment->idempotent = true;
	segment->lost_from = segment->base_offset;
	segment->next_offset = to;
	segment->checkpoint_end = segment->end; /* its index stays as it is */
	return log_quarantine(segment->log, &(struct damage){
						    .from = segment->base_offset,
						    .to = to,
						    .committed_from = segment->base_offset,
						    .segment = segment->base_offset,
						    .end = segment->allocated_end,
						    .kind = kind,
					    });
}

/* Its index alone is there, and knows how far it went. */
static int lose_missing(struct load *l)
{
	struct segment *segment = l->segment;

	segment->created_ms = clock_wall_ms(segment->log->store->clock);
	segment->next_offset = segment_index_end(segment->log, segment->base_offset);
	return lose_file(l, DAMAGE_MISSING);
}

/* What a device says of a file, or a link in its place, not what the machine lacks just now. */
static bool says_damaged(int rc)
{
	return rc == -EIO || rc == -ELOOP || rc == -EISDIR || rc == -EUCLEAN || rc == -EBADMSG ||
	       rc == -ENODATA;
}

static int load_file(struct load *l)
{
	struct segment *segment = l->segment;
	bool last = l->next_base < 0;
	struct stat info;
	int rc = segment_open(segment, 0);

	if (rc == -ENOENT)
		return lose_missing(l);
	if (rc < 0)
		return !last && says_damaged(rc) ? lose_file(l, DAMAGE_UNREADABLE) : rc;
	/* Pages that could not be written must not be read back as if they had been. */
	posix_fadvise(segment->file.fd, 0, 0, POSIX_FADV_DONTNEED);
	if (fstat(segment->file.fd, &info) < 0)
		return -errno;
	segment->allocated_end = (uint64_t)info.st_size;
	segment->created_ms = (int64_t)info.st_mtime * 1000;
	rc = read_header(segment, last);
	if (!last && says_damaged(rc))
		return lose_file(l, DAMAGE_UNREADABLE);
	l->header_lost = rc == -ERR_CORRUPT;
	if (rc < 0 && !l->header_lost)
		return rc;
	if (l->header_lost && !last)
		return lose_file(l, DAMAGE_HEADER);
	/* Whatever follows, it goes as far as it says. */
	if (segment->compacted)
		l->next_base = segment->extent_next;
	rc = find_batches(l);
	return rc == 0 && l->header_lost ? lose_file(l, DAMAGE_HEADER) : rc;
}

int segment_load(struct log *log, int64_t base_offset, int64_t next_base, char *why,
		 size_t why_bytes)
{
	struct load load = {.segment = segment_new(log, base_offset), .next_base = next_base};
	struct segment *segment = load.segment;
	char name[SEGMENT_NAME_BYTES];

	if (!segment)
		return -ENOMEM;
	segment_name(name, base_offset, "log");
	int rc = load_file(&load);
	if (rc < 0) {
		snprintf(why, why_bytes, "segment %s: %s", name, error_text(rc));
		segment_free(segment);
		return rc;
	}
	segment->written = segment->flushed = segment->end;
	segment->durable_end = segment->end;
	segment->durable_next_offset = segment->lost_from < 0 ? segment->next_offset
							      : segment->lost_from;
	segment->durable_max_ms = segment->max_ms;
	list_push_back(&log->segments, &segment->link);
	log->active = segment;
	if (next_base >= 0)
		segment_index_may_go(segment);
	return 0;
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (data[i])
			return false;
	}
	return true;
}

/* The rest of the last batch's block.  1: something had to go. */
static int zero_block_rest(struct segment *segment)
{
	int fd = segment_fd(segment);
	size_t used = segment->end % BLOCK_BYTES;
	uint64_t at = round_down(segment->end, BLOCK_BYTES);
	uint8_t *block = used ? aligned_alloc(BLOCK_BYTES, BLOCK_BYTES) : NULL;
	int rc = 0;

	if (!used)
		return 0;
	if (!block)
		return -ENOMEM;
	ssize_t got = whole_pread(fd, block, BLOCK_BYTES, at);
	if (got < (ssize_t)used) {
		rc = got < 0 ? (int)got : -EIO;
	} else if (got < BLOCK_BYTES || !all_zero(block + used, BLOCK_BYTES - used)) {
		memset(block + used, 0, BLOCK_BYTES - used);
		rc = whole_pwrite(fd, block, BLOCK_BYTES, at);
		rc = rc < 0 ? rc : 1;
	}
	free(block);
	return rc;
}

/* Behind the last batch may lie what a broken-off write left: part of a batch, or whole ones that
 * had overtaken it.  A later batch of the same size as the lost one would make them valid again.
 * After a clean stop there is nothing, and the index vouches for everything: no flush is needed. */
int segment_cut(struct segment *segment)
{
	uint64_t block_end = round_up(segment->end, BLOCK_BYTES);
	bool clean = segment->allocated_end == block_end && segment->checkpoint_end == segment->end;
	int fd = segment_fd(segment);
	int rc = fd < 0 ? fd : segment->unused ? segment_write_header(segment) : 0;

	if (rc < 0)
		return rc;
	segment->unused = false;
	if (segment->allocated_end != block_end && ftruncate(fd, (off_t)block_end) < 0)
		return -errno;
	rc = zero_block_rest(segment);
	if (rc < 0)
		return rc;
	/* What was found may be in the device's cache only, and the file's size is to be kept; its
	 * name too, where the broker was killed between making the segment and that. */
	if (!clean || rc > 0) {
		rc = fsync(fd) < 0 ? -errno : folder_sync(segment->log);
		if (rc < 0)
			return rc;
	}
	segment->allocated_end = block_end;
	segment->shares_flush = flush_shares(segment->log->store, fd);
	segment->settled_end = block_end;
	return 0;
}
