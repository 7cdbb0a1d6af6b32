/* A ShareFetch at the owners of its partitions: reading, and giving what was read to the member. */
#include "base/errors.h"
#include "dataplane/handlers/read_batches.h"
#include "dataplane/handlers/share_fetch_internal.h"
#include "dataplane/share/share_session.h"
#include "storage/batch.h"

#include <errno.h>
#include <stdlib.h>

enum {
	READ_BYTES_MAX = 1 << 20, /* of one partition: more than the records that clients ask for */
	RUNS_MAX = 64,            /* of one partition; more is for the next time */
	SHARD_READS_MAX = 65536,
};

/* Bytes up to the end of the batch with offset `wanted`, and the records in them. */
static size_t bytes_until(const struct log_read *read, int64_t wanted, uint64_t *ret_records)
{
	uint64_t records = 0;
	struct batch batch;
	int64_t last = -1;
	size_t at = 0;

	while (last < wanted && read_batch_at(read, at, &batch)) {
		last = batch_last_offset(&batch);
		at += batch.size;
		records += (uint64_t)batch.record_count;
	}
	*ret_records = records;
	return at < read->bytes ? at : read->bytes;
}

static void refer_to(struct share_fetch_entry *entry, size_t bytes)
{
	const struct log_read *read = &entry->read->read;

	entry->bytes = bytes;
	entry->vector_count = 0;
	for (unsigned i = 0; i < read->vector_count && bytes; i++) {
		struct iovec vector = read->vectors[i];
		if (vector.iov_len > bytes)
			vector.iov_len = bytes;
		entry->vectors[entry->vector_count++] = vector;
		bytes -= vector.iov_len;
	}
}

/* ---- on the owner: giving ---- */

void share_fetch_give_read(struct shard *shard, struct share_fetch_entry *entry)
{
	if (!entry->read)
		return;
	log_read_release(shard->store, &entry->read->read);
	shard->reads_live--;
	free(entry->read);
	entry->read = NULL;
}

struct share *share_fetch_share(struct shard *shard, const struct share_fetch_entry *entry)
{
	const struct partition *partition = shard_partition(shard, entry->share.scatter.key);

	return partition ? share_find(partition, entry->share.group) : NULL;
}

/* Takes for the member what there is between two offsets.  False: no more can be taken. */
static bool take_range(struct share_fetch *fetch, struct share_fetch_entry *entry,
		       struct share *share, int64_t first, int64_t last)
{
	struct share_run *runs = entry->runs + entry->run_count;
	int count = share_take(share, entry->share.holder, first, last, fetch->records_left, runs,
			       (size_t)(RUNS_MAX - entry->run_count));

	for (int i = 0; i < count; i++) {
		fetch->records_left -= (uint32_t)(runs[i].last - runs[i].first + 1);
		entry->run_count++;
	}
	return fetch->records_left && entry->run_count < RUNS_MAX;
}

/* Else it is a marker of a transaction, or all of its records are gone. */
static bool has_records(const struct batch *batch)
{
	return batch->record_count > 0 && !(batch->attributes & BATCH_CONTROL);
}

static void take_records(struct share_fetch *fetch, struct share_fetch_entry *entry,
			 struct share *share)
{
	const struct log_read *read = &entry->read->read;
	int64_t first = entry->from; /* that has not been looked at */
	int64_t last = -1;
	bool more = true;
	struct batch batch;

	for (size_t at = 0; more && read_batch_at(read, at, &batch); at += batch.size) {
		last = batch_last_offset(&batch);
		if (has_records(&batch))
			continue;
		more = take_range(fetch, entry, share, first, batch.base_offset - 1);
		if (more)
			share_skip(share, entry->share.holder, batch.base_offset, last);
		first = last + 1;
	}
	if (more)
		take_range(fetch, entry, share, first, last);
}

/* Takes for the member what there is among the records that were read. */
static void take(struct share_fetch *fetch, struct share_fetch_entry *entry)
{
	struct shard *shard = fetch->owner;
	struct share *share = share_fetch_share(shard, entry);
	uint64_t records;

	entry->runs = request_alloc(fetch->request, RUNS_MAX, sizeof(*entry->runs));
	entry->vectors = request_alloc(fetch->request, LOG_READ_VECTORS, sizeof(*entry->vectors));
	if (!share || !entry->runs || !entry->vectors)
		return;
	take_records(fetch, entry, share);
	if (!entry->run_count)
		return;
	refer_to(entry,
		 bytes_until(&entry->read->read, entry->runs[entry->run_count - 1].last, &records));
	fetch->bytes_left -= entry->bytes < fetch->bytes_left ? entry->bytes : fetch->bytes_left;
	fetch->found = true;
	shard_count_given(shard, shard_partition(shard, entry->share.scatter.key), entry->bytes,
			  records);
}

static void step(struct share_fetch *fetch);

static void fail(struct share_fetch *fetch, struct share_fetch_entry *entry, int rc)
{
	entry->rc = rc;
	fetch->failed = true;
}

static void read_done(struct log_read *read, int rc)
{
	struct share_fetch_entry *entry = container_of(read, struct share_read, read)->entry;
	struct share_fetch *fetch = entry->fetch;

	fetch->in_read = false;
	if (rc == 0)
		take(fetch, entry);
	/* Readers hold too much memory, or the log begins later by now: nothing this time. */
	else if (rc != -ENOBUFS && rc != -ERR_OFFSET_RANGE)
		fail(fetch, entry, rc);
	if (!entry->run_count)
		share_fetch_give_read(fetch->owner, entry);
	if (!fetch->stepping)
		step(fetch);
}

static void read_entry(struct share_fetch *fetch, struct share_fetch_entry *entry)
{
	struct shard *shard = fetch->owner;
	const struct partition *partition = shard_partition(shard, entry->share.scatter.key);

	if (!entry->reading || entry->rc < 0 || !fetch->records_left || !fetch->bytes_left ||
	    shard->reads_live == SHARD_READS_MAX)
		return;
	struct share *share = share_fetch_share(shard, entry);
	if (!share) {
		fail(fetch, entry, partition ? -ERR_NOT_OWNER : -ERR_UNKNOWN_PARTITION);
		return;
	}
	entry->from = share_readable(share);
	if (entry->from < 0)
		return;
	entry->read = calloc(1, sizeof(*entry->read));
	if (!entry->read) {
		fail(fetch, entry, -ENOMEM);
		return;
	}
	shard->reads_live++;
	entry->read->entry = entry;
	struct log_read *read = &entry->read->read;
	read->offset = entry->from;
	read->bytes_max = fetch->bytes_left < READ_BYTES_MAX ? fetch->bytes_left : READ_BYTES_MAX;
	read->oversize_first = !fetch->found;
	read->done = read_done;
	fetch->in_read = true;
	log_read(partition->log, read);
}

/* ---- the tour ---- */

static void came_home(struct message *message, void *receiver)
{
	(void)receiver;
	share_fetch_toured(container_of(message, struct share_fetch, message));
}

static void visit(struct message *message, void *receiver)
{
	struct share_fetch *fetch = container_of(message, struct share_fetch, message);
	struct shard *shard = receiver;

	fetch->owner = shard;
	fetch->next = first_of(fetch, shard->options.index);
	step(fetch);
}

static void send_to(struct share_fetch *fetch, unsigned shard,
		    void (*handle)(struct message *message, void *receiver))
{
	fetch->message.handle = handle;
	if (fetch->owner->options.index == shard)
		handle(&fetch->message, fetch->owner);
	else
		shard_send(fetch->owner, shard, &fetch->message);
}

/* Home is visited first. */
static void travel(struct share_fetch *fetch)
{
	while (fetch->records_left && fetch->bytes_left && fetch->visits < shards_of(fetch)) {
		unsigned shard = (home_of(fetch) + fetch->visits++) % shards_of(fetch);
		if (first_of(fetch, shard)) {
			send_to(fetch, shard, visit);
			return;
		}
	}
	send_to(fetch, home_of(fetch), came_home);
}

/* Reads entry after entry; returns while a read is under way and is called again by its end. */
static void step(struct share_fetch *fetch)
{
	fetch->stepping = true;
	while (fetch->next) {
		struct share_fetch_entry *entry = fetch->next;
		fetch->next = next_of(entry);
		read_entry(fetch, entry);
		if (fetch->in_read) {
			fetch->stepping = false;
			return;
		}
	}
	fetch->stepping = false;
	travel(fetch);
}

void share_fetch_tour(struct share_fetch *fetch)
{
	fetch->owner = fetch->request->shard;
	fetch->visits = 0;
	travel(fetch);
}
