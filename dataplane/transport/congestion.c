#include "dataplane/transport/congestion.h"

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void congestion_init(struct congestion *congestion, uint32_t datagram_bytes, uint32_t packets_max)
{
	uint32_t window_max = larger(packets_max, CONGESTION_MINIMUM_PACKETS) * datagram_bytes;

	*congestion = (struct congestion){
		.datagram_bytes = datagram_bytes,
		.window = smaller(CONGESTION_INITIAL_PACKETS * datagram_bytes, window_max),
		.window_max = window_max,
		.threshold = UINT32_MAX,
	};
}

void congestion_acked(struct congestion *congestion, uint32_t bytes, uint64_t sent_ns,
		      uint32_t in_flight)
{
	if (congestion->recovery_ns && sent_ns <= congestion->recovery_ns)
		return;
	if (!congestion_may_grow(congestion, in_flight))
		return;
	if (congestion->window < congestion->threshold) {
		congestion->window = smaller(congestion->window + bytes, congestion->window_max);
		return;
	}
	congestion->acked += bytes;
	if (congestion->acked >= congestion->window) {
		congestion->acked -= congestion->window;
		congestion->window = smaller(congestion->window + congestion->datagram_bytes,
					     congestion->window_max);
	}
}

bool congestion_lost(struct congestion *congestion, uint64_t sent_ns, uint64_t now_ns)
{
	if (congestion->recovery_ns && sent_ns <= congestion->recovery_ns)
		return false;
	congestion->recovery_ns = now_ns;
	congestion->window = larger(congestion->window / 2,
				    CONGESTION_MINIMUM_PACKETS * congestion->datagram_bytes);
	congestion->threshold = congestion->window;
	congestion->acked = 0;
	return true;
}

void congestion_collapsed(struct congestion *congestion)
{
	congestion->window = CONGESTION_MINIMUM_PACKETS * congestion->datagram_bytes;
	congestion->recovery_ns = 0;
	congestion->acked = 0;
}

void pacer_init(struct pacer *pacer, uint32_t datagram_bytes)
{
	pacer->burst = PACER_BURST_PACKETS * datagram_bytes;
	pacer->tokens = pacer->burst;
	pacer->filled_ns = 0;
}

/* The slow part of pacer_take. */
bool pacer_fill(struct pacer *pacer, uint32_t bytes, uint32_t window, uint64_t smoothed_ns,
		uint64_t now_ns, uint64_t *ret_due_ns)
{
	uint64_t passed_ns = now_ns - pacer->filled_ns;
	uint64_t round_ns = smoothed_ns * 4 / 5 + 1; /* one window */

	if (passed_ns >= round_ns) {
		pacer->tokens = pacer->burst;
		pacer->filled_ns = now_ns;
	} else {
		uint64_t gained = window * passed_ns / round_ns;
		uint64_t tokens = pacer->tokens + gained;
		pacer->tokens = tokens < pacer->burst ? (uint32_t)tokens : pacer->burst;
		/* Asked too often to gain a byte, it must not forget the time that has passed. */
		if (gained)
			pacer->filled_ns = now_ns;
	}
	if (pacer->tokens >= bytes)
		return true;
	*ret_due_ns = now_ns + (bytes - pacer->tokens) * round_ns / window + 1;
	return false;
}

void pacer_return(struct pacer *pacer, uint32_t bytes)
{
	pacer->tokens += bytes;
}
