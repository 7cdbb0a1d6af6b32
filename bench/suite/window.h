/* bench/suite/window.h: records under way, of a library that knows none.
 *
 * Each gets the next sequence number; whatever the broker's answer names is turned into that.
 * Answers may come in any order, but a slot is free again when all before it have ended.
 *
 *     oldest            next
 *       v                v
 *     | under way | ended | ...            at most `capacity` between the two
 */
#pragma once
#include "bench/suite/driver.h"

#include <stdbool.h>
#include <stdint.h>

struct window {
	uint64_t *tags; /* by sequence & mask; owned */
	bool *ended;
	uint64_t mask;
	uint64_t capacity;
	uint64_t oldest;
	uint64_t next;
};

enum { WINDOW_CAPACITY_DEFAULT = 100000 }; /* as librdkafka's */

/* `capacity` 0: the default.  -ENOMEM. */
int window_init(struct window *window, uint32_t capacity);
void window_fini(struct window *window);

static inline bool window_full(const struct window *window)
{
	return window->next - window->oldest == window->capacity;
}

static inline bool window_empty(const struct window *window)
{
	return window->next == window->oldest;
}

/* Not when it is full.  Returns the record's sequence number; the first one is 0. */
uint64_t window_add(struct window *window, uint64_t tag);
/* The record ends.  -ENOENT: it is not under way. */
int window_end(struct window *window, uint64_t sequence, uint64_t *ret_tag);
/* The oldest ends.  -ENOENT: the window is empty. */
int window_end_oldest(struct window *window, uint64_t *ret_tag);
/* All before `sequence` end with rc, and `delivered` is told.  Returns how many. */
int window_end_before(struct window *window, uint64_t sequence, driver_delivered *delivered,
		      void *context, int rc);
/* Has `turn` send and wait until the window is empty.  -ETIMEDOUT, or what turn fails with. */
int window_flush(const struct window *window, struct driver_producer *producer,
		 int (*turn)(struct driver_producer *producer, unsigned timeout_us),
		 unsigned timeout_ms);
