/* dataplane/handlers/share_entry.h: one partition of a ShareFetch or a ShareAcknowledge: opened, if
 * the session has not, then what the member has done with its records, until that is durable.
 *
 * First in the handler's own struct, and run by a scatter. */
#pragma once
#include "dataplane/handlers/scatter.h"
#include "dataplane/share/share.h"
#include "kafka_messages.h"

struct share_entry {
	struct scatter_entry scatter; /* rc: of the opening */
	struct share_wait wait;
	struct shard *owner;              /* while there */
	const struct kafka_string *group; /* its session's */
	uint32_t holder;
	bool open; /* to be opened */
	/* Null: none.  ShareAcknowledge has them laid out alike. */
	const struct kafka_share_fetch_request_acknowledgement_batch *batches;
	int32_t batch_count;
	int acknowledge_rc; /* of the first batch that was refused, or of the write */
};

void share_entry_run(struct shard *shard, struct partition *partition, struct scatter_entry *entry);
