/* dataplane/datagram/faulty_source.h: a bad network for tests: a packet source that wraps another
 * and loses, doubles, delays, flips and cuts datagrams on their way in and out.
 *
 * What happens follows from the seed and the sequence of calls alone.  Owner: the shard. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "dataplane/datagram/packet_source.h"

enum { FAULTS_ALL = 1000000 }; /* chances are of a million */

struct faults {
	uint64_t seed;
	uint32_t loss;
	uint32_t twice;   /* comes again, at once or later */
	uint32_t reorder; /* waits until up to eight others have passed */
	uint32_t flip;    /* one to four bits, anywhere */
	uint32_t cut;     /* loses its end */
};

/* Of "seed=7,loss=5%,double=1%,reorder=5%,flip=1%,cut=0.5%"; what is not named is 0.  -ERR_CONFIG
 * with the reason in `why`. */
int faults_parse(const char *text, struct faults *ret, char *why, size_t why_bytes);

struct faulty_counts {
	uint64_t passed; /* offered, also those that something happened to */
	uint64_t lost;
	uint64_t doubled;
	uint64_t delayed;
	uint64_t flipped;
	uint64_t cut;
	uint64_t spared; /* no memory left to do what was drawn */
};

/* `inner` is the faulty source's from now on, also on failure.  -ENOMEM. */
int faulty_source_new(struct packet_source **ret, struct packet_source *inner,
		      const struct faults *faults);
/* Both directions together. */
struct faulty_counts faulty_source_counts(struct packet_source *source);
