/* tests/sim/streams.c: bytes between the two ends of a connection.
 *
 * Each end has a queue of what comes to it.  The sender appends; an event lets a piece of drawn
 * length arrive, and arms itself again while more is under way:
 *
 *	taken          arrived            end
 *	  | to be read    |  under way     |      end - taken <= window
 *
 * The end of the stream comes after the last byte.  A cut comes instead of a piece: both ends have
 * ECONNRESET, and what was under way is lost.  What has arrived can still be read, as on Linux. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/sim/network_internal.h"

enum {
	WINDOW_BITS_MIN = 12, /* of bytes: 4 KiB to 4 MiB */
	WINDOW_BITS_MAX = 22,
};

static void arrive(struct event *event);

void stream_start(struct socket_state *socket, struct socket_state *peer)
{
	struct stream *in = &socket->stream;

	socket->phase = SOCKET_CONNECTED;
	socket->peer = peer;
	in->arrival.happens = arrive;
	in->window = (size_t)1 << random_between(&network.random, WINDOW_BITS_MIN, WINDOW_BITS_MAX);
}

void stream_fini(struct socket_state *socket)
{
	event_cancel(&socket->stream.arrival);
	free(socket->stream.data);
}

static void arm_arrival(struct socket_state *socket)
{
	if (!socket->stream.arrival.due_ns)
		event_arm(&socket->stream.arrival, sim_now_ns() + network_delay_ns());
}

void stream_break(struct socket_state *socket, int error)
{
	struct stream *in = &socket->stream;

	event_cancel(&in->arrival);
	in->end = in->arrived;
	if (socket->peer)
		socket->peer->peer = NULL;
	socket->peer = NULL;
	socket->phase = SOCKET_BROKEN;
	socket->error = error;
	socket_tell(socket);
}

static void cut(struct socket_state *socket)
{
	struct socket_state *peer = socket->peer;

	stream_break(socket, -ECONNRESET);
	if (peer)
		stream_break(peer, -ECONNRESET);
}

/* Mostly all there is; else of any size, small ones as likely as large ones. */
static size_t draw_piece(size_t left)
{
	enum { BITS_MAX = 18 };

	if (network.faults.whole || random_below(&network.random, 4))
		return left;
	size_t piece = random_between(&network.random, 1,
				      1ULL << random_below(&network.random, BITS_MAX));
	return piece < left ? piece : left;
}

static void arrive(struct event *event)
{
	struct socket_state *socket = container_of(event, struct socket_state, stream.arrival);
	struct stream *in = &socket->stream;

	if (random_chance(&network.random, network.faults.cut)) {
		cut(socket);
		return;
	}
	if (in->end > in->arrived) {
		size_t piece = draw_piece(in->end - in->arrived);
		in->arrived += piece;
		if (socket->peer)
			socket->peer->stream.sent_acked += piece;
	} else if (in->reset) {
		stream_break(socket, -ECONNRESET);
		return;
	} else {
		in->ended = true;
	}
	if (in->end > in->arrived || in->reset || (in->ending && !in->ended))
		arm_arrival(socket);
	socket_tell(socket);
}

/* ---- the end ---- */

static void end_after(struct socket_state *receiver, bool reset)
{
	receiver->stream.ending = true;
	receiver->stream.reset = reset;
	arm_arrival(receiver);
}

void stream_leave(struct socket_state *socket, bool reset, bool lost)
{
	struct socket_state *peer = socket->peer;

	if (!peer)
		return;
	struct stream *out = &peer->stream;
	socket->peer = NULL;
	peer->peer = NULL;
	if (lost)
		out->end -= random_below(&network.random, out->end - out->arrived + 1);
	end_after(peer, reset);
}

int socket_shutdown_write(struct socket_state *socket)
{
	if (socket->phase != SOCKET_CONNECTED)
		return -ENOTCONN;
	if (!socket->stream.sends_no_more && socket->peer)
		end_after(socket->peer, false);
	socket->stream.sends_no_more = true;
	return 0;
}

int socket_shutdown_read(struct socket_state *socket)
{
	if (socket->phase != SOCKET_CONNECTED)
		return -ENOTCONN;
	socket->stream.reads_no_more = true;
	socket_tell(socket);
	return 0;
}

/* ---- sending ---- */

static size_t room_to_send(const struct socket_state *socket)
{
	const struct stream *out = socket->peer ? &socket->peer->stream : NULL;

	return out ? out->window - (out->end - out->taken)
		   : socket->stream.window - socket->stream.in_vain;
}

static void make_room(struct stream *out, size_t length)
{
	if (out->end + length <= out->room)
		return;
	if (out->taken) {
		memmove(out->data, out->data + out->taken, out->end - out->taken);
		out->arrived -= out->taken;
		out->end -= out->taken;
		out->taken = 0;
	}
	if (out->end + length <= out->room)
		return;
	out->room = 2 * (out->end + length);
	out->data = realloc(out->data, out->room);
	check(out->data);
}

static void append(struct stream *out, const void *data, size_t length)
{
	make_room(out, length);
	memcpy(out->data + out->end, data, length);
	out->end += length;
}

static int may_send(struct socket_state *socket)
{
	if (socket->phase == SOCKET_CONNECTING)
		return -EAGAIN;
	if (socket->error)
		return socket_take_error(socket);
	if (socket->phase == SOCKET_BROKEN || socket->stream.sends_no_more)
		return -EPIPE;
	return socket->phase == SOCKET_CONNECTED ? 0 : -ENOTCONN;
}

static int64_t send_stream(struct socket_state *socket, const void *data, size_t length)
{
	int rc = may_send(socket);

	if (rc < 0)
		return rc;
	size_t room = room_to_send(socket);
	if (!room && length)
		return -EAGAIN;
	size_t part = length < room ? length : room;
	if (!socket->peer) {
		/* It has closed: its host answers with a reset. */
		socket->stream.in_vain += part;
		end_after(socket, true);
		return (int64_t)part;
	}
	append(&socket->peer->stream, data, part);
	if (part)
		arm_arrival(socket->peer);
	return (int64_t)part;
}

int64_t socket_send(struct socket_state *socket, const void *data, size_t length)
{
	if (socket->kind == SOCKET_STREAM)
		return send_stream(socket, data, length);
	return socket->peer_port ? socket_send_to(socket, data, length, socket->peer_port)
				 : -EDESTADDRREQ;
}

uint64_t socket_bytes_acked(const struct socket_state *socket)
{
	return socket->stream.sent_acked;
}

/* As Linux tells: not for the first byte that is free. */
bool stream_writable(const struct socket_state *socket)
{
	if (socket->phase != SOCKET_CONNECTED)
		return socket->phase == SOCKET_FRESH;
	const struct socket_state *holder = socket->peer ? socket->peer : socket;
	return socket->stream.sends_no_more || 3 * room_to_send(socket) >= holder->stream.window;
}

/* ---- receiving ---- */

static int64_t nothing_to_read(struct socket_state *socket)
{
	if (socket->error)
		return socket_take_error(socket);
	if (socket->phase == SOCKET_BROKEN || socket->stream.ended || socket->stream.reads_no_more)
		return 0;
	return socket->phase == SOCKET_FRESH || socket->phase == SOCKET_LISTENING ? -ENOTCONN
										  : -EAGAIN;
}

static int64_t receive_stream(struct socket_state *socket, void *data, size_t length, bool peek)
{
	struct stream *in = &socket->stream;
	size_t part = in->arrived - in->taken;

	if (!part)
		return nothing_to_read(socket);
	if (part > length)
		part = length;
	memcpy(data, in->data + in->taken, part);
	if (peek)
		return (int64_t)part;
	bool was_writable = socket->peer && stream_writable(socket->peer);
	in->taken += part;
	if (socket->peer && !was_writable && stream_writable(socket->peer))
		socket_tell(socket->peer);
	return (int64_t)part;
}

int64_t socket_receive(struct socket_state *socket, void *data, size_t length, bool peek)
{
	if (socket->kind == SOCKET_STREAM)
		return receive_stream(socket, data, length, peek);
	return socket_receive_from(socket, data, length, NULL);
}

bool stream_readable(const struct socket_state *socket)
{
	const struct stream *in = &socket->stream;

	return in->arrived > in->taken || in->ended || in->reads_no_more;
}

bool socket_peer_ended(const struct socket_state *socket)
{
	return socket->stream.ended || socket->phase == SOCKET_BROKEN;
}
