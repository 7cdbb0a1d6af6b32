/* dataplane/transport/congestion.h: how many bytes may be under way (NewReno, RFC 9002, section 7)
 * and how they are spread over time.
 *
 * Owner: one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct congestion {
	uint32_t datagram_bytes;
	uint32_t window;      /* bytes */
	uint32_t window_max;  /* growing further would only make a burst later */
	uint32_t threshold;   /* slow start below, avoidance from here on */
	uint32_t acked;       /* bytes since the window last grew, in avoidance */
	uint64_t recovery_ns; /* losses of packets sent up to here are one event; 0: none yet */
};

enum {
	CONGESTION_INITIAL_PACKETS = 32,
	CONGESTION_MINIMUM_PACKETS = 2,
};

void congestion_init(struct congestion *congestion, uint32_t datagram_bytes, uint32_t packets_max);
/* `in_flight`: bytes under way before this acknowledgement; a window that was not used is not
 * known to be good, and does not grow. */
static inline bool congestion_may_grow(const struct congestion *congestion, uint32_t in_flight)
{
	return in_flight >= congestion->window / 2 && congestion->window < congestion->window_max;
}

void congestion_acked(struct congestion *congestion, uint32_t bytes, uint64_t sent_ns,
		      uint32_t in_flight);
/* True when this is a new event and the window was halved. */
bool congestion_lost(struct congestion *congestion, uint64_t sent_ns, uint64_t now_ns);
/* Nothing came through for several probe intervals: start again from the bottom. */
void congestion_collapsed(struct congestion *congestion);

/* A bucket of bytes that fills at 5/4 of the window each round trip. */
struct pacer {
	uint64_t filled_ns;
	uint32_t tokens;
	uint32_t burst;
};

enum { PACER_BURST_PACKETS = 16 };

void pacer_init(struct pacer *pacer, uint32_t datagram_bytes);
bool pacer_fill(struct pacer *pacer, uint32_t bytes, uint32_t window, uint64_t smoothed_ns,
		uint64_t now_ns, uint64_t *ret_due_ns);

/* Takes `bytes`, or returns false and the time at which they will be there.  A sender below the
 * rate pays two comparisons and no division. */
static inline bool pacer_take(struct pacer *pacer, uint32_t bytes, uint32_t window,
			      uint64_t smoothed_ns, uint64_t now_ns, uint64_t *ret_due_ns)
{
	/* Time during which it was full fills nothing. */
	if (pacer->tokens == pacer->burst)
		pacer->filled_ns = now_ns;
	if (pacer->tokens < bytes &&
	    !pacer_fill(pacer, bytes, window, smoothed_ns, now_ns, ret_due_ns))
		return false;
	pacer->tokens -= bytes;
	return true;
}

/* Gives back what was taken for a datagram that did not leave. */
void pacer_return(struct pacer *pacer, uint32_t bytes);
