/* The datagram transport as a channel: sessions, calls, answers.
 *
 * A channel is a session of an endpoint to one shard of a broker.  Requests travel in slots of
 * their own: an answer does not wait for those before it.  Whether datagrams go through a kernel
 * socket or a port of DPDK is the carrier's affair, see datagram.h; nothing here knows.
 *
 * What the endpoint tells (answers, opened, closed) is noted and told on from the end of
 * endpoint_drive, when it is not being entered any more: owners may then call, and close.
 *
 *   carrier has some --+                                          +--> finished calls --> done
 *   timer -------------+--> endpoint_receive, _drive --> news ----+--> opened
 *   call --------------+         emit --> carrier's send          +--> lost */
#include "client/datagram.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"

/* Answers of several brokers may be on their way at a time. */
enum { BUFFERED_SESSIONS = 4, SMALL_MESSAGES_BYTES = 1 << 20 };

struct datagram {
	struct channel channel;
	struct endpoint *endpoint;
	struct transport_session *session; /* null before and after */
	struct list news;                  /* in the endpoint's, while there is something to tell */
	uint64_t timeout_ns;
	bool opened; /* to be told */
	bool told;
	int error; /* to be told, or told */
	struct list under_way;
	struct list finished;
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

static void has_news(struct datagram *d)
{
	if (list_empty(&d->news))
		list_push_back(&d->endpoint->news, &d->news);
}

static bool hook_emit(void *context, const struct transport_datagram *out)
{
	struct endpoint *endpoint = context;

	return endpoint->ops->send(endpoint, out);
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
	struct datagram *d = transport_session_owner(session);

	d->channel.datagram_bytes = transport_session_datagram_bytes(session);
	d->opened = true;
	has_news(d);
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

void datagram_fail(struct channel *channel, int rc)
{
	struct datagram *d = datagram_of(channel);

	if (!d->error)
		d->error = rc;
	has_news(d);
}

static void hook_closed(void *context, struct transport_session *session,
			enum transport_reason reason)
{
	struct datagram *d = transport_session_owner(session);

	d->session = NULL;
	datagram_fail(&d->channel, error_of(reason));
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
		transport_give(d->endpoint->transport, message->buffer, message->buffer_bytes);
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
	has_news(d);
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

/* A channel whose owner made more news while it was told has its turn in the next drive. */
static void tell_all(struct list *news)
{
	struct list *node;

	while ((node = list_pop_front(news))) {
		list_init(node);
		tell(container_of(node, struct datagram, news));
	}
}

static void arm(struct endpoint *endpoint, uint64_t due_ns)
{
	/* It has had its place in the heap since endpoint_init. */
	int rc = loop_arm(endpoint->loop, &endpoint->timer, due_ns);

	check(rc == 0);
	endpoint->due_ns = due_ns;
}

void endpoint_drive(struct endpoint *endpoint)
{
	struct list news;
	uint64_t due_ns = transport_turn(endpoint->transport, loop_now());

	endpoint->ops->flush(endpoint);
	list_init(&news);
	list_move_all(&news, &endpoint->news);
	arm(endpoint, due_ns);
	tell_all(&news);
}

static void timer_expired(struct timer *timer)
{
	endpoint_drive(container_of(timer, struct endpoint, timer));
}

void endpoint_receive(struct endpoint *endpoint, const void *data, size_t length,
		      const struct transport_address *from)
{
	transport_receive(endpoint->transport, data, length, from, NULL, loop_now());
}

void datagram_call(struct channel *channel, struct channel_call *call)
{
	struct datagram *d = datagram_of(channel);
	struct exchange *exchange = NULL;

	list_push_back(&d->under_way, &call->link);
	int rc = exchange_new(d, call, &exchange);
	call->exchange = exchange;
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
		has_news(d);
	} else if (rc < 0) {
		datagram_fail(channel, rc); /* closing finishes the call */
	}
	d->endpoint->ops->flush(d->endpoint);
	/* The rest, and what there is to tell, in a turn of the loop. */
	arm(d->endpoint, 0);
}

void datagram_cancel(struct channel *channel, struct channel_call *call)
{
	struct datagram *d = datagram_of(channel);

	/* Without a session or an exchange it is to be told of its end already. */
	if (!d->session || !call->exchange)
		return;
	transport_cancel(d->session, &call->exchange->transport, loop_now());
	d->endpoint->ops->flush(d->endpoint);
	arm(d->endpoint, 0);
}

/* ---- opening and closing ---- */

int datagram_look_up(const char *host, int port, struct addrinfo **ret_found,
		     const struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	char text[8];

	snprintf(text, sizeof(text), "%d", port);
	int failed = getaddrinfo(host, text, &hints, ret_found);
	if (failed)
		return failed == EAI_SYSTEM ? -errno : -EHOSTUNREACH;
	*ret = *ret_found;
	for (const struct addrinfo *at = *ret_found; at; at = at->ai_next) {
		if (at->ai_family == AF_INET) {
			*ret = at;
			break;
		}
	}
	return 0;
}

struct transport_address datagram_address(const struct addrinfo *found)
{
	struct transport_address address = {0};

	if (found->ai_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)found->ai_addr;
		memcpy(address.ip, &in6->sin6_addr, sizeof(address.ip));
		address.port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const void *)found->ai_addr;
		address.ip[10] = address.ip[11] = 0xff;
		memcpy(address.ip + 12, &in->sin_addr, 4);
		address.port = ntohs(in->sin_port);
	}
	return address;
}

struct transport_config endpoint_config(uint64_t response_bytes_max, int64_t connect_timeout_ms)
{
	struct transport_config config = transport_config_default();

	config.sessions_max = 1;
	config.message_bytes_max = (uint32_t)response_bytes_max;
	config.session_bytes_max = 2 * response_bytes_max + SMALL_MESSAGES_BYTES;
	config.buffer_bytes_max = BUFFERED_SESSIONS * config.session_bytes_max;
	config.connect_ms = (uint32_t)connect_timeout_ms;
	return config;
}

int endpoint_init(struct endpoint *endpoint, struct loop *loop, const struct carrier_ops *ops,
		  const struct transport_config *config)
{
	const struct transport_hooks hooks = {
		.context = endpoint,
		.emit = hook_emit,
		.random = hook_random,
		.take = hook_take,
		.give = hook_give,
		.released = hook_released,
		.opened = hook_opened,
		.closed = hook_closed,
	};

	*endpoint = (struct endpoint){
		.ops = ops, .loop = loop, .timer.expired = timer_expired, .due_ns = UINT64_MAX};
	list_init(&endpoint->news);
	int rc = loop_arm(loop, &endpoint->timer, UINT64_MAX);
	return rc < 0 ? rc : transport_new(&endpoint->transport, config, &hooks, loop_now());
}

void endpoint_fini(struct endpoint *endpoint)
{
	check(endpoint->channels == 0);
	transport_free(endpoint->transport);
	loop_disarm(endpoint->loop, &endpoint->timer);
}

void datagram_close(struct channel *channel)
{
	if (!channel)
		return;
	struct datagram *d = datagram_of(channel);
	struct endpoint *endpoint = d->endpoint;
	int rc = d->error ? d->error : -ECANCELED;

	d->error = rc;
	if (d->session)
		transport_close(d->session, TRANSPORT_REASON_NONE, loop_now());
	endpoint->ops->flush(endpoint);
	/* Calls that the end of the session has failed get the better reason. */
	struct list *node;
	while ((node = list_pop_front(&d->finished))) {
		struct exchange *exchange = container_of(node, struct exchange, link);
		channel_buffer_release(exchange->response);
		exchange_free(exchange);
	}
	list_remove(&d->news);
	endpoint->channels--;
	if (endpoint->channels == 0)
		endpoint->ops->unused(endpoint);
	while (!list_empty(&d->under_way))
		finish_call(container_of(d->under_way.next, struct channel_call, link), rc, NULL);
	free(d);
}

int datagram_open(struct channel **ret, struct endpoint *endpoint, const struct channel_ops *ops,
		  const struct transport_address *to, const struct channel_settings *settings,
		  struct channel_owner *owner)
{
	struct datagram *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->channel = (struct channel){.ops = ops, .owner = owner};
	d->endpoint = endpoint;
	d->timeout_ns = (uint64_t)settings->request_timeout_ms * NS_PER_MS;
	list_init(&d->news);
	list_init(&d->under_way);
	list_init(&d->finished);
	int rc = transport_connect(endpoint->transport, &d->session, to, d, loop_now());
	if (rc < 0) {
		free(d);
		return rc == -ERR_LIMIT ? -EUSERS : rc;
	}
	endpoint->channels++;
	endpoint->ops->flush(endpoint);
	arm(endpoint, 0);
	*ret = &d->channel;
	return 0;
}
