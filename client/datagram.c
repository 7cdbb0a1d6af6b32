/* The datagram transport over a kernel UDP socket: udp://host:port.
 *
 * A channel is an endpoint of dataplane/transport with one session to one shard of a broker, and a
 * connected socket, so that the kernel drops what comes from elsewhere and tells of a closed port.
 * Requests travel in slots of their own: an answer does not wait for those before it.
 *
 * What the endpoint tells (answers, opened, closed) is noted and told on from the end of `drive`,
 * when it is not being entered any more: the owner may then call, and close.
 *
 *   socket readable --+                                +--> finished calls --> done
 *   timer ------------+--> transport_receive, _turn ---+--> opened
 *   call -------------+         emit --> sendmsg       +--> lost */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "client/channel.h"
#include "client/loop.h"
#include "dataplane/transport/transport.h"

enum {
	DATAGRAM_BYTES_MAX = 9216,
	DATAGRAMS_A_READ = 16,
	READS_A_TURN = 8,
	SOCKET_BUFFER_BYTES = 4 << 20,
};

struct datagram {
	struct channel channel;
	struct loop *loop;
	struct loop_source source;
	struct timer timer;
	struct transport *transport;
	struct transport_session *session; /* null before and after */
	struct transport_address address;
	uint64_t timeout_ns;
	bool writing; /* the socket was full */
	bool opened;  /* to be told */
	bool told;
	int error; /* to be told, or told */
	struct list under_way;
	struct list finished;
	uint8_t *packets; /* DATAGRAMS_A_READ of DATAGRAM_BYTES_MAX */
};

struct exchange {
	struct list link; /* under_way, then finished */
	struct datagram *datagram;
	struct channel_call *call;
	struct transport_call transport;
	int rc;
	struct channel_buffer *response;
	uint8_t *joined; /* the request in one piece, where it had too many */
	struct transport_piece pieces[];
};

static struct datagram *datagram_of(struct channel *channel)
{
	return container_of(channel, struct datagram, channel);
}

static void exchange_free(struct exchange *exchange)
{
	free(exchange->joined);
	free(exchange);
}

/* ---- what the endpoint asks of us ---- */

static bool hook_emit(void *context, const struct transport_datagram *out)
{
	struct datagram *d = context;
	struct iovec vectors[TRANSPORT_PIECES_MAX + 1];
	size_t count = 0;

	vectors[count++] = (struct iovec){(void *)(uintptr_t)out->header, out->header_bytes};
	for (uint32_t i = 0; i < out->piece_count; i++)
		vectors[count++] = (struct iovec){(void *)(uintptr_t)out->pieces[i].data,
						  out->pieces[i].length};
	struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
	if (sendmsg(d->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return true;
	if (errno == EAGAIN || errno == ENOBUFS) {
		d->writing = true;
		return false;
	}
	/* Lost on the way, as far as the endpoint is concerned; a port that is closed stays so. */
	if (errno == ECONNREFUSED && !d->error)
		d->error = -ECONNREFUSED;
	return true;
}

static void hook_random(void *context, void *ret, size_t length)
{
	ssize_t got = getrandom(ret, length, 0);

	check(got == (ssize_t)length); /* up to 256 bytes never come short */
}

static void *hook_take(void *context, size_t bytes)
{
	struct channel_buffer *buffer = channel_buffer_new(bytes);

	return buffer ? buffer->storage : NULL;
}

static void hook_give(void *context, void *storage, size_t bytes)
{
	channel_buffer_release(container_of(storage, struct channel_buffer, storage));
}

static void hook_released(void *context, void *owner)
{
}

static void hook_opened(void *context, struct transport_session *session)
{
	struct datagram *d = context;

	d->opened = true;
}

static int error_of(enum transport_reason reason)
{
	switch (reason) {
	case TRANSPORT_REASON_UNREACHABLE:
	case TRANSPORT_REASON_IDLE:
		return -ETIMEDOUT;
	case TRANSPORT_REASON_VERSION:
	case TRANSPORT_REASON_TERMS:
	case TRANSPORT_REASON_PROTOCOL:
		return -EPROTO;
	case TRANSPORT_REASON_FULL:
		return -EUSERS;
	case TRANSPORT_REASON_NONE:
	case TRANSPORT_REASON_SHUTDOWN:
	case TRANSPORT_REASON_RESET:
		break;
	}
	return -ECONNRESET;
}

static void hook_closed(void *context, struct transport_session *session,
			enum transport_reason reason)
{
	struct datagram *d = context;

	d->session = NULL;
	if (!d->error)
		d->error = error_of(reason);
}

/* ---- calls ---- */

/* The message as a buffer of ours: the one that it lies in, or a copy of what fits a datagram. */
static struct channel_buffer *keep(struct datagram *d, const struct transport_message *message)
{
	struct channel_buffer *buffer;

	if (message->buffer) {
		buffer = container_of(message->buffer, struct channel_buffer, storage);
		channel_buffer_acquire(buffer);
		buffer->data = message->data;
		buffer->length = message->length;
		/* Its budget is for messages under way; this one has arrived. */
		transport_give(d->transport, message->buffer, message->buffer_bytes);
		return buffer;
	}
	buffer = channel_buffer_new(message->length);
	if (buffer)
		memcpy(buffer->storage, message->data, message->length);
	return buffer;
}

static void call_done(struct transport_call *call, int rc, struct transport_message *response)
{
	struct exchange *exchange = container_of(call, struct exchange, transport);
	struct datagram *d = exchange->datagram;

	exchange->rc = rc;
	if (rc == 0 && response) {
		exchange->response = keep(d, response);
		exchange->rc = exchange->response ? 0 : -ENOMEM;
	}
	/* A response is due, whatever it says; where none was wanted it only says that it is done.
	 */
	if (exchange->call->flags & CHANNEL_NO_RESPONSE) {
		channel_buffer_release(exchange->response);
		exchange->response = NULL;
	}
	list_remove(&exchange->link);
	list_push_back(&d->finished, &exchange->link);
}

static int join(struct exchange *exchange, const struct channel_call *call)
{
	size_t used = 0;

	exchange->joined = malloc(call->bytes ? call->bytes : 1);
	if (!exchange->joined)
		return -ENOMEM;
	for (size_t i = 0; i < call->vector_count; i++) {
		memcpy(exchange->joined + used, call->vectors[i].iov_base,
		       call->vectors[i].iov_len);
		used += call->vectors[i].iov_len;
	}
	exchange->pieces[0] = (struct transport_piece){.data = exchange->joined,
						       .length = (uint32_t)used};
	exchange->transport.piece_count = 1;
	return 0;
}

static int exchange_new(struct datagram *d, struct channel_call *call, struct exchange **ret)
{
	size_t pieces = call->vector_count <= TRANSPORT_PIECES_MAX ? call->vector_count : 1;
	struct exchange *exchange =
		calloc(1, sizeof(*exchange) + (pieces + 1) * sizeof(struct transport_piece));

	if (!exchange)
		return -ENOMEM;
	exchange->datagram = d;
	exchange->call = call;
	exchange->transport.pieces = exchange->pieces;
	exchange->transport.timeout_ns = d->timeout_ns;
	exchange->transport.done = call_done;
	*ret = exchange;
	if (call->vector_count > TRANSPORT_PIECES_MAX)
		return join(exchange, call);
	for (size_t i = 0; i < call->vector_count; i++)
		exchange->pieces[i] =
			(struct transport_piece){.data = call->vectors[i].iov_base,
						 .length = (uint32_t)call->vectors[i].iov_len};
	exchange->transport.piece_count = (uint32_t)call->vector_count;
	return 0;
}

static void finish_call(struct channel_call *call, int rc, struct channel_buffer *response)
{
	list_remove(&call->link);
	call->done(call, rc, response);
}

/* ---- driving ---- */

static void finish_exchanges(struct datagram *d)
{
	struct list *node;

	while ((node = list_pop_front(&d->finished))) {
		struct exchange *exchange = container_of(node, struct exchange, link);
		struct channel_call *call = exchange->call;
		struct channel_buffer *response = exchange->response;
		int rc = exchange->rc;
		if (rc == -ERR_CLOSING)
			rc = -ECONNRESET;
		else if (rc == -ECANCELED)
			rc = -ECONNABORTED; /* the server gave it up unexecuted */
		exchange_free(exchange);
		finish_call(call, rc, response);
	}
}

static void arm(struct datagram *d, uint64_t due_ns)
{
	/* It has had its place in the heap since open. */
	int rc = loop_arm(d->loop, &d->timer, due_ns);

	check(rc == 0);
}

/* Tells on what has been noted.  The last thing may be the end of `d`. */
static void tell(struct datagram *d)
{
	struct channel_owner *owner = d->channel.owner;

	finish_exchanges(d);
	if (d->opened && !d->error && !d->told) {
		d->told = true;
		owner->opened(owner);
	}
	if (d->error)
		owner->lost(owner, d->error);
}

static void want_writing(struct datagram *d)
{
	loop_change(d->loop, &d->source, d->writing ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Only from the loop: callbacks run. */
static void drive(struct datagram *d)
{
	bool was_writing = d->writing;

	d->writing = false;
	uint64_t due_ns = transport_turn(d->transport, loop_now());
	if (d->writing != was_writing)
		want_writing(d);
	arm(d, due_ns);
	tell(d);
}

static void timer_expired(struct timer *timer)
{
	drive(container_of(timer, struct datagram, timer));
}

/* Returns whether there may be more. */
static bool receive(struct datagram *d)
{
	struct mmsghdr messages[DATAGRAMS_A_READ] = {0};
	struct iovec vectors[DATAGRAMS_A_READ];

	for (size_t i = 0; i < DATAGRAMS_A_READ; i++) {
		vectors[i] = (struct iovec){d->packets + i * DATAGRAM_BYTES_MAX,
					    DATAGRAM_BYTES_MAX};
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	int got = recvmmsg(d->source.fd, messages, DATAGRAMS_A_READ, MSG_DONTWAIT, NULL);
	if (got < 0) {
		if (errno == ECONNREFUSED && !d->error)
			d->error = -ECONNREFUSED;
		return false;
	}
	uint64_t now_ns = loop_now();
	for (int i = 0; i < got; i++)
		transport_receive(d->transport, vectors[i].iov_base, messages[i].msg_len,
				  &d->address, NULL, now_ns);
	return got == DATAGRAMS_A_READ;
}

static void socket_ready(struct loop_source *source, uint32_t events)
{
	struct datagram *d = container_of(source, struct datagram, source);

	for (int i = 0; i < READS_A_TURN && receive(d); i++)
		;
	drive(d);
}

static void datagram_call(struct channel *channel, struct channel_call *call)
{
	struct datagram *d = datagram_of(channel);
	struct exchange *exchange = NULL;

	list_push_back(&d->under_way, &call->link);
	int rc = exchange_new(d, call, &exchange);
	if (rc == 0) {
		/* `done` may run inside and move it on. */
		list_init(&exchange->link);
		rc = d->session ? transport_call(d->session, &exchange->transport, loop_now())
				: -ERR_CLOSING;
	}
	if (rc < 0 && exchange) {
		exchange->rc = rc;
		list_remove(&exchange->link);
		list_push_back(&d->finished, &exchange->link);
	} else if (rc < 0 && !d->error) {
		d->error = rc; /* closing finishes the call */
	}
	/* The rest, and what there is to tell, in a turn of the loop. */
	arm(d, 0);
}

/* ---- opening and closing ---- */

static int look_up(const struct channel_settings *settings, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	char port[8];

	snprintf(port, sizeof(port), "%d", settings->port);
	int failed = getaddrinfo(settings->host, port, &hints, ret);
	if (failed == EAI_SYSTEM)
		return -errno;
	return failed ? -EHOSTUNREACH : 0;
}

static void note_address(struct datagram *d, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;
		memcpy(d->address.ip, &in6->sin6_addr, sizeof(d->address.ip));
		d->address.port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const void *)address;
		d->address.ip[10] = d->address.ip[11] = 0xff;
		memcpy(d->address.ip + 12, &in->sin_addr, 4);
		d->address.port = ntohs(in->sin_port);
	}
}

/* A datagram socket connects to anything, so there is no trying one after the other: IPv4 first, as
 * brokers of names with both are most likely to listen there. */
static const struct addrinfo *choose_address(const struct addrinfo *found)
{
	for (const struct addrinfo *address = found; address; address = address->ai_next) {
		if (address->ai_family == AF_INET)
			return address;
	}
	return found;
}

static int open_socket(struct datagram *d, const struct channel_settings *settings)
{
	struct addrinfo *found;
	int bytes = SOCKET_BUFFER_BYTES;
	int rc = look_up(settings, &found);

	if (rc < 0)
		return rc;
	const struct addrinfo *address = choose_address(found);
	d->source.fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->source.fd < 0 || connect(d->source.fd, address->ai_addr, address->ai_addrlen) < 0) {
		rc = -errno;
	} else {
		/* As much as the system grants. */
		setsockopt(d->source.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
		setsockopt(d->source.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		note_address(d, address->ai_addr);
		rc = loop_add(d->loop, &d->source, EPOLLIN);
	}
	freeaddrinfo(found);
	return rc;
}

static int open_endpoint(struct datagram *d, const struct channel_settings *settings)
{
	const struct transport_hooks hooks = {
		.context = d,
		.emit = hook_emit,
		.random = hook_random,
		.take = hook_take,
		.give = hook_give,
		.released = hook_released,
		.opened = hook_opened,
		.closed = hook_closed,
	};
	struct transport_config config = transport_config_default();

	config.sessions_max = 1;
	config.message_bytes_max = (uint32_t)settings->response_bytes_max;
	config.session_bytes_max = 2 * (uint64_t)settings->response_bytes_max + (1 << 20);
	config.buffer_bytes_max = config.session_bytes_max;
	config.connect_ms = (uint32_t)settings->connect_timeout_ms;
	int rc = transport_new(&d->transport, &config, &hooks, loop_now());
	if (rc < 0)
		return rc;
	return transport_connect(d->transport, &d->session, &d->address, d, loop_now());
}

static void datagram_close(struct channel *channel)
{
	if (!channel)
		return;
	struct datagram *d = datagram_of(channel);
	int rc = d->error ? d->error : -ECANCELED;

	d->error = rc;
	if (d->session)
		transport_close(d->session, TRANSPORT_REASON_NONE, loop_now());
	/* Calls that the end of the session has failed get the better reason. */
	transport_free(d->transport);
	struct list *node;
	while ((node = list_pop_front(&d->finished))) {
		struct exchange *exchange = container_of(node, struct exchange, link);
		channel_buffer_release(exchange->response);
		exchange_free(exchange);
	}
	if (d->source.fd >= 0) {
		loop_remove(d->loop, &d->source);
		close(d->source.fd);
	}
	loop_disarm(d->loop, &d->timer);
	while (!list_empty(&d->under_way))
		finish_call(container_of(d->under_way.next, struct channel_call, link), rc, NULL);
	free(d->packets);
	free(d);
}

static int datagram_open(struct channel **ret, struct loop *loop,
			 const struct channel_settings *settings, struct channel_owner *owner)
{
	struct datagram *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->channel = (struct channel){.ops = &channel_datagram, .owner = owner};
	d->loop = loop;
	d->source = (struct loop_source){.ready = socket_ready, .fd = -1};
	d->timer.expired = timer_expired;
	d->timeout_ns = (uint64_t)settings->request_timeout_ms * NS_PER_MS;
	list_init(&d->under_way);
	list_init(&d->finished);
	d->packets = malloc((size_t)DATAGRAMS_A_READ * DATAGRAM_BYTES_MAX);
	int rc = d->packets ? loop_arm(loop, &d->timer, UINT64_MAX) : -ENOMEM;
	if (rc == 0)
		rc = open_socket(d, settings);
	if (rc == 0)
		rc = open_endpoint(d, settings);
	if (rc < 0) {
		datagram_close(&d->channel);
		return rc;
	}
	arm(d, 0);
	*ret = &d->channel;
	return 0;
}

const struct channel_ops channel_datagram = {
	.scheme = "udp",
	.open = datagram_open,
	.call = datagram_call,
	.close = datagram_close,
};
