/* dataplane/shard_internal.h: what the files of this folder share about a shard. */
#pragma once
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/list.h"
#include "base/map64.h"
#include "base/timers.h"
#include "dataplane/shard.h"
#include "dataplane/shard_meters.h"
#include "dataplane/tcp/frame_pool.h"
#include "storage/compress.h"
#include "storage/io.h"
#include "storage/log.h"

struct datagram_server;
struct fetch_read;
struct request;

/* One partition that this shard owns. */
struct partition {
	struct shard *shard;
	struct log *log; /* null while closing */
	struct uuid topic_id;
	uint32_t topic_number;
	int32_t index;
	struct topic_config config;
	struct list blocked;      /* struct partition_append waiting for buffers, in order */
	struct list blocked_link; /* in shard.blocked while `blocked` is not empty */
	struct list shares;       /* struct share, one a share group that reads here */
	struct list gates;        /* struct transaction_gate, one a producer that waits here */
	struct list going;        /* while those that go are gathered */
	uint64_t appended_bytes;  /* of record batches */
	uint64_t fetched_bytes;   /* of record batches that readers were given */
	uint64_t fetched_records; /* in those */
	bool seen;                /* by the publish under way */
};

enum { DATAGRAM_SERVERS_MAX = 2 }; /* a kernel socket and a port */

struct datagrams {
	struct datagram_server *servers[DATAGRAM_SERVERS_MAX];
	unsigned count;
};

struct named_topic {
	const struct topic *topic; /* null: none yet */
	size_t length;             /* of its name */
};

enum shard_phase {
	SHARD_STARTING, /* no topics yet, does not accept */
	SHARD_SERVING,
	SHARD_DRAINING, /* finishes requests, reads no new ones */
	SHARD_QUIET,    /* no connection left; still answers other shards */
	SHARD_CLOSING,  /* logs are being closed */
	SHARD_STOPPED,
};

/* Answers of this turn to requests of one API that began together. */
struct answer_run {
	uint64_t begun_ns; /* 0: none */
	uint64_t count;
};
struct answers {
	uint64_t apis; /* a bit each that has a run */
	struct answer_run runs[KAFKA_API_COUNT];
};
static_assert(KAFKA_API_COUNT <= 64, "a bit each");

struct shard {
	struct shard_options options;
	struct shard_counters counters;
	struct shard_meters meters;
	enum shard_phase phase;
	pthread_t thread;
	struct mesh *mesh;
	const char *backend_name;

	/* Made and used by the thread. */
	struct io_backend *io;
	struct store_region *region;
	struct store *store;
	struct decompressor *decompressor;
	struct timers timers;
	uint64_t now_ns;  /* monotonic, once a turn */
	uint64_t turn_ns; /* 0: not asked for since the shard slept, see shard_turn_ns */
	int64_t wall_ms;  /* 0: not asked for in this turn, see shard_wall_ms */
	struct answers answers;

	const struct topics *topics;
	struct named_topic last_named; /* of `topics` */
	struct map64 partitions;       /* partition_key -> struct partition */
	unsigned partitions_closing;
	struct list blocked; /* partitions with blocked produce entries */

	struct io accept;
	bool accepting;
	struct list connections;    /* least recently active first */
	struct list starved;        /* connections waiting for memory to receive into */
	struct list starved_frames; /* ... for memory that frames not complete may hold */
	struct list large_frames;   /* connections receiving a large frame, in order of beginning */
	uint64_t refused_ns;        /* when a refusal was last logged */
	unsigned connection_count;
	struct datagrams datagrams;
	struct frame_pool frames;
	size_t inflight_bytes; /* frames and request arenas held */
	size_t partial_bytes;  /* of these, frames that are being received */
	size_t parked_bytes;   /* ... by members that wait for others of their group */
	struct list free_requests;
	unsigned free_request_count;
	unsigned requests_live;

	struct list ready_fetches; /* fetch parts to run this turn */
	struct list free_reads;    /* struct fetch_read */
	unsigned reads_live;       /* ... taken */
	struct timer housekeeping;

	uint32_t share_holders;        /* numbers given to share sessions */
	unsigned share_sessions;       /* of this shard's connections, or still being ended */
	unsigned shares_out;           /* messages to the coordinator about shares */
	unsigned jobs_out;             /* to the background, the store's */
	unsigned transaction_asks_out; /* to the coordinator, about transactions */

	/* Stopping. */
	struct shard_stop *stop;
	struct timer drain_over;
	unsigned quiet_peers;
	struct message *quiet_notes; /* one a peer */
};

#define shard_count(shard, field, n) counter_add(&(shard)->counters.field, (uint64_t)(n))

static inline void shard_send(struct shard *shard, unsigned to, struct message *message)
{
	mesh_send(shard->mesh, shard->options.index, to, message);
}

static inline struct partition *shard_partition(const struct shard *shard, uint64_t key)
{
	return map64_get(&shard->partitions, key);
}

/* Batches that a reader is given.  `partition` is null when it was deleted meanwhile. */
static inline void shard_count_given(struct shard *shard, struct partition *partition, size_t bytes,
				     uint64_t records)
{
	shard_count(shard, fetch_bytes, bytes);
	if (!partition)
		return;
	partition->fetched_bytes += bytes;
	partition->fetched_records += records;
}

/* Asked for once a turn at most: a request costs less than a few questions for the time. */
static inline int64_t shard_wall_ms(struct shard *shard)
{
	if (!shard->wall_ms)
		shard->wall_ms = clock_wall_ms(shard->options.clock);
	return shard->wall_ms;
}

/* When what a request meets in this turn happens: the turn's beginning, or, where it began with a
 * sleep, the first request that came. */
static inline uint64_t shard_turn_ns(struct shard *shard)
{
	if (!shard->turn_ns)
		shard->turn_ns = clock_monotonic_ns(shard->options.clock);
	return shard->turn_ns;
}

/* When a wait that a request wants is over, monotonic.  Not from the turn's time on: a turn may
 * have begun long before the request came, and who waits is never told sooner than it wanted. */
static inline uint64_t shard_wait_end_ns(const struct shard *shard, uint32_t wait_ms)
{
	return clock_monotonic_ns(shard->options.clock) + wait_ms * NS_PER_MS;
}

/* shard_meters.c */
/* `request` is answered, and is of no run that there is. */
void shard_meter_begin_run(const struct request *request);
void shard_meter_errors(const struct request *request, unsigned count);
/* The runs have ended by now_ns. */
void shard_meter_answers(struct shard *shard);
/* The same, and so has what happened since shard_turn_ns. */
void shard_meter_turn(struct shard *shard, bool busy);
/* Of what others count, where other threads may read it; now and then. */
void shard_show_stats(struct shard *shard);

/* shard_partitions.c */
void shard_close_partitions(struct shard *shard);

/* shard_datagrams.c */
int shard_datagrams_open(struct shard *shard);
unsigned shard_datagrams_receive(struct shard *shard);
unsigned shard_datagrams_turn(struct shard *shard);
uint64_t shard_datagrams_sleep(struct shard *shard, uint64_t wait_ns); /* at most `wait_ns` */
void shard_datagrams_woken(struct shard *shard);
void shard_datagrams_drain(struct shard *shard);
bool shard_datagrams_stop(struct shard *shard); /* until true */
void shard_datagrams_free(struct shard *shard);

/* shard_jobs.c: store_options.offload and hurry, with the shard as their context. */
void shard_offload(void *context, struct store_job *job);
void shard_hurry(void *context);

/* shard_stop.c */
void shard_stop_step(struct shard *shard);
