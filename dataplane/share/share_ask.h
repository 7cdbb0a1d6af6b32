/* dataplane/share/share_ask.h: how the owner of a partition has the coordinator keep what a share
 * group has done there.
 *
 * Asked by message: `open` fetches what is stored, and stores where the group begins if nothing is;
 * `write` replaces it.  Both come back when what they say is durable.  An *incarnation* is one life
 * of a group in the coordinator's memory: what was opened under another is not written.
 *
 * Between: the object is the coordinator's. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "dataplane/kafka/wire.h"
#include "dataplane/message.h"
#include "dataplane/share/share_partition.h"

enum share_ask_kind { SHARE_ASK_OPEN, SHARE_ASK_WRITE };

struct share_ask {
	struct message message;
	void (*done)(struct message *message, void *shard); /* in: handle on the way back */
	unsigned shard_index;                               /* in */
	enum share_ask_kind what;                           /* in */
	struct kafka_string group_id;                       /* in */
	struct uuid topic_id;                               /* in */
	int32_t partition;                                  /* in */
	int64_t log_start;                                  /* open, in: where the log begins ... */
	int64_t log_end;                                    /* ... and ends */
	uint64_t incarnation;                               /* open: out, write: in */
	int64_t start;                                      /* open: out, write: in */
	struct share_run *runs; /* the same; malloc'ed, the shard frees them */
	size_t run_count;
	/* Out: 0; -ERR_UNKNOWN_PARTITION: no share group of this id, or another incarnation;
	 * -ERR_NO_COORDINATOR: it cannot say now, ask again; -ENOMEM. */
	int rc;
};
