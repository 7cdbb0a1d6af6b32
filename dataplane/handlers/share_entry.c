#include "dataplane/handlers/share_entry.h"

#include "base/errors.h"

#include <assert.h>

#define FETCHED struct kafka_share_fetch_request_acknowledgement_batch
#define ACKNOWLEDGED struct kafka_share_acknowledge_request_acknowledgement_batch

static_assert(sizeof(FETCHED) == sizeof(ACKNOWLEDGED) &&
		      offsetof(FETCHED, acknowledge_types) ==
			      offsetof(ACKNOWLEDGED, acknowledge_types) &&
		      offsetof(FETCHED, acknowledge_types_count) ==
			      offsetof(ACKNOWLEDGED, acknowledge_types_count),
	      "one is read as the other");

static void written(struct share_wait *wait, int rc)
{
	struct share_entry *entry = container_of(wait, struct share_entry, wait);

	if (rc < 0)
		entry->acknowledge_rc = rc;
	scatter_entry_done(entry->owner, &entry->scatter, 0);
}

/* Each batch by itself, all of it or nothing.  Whether any was taken. */
static bool settle_all(struct share_entry *entry, struct share *share)
{
	bool any = false;

	for (int32_t i = 0; i < entry->batch_count; i++) {
		const FETCHED *batch = &entry->batches[i];
		size_t count = batch->acknowledge_types_count > 0
				       ? (size_t)batch->acknowledge_types_count
				       : 0;
		int rc = share_settle(share, entry->holder, batch->first_offset, batch->last_offset,
				      (const uint8_t *)batch->acknowledge_types, count);
		any |= rc == 0;
		if (rc < 0 && entry->acknowledge_rc == 0)
			entry->acknowledge_rc = rc;
	}
	return any;
}

static void settle(struct share_entry *entry, struct partition *partition)
{
	struct share *share = partition ? share_find(partition, entry->group) : NULL;

	/* What was open is so no more: nobody has any of its records. */
	if (!share && entry->batch_count)
		entry->acknowledge_rc = -ERR_RECORD_STATE;
	if (share && settle_all(entry, share)) {
		entry->wait.done = written;
		share_when_durable(share, &entry->wait);
		return;
	}
	scatter_entry_done(entry->owner, &entry->scatter, 0);
}

static void fail(struct share_entry *entry, int rc)
{
	if (entry->batch_count)
		entry->acknowledge_rc = rc;
	scatter_entry_done(entry->owner, &entry->scatter, rc);
}

static void opened(struct share_wait *wait, int rc)
{
	struct share_entry *entry = container_of(wait, struct share_entry, wait);

	if (rc < 0)
		fail(entry, rc);
	else
		settle(entry, shard_partition(entry->owner, entry->scatter.key));
}

void share_entry_run(struct shard *shard, struct partition *partition,
		     struct scatter_entry *scatter)
{
	struct share_entry *entry = container_of(scatter, struct share_entry, scatter);

	entry->owner = shard;
	if (!partition) {
		fail(entry, -ERR_UNKNOWN_PARTITION);
	} else if (entry->open) {
		entry->wait.done = opened;
		share_open(partition, entry->group, &entry->wait);
	} else {
		settle(entry, partition);
	}
}
