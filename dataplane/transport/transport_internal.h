/* dataplane/transport/transport_internal.h: the endpoint's inside, shared by its files.
 *
 *   transport.c   set-up, datagrams in, time
 *   handshake.c   HELLO, COOKIE, OPEN, OPENED, REFUSE
 *   session.c     the table of sessions, their timers, their end
 *   calls.c       a client's slots
 *   requests.c    a server's slots
 *   recovery.c    acknowledgements in, losses, probes
 *   send.c        everything that leaves
 */
#pragma once
#include "base/list.h"
#include "base/map64.h"
#include "base/timers.h"
#include "dataplane/transport/acks.h"
#include "dataplane/transport/congestion.h"
#include "dataplane/transport/cookie.h"
#include "dataplane/transport/inbound.h"
#include "dataplane/transport/packet.h"
#include "dataplane/transport/rtt.h"
#include "dataplane/transport/sent.h"
#include "dataplane/transport/transport.h"

/* A message on its way out.  A segment is in exactly one place: not sent yet (>= segment_next), in
 * the ring of sent packets, in the session's queue of lost segments, or acknowledged. */
struct outbound {
	const struct transport_piece *pieces;
	void *owner;
	uint32_t length;
	uint32_t sequence;
	uint32_t segment_count;
	uint32_t segment_next;
	uint32_t segments_unacked; /* 0: nothing under way */
	uint32_t cursor_offset;    /* of the message, where cursor_piece begins */
	uint16_t cursor_piece;
	uint16_t piece_count;
	bool abort;
	bool referenced; /* `released` is owed */
};

enum slot_phase {
	SLOT_IDLE,
	/* Server. */
	SLOT_RECEIVING,
	SLOT_EXECUTING,
	SLOT_RESPONDING, /* until every segment is acknowledged: then idle */
	/* Client. */
	SLOT_WAITING,
	SLOT_ABANDONED, /* the caller has gone; waits for the server to let go */
};

struct slot {
	struct outbound out;
	struct inbound in;
	struct transport_call *call; /* while waiting */
	uint64_t touched_ns;         /* when a partial request last grew */
	uint64_t reserved_bytes; /* of the server's buffers, for a request of several segments */
	uint32_t sequence;       /* of the newest request */
	uint8_t phase;
};

struct lost_segment {
	uint32_t sequence;
	uint32_t segment;
	uint16_t slot;
};

enum session_phase {
	SESSION_FREE,
	SESSION_HELLO,   /* client: HELLO sent */
	SESSION_OPENING, /* client: OPEN sent */
	SESSION_OPEN,
	SESSION_CLOSED, /* until the outermost call into the endpoint ends */
};

struct transport_session {
	/* Touched by each packet. */
	struct transport *transport;
	uint64_t id;
	uint64_t peer_id;
	uint8_t phase;
	bool server;
	bool probing; /* the peer's window is 0 and something waits for it */
	uint16_t slot_count;
	uint16_t peer_window;
	uint32_t segment_bytes;
	struct transport_address address;
	struct acks acks;
	struct list ack_link; /* in transport->acks_due */
	uint64_t ack_due_ns;
	uint64_t received_ns; /* when a good packet last came */
	struct sent sent;
	uint64_t ready;         /* slots with segments never sent */
	uint8_t ready_after;    /* round robin: begin behind this slot */
	uint8_t backoff;        /* probes since something was acknowledged */
	uint8_t window_backoff; /* probes since the peer's window was last open */
	struct congestion congestion;
	struct pacer pacer;
	struct rtt rtt;
	uint64_t sampled_ns; /* when the estimator last learned */
	struct timer timer;
	struct slot *slots;
	uint64_t slots_free; /* client */
	struct lost_segment *lost;
	uint32_t lost_first;
	uint32_t lost_count;

	/* Less often. */
	uint64_t pace_due_ns;   /* 0: not held back */
	uint64_t probe_from_ns; /* when the window of 0 was met */
	uint64_t calls_due_ns;  /* lower bound of the calls' and partial messages' ends */
	struct list waiting;    /* calls without a slot */
	struct list blocked_link;
	struct list table_link; /* in transport->free or ->closed */
	void *owner;
	uint64_t peer_ack_delay_ns;
	uint64_t buffer_bytes;
	uint32_t peer_message_bytes_max;
	uint32_t peer_buffer_bytes; /* client: for requests of several segments together */
	uint64_t reserved_bytes;    /* of that, by the slots */
	uint32_t idle_ms;
	uint16_t datagram_bytes;
	uint16_t shard;
	enum transport_reason reason;

	/* Handshake of a client. */
	struct packet_cookie cookie;
	uint64_t begun_ns;
	uint64_t try_ns; /* when the last datagram of it left */
	uint64_t cookie_until_ns;
	uint32_t tries;     /* in this phase */
	uint8_t size_index; /* datagram sizes to try, largest first */
	bool cookie_again;  /* a second cookie was used in this try */
	bool exchanged;     /* server: DATA has come, the terms stand */
};

struct transport {
	struct transport_config config;
	struct transport_hooks hooks;
	struct transport_statistics statistics;
	uint64_t now_ns;
	unsigned depth; /* of calls into the endpoint */
	struct timers timers;
	struct list acks_due; /* sessions, soonest first */
	struct list blocked;  /* sessions whose datagram the port refused */
	uint16_t window;
	uint16_t lost_mask;
	uint64_t buffer_bytes;

	struct transport_session *sessions;
	struct slot *slots;
	struct sent_packet *rings;
	struct lost_segment *losts;
	uint32_t ring_capacity;
	uint32_t index_bits;
	uint64_t index_mask;
	uint32_t session_count;
	uint32_t session_used; /* those from here on were never taken */
	struct list free;
	struct list closed;
	struct map64 by_peer; /* peer's id of a session -> session */

	struct cookie_jar jar;
	uint64_t secret_ns;
	uint64_t reset_tokens_ns; /* time in which no RESET was sent, up to a second */
	uint64_t reset_filled_ns;
};

#define count_of(transport, name, n)                                                               \
	__atomic_store_n(&(transport)->statistics.name,                                            \
			 (transport)->statistics.name + (uint64_t)(n), __ATOMIC_RELAXED)

static inline bool address_equal(const struct transport_address *a,
				 const struct transport_address *b)
{
	uint64_t words[4];

	memcpy(words, a->ip, 16);
	memcpy(words + 2, b->ip, 16);
	return words[0] == words[2] && words[1] == words[3] && a->port == b->port;
}

/* Every public function that may run hooks goes through these: a session closed inside stays in
 * place until the outermost leaves. */
static inline void transport_enter(struct transport *transport, uint64_t now_ns)
{
	transport->depth++;
	if (now_ns > transport->now_ns)
		transport->now_ns = now_ns;
}

void session_reap(struct transport *transport);

static inline void transport_leave(struct transport *transport)
{
	if (!--transport->depth && !list_empty(&transport->closed))
		session_reap(transport);
}

/* session.c */
static inline struct transport_session *session_find(struct transport *transport, uint64_t id)
{
	uint64_t index = id & transport->index_mask;

	if (index >= transport->session_used)
		return NULL;
	struct transport_session *session = &transport->sessions[index];
	/* A free or closed one has the id 0. */
	return id && session->id == id ? session : NULL;
}

int sessions_init(struct transport *transport);
void sessions_fini(struct transport *transport);
/* Null: the table is full. */
struct transport_session *session_take(struct transport *transport,
				       const struct transport_address *address);
/* The terms are agreed: open, with empty slots and a ring. */
void session_begin(struct transport_session *session, uint64_t peer_id, uint16_t slots);
void session_set_datagram(struct transport_session *session, uint16_t datagram_bytes);
void session_end(struct transport_session *session, enum transport_reason reason);
/* A rule was broken: tells the peer and ends the session. */
void session_violated(struct transport_session *session);
void session_wake(struct transport_session *session, uint64_t due_ns);

static inline void session_arm(struct transport_session *session, uint64_t due_ns)
{
	/* Most of the time the timer is early already; then it looks again when it fires. */
	if (!session->timer.place || due_ns < session->timer.due_ns)
		session_wake(session, due_ns);
}

/* A timer that is long overdue when datagrams come: nobody has called for that time, and they have
 * waited for it.  When they came says nothing of the path. */
static inline bool session_was_away(const struct transport_session *session)
{
	const uint64_t overdue_ns = 10000000;

	return session->timer.place &&
	       session->transport->now_ns > session->timer.due_ns + overdue_ns;
}

/* Buffers within the budgets; null when there is none. */
void *session_take_buffer(struct transport_session *session, size_t bytes);
/* Of a message that is given up. */
void session_drop_inbound(struct transport_session *session, struct inbound *inbound);
/* It belongs to the owner now. */
void session_hand_over(struct transport_session *session, struct inbound *inbound,
		       struct transport_message *ret);

/* handshake.c */
void handshake_receive(struct transport *transport, const struct packet_prefix *prefix,
		       const uint8_t *data, size_t length, const struct transport_address *from);
void handshake_send(struct transport_session *session);
void handshake_timer(struct transport_session *session);
uint64_t handshake_due_ns(const struct transport_session *session);

/* calls.c, requests.c: a DATA packet whose number is new.  False: not to be acknowledged. */
bool calls_receive(struct transport_session *session, const struct packet *packet, void *datagram);
bool requests_receive(struct transport_session *session, const struct packet *packet,
		      void *datagram);
void calls_dispatch(struct transport_session *session);
void calls_fail_all(struct transport_session *session, int rc);
/* Ends what is due and returns when the next is. */
uint64_t calls_expire(struct transport_session *session);
uint64_t requests_expire(struct transport_session *session);

/* recovery.c */
/* `number`: of the largest, as sent_widen says. */
void recovery_acknowledged(struct transport_session *session, const struct packet *packet,
			   uint64_t number);
void recovery_timer(struct transport_session *session);
uint64_t recovery_due_ns(const struct transport_session *session);

/* send.c */
/* `length` is the pieces'; `sequence`, `owner` and `referenced` are the caller's to set. */
static inline void outbound_begin(struct outbound *out, const struct transport_piece *pieces,
				  uint32_t piece_count, uint32_t length, uint32_t segment_bytes)
{
	out->pieces = pieces;
	out->piece_count = (uint16_t)piece_count;
	out->length = length;
	out->segment_count = inbound_segments(length, segment_bytes);
	out->segments_unacked = out->segment_count;
	out->segment_next = 0;
	out->cursor_offset = 0;
	out->cursor_piece = 0;
	out->abort = false;
}

/* Of all pieces together.  -EINVAL: too many; -ERR_TOO_LARGE. */
int pieces_sum(const struct transport_piece *pieces, uint32_t piece_count, uint32_t *ret);

static inline int pieces_length(const struct transport_piece *pieces, uint32_t piece_count,
				uint32_t *ret)
{
	if (piece_count != 1)
		return pieces_sum(pieces, piece_count, ret);
	*ret = pieces->length;
	return 0;
}

void outbound_release(struct transport_session *session, struct outbound *out);
/* Whatever windows and pacing allow. */
void send_flush(struct transport_session *session);
/* A message has been begun in the slot: at once where nothing is before it, else in its turn. */
void send_begun(struct transport_session *session, uint16_t slot);
/* Up to `count` lost segments whatever windows say; without any, a packet that only asks for an
 * acknowledgement. */
void send_probe(struct transport_session *session, unsigned count);
void send_ack(struct transport_session *session);
void send_close(struct transport_session *session, enum transport_reason reason);
void send_reset(struct transport *transport, uint64_t session, size_t length,
		const struct transport_address *to);
/* A padded or short datagram of the handshake. */
bool send_plain(struct transport *transport, const struct transport_address *to, uint8_t *header,
		size_t header_bytes, size_t bytes);

/* An acknowledgement is owed for the packet just noted. */
static inline void session_owe(struct transport_session *session, bool now)
{
	struct transport *transport = session->transport;

	if (now || session->acks.owed >= ACKS_OWED_MAX) {
		send_ack(session);
	} else if (!list_linked(&session->ack_link)) {
		session->ack_due_ns = transport->now_ns +
				      transport->config.ack_delay_us * UINT64_C(1000);
		list_push_back(&transport->acks_due, &session->ack_link);
	}
}
