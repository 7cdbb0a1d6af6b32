#include "dataplane/tcp/frame_pool.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

static const size_t smallest_bytes = 8192;
static const size_t cached_bytes_max = 32u << 20;

/* FRAME_CLASSES when no class is large enough. */
static unsigned class_of(size_t size, size_t *ret_capacity)
{
	unsigned class = 0;
	size_t capacity = smallest_bytes;

	while (capacity < size && class < FRAME_CLASSES) {
		capacity *= 2;
		class ++;
	}
	*ret_capacity = class < FRAME_CLASSES ? capacity : size;
	return class;
}

size_t frame_capacity(size_t size)
{
	size_t capacity;

	class_of(size, &capacity);
	return capacity;
}

void frame_pool_fini(struct frame_pool *pool)
{
	for (unsigned i = 0; i < FRAME_CLASSES; i++) {
		while (pool->free[i]) {
			void *frame = pool->free[i];
			memcpy(&pool->free[i], frame, sizeof(void *));
			free(frame);
		}
	}
	*pool = (struct frame_pool){0};
}

void *frame_take(struct frame_pool *pool, size_t size, size_t *ret_capacity)
{
	size_t capacity;
	unsigned class = class_of(size, &capacity);
	void *frame;

	if (class < FRAME_CLASSES && pool->free[class]) {
		frame = pool->free[class];
		memcpy(&pool->free[class], frame, sizeof(void *));
		pool->cached_bytes -= capacity;
	} else {
		frame = malloc(capacity);
	}
	if (frame)
		*ret_capacity = capacity;
	return frame;
}

void frame_give(struct frame_pool *pool, void *frame, size_t capacity)
{
	size_t rounded;

	if (!frame)
		return;
	unsigned class = class_of(capacity, &rounded);
	if (class == FRAME_CLASSES || rounded != capacity ||
	    pool->cached_bytes + capacity > cached_bytes_max) {
		free(frame);
		return;
	}
	memcpy(frame, &pool->free[class], sizeof(void *));
	pool->free[class] = frame;
	pool->cached_bytes += capacity;
}
