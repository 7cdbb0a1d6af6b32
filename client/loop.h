/* client/loop.h: one epoll set, timers, and a way to interrupt: what a client waits on.
 *
 * The epoll descriptor itself polls readable whenever a turn has something to do: sockets are in
 * the set, and so is a timerfd that stands at the next timer.  Owner: the client's thread; only
 * loop_interrupt may come from elsewhere.
 *
 * What has no descriptor, a port of DPDK, has a poller: turns that wait ask it again and again, and
 * make no system call meanwhile.  After LOOP_SPIN_NS without an event they nap between two looks,
 * the longer the longer nothing came; `busy` never naps.  The epoll descriptor becomes readable
 * when the next look is due; with `busy` it always is. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/timers.h"

struct loop_source {
	void (*ready)(struct loop_source *source, uint32_t events); /* EPOLLIN, ... */
	int fd;
};

struct loop_poller {
	/* Looks, and handles what is there.  Returns how much. */
	unsigned (*poll)(struct loop_poller *poller);
	bool busy;
};

enum {
	LOOP_EVENTS_A_TURN = 32,
	LOOP_SPIN_NS = 1000000,
	LOOP_NAP_NS_MIN = 50000, /* less is not worth a system call */
	LOOP_NAP_NS_MAX = 1000000,
};

struct loop {
	int epoll_fd;
	int timer_fd;
	int wake_fd;
	struct timers timers;
	uint64_t armed_ns;          /* what the timerfd stands at; UINT64_MAX: off */
	struct loop_poller *poller; /* or null */
	uint64_t event_ns;          /* when the poller or a timer last had something */
	struct epoll_event events[LOOP_EVENTS_A_TURN];
	int event_count; /* being handled; a source that was removed has a null pointer */
	atomic_bool interrupted;
};

int loop_init(struct loop *loop);
void loop_fini(struct loop *loop); /* one of all zeros or half made is fine */

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Null: no more.  Not from within a turn. */
void loop_set_poller(struct loop *loop, struct loop_poller *poller);

/* `timer->expired` runs in a turn at `due_ns` of loop_now or later.  -ENOMEM */
int loop_arm(struct loop *loop, struct timer *timer, uint64_t due_ns);
void loop_disarm(struct loop *loop, struct timer *timer);
uint64_t loop_now(void); /* monotonic, ns */

/* Waits up to `timeout_ms` (-1: no end) and handles what is ready.  Returns how many sources and
 * timers ran; -EINTR after an interrupt, which is then spent. */
int loop_turn(struct loop *loop, int timeout_ms);
void loop_interrupt(struct loop *loop); /* any thread, signal handlers */
