/* What a small request and its response cost in the datagram transport alone: two endpoints in one
 * thread, joined by memory.
 *
 *   transport_bench [REQUESTS [PAYLOAD_BYTES [UNDER_WAY]]]
 *
 * Prints nanoseconds for both sides together.  For instructions by side and function run it under
 * callgrind with --toggle-collect=measured; "client" is what transport_call and the reception of
 * responses cost, "server" what the reception of requests costs, responding included. */
#include "base/clock.h"
#include "base/check.h"
#include "dataplane/transport/transport.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIRE_DATAGRAMS = 256,
	DATAGRAM_BYTES = 1472,
	UNDER_WAY_MAX = 64,
};

struct wire {
	uint8_t data[WIRE_DATAGRAMS][DATAGRAM_BYTES];
	uint32_t bytes[WIRE_DATAGRAMS];
	uint32_t head;
	uint32_t tail;
};

struct side {
	struct transport *transport;
	struct transport_address address;
	struct wire out;
	uint64_t random;
};

static struct side client;
static struct side server;
static struct transport_session *session;
static uint8_t payload[DATAGRAM_BYTES];
static struct transport_piece piece = {.data = payload};
static struct transport_call calls[UNDER_WAY_MAX];
static uint64_t begun;
static uint64_t answered;
static uint64_t wanted;
static uint64_t now_ns = 1000000000;

static bool wire_emit(void *context, const struct transport_datagram *datagram)
{
	struct side *side = context;
	struct wire *wire = &side->out;

	if (wire->tail - wire->head == WIRE_DATAGRAMS)
		return false;
	uint8_t *to = wire->data[wire->tail % WIRE_DATAGRAMS];
	uint32_t at = datagram->header_bytes;
	memcpy(to, datagram->header, datagram->header_bytes);
	for (uint32_t i = 0; i < datagram->piece_count; i++) {
		memcpy(to + at, datagram->pieces[i].data, datagram->pieces[i].length);
		at += datagram->pieces[i].length;
	}
	wire->bytes[wire->tail++ % WIRE_DATAGRAMS] = at;
	return true;
}

static void next_random(void *context, void *ret, size_t length)
{
	struct side *side = context;

	for (size_t i = 0; i < length; i++) {
		side->random = side->random * UINT64_C(6364136223846793005) + 1442695040888963407;
		((uint8_t *)ret)[i] = (uint8_t)(side->random >> 56);
	}
}

static void *take(void *context, size_t bytes)
{
	(void)context;
	return malloc(bytes);
}

static void give(void *context, void *buffer, size_t bytes)
{
	(void)context;
	(void)bytes;
	free(buffer);
}

static void request(void *context, struct transport_session *from, struct transport_request handle,
		    struct transport_message *message)
{
	struct side *side = context;

	(void)from;
	check(message->length == piece.length);
	check(transport_respond(side->transport, handle, &piece, 1, NULL, now_ns) == 0);
}

static void released(void *context, void *owner)
{
	(void)context;
	(void)owner;
}

static void next_call(struct transport_call *call);

static void done(struct transport_call *call, int rc, struct transport_message *response)
{
	check(rc == 0 && response->length == piece.length);
	answered++;
	if (begun < wanted)
		next_call(call);
}

static void next_call(struct transport_call *call)
{
	*call = (struct transport_call){
		.pieces = &piece, .piece_count = 1, .timeout_ns = NS_PER_SECOND, .done = done};
	begun++;
	check(transport_call(session, call, now_ns) == 0);
}

/* What is on the wire to `side`, as a burst. */
static void receive(struct side *side, struct side *from)
{
	struct wire *wire = &from->out;

	for (uint32_t end = wire->tail; wire->head != end; wire->head++)
		transport_receive(side->transport, wire->data[wire->head % WIRE_DATAGRAMS],
				  wire->bytes[wire->head % WIRE_DATAGRAMS], &from->address, NULL,
				  now_ns);
}

static void turn(void)
{
	now_ns += 2000;
	receive(&server, &client);
	transport_turn(server.transport, now_ns);
	now_ns += 2000;
	receive(&client, &server);
	transport_turn(client.transport, now_ns);
}

__attribute__((noinline)) static void measured(void)
{
	while (answered < wanted)
		turn();
}

static void start(struct side *side, uint8_t number, bool serves)
{
	struct transport_config config = transport_config_default();
	struct transport_hooks hooks = {
		.context = side,
		.emit = wire_emit,
		.random = next_random,
		.take = take,
		.give = give,
		.request = serves ? request : NULL,
		.released = released,
	};

	config.sessions_max = 64;
	config.slots = UNDER_WAY_MAX;
	config.datagram_bytes = DATAGRAM_BYTES;
	side->random = number;
	side->address.ip[15] = number;
	check(transport_new(&side->transport, &config, &hooks, now_ns) == 0);
}

static void run(uint64_t requests, unsigned under_way)
{
	wanted = requests;
	begun = 0;
	answered = 0;
	for (unsigned i = 0; i < under_way; i++)
		next_call(&calls[i]);
	measured();
}

int main(int argc, char **argv)
{
	uint64_t requests = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000;
	unsigned long bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 32;
	unsigned long under_way = argc > 3 ? strtoul(argv[3], NULL, 10) : 16;

	if (!requests || bytes > 1024 || !under_way || under_way > UNDER_WAY_MAX) {
		fprintf(stderr,
			"transport_bench [REQUESTS [PAYLOAD_BYTES<=1024 [UNDER_WAY<=64]]]\n");
		return 2;
	}
	piece.length = (uint32_t)bytes;
	start(&client, 1, false);
	start(&server, 2, true);
	check(transport_connect(client.transport, &session, &server.address, NULL, now_ns) == 0);
	for (unsigned i = 0; i < 4; i++)
		turn();
	run(under_way, (unsigned)under_way);

	uint64_t begin_ns = clock_monotonic_ns(clock_system());
	run(requests, (unsigned)under_way);
	uint64_t took_ns = clock_monotonic_ns(clock_system()) - begin_ns;

	const struct transport_statistics *c = transport_statistics(client.transport);
	const struct transport_statistics *s = transport_statistics(server.transport);
	printf("requests %" PRIu64 "  payload %lu B  under way %lu\n", requests, bytes, under_way);
	printf("both sides and the wire: %.1f ns a request, %.2f M requests/s\n",
	       (double)took_ns / (double)requests, (double)requests * 1e3 / (double)took_ns);
	printf("datagrams a request: client %.3f, server %.3f\n",
	       (double)c->datagrams_sent / (double)requests,
	       (double)s->datagrams_sent / (double)requests);
	transport_free(client.transport);
	transport_free(server.transport);
	return 0;
}
