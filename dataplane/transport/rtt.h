/* dataplane/transport/rtt.h: the round-trip time, estimated as RFC 9002, section 5, says.
 *
 * Times in nanoseconds.  Owner: one thread. */
#pragma once
#include <stdint.h>

struct rtt {
	uint64_t smoothed_ns;
	uint64_t variation_ns;
	uint64_t minimum_ns;
	uint64_t latest_ns; /* 0: no sample yet, the others are a guess */
};

enum { RTT_BACKOFF_MAX = 16 }; /* doublings; the cap on the interval comes long before */

void rtt_init(struct rtt *rtt, uint64_t guess_ns);
/* `delay_ns`: what the peer says that it waited before acknowledging, at most what it promised. */
void rtt_sample(struct rtt *rtt, uint64_t sample_ns, uint64_t delay_ns);

/* How long an acknowledgement may take before the sender probes, doubled `backoff` times and never
 * above `cap_ns` (but never below one undoubled interval either). */
uint64_t rtt_probe_ns(const struct rtt *rtt, uint64_t granularity_ns, uint64_t peer_delay_ns,
		      unsigned backoff, uint64_t cap_ns);
/* How much earlier than an acknowledged packet another must have left to count as lost. */
uint64_t rtt_loss_ns(const struct rtt *rtt, uint64_t granularity_ns);
