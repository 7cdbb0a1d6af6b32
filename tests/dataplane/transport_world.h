/* tests/dataplane/transport_world.h: clients and servers on the simulated network, and a checker.
 *
 * Clients make calls of known contents; servers verify each request, answer with known contents,
 * at once or later, and write down what they executed.  The checker holds every call to its
 * promise:
 *   - done exactly once, in bounded time;
 *   - rc 0: the right bytes, and executed once;
 *   - -ECANCELED: not executed;
 *   - anything else: executed at most once. */
#pragma once
#include "tests/dataplane/transport_net.h"

struct world_call;

struct world_options {
	uint64_t seed;
	unsigned servers;
	unsigned clients;
	unsigned sessions;  /* of each client to each server */
	unsigned calls;     /* in all */
	unsigned under_way; /* of each session */
	uint32_t request_bytes_max;
	uint32_t response_bytes_max;
	uint64_t think_ns_max; /* of a server; 0: answers inside the hook */
	uint64_t timeout_ns;
	uint64_t until_ns;          /* virtual time in which all calls must be done */
	uint64_t restart_server_ns; /* every so often; 0: never */
	uint64_t restart_client_ns;
	uint32_t cancel; /* chance, of a million, that a call is given up early */
	struct net_faults faults;
	struct transport_config config;
};

struct world_result {
	unsigned answered;
	unsigned cancelled; /* -ECANCELED */
	unsigned failed;
	uint64_t took_ns;
	uint64_t bytes; /* of answered requests and responses */
	uint64_t datagrams;
	uint64_t datagram_bytes;
	uint64_t sessions_opened;
	uint32_t buffers_peak;
	struct transport_statistics client; /* of the first client's last endpoint */
	struct transport_statistics server;
};

struct world_options world_options_default(uint64_t seed);
/* Fails the test on any broken promise. */
struct world_result world_run(const struct world_options *options);
