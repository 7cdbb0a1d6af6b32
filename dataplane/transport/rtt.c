#include "dataplane/transport/rtt.h"

void rtt_init(struct rtt *rtt, uint64_t guess_ns)
{
	*rtt = (struct rtt){.smoothed_ns = guess_ns, .variation_ns = guess_ns / 2};
}

void rtt_sample(struct rtt *rtt, uint64_t sample_ns, uint64_t delay_ns)
{
	if (!sample_ns)
		sample_ns = 1;
	if (!rtt->latest_ns) {
		*rtt = (struct rtt){.smoothed_ns = sample_ns,
				    .variation_ns = sample_ns / 2,
				    .minimum_ns = sample_ns,
				    .latest_ns = sample_ns};
		return;
	}
	rtt->latest_ns = sample_ns;
	if (sample_ns < rtt->minimum_ns)
		rtt->minimum_ns = sample_ns;
	/* A peer that exaggerates its delay cannot push us below the smallest time ever seen. */
	uint64_t adjusted = sample_ns;
	if (sample_ns >= rtt->minimum_ns + delay_ns)
		adjusted -= delay_ns;
	uint64_t off = rtt->smoothed_ns > adjusted ? rtt->smoothed_ns - adjusted
						   : adjusted - rtt->smoothed_ns;
	rtt->variation_ns = rtt->variation_ns - rtt->variation_ns / 4 + off / 4;
	rtt->smoothed_ns = rtt->smoothed_ns - rtt->smoothed_ns / 8 + adjusted / 8;
}

uint64_t rtt_probe_ns(const struct rtt *rtt, uint64_t granularity_ns, uint64_t peer_delay_ns,
		      unsigned backoff, uint64_t cap_ns)
{
	uint64_t spread = 4 * rtt->variation_ns;
	uint64_t once = rtt->smoothed_ns + (spread > granularity_ns ? spread : granularity_ns) +
			peer_delay_ns;
	uint64_t interval = once << (backoff < RTT_BACKOFF_MAX ? backoff : RTT_BACKOFF_MAX);

	if (interval > cap_ns)
		interval = cap_ns;
	return interval > once ? interval : once;
}

uint64_t rtt_loss_ns(const struct rtt *rtt, uint64_t granularity_ns)
{
	uint64_t longer = rtt->smoothed_ns > rtt->latest_ns ? rtt->smoothed_ns : rtt->latest_ns;
	uint64_t threshold = longer + longer / 8;

	return threshold > granularity_ns ? threshold : granularity_ns;
}
