/* tests/dataplane/transport_pair.h: a server and a client with one session, and every event written
 * down, for tests of single behaviours. */
#pragma once
#include "tests/dataplane/transport_net.h"

enum { PAIR_REQUESTS_MAX = 64 };

struct pair_request {
	struct transport_request handle;
	uint32_t length;
	uint8_t first; /* byte */
};

struct pair {
	struct net net;
	struct net_node *server;
	struct net_node *client;
	struct transport_session *session;  /* the client's; null when closed */
	struct transport_session *accepted; /* the server's */
	bool opened;
	unsigned closed;
	enum transport_reason reason;
	unsigned server_closed;
	enum transport_reason server_reason;
	/* Requests are kept, or answered at once with what they said. */
	bool keep;
	struct pair_request requests[PAIR_REQUESTS_MAX];
	unsigned request_count; /* may be more than are kept */
	unsigned released;
	void *released_owner;
};

struct pair_call {
	struct transport_call call;
	struct pair *pair;
	struct transport_piece piece;
	unsigned done;
	int rc;
	uint32_t length;
	uint8_t *response;
};

struct transport_config pair_config(void);
/* Starts both ends; no session yet. */
struct pair *pair_new(const struct transport_config *server, const struct transport_config *client);
void pair_free(struct pair *pair);
void pair_connect(struct pair *pair);
/* The usual: connected, with pair_config(). */
struct pair *pair_open(void);

/* `bytes` times `fill`. */
struct pair_call *pair_call_new(struct pair *pair, uint8_t fill, uint32_t bytes,
				uint64_t timeout_ns);
int pair_call_begin(struct pair_call *call);
void pair_call_free(struct pair_call *call);
/* A call that must be answered. */
void pair_echo(struct pair *pair, uint8_t fill, uint32_t bytes);
/* Answers a kept request with `bytes` (static zeros); rc of transport_respond. */
int pair_respond(struct pair *pair, unsigned index, uint32_t bytes);
void pair_run_ms(struct pair *pair, uint64_t ms);
