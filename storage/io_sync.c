/* storage/io_sync.c: the back end for hosts whose kernel or policy refuses io_uring.
 *
 * Files: the system call runs inside the submitting call and blocks the thread; only `done` waits
 * for io_turn, in the order of submission.  That is the price of this back end and why it is not
 * the default.
 *
 * Sockets: every receive and send is first tried at once without blocking (MSG_DONTWAIT, so the
 * descriptor's own flags do not matter).  What would block is parked in the table of descriptors,
 * one reader and one writer each, and epoll told:
 *
 *	submit ── tried, complete ───────────────► ready ── io_turn ──► done
 *	   └───── EAGAIN ──► table[fd] ── epoll event, tried again ──► done
 *
 * Interest is EPOLLONESHOT: a descriptor that was closed behind our back, or whose operation was
 * cancelled, can report at most once, and that report finds an empty entry.  The number may have
 * been reused by then; trying an operation that is not ready is harmless. */
#include "storage/io.h"

#include "base/check.h"
#include "storage/io_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	EVENTS_A_TURN = 64,
	ACCEPTS_AN_EVENT = 64,
};

struct parked {
	struct io *reader;
	struct io *writer;
	bool known; /* to epoll, as far as we know */
};

struct sync_backend {
	struct io_backend backend;
	struct io_waker waker;
	int epoll_fd;
	unsigned parked_count;
	unsigned in_flight;
	struct io_queue ready; /* complete, done not yet run */
	struct parked *table;  /* by descriptor */
	size_t table_count;
	struct io_pool pool;
	uint32_t *free_buffers;
	unsigned free_count;
};

static struct sync_backend *sync_of(struct io_backend *backend)
{
	return (struct sync_backend *)backend;
}

static void queue_result(struct sync_backend *sync, struct io *io, int result)
{
	io->result = result;
	io_queue_push(&sync->ready, io);
}

static void run_done(struct sync_backend *sync, struct io *io, int result)
{
	sync->in_flight--;
	io->done(io, result);
}

static int open_file(const struct io *io)
{
	return openat(io->fd, io->data, (int)io->offset | O_CLOEXEC, IO_FILE_MODE);
}

static ssize_t call_file(const struct io *io)
{
	switch ((enum io_op)io->op) {
	case IO_OPEN:
		return open_file(io);
	case IO_READ:
		return pread(io->fd, io->data, io->length, (off_t)io->offset);
	case IO_WRITE:
		return pwrite(io->fd, io->data, io->length, (off_t)io->offset);
	case IO_FLUSH:
		return fdatasync(io->fd);
	case IO_SYNC:
		return fsync(io->fd);
	case IO_ALLOCATE:
		return fallocate(io->fd, 0, (off_t)io->offset, (off_t)io->length);
	case IO_RENAME:
		return renameat(io->fd, io->data, io->fd, (const char *)(uintptr_t)io->offset);
	case IO_UNLINK:
		return unlinkat(io->fd, io->data, 0);
	case IO_CLOSE:
	case IO_ACCEPT:
	case IO_READY:
	case IO_RECEIVE:
	case IO_RECEIVE_INTO:
	case IO_SEND:
		break;
	}
	check(!"a file operation");
	return -1;
}

static void run_file(struct sync_backend *sync, struct io *io)
{
	ssize_t rc;

	do
		rc = call_file(io);
	while (rc < 0 && (errno == EINTR || errno == EAGAIN));
	queue_result(sync, io, rc < 0 ? -errno : (int)rc);
}

static struct parked *parked_of(struct sync_backend *sync, int fd)
{
	return fd >= 0 && (size_t)fd < sync->table_count ? &sync->table[fd] : NULL;
}

static void run_close(struct sync_backend *sync, struct io *io)
{
	struct parked *parked = parked_of(sync, io->fd);

	if (parked) {
		check(!parked->reader);
		check(!parked->writer);
		/* A duplicate may keep the file, and with it epoll's entry, alive. */
		if (parked->known)
			epoll_ctl(sync->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
		parked->known = false;
	}
	/* Linux has released the number even when it says EINTR. */
	int rc = close(io->fd);
	queue_result(sync, io, rc < 0 && errno != EINTR ? -errno : 0);
}

static int table_reach(struct sync_backend *sync, int fd)
{
	size_t count = sync->table_count ? sync->table_count : 64;

	if (fd < 0)
		return -EBADF;
	if ((size_t)fd < sync->table_count)
		return 0;
	while (count <= (size_t)fd)
		count *= 2;
	struct parked *table = realloc(sync->table, count * sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table + sync->table_count, 0, (count - sync->table_count) * sizeof(*table));
	sync->table = table;
	sync->table_count = count;
	return 0;
}

/* Tells epoll what the entry waits for.  `known` is a guess, since callers may close a descriptor
 * without us, so either call may have to become the other. */
static int arm(struct sync_backend *sync, int fd)
{
	struct parked *parked = &sync->table[fd];
	struct epoll_event event = {.events = EPOLLONESHOT, .data.fd = fd};

	if (parked->reader)
		event.events |= EPOLLIN | EPOLLRDHUP;
	if (parked->writer)
		event.events |= EPOLLOUT;
	int op = parked->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	int rc = epoll_ctl(sync->epoll_fd, op, fd, &event);
	if (rc < 0 && (errno == ENOENT || errno == EEXIST)) {
		op = errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
		rc = epoll_ctl(sync->epoll_fd, op, fd, &event);
	}
	parked->known = rc == 0;
	return rc < 0 ? -errno : 0;
}

static struct io **slot_of(struct parked *parked, const struct io *io)
{
	return io->op == IO_SEND ? &parked->writer : &parked->reader;
}

static int park(struct sync_backend *sync, struct io *io)
{
	int rc = table_reach(sync, io->fd);

	if (rc < 0)
		return rc;
	struct io **slot = slot_of(&sync->table[io->fd], io);
	check(!*slot);
	*slot = io;
	rc = arm(sync, io->fd);
	if (rc < 0) {
		*slot = NULL;
		return rc;
	}
	sync->parked_count++;
	return 0;
}

static void unpark(struct sync_backend *sync, struct io *io)
{
	*slot_of(&sync->table[io->fd], io) = NULL;
	sync->parked_count--;
}

/* The three below: -EAGAIN when the operation has to wait, else its result. */
static int try_receive(struct sync_backend *sync, struct io *io)
{
	uint8_t nothing;

	if (!sync->free_count) {
		/* Only data that has arrived misses a buffer. */
		ssize_t rc = recv(io->fd, &nothing, sizeof(nothing), MSG_DONTWAIT | MSG_PEEK);
		return rc > 0 ? -ENOBUFS : rc == 0 ? 0 : -errno;
	}
	struct io_buffer *buffer = &sync->pool.buffers[sync->free_buffers[sync->free_count - 1]];
	ssize_t rc = recv(io->fd, buffer->data, sync->pool.bytes, MSG_DONTWAIT);
	if (rc <= 0)
		return rc < 0 ? -errno : 0;
	sync->free_count--;
	buffer->length = (uint32_t)rc;
	io->buffer = buffer;
	return (int)rc;
}

static int try_receive_into(struct io *io)
{
	while (io->length) {
		ssize_t rc = recv(io->fd, io->data, io->length, MSG_DONTWAIT);
		if (rc < 0)
			return -errno;
		if (rc == 0)
			break;
		io->data = (uint8_t *)io->data + rc;
		io->length -= (size_t)rc;
		io->result += (int)rc;
	}
	return io->result;
}

static int try_send(struct io *io)
{
	while (io->length) {
		ssize_t rc = sendmsg(io->fd, io->data, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (rc < 0)
			return -errno;
		io_message_advance(io->data, (size_t)rc);
		io->length -= (size_t)rc;
		io->result += (int)rc;
	}
	return io->result;
}

static int try_socket(struct sync_backend *sync, struct io *io)
{
	int rc;

	do {
		if (io->op == IO_RECEIVE)
			rc = try_receive(sync, io);
		else if (io->op == IO_RECEIVE_INTO)
			rc = try_receive_into(io);
		else
			rc = try_send(io);
	} while (rc == -EINTR);
	return rc;
}

static void start_socket(struct sync_backend *sync, struct io *io)
{
	int rc = try_socket(sync, io);

	if (rc == -EAGAIN) {
		rc = park(sync, io);
		if (rc == 0)
			return;
	}
	queue_result(sync, io, rc);
}

/* Not tried at once: done may run for each connection, so only in io_turn. */
static void start_accept(struct sync_backend *sync, struct io *io)
{
	int flags = fcntl(io->fd, F_GETFL);
	int rc = 0;

	/* Another shard may take the connection between the event and accept4. */
	if (flags < 0 || fcntl(io->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		rc = -errno;
	if (rc == 0)
		rc = park(sync, io);
	if (rc < 0)
		queue_result(sync, io, rc);
}

static void start_ready(struct sync_backend *sync, struct io *io)
{
	int rc = park(sync, io);

	if (rc < 0)
		queue_result(sync, io, rc);
}

static void sync_submit(struct io_backend *backend, struct io *io)
{
	struct sync_backend *sync = sync_of(backend);

	sync->in_flight++;
	switch ((enum io_op)io->op) {
	case IO_OPEN:
	case IO_READ:
	case IO_WRITE:
	case IO_FLUSH:
	case IO_SYNC:
	case IO_ALLOCATE:
	case IO_RENAME:
	case IO_UNLINK:
		run_file(sync, io);
		break;
	case IO_CLOSE:
		run_close(sync, io);
		break;
	case IO_ACCEPT:
		start_accept(sync, io);
		break;
	case IO_READY:
		start_ready(sync, io);
		break;
	case IO_RECEIVE:
	case IO_RECEIVE_INTO:
	case IO_SEND:
		start_socket(sync, io);
		break;
	}
}

/* What is not parked is complete already. */
static void sync_cancel(struct io_backend *backend, struct io *io)
{
	struct sync_backend *sync = sync_of(backend);

	if (io->op < IO_ACCEPT)
		return;
	struct parked *parked = parked_of(sync, io->fd);
	if (!parked || *slot_of(parked, io) != io)
		return;
	unpark(sync, io);
	queue_result(sync, io, -ECANCELED);
}

/* Is `io` still the reader of `fd`?  The done before may have cancelled it. */
static bool is_reader(struct sync_backend *sync, int fd, const struct io *io)
{
	return sync->table[fd].reader == io;
}

static int accept_some(struct sync_backend *sync, struct io *io)
{
	int listener = io->fd;
	int count = 0;

	while (count < ACCEPTS_AN_EVENT && is_reader(sync, listener, io)) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0) {
			count++;
			io->done(io, fd);
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			unpark(sync, io);
			queue_result(sync, io, -errno);
		}
	}
	return count;
}

static int continue_socket(struct sync_backend *sync, struct io *io)
{
	int rc = try_socket(sync, io);

	if (rc == -EAGAIN)
		return 0;
	unpark(sync, io);
	run_done(sync, io, rc);
	return 1;
}

static int run_reader(struct sync_backend *sync, struct io *io)
{
	if (io->op == IO_ACCEPT)
		return accept_some(sync, io);
	if (io->op != IO_READY)
		return continue_socket(sync, io);
	unpark(sync, io);
	run_done(sync, io, 0);
	return 1;
}

static int run_event(struct sync_backend *sync, int fd)
{
	int count = 0;
	struct io *reader = sync->table[fd].reader;

	if (reader)
		count += run_reader(sync, reader);
	/* `done` may have grown the table, closed the descriptor, or both. */
	struct io *writer = sync->table[fd].writer;
	if (writer)
		count += continue_socket(sync, writer);
	struct parked *parked = &sync->table[fd];
	if (!parked->reader && !parked->writer)
		return count;
	int rc = arm(sync, fd);
	for (int i = 0; rc < 0 && i < 2; i++) {
		struct io *io = i ? parked->writer : parked->reader;
		if (io) {
			unpark(sync, io);
			queue_result(sync, io, rc);
		}
	}
	return count;
}

static int run_ready(struct sync_backend *sync)
{
	struct io_queue ready = sync->ready;
	int count = 0;

	sync->ready = (struct io_queue){0};
	for (struct io *io; (io = io_queue_pop(&ready)); count++)
		run_done(sync, io, io->result);
	return count;
}

static int wait_events(struct sync_backend *sync, struct epoll_event *events, uint64_t wait_ns)
{
	struct timespec wait = {
		.tv_sec = (time_t)(wait_ns / 1000000000),
		.tv_nsec = (long)(wait_ns % 1000000000),
	};
	int rc = epoll_pwait2(sync->epoll_fd, events, EVENTS_A_TURN, &wait, NULL);

	if (rc >= 0 || errno != ENOSYS)
		return rc < 0 ? -errno : rc;
	/* Linux before 5.11 counts milliseconds. */
	uint64_t wait_ms = wait_ns / 1000000 + (wait_ns % 1000000 != 0);
	rc = epoll_wait(sync->epoll_fd, events, EVENTS_A_TURN,
			wait_ms > 3600000 ? 3600000 : (int)wait_ms);
	return rc < 0 ? -errno : rc;
}

static int sleep_events(struct sync_backend *sync, struct epoll_event *events, uint64_t wait_ns)
{
	bool sleep = io_waker_down(&sync->waker);
	int rc = wait_events(sync, events, sleep ? wait_ns : 0);

	io_waker_up(&sync->waker);
	return rc;
}

static int sync_turn(struct io_backend *backend, uint64_t wait_ns)
{
	struct sync_backend *sync = sync_of(backend);
	struct epoll_event events[EVENTS_A_TURN];
	int count = run_ready(sync);
	int rc = 0;

	if (count || sync->ready.head)
		wait_ns = 0;
	if (wait_ns)
		rc = sleep_events(sync, events, wait_ns);
	else if (sync->parked_count)
		rc = wait_events(sync, events, 0);
	if (rc == -EINTR)
		rc = 0;
	for (int i = 0; i < rc; i++) {
		uint64_t wakes;
		if (events[i].data.fd != sync->waker.fd)
			count += run_event(sync, events[i].data.fd);
		else if (read(sync->waker.fd, &wakes, sizeof(wakes)) < 0)
			check(errno == EAGAIN || errno == EINTR);
	}
	return rc < 0 && !count ? rc : count;
}

static void sync_wake(struct io_backend *backend)
{
	io_waker_wake(&sync_of(backend)->waker);
}

static void sync_buffer_put(struct io_backend *backend, struct io_buffer *buffer)
{
	struct sync_backend *sync = sync_of(backend);

	io_pool_check(&sync->pool, buffer);
	check(sync->free_count < sync->pool.count);
	sync->free_buffers[sync->free_count++] = buffer->index;
}

static void sync_slab_added(struct io_backend *backend, unsigned slab)
{
}

static void sync_free(struct io_backend *backend)
{
	struct sync_backend *sync = sync_of(backend);

	check(!sync->in_flight);
	if (sync->epoll_fd >= 0)
		close(sync->epoll_fd);
	io_waker_fini(&sync->waker);
	io_pool_fini(&sync->pool);
	free(sync->free_buffers);
	free(sync->table);
	free(sync);
}

static const struct io_ops sync_ops = {
	.name = "sync",
	.free = sync_free,
	.submit = sync_submit,
	.cancel = sync_cancel,
	.turn = sync_turn,
	.wake = sync_wake,
	.buffer_put = sync_buffer_put,
	.slab_added = sync_slab_added,
};

static int init_pool(struct sync_backend *sync, const struct io_options *options)
{
	int rc = io_pool_init(&sync->pool, options);

	if (rc < 0 || !sync->pool.count)
		return rc;
	sync->free_buffers = calloc(sync->pool.count, sizeof(*sync->free_buffers));
	if (!sync->free_buffers)
		return -ENOMEM;
	/* The first is on top. */
	while (sync->free_count < sync->pool.count) {
		sync->free_buffers[sync->free_count] = sync->pool.count - 1 - sync->free_count;
		sync->free_count++;
	}
	return 0;
}

static int init_epoll(struct sync_backend *sync)
{
	int rc = io_waker_init(&sync->waker, EFD_NONBLOCK);

	if (rc < 0)
		return rc;
	sync->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (sync->epoll_fd < 0)
		return -errno;
	struct epoll_event event = {.events = EPOLLIN, .data.fd = sync->waker.fd};
	rc = epoll_ctl(sync->epoll_fd, EPOLL_CTL_ADD, sync->waker.fd, &event);
	return rc < 0 ? -errno : 0;
}

int io_sync_new(struct io_backend **ret, const struct io_options *options)
{
	struct sync_backend *sync = calloc(1, sizeof(*sync));

	if (!sync)
		return -ENOMEM;
	sync->backend.ops = &sync_ops;
	sync->epoll_fd = -1;
	sync->waker.fd = -1;
	int rc = init_pool(sync, options);
	if (rc == 0)
		rc = init_epoll(sync);
	if (rc < 0) {
		sync_free(&sync->backend);
		return rc;
	}
	*ret = &sync->backend;
	return 0;
}
