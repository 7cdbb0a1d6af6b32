#include "tests/dataplane/transport_net.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum {
	REORDER_TIMES = 10,
	PORT_FULL_NS = 50000,
};

struct net_event {
	uint64_t at_ns;
	uint64_t order; /* what was scheduled first comes first */
	void (*run)(void *argument);
	void *argument;
	/* Or a datagram. */
	struct net_node *to;
	struct transport_address from;
	uint8_t *data;
	size_t length;
};

void net_init(struct net *net, uint64_t seed)
{
	*net = (struct net){.random = seed, .now_ns = 1000000000};
	net->faults.delay_ns = 50000;
}

void net_fini(struct net *net)
{
	for (unsigned i = 0; i < net->node_count; i++)
		net_stop(&net->nodes[i]);
	for (size_t i = 0; i < net->event_count; i++) {
		free(net->heap[i]->data);
		free(net->heap[i]);
	}
	free(net->heap);
	*net = (struct net){0};
}

/* splitmix64 */
uint64_t net_random(struct net *net)
{
	uint64_t x = net->random += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

bool net_chance(struct net *net, uint32_t chance)
{
	return chance && net_random(net) % 1000000 < chance;
}

/* ---- events ---- */

static bool before(const struct net_event *a, const struct net_event *b)
{
	return a->at_ns < b->at_ns || (a->at_ns == b->at_ns && a->order < b->order);
}

static void push(struct net *net, struct net_event *event)
{
	if (net->event_count == net->event_capacity) {
		net->event_capacity = net->event_capacity ? net->event_capacity * 2 : 256;
		net->heap = realloc(net->heap, net->event_capacity * sizeof(struct net_event *));
		check(net->heap);
	}
	size_t at = net->event_count++;

	event->order = net->order++;
	while (at && before(event, net->heap[(at - 1) / 2])) {
		net->heap[at] = net->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	net->heap[at] = event;
}

static struct net_event *pop(struct net *net)
{
	struct net_event *first = net->heap[0];
	struct net_event *last = net->heap[--net->event_count];
	size_t at = 0;

	for (;;) {
		size_t child = at * 2 + 1;

		if (child >= net->event_count)
			break;
		if (child + 1 < net->event_count && before(net->heap[child + 1], net->heap[child]))
			child++;
		if (!before(net->heap[child], last))
			break;
		net->heap[at] = net->heap[child];
		at = child;
	}
	if (net->event_count)
		net->heap[at] = last;
	return first;
}

void net_at(struct net *net, uint64_t at_ns, void (*run)(void *argument), void *argument)
{
	struct net_event *event = calloc(1, sizeof(*event));

	event->at_ns = at_ns > net->now_ns ? at_ns : net->now_ns;
	event->run = run;
	event->argument = argument;
	push(net, event);
}

/* ---- the port of a node ---- */

static struct net_node *node_at(struct net *net, const struct transport_address *address)
{
	for (unsigned i = 0; i < net->node_count; i++) {
		if (memcmp(net->nodes[i].address.ip, address->ip, 16) == 0 &&
		    net->nodes[i].address.port == address->port)
			return &net->nodes[i];
	}
	return NULL;
}

static uint8_t *flat(const struct transport_datagram *datagram)
{
	uint8_t *data = malloc(datagram->bytes);
	uint32_t at = datagram->header_bytes;

	memcpy(data, datagram->header, datagram->header_bytes);
	for (uint32_t i = 0; i < datagram->piece_count; i++) {
		memcpy(data + at, datagram->pieces[i].data, datagram->pieces[i].length);
		at += datagram->pieces[i].length;
	}
	check(at == datagram->bytes);
	return data;
}

static void carry(struct net *net, const struct net_node *from, struct net_node *to,
		  const uint8_t *data, size_t length)
{
	const struct net_faults *faults = &net->faults;

	if (!to || net_chance(net, faults->loss) || (faults->mtu && length > faults->mtu)) {
		net->lost++;
		return;
	}
	struct net_event *event = calloc(1, sizeof(*event));
	uint64_t delay_ns = faults->delay_ns;

	if (faults->jitter_ns)
		delay_ns += net_random(net) % faults->jitter_ns;
	if (net_chance(net, faults->reorder))
		delay_ns *= REORDER_TIMES;
	event->at_ns = net->now_ns + delay_ns;
	event->to = to;
	event->from = from->address;
	event->data = malloc(length);
	event->length = length;
	memcpy(event->data, data, length);
	if (net_chance(net, faults->flip))
		event->data[net_random(net) % length] ^= (uint8_t)(1u << net_random(net) % 8);
	push(net, event);
}

static bool net_emit(void *context, const struct transport_datagram *datagram)
{
	struct net_node *node = context;
	struct net *net = node->net;

	if (node->emit_full)
		return false;
	uint8_t *data = flat(datagram);
	struct net_node *to = node_at(net, datagram->to);

	node->sent++;
	node->sent_bytes += datagram->bytes;
	if (!node->tap || !node->tap(node, datagram->to, data, datagram->bytes)) {
		carry(net, node, to, data, datagram->bytes);
		if (net_chance(net, net->faults.duplicate))
			carry(net, node, to, data, datagram->bytes);
	}
	free(data);
	return true;
}

static void net_random_bytes(void *context, void *ret, size_t length)
{
	struct net_node *node = context;
	uint8_t *bytes = ret;

	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)net_random(node->net);
}

static void *net_take(void *context, size_t bytes)
{
	struct net_node *node = context;

	if (node->take_fails)
		return NULL;
	if (++node->buffers > node->buffers_peak)
		node->buffers_peak = node->buffers;
	return malloc(bytes);
}

static void net_give(void *context, void *buffer, size_t bytes)
{
	struct net_node *node = context;

	check(node->buffers > 0);
	node->buffers--;
	/* Whoever still reads it shall see rubbish. */
	memset(buffer, 0xa5, bytes);
	free(buffer);
}

struct transport_hooks net_hooks(struct net_node *node)
{
	return (struct transport_hooks){
		.context = node,
		.emit = net_emit,
		.random = net_random_bytes,
		.take = net_take,
		.give = net_give,
	};
}

/* ---- nodes ---- */

struct net_node *net_add(struct net *net)
{
	check(net->node_count < NET_NODES_MAX);
	struct net_node *node = &net->nodes[net->node_count++];

	*node = (struct net_node){
		.net = net,
		.turn_ns = UINT64_MAX,
		.address = {.ip = {[10] = 255, [11] = 255, [12] = 10}, .port = 9000},
	};
	node->address.ip[15] = (uint8_t)net->node_count;
	return node;
}

void net_start(struct net_node *node, const struct transport_config *config,
	       const struct transport_hooks *hooks)
{
	check(!node->transport);
	check(transport_new(&node->transport, config, hooks, node->net->now_ns) == 0);
	net_touched(node);
}

void net_stop(struct net_node *node)
{
	struct net *net = node->net;

	transport_free(node->transport);
	node->transport = NULL;
	node->turn_ns = UINT64_MAX;
	for (size_t i = 0; net && i < net->event_count; i++) {
		if (net->heap[i]->to == node)
			net->heap[i]->to = NULL;
	}
}

void net_touched(struct net_node *node)
{
	if (node->transport)
		node->turn_ns = transport_turn(node->transport, node->net->now_ns);
}

static void deliver(struct net_node *node, const struct transport_address *from,
		    const uint8_t *data, size_t length)
{
	uint64_t now_ns = node->net->now_ns;

	if (!node->transport)
		return;
	node->received_bytes += length;
	transport_receive(node->transport, data, length, from, NULL, now_ns);
	if (node->transport)
		node->turn_ns = transport_turn(node->transport, now_ns);
}

void net_inject(struct net_node *to, const struct transport_address *from, const void *data,
		size_t length)
{
	uint8_t *copy = malloc(length ? length : 1);

	memcpy(copy, data, length);
	deliver(to, from, copy, length);
	free(copy);
}

/* ---- time ---- */

static struct net_node *next_node(struct net *net)
{
	struct net_node *next = &net->nodes[0];

	for (unsigned i = 1; i < net->node_count; i++) {
		if (net->nodes[i].turn_ns < next->turn_ns)
			next = &net->nodes[i];
	}
	return next;
}

bool net_step(struct net *net, uint64_t until_ns)
{
	struct net_node *node = next_node(net);
	uint64_t event_ns = net->event_count ? net->heap[0]->at_ns : UINT64_MAX;
	uint64_t at_ns = node->turn_ns < event_ns ? node->turn_ns : event_ns;

	if (at_ns > until_ns || at_ns == UINT64_MAX) {
		if (until_ns > net->now_ns)
			net->now_ns = until_ns;
		return false;
	}
	if (at_ns > net->now_ns)
		net->now_ns = at_ns;
	if (node->turn_ns < event_ns) {
		/* A port that is full is asked again a little later, as a loop would. */
		node->turn_ns = transport_turn(node->transport, net->now_ns);
		if (node->turn_ns <= net->now_ns)
			node->turn_ns = net->now_ns + PORT_FULL_NS;
		return true;
	}
	struct net_event *event = pop(net);
	if (event->run) {
		event->run(event->argument);
	} else if (event->to) {
		net->delivered++;
		deliver(event->to, &event->from, event->data, event->length);
	}
	free(event->data);
	free(event);
	return true;
}

void net_run(struct net *net, uint64_t until_ns)
{
	while (net_step(net, until_ns))
		;
}
