/* tests/control/offset_requests.h: requests about committed offsets, in the words of any version.
 */
#pragma once
#include "tests/control/groups_world.h"

enum { ROWS_MAX = 64 };

/* OffsetCommit of a group's id, without a member. */
struct world_request *commit_ask(struct world *world, int16_t version, const char *group);
void commit_as(struct world_request *ask, const char *member, int32_t epoch);
/* By id where the version has ids; a name that is no topic gets one that no topic has. */
void commit_add(struct world_request *ask, const char *topic, int32_t partition, int64_t offset,
		const char *metadata);
/* The row's error, which must be there. */
int16_t commit_error(struct world_request *ask, const char *topic, int32_t partition);
/* One offset, sent; the row's error. */
int16_t commit_one(struct world *world, int16_t version, const char *group, const char *topic,
		   int32_t partition, int64_t offset);

/* TxnOffsetCommit in the transaction of `producer_id`, without a member. */
struct world_request *txn_ask(struct world *world, int16_t version, const char *group,
			      int64_t producer_id);
void txn_as(struct world_request *ask, const char *member, const char *instance,
	    int32_t generation); /* 3+ */
void txn_add(struct world_request *ask, const char *topic, int32_t partition, int64_t offset,
	     const char *metadata);
int16_t txn_error(struct world_request *ask, const char *topic, int32_t partition);
int16_t txn_one(struct world *world, const char *group, int64_t producer_id, const char *topic,
		int32_t partition, int64_t offset);
/* The transaction has ended, as the group's partition of __consumer_offsets is told: what
 * groups_end_transaction says, and what it says later. */
struct ending {
	struct state_wait wait;
	bool done;
	int rc;
};
int txn_end_at(struct world *world, int32_t partition, int64_t producer_id, bool commit,
	       struct ending *ret);
int txn_end_begin(struct world *world, const char *group, int64_t producer_id, bool commit,
		  struct ending *ret);
/* Where nothing holds the log. */
int txn_end(struct world *world, const char *group, int64_t producer_id, bool commit);

struct fetched {
	int64_t offset;
	int32_t leader_epoch;
	const char *metadata;
	int16_t error;
};

/* OffsetFetch; without rows added: all of the group's. */
struct world_request *fetch_ask(struct world *world, int16_t version, const char *group);
void fetch_as(struct world_request *ask, const char *member, int32_t epoch); /* 9+ */
void fetch_add(struct world_request *ask, const char *topic, int32_t partition);
void fetch_stable(struct world_request *ask); /* 7+ */
/* The row, which must be there. */
struct fetched fetch_row(struct world_request *ask, const char *topic, int32_t partition);
int fetch_row_count(struct world_request *ask);
int16_t fetch_error(struct world_request *ask); /* of the group; 0 in version 1 */
/* One partition asked for, sent. */
struct fetched fetch_one(struct world *world, int16_t version, const char *group, const char *topic,
			 int32_t partition);

/* The same, by who wants stable offsets; that may be its error. */
struct fetched stable_one(struct world *world, int16_t version, const char *group,
			  const char *topic, int32_t partition);

/* OffsetDelete */
struct world_request *delete_ask(struct world *world, const char *group);
void delete_add(struct world_request *ask, const char *topic, int32_t partition);
int16_t delete_error(struct world_request *ask, const char *topic, int32_t partition);
