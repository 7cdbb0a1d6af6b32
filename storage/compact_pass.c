/* The steps of a compaction, on the background thread.
 *
 *     map      | clean ......... | dirty ------------------- | active
 *                                 from the first dirty offset to the end, or until it is full
 *     rewrite  | segment | segment | segment |  all that begin before the map's end
 *              `-- group -------' `- group -'
 *
 * Segments that are small together become one (a group): the new file, compact.new, is written and
 * flushed beside them, then renamed to the first one's name, which it takes over at that moment;
 * its header says how far it reaches, so a start knows the others for leftovers.  Groups are
 * swapped in order, so a record goes only when a later one is durable, and an old one before the
 * tombstone that deletes it.
 *
 * What the steps touch of the log is what does not change while it is open: its folder and
 * identity. The files they read are the sources', which nobody else removes. */
#include "storage/compact_internal.h"

#include "base/bytes.h"
#include "base/errors.h"
#include "storage/compact_file.h"
#include "storage/segment_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
	STEP_BYTES = 1 << 20,
	KEY_BYTES = 64, /* of the dirty part a key's record takes, to begin with */
};

/* ---- reading ---- */

static void close_source(struct compaction *c)
{
	file_window_fini(&c->window);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static int open_source(struct compaction *c, size_t source)
{
	char name[SEGMENT_NAME_BYTES];

	close_source(c);
	c->source = source;
	if (source == c->source_count)
		return 0;
	segment_name(name, c->sources[source].base_offset, "log");
	c->fd = segment_open_file(c->log, name, O_RDONLY);
	if (c->fd < 0)
		return c->fd;
	c->window = (struct file_window){.fd = c->fd, .file_bytes = c->sources[source].end};
	c->position = SEGMENT_HEADER_BYTES;
	c->offset = c->sources[source].base_offset;
	return 0;
}

static int damaged(struct compaction *c)
{
	if (c->window.error < 0)
		return c->window.error;
	snprintf(c->why, sizeof(c->why), "segment %020" PRId64 ".log is damaged at byte %" PRIu64,
		 c->sources[c->source].base_offset, c->position);
	return -ERR_CORRUPT;
}

/* It is the one that comes next. */
static bool belongs(const struct compaction *c, const struct batch *batch)
{
	const struct compact_source *source = &c->sources[c->source];
	bool follows = source->gaps ? batch->base_offset >= c->offset
				    : batch->base_offset == c->offset;

	return follows && batch->base_offset < source->next_offset &&
	       batch->last_offset_delta >= 0 &&
	       batch->last_offset_delta < source->next_offset - batch->base_offset &&
	       batch->leader_epoch <= c->log->identity.leader_epoch &&
	       epoch_fits(source->epochs, source->epoch_count, batch->base_offset,
			  batch->leader_epoch);
}

/* The batch at the position, verified; the bytes stay until the next call. */
static int next_batch(struct compaction *c, const uint8_t **ret_data, struct batch *ret)
{
	const uint8_t *data = file_window_at(&c->window, c->position, BATCH_HEADER_BYTES);
	int rc = data ? batch_parse(ret, data, BATCH_HEADER_BYTES) : -ERR_CORRUPT;

	if ((rc < 0 && rc != -EMSGSIZE) || !belongs(c, ret))
		return damaged(c);
	data = file_window_at(&c->window, c->position, ret->size);
	if (!data || !batch_crc_valid(ret, data))
		return damaged(c);
	*ret_data = data;
	return 0;
}

/* Calls `take` for batches of about a step, of sources below `end`.  1: there are no more, or
 * `take` said so. */
static int walk(struct compaction *c, size_t end,
		int (*take)(struct compaction *c, const uint8_t *data, const struct batch *batch))
{
	uint64_t done = 0;
	int rc = 0;

	while (rc == 0 && done < STEP_BYTES) {
		if (c->source >= end) {
			rc = 1;
			break;
		}
		if (c->position >= c->sources[c->source].end) {
			rc = open_source(c, c->source + 1);
			continue;
		}
		const uint8_t *data = NULL;
		struct batch batch = {0};
		rc = next_batch(c, &data, &batch);
		if (rc == 0)
			rc = take(c, data, &batch);
		c->position += batch.size;
		c->offset = batch.base_offset + batch.last_offset_delta + 1;
		done += batch.size;
	}
	c->stats.read_bytes += done;
	c->throttled_bytes += done;
	return rc;
}

/* ---- map ---- */

static int begin(struct compaction *c)
{
	uint64_t dirty_bytes = 0;
	size_t first = 0;

	while (c->sources[first].next_offset <= c->dirty_from)
		first++;
	for (size_t i = first; i < c->source_count; i++)
		dirty_bytes += c->sources[i].end;
	c->map_end = c->sources[c->source_count - 1].next_offset;
	int rc = compact_map_init(&c->map, c->map_bytes_max, dirty_bytes / KEY_BYTES);
	if (rc == 0)
		rc = decompressor_new(&c->decompressor);
	if (rc == 0)
		rc = batch_filter_new(&c->filter);
	if (rc == 0)
		rc = batch_filter_new(&c->horizon_filter);
	if (rc == 0)
		rc = compact_records_begin(c);
	return rc == 0 ? open_source(c, first) : rc;
}

static int map_batch(struct compaction *c, const uint8_t *data, const struct batch *batch)
{
	return compact_records_map(c, data, batch);
}

static int step_map(struct compaction *c)
{
	int rc = c->map.places ? 0 : begin(c);

	if (rc == 0)
		rc = walk(c, c->source_count, map_batch);
	if (rc <= 0)
		return rc;
	c->phase = COMPACT_GROUP;
	return compact_records_begin(c);
}

/* ---- rewrite ---- */

static uint64_t batch_bytes(const struct compact_source *source)
{
	return source->end - SEGMENT_HEADER_BYTES;
}

/* Several become one, or there are gaps to be filled. */
static bool group_is_changed(const struct compaction *c)
{
	return c->group_end > c->group_first + 1 || c->sources[c->group_first].gaps;
}

static size_t group_end(const struct compaction *c)
{
	uint64_t bytes = batch_bytes(&c->sources[c->group_first]);
	size_t end = c->group_first + 1;

	while (end < c->source_count && c->sources[end].base_offset < c->map_end) {
		bytes += batch_bytes(&c->sources[end]);
		if (bytes > c->group_bytes_max)
			break;
		end++;
	}
	return end;
}

static int step_group(struct compaction *c)
{
	const struct compact_source *first = &c->sources[c->group_end];

	c->group_first = c->group_end;
	if (c->group_first == c->source_count || first->base_offset >= c->map_end) {
		c->phase = COMPACT_MARK;
		return 0;
	}
	c->group_end = group_end(c);
	c->changed = group_is_changed(c);
	int rc = open_source(c, c->group_first);
	if (rc == 0)
		rc = compact_writer_open(&c->writer, c->log, first->base_offset, first->created_ms);
	c->phase = COMPACT_REWRITE;
	return rc;
}

static int rewrite_batch(struct compaction *c, const uint8_t *data, const struct batch *batch)
{
	const void *kept_data = NULL;
	struct batch kept = {0};
	bool filler = batch_is_filler(batch);
	int rc = filler ? 0 : compact_records_keep(c, data, batch, &kept_data, &kept);

	if (rc < 0)
		return rc;
	/* Those that stand for nothing are made anew, the same where nothing beside them goes. */
	if (!filler && (rc == 0 || kept_data != data))
		c->changed = true;
	if (rc == 0) {
		compact_writer_leave_out(&c->writer, batch);
		return 0;
	}
	c->stats.written_bytes += kept.size;
	c->throttled_bytes += kept.size;
	return compact_writer_add(&c->writer, kept_data, &kept);
}

static int step_rewrite(struct compaction *c)
{
	int rc = walk(c, c->group_end, rewrite_batch);

	if (rc <= 0)
		return rc;
	close_source(c);
	c->phase = COMPACT_SEAL;
	if (!c->changed) {
		compact_writer_discard(&c->writer);
		c->phase = COMPACT_GROUP;
	}
	return 0;
}

static int step_seal(struct compaction *c)
{
	c->phase = COMPACT_SWAP;
	return compact_writer_seal(&c->writer, c->sources[c->group_end - 1].next_offset);
}

/* A segment may grow a little: a tombstone's time to go takes more room than its own time did. */
static void count_removed(struct compaction *c)
{
	uint64_t after = c->writer.segment->end - SEGMENT_HEADER_BYTES;
	uint64_t before = 0;

	for (size_t i = c->group_first; i < c->group_end; i++)
		before += batch_bytes(&c->sources[i]);
	if (before > after)
		c->stats.removed_bytes += before - after;
}

/* From the rename on the new file is what the log has: it goes to the shard in any case. */
static int step_swap(struct compaction *c)
{
	int rc = compact_writer_commit(&c->writer);

	if (rc < 0)
		return rc;
	count_removed(c);
	c->phase = COMPACT_PLACED;
	rc = folder_sync(c->log);
	for (size_t i = c->group_first + 1; rc == 0 && i < c->group_end; i++)
		segment_unlink_at(c->log, c->sources[i].base_offset);
	/* Before the new one may be removed, or they would come back. */
	if (rc == 0 && c->group_end > c->group_first + 1)
		rc = folder_sync(c->log);
	return rc;
}

static int step_mark(struct compaction *c)
{
	c->phase = COMPACT_OVER;
	return compact_file_write(c->log, c->map_end);
}

/* ---- a step ---- */

static int step(struct compaction *c)
{
	switch (c->phase) {
	case COMPACT_MAP:
		return step_map(c);
	case COMPACT_GROUP:
		return step_group(c);
	case COMPACT_REWRITE:
		return step_rewrite(c);
	case COMPACT_SEAL:
		return step_seal(c);
	case COMPACT_SWAP:
		return step_swap(c);
	case COMPACT_MARK:
		return step_mark(c);
	case COMPACT_PLACED:
	case COMPACT_OVER:
		break;
	}
	return -EINVAL;
}

static void clean_up(struct compaction *c)
{
	close_source(c);
	if (c->phase != COMPACT_PLACED)
		compact_writer_discard(&c->writer);
	compact_records_end(c);
	compact_map_fini(&c->map);
	decompressor_free(c->decompressor);
	batch_filter_free(c->filter);
	batch_filter_free(c->horizon_filter);
	c->decompressor = NULL;
	c->filter = c->horizon_filter = NULL;
}

static uint64_t pause_ns(struct compaction *c)
{
	uint64_t bytes = c->throttled_bytes;

	c->throttled_bytes = 0;
	return c->bytes_per_second ? bytes * NS_PER_SECOND / c->bytes_per_second : 0;
}

uint64_t compact_step(struct store_job *job)
{
	struct compaction *c = container_of(job, struct compaction, job);

	c->rc = atomic_load(&job->give_up) ? -ECANCELED : step(c);
	if (c->rc < 0 || c->phase == COMPACT_OVER)
		clean_up(c);
	if (c->rc < 0 && c->phase != COMPACT_PLACED)
		c->phase = COMPACT_OVER;
	if (c->phase >= COMPACT_PLACED && c->phase != COMPACT_MARK)
		return STORE_JOB_DONE;
	return pause_ns(c);
}
