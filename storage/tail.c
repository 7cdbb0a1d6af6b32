/* The tail of a log: the buffers that appended batches are copied into, written from and read from
 * until others need the room.
 *
 *     tail buffers    | durable    | written    |  used   |
 *                     evicted when            ^ append goes on here
 *                     another wants room
 *
 * The last one may be half full when its log is opened again: its block is read back and filled on.
 */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/whole.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	EVICT_AT_ONCE = 16,
	EVICT_SPARED = 64, /* buffers, of logs within their part, a walk */
};

/* The buffer that appends go to. */
static struct buffer *last_buffer(const struct log *log)
{
	return list_empty(&log->buffers) ? NULL
					 : container_of(log->buffers.prev, struct buffer, link);
}

static void tail_add(struct log *log, struct buffer *buffer)
{
	struct store *store = log->store;

	store->tails += list_empty(&log->buffers);
	log->tail_bytes += buffer->capacity;
	list_push_back(&log->buffers, &buffer->link);
	list_push_back(buffer_ages(store->region), &buffer->age);
	if (!log->write_head)
		log->write_head = buffer;
}

void tail_give_up(struct log *log, struct buffer *buffer)
{
	if (log->write_head == buffer)
		log->write_head = buffer->link.next == &log->buffers
					  ? NULL
					  : container_of(buffer->link.next, struct buffer, link);
	list_remove(&buffer->link);
	list_remove(&buffer->age);
	log->tail_bytes -= buffer->capacity;
	log->store->tails -= list_empty(&log->buffers);
	buffer_release(log->store->region, buffer);
}

/* ---- making room ---- */

static bool durable(const struct buffer *buffer)
{
	return !buffer->writing && buffer->written == buffer->used &&
	       buffer->position + buffer->used <= buffer->segment->flushed;
}

/* An equal part of the region for each log that has a tail. */
static bool over_share(const struct log *log)
{
	const struct store *store = log->store;

	return log->tail_bytes > buffer_region_bytes(store->region) / (store->tails + 1);
}

/* Who has more than its part gives up its own first, so that one that is written to at full speed
 * costs the others nothing of what their readers are about to ask for. */
static bool evict_own(struct log *log, bool large)
{
	bool freed = false;

	list_foreach_safe(node, after, &log->buffers) {
		struct buffer *buffer = container_of(node, struct buffer, link);
		if (freed || !over_share(log) || buffer == last_buffer(log) || !durable(buffer))
			break;
		freed = (buffer->capacity == BUFFER_LARGE_BYTES) == large;
		tail_give_up(log, buffer);
	}
	return freed;
}

/* All of the log's buffers are younger than the others' now; among themselves their order stays, as
 * a log without its last one must have none.  Returns how many they are. */
static unsigned spare(struct log *log)
{
	struct list *ages = buffer_ages(log->store->region);
	unsigned count = 0;

	list_foreach(node, &log->buffers) {
		struct buffer *buffer = container_of(node, struct buffer, link);
		list_remove(&buffer->age);
		list_push_back(ages, &buffer->age);
		count++;
	}
	return count;
}

/* Behind `node`, the first that is another log's. */
static struct list *next_of_others(struct list *ages, struct list *node, const struct log *log)
{
	do {
		node = node->next;
	} while (node != ages && container_of(node, struct buffer, age)->log == log);
	return node;
}

/* The oldest of all; not the last one of `keep`, which is about to be appended to.  The first
 * `spare_max` of logs within their part stay, and are younger than the others now. */
static bool evict_oldest(struct store *store, const struct log *keep, unsigned spare_max)
{
	struct list *ages = buffer_ages(store->region);
	unsigned freed = 0;
	unsigned spared = 0;
	bool kept = false;

	for (struct list *node = ages->next, *after; node != ages; node = after) {
		struct buffer *buffer = container_of(node, struct buffer, age);
		struct log *log = buffer->log;
		after = node->next;
		if (!durable(buffer))
			continue;
		if (log == keep && last_buffer(log) == buffer) {
			kept = true;
			continue;
		}
		if (spared < spare_max && !over_share(log)) {
			after = next_of_others(ages, node, log);
			spared += spare(log);
			continue;
		}
		check(log->buffers.next == &buffer->link);
		tail_give_up(log, buffer);
		if (++freed == EVICT_AT_ONCE)
			return true;
	}
	/* Until a flush ends, another walk would find no more. */
	store->nothing_to_evict = !freed && !kept && !spared;
	return freed;
}

static void evict(struct log *keep, bool large)
{
	struct store *store = keep->store;

	if (!store->nothing_to_evict && !evict_own(keep, large) &&
	    !evict_oldest(store, keep, EVICT_SPARED))
		evict_oldest(store, keep, 0);
}

/* For `bytes` more of the log.  A large piece waits for large buffers: cut into small ones it would
 * take sixteen writes, and the room of quiet logs. */
static struct buffer *add_buffer(struct log *log, bool large, size_t bytes)
{
	struct store *store = log->store;
	struct buffer *buffer = buffer_take(store->region, store->io, large);

	if (!buffer) {
		evict(log, large);
		buffer = buffer_take(store->region, store->io, large);
	}
	if (!buffer && bytes <= BUFFER_SMALL_BYTES)
		buffer = buffer_take(store->region, store->io, !large);
	if (!buffer)
		return NULL;
	buffer->log = log;
	buffer->segment = log->active;
	return buffer;
}

/* The last, half-filled block of a log just opened, as the tail to go on from. */
static int reload_tail(struct log *log)
{
	struct segment *segment = log->active;
	uint64_t position = round_down(segment->end, BLOCK_BYTES);

	struct buffer *buffer = add_buffer(log, false, BLOCK_BYTES);
	if (!buffer)
		return -ENOBUFS;
	buffer->position = position;
	buffer->used = buffer->written = (size_t)(segment->end - position);
	if (buffer->used) {
		ssize_t got = whole_pread(segment_fd(segment), buffer->data, BLOCK_BYTES, position);
		if (got < (ssize_t)buffer->used) {
			buffer_release(log->store->region, buffer);
			return got < 0 ? (int)got : -EIO;
		}
	}
	tail_add(log, buffer);
	log->store->nothing_to_evict = false;
	log->write_head = buffer;
	return 0;
}

/* All or nothing. */
int tail_prepare(struct log *log, size_t size)
{
	struct buffer *last = last_buffer(log);
	bool fresh = !last || last->segment != log->active;
	struct list taken;
	size_t have = 0;

	if (!fresh && last->capacity - last->used >= size)
		return 0;
	list_init(&taken);
	if (fresh && log->active->end % BLOCK_BYTES) {
		int rc = reload_tail(log);
		if (rc < 0)
			return rc;
		last = last_buffer(log);
		fresh = false;
	}
	uint64_t position = fresh ? log->active->end : last->position + last->capacity;
	if (!fresh)
		have = last->capacity - last->used;
	while (have < size) {
		struct buffer *buffer = add_buffer(log, !fresh || size > BUFFER_SMALL_BYTES,
						   size - have);
		if (!buffer)
			goto full;
		buffer->position = position;
		position += buffer->capacity;
		have += buffer->capacity;
		fresh = false;
		list_push_back(&taken, &buffer->link);
	}
	while (!list_empty(&taken)) {
		struct buffer *buffer = container_of(list_pop_front(&taken), struct buffer, link);
		tail_add(log, buffer);
	}
	return 0;
full:
	while (!list_empty(&taken))
		buffer_release(log->store->region,
			       container_of(list_pop_front(&taken), struct buffer, link));
	return -ENOBUFS;
}

/* Buffers that the batch needs are there: the first with room. */
static struct buffer *first_with_room(const struct log *log)
{
	struct list *node = log->buffers.prev;

	while (node->prev != &log->buffers) {
		const struct buffer *before = container_of(node->prev, struct buffer, link);
		if (before->used == before->capacity || before->segment != log->active)
			break;
		node = node->prev;
	}
	return container_of(node, struct buffer, link);
}

static void copy_in(const struct log *log, const uint8_t *from, size_t size)
{
	struct buffer *buffer = first_with_room(log);

	for (;;) {
		size_t part = buffer->capacity - buffer->used;
		if (part > size)
			part = size;
		memcpy(buffer->data + buffer->used, from, part);
		buffer->used += part;
		from += part;
		size -= part;
		if (!size)
			return;
		buffer = container_of(buffer->link.next, struct buffer, link);
	}
}

/* Makes the header what is stored: our offset and epoch, our time where the topic wants it, and the
 * largest timestamp as the records have it. */
static void edit_header(const struct log *log, const struct batch *batch, int64_t append_time_ms,
			uint8_t *header, const uint8_t *records)
{
	batch_set_base(header, log->next_offset, log->identity.leader_epoch);
	if (append_time_ms >= 0)
		batch_set_append_time(header, append_time_ms);
	else if (batch_max_timestamp(header) != batch->max_timestamp)
		batch_set_max_timestamp(header, batch->max_timestamp);
	else
		return;
	uint32_t crc = crc32c(0, header + BATCH_CRC_START, BATCH_HEADER_BYTES - BATCH_CRC_START);
	crc = crc32c(crc, records, batch->size - BATCH_HEADER_BYTES);
	store_be32(header + 17, crc);
}

/* Into the tail buffers: nearly always in one piece, and then the header is edited where it lies.
 */
void tail_store(const struct log *log, const uint8_t *data, const struct batch *batch,
		int64_t append_time_ms)
{
	struct buffer *buffer = first_with_room(log);
	uint8_t *to = buffer->data + buffer->used;
	uint8_t header[BATCH_HEADER_BYTES];

	if (buffer->first_offset < 0) {
		buffer->first_offset = log->next_offset;
		buffer->first_position = buffer->position + buffer->used;
	}
	if (batch->size <= buffer->capacity - buffer->used) {
		memcpy(to, data, batch->size);
		edit_header(log, batch, append_time_ms, to, to + BATCH_HEADER_BYTES);
		buffer->used += batch->size;
		return;
	}
	memcpy(header, data, sizeof(header));
	edit_header(log, batch, append_time_ms, header, data + BATCH_HEADER_BYTES);
	copy_in(log, header, sizeof(header));
	copy_in(log, data + BATCH_HEADER_BYTES, batch->size - BATCH_HEADER_BYTES);
}

void tail_drop(struct log *log)
{
	while (!list_empty(&log->buffers))
		tail_give_up(log, container_of(log->buffers.next, struct buffer, link));
	log->mark_count = 0;
}
