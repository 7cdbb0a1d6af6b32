/* client/peer.h: one broker, as something that requests can be sent to.
 *
 * A peer connects when the first request comes, asks which versions the broker speaks, encodes each
 * request for it and decodes the answer.  When the connection fails, what was sent or waited is
 * done with the reason; the next request connects again, after a pause that doubles.  Retrying is
 * the caller's affair: it knows what may be sent twice.
 *
 * Request life: request_new -> fill request->message -> peer_send -> done -> request_free, which
 * `done` calls (the response and all it refers to live until then).  `done` never runs inside
 * peer_send. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/list.h"
#include "client/channel.h"
#include "client/loop.h"
#include "client/url.h"
#include "dataplane/kafka/kafka.h"

struct sluice_options;

enum peer_state { PEER_IDLE, PEER_CONNECTING, PEER_NEGOTIATING, PEER_READY };
enum {
	PEER_API_KEYS = 128,
	PEER_TIMEOUTS_MAX = 16, /* without an answer between them: nothing comes back any more */
};

struct peer_versions {
	int16_t max[PEER_API_KEYS]; /* -1: the broker has no such API, or none of ours */
};

struct peer {
	struct loop *loop;
	const struct sluice_options *options;
	const struct channel_ops *ops;
	struct url url;
	struct channel_owner owner;
	struct channel *channel;
	enum peer_state state;
	struct peer_versions versions;
	struct timer timer; /* the next deadline: connection, request, end of a pause */
	uint64_t connect_deadline_ns;
	uint64_t pause_until_ns;
	uint32_t datagram_bytes;          /* that passed last */
	uint64_t datagram_bytes_until_ns; /* for so long that is believed */
	unsigned failures;                /* one after the other */
	unsigned timeouts;                /* likewise, of requests, since the last answer */
	int failing;                      /* negative: to be closed in the timer's turn */
	struct list waiting;              /* requests, until ready */
	struct list sent;
	int32_t correlation_id;
	void (*told)(struct peer *peer, int rc, void *user); /* of a lost connection */
	void *user;
};

struct request {
	struct list link;
	struct channel_call call;
	struct peer *peer;
	const struct kafka_api *api;
	int16_t version;     /* filled when it is sent */
	int16_t version_max; /* what the caller can live with */
	int32_t correlation_id;
	int error;      /* why it was not even sent */
	unsigned flags; /* of the channel */
	uint64_t deadline_ns;
	struct arena arena;
	void *message;  /* of api->request_size, initialised */
	void *response; /* in `done`: of api->response_size; null for CHANNEL_NO_RESPONSE */
	struct channel_buffer *frame; /* what the response's views point into */
	struct wire_writer writer;
	void (*done)(struct request *request, int rc);
	void *user;
};

int peer_init(struct peer *peer, struct loop *loop, const struct sluice_options *options,
	      const struct url *url);
/* Requests are done with -ECANCELED. */
void peer_fini(struct peer *peer);

/* Null: no memory. */
struct request *request_new(int16_t api_key, void (*done)(struct request *, int), void *user);
void request_free(struct request *request); /* null is fine */

/* Gives `request` up to the peer until `done`: 0, -ETIMEDOUT, -EPROTO, -errno of the connection, or
 * -ERR_VERSION: the broker does not speak it.  `timeout_ms` from now on; 0: the option's. */
void peer_send(struct peer *peer, struct request *request, int64_t timeout_ms);
/* Neither connected nor allowed to try again yet. */
bool peer_pausing(const struct peer *peer, uint64_t now_ns);
