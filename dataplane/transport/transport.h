/* dataplane/transport/transport.h: reliable requests and responses over datagrams.
 *
 * An endpoint (`struct transport`) is a state machine: datagrams and time go in; datagrams and
 * events come out through `struct transport_hooks`.  It makes no system call, takes no lock and
 * allocates only in transport_new; message buffers come from its owner.  A port of DPDK, a kernel
 * UDP socket and the simulator drive the same code, as server, client or both.  The protocol is in
 * dataplane/TRANSPORT.md.
 *
 * Owner: one thread; all calls and hooks run there.  `request`, `opened`, `closed` and a call's
 * `done` may call back into the endpoint; the other hooks must not.
 *
 * `now_ns` is monotonic and never decreases from call to call; the unit of all *_ns is a
 * nanosecond.  Drive: transport_receive for each datagram, then transport_turn, which says by when
 * it wants to be called again. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct transport;         /* opaque */
struct transport_session; /* opaque; of a peer */

struct transport_address {
	uint8_t ip[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d */
	uint16_t port;  /* host order */
	uint16_t local; /* which of the owner's own addresses, in its numbering; replies leave from
			 * the one that was written to */
};

/* A run of bytes of a message.  `reference` is the owner's (a buffer to hold on to, say): it comes
 * back in `emit` with every datagram that carries bytes of the piece. */
struct transport_piece {
	const void *data;
	void *reference;
	uint32_t length;
};

enum { TRANSPORT_PIECES_MAX = 64 };

/* What leaves: the header, then the pieces.  All of it is valid during `emit`; what the pieces
 * point to stays longer, see transport_respond and struct transport_call. */
struct transport_datagram {
	const struct transport_address *to;
	const uint8_t *header;
	const struct transport_piece *pieces;
	uint32_t header_bytes;
	uint32_t piece_count;
	uint32_t bytes; /* header and pieces */
};

/* What has come.  Where `buffer` is null, `data` lies in the datagram that was handed to
 * transport_receive as `packet` and is valid during the hook, or for as long as the owner keeps
 * that packet.  Else the message is in `buffer`, which now belongs to whoever the hook told: it is
 * given back with transport_give, at any time before transport_free. */
struct transport_message {
	const uint8_t *data;
	uint32_t length;
	void *buffer;
	size_t buffer_bytes;
	void *packet;
};

/* Names one request until it is answered, also after its session is gone. */
struct transport_request {
	uint64_t session;
	uint32_t sequence;
	uint16_t slot;
};

/* A request that a client makes.  The caller sets the first fields, owns the struct and leaves it,
 * the pieces and what they point to alone until `done` runs, which it does exactly once.
 * rc 0: `response` has come.  Else it is null: -ECANCELED: not executed, the server had no memory
 * for it or gave it up.  -ERR_TOO_LARGE: not sent.  -ENOMEM: executed, but no memory here for its
 * response.  -ETIMEDOUT, -ERR_CLOSING: unknown whether it was executed. */
struct transport_call {
	const struct transport_piece *pieces;
	uint32_t piece_count;
	uint64_t timeout_ns; /* from transport_call on; at most the session's idle time makes sense
			      */
	void (*done)(struct transport_call *call, int rc, struct transport_message *response);

	/* Private. */
	struct list link;
	uint64_t due_ns;
	uint32_t length;
	uint16_t slot;
	uint8_t phase;
};

enum transport_reason {
	TRANSPORT_REASON_NONE,        /* the owner wished it */
	TRANSPORT_REASON_SHUTDOWN,    /* the endpoint stops */
	TRANSPORT_REASON_PROTOCOL,    /* the peer broke a rule */
	TRANSPORT_REASON_IDLE,        /* silence */
	TRANSPORT_REASON_RESET,       /* the peer does not know the session */
	TRANSPORT_REASON_FULL,        /* no session free (REFUSE) */
	TRANSPORT_REASON_VERSION,     /* no common version (REFUSE) */
	TRANSPORT_REASON_TERMS,       /* asked for what cannot be granted (REFUSE) */
	TRANSPORT_REASON_UNREACHABLE, /* no answer to the handshake */
};

struct transport_hooks {
	void *context;
	/* Takes the datagram over to the port, or returns false when that is full: it is offered
	 * again by a later turn. */
	bool (*emit)(void *context, const struct transport_datagram *datagram);
	/* Unpredictable bytes: ids and secrets. */
	void (*random)(void *context, void *ret, size_t length);
	/* Buffers of messages that are larger than a datagram, 8-byte aligned; null: not now. */
	void *(*take)(void *context, size_t bytes);
	void (*give)(void *context, void *buffer, size_t bytes);
	/* A request is whole.  Null: this endpoint serves nobody.  It may be answered at once. */
	void (*request)(void *context, struct transport_session *session,
			struct transport_request request, struct transport_message *message);
	/* What a response pointed to is not needed any more; once for each transport_respond that
	 * succeeded.  `owner` as given there. */
	void (*released)(void *context, void *owner);
	/* A session is open: one of transport_connect, or one that a client opened.  May be null.
	 */
	void (*opened)(void *context, struct transport_session *session);
	/* It is over, and `session` is invalid after the hook; its calls are done.  May be null. */
	void (*closed)(void *context, struct transport_session *session,
		       enum transport_reason reason);
};

/* Limits and times; transport_config_default() has values for a data centre. */
struct transport_config {
	uint32_t sessions_max;
	uint32_t datagram_bytes;    /* UDP payload, 512..9000: tried first, then 1472 and 1232 */
	uint32_t message_bytes_max; /* of one message that comes in */
	uint64_t session_bytes_max; /* buffers of one session's partial messages */
	uint64_t buffer_bytes_max;  /* buffers of all messages, until they are given back */
	uint16_t slots;             /* 1..64: asked for, and the most that is granted */
	uint16_t window;            /* 1..1024 packets under way towards us in one session */
	uint16_t shard;             /* told to clients */
	uint16_t shard_count;
	uint32_t ack_delay_us;
	uint32_t idle_ms;    /* silence that ends a session */
	uint32_t silence_ms; /* after which a client that waits asks for a sign of life */
	uint32_t partial_ms; /* silence that ends a partial message */
	uint32_t connect_ms;
	uint32_t cookie_ms;      /* lifetime of a cookie */
	uint32_t secret_ms;      /* lifetime of the secret behind them */
	uint32_t rtt_guess_us;   /* before the first sample */
	uint32_t granularity_us; /* of the owner's timers, at least */
	uint32_t probe_ms_max;   /* cap of the probe interval */
	uint32_t resets_per_second;
	bool keep_alive; /* a client's idle sessions are kept open */
};

struct transport_statistics {
#define STATISTIC(name, help) uint64_t name;
#include "dataplane/transport/statistics.def"
#undef STATISTIC
};

struct transport_statistic_text {
	const char *name;
	const char *help;
};

struct transport_config transport_config_default(void);
/* Copies both.  -EINVAL: a limit out of range.  -ENOMEM. */
int transport_new(struct transport **ret, const struct transport_config *config,
		  const struct transport_hooks *hooks, uint64_t now_ns);
/* Sessions end without a word to their peers; `done`, `released` and `closed` run.  Buffers handed
 * up must have come back.  Null is fine. */
void transport_free(struct transport *transport);

/* `packet` is the owner's name for the datagram, handed on in struct transport_message. */
void transport_receive(struct transport *transport, const uint8_t *data, size_t length,
		       const struct transport_address *from, void *packet, uint64_t now_ns);
/* Does what is due and returns when it next is, UINT64_MAX for never. */
uint64_t transport_turn(struct transport *transport, uint64_t now_ns);

/* Begins a session; `opened` or `closed` tells how it went.  -ERR_LIMIT: the table is full. */
int transport_connect(struct transport *transport, struct transport_session **ret,
		      const struct transport_address *to, void *owner, uint64_t now_ns);
/* Tells the peer and ends the session now; `closed` runs.  Responses not yet sent are lost. */
void transport_close(struct transport_session *session, enum transport_reason reason,
		     uint64_t now_ns);

/* Sends the request when a slot is free, at once if one is.  Then `done` will run, perhaps before
 * this returns.  -ERR_TOO_LARGE, -ERR_CLOSING, -EINVAL (too many pieces): it will not. */
int transport_call(struct transport_session *session, struct transport_call *call, uint64_t now_ns);
/* The caller lost interest: `done` runs with -ETIMEDOUT if it has not, and the slot is freed when
 * the server has let go of it. */
void transport_cancel(struct transport_session *session, struct transport_call *call,
		      uint64_t now_ns);

/* Answers a request.  The pieces and what they point to are left alone until `released(owner)`
 * runs, perhaps before this returns.  On an error it does not run: -ERR_CLOSING: the session or
 * the request is gone; -ERR_TOO_LARGE: more than the client takes; -EINVAL: too many pieces. */
int transport_respond(struct transport *transport, struct transport_request request,
		      const struct transport_piece *pieces, uint32_t piece_count, void *owner,
		      uint64_t now_ns);

/* Instead of an answer: the client is told that the request was certainly not executed, for which
 * the owner vouches.  -ERR_CLOSING: the session or the request is gone. */
int transport_refuse(struct transport *transport, struct transport_request request,
		     uint64_t now_ns);

void transport_give(struct transport *transport, void *buffer, size_t bytes);

/* How many packets a peer may have under way to us, from the next packet on; 0 stops new ones. */
void transport_set_window(struct transport *transport, uint16_t window);

const struct transport_statistics *transport_statistics(const struct transport *transport);
/* In the order of the struct's fields; *ret_count of them. */
const struct transport_statistic_text *transport_statistic_texts(size_t *ret_count);
const char *transport_reason_text(enum transport_reason reason);
uint32_t transport_sessions(const struct transport *transport); /* not closed */
uint64_t transport_buffer_bytes(const struct transport *transport);

void *transport_session_owner(const struct transport_session *session);
void transport_session_set_owner(struct transport_session *session, void *owner);
const struct transport_address *transport_session_address(const struct transport_session *session);
/* Once open: what was granted. */
uint32_t transport_session_message_bytes_max(const struct transport_session *session);
uint32_t transport_session_slots(const struct transport_session *session);
uint32_t transport_session_datagram_bytes(const struct transport_session *session);
uint16_t transport_session_shard(const struct transport_session *session);
uint64_t transport_session_rtt_ns(const struct transport_session *session);
uint32_t transport_session_window_bytes(const struct transport_session *session);
