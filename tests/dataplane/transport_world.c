#include "tests/dataplane/transport_world.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/map64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	HEAD_BYTES = 12, /* id and length of the response; smaller requests have neither */
	TINY_RESPONSE_BYTES = 3,
	PIECES = 5,
	RECONNECT_MS = 5,
};

struct world;

struct link {
	struct world *world;
	struct net_node *client;
	struct net_node *server;
	struct transport_session *session; /* null: none, or not again yet */
	unsigned under_way;
};

struct world_call {
	struct transport_call call;
	struct world *world;
	struct link *link;
	struct transport_session *session;
	uint64_t id;
	uint64_t begun_ns;
	uint32_t response_bytes;
	uint8_t *data;
	struct transport_piece pieces[PIECES];
	unsigned executed;
	unsigned done;
	int rc;
	bool cancel_due;
};

struct response {
	struct world *world;
	struct net_node *node;
	struct transport *transport; /* of the incarnation that was asked */
	struct transport_request request;
	uint8_t *data;
	uint32_t length;
	struct transport_piece pieces[PIECES];
	struct response *next;
};

struct world {
	const struct world_options *options;
	struct net net;
	struct world_call *calls;
	unsigned begun;
	unsigned finished;
	struct link *links;
	unsigned link_count;
	struct map64 executed; /* session, slot, sequence */
	unsigned responses;    /* not released yet */
	struct world_result result;
	bool over;
};

/* ---- contents ---- */

static uint8_t pattern(uint64_t id, uint32_t at)
{
	return (uint8_t)(id * 31 + at * 7 + (at >> 8) * 3);
}

static void fill(uint8_t *data, uint64_t id, uint32_t from, uint32_t length)
{
	for (uint32_t i = from; i < length; i++)
		data[i] = pattern(id, i);
}

static bool filled(const uint8_t *data, uint64_t id, uint32_t from, uint32_t length)
{
	for (uint32_t i = from; i < length; i++) {
		if (data[i] != pattern(id, i))
			return false;
	}
	return true;
}

/* Cuts at random, empty pieces included. */
static uint32_t cut(struct net *net, struct transport_piece *pieces, const uint8_t *data,
		    uint32_t length)
{
	uint32_t count = 1 + (uint32_t)(net_random(net) % PIECES);
	uint32_t at = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t part = length - at;

		if (i + 1 < count && part)
			part = (uint32_t)(net_random(net) % part);
		pieces[i] = (struct transport_piece){.data = data + at, .length = part};
		at += part;
	}
	return count;
}

/* Small ones as often as large ones. */
static uint32_t size_up_to(struct net *net, uint32_t max)
{
	uint64_t random = net_random(net);
	uint32_t limit = max;

	if (random & 1)
		limit = max < 2000 ? max : 2000;
	return limit ? 1 + (uint32_t)((random >> 8) % limit) : 0;
}

/* ---- servers ---- */

static void response_free(struct response *response)
{
	response->world->responses--;
	free(response->data);
	free(response);
}

static void respond(void *argument)
{
	struct response *response = argument;
	struct net_node *node = response->node;

	/* A server that was restarted meanwhile does not know of it. */
	if (node->transport != response->transport) {
		response_free(response);
		return;
	}
	uint32_t count = cut(&response->world->net, response->pieces, response->data,
			     response->length);
	int rc = transport_respond(node->transport, response->request, response->pieces, count,
				   response, node->net->now_ns);
	if (rc < 0)
		response_free(response);
	net_touched(node);
}

static void released(void *context, void *owner)
{
	(void)context;
	response_free(owner);
}

static void executed_once(struct world *world, const struct transport_request *request)
{
	uint64_t key = (request->session * 64 + request->slot) * UINT64_C(0x9e3779b97f4a7c15) +
		       request->sequence;

	assert_null(map64_get(&world->executed, key));
	assert_int_equal(map64_put(&world->executed, key, world), 0);
}

static void request(void *context, struct transport_session *session,
		    struct transport_request handle, struct transport_message *message)
{
	struct net_node *node = context;
	struct world *world = node->owner;
	struct response *response = calloc(1, sizeof(*response));

	(void)session;
	executed_once(world, &handle);
	response->world = world;
	response->node = node;
	response->transport = node->transport;
	response->request = handle;
	response->length = TINY_RESPONSE_BYTES;
	uint64_t id = 0;
	if (message->length >= HEAD_BYTES) {
		id = load_be64(message->data);
		assert_true(id < world->begun);
		world->calls[id].executed++;
		response->length = load_be32(message->data + 8);
		assert_true(filled(message->data, id, HEAD_BYTES, message->length));
	} else {
		assert_true(filled(message->data, 0, 0, message->length));
	}
	if (message->buffer)
		transport_give(node->transport, message->buffer, message->buffer_bytes);
	response->data = malloc(response->length ? response->length : 1);
	fill(response->data, id, 0, response->length);
	world->responses++;
	uint64_t think_ns = world->options->think_ns_max;
	if (think_ns && net_random(&world->net) % 4)
		net_at(&world->net, world->net.now_ns + net_random(&world->net) % think_ns, respond,
		       response);
	else
		respond(response);
}

static void start_server(struct net_node *node)
{
	struct world *world = node->owner;
	struct transport_hooks hooks = net_hooks(node);

	hooks.request = request;
	hooks.released = released;
	net_start(node, &world->options->config, &hooks);
}

/* ---- clients ---- */

static void begin_calls(struct link *link);

static void check_answer(struct world_call *c, int rc, const struct transport_message *response)
{
	struct world *world = c->world;

	if (rc == 0) {
		assert_int_equal(response->length, c->response_bytes);
		assert_true(filled(response->data, c->call.length < HEAD_BYTES ? 0 : c->id, 0,
				   response->length));
		world->result.answered++;
		world->result.bytes += c->call.length + response->length;
	} else if (rc == -ECANCELED) {
		world->result.cancelled++;
	} else {
		assert_null(response);
		world->result.failed++;
	}
}

static void done(struct transport_call *call, int rc, struct transport_message *response)
{
	struct world_call *c = container_of(call, struct world_call, call);
	struct world *world = c->world;

	assert_int_equal(c->done++, 0);
	c->rc = rc;
	check_answer(c, rc, response);
	/* In bounded time: its own, and what the endpoint's timer may be late. */
	assert_true(world->net.now_ns - c->begun_ns <=
		    call->timeout_ns + world->options->config.idle_ms * NS_PER_MS);
	if (response && response->buffer)
		transport_give(c->link->client->transport, response->buffer,
			       response->buffer_bytes);
	free(c->data);
	c->data = NULL;
	world->finished++;
	world->result.took_ns = world->net.now_ns;
	c->link->under_way--;
	if (rc == 0 || rc == -ECANCELED || rc == -ETIMEDOUT)
		begin_calls(c->link);
}

static void cancel(void *argument)
{
	struct world_call *c = argument;

	if (c->done || c->session != c->link->session)
		return;
	transport_cancel(c->session, &c->call, c->world->net.now_ns);
	net_touched(c->link->client);
	assert_int_equal(c->done, 1);
}

static bool begin_call(struct link *link)
{
	struct world *world = link->world;
	const struct world_options *options = world->options;
	struct net *net = &world->net;
	struct world_call *c = &world->calls[world->begun];
	uint32_t length = size_up_to(net, options->request_bytes_max);

	*c = (struct world_call){
		.world = world,
		.link = link,
		.session = link->session,
		.id = world->begun++,
		.begun_ns = net->now_ns,
		.response_bytes = TINY_RESPONSE_BYTES,
		.data = malloc(length ? length : 1),
		.call = {.timeout_ns = options->timeout_ns, .done = done},
	};
	if (length >= HEAD_BYTES) {
		c->response_bytes = size_up_to(net, options->response_bytes_max);
		store_be64(c->data, c->id);
		store_be32(c->data + 8, c->response_bytes);
		fill(c->data, c->id, HEAD_BYTES, length);
	} else {
		fill(c->data, 0, 0, length);
	}
	c->call.pieces = c->pieces;
	c->call.piece_count = cut(net, c->pieces, c->data, length);
	link->under_way++;
	int rc = transport_call(link->session, &c->call, net->now_ns);
	if (rc < 0) {
		/* In `done` of a call that ended with its session: `closed` comes next. */
		assert_int_equal(rc, -ERR_CLOSING);
		free(c->data);
		world->begun--;
		link->under_way--;
		return false;
	}
	if (net_chance(net, options->cancel))
		net_at(net, net->now_ns + net_random(net) % (20 * options->faults.delay_ns + 1),
		       cancel, c);
	return true;
}

static void begin_calls(struct link *link)
{
	struct world *world = link->world;

	while (!world->over && link->session && link->under_way < world->options->under_way &&
	       world->begun < world->options->calls && begin_call(link))
		;
}

static void connect_link(void *argument)
{
	struct link *link = argument;

	if (link->session || !link->client->transport || link->world->over)
		return;
	assert_int_equal(transport_connect(link->client->transport, &link->session,
					   &link->server->address, link, link->world->net.now_ns),
			 0);
	/* Calls may be made before the session is open. */
	begin_calls(link);
	net_touched(link->client);
}

static void closed(void *context, struct transport_session *session, enum transport_reason reason)
{
	struct net_node *node = context;
	struct link *link = transport_session_owner(session);
	struct net *net = node->net;

	assert_true(reason != TRANSPORT_REASON_PROTOCOL);
	assert_ptr_equal(link->session, session);
	link->session = NULL;
	if (!link->world->over)
		net_at(net, net->now_ns + RECONNECT_MS * NS_PER_MS, connect_link, link);
}

static void start_client(struct net_node *node)
{
	struct world *world = node->owner;
	struct transport_hooks hooks = net_hooks(node);

	hooks.closed = closed;
	net_start(node, &world->options->config, &hooks);
}

/* ---- faults of machines ---- */

static void keep_statistics(struct world *world, struct net_node *node)
{
	const struct transport_statistics *statistics = transport_statistics(node->transport);

	world->result.sessions_opened += statistics->sessions_opened;
	if (node == &world->net.nodes[0])
		world->result.server = *statistics;
	if (node == &world->net.nodes[world->options->servers])
		world->result.client = *statistics;
}

static void restart_server(void *argument)
{
	struct net_node *node = argument;
	struct world *world = node->owner;

	if (world->over)
		return;
	keep_statistics(world, node);
	net_stop(node);
	start_server(node);
	net_at(&world->net, world->net.now_ns + world->options->restart_server_ns, restart_server,
	       node);
}

static void restart_client(void *argument)
{
	struct net_node *node = argument;
	struct world *world = node->owner;

	if (world->over)
		return;
	keep_statistics(world, node);
	net_stop(node);
	start_client(node);
	net_at(&world->net, world->net.now_ns + world->options->restart_client_ns, restart_client,
	       node);
}

/* ---- a run ---- */

struct world_options world_options_default(uint64_t seed)
{
	struct world_options options = {
		.seed = seed,
		.servers = 1,
		.clients = 1,
		.sessions = 1,
		.calls = 200,
		.under_way = 8,
		.request_bytes_max = 5000,
		.response_bytes_max = 5000,
		.timeout_ns = 60 * NS_PER_SECOND,
		.until_ns = 120 * NS_PER_SECOND,
		.faults = {.delay_ns = 50000},
		.config = transport_config_default(),
	};

	options.config.sessions_max = 64;
	options.config.datagram_bytes = 1472;
	options.config.idle_ms = 10000;
	return options;
}

static void set_up(struct world *world)
{
	const struct world_options *options = world->options;
	unsigned links = options->servers * options->clients * options->sessions;

	net_init(&world->net, options->seed);
	world->net.faults = options->faults;
	world->calls = calloc(options->calls, sizeof(*world->calls));
	world->links = calloc(links, sizeof(*world->links));
	for (unsigned i = 0; i < options->servers + options->clients; i++) {
		struct net_node *node = net_add(&world->net);

		node->owner = world;
		if (i < options->servers)
			start_server(node);
		else
			start_client(node);
		if (i < options->servers && options->restart_server_ns)
			net_at(&world->net, world->net.now_ns + options->restart_server_ns,
			       restart_server, node);
		if (i >= options->servers && options->restart_client_ns)
			net_at(&world->net, world->net.now_ns + options->restart_client_ns,
			       restart_client, node);
	}
	for (unsigned i = 0; i < links; i++) {
		struct link *link = &world->links[world->link_count++];

		link->world = world;
		link->server = &world->net.nodes[i % options->servers];
		link->client = &world->net.nodes[options->servers +
						 i / options->servers % options->clients];
		connect_link(link);
	}
}

static void check_calls(const struct world *world)
{
	for (unsigned i = 0; i < world->begun; i++) {
		const struct world_call *c = &world->calls[i];

		assert_int_equal(c->done, 1);
		if (c->call.length < HEAD_BYTES)
			continue;
		assert_true(c->executed <= 1);
		if (c->rc == 0)
			assert_int_equal(c->executed, 1);
		if (c->rc == -ECANCELED)
			assert_int_equal(c->executed, 0);
	}
}

static void tear_down(struct world *world)
{
	world->over = true;
	for (unsigned i = 0; i < world->net.node_count; i++) {
		struct net_node *node = &world->net.nodes[i];

		keep_statistics(world, node);
		world->result.datagrams += node->sent;
		world->result.datagram_bytes += node->sent_bytes;
		if (node->buffers_peak > world->result.buffers_peak)
			world->result.buffers_peak = node->buffers_peak;
		assert_true(transport_buffer_bytes(node->transport) <=
			    world->options->config.buffer_bytes_max);
	}
	/* Clients vanish; what servers know of them and think about ends with its time. */
	for (unsigned i = world->options->servers; i < world->net.node_count; i++)
		net_stop(&world->net.nodes[i]);
	net_run(&world->net, world->net.now_ns + world->options->think_ns_max +
				     world->options->config.idle_ms * NS_PER_MS * 3 / 2);
	for (unsigned i = 0; i < world->net.node_count; i++) {
		if (i < world->options->servers) {
			assert_int_equal(transport_sessions(world->net.nodes[i].transport), 0);
			assert_int_equal(world->responses, 0);
		}
		net_stop(&world->net.nodes[i]);
		assert_int_equal(world->net.nodes[i].buffers, 0);
	}
	assert_int_equal(world->responses, 0);
	net_fini(&world->net);
	map64_fini(&world->executed);
	free(world->calls);
	free(world->links);
}

struct world_result world_run(const struct world_options *options)
{
	struct world world = {.options = options};

	set_up(&world);
	uint64_t begun_ns = world.net.now_ns;
	while (world.finished < options->calls &&
	       net_step(&world.net, begun_ns + options->until_ns))
		;
	if (world.finished != options->calls)
		print_error("seed %llu: %u of %u calls done\n", (unsigned long long)options->seed,
			    world.finished, options->calls);
	assert_int_equal(world.finished, options->calls);
	check_calls(&world);
	world.result.took_ns -= begun_ns;
	tear_down(&world);
	return world.result;
}
