#include "tests/dataplane/transport_pair.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { ZEROS_BYTES = 1 << 20 };

static const uint8_t zeros[ZEROS_BYTES];

/* What an answer at once points to until it is released. */
struct echo {
	struct pair *pair;
	struct transport_piece piece;
	uint8_t data[];
};

static void request(void *context, struct transport_session *session,
		    struct transport_request handle, struct transport_message *message)
{
	struct net_node *node = context;
	struct pair *pair = node->owner;

	pair->accepted = session;
	if (pair->request_count < PAIR_REQUESTS_MAX)
		pair->requests[pair->request_count] = (struct pair_request){
			.handle = handle,
			.length = message->length,
			.first = message->length ? message->data[0] : 0,
		};
	pair->request_count++;
	if (!pair->keep) {
		struct echo *echo = malloc(sizeof(*echo) + message->length);

		echo->pair = pair;
		echo->piece = (struct transport_piece){.data = echo->data,
						       .length = message->length};
		memcpy(echo->data, message->data, message->length);
		if (transport_respond(node->transport, handle, &echo->piece, 1, echo,
				      node->net->now_ns) < 0)
			free(echo);
	}
	if (message->buffer)
		transport_give(node->transport, message->buffer, message->buffer_bytes);
}

static void released(void *context, void *owner)
{
	struct net_node *node = context;
	struct pair *pair = node->owner;

	pair->released++;
	pair->released_owner = owner;
	if (owner != pair)
		free(owner);
}

static void server_opened(void *context, struct transport_session *session)
{
	struct net_node *node = context;
	struct pair *pair = node->owner;

	pair->accepted = session;
}

static void server_closed(void *context, struct transport_session *session,
			  enum transport_reason reason)
{
	struct net_node *node = context;
	struct pair *pair = node->owner;

	(void)session;
	pair->accepted = NULL;
	pair->server_closed++;
	pair->server_reason = reason;
}

static void opened(void *context, struct transport_session *session)
{
	struct net_node *node = context;
	struct pair *pair = node->owner;

	(void)session;
	pair->opened = true;
}

static void closed(void *context, struct transport_session *session, enum transport_reason reason)
{
	struct net_node *node = context;
	struct pair *pair = node->owner;

	if (pair->session == session)
		pair->session = NULL;
	pair->closed++;
	pair->reason = reason;
}

struct transport_config pair_config(void)
{
	struct transport_config config = transport_config_default();

	config.sessions_max = 8;
	config.datagram_bytes = 1472;
	return config;
}

struct pair *pair_new(const struct transport_config *server, const struct transport_config *client)
{
	struct pair *pair = calloc(1, sizeof(*pair));
	struct transport_hooks hooks;

	net_init(&pair->net, 42);
	pair->server = net_add(&pair->net);
	pair->client = net_add(&pair->net);
	pair->server->owner = pair;
	pair->client->owner = pair;
	hooks = net_hooks(pair->server);
	hooks.request = request;
	hooks.released = released;
	hooks.opened = server_opened;
	hooks.closed = server_closed;
	net_start(pair->server, server, &hooks);
	hooks = net_hooks(pair->client);
	hooks.opened = opened;
	hooks.closed = closed;
	net_start(pair->client, client, &hooks);
	return pair;
}

void pair_free(struct pair *pair)
{
	net_stop(pair->client);
	net_stop(pair->server);
	assert_int_equal(pair->client->buffers, 0);
	assert_int_equal(pair->server->buffers, 0);
	net_fini(&pair->net);
	free(pair);
}

void pair_connect(struct pair *pair)
{
	pair->opened = false;
	assert_int_equal(transport_connect(pair->client->transport, &pair->session,
					   &pair->server->address, NULL, pair->net.now_ns),
			 0);
	net_touched(pair->client);
}

struct pair *pair_open(void)
{
	struct transport_config config = pair_config();
	struct pair *pair = pair_new(&config, &config);

	pair_connect(pair);
	pair_run_ms(pair, 1);
	assert_true(pair->opened);
	return pair;
}

static void done(struct transport_call *call, int rc, struct transport_message *response)
{
	struct pair_call *c = container_of(call, struct pair_call, call);

	assert_int_equal(c->done++, 0);
	c->rc = rc;
	if (!response)
		return;
	c->length = response->length;
	c->response = malloc(response->length ? response->length : 1);
	memcpy(c->response, response->data, response->length);
	if (response->buffer)
		transport_give(c->pair->client->transport, response->buffer,
			       response->buffer_bytes);
}

struct pair_call *pair_call_new(struct pair *pair, uint8_t fill, uint32_t bytes,
				uint64_t timeout_ns)
{
	struct pair_call *c = calloc(1, sizeof(*c));
	uint8_t *data = malloc(bytes ? bytes : 1);

	memset(data, fill, bytes);
	c->pair = pair;
	c->piece = (struct transport_piece){.data = data, .length = bytes};
	c->call = (struct transport_call){
		.pieces = &c->piece, .piece_count = 1, .timeout_ns = timeout_ns, .done = done};
	return c;
}

int pair_call_begin(struct pair_call *c)
{
	int rc = transport_call(c->pair->session, &c->call, c->pair->net.now_ns);

	net_touched(c->pair->client);
	return rc;
}

void pair_call_free(struct pair_call *c)
{
	union {
		const void *in;
		void *out;
	} data = {.in = c->piece.data};

	free(data.out);
	free(c->response);
	free(c);
}

void pair_echo(struct pair *pair, uint8_t fill, uint32_t bytes)
{
	struct pair_call *c = pair_call_new(pair, fill, bytes, 10 * NS_PER_SECOND);

	assert_int_equal(pair_call_begin(c), 0);
	for (unsigned ms = 0; ms < 10000 && !c->done; ms++)
		pair_run_ms(pair, 1);
	assert_int_equal(c->done, 1);
	assert_int_equal(c->rc, 0);
	assert_int_equal(c->length, bytes);
	assert_memory_equal(c->response, c->piece.data, bytes);
	pair_call_free(c);
}

int pair_respond(struct pair *pair, unsigned index, uint32_t bytes)
{
	static struct transport_piece piece;

	piece = (struct transport_piece){.data = zeros, .length = bytes};
	int rc = transport_respond(pair->server->transport, pair->requests[index].handle, &piece, 1,
				   pair, pair->net.now_ns);
	net_touched(pair->server);
	return rc;
}

void pair_run_ms(struct pair *pair, uint64_t ms)
{
	net_run(&pair->net, pair->net.now_ns + ms * NS_PER_MS);
}
