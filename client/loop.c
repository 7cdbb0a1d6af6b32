#include "client/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

uint64_t loop_now(void)
{
	return clock_monotonic_ns(clock_system());
}

static int watch(struct loop *loop, int fd, void *pointer)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = pointer};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int loop_init(struct loop *loop)
{
	*loop = (struct loop){.timer_fd = -1, .wake_fd = -1, .armed_ns = UINT64_MAX};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->timer_fd < 0)
		return -errno;
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->wake_fd < 0)
		return -errno;
	/* They are told from sources by these two addresses. */
	int rc = watch(loop, loop->timer_fd, &loop->timer_fd);
	return rc < 0 ? rc : watch(loop, loop->wake_fd, &loop->wake_fd);
}

static void close_fd(int fd)
{
	if (fd > 0)
		close(fd);
}

void loop_fini(struct loop *loop)
{
	close_fd(loop->epoll_fd);
	close_fd(loop->timer_fd);
	close_fd(loop->wake_fd);
	timers_fini(&loop->timers);
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_change(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	int rc = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);

	check(rc == 0);
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	/* Its event may lie among those that this turn has still to handle. */
	for (int i = 0; i < loop->event_count; i++) {
		if (loop->events[i].data.ptr == source)
			loop->events[i].data.ptr = NULL;
	}
}

/* The idle time that a nap may add to an answer stays a small part of what it took already. */
static uint64_t nap_ns(const struct loop *loop, uint64_t now_ns)
{
	enum { SHARE = 16 };
	uint64_t share_ns = (now_ns - loop->event_ns) / SHARE;

	if (share_ns < LOOP_NAP_NS_MIN)
		return LOOP_NAP_NS_MIN;
	return share_ns < LOOP_NAP_NS_MAX ? share_ns : LOOP_NAP_NS_MAX;
}

static uint64_t next_look_ns(const struct loop *loop)
{
	if (!loop->poller)
		return UINT64_MAX;
	if (loop->poller->busy)
		return 0;
	uint64_t now_ns = loop_now();
	return now_ns + nap_ns(loop, now_ns);
}

/* Makes the timerfd ring no later than the next timer or look.  It may stand earlier and ring for
 * nothing: deadlines mostly move away, and following each one would cost a system call a request.
 */
static void set_alarm(struct loop *loop)
{
	uint64_t next_ns = timers_next_ns(&loop->timers);
	uint64_t look_ns = next_look_ns(loop);
	struct itimerspec when = {0};

	if (look_ns < next_ns)
		next_ns = look_ns;
	if (next_ns >= loop->armed_ns)
		return;
	/* A time of all zeros would switch it off. */
	uint64_t ring_ns = next_ns ? next_ns : 1;
	when.it_value.tv_sec = (time_t)(ring_ns / NS_PER_SECOND);
	when.it_value.tv_nsec = (long)(ring_ns % NS_PER_SECOND);
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
	loop->armed_ns = next_ns;
}

void loop_set_poller(struct loop *loop, struct loop_poller *poller)
{
	loop->poller = poller;
	loop->event_ns = loop_now();
	set_alarm(loop);
}

int loop_arm(struct loop *loop, struct timer *timer, uint64_t due_ns)
{
	int rc = timers_arm(&loop->timers, timer, due_ns);

	/* With a poller the next look is never far. */
	if (rc == 0 && !loop->poller)
		set_alarm(loop);
	return rc;
}

void loop_disarm(struct loop *loop, struct timer *timer)
{
	timers_disarm(&loop->timers, timer);
}

static void drain(int fd)
{
	uint64_t count;
	ssize_t got = read(fd, &count, sizeof(count));

	(void)got; /* nothing there is fine too */
}

static int dispatch(struct loop *loop, const struct epoll_event *event)
{
	if (event->data.ptr == &loop->timer_fd) {
		drain(loop->timer_fd);
		loop->armed_ns = UINT64_MAX;
		return 0;
	}
	if (event->data.ptr == &loop->wake_fd) {
		drain(loop->wake_fd);
		return 0;
	}
	struct loop_source *source = event->data.ptr;
	source->ready(source, event->events);
	return 1;
}

/* Waits for descriptors up to `timeout_ms` and handles those that are ready. */
static int wait_for_events(struct loop *loop, int timeout_ms)
{
	int ran = 0;
	int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_EVENTS_A_TURN, timeout_ms);

	if (count < 0 && errno != EINTR)
		return -errno;
	loop->event_count = count > 0 ? count : 0;
	for (int i = 0; i < loop->event_count; i++) {
		if (loop->events[i].data.ptr)
			ran += dispatch(loop, &loop->events[i]);
	}
	loop->event_count = 0;
	return ran;
}

/* The timerfd ends it, or an interrupt. */
static int nap(struct loop *loop, uint64_t end_ns)
{
	uint64_t now_ns = loop_now();

	/* What rang already says nothing about this one. */
	if (loop->armed_ns <= now_ns)
		wait_for_events(loop, 0);
	set_alarm(loop);
	/* Whole milliseconds are too long for the last nap. */
	return end_ns - now_ns < LOOP_NAP_NS_MAX ? 0 : wait_for_events(loop, -1);
}

static int look(struct loop *loop, uint64_t now_ns)
{
	int ran = (int)loop->poller->poll(loop->poller);

	ran += (int)timers_run(&loop->timers, now_ns);
	if (ran)
		loop->event_ns = now_ns;
	return ran;
}

static bool is_napping_time(const struct loop *loop, uint64_t now_ns)
{
	return !loop->poller->busy && now_ns - loop->event_ns > LOOP_SPIN_NS &&
	       timers_next_ns(&loop->timers) > now_ns + LOOP_NAP_NS_MIN;
}

static int poll_for_events(struct loop *loop, int timeout_ms)
{
	uint64_t now_ns = loop_now();
	uint64_t end_ns = timeout_ms < 0 ? UINT64_MAX : now_ns + (uint64_t)timeout_ms * NS_PER_MS;
	int ran = look(loop, now_ns);

	while (ran == 0 && now_ns < end_ns && !atomic_load(&loop->interrupted)) {
		if (is_napping_time(loop, now_ns))
			ran = nap(loop, end_ns);
		now_ns = loop_now();
		if (ran == 0)
			ran = look(loop, now_ns);
	}
	/* Whoever watches the descriptor has seen it ring. */
	if (!loop->poller->busy && loop->armed_ns <= now_ns && ran >= 0) {
		int more = wait_for_events(loop, 0);
		ran = more < 0 ? more : ran + more;
	}
	return ran;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
	if (atomic_exchange(&loop->interrupted, false))
		return -EINTR;
	int ran = loop->poller ? poll_for_events(loop, timeout_ms)
			       : wait_for_events(loop, timeout_ms);
	if (ran < 0)
		return ran;
	if (!loop->poller)
		ran += (int)timers_run(&loop->timers, loop_now());
	set_alarm(loop);
	return atomic_exchange(&loop->interrupted, false) ? -EINTR : ran;
}

void loop_interrupt(struct loop *loop)
{
	uint64_t one = 1;

	atomic_store(&loop->interrupted, true);
	ssize_t put = write(loop->wake_fd, &one, sizeof(one));
	(void)put; /* full: it is readable already */
}
