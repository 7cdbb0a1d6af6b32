/* tests/control/transactions_world.h: a broker's transaction coordinator in a test's hands: time,
 * topics, the log, the owners of partitions, the groups and the clients.
 *
 * A request goes through its wire form both ways, so that the coordinator sees what its version
 * carries and the test what a client of it would.  What is appended is durable at once, or with
 * `log.hold` when the test says so; a restart makes a second `struct transactions` of it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "control/config.h"
#include "control/transactions/transactions_internal.h"
#include "dataplane/topics.h"
#include "dataplane/transaction_ask.h"
#include "storage/control_batch.h"
#include "tests/control/world_log.h"

enum { WORLD_TOPICS_MAX = 8, WORLD_SHARDS = 2, WORLD_TOLD_MAX = 4096 };

/* What a partition, or the groups of one of __consumer_offsets, was told of a transaction's end. */
struct world_told {
	char topic[TOPIC_NAME_MAX + 1];
	int32_t partition;
	int64_t producer_id;
	int16_t producer_epoch; /* -1: of offsets */
	bool commit;
};

struct world {
	struct clock clock;
	uint64_t now_ns;
	int64_t wall_ms;
	struct config config; /* the defaults, to be changed before or between requests */
	struct world_log log;
	struct topics topics;
	struct topic *rows[WORLD_TOPICS_MAX];
	struct transactions *transactions;
	struct list requests; /* all that were asked */
	uint32_t topics_made;

	/* Producer ids come at once, unless `hold_ids`. */
	bool hold_ids, ids_wanted;
	int64_t next_id;

	/* Markers are taken at once, unless `hold_markers`. */
	bool hold_markers;
	int marker_rc; /* what the owners say; 1: no such transaction is open there */
	struct message *sent[WORLD_TOLD_MAX];
	size_t sent_count;
	size_t sent_most[WORLD_SHARDS]; /* at a time */
	bool hold_offsets;
	int offsets_rc;                         /* what the groups say to the request */
	struct list offset_waits;               /* struct state_wait.link */
	struct world_told told[WORLD_TOLD_MAX]; /* those that were taken */
	size_t told_count;

	size_t admitted; /* TxnOffsetCommit */
};

struct world_request {
	struct list link;
	struct world *world;
	struct control_request request;
	struct arena arena;
	void *message; /* struct kafka_<api>_request, of the client's making */
	bool answered;
	bool admitted; /* went to the groups */
};

struct world_ask {
	struct transaction_ask ask;
	bool answered;
};

/* `partitions` of __transaction_state, all loaded; no topics but __consumer_offsets. */
struct world *world_new(int32_t partitions);
/* Also checks that every answer can be sent when all transactions are gone. */
void world_free(struct world *world);

const struct topic *world_topic(struct world *world, const char *name, int32_t partitions);
void world_delete_topic(struct world *world, const char *name);

/* Forward by `ms`, stopping whenever something is due. */
void world_advance(struct world *world, int64_t ms);

/* ---- requests ---- */
struct world_request *world_ask(struct world *world, int16_t key, int16_t version);
/* Zeroed memory that lives as long as the request. */
void *world_alloc(struct world_request *ask, size_t count, size_t size);
void world_send(struct world_request *ask);
/* The response as a client reads it; it must have been answered. */
void *world_answer(struct world_request *ask);

/* ---- what is held back ---- */
void world_give_ids(struct world *world, int64_t count, int rc);
/* Those that have been sent until now. */
void world_take_markers(struct world *world);
void world_take_offsets(struct world *world, int rc);

/* ---- the log ---- */
void world_flush(struct world *world, int32_t partition); /* all of it is durable */
/* What is not durable is lost; those who waited are told, and the partition is loaded anew. */
void world_fail(struct world *world, int32_t partition);
size_t world_appended(const struct world *world); /* in all partitions */
/* The coordinator ends, and a new one is made of what is durable.  What is out comes home. */
void world_restart(struct world *world);
/* What transactions_rewrite writes gives the same state again. */
void world_check_rewrite(struct world *world);
