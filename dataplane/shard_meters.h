/* dataplane/shard_meters.h: what a shard measures beside what it counts (counters.def).
 *
 * Written by the shard with relaxed stores; any thread may read. */
#pragma once
#include "base/histogram.h"
#include "dataplane/transport/transport.h"
#include "kafka_messages.h"

struct api_meter {
	/* From a request's arrival to its answer, as near as a turn of the loop.  The answer may
	 * still wait for those before it on its connection. */
	struct histogram answered;
	uint64_t errors; /* error codes in answers, and requests that could not be answered */
};

struct shard_meters {
	struct api_meter apis[KAFKA_API_COUNT]; /* in the order of kafka_apis */
	struct histogram commits;               /* rounds of the store; a second old at most */
	struct transport_statistics datagrams;  /* of all its servers; likewise */
};
