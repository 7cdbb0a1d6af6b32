#include "base/timers.h"

#include <errno.h>
#include <stdlib.h>

void timers_fini(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){0};
}

static void place(struct timers *timers, size_t at, struct timer *timer)
{
	timers->heap[at] = timer;
	timer->place = at + 1;
}

static void sift_up(struct timers *timers, size_t at, struct timer *timer)
{
	while (at > 0) {
		size_t parent = (at - 1) / 2;
		if (timers->heap[parent]->due_ns <= timer->due_ns)
			break;
		place(timers, at, timers->heap[parent]);
		at = parent;
	}
	place(timers, at, timer);
}

static void sift_down(struct timers *timers, size_t at, struct timer *timer)
{
	for (;;) {
		size_t child = at * 2 + 1;
		if (child >= timers->count)
			break;
		if (child + 1 < timers->count &&
		    timers->heap[child + 1]->due_ns < timers->heap[child]->due_ns)
			child++;
		if (timer->due_ns <= timers->heap[child]->due_ns)
			break;
		place(timers, at, timers->heap[child]);
		at = child;
	}
	place(timers, at, timer);
}

int timers_arm(struct timers *timers, struct timer *timer, uint64_t due_ns)
{
	timers_disarm(timers, timer);
	if (timers->count == timers->capacity) {
		size_t capacity = timers->capacity ? timers->capacity * 2 : 64;
		struct timer **heap = realloc(timers->heap, capacity * sizeof(struct timer *));
		if (!heap)
			return -ENOMEM;
		timers->heap = heap;
		timers->capacity = capacity;
	}
	timer->due_ns = due_ns;
	sift_up(timers, timers->count++, timer);
	return 0;
}

void timers_disarm(struct timers *timers, struct timer *timer)
{
	if (!timer->place)
		return;
	size_t at = timer->place - 1;
	struct timer *last = timers->heap[--timers->count];

	timer->place = 0;
	if (last == timer)
		return;
	if (at > 0 && timers->heap[(at - 1) / 2]->due_ns > last->due_ns)
		sift_up(timers, at, last);
	else
		sift_down(timers, at, last);
}

unsigned timers_run(struct timers *timers, uint64_t now_ns)
{
	/* What is armed anew meanwhile for now or earlier waits for the next call. */
	size_t most = timers->count;
	unsigned ran = 0;

	while (timers->count && ran < most && timers->heap[0]->due_ns <= now_ns) {
		struct timer *timer = timers->heap[0];
		timers_disarm(timers, timer);
		timer->expired(timer);
		ran++;
	}
	return ran;
}

uint64_t timers_next_ns(const struct timers *timers)
{
	return timers->count ? timers->heap[0]->due_ns : UINT64_MAX;
}
