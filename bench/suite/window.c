#include "bench/suite/window.h"

#include "base/check.h"
#include "bench/suite/driver_common.h"

#include <errno.h>
#include <stdlib.h>

int window_init(struct window *window, uint32_t capacity)
{
	uint64_t slots = 1;

	*window = (struct window){.capacity = capacity ? capacity : WINDOW_CAPACITY_DEFAULT};
	while (slots < window->capacity)
		slots *= 2;
	window->mask = slots - 1;
	window->tags = calloc(slots, sizeof(*window->tags));
	window->ended = calloc(slots, sizeof(*window->ended));
	if (window->tags && window->ended)
		return 0;
	window_fini(window);
	return -ENOMEM;
}

void window_fini(struct window *window)
{
	free(window->tags);
	free(window->ended);
	*window = (struct window){0};
}

uint64_t window_add(struct window *window, uint64_t tag)
{
	check(!window_full(window));
	window->tags[window->next & window->mask] = tag;
	window->ended[window->next & window->mask] = false;
	return window->next++;
}

int window_end(struct window *window, uint64_t sequence, uint64_t *ret_tag)
{
	uint64_t slot = sequence & window->mask;

	if (sequence < window->oldest || sequence >= window->next || window->ended[slot])
		return -ENOENT;
	*ret_tag = window->tags[slot];
	window->ended[slot] = true;
	while (window->oldest < window->next && window->ended[window->oldest & window->mask])
		window->oldest++;
	return 0;
}

int window_end_oldest(struct window *window, uint64_t *ret_tag)
{
	return window_end(window, window->oldest, ret_tag);
}

int window_end_before(struct window *window, uint64_t sequence, driver_delivered *delivered,
		      void *context, int rc)
{
	uint64_t tag;
	int count = 0;

	for (; window->oldest < sequence && window_end_oldest(window, &tag) == 0; count++)
		delivered(context, tag, rc);
	return count;
}

int window_flush(const struct window *window, struct driver_producer *producer,
		 int (*turn)(struct driver_producer *producer, unsigned timeout_us),
		 unsigned timeout_ms)
{
	uint64_t deadline_us = driver_now_us() + (uint64_t)timeout_ms * 1000;
	unsigned left_us;
	int rc = 0;

	while (rc >= 0 && !window_empty(window)) {
		left_us = driver_left_us(deadline_us);
		if (!left_us)
			return -ETIMEDOUT;
		rc = turn(producer, left_us);
	}
	return rc < 0 ? rc : 0;
}
