/* A Fetch on the owner shards of its partitions: reading, parking, being woken; fetch.c draws it.
 */
#include "dataplane/handlers/fetch_internal.h"

#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/read_batches.h"

#include <errno.h>
#include <stdlib.h>

enum {
	/* Reads whose answers have not left, each of 1.6 KB: what an entry of a few bytes can ask
	 * for.  Entries beyond get nothing this time. */
	PART_READS_MAX = 1024,
	SHARD_READS_MAX = 65536,
	ABORTED_ROOM_KEPT = 64, /* transactions, of a read that is not used */
};

/* ---- reads ---- */

static struct fetch_read *take_read(struct shard *shard)
{
	struct list *node = list_pop_front(&shard->free_reads);

	return node ? container_of(node, struct fetch_read, link)
		    : calloc(1, sizeof(struct fetch_read));
}

static void forget_aborted(struct fetch_read *read)
{
	read->aborted_count = 0;
	if (read->aborted_max <= ABORTED_ROOM_KEPT)
		return;
	free(read->aborted);
	read->aborted = NULL;
	read->aborted_max = 0;
}

static void give_read(struct shard *shard, struct fetch_entry *entry)
{
	if (!entry->read)
		return;
	log_read_release(shard->store, &entry->read->read);
	forget_aborted(entry->read);
	shard->reads_live--;
	entry->part->reads--;
	list_push_front(&shard->free_reads, &entry->read->link);
	entry->read = NULL;
}

void fetch_pool_fini(struct shard *shard)
{
	struct list *node;

	while ((node = list_pop_front(&shard->free_reads))) {
		struct fetch_read *read = container_of(node, struct fetch_read, link);
		free(read->aborted);
		free(read);
	}
}

static int by_first_offset(const void *a, const void *b)
{
	const struct aborted_transaction *x = a;
	const struct aborted_transaction *y = b;

	return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

/* -ENOMEM. */
static int make_room(struct fetch_read *read, size_t count)
{
	if (count <= read->aborted_max)
		return 0;
	void *aborted = realloc(read->aborted, count * sizeof(*read->aborted));
	if (!aborted)
		return -ENOMEM;
	read->aborted = aborted;
	read->aborted_max = count;
	return 0;
}

/* Which of the records that were read belong to aborted transactions.  Few logs have any: only then
 * it matters where the read ends.  -ENOMEM. */
static int note_aborted(const struct log *log, struct fetch_read *read, int64_t from)
{
	if (!log_has_aborted(log, from))
		return 0;
	int64_t end = read_last_offset(&read->read) + 1;
	size_t count = log_aborted(log, from, end, NULL, 0);
	int rc = make_room(read, count);
	if (rc < 0)
		return rc;
	log_aborted(log, from, end, read->aborted, count);
	/* Some clients take them in this order. */
	if (count)
		qsort(read->aborted, count, sizeof(*read->aborted), by_first_offset);
	read->aborted_count = count;
	return 0;
}

/* Of the part's readers. */
static int64_t readable_end(const struct fetch_entry *entry)
{
	return entry->part->fetch->committed ? entry->last_stable_offset : entry->high_watermark;
}

static void note_ends(const struct log *log, struct fetch_entry *entry)
{
	entry->high_watermark = log_high_watermark(log);
	entry->last_stable_offset = log_last_stable_offset(log);
}

/* While a file was read transactions may have ended, and what they wrote been read. */
static int note_aborted_of(struct fetch_entry *entry)
{
	const struct partition *partition = shard_partition(entry->part->owner, entry->key);

	if (!partition)
		return -ERR_UNKNOWN_PARTITION;
	note_ends(partition->log, entry);
	return note_aborted(partition->log, entry->read, entry->offset);
}

static void step(struct fetch_part *part);

static void read_done(struct log_read *read, int rc)
{
	struct fetch_entry *entry = container_of(read, struct fetch_read, read)->entry;
	struct fetch_part *part = entry->part;

	if (rc == 0 && part->fetch->committed && read->bytes)
		rc = note_aborted_of(entry);
	/* Readers hold too much memory: there is nothing for this one now, and it waits. */
	entry->rc = rc == -ENOBUFS ? 0 : rc;
	if (entry->rc == 0)
		part->bytes += read->bytes;
	else
		part->failed = true;
	part->reading = false;
	if (!part->stepping)
		step(part);
}

/* KIP-320: does the reader's history leave ours? */
static void check_divergence(const struct log *log, struct fetch_entry *entry)
{
	int32_t epoch;
	int64_t end;

	if (entry->last_epoch < 0)
		return;
	log_epoch_end(log, entry->last_epoch, &epoch, &end);
	if (epoch < 0 || (epoch >= entry->last_epoch && end >= entry->offset))
		return;
	entry->diverging_epoch = epoch;
	entry->diverging_end = end;
}

static int check_position(const struct log *log, struct fetch_entry *entry)
{
	note_ends(log, entry);
	entry->log_start_offset = log_start_offset(log);
	if (entry->current_epoch >= 0 && entry->current_epoch < log_leader_epoch(log))
		return -ERR_FENCED_EPOCH;
	if (entry->current_epoch > log_leader_epoch(log))
		return -ERR_UNKNOWN_EPOCH;
	if (entry->offset < entry->log_start_offset || entry->offset > log_end_offset(log))
		return -ERR_OFFSET_RANGE;
	return 0;
}

/* Starts the entry's read, or decides it without one. */
static void run_entry(struct fetch_part *part, struct fetch_entry *entry)
{
	struct shard *shard = part->owner;
	struct partition *partition = shard_partition(shard, entry->key);

	entry->partition = partition;
	entry->high_watermark = -1;
	entry->last_stable_offset = -1;
	entry->log_start_offset = -1;
	entry->diverging_epoch = -1;
	entry->rc = partition ? check_position(partition->log, entry) : -ERR_UNKNOWN_PARTITION;
	if (entry->rc < 0) {
		part->failed = true;
		return;
	}
	check_divergence(partition->log, entry);
	if (entry->diverging_epoch >= 0) {
		part->failed = true; /* answer now */
		return;
	}
	size_t left = part->bytes_max > part->bytes ? part->bytes_max - part->bytes : 0;
	bool first = part->bytes == 0;
	if (entry->offset >= readable_end(entry) || (!left && !first) ||
	    part->reads == PART_READS_MAX || shard->reads_live == SHARD_READS_MAX)
		return;
	entry->read = take_read(shard);
	if (!entry->read) {
		entry->rc = -ENOMEM;
		part->failed = true;
		return;
	}
	shard->reads_live++;
	part->reads++;
	entry->read->entry = entry;
	struct log_read *read = &entry->read->read;
	read->offset = entry->offset;
	read->bytes_max = entry->bytes_max < left ? entry->bytes_max : left;
	read->oversize_first = first;
	read->committed = part->fetch->committed;
	read->done = read_done;
	part->reading = true;
	log_read(partition->log, read);
}

/* ---- the part ---- */

/* Not when it is read: what is parked is read again. */
static void count_given(struct fetch_part *part, const struct fetch_entry *entry)
{
	struct partition *partition = entry->partition;

	if (!entry->read || entry->rc < 0)
		return;
	if (part->paused)
		partition = shard_partition(part->owner, entry->key);
	const struct log_read *read = &entry->read->read;
	shard_count_given(part->owner, partition, read->bytes, read->records);
}

static void send_home(struct fetch_part *part)
{
	unsigned home = part->fetch->request->shard->options.index;

	part->phase = PART_HOME;
	for (const struct fetch_entry *entry = part->first; entry; entry = entry->next)
		count_given(part, entry);
	if (home == part->owner->options.index) {
		fetch_part_home(&part->message, part->owner);
		return;
	}
	part->message.handle = fetch_part_home;
	shard_send(part->owner, home, &part->message);
}

static void make_ready(struct fetch_part *part)
{
	if (part->phase != PART_PARKED)
		return;
	part->phase = PART_READY;
	list_push_back(&part->owner->ready_fetches, &part->ready);
}

static void log_changed(struct log_watch *watch)
{
	make_ready(container_of(watch, struct fetch_entry, watch)->part);
}

/* For the part's readers. */
static bool has_grown(const struct log *log, const struct fetch_entry *entry)
{
	int64_t end = entry->part->fetch->committed ? log_last_stable_offset(log)
						    : log_high_watermark(log);

	return end > readable_end(entry);
}

/* What was read is too little, and is read again with more: no memory is held for so long. */
static void park(struct fetch_part *part)
{
	bool changed = false;

	part->phase = PART_PARKED;
	for (struct fetch_entry *entry = part->first; entry; entry = entry->next) {
		struct partition *partition = shard_partition(part->owner, entry->key);
		give_read(part->owner, entry);
		entry->watch.changed = log_changed;
		if (partition)
			log_watch(partition->log, &entry->watch);
		/* Grown while another partition was being read? */
		if (!partition || has_grown(partition->log, entry))
			changed = true;
	}
	if (changed)
		make_ready(part);
}

/* Reads entry after entry; returns while a read is under way and is called again by its end. */
static void step(struct fetch_part *part)
{
	part->stepping = true;
	while (part->at) {
		struct fetch_entry *entry = part->at;
		part->at = entry->next;
		run_entry(part, entry);
		if (part->reading) {
			part->paused = true;
			part->stepping = false;
			return;
		}
	}
	part->stepping = false;
	if (part->may_wait && !part->cancelled && !part->failed && part->bytes < part->bytes_wanted)
		park(part);
	else
		send_home(part);
}

static void run_part(struct fetch_part *part)
{
	for (struct fetch_entry *entry = part->first; entry; entry = entry->next) {
		log_unwatch(&entry->watch);
		give_read(part->owner, entry);
	}
	part->phase = PART_RUNNING;
	part->bytes = 0;
	part->failed = false;
	part->paused = false;
	part->at = part->first;
	step(part);
}

void fetch_part_arrived(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, message);

	part->owner = receiver;
	run_part(part);
}

unsigned fetch_run_ready(struct shard *shard)
{
	unsigned ran = 0;
	struct list *node;

	while ((node = list_pop_front(&shard->ready_fetches))) {
		run_part(container_of(node, struct fetch_part, ready));
		ran++;
	}
	return ran;
}

/* ---- after that ---- */

void fetch_part_cancelled(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, cancel);
	struct shard *shard = receiver;
	unsigned home = part->fetch->request->shard->options.index;

	part->cancelled = true;
	make_ready(part);
	message->handle = fetch_cancel_returned;
	shard_send(shard, home, message);
}

void fetch_part_release(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, message);
	struct shard *owner = receiver;
	unsigned home = part->fetch->request->shard->options.index;

	for (struct fetch_entry *entry = part->first; entry; entry = entry->next)
		give_read(owner, entry);
	if (home == owner->options.index) {
		fetch_release_returned(message, owner);
		return;
	}
	message->handle = fetch_release_returned;
	shard_send(owner, home, message);
}
