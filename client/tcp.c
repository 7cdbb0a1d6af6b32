/* Kafka's framing: a request and a response each follow their size in four bytes.
 *
 * Calls go out and come back in order, so two lists are all the state there is: `outgoing` (not all
 * bytes have left) and `waiting` (an answer is due).  A peer that breaks the framing, or announces
 * more than we are willing to read, loses the connection.
 *
 * A failure is told from a turn of the loop, never from inside call(): a timer that is due at once
 * carries it there. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "client/channel.h"
#include "client/loop.h"

enum {
	SIZE_BYTES = 4,
	INPUT_BYTES = 8192, /* small answers come whole in one read */
	VECTORS_A_SEND = 64,
	READS_A_TURN = 16,
};

struct tcp {
	struct channel channel;
	struct loop *loop;
	struct loop_source source;
	struct timer failing;
	struct addrinfo *addresses;
	struct addrinfo *address; /* tried now */
	size_t response_bytes_max;
	bool opened;
	bool writing; /* EPOLLOUT is asked for */
	int error;    /* negative once lost */
	struct list outgoing;
	struct list waiting;
	uint8_t size[SIZE_BYTES]; /* of the answer under way */
	size_t got;               /* of size, then of response */
	struct channel_buffer *response;
	uint8_t input[INPUT_BYTES];
	size_t input_at;
	size_t input_size;
	bool drained; /* the last read came short: the socket is empty */
};

static struct tcp *tcp_of(struct channel *channel)
{
	return container_of(channel, struct tcp, channel);
}

static void close_socket(struct tcp *tcp)
{
	if (tcp->source.fd < 0)
		return;
	loop_remove(tcp->loop, &tcp->source);
	close(tcp->source.fd);
	tcp->source.fd = -1;
}

static void finish_all(struct list *calls, int rc)
{
	struct list *node;

	while ((node = list_pop_front(calls))) {
		struct channel_call *call = container_of(node, struct channel_call, link);
		call->done(call, rc, NULL);
	}
}

static void tell_lost(struct timer *timer)
{
	struct tcp *tcp = container_of(timer, struct tcp, failing);

	tcp->channel.owner->lost(tcp->channel.owner, tcp->error); /* closes us */
}

static void fail(struct tcp *tcp, int rc)
{
	if (tcp->error)
		return;
	tcp->error = rc;
	close_socket(tcp);
	/* It has had its place in the heap since open, so this cannot fail. */
	int armed = loop_arm(tcp->loop, &tcp->failing, 0);
	check(armed == 0);
}

/* ---- sending ---- */

/* Vectors of what is left of a call, its size first; returns how many. */
static size_t gather_call(struct channel_call *call, struct iovec *to, size_t room)
{
	size_t skip = call->sent;
	size_t count = 0;

	if (skip < SIZE_BYTES) {
		to[count++] = (struct iovec){call->frame + skip, SIZE_BYTES - skip};
		skip = 0;
	} else {
		skip -= SIZE_BYTES;
	}
	for (size_t i = 0; i < call->vector_count && count < room; i++) {
		const struct iovec *vector = &call->vectors[i];
		if (skip >= vector->iov_len) {
			skip -= vector->iov_len;
			continue;
		}
		to[count++] = (struct iovec){(uint8_t *)vector->iov_base + skip,
					     vector->iov_len - skip};
		skip = 0;
	}
	return count;
}

static size_t gather(struct tcp *tcp, struct iovec *to)
{
	size_t count = 0;

	list_foreach(node, &tcp->outgoing) {
		/* A call cut short by the room must be the last. */
		if (count + 1 >= VECTORS_A_SEND)
			break;
		struct channel_call *call = container_of(node, struct channel_call, link);
		size_t room = VECTORS_A_SEND - count;
		count += gather_call(call, to + count, room);
		if (count == VECTORS_A_SEND)
			break;
	}
	return count;
}

/* `bytes` have left: calls that are out altogether wait, or are done. */
static void account(struct tcp *tcp, size_t bytes)
{
	while (bytes > 0) {
		struct channel_call *call = container_of(tcp->outgoing.next, struct channel_call,
							 link);
		size_t left = call->bytes + SIZE_BYTES - call->sent;
		size_t part = bytes < left ? bytes : left;
		call->sent += part;
		bytes -= part;
		if (part < left)
			break;
		list_remove(&call->link);
		if (call->flags & CHANNEL_NO_RESPONSE)
			call->done(call, 0, NULL);
		else
			list_push_back(&tcp->waiting, &call->link);
	}
}

static void want_writing(struct tcp *tcp, bool wanted)
{
	if (tcp->writing == wanted)
		return;
	tcp->writing = wanted;
	loop_change(tcp->loop, &tcp->source, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void send_some(struct tcp *tcp)
{
	struct iovec vectors[VECTORS_A_SEND];

	while (!list_empty(&tcp->outgoing)) {
		struct msghdr message = {.msg_iov = vectors, .msg_iovlen = gather(tcp, vectors)};
		ssize_t sent = sendmsg(tcp->source.fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (sent < 0) {
			fail(tcp, -errno);
			return;
		}
		account(tcp, (size_t)sent);
	}
	want_writing(tcp, !list_empty(&tcp->outgoing));
}

static void tcp_call(struct channel *channel, struct channel_call *call)
{
	struct tcp *tcp = tcp_of(channel);

	check(tcp->opened);
	call->sent = 0;
	store_be32(call->frame, (uint32_t)call->bytes);
	bool first = list_empty(&tcp->outgoing);
	list_push_back(&tcp->outgoing, &call->link);
	if (tcp->error)
		return; /* to be told soon */
	/* A call without response would be done inside this one. */
	if (first && !(call->flags & CHANNEL_NO_RESPONSE))
		send_some(tcp);
	else
		want_writing(tcp, true);
}

/* ---- receiving ---- */

static void finish_response(struct tcp *tcp)
{
	struct channel_call *call = container_of(tcp->waiting.next, struct channel_call, link);
	struct channel_buffer *response = tcp->response;

	tcp->response = NULL;
	tcp->got = 0;
	list_remove(&call->link);
	call->done(call, 0, response);
}

static int begin_response(struct tcp *tcp)
{
	uint32_t size = load_be32(tcp->size);

	/* Bytes that nobody asked for, or more than may be read: not a broker, or out of step. */
	if (list_empty(&tcp->waiting) || size < 4)
		return -EPROTO;
	if (size > tcp->response_bytes_max)
		return -EMSGSIZE;
	tcp->response = channel_buffer_new(size);
	tcp->got = 0;
	return tcp->response ? 0 : -ENOMEM;
}

/* 1 to `room` bytes to `to`, what was read ahead first.  -EAGAIN, -EINTR, -errno of a broken one.
 */
static ssize_t read_some(struct tcp *tcp, uint8_t *to, size_t room)
{
	size_t ahead = tcp->input_size - tcp->input_at;

	if (ahead == 0 && room < INPUT_BYTES) {
		ssize_t got = recv(tcp->source.fd, tcp->input, INPUT_BYTES, 0);
		if (got <= 0)
			return got < 0 ? -errno : -ECONNRESET;
		tcp->input_at = 0;
		tcp->input_size = (size_t)got;
		tcp->drained = got < INPUT_BYTES;
		ahead = (size_t)got;
	}
	if (ahead > 0) {
		size_t part = ahead < room ? ahead : room;
		memcpy(to, tcp->input + tcp->input_at, part);
		tcp->input_at += part;
		return (ssize_t)part;
	}
	ssize_t got = recv(tcp->source.fd, to, room, 0);
	if (got <= 0)
		return got < 0 ? -errno : -ECONNRESET;
	return got;
}

/* 1: go on; 0: nothing more now; negative: broken. */
static int receive_once(struct tcp *tcp)
{
	uint8_t *to = tcp->response ? tcp->response->storage : tcp->size;
	size_t wanted = tcp->response ? tcp->response->length : SIZE_BYTES;
	ssize_t got = read_some(tcp, to + tcp->got, wanted - tcp->got);

	if (got < 0)
		return got == -EAGAIN || got == -EINTR ? 0 : (int)got;
	tcp->got += (size_t)got;
	if (tcp->got < wanted)
		return 1;
	if (!tcp->response) {
		int rc = begin_response(tcp);
		return rc < 0 ? rc : 1;
	}
	finish_response(tcp);
	return 1;
}

static void receive_some(struct tcp *tcp)
{
	/* What was read ahead is always used up: epoll does not tell of it.  What is left in the
	 * socket it tells of again. */
	for (int i = 0; !tcp->error; i++) {
		bool ahead = tcp->input_at < tcp->input_size;
		if (!ahead && (i >= READS_A_TURN || tcp->drained))
			break;
		int rc = receive_once(tcp);
		if (rc < 0)
			fail(tcp, rc);
		if (rc <= 0)
			break;
	}
	tcp->drained = false;
}

/* ---- connecting ---- */

static void connect_next(struct tcp *tcp, int rc);

static void connected(struct tcp *tcp)
{
	int error = 0;
	socklen_t length = sizeof(error);

	getsockopt(tcp->source.fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error) {
		close_socket(tcp);
		tcp->address = tcp->address->ai_next;
		connect_next(tcp, -error);
		return;
	}
	tcp->opened = true;
	tcp->writing = true; /* as connecting left it */
	want_writing(tcp, false);
	tcp->channel.owner->opened(tcp->channel.owner);
}

static void tcp_ready(struct loop_source *source, uint32_t events)
{
	struct tcp *tcp = container_of(source, struct tcp, source);

	if (!tcp->opened) {
		connected(tcp);
		return;
	}
	if (events & EPOLLOUT)
		send_some(tcp);
	if (!tcp->error && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive_some(tcp);
}

static int connect_one(struct tcp *tcp, const struct addrinfo *address)
{
	int one = 1;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	tcp->source.fd = fd;
	int rc = loop_add(tcp->loop, &tcp->source, EPOLLOUT);
	if (rc < 0) {
		close(fd);
		tcp->source.fd = -1;
	}
	return rc;
}

/* Tries the addresses one after the other; `rc` is why the one before failed. */
static void connect_next(struct tcp *tcp, int rc)
{
	for (; tcp->address; tcp->address = tcp->address->ai_next) {
		rc = connect_one(tcp, tcp->address);
		if (rc == 0)
			return;
	}
	fail(tcp, rc);
}

static int look_up(struct tcp *tcp, const struct channel_settings *settings)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	char port[8];

	snprintf(port, sizeof(port), "%d", settings->port);
	int failed = getaddrinfo(settings->host, port, &hints, &tcp->addresses);
	if (failed == EAI_SYSTEM)
		return -errno;
	if (failed == EAI_MEMORY)
		return -ENOMEM;
	return failed ? -EHOSTUNREACH : 0;
}

static void tcp_close(struct channel *channel)
{
	if (!channel)
		return;
	struct tcp *tcp = tcp_of(channel);
	tcp->error = tcp->error ? tcp->error : -ECANCELED;
	close_socket(tcp);
	loop_disarm(tcp->loop, &tcp->failing);
	finish_all(&tcp->waiting, tcp->error);
	finish_all(&tcp->outgoing, tcp->error);
	channel_buffer_release(tcp->response);
	if (tcp->addresses)
		freeaddrinfo(tcp->addresses);
	free(tcp);
}

static int tcp_open(struct channel **ret, struct loop *loop,
		    const struct channel_settings *settings, struct channel_owner *owner)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp)
		return -ENOMEM;
	tcp->channel = (struct channel){.ops = &channel_tcp, .owner = owner};
	tcp->loop = loop;
	tcp->source = (struct loop_source){.ready = tcp_ready, .fd = -1};
	tcp->failing.expired = tell_lost;
	tcp->response_bytes_max = settings->response_bytes_max;
	list_init(&tcp->outgoing);
	list_init(&tcp->waiting);
	/* Never due, but it holds the place for when there is something to tell. */
	int rc = loop_arm(loop, &tcp->failing, UINT64_MAX);
	if (rc == 0)
		rc = look_up(tcp, settings);
	if (rc < 0) {
		tcp_close(&tcp->channel);
		return rc;
	}
	tcp->address = tcp->addresses;
	connect_next(tcp, -EHOSTUNREACH);
	*ret = &tcp->channel;
	return 0;
}

const struct channel_ops channel_tcp = {
	.scheme = "tcp",
	.ordered = true,
	.open = tcp_open,
	.call = tcp_call,
	.close = tcp_close,
};
