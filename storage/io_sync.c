/* The plain backend: pwrite, pread and fdatasync where they are submitted (they block the thread),
 * sockets by epoll.  For kernels and containers that refuse io_uring; same contract, same results,
 * fewer bytes a second.
 *
 * An operation that has ended waits in `ended` for the next turn, as its `done` may not run inside
 * the submitting call. */
#include "storage/io_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	EVENTS_A_TURN = 128,
	WAKE_MARK = -1,
};

struct sync_fd {
	struct io *in;  /* accept or receive that waits */
	struct io *out; /* send that waits */
	uint32_t events; /* registered with epoll */
};

struct sync {
	struct io_backend base;
	struct io_options options;
	int epoll_fd;
	int wake_fd;
	atomic_bool sleeping; /* as in io_uring.c */
	atomic_bool pending;
	struct io *ended_first;
	struct io *ended_last;
	struct sync_fd *fds; /* by descriptor */
	int fd_count;
	struct io_buffer *buffers;
	uint8_t *buffer_memory;
	uint32_t *free_buffers; /* stack of indexes */
	unsigned free_count;
};

static struct sync *sync_of(struct io_backend *backend)
{
	return container_of(backend, struct sync, base);
}

static void ended(struct sync *s, struct io *io, int result)
{
	io->result = result;
	io->next = NULL;
	if (s->ended_last)
		s->ended_last->next = io;
	else
		s->ended_first = io;
	s->ended_last = io;
}

/* ---- files ---- */

static int file_result(ssize_t returned)
{
	return returned < 0 ? -errno : (int)returned;
}

static int run_file(const struct io *io)
{
	int rc;

	switch ((enum io_op)io->op) {
	case IO_OPEN:
		return file_result(openat(io->fd, io->data, (int)io->length, IO_FILE_MODE));
	case IO_CLOSE:
		return file_result(close(io->fd));
	case IO_READ:
		return file_result(pread(io->fd, io->data, io->length, (off_t)io->offset));
	case IO_WRITE:
		return file_result(pwrite(io->fd, io->data, io->length, (off_t)io->offset));
	case IO_FLUSH:
		return file_result(fdatasync(io->fd));
	case IO_SYNC:
		return file_result(fsync(io->fd));
	case IO_ALLOCATE:
		rc = fallocate(io->fd, 0, (off_t)io->offset, (off_t)io->length);
		return file_result(rc);
	case IO_RENAME:
		return file_result(renameat(io->fd, io->data, io->fd, io_rename_target(io)));
	case IO_UNLINK:
		return file_result(unlinkat(io->fd, io->data, 0));
	case IO_ACCEPT:
	case IO_RECEIVE:
	case IO_RECEIVE_INTO:
	case IO_SEND:
	case IO_WAKE:
		break;
	}
	return -EINVAL;
}

/* ---- sockets ---- */

static struct sync_fd *fd_state(struct sync *s, int fd)
{
	if (fd >= s->fd_count) {
		int count = fd + 64;
		struct sync_fd *fds = realloc(s->fds, (size_t)count * sizeof(*fds));
		if (!fds)
			return NULL;
		memset(fds + s->fd_count, 0, (size_t)(count - s->fd_count) * sizeof(*fds));
		s->fds = fds;
		s->fd_count = count;
	}
	return &s->fds[fd];
}

static void update_interest(struct sync *s, int fd)
{
	struct sync_fd *state = &s->fds[fd];
	uint32_t wanted = (state->in ? EPOLLIN : 0u) | (state->out ? EPOLLOUT : 0u);
	struct epoll_event event = {.events = wanted, .data.fd = fd};

	if (wanted == state->events)
		return;
	int op = !wanted ? EPOLL_CTL_DEL : state->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	epoll_ctl(s->epoll_fd, op, fd, &event);
	state->events = wanted;
}

/* Each returns -EAGAIN to wait for the descriptor. */
static int try_receive(struct sync *s, struct io *io)
{
	if (!s->free_count)
		return -ENOBUFS;
	struct io_buffer *buffer = &s->buffers[s->free_buffers[s->free_count - 1]];
	int result = file_result(recv(io->fd, buffer->data, s->options.buffer_bytes, MSG_DONTWAIT));
	if (result > 0) {
		s->free_count--;
		buffer->length = (uint32_t)result;
		io->buffer = buffer;
	}
	return result;
}

static int try_receive_into(struct io *io)
{
	while (io->offset < io->length) {
		int result = file_result(recv(io->fd, (char *)io->data + io->offset,
					      io->length - io->offset, MSG_DONTWAIT));
		if (result < 0)
			return result;
		if (result == 0)
			break;
		io->offset += (uint64_t)result;
	}
	return (int)io->offset;
}

static int try_send(struct io *io)
{
	for (;;) {
		int result = file_result(sendmsg(io->fd, io->data, MSG_DONTWAIT | MSG_NOSIGNAL));
		if (result < 0)
			return result;
		io->offset += (uint64_t)result;
		if (!io_message_advance(io->data, (size_t)result))
			return (int)io->offset;
	}
}

static int try_socket(struct sync *s, struct io *io)
{
	int result;

	do {
		if (io->op == IO_RECEIVE)
			result = try_receive(s, io);
		else if (io->op == IO_RECEIVE_INTO)
			result = try_receive_into(io);
		else if (io->op == IO_SEND)
			result = try_send(io);
		else
			result = file_result(accept4(io->fd, NULL, NULL, SOCK_CLOEXEC));
	} while (result == -EINTR);
	return result;
}

static void wait_for(struct sync *s, struct io *io)
{
	struct sync_fd *state = fd_state(s, io->fd);

	if (!state) {
		ended(s, io, -ENOMEM);
		return;
	}
	struct io **slot = io->op == IO_SEND ? &state->out : &state->in;
	check(!*slot);
	*slot = io;
	update_interest(s, io->fd);
}

static void submit_socket(struct sync *s, struct io *io)
{
	if (io->op == IO_ACCEPT) {
		int flags = fcntl(io->fd, F_GETFL);
		fcntl(io->fd, F_SETFL, flags | O_NONBLOCK);
		wait_for(s, io);
		return;
	}
	int result = try_socket(s, io);
	if (result == -EAGAIN)
		wait_for(s, io);
	else
		ended(s, io, result);
}

static void sync_submit(struct io_backend *backend, struct io *io)
{
	struct sync *s = sync_of(backend);
	int result;

	if (io->op >= IO_ACCEPT) {
		submit_socket(s, io);
		return;
	}
	do
		result = run_file(io);
	while (result == -EINTR);
	ended(s, io, result);
}

static void sync_cancel(struct io_backend *backend, struct io *io)
{
	struct sync *s = sync_of(backend);

	if (io->op < IO_ACCEPT || io->fd >= s->fd_count)
		return;
	struct sync_fd *state = &s->fds[io->fd];
	struct io **slot = io->op == IO_SEND ? &state->out : &state->in;
	if (*slot != io)
		return; /* has ended */
	*slot = NULL;
	update_interest(s, io->fd);
	ended(s, io, -ECANCELED);
}

/* ---- turns ---- */

static void accept_ready(struct sync *s, struct io *io)
{
	for (;;) {
		int result = try_socket(s, io);
		if (result == -EAGAIN || result == -ECONNABORTED)
			return;
		if (result < 0) {
			s->fds[io->fd].in = NULL;
			update_interest(s, io->fd);
			io->done(io, result);
			return;
		}
		io->done(io, result);
		if (s->fds[io->fd].in != io)
			return; /* cancelled meanwhile */
	}
}

static void socket_ready(struct sync *s, struct io **slot, int fd)
{
	struct io *io = *slot;

	if (io->op == IO_ACCEPT) {
		accept_ready(s, io);
		return;
	}
	int result = try_socket(s, io);
	if (result == -EAGAIN)
		return;
	*slot = NULL;
	update_interest(s, fd);
	ended(s, io, result);
}

static void take_wake(struct sync *s)
{
	uint64_t value;
	ssize_t got = read(s->wake_fd, &value, sizeof(value));

	(void)got;
}

static int poll_events(struct sync *s, uint64_t wait_ns)
{
	struct epoll_event events[EVENTS_A_TURN];
	struct timespec limit = {
		.tv_sec = (time_t)(wait_ns / NS_PER_SECOND),
		.tv_nsec = (long)(wait_ns % NS_PER_SECOND),
	};
	int count = epoll_pwait2(s->epoll_fd, events, EVENTS_A_TURN, &limit, NULL);

	atomic_store(&s->sleeping, false);
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		int fd = events[i].data.fd;
		if (fd == WAKE_MARK) {
			take_wake(s);
			continue;
		}
		uint32_t failed = events[i].events & (EPOLLERR | EPOLLHUP);
		/* fds may move when a callback adds one: index again each time. */
		if (((events[i].events & EPOLLIN) || failed) && s->fds[fd].in)
			socket_ready(s, &s->fds[fd].in, fd);
		if (((events[i].events & EPOLLOUT) || failed) && s->fds[fd].out)
			socket_ready(s, &s->fds[fd].out, fd);
	}
	return 0;
}

static int sync_turn(struct io_backend *backend, uint64_t wait_ns)
{
	struct sync *s = sync_of(backend);
	int completed = 0;

	if (s->ended_first)
		wait_ns = 0;
	if (wait_ns) {
		atomic_store(&s->sleeping, true);
		if (atomic_exchange(&s->pending, false))
			wait_ns = 0;
	}
	int rc = poll_events(s, wait_ns);
	if (rc < 0)
		return rc;
	/* What ends from here on belongs to the next turn. */
	struct io *io = s->ended_first;
	s->ended_first = NULL;
	s->ended_last = NULL;
	while (io) {
		struct io *next = io->next;
		io_complete(io, io->result);
		io = next;
		completed++;
	}
	return completed;
}

static void sync_wake(struct io_backend *backend)
{
	struct sync *s = sync_of(backend);
	uint64_t one = 1;

	atomic_store(&s->pending, true);
	if (!atomic_load(&s->sleeping))
		return;
	ssize_t written = write(s->wake_fd, &one, sizeof(one));
	(void)written;
}

static void sync_buffer_put(struct io_backend *backend, struct io_buffer *buffer)
{
	struct sync *s = sync_of(backend);

	s->free_buffers[s->free_count++] = buffer->index;
}

static void sync_slab_added(struct io_backend *backend, unsigned slab)
{
	(void)backend;
	(void)slab;
}

/* ---- making and freeing ---- */

static void sync_free(struct io_backend *backend)
{
	struct sync *s = sync_of(backend);

	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	free(s->fds);
	free(s->buffers);
	free(s->buffer_memory);
	free(s->free_buffers);
	free(s);
}

static int make_pool(struct sync *s)
{
	unsigned count = s->options.buffer_count;

	if (!count)
		return 0;
	s->buffers = calloc(count, sizeof(*s->buffers));
	s->free_buffers = calloc(count, sizeof(*s->free_buffers));
	s->buffer_memory = malloc((size_t)count * s->options.buffer_bytes);
	if (!s->buffers || !s->free_buffers || !s->buffer_memory)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		s->buffers[i].index = i;
		s->buffers[i].data = s->buffer_memory + (size_t)i * s->options.buffer_bytes;
		sync_buffer_put(&s->base, &s->buffers[i]);
	}
	return 0;
}

int io_sync_new(struct io_backend **ret, const struct io_options *options)
{
	static const struct io_ops ops = {
		.name = "sync",
		.free = sync_free,
		.submit = sync_submit,
		.cancel = sync_cancel,
		.turn = sync_turn,
		.wake = sync_wake,
		.buffer_put = sync_buffer_put,
		.slab_added = sync_slab_added,
	};
	struct sync *s = calloc(1, sizeof(*s));
	struct epoll_event wake_event = {.events = EPOLLIN, .data.fd = WAKE_MARK};
	int rc = -ENOMEM;

	if (!s)
		return rc;
	s->base.ops = &ops;
	s->options = *options;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->wake_fd < 0 ||
	    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &wake_event) < 0)
		rc = -errno;
	else
		rc = make_pool(s);
	if (rc < 0) {
		sync_free(&s->base);
		return rc;
	}
	*ret = &s->base;
	return 0;
}
