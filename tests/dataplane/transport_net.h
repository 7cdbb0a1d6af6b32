/* tests/dataplane/transport_net.h: endpoints of the datagram transport on a network in virtual
 * time.
 *
 * Everything follows from the seed: delays, losses, ids, secrets.  A datagram that is delivered
 * lies in a heap block of exactly its length, so that a sanitizer sees a read past its end. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/transport/transport.h"

enum { NET_NODES_MAX = 16 };

/* What happens on the way; chances are of a million. */
struct net_faults {
	uint32_t loss;
	uint32_t duplicate;
	uint32_t reorder; /* waits ten times longer */
	uint32_t flip;    /* one bit, anywhere */
	uint64_t delay_ns;
	uint64_t jitter_ns;
	uint32_t mtu; /* larger datagrams vanish; 0: none do */
};

struct net;

struct net_node {
	struct net *net;
	struct transport *transport; /* null: the machine is off */
	struct transport_address address;
	uint64_t turn_ns;
	void *owner;
	/* What the port does. */
	bool emit_full;
	uint64_t sent;
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint32_t buffers; /* taken and not given back */
	uint32_t buffers_peak;
	bool take_fails;
	/* If set, sees each datagram before the network does; true: it goes no further. */
	bool (*tap)(struct net_node *node, const struct transport_address *to, const uint8_t *data,
		    size_t length);
};

struct net_event;

struct net {
	uint64_t random;
	uint64_t now_ns;
	struct net_faults faults;
	struct net_node nodes[NET_NODES_MAX];
	unsigned node_count;
	struct net_event **heap;
	size_t event_count;
	size_t event_capacity;
	uint64_t order;
	uint64_t delivered;
	uint64_t lost;
};

void net_init(struct net *net, uint64_t seed);
void net_fini(struct net *net); /* endpoints too */
uint64_t net_random(struct net *net);
/* Of a million. */
bool net_chance(struct net *net, uint32_t chance);

/* The address is 10.0.0.<number + 1>, port 9000. */
struct net_node *net_add(struct net *net);
/* The hooks of the network; the caller adds `request` and what else it wants, and leaves the
 * context (the node) alone. */
struct transport_hooks net_hooks(struct net_node *node);
void net_start(struct net_node *node, const struct transport_config *config,
	       const struct transport_hooks *hooks);
/* The machine loses its memory; what is under way to it is lost. */
void net_stop(struct net_node *node);

/* After any call into an endpoint from outside of net_step. */
void net_touched(struct net_node *node);
/* A datagram out of nowhere, delivered at once. */
void net_inject(struct net_node *to, const struct transport_address *from, const void *data,
		size_t length);
/* Calls `run(argument)` at a time. */
void net_at(struct net *net, uint64_t at_ns, void (*run)(void *argument), void *argument);
/* The next thing that happens, no later than `until_ns`; false: nothing does. */
bool net_step(struct net *net, uint64_t until_ns);
void net_run(struct net *net, uint64_t until_ns);
