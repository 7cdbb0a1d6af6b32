/* storage/buffer.h: aligned, reference-counted memory of the tail cache, from the store's region.
 *
 * Two sizes: small for a log's first buffer, so that thousands of quiet partitions cost little, and
 * large for busy ones.  Each has a fixed part of the region, so that neither starves the other.
 * Buffers for reads from disk come from the heap in the size asked for.
 *
 * Readers may stall with what they were given.  They hold at most half of each part of the region,
 * so that appends go on, and half the region's size of the heap.  Owner: one shard. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "storage/io.h"

enum {
	BUFFER_SMALL_BYTES = 16 << 10,
	BUFFER_LARGE_BYTES = 256 << 10,
};

struct log;
struct segment;
struct store_region;

struct buffer {
	struct list link; /* log.buffers, or the region's free list */
	struct list age;  /* region's list of tail buffers, oldest first */
	struct io io;     /* the write in flight */
	struct log *log;
	struct segment *segment;
	uint8_t *data;
	uint64_t position; /* in the segment, of data[0] */
	size_t capacity;
	size_t used;
	size_t written;     /* below it everything has been written */
	size_t writing_end; /* what the write in flight covers */
	bool writing;
	bool heap;
	unsigned references;
	unsigned readers; /* ... of them readers'; of the region's buffers only */
	/* First batch that begins in this buffer; -1: none. */
	int64_t first_offset;
	uint64_t first_position;
};

/* Null: the region is full (evict and try again). One reference. */
struct buffer *buffer_take(struct store_region *region, struct io_backend *io, bool large);
/* One reference; null: out of memory, or readers hold too much. */
struct buffer *buffer_heap(struct store_region *region, size_t bytes);
size_t buffer_heap_room(const struct store_region *region);
void buffer_acquire(struct buffer *buffer);
void buffer_release(struct store_region *region, struct buffer *buffer); /* null is fine */
/* The same for readers.  False: they hold too much of the region already. */
bool buffer_acquire_for_reader(struct store_region *region, struct buffer *buffer);
void buffer_release_of_reader(struct store_region *region, struct buffer *buffer);
/* A larger batch may never find room behind what others have in flight. */
size_t buffer_batch_bytes_max(const struct store_region *region);
struct list *buffer_ages(struct store_region *region);
size_t buffer_region_bytes(const struct store_region *region);
size_t buffer_region_used(const struct store_region *region);
