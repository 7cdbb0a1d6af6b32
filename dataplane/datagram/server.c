/* From datagrams to requests and back.
 *
 *     source.receive -> transport_receive -> hook_request: a call -> request_start -> handler
 *     handler -> request_answer -> answered: transport_respond with the response's vectors
 *     transport: every segment acknowledged -> hook_released -> request freed -> packet given back
 *
 * A request of one datagram is worked on where it came in: its record bytes are copied once, into
 * the log's tail.  The packet stays with the request until that is freed, as the answer refers to
 * it; so that slow answers do not use up the receive buffers, requests beyond source.keep_max
 * packets are copied instead.  A larger request was put together in a frame of the shard's pool.
 *
 * A response's bytes are referred to until they are acknowledged, and until no packet of the source
 * refers to them (`held`): a segment that was sent twice may be in a NIC's queue after the first
 * was acknowledged. */
#include "dataplane/datagram/server.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/datagram/packet_source.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"
#include "dataplane/transport/transport.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	CALL_MAGIC = 0x63616c6c,
	SIZE_BYTES = 4, /* a frame's length, which a message does not carry */
	RECEIVE_BURST = 32,
	BURSTS_A_TURN = 4,
	CALLS_AT_ONCE = 256, /* allocated together */
	PIECES_FEW = 2,      /* of a response without records */
	SESSIONS_MAX = 4096,
	WINDOW_MIN = 8,
	PEER_BYTES = 64,
};

/* A request under way; of a session's slot, and possibly outliving the session. */
struct call {
	struct channel channel;
	uint32_t magic;
	struct datagram_server *server;
	struct client *client; /* null: its session is gone */
	struct list link;      /* client.calls, server.orphans; or server.free_calls */
	struct transport_request name;
	struct request *request;
	void *packet; /* kept; null: none */
	void *buffer; /* of the transport; null: none */
	size_t buffer_bytes;
	void *flat; /* a response of too many pieces, in one; of shard.frames */
	size_t flat_capacity;
	struct transport_piece few[PIECES_FEW]; /* of the response, if these are enough */
	unsigned held; /* packets of the source that refer to the response */
	bool released; /* the transport needs the response no more */
};

/* What a session belongs to. */
struct client {
	struct list link; /* server.clients */
	struct transport_session *session;
	struct list calls;
	char peer[PEER_BYTES];
};

struct datagram_server {
	struct shard *shard;
	struct packet_source *source;
	struct transport *transport;
	struct list free_calls;
	struct list clients;
	struct list orphans; /* calls whose session is gone */
	struct list blocks;  /* of calls, to be freed */
	unsigned call_count;
	unsigned packets_kept;
	uint16_t window_max; /* of a session that shares the source with few */
	uint64_t due_ns;     /* transport_turn's */
	bool keep;           /* set by hook_request: the packet stays with the call */
	bool draining;
	bool stopping;
};

struct call_block {
	struct list link;
	struct call calls[CALLS_AT_ONCE];
};

/* ---- calls ---- */

/* Its channel, client and name are the caller's to set, and `few` is filled when it is used. */
static struct call *call_new(struct datagram_server *server)
{
	if (list_empty(&server->free_calls)) {
		struct call_block *block = calloc(1, sizeof(*block));
		if (!block)
			return NULL;
		list_push_back(&server->blocks, &block->link);
		for (unsigned i = 0; i < CALLS_AT_ONCE; i++)
			list_push_back(&server->free_calls, &block->calls[i].link);
	}
	struct call *call = container_of(list_pop_front(&server->free_calls), struct call, link);
	call->magic = CALL_MAGIC;
	call->server = server;
	call->request = NULL;
	call->packet = NULL;
	call->buffer = NULL;
	call->flat = NULL;
	call->flat_capacity = 0;
	call->held = 0;
	call->released = false;
	server->call_count++;
	return call;
}

static void call_free(struct call *call)
{
	struct datagram_server *server = call->server;

	frame_give(&server->shard->frames, call->flat, call->flat_capacity);
	if (call->packet) {
		server->source->ops->release(server->source, call->packet);
		server->packets_kept--;
	}
	if (call->buffer)
		transport_give(server->transport, call->buffer, call->buffer_bytes);
	list_remove(&call->link);
	call->magic = 0;
	list_push_front(&server->free_calls, &call->link);
	server->call_count--;
}

/* ---- the request's way back ---- */

static void channel_begin(struct channel *channel, struct request *request)
{
	container_of(channel, struct call, channel)->request = request;
}

/* The last of those who look at the response ends the request. */
static void release_when_unused(struct call *call)
{
	if (call->released && !call->held)
		request_released(call->request);
}

/* The response in one piece of memory.  -ENOMEM. */
static int flatten(struct call *call, struct transport_piece *piece)
{
	const struct wire_writer *writer = &call->request->writer;

	call->flat = frame_take(&call->server->shard->frames, writer->bytes, &call->flat_capacity);
	if (!call->flat)
		return -ENOMEM;
	uint8_t *at = call->flat;
	for (size_t i = 0; i < writer->vector_count; i++) {
		memcpy(at, writer->vectors[i].iov_base, writer->vectors[i].iov_len);
		at += writer->vectors[i].iov_len;
	}
	*piece = (struct transport_piece){
		.data = (uint8_t *)call->flat + SIZE_BYTES,
		.reference = call,
		.length = (uint32_t)(writer->bytes - SIZE_BYTES),
	};
	return 1;
}

/* The transport looks at the pieces as long as at what they point to: memory of the request.
 * Returns how many; -ENOMEM. */
static int make_pieces(struct call *call, struct transport_piece **ret)
{
	struct request *request = call->request;
	bool flat = request->writer.vector_count > TRANSPORT_PIECES_MAX;
	size_t count = flat ? 1 : request->writer.vector_count;

	if (request->silent)
		return 0; /* acks=0: the slot wants an answer, the client none */
	struct transport_piece *pieces = count <= PIECES_FEW
						 ? call->few
						 : request_calloc(request, count, sizeof(*pieces));
	if (!pieces)
		return -ENOMEM;
	*ret = pieces;
	if (flat)
		return flatten(call, pieces);
	for (size_t i = 0; i < request->writer.vector_count; i++) {
		const struct iovec *vector = &request->writer.vectors[i];
		size_t skip = i == 0 ? SIZE_BYTES : 0;
		pieces[i] = (struct transport_piece){
			.data = (const uint8_t *)vector->iov_base + skip,
			.reference = call,
			.length = (uint32_t)(vector->iov_len - skip),
		};
	}
	return (int)count;
}

static void channel_answered(struct channel *channel, struct request *request)
{
	struct call *call = container_of(channel, struct call, channel);
	struct datagram_server *server = call->server;
	struct transport_piece *pieces = NULL;
	int count = request->closing ? -ECANCELED : make_pieces(call, &pieces);

	if (count >= 0) {
		shard_count(server->shard, response_bytes, request->writer.bytes);
		if (transport_respond(server->transport, call->name, pieces, (uint32_t)count, call,
				      server->shard->now_ns) == 0)
			return; /* hook_released will run, or has */
	}
	/* Answering nothing would leave the client waiting. */
	if (call->client)
		transport_close(call->client->session, TRANSPORT_REASON_PROTOCOL,
				server->shard->now_ns);
	call->released = true;
	release_when_unused(call);
}

static void channel_freed(struct channel *channel, struct request *request)
{
	call_free(container_of(channel, struct call, channel));
}

static const struct channel_ops call_channel = {
	.begin = channel_begin,
	.answered = channel_answered,
	.freed = channel_freed,
};

static void hook_released(void *context, void *owner)
{
	struct call *call = owner;

	check(call->magic == CALL_MAGIC);
	call->released = true;
	release_when_unused(call);
}

static void hold_reference(void *context, void *reference)
{
	struct call *call = reference;

	call->held++;
}

static void release_reference(void *context, void *reference)
{
	struct call *call = reference;

	check(call->magic == CALL_MAGIC && call->held > 0);
	call->held--;
	release_when_unused(call);
}

/* ---- requests that come ---- */

static enum frame_use keep_message(struct call *call, const struct transport_message *message)
{
	struct datagram_server *server = call->server;

	if (message->buffer) {
		call->buffer = message->buffer;
		call->buffer_bytes = message->buffer_bytes;
		return FRAME_LEND;
	}
	if (server->packets_kept >= server->source->ops->keep_max)
		return FRAME_COPY;
	server->keep = true;
	server->packets_kept++;
	call->packet = message->packet;
	return FRAME_LEND;
}

/* A request of one datagram needs memory now; a longer one has it already. */
static bool takes_requests(const struct datagram_server *server,
			   const struct transport_message *message)
{
	const struct shard *shard = server->shard;

	return !server->draining &&
	       (message->buffer || shard->inflight_bytes < shard->options.inflight_bytes_max);
}

/* Nothing of it was executed: the client may send it again, here or elsewhere. */
static void refuse(struct datagram_server *server, struct transport_request name, struct call *call,
		   const struct transport_message *message)
{
	if (call)
		call_free(call);
	else if (message->buffer)
		transport_give(server->transport, message->buffer, message->buffer_bytes);
	transport_refuse(server->transport, name, server->shard->now_ns);
}

static void hook_request(void *context, struct transport_session *session,
			 struct transport_request name, struct transport_message *message)
{
	struct datagram_server *server = context;
	struct call *call = takes_requests(server, message) ? call_new(server) : NULL;
	struct client *client = transport_session_owner(session);

	if (!call) {
		refuse(server, name, NULL, message);
		return;
	}
	call->channel = (struct channel){.ops = &call_channel, .peer = client->peer};
	call->client = client;
	call->name = name;
	list_push_back(&client->calls, &call->link);
	enum frame_use use = keep_message(call, message);
	shard_count(server->shard, request_bytes, message->length);
	int rc = request_start(server->shard, &call->channel, (void *)(uintptr_t)message->data,
			       message->length, use, 0);
	if (rc == 0)
		return;
	if (rc == -ENOMEM) {
		refuse(server, name, call, message);
		return;
	}
	log_info("datagram", "closing peer=%s reason=\"%s\"", client->peer, error_text(rc));
	call_free(call);
	transport_close(session, TRANSPORT_REASON_PROTOCOL, server->shard->now_ns);
}

/* ---- sessions ---- */

static void describe_peer(const struct transport_address *address, char peer[static PEER_BYTES])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char host[INET6_ADDRSTRLEN] = "?";
	bool v4 = memcmp(address->ip, mapped, sizeof(mapped)) == 0;

	inet_ntop(v4 ? AF_INET : AF_INET6, address->ip + (v4 ? 12 : 0), host, sizeof(host));
	snprintf(peer, PEER_BYTES, v4 ? "%s:%u" : "[%s]:%u", host, address->port);
}

static void hook_opened(void *context, struct transport_session *session)
{
	struct datagram_server *server = context;
	struct client *client = calloc(1, sizeof(*client));

	if (!client) {
		transport_close(session, TRANSPORT_REASON_FULL, server->shard->now_ns);
		return;
	}
	list_init(&client->calls);
	client->session = session;
	list_push_back(&server->clients, &client->link);
	describe_peer(transport_session_address(session), client->peer);
	transport_session_set_owner(session, client);
	shard_count(server->shard, sessions_opened, 1);
	shard_count(server->shard, sessions_open, 1);
}

/* What was under way ends by itself; its answers go nowhere. */
static void orphan_calls(struct datagram_server *server, struct client *client)
{
	struct list *node;

	while ((node = list_pop_front(&client->calls))) {
		struct call *call = container_of(node, struct call, link);
		call->client = NULL;
		call->channel.peer = "gone";
		list_push_back(&server->orphans, &call->link);
	}
}

static void cancel_calls(struct list *calls)
{
	list_foreach_safe(node, after, calls) {
		struct request *request = container_of(node, struct call, link)->request;
		if (request && !request->answered && request->cancel)
			request->cancel(request);
	}
}

static void hook_closed(void *context, struct transport_session *session,
			enum transport_reason reason)
{
	struct datagram_server *server = context;
	struct client *client = transport_session_owner(session);

	if (!client)
		return;
	if (reason == TRANSPORT_REASON_PROTOCOL)
		log_info("datagram", "session closed peer=%s reason=\"%s\"", client->peer,
			 transport_reason_text(reason));
	orphan_calls(server, client);
	cancel_calls(&server->orphans);
	shard_count(server->shard, sessions_open, -1);
	list_remove(&client->link);
	free(client);
}

/* ---- memory, packets, randomness ---- */

static void *hook_take(void *context, size_t bytes)
{
	struct datagram_server *server = context;
	struct shard *shard = server->shard;
	size_t capacity;

	if (shard->inflight_bytes + bytes > shard->options.inflight_bytes_max)
		return NULL;
	void *buffer = frame_take(&shard->frames, bytes, &capacity);
	if (buffer)
		shard->inflight_bytes += bytes;
	return buffer;
}

/* The capacity follows from the size, as in hook_take. */
static void hook_give(void *context, void *buffer, size_t bytes)
{
	struct datagram_server *server = context;

	server->shard->inflight_bytes -= bytes;
	frame_give(&server->shard->frames, buffer, frame_capacity(bytes));
}

static void hook_random(void *context, void *ret, size_t length)
{
	check(getrandom(ret, length, 0) == (ssize_t)length);
}

static bool hook_emit(void *context, const struct transport_datagram *datagram)
{
	struct datagram_server *server = context;

	return server->source->ops->send(server->source, datagram, server->shard->now_ns);
}

/* ---- the server ---- */

static struct transport_config config_of(const struct shard *shard)
{
	struct transport_config config = transport_config_default();
	size_t request_bytes_max = shard->options.request_bytes_max;

	config.sessions_max = SESSIONS_MAX;
	config.message_bytes_max = (uint32_t)request_bytes_max;
	if (config.session_bytes_max < 2 * request_bytes_max)
		config.session_bytes_max = 2 * request_bytes_max;
	if (config.buffer_bytes_max < shard->options.inflight_bytes_max)
		config.buffer_bytes_max = shard->options.inflight_bytes_max;
	if (config.buffer_bytes_max < config.session_bytes_max)
		config.buffer_bytes_max = config.session_bytes_max;
	config.shard = (uint16_t)shard->options.index;
	config.shard_count = (uint16_t)shard->options.shard_count;
	return config;
}

int datagram_server_new(struct datagram_server **ret, struct shard *shard,
			struct packet_source *source)
{
	struct datagram_server *server = calloc(1, sizeof(*server));

	if (!server) {
		source->ops->stop(source);
		source->ops->free(source);
		return -ENOMEM;
	}
	server->shard = shard;
	server->source = source;
	list_init(&server->free_calls);
	list_init(&server->clients);
	list_init(&server->orphans);
	list_init(&server->blocks);
	source->hooks = (struct packet_source_hooks){
		.hold = hold_reference,
		.release = release_reference,
		.context = server,
	};
	const struct transport_hooks hooks = {
		.context = server,
		.emit = hook_emit,
		.random = hook_random,
		.take = hook_take,
		.give = hook_give,
		.request = hook_request,
		.released = hook_released,
		.opened = hook_opened,
		.closed = hook_closed,
	};
	const struct transport_config config = config_of(shard);
	server->window_max = config.window;
	int rc = transport_new(&server->transport, &config, &hooks, shard->now_ns);
	if (rc < 0) {
		source->ops->stop(source);
		datagram_server_free(server);
		return rc;
	}
	*ret = server;
	return 0;
}

unsigned datagram_server_receive(struct datagram_server *server)
{
	struct packet_view views[RECEIVE_BURST];
	struct packet_source *source = server->source;
	uint64_t now_ns = server->shard->now_ns;
	unsigned total = 0;

	for (unsigned burst = 0; burst < BURSTS_A_TURN && !server->stopping; burst++) {
		unsigned count = source->ops->receive(source, views, RECEIVE_BURST, now_ns);
		for (unsigned i = 0; i < count; i++) {
			server->keep = false;
			transport_receive(server->transport, views[i].data, views[i].length,
					  &views[i].from, views[i].packet, now_ns);
			if (!server->keep)
				source->ops->release(source, views[i].packet);
		}
		total += count;
		if (count < RECEIVE_BURST)
			break;
	}
	return total;
}

/* What all clients together have under way should fit where it waits to be received.  Without
 * memory requests are refused, but windows stay open: the rest of what has begun must come, or its
 * memory would be held until it expires. */
static void limit_window(struct datagram_server *server)
{
	unsigned window = server->window_max;
	unsigned sessions = transport_sessions(server->transport);

	if (server->source->receive_max && sessions) {
		unsigned share = server->source->receive_max / sessions;
		if (share < WINDOW_MIN)
			share = WINDOW_MIN;
		if (share < window)
			window = share;
	}
	transport_set_window(server->transport, server->draining ? 0 : (uint16_t)window);
}

unsigned datagram_server_turn(struct datagram_server *server)
{
	struct packet_source *source = server->source;

	/* While it stops too: it gives back what answers it still refers to. */
	if (server->stopping)
		return source->ops->turn(source, server->shard->now_ns);
	limit_window(server);
	server->due_ns = transport_turn(server->transport, server->shard->now_ns);
	return source->ops->turn(source, server->shard->now_ns);
}

uint64_t datagram_server_sleep(struct datagram_server *server)
{
	uint64_t now_ns = server->shard->now_ns;

	/* The source arms nothing any more, so it is asked. */
	if (server->stopping)
		return NS_PER_MS;
	uint64_t due_ns = server->due_ns > now_ns ? server->due_ns - now_ns : 0;
	uint64_t sleep_ns = server->source->ops->sleep(server->source);

	return sleep_ns < due_ns ? sleep_ns : due_ns;
}

void datagram_server_woken(struct datagram_server *server)
{
	server->source->ops->woken(server->source);
}

void datagram_server_drain(struct datagram_server *server)
{
	server->draining = true;
	list_foreach(node, &server->clients)
		cancel_calls(&container_of(node, struct client, link)->calls);
}

bool datagram_server_stop(struct datagram_server *server)
{
	if (!server->stopping) {
		server->stopping = true;
		while (!list_empty(&server->clients))
			transport_close(
				container_of(server->clients.next, struct client, link)->session,
				TRANSPORT_REASON_SHUTDOWN, server->shard->now_ns);
		server->source->ops->turn(server->source, server->shard->now_ns);
	}
	return server->source->ops->stop(server->source) && !server->call_count;
}

void datagram_server_free(struct datagram_server *server)
{
	struct list *node;

	if (!server)
		return;
	transport_free(server->transport);
	server->source->ops->free(server->source);
	while ((node = list_pop_front(&server->blocks)))
		free(container_of(node, struct call_block, link));
	free(server);
}

unsigned datagram_server_calls(const struct datagram_server *server)
{
	return server->call_count;
}

const struct transport_statistics *datagram_server_statistics(const struct datagram_server *server)
{
	return transport_statistics(server->transport);
}
