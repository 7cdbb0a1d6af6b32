/* dataplane/tcp/frame_pool.h: memory for request frames too large for the request's arena.
 *
 * Power-of-two classes from 8 KiB; freed ones up to 2 MiB are kept for reuse, up to a bound.
 * Owner: one shard. */
#pragma once
#include <stddef.h>

enum { FRAME_CLASSES = 9 }; /* 8 KiB ... 2 MiB */

struct frame_pool {
	void *free[FRAME_CLASSES]; /* singly linked through their first word */
	size_t cached_bytes;
};

void frame_pool_fini(struct frame_pool *pool);
/* At least `size` bytes, *ret_capacity says how many; null: out of memory. */
void *frame_take(struct frame_pool *pool, size_t size, size_t *ret_capacity);
size_t frame_capacity(size_t size); /* what frame_take gives for it */
void frame_give(struct frame_pool *pool, void *frame, size_t capacity); /* null is fine */
