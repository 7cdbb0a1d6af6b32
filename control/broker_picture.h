/* control/broker_picture.h: what the broker counts and measures, drawn once a second for whoever
 * wants to look: DPDK's telemetry socket, /metrics.
 *
 * Drawn by the control plane's thread; what is taken is the taker's, on any thread, until it is put
 * back.  Only while somebody could look (pictures_wanted). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/dpdk/port.h"
#include "dataplane/message.h"
#include "dataplane/shard.h"
#include "dataplane/shard_meters.h"

struct config;
struct control;

struct shard_picture {
	struct shard_counters counters;
	double busy_share; /* 0 to 1, since the picture before; 0 in the first */
	struct mesh_stats mesh;
	struct port_statistics port; /* of its queue; zero without a port */
};

enum other_thread { OTHER_BACKGROUND, OTHER_COORDINATOR, OTHER_CONTROL, OTHER_THREADS };

struct port_picture {
	char device[64]; /* "": the broker has no port */
	struct port_link link;
	struct port_device_statistics all; /* what the device says of itself */
};

struct broker_picture {    /* on the heap */
	uint64_t drawn_ns; /* on the monotonic clock */
	size_t topics;
	int64_t partitions;
	const char *io; /* "uring", "sync"; static */
	struct shard_counters sums;
	struct api_meter apis[KAFKA_API_COUNT]; /* of all shards, in the order of kafka_apis */
	struct histogram commits;
	struct transport_statistics datagrams;
	struct mesh_stats others[OTHER_THREADS];
	struct port_picture port;
	unsigned shard_count;
	struct shard_picture shards[];
};

/* Whether pictures are drawn at all. */
bool pictures_wanted(const struct config *config);
/* A new one when it is time to; the control plane's thread. */
void broker_picture_turn(struct control *control);
void broker_picture_end(void);
/* Null: there is none yet; put_back is due all the same. */
const struct broker_picture *broker_picture_take(void);
void broker_picture_put_back(const struct broker_picture *picture);
