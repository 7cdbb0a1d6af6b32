/* Two endpoints with an open session, and a script: datagrams made of whatever bytes come next,
 * calls, faults and time, in any order.  Half of the datagrams get a good check and numbers near
 * those that are expected, so that they come past the first lines of defence.
 *
 * Whatever happens, in the end every call is done once, every response is released, every buffer
 * is back, and budgets were kept. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "dataplane/transport/transport_internal.h"
#include "tests/dataplane/transport_net.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 32, DATAGRAM = 512, STEP_US = 200 };

struct script {
	const uint8_t *data;
	size_t left;
};

struct fuzz {
	struct net net;
	struct net_node *server;
	struct net_node *client;
	struct transport_session *session; /* null: closed */
	struct script script;
	struct transport_call calls[CALLS_MAX];
	unsigned done[CALLS_MAX];
	unsigned call_count;
	struct transport_request kept;
	bool keep;
	bool have_kept;
	unsigned responses; /* not released */
};

static uint8_t bytes_of_messages[20000];
static const struct transport_piece whole = {.data = bytes_of_messages,
					     .length = sizeof(bytes_of_messages)};
static struct transport_piece pieces[CALLS_MAX];

static uint8_t next(struct fuzz *f)
{
	if (!f->script.left)
		return 0;
	f->script.left--;
	return *f->script.data++;
}

static void respond(struct fuzz *f, struct transport_request request,
		    const struct transport_piece *piece)
{
	if (transport_respond(f->server->transport, request, piece, 1, f, f->net.now_ns) == 0)
		f->responses++;
}

static void request(void *context, struct transport_session *session,
		    struct transport_request handle, struct transport_message *message)
{
	struct net_node *node = context;
	struct fuzz *f = node->owner;

	(void)session;
	check(message->length <= node->transport->config.message_bytes_max);
	/* Reads all of it. */
	check(packet_sum(0, message->data, message->length) != 0 || message->length < 1000000);
	if (f->keep) {
		f->kept = handle;
		f->have_kept = true;
	} else {
		/* Counted before: it may be released at once. */
		respond(f, handle, message->length & 1 ? &whole : &pieces[0]);
	}
	if (message->buffer)
		transport_give(node->transport, message->buffer, message->buffer_bytes);
}

static void released(void *context, void *owner)
{
	struct net_node *node = context;
	struct fuzz *f = node->owner;

	check(owner == f && f->responses > 0);
	f->responses--;
}

static void closed(void *context, struct transport_session *session, enum transport_reason reason)
{
	struct net_node *node = context;
	struct fuzz *f = node->owner;

	(void)reason;
	if (f->session == session)
		f->session = NULL;
}

static void done(struct transport_call *call, int rc, struct transport_message *response)
{
	size_t index = (size_t)(call - ((struct fuzz *)call->pieces->reference)->calls);
	struct fuzz *f = call->pieces->reference;

	check(!f->done[index]++);
	check((rc == 0) == (response != NULL));
	if (response && response->buffer)
		transport_give(f->client->transport, response->buffer, response->buffer_bytes);
}

static void connect_client(struct fuzz *f)
{
	if (!f->session)
		check(transport_connect(f->client->transport, &f->session, &f->server->address,
					NULL, f->net.now_ns) == 0);
	net_touched(f->client);
}

static void set_up(struct fuzz *f)
{
	struct transport_config config = transport_config_default();
	struct transport_hooks hooks;

	config.sessions_max = 4;
	config.datagram_bytes = DATAGRAM;
	config.message_bytes_max = sizeof(bytes_of_messages);
	config.session_bytes_max = 50000;
	config.buffer_bytes_max = 80000;
	config.slots = 4;
	config.window = 16;
	net_init(&f->net, 1);
	f->server = net_add(&f->net);
	f->client = net_add(&f->net);
	f->server->owner = f;
	f->client->owner = f;
	hooks = net_hooks(f->server);
	hooks.request = request;
	hooks.released = released;
	net_start(f->server, &config, &hooks);
	hooks = net_hooks(f->client);
	hooks.closed = closed;
	net_start(f->client, &config, &hooks);
	connect_client(f);
	net_run(&f->net, f->net.now_ns + NS_PER_MS);
}

/* ---- what the script can do ---- */

static void raw(struct fuzz *f, struct net_node *to, const struct transport_address *from)
{
	uint8_t datagram[DATAGRAM] = {0};
	size_t length = next(f) * 2u;

	for (size_t i = 0; i < length; i++)
		datagram[i] = next(f);
	if (length >= 8 && datagram[4] & 1) {
		if (f->session && datagram[4] & 2)
			store_be64(datagram + 8, f->session->peer_id);
		memset(datagram + PACKET_CHECK_OFFSET, 0, 4);
		packet_seal(datagram, length, NULL, 0);
	}
	net_inject(to, from, datagram, length);
}

/* The session's other end at the node, or null. */
static struct transport_session *end_at(struct fuzz *f, const struct net_node *node)
{
	if (!f->session || f->session->phase != SESSION_OPEN)
		return NULL;
	return node == f->client ? f->session
				 : session_find(f->server->transport, f->session->peer_id);
}

/* Near enough to what is expected to be taken for it. */
static void plausible(struct fuzz *f, struct net_node *to, const struct net_node *from)
{
	struct transport_session *end = end_at(f, to);
	uint8_t datagram[DATAGRAM] = {0};
	uint8_t kind = next(f);
	uint32_t payload = next(f) * 2u;

	if (!end)
		return;
	struct packet packet = {
		.type = kind & 0xc0   ? PACKET_DATA
			: kind & 0x20 ? PACKET_ACK
				      : PACKET_CLOSE,
		.flags = kind & 0xf,
		.session = end->id,
		.window = next(f),
		.number = (uint32_t)end->acks.largest + (uint32_t)(int8_t)next(f),
		.slot = next(f) & 7,
	};
	packet.sequence = end->slots[packet.slot & 3].sequence + (uint32_t)(int8_t)next(f);
	packet.length = next(f) * 97u;
	packet.offset = next(f) % 64 * end->segment_bytes;
	if (packet.flags & PACKET_HAS_ACK) {
		packet.ack_largest = (uint32_t)end->sent.next - 1 - next(f) % 8;
		packet.ack_bitmap = next(f) * UINT64_C(0x0101010101010101);
	}
	size_t length = packet_encode(datagram, &packet);
	if (packet.type == PACKET_DATA)
		length += payload < DATAGRAM - length ? payload : DATAGRAM - length;
	memset(datagram + PACKET_CHECK_OFFSET, 0, 4);
	packet_seal(datagram, length, NULL, 0);
	net_inject(to, &from->address, datagram, length);
}

static void call(struct fuzz *f)
{
	uint32_t length = next(f) * 79u;
	unsigned index = f->call_count;

	if (!f->session || index == CALLS_MAX)
		return;
	pieces[index] = (struct transport_piece){
		.data = bytes_of_messages, .reference = f, .length = length};
	f->calls[index] = (struct transport_call){.pieces = &pieces[index],
						  .piece_count = 1,
						  .timeout_ns = next(f) * NS_PER_MS,
						  .done = done};
	f->call_count++;
	if (transport_call(f->session, &f->calls[index], f->net.now_ns) < 0)
		f->done[index] = 1;
	net_touched(f->client);
}

static void meddle(struct fuzz *f)
{
	uint8_t what = next(f);

	switch (what & 7) {
	case 0:
		f->server->take_fails = what & 8;
		break;
	case 1:
		f->client->take_fails = what & 8;
		break;
	case 2:
		f->server->emit_full = what & 8;
		break;
	case 3:
		f->client->emit_full = what & 8;
		break;
	case 4:
		transport_set_window(f->server->transport, what >> 3);
		break;
	case 5:
		f->net.faults.loss = (what >> 3) * 20000u;
		break;
	case 6:
		if (f->session && f->call_count && !f->done[f->call_count - 1])
			transport_cancel(f->session, &f->calls[f->call_count - 1], f->net.now_ns);
		net_touched(f->client);
		break;
	default:
		if (f->session && what & 8)
			transport_close(f->session, TRANSPORT_REASON_NONE, f->net.now_ns);
		connect_client(f);
	}
}

static void answer(struct fuzz *f)
{
	f->keep = !f->keep;
	if (!f->have_kept)
		return;
	f->have_kept = false;
	respond(f, f->kept, &whole);
	net_touched(f->server);
}

static void step(struct fuzz *f)
{
	static const struct transport_address stranger = {.ip = {1, 2, 3}, .port = 7};

	switch (next(f) & 7) {
	case 0:
		raw(f, f->server, &stranger);
		break;
	case 1:
		raw(f, f->server, &f->client->address);
		break;
	case 2:
		raw(f, f->client, &f->server->address);
		break;
	case 3:
		plausible(f, f->server, f->client);
		break;
	case 4:
		plausible(f, f->client, f->server);
		break;
	case 5:
		call(f);
		break;
	case 6:
		meddle(f);
		break;
	default:
		answer(f);
		net_run(&f->net, f->net.now_ns + next(f) * UINT64_C(1000) * STEP_US);
	}
}

static void check_budgets(const struct net_node *node)
{
	const struct transport *t = node->transport;

	check(transport_buffer_bytes(t) <= t->config.buffer_bytes_max);
	check(transport_sessions(t) <= t->config.sessions_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz *f = calloc(1, sizeof(*f));

	f->script = (struct script){.data = data, .left = size};
	pieces[0] = (struct transport_piece){.data = bytes_of_messages, .reference = f};
	set_up(f);
	while (f->script.left) {
		step(f);
		check_budgets(f->server);
		check_budgets(f->client);
	}
	f->server->emit_full = false;
	f->client->emit_full = false;
	/* Longer than any session lives without being used. */
	net_run(&f->net, f->net.now_ns + 70 * NS_PER_SECOND);
	for (unsigned i = 0; i < f->call_count; i++)
		check(f->done[i] == 1 || f->session);
	net_stop(f->client);
	for (unsigned i = 0; i < f->call_count; i++)
		check(f->done[i] == 1);
	net_stop(f->server);
	check(f->responses == 0);
	check(f->server->buffers == 0 && f->client->buffers == 0);
	net_fini(&f->net);
	free(f);
	return 0;
}
