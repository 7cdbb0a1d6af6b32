/* tests/sim/clients/peer.h: one client's connection to the broker, a request at a time.
 *
 * Owner: one fiber.  It connects when it has to and closes whenever something went wrong, so that
 * an answer that comes late is never taken for another's. */
#pragma once
#include <stdint.h>

#include "base/arena.h"
#include "tests/sim/schedule.h"

struct socket_state;

struct peer {
	const char *client_id;
	struct socket_state *socket; /* null: not connected */
	struct waiting waiting;
	struct arena arena; /* of the request's frame and of the answer */
	uint8_t *frame;
	size_t frame_bytes;
	int32_t correlation_id;
};

void peer_init(struct peer *peer, const char *client_id);
/* Breaks the connection, as the end of its process does. */
void peer_reset(struct peer *peer);
void peer_close(struct peer *peer);

/* ---- in pieces, for those who do not behave; they close the connection themselves ---- */

int peer_connect(struct peer *peer, uint64_t due_ns); /* connected already is fine */
int peer_send(struct peer *peer, const uint8_t *data, size_t length, uint64_t due_ns);
/* The next frame, without its size, is in peer->frame.  -ECONNRESET at the end, too. */
int peer_receive(struct peer *peer, uint64_t due_ns, size_t *ret_length);

/* Asks and waits until due_ns.  The answer is valid until the next call.  The request may have been
 * carried out whenever an error is returned: -ETIMEDOUT, -ECONNRESET, -EPIPE, -EPROTO (an answer
 * that makes no sense); it has not been with -ECONNREFUSED. */
int peer_call(struct peer *peer, int16_t api_key, int16_t version, const void *request,
	      uint64_t due_ns, void **ret_response);
