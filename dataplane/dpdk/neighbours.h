/* dataplane/dpdk/neighbours.h: how the peers of one queue are reached: IP address to MAC and tags.
 *
 * A server learns it from the datagrams that it answers; a client, whose word comes first, asks by
 * ARP or ND where no kernel stands behind the port to do so.  The table is sized at start: sets of
 * NEIGHBOURS_WAYS entries, the one that was silent longest makes room, so a flood of made-up
 * addresses costs no memory, and an evicted peer is back with its next datagram.
 *
 * Owner: one queue; one thread.  Frames are built and parsed here, sent and received elsewhere. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dpdk/packet.h"

enum {
	NEIGHBOURS_WAYS = 4,
	NEIGHBOUR_FRAME_BYTES = 128, /* room that the builders need */
};

struct neighbour {
	uint8_t ip[PACKET_IP_BYTES];
	uint8_t next_hop[PACKET_IP_BYTES]; /* whom we asked: the peer or its gateway */
	uint16_t local;                    /* which of our addresses talks to it */
	bool used;
	bool known; /* `path` is filled in */
	uint64_t heard_ns;
	uint64_t asked_ns;
	struct packet_link link;
	struct packet_path path;
};

struct neighbours; /* opaque */

/* `count` entries, a power of two from NEIGHBOURS_WAYS on; `seed` is unpredictable.  Addresses are
 * those of the filter, which the table keeps a pointer to.  -ENOMEM. */
int neighbours_new(struct neighbours **ret, unsigned count, uint64_t seed,
		   const struct packet_filter *filter, uint16_t local_port);
void neighbours_free(struct neighbours *neighbours); /* null is fine */

/* A datagram from `ip` came this way: answers go back this way.  True: it came another way than
 * the last one from there. */
bool neighbours_heard(struct neighbours *neighbours, const uint8_t *ip, uint16_t local,
		      const struct packet_link *link, uint64_t now_ns);
/* Null: never heard of, or forgotten.  Valid until the next call that may add one. */
struct neighbour *neighbours_find(struct neighbours *neighbours, const uint8_t *ip, uint16_t local);
/* Makes room for one that we are going to ask `next_hop` for. */
struct neighbour *neighbours_want(struct neighbours *neighbours, const uint8_t *ip, uint16_t local,
				  const uint8_t *next_hop, uint64_t now_ns);
/* `next_hop` said where it is: all that wait for it, or use it, do now.  Returns how many. */
unsigned neighbours_answered(struct neighbours *neighbours, const uint8_t *next_hop,
			     const struct packet_link *link, uint64_t now_ns);

/* ---- ARP (RFC 826) and neighbour discovery (RFC 4861) ---- */

enum neighbour_kind {
	NEIGHBOUR_NONE, /* nothing of this, or malformed */
	NEIGHBOUR_QUESTION,
	NEIGHBOUR_ANSWER,
};

struct neighbour_message {
	enum neighbour_kind kind;
	struct packet_link link;         /* of the sender */
	uint8_t from[PACKET_IP_BYTES];   /* of a question: who asks (:: in duplicate detection) */
	uint8_t target[PACKET_IP_BYTES]; /* who is asked for, or has answered */
	uint16_t local;                  /* of a question: which of our addresses it is for */
};

/* A question that is not for one of our addresses is NEIGHBOUR_NONE.  Contiguous bytes. */
void neighbour_parse(const struct packet_filter *filter, const uint8_t *frame, uint32_t length,
		     struct neighbour_message *ret);
/* Both return the frame's length. */
uint32_t neighbour_build_question(const struct packet_filter *filter, uint16_t local,
				  const uint8_t *target, uint8_t *frame);
uint32_t neighbour_build_answer(const struct packet_filter *filter,
				const struct neighbour_message *question, uint8_t *frame);
