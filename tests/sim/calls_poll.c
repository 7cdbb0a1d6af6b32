/* tests/sim/calls_poll.c: epoll, eventfd, timerfd and poll.
 *
 * A watch stands in the list of its epoll and in that of the descriptor it watches:
 *
 *	descriptor_changed ──► poll_changed ──► each watch that is ready: its epoll has changed
 *
 * which wakes who sleeps in epoll_wait, and goes on to the epoll that watches that one.  Readiness
 * is always asked for anew, so nothing is edge-triggered.  What was reported goes to the end of the
 * epoll's list, as with Linux. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "tests/sim/backend_internal.h"
#include "tests/sim/calls_internal.h"

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

struct poll {
	struct descriptor *descriptor;
	struct list watches;
};

struct poll_watch {
	struct poll *poll;
	struct list link;
	struct descriptor *watched;
	struct poll_watch *next_of_watched;
	struct epoll_event event;
	bool spent; /* EPOLLONESHOT has been reported */
};

struct alarm {
	struct event event;
	struct descriptor *descriptor;
	uint64_t interval_ns;
};

/* ---- readiness ---- */

static uint32_t socket_events(const struct socket_state *socket)
{
	uint32_t events = 0;

	if (socket_readable(socket))
		events |= EPOLLIN;
	if (socket_writable(socket))
		events |= EPOLLOUT;
	if (socket_peer_ended(socket))
		events |= EPOLLRDHUP;
	if (socket_broken(socket))
		events |= EPOLLERR | EPOLLHUP;
	return events;
}

uint32_t descriptor_events(const struct descriptor *descriptor)
{
	switch (descriptor->kind) {
	case DESCRIPTOR_FILE:
		return EPOLLIN | EPOLLOUT;
	case DESCRIPTOR_SOCKET:
		return socket_events(descriptor->socket);
	case DESCRIPTOR_EVENT:
		return EPOLLOUT | (descriptor->count ? EPOLLIN : 0);
	case DESCRIPTOR_TIMER:
		return descriptor->count ? EPOLLIN : 0;
	case DESCRIPTOR_POLL:
		return poll_readable(descriptor) ? EPOLLIN : 0;
	case DESCRIPTOR_FREE:
		break;
	}
	return 0;
}

bool descriptor_wait(struct descriptor *descriptor, uint32_t events, uint64_t due_ns)
{
	while (!(descriptor_events(descriptor) & (events | EPOLLERR | EPOLLHUP))) {
		if (!waiting_block(&descriptor->waiting, due_ns))
			return false;
	}
	return true;
}

static uint32_t watch_events(const struct poll_watch *watch)
{
	if (watch->spent)
		return 0;
	return descriptor_events(watch->watched) & (watch->event.events | EPOLLERR | EPOLLHUP);
}

bool poll_readable(const struct descriptor *descriptor)
{
	list_foreach(node, &descriptor->poll->watches) {
		if (watch_events(container_of(node, struct poll_watch, link)))
			return true;
	}
	return false;
}

void poll_changed(struct descriptor *descriptor)
{
	if (descriptor->backend)
		backend_rouse(descriptor->backend);
	for (struct poll_watch *watch = descriptor->watches; watch; watch = watch->next_of_watched)
		if (watch_events(watch))
			descriptor_changed(watch->poll->descriptor);
}

static void watch_free(struct poll_watch *watch)
{
	struct poll_watch **at = &watch->watched->watches;

	while (*at != watch)
		at = &(*at)->next_of_watched;
	*at = watch->next_of_watched;
	list_remove(&watch->link);
	free(watch);
}

void poll_closed(struct descriptor *descriptor)
{
	while (descriptor->watches)
		watch_free(descriptor->watches);
	if (descriptor->poll) {
		list_foreach_safe(node, after, &descriptor->poll->watches)
			watch_free(container_of(node, struct poll_watch, link));
		free(descriptor->poll);
		descriptor->poll = NULL;
	}
	if (descriptor->alarm) {
		event_cancel(&descriptor->alarm->event);
		free(descriptor->alarm);
		descriptor->alarm = NULL;
	}
}

/* ---- eventfd and timerfd ---- */

int64_t event_read(struct descriptor *descriptor, void *data, size_t length)
{
	if (length < sizeof(descriptor->count))
		return -EINVAL;
	if (!descriptor->count && descriptor->flags & O_NONBLOCK)
		return -EAGAIN;
	descriptor_wait(descriptor, EPOLLIN, UINT64_MAX);
	memcpy(data, &descriptor->count, sizeof(descriptor->count));
	descriptor->count = 0;
	return sizeof(descriptor->count);
}

int64_t event_write(struct descriptor *descriptor, const void *data, size_t length)
{
	uint64_t value;

	if (descriptor->kind != DESCRIPTOR_EVENT || length < sizeof(value))
		return -EINVAL;
	memcpy(&value, data, sizeof(value));
	check(value < UINT64_MAX - descriptor->count);
	descriptor->count += value;
	descriptor_changed(descriptor);
	return sizeof(value);
}

int __real_eventfd(unsigned value, int flags);
int __wrap_eventfd(unsigned value, int flags)
{
	if (!process_current())
		return __real_eventfd(value, flags);
	check(!(flags & EFD_SEMAPHORE));
	struct descriptor *descriptor = descriptor_new(DESCRIPTOR_EVENT);
	if (!descriptor)
		return (int)call_result(-EMFILE);
	descriptor->flags = flags & EFD_NONBLOCK;
	descriptor->count = value;
	return descriptor->number;
}

static void ring(struct event *event)
{
	struct alarm *alarm = container_of(event, struct alarm, event);

	alarm->descriptor->count++;
	if (alarm->interval_ns)
		event_arm(event, sim_now_ns() + alarm->interval_ns);
	descriptor_changed(alarm->descriptor);
}

int __real_timerfd_create(int clock, int flags);
int __wrap_timerfd_create(int clock, int flags)
{
	if (!process_current())
		return __real_timerfd_create(clock, flags);
	check(clock == CLOCK_MONOTONIC);
	struct descriptor *descriptor = descriptor_new(DESCRIPTOR_TIMER);
	if (!descriptor)
		return (int)call_result(-EMFILE);
	descriptor->flags = flags & TFD_NONBLOCK;
	descriptor->alarm = calloc(1, sizeof(*descriptor->alarm));
	check(descriptor->alarm);
	descriptor->alarm->event.happens = ring;
	descriptor->alarm->descriptor = descriptor;
	return descriptor->number;
}

static uint64_t ns_of(const struct timespec *time)
{
	return (uint64_t)time->tv_sec * NS_PER_SECOND + (uint64_t)time->tv_nsec;
}

int __real_timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_timerfd_settime(fd, flags, new, old);
	struct descriptor *descriptor = descriptor_get(fd);
	if (!descriptor || !descriptor->alarm || old)
		return (int)call_result(descriptor ? -EINVAL : -EBADF);
	uint64_t value_ns = ns_of(&new->it_value);
	descriptor->count = 0;
	descriptor->alarm->interval_ns = ns_of(&new->it_interval);
	event_cancel(&descriptor->alarm->event);
	if (value_ns)
		event_arm(&descriptor->alarm->event,
			  flags & TFD_TIMER_ABSTIME ? value_ns : sim_now_ns() + value_ns);
	return 0;
}

/* ---- epoll ---- */

static struct descriptor *poll_new(void)
{
	struct descriptor *descriptor = descriptor_new(DESCRIPTOR_POLL);

	if (!descriptor)
		return NULL;
	descriptor->poll = calloc(1, sizeof(*descriptor->poll));
	check(descriptor->poll);
	descriptor->poll->descriptor = descriptor;
	list_init(&descriptor->poll->watches);
	return descriptor;
}

int __real_epoll_create1(int flags);
int __wrap_epoll_create1(int flags)
{
	if (!process_current())
		return __real_epoll_create1(flags);
	struct descriptor *descriptor = poll_new();
	return descriptor ? descriptor->number : (int)call_result(-EMFILE);
}

static struct poll_watch *watch_of(const struct poll *poll, const struct descriptor *watched)
{
	struct poll_watch *watch = watched->watches;

	while (watch && watch->poll != poll)
		watch = watch->next_of_watched;
	return watch;
}

static void watch_new(struct poll *poll, struct descriptor *watched,
		      const struct epoll_event *event)
{
	struct poll_watch *watch = calloc(1, sizeof(*watch));

	check(watch);
	watch->poll = poll;
	watch->watched = watched;
	watch->event = *event;
	watch->next_of_watched = watched->watches;
	watched->watches = watch;
	list_push_back(&poll->watches, &watch->link);
	poll_changed(watched);
}

static int change_watch(struct poll *poll, int op, struct descriptor *watched,
			const struct epoll_event *event)
{
	struct poll_watch *watch = watch_of(poll, watched);

	if (op == EPOLL_CTL_ADD && watch)
		return -EEXIST;
	if (op != EPOLL_CTL_ADD && !watch)
		return -ENOENT;
	if (op == EPOLL_CTL_DEL) {
		watch_free(watch);
		return 0;
	}
	check(!(event->events & EPOLLET));
	if (op == EPOLL_CTL_ADD) {
		watch_new(poll, watched, event);
		return 0;
	}
	watch->event = *event;
	watch->spent = false;
	poll_changed(watched);
	return 0;
}

int __real_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	if (epoll_fd < DESCRIPTOR_FIRST)
		return __real_epoll_ctl(epoll_fd, op, fd, event);
	struct descriptor *descriptor = descriptor_get(epoll_fd);
	struct descriptor *watched = descriptor_get(fd);
	if (!descriptor || !watched)
		return (int)call_result(-EBADF);
	if (!descriptor->poll)
		return (int)call_result(-EINVAL);
	if (watched->kind == DESCRIPTOR_FILE)
		return (int)call_result(-EPERM);
	return (int)call_result(change_watch(descriptor->poll, op, watched, event));
}

static int collect(struct poll *poll, struct epoll_event *events, int max)
{
	struct list reported;
	int count = 0;

	list_init(&reported);
	list_foreach_safe(node, after, &poll->watches) {
		struct poll_watch *watch = container_of(node, struct poll_watch, link);
		uint32_t found = count < max ? watch_events(watch) : 0;
		if (!found)
			continue;
		events[count++] = (struct epoll_event){.events = found, .data = watch->event.data};
		watch->spent = watch->event.events & EPOLLONESHOT;
		list_remove(node);
		list_push_back(&reported, node);
	}
	list_move_all(&poll->watches, &reported);
	return count;
}

/* Who asks without wanting to wait gives way all the same: he may ask until something comes. */
static int wait_events(struct poll *poll, struct epoll_event *events, int max, uint64_t wait_ns)
{
	uint64_t due_ns = wait_ns > UINT64_MAX - sim_now_ns() ? UINT64_MAX : sim_now_ns() + wait_ns;
	int count = collect(poll, events, max);

	if (!count && !wait_ns) {
		fiber_yield();
		return collect(poll, events, max);
	}
	while (!count && waiting_block(&poll->descriptor->waiting, due_ns))
		count = collect(poll, events, max);
	return count;
}

static int wait_on(int epoll_fd, struct epoll_event *events, int max, uint64_t wait_ns)
{
	struct descriptor *descriptor = descriptor_get(epoll_fd);

	if (!descriptor || !descriptor->poll || max <= 0)
		return (int)call_result(descriptor ? -EINVAL : -EBADF);
	return wait_events(descriptor->poll, events, max, wait_ns);
}

static uint64_t wait_ns_of(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * NS_PER_MS;
}

int __real_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int epoll_fd, struct epoll_event *events, int max, int timeout_ms)
{
	if (epoll_fd < DESCRIPTOR_FIRST)
		return __real_epoll_wait(epoll_fd, events, max, timeout_ms);
	return wait_on(epoll_fd, events, max, wait_ns_of(timeout_ms));
}

int __real_epoll_pwait2(int epoll_fd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask);
int __wrap_epoll_pwait2(int epoll_fd, struct epoll_event *events, int max,
			const struct timespec *timeout, const sigset_t *mask)
{
	if (epoll_fd < DESCRIPTOR_FIRST)
		return __real_epoll_pwait2(epoll_fd, events, max, timeout, mask);
	return wait_on(epoll_fd, events, max, timeout ? ns_of(timeout) : UINT64_MAX);
}

/* ---- poll ---- */

/* Its bits are those of epoll; an epoll of its own waits for all of them. */
static int poll_all(struct poll *poll, struct pollfd *fds, nfds_t count, uint64_t wait_ns)
{
	struct epoll_event event;
	int ready = 0;

	for (nfds_t i = 0; i < count; i++) {
		struct descriptor *watched = descriptor_get(fds[i].fd);
		event = (struct epoll_event){.events = (uint32_t)fds[i].events};
		if (watched && !watch_of(poll, watched))
			watch_new(poll, watched, &event);
	}
	wait_events(poll, &event, 1, wait_ns);
	for (nfds_t i = 0; i < count; i++) {
		struct descriptor *watched = descriptor_get(fds[i].fd);
		uint32_t wanted = (uint32_t)fds[i].events | POLLERR | POLLHUP;
		fds[i].revents = watched ? (short)(descriptor_events(watched) & wanted) : 0;
		ready += fds[i].revents != 0;
	}
	return ready;
}

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	bool simulated = false;

	for (nfds_t i = 0; i < count; i++)
		simulated |= fds[i].fd >= DESCRIPTOR_FIRST;
	if (!simulated)
		return __real_poll(fds, count, timeout_ms);
	struct descriptor *descriptor = poll_new();
	if (!descriptor)
		return (int)call_result(-ENOMEM);
	int ready = poll_all(descriptor->poll, fds, count, wait_ns_of(timeout_ms));
	descriptor_close(descriptor->number);
	return ready;
}
