/* tests/sim/network.c: sockets and their ports; how connections come about.
 *
 *	connect ── delay ──► a listener of the port ──► its queue ──► accept
 *	                     none: ECONNREFUSED
 *
 * streams.c moves bytes between the two ends, datagrams.c moves datagrams. */
#include "tests/sim/network.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/sim/network_internal.h"

enum {
	PORT_ANY_FIRST = 32768,
	BACKLOG = 1024,
};

struct network network;

void network_init(struct random random)
{
	network = (struct network){.random = random};
	list_init(&network.bound);
	network.faults = (struct network_faults){.delay_ns_min = 20000, .delay_ns_max = 200000};
	network.next_port = (uint16_t)random_between(&network.random, PORT_ANY_FIRST, UINT16_MAX);
}

void network_set_faults(const struct network_faults *faults)
{
	network.faults = *faults;
}

uint64_t network_draw(uint64_t bound)
{
	return random_below(&network.random, bound);
}

uint64_t network_delay_ns(void)
{
	return random_between(&network.random, network.faults.delay_ns_min,
			      network.faults.delay_ns_max);
}

struct socket_state *socket_new(enum socket_kind kind)
{
	struct socket_state *socket = calloc(1, sizeof(*socket));

	check(socket);
	socket->kind = kind;
	list_init(&socket->queue);
	if (kind == SOCKET_DATAGRAM)
		mailbox_init(socket);
	return socket;
}

unsigned network_accepted(void)
{
	return network.accepted_count;
}

bool socket_is_stream(const struct socket_state *socket)
{
	return socket->kind == SOCKET_STREAM;
}

static void socket_free(struct socket_state *socket)
{
	list_remove(&socket->bound_link);
	list_remove(&socket->queue_link);
	event_cancel(&socket->connecting);
	network.accepted_count -= socket->accepted;
	if (socket->kind == SOCKET_DATAGRAM)
		mailbox_fini(socket);
	else
		stream_fini(socket);
	free(socket);
}

static void refuse_queue(struct socket_state *listener)
{
	struct list *node;

	while ((node = list_pop_front(&listener->queue))) {
		struct socket_state *waiting = container_of(node, struct socket_state, queue_link);
		stream_leave(waiting, true, false);
		socket_free(waiting);
	}
}

static void end_socket(struct socket_state *socket, bool reset, bool lost)
{
	socket->changed = NULL;
	refuse_queue(socket);
	stream_leave(socket, reset, lost);
	socket_free(socket);
}

/* Linux resets where data was not read, RFC 2525 2.17. */
static bool leaves_data(const struct socket_state *socket)
{
	return socket->stream.end > socket->stream.taken;
}

void socket_close(struct socket_state *socket)
{
	end_socket(socket, leaves_data(socket), false);
}

/* A kernel that lives on closes what the dead process had open; one that does not has perhaps sent
 * a part. */
void socket_reset(struct socket_state *socket)
{
	if (random_below(&network.random, 2))
		socket_close(socket);
	else
		end_socket(socket, true, true);
}

void socket_on_change(struct socket_state *socket, void (*changed)(void *context), void *context)
{
	socket->changed = changed;
	socket->context = context;
}

void socket_tell(struct socket_state *socket)
{
	if (socket->changed)
		socket->changed(socket->context);
}

int socket_take_error(struct socket_state *socket)
{
	int error = socket->error;

	socket->error = 0;
	return error;
}

int socket_error(struct socket_state *socket)
{
	return socket_take_error(socket);
}

/* ---- ports ---- */

static bool port_is_free(const struct socket_state *socket, uint16_t port)
{
	list_foreach(node, &network.bound) {
		const struct socket_state *other = container_of(node, struct socket_state,
								bound_link);
		if (other->kind == socket->kind && other->port == port &&
		    !(socket->shares_port && other->shares_port))
			return false;
	}
	return true;
}

static uint16_t any_port(const struct socket_state *socket)
{
	do {
		network.next_port = network.next_port == UINT16_MAX
					    ? PORT_ANY_FIRST
					    : (uint16_t)(network.next_port + 1);
	} while (!port_is_free(socket, network.next_port));
	return network.next_port;
}

int socket_bind(struct socket_state *socket, uint16_t *port)
{
	if (socket->port || socket->phase != SOCKET_FRESH)
		return -EINVAL;
	if (!*port)
		*port = any_port(socket);
	else if (!port_is_free(socket, *port))
		return -EADDRINUSE;
	socket->port = *port;
	list_push_back(&network.bound, &socket->bound_link);
	return 0;
}

void socket_bind_any(struct socket_state *socket)
{
	uint16_t port = 0;

	if (!socket->port)
		socket_bind(socket, &port);
}

void socket_share_port(struct socket_state *socket)
{
	socket->shares_port = true;
}

struct socket_state *socket_at(enum socket_kind kind, enum socket_phase phase, uint16_t port)
{
	struct socket_state *found = NULL;
	unsigned count = 0;

	list_foreach(node, &network.bound) {
		struct socket_state *socket = container_of(node, struct socket_state, bound_link);
		if (socket->kind != kind || socket->phase != phase || socket->port != port)
			continue;
		if (random_below(&network.random, ++count) == 0)
			found = socket;
	}
	return found;
}

uint16_t socket_port(const struct socket_state *socket)
{
	return socket->port;
}

uint16_t socket_peer_port(const struct socket_state *socket)
{
	return socket->peer_port;
}

/* ---- connections ---- */

int socket_listen(struct socket_state *socket)
{
	if (socket->kind != SOCKET_STREAM || socket->phase > SOCKET_LISTENING)
		return -EINVAL;
	socket_bind_any(socket);
	socket->phase = SOCKET_LISTENING;
	return 0;
}

static unsigned queue_length(const struct socket_state *listener)
{
	unsigned count = 0;

	list_foreach(node, &listener->queue)
		count++;
	return count;
}

static void come_to_listener(struct event *event)
{
	struct socket_state *socket = container_of(event, struct socket_state, connecting);
	struct socket_state *listener = socket_at(SOCKET_STREAM, SOCKET_LISTENING,
						  socket->peer_port);

	if (!listener || queue_length(listener) >= BACKLOG) {
		stream_break(socket, -ECONNREFUSED);
		return;
	}
	struct socket_state *accepted = socket_new(SOCKET_STREAM);
	accepted->port = listener->port;
	accepted->peer_port = socket->port;
	accepted->accepted = true;
	network.accepted_count++;
	stream_start(accepted, socket);
	stream_start(socket, accepted);
	list_push_back(&listener->queue, &accepted->queue_link);
	socket_tell(listener);
	socket_tell(socket);
}

int socket_connect(struct socket_state *socket, uint16_t port)
{
	if (socket->kind == SOCKET_DATAGRAM) {
		socket_bind_any(socket);
		socket->peer_port = port;
		return 0;
	}
	if (socket->phase != SOCKET_FRESH)
		return socket->phase == SOCKET_CONNECTING ? -EALREADY : -EISCONN;
	socket_bind_any(socket);
	socket->peer_port = port;
	socket->phase = SOCKET_CONNECTING;
	socket->connecting.happens = come_to_listener;
	event_arm(&socket->connecting, sim_now_ns() + network_delay_ns());
	return -EINPROGRESS;
}

int socket_accept(struct socket_state *socket, struct socket_state **ret)
{
	if (socket->phase != SOCKET_LISTENING)
		return -EINVAL;
	struct list *node = list_pop_front(&socket->queue);
	if (!node)
		return -EAGAIN;
	*ret = container_of(node, struct socket_state, queue_link);
	return 0;
}

/* ---- readiness ---- */

bool socket_readable(const struct socket_state *socket)
{
	if (socket->error || socket->phase == SOCKET_BROKEN)
		return true;
	if (socket->kind == SOCKET_DATAGRAM)
		return !list_empty(&socket->mailbox.received);
	return socket->phase == SOCKET_LISTENING ? !list_empty(&socket->queue)
						 : stream_readable(socket);
}

bool socket_writable(const struct socket_state *socket)
{
	if (socket->error || socket->phase == SOCKET_BROKEN)
		return true;
	return socket->kind == SOCKET_DATAGRAM ? mailbox_writable(socket) : stream_writable(socket);
}

bool socket_broken(const struct socket_state *socket)
{
	return socket->error || socket->phase == SOCKET_BROKEN;
}
