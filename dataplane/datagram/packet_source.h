/* dataplane/datagram/packet_source.h: where a shard's datagrams come from and where they leave.
 *
 * A kernel UDP socket (udp_socket.h), a queue of a DPDK port (port_source.h) and a test's own
 * supply the same calls; the server above does not know which it has.  Owner: one shard; in a turn
 * of its loop it receives, works, sends, and calls `turn` once. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/transport/transport.h"

struct packet_source;

/* A datagram that came in; `data` is valid until `release(packet)`, which is owed for each. */
struct packet_view {
	const uint8_t *data;
	uint32_t length;
	struct transport_address from;
	void *packet;
};

/* Who is told that what a piece's reference names is (not) in use by the source. */
struct packet_source_hooks {
	void (*hold)(void *context, void *reference);
	void (*release)(void *context, void *reference);
	void *context;
};

struct packet_source_ops {
	const char *name; /* "udp", "port" */
	unsigned (*receive)(struct packet_source *source, struct packet_view *ret, unsigned max,
			    uint64_t now_ns);
	void (*release)(struct packet_source *source, void *packet);
	/* False: full; offer it again after `turn`. */
	bool (*send)(struct packet_source *source, const struct transport_datagram *datagram,
		     uint64_t now_ns);
	/* What was collected leaves.  Returns how much was done. */
	unsigned (*turn)(struct packet_source *source, uint64_t now_ns);
	/* Before the shard sleeps: from now on an arrival ends a sleep in io_turn.  Returns how
	 * long it may sleep at most; 0: something is there already.  `woken` follows. */
	uint64_t (*sleep)(struct packet_source *source);
	void (*woken)(struct packet_source *source);
	/* Packets that may be kept for long at a time without hurting reception. */
	unsigned keep_max;
	/* Begins the end; true when nothing is in flight any more and it may be freed. */
	bool (*stop)(struct packet_source *source);
	void (*free)(struct packet_source *source);
};

struct packet_source {
	const struct packet_source_ops *ops;
	struct packet_source_hooks hooks; /* set by the server before the first receive */
	unsigned receive_max;             /* packets that can wait to be received; 0: not known */
};
