/* control/coordinator_log_internal.h: what the files of the coordinator's log share. */
#pragma once
#include "base/bytes.h"
#include "base/clock.h"
#include "base/list.h"
#include "control/coordinator_log.h"
#include "control/state_log.h"
#include "dataplane/shard_log.h"
#include "storage/batch_build.h"

struct log_batch {
	struct list link; /* log_partition.batches */
	struct batch_build build;
	struct list waits; /* struct state_wait */
	uint64_t call;     /* the last that has added to it */
	bool closed;       /* under way, or large: takes no more */
	bool rewrite_begins;
	bool rewrite_ends;
};

enum partition_phase { PARTITION_TO_LOAD, PARTITION_LOADING, PARTITION_READY };

struct log_partition {
	struct coordinator_log *log;
	int32_t index;
	enum partition_phase phase;
	struct list link; /* log->dirty while ready, log->to_load */

	struct list batches; /* oldest first; that is under way when `appending` */
	struct shard_append append;
	bool appending;

	struct shard_read read;
	int64_t next_offset; /* to be read; of a ready partition its end */
	uint64_t load_ns;    /* begun */
	uint64_t told_ns;    /* when its progress was last logged */
	uint64_t due_ns;     /* of a load that waits */
	uint64_t pause_ns;   /* before the next load, after a failure */

	/* In the log, from its start. */
	uint64_t bytes;
	uint64_t records;

	struct shard_trim trim;
	bool rewriting; /* from a rewrite to the trim's end */
	bool trimming;
	int64_t rewrite_offset;
	uint64_t bytes_before; /* the rewrite */
	uint64_t records_before;
	uint64_t look_bytes; /* not worth a look at what holds while it is smaller */
};

struct coordinator_log {
	struct state_log state_log;
	struct coordinator_log_options options;
	struct coordinator_log_state state;
	bool topic_exists;
	bool creating;
	bool stopping;
	bool drawing; /* a rewrite: its batches may end within the call */
	bool abandoned;
	uint32_t topic_number;
	uint64_t call;
	struct list dirty;
	struct list to_load;
	unsigned loads;
	struct log_partition partitions[];
};

static inline uint64_t log_now_ns(const struct coordinator_log *log)
{
	return clock_monotonic_ns(log->options.clock);
}

static inline struct log_batch *log_batch_of(struct list *link)
{
	return container_of(link, struct log_batch, link);
}

/* To the owner of the partition; `done` when it is back. */
void log_partition_send(struct log_partition *p, struct shard_log *request,
			void (*handle)(struct message *message, void *shard),
			void (*done)(struct message *message, void *receiver));
/* To be looked at in this turn. */
void log_partition_touch(struct log_partition *p);

/* ---- coordinator_load.c ---- */
void log_load_at(struct log_partition *p, uint64_t due_ns);
void log_load_after_failure(struct log_partition *p, int rc);
/* Returns when the next one is due. */
uint64_t log_start_loads(struct coordinator_log *log);

/* ---- coordinator_rewrite.c ---- */
bool log_outgrown(struct log_partition *p);
void log_rewrite(struct log_partition *p);
void log_trim_to_rewrite(struct log_partition *p);
