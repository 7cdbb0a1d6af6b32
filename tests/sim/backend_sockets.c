/* tests/sim/backend_sockets.c: the back end's operations on sockets.
 *
 * Each waits in one list from its submission on, and is tried by io_turn once its descriptor is
 * ready; whatever changes a descriptor rouses the back end whose operations wait for it.  In each
 * turn those that are ready are taken in an order that is drawn, and some are left for the next:
 * io_uring promises no order either. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/check.h"
#include "tests/sim/backend_internal.h"
#include "tests/sim/calls_internal.h"

struct backend_sockets {
	struct io_queue waiting;
	unsigned waiting_count;
	struct io **order; /* of this turn */
	unsigned order_room;
};

int backend_sockets_new(struct backend_sockets **ret, struct sim_backend *sim)
{
	struct backend_sockets *sockets = calloc(1, sizeof(*sockets));

	(void)sim;
	if (!sockets)
		return -ENOMEM;
	*ret = sockets;
	return 0;
}

void backend_sockets_free(struct backend_sockets *sockets)
{
	if (!sockets)
		return;
	check(!sockets->waiting_count);
	free(sockets->order);
	free(sockets);
}

/* ---- who waits ---- */

void backend_sockets_submit(struct sim_backend *sim, struct io *io)
{
	struct descriptor *descriptor = descriptor_get(io->fd);

	if (!descriptor || !descriptor->socket) {
		backend_complete(sim, io, descriptor ? -ENOTSOCK : -EBADF);
		return;
	}
	check(!descriptor->backend || descriptor->backend == sim);
	descriptor->backend = sim;
	io_queue_push(&sim->sockets->waiting, io);
	sim->sockets->waiting_count++;
	backend_rouse(sim);
}

static bool is_waiting(const struct backend_sockets *sockets, const struct io *io)
{
	const struct io *at = sockets->waiting.head;

	while (at && at != io)
		at = at->next;
	return at;
}

static bool any_waits_for(const struct backend_sockets *sockets, int fd)
{
	const struct io *at = sockets->waiting.head;

	while (at && at->fd != fd)
		at = at->next;
	return at;
}

static void finish(struct sim_backend *sim, struct io *io, int result)
{
	struct descriptor *descriptor = descriptor_get(io->fd);

	io_queue_remove(&sim->sockets->waiting, io);
	sim->sockets->waiting_count--;
	if (descriptor && !any_waits_for(sim->sockets, io->fd))
		descriptor->backend = NULL;
	backend_complete(sim, io, result);
}

void backend_sockets_cancel(struct sim_backend *sim, struct io *io)
{
	if (is_waiting(sim->sockets, io))
		finish(sim, io, -ECANCELED);
}

void backend_sockets_closing(struct sim_backend *sim, int fd)
{
	check(!any_waits_for(sim->sockets, fd));
}

/* ---- trying ---- */

/* The connections that there are; returns how many. */
static int accept_some(struct sim_backend *sim, struct io *io, struct descriptor *descriptor)
{
	int count = 0;

	while (is_waiting(sim->sockets, io)) {
		int64_t fd = listener_accept(descriptor, 0);
		if (fd == -EAGAIN)
			break;
		if (fd < 0) {
			finish(sim, io, (int)fd);
			break;
		}
		io->done(io, (int)fd);
		count++;
	}
	return count;
}

/* The next three: -EAGAIN, or what completes the operation. */
static int try_receive(struct sim_backend *sim, struct io *io, struct descriptor *descriptor)
{
	struct io_buffer *buffer = backend_buffer_get(sim);
	uint8_t nothing;

	if (!buffer) {
		int64_t rc = socket_receive(descriptor->socket, &nothing, sizeof(nothing), true);
		return rc > 0 ? -ENOBUFS : (int)rc;
	}
	int64_t rc = socket_receive(descriptor->socket, buffer->data, sim->pool.bytes, false);
	if (rc > 0) {
		buffer->length = (uint32_t)rc;
		io->buffer = buffer;
	} else {
		io_buffer_put(&sim->backend, buffer);
	}
	return (int)rc;
}

static int try_receive_into(struct io *io, struct descriptor *descriptor)
{
	while (io->length) {
		int64_t rc = socket_receive(descriptor->socket, io->data, io->length, false);
		if (rc < 0)
			return (int)rc;
		if (rc == 0)
			break;
		io->data = (uint8_t *)io->data + rc;
		io->length -= (size_t)rc;
		io->result += (int)rc;
	}
	return io->result;
}

static int try_send(struct io *io, struct descriptor *descriptor)
{
	while (io->length) {
		int64_t rc = message_send(descriptor, io->data);
		if (rc < 0)
			return (int)rc;
		io_message_advance(io->data, (size_t)rc);
		io->length -= (size_t)rc;
		io->result += (int)rc;
	}
	return io->result;
}

static int try(struct sim_backend *sim, struct io *io)
{
	struct descriptor *descriptor = descriptor_get(io->fd);
	int rc;

	check(descriptor);
	if (io->op == IO_ACCEPT)
		return accept_some(sim, io, descriptor);
	if (io->op == IO_RECEIVE)
		rc = try_receive(sim, io, descriptor);
	else if (io->op == IO_RECEIVE_INTO)
		rc = try_receive_into(io, descriptor);
	else
		rc = io->op == IO_SEND ? try_send(io, descriptor) : 0;
	if (rc != -EAGAIN)
		finish(sim, io, rc);
	return 0;
}

/* ---- turns ---- */

static bool is_ready(const struct io *io)
{
	const struct descriptor *descriptor = descriptor_get(io->fd);
	uint32_t wanted = io->op == IO_SEND ? EPOLLOUT : EPOLLIN;

	return descriptor && descriptor_events(descriptor) & (wanted | EPOLLERR | EPOLLHUP);
}

/* Those that are ready now. */
static unsigned gather(struct backend_sockets *sockets)
{
	unsigned count = 0;

	if (sockets->order_room < sockets->waiting_count) {
		sockets->order_room = 2 * sockets->waiting_count;
		free(sockets->order);
		sockets->order = calloc(sockets->order_room, sizeof(struct io *));
		check(sockets->order);
	}
	for (struct io *io = sockets->waiting.head; io; io = io->next) {
		if (is_ready(io))
			sockets->order[count++] = io;
	}
	return count;
}

int backend_sockets_turn(struct sim_backend *sim)
{
	enum { LEFT_ONE_IN = 8 };
	struct backend_sockets *sockets = sim->sockets;
	int accepted = 0;

	for (unsigned left = gather(sockets); left; left--) {
		unsigned drawn = (unsigned)network_draw(left);
		struct io *io = sockets->order[drawn];
		sockets->order[drawn] = sockets->order[left - 1];
		if (network_draw(LEFT_ONE_IN) == 0)
			backend_rouse(sim);
		else if (is_waiting(sockets, io)) /* no other's done has cancelled it */
			accepted += try(sim, io);
	}
	return accepted;
}
