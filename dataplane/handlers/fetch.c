/* Fetch: reads on the owner shards, long polls parked there, woken by the append.
 *
 * The connection's shard ("home") makes one part a shard.  A part goes to its owner, reads its
 * partitions one after the other within its share of the byte limits, and comes home with
 * references to the log's buffers.  With too little to give it parks at the owner: it watches its
 * logs, and runs again when one of them grows.  Home cancels parked parts when the request's time
 * is over or another part has brought enough; a cancelled part comes home with what there is.
 *
 *     home:   made -> out ------------------------------------> home -> answered -> released
 *     owner:          running <-> parked -> ready -> running -> (sent home)
 *
 * min_bytes is shared out: if the parts together have min_bytes, one has at least its share, so it
 * cannot happen that all sleep while there is enough.  The references are given back to the owner
 * after the response has left.
 *
 * A reader of committed records sees as far as the last stable offset, as others as far as the high
 * watermark, and is told which transactions among what it gets were aborted.
 *
 * Fetch sessions (KIP-227) are declined: session id 0 in every answer, which makes every client
 * send full requests. */
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/read_batches.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	RESPONSE_BYTES_MAX = 64 << 20, /* whatever the client allows */
	/* Reads whose answers have not left, each of 1.6 KB: what an entry of a few bytes can ask
	 * for.  Entries beyond get nothing this time. */
	PART_READS_MAX = 1024,
	SHARD_READS_MAX = 65536,
};

static const char too_much[] = "request needs too much memory";

struct fetch;
struct fetch_part;

/* An owner shard's: a read and the memory it refers to. */
struct fetch_read {
	struct log_read read;
	struct list link; /* shard.free_reads */
	struct fetch_entry *entry;
	/* Of a reader of committed records; the room is kept. */
	struct aborted_transaction *aborted;
	size_t aborted_count;
	size_t aborted_max;
};

struct fetch_entry {
	struct fetch_entry *next;
	struct fetch_part *part;
	uint64_t key;
	int64_t offset;
	size_t bytes_max;
	int32_t current_epoch; /* -1: not given */
	int32_t last_epoch;    /* -1: not given */
	struct log_watch watch;
	struct fetch_read *read; /* null: nothing to give */
	/* Results. */
	int rc;
	int64_t high_watermark;
	int64_t last_stable_offset;
	int64_t log_start_offset;
	int32_t diverging_epoch; /* -1: does not diverge */
	int64_t diverging_end;
	struct kafka_fetch_response_partition_data *response;
};

enum part_phase { PART_MADE, PART_RUNNING, PART_PARKED, PART_READY, PART_HOME };

struct fetch_part {
	struct message message;
	struct message cancel;
	struct fetch *fetch;
	unsigned owner_index;
	enum part_phase phase; /* the owner's while out */
	bool out;              /* home's */
	bool cancel_out;       /* home's */
	struct fetch_entry *first;
	struct fetch_entry *last;
	/* The owner's. */
	struct shard *owner;
	struct list ready;
	struct fetch_entry *at;
	bool stepping;
	bool reading;
	bool cancelled;
	bool may_wait;
	bool failed;
	unsigned reads;
	size_t bytes;
	size_t bytes_max;
	size_t bytes_wanted;
};

struct fetch {
	struct request *request;
	struct timer deadline;
	size_t bytes;
	size_t bytes_wanted;
	bool failed; /* some partition has an error: answer now */
	bool may_wait;
	bool committed; /* isolation level */
	unsigned parts_out;
	unsigned cancels_out;
	unsigned releases_out;
	struct fetch_part parts[]; /* one a shard */
};

/* ---- on the owner: reads ---- */

static struct fetch_read *take_read(struct shard *shard)
{
	struct list *node = list_pop_front(&shard->free_reads);

	return node ? container_of(node, struct fetch_read, link)
		    : calloc(1, sizeof(struct fetch_read));
}

static void give_read(struct shard *shard, struct fetch_entry *entry)
{
	if (!entry->read)
		return;
	log_read_release(shard->store, &entry->read->read);
	entry->read->aborted_count = 0;
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
static int note_aborted(const struct log *log, struct fetch_read *read, int64_t from, int64_t below)
{
	if (log_aborted(log, from, below, NULL, 0) == 0)
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

static int note_aborted_of(struct fetch_entry *entry)
{
	const struct partition *partition = shard_partition(entry->part->owner, entry->key);

	return partition ? note_aborted(partition->log, entry->read, entry->offset,
					entry->last_stable_offset)
			 : -ERR_UNKNOWN_PARTITION;
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
	if (entry->rc == 0) {
		part->bytes += read->bytes;
		shard_count(part->owner, fetch_bytes, read->bytes);
	} else {
		part->failed = true;
	}
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
	entry->high_watermark = log_high_watermark(log);
	entry->last_stable_offset = log_last_stable_offset(log);
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
	const struct partition *partition = shard_partition(shard, entry->key);

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

/* ---- on the owner: the part ---- */

static void part_home(struct message *message, void *receiver);

static void send_home(struct fetch_part *part)
{
	unsigned home = part->fetch->request->shard->options.index;

	part->phase = PART_HOME;
	if (home == part->owner->options.index) {
		part_home(&part->message, part->owner);
		return;
	}
	part->message.handle = part_home;
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
	part->at = part->first;
	step(part);
}

static void part_arrived(struct message *message, void *receiver)
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

/* ---- cancelling ---- */

static void answer_when_home(struct fetch *fetch);

static void cancel_returned(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, cancel);

	(void)receiver;
	part->cancel_out = false;
	part->fetch->cancels_out--;
	answer_when_home(part->fetch);
}

static void part_cancelled(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, cancel);
	struct shard *shard = receiver;
	unsigned home = part->fetch->request->shard->options.index;

	part->cancelled = true;
	make_ready(part);
	message->handle = cancel_returned;
	shard_send(shard, home, message);
}

static void cancel_parts(struct fetch *fetch)
{
	struct shard *shard = fetch->request->shard;

	for (unsigned i = 0; i < shard->options.shard_count; i++) {
		struct fetch_part *part = &fetch->parts[i];
		if (!part->out || part->cancel_out)
			continue;
		part->cancel_out = true;
		fetch->cancels_out++;
		part->cancel.handle = part_cancelled;
		shard_send(shard, i, &part->cancel);
	}
}

static void deadline_passed(struct timer *timer)
{
	cancel_parts(container_of(timer, struct fetch, deadline));
}

static void fetch_cancel(struct request *request)
{
	cancel_parts(request->state);
}

/* ---- at home: the answer ---- */

/* -ENOMEM. */
static int report_aborted(struct request *request, const struct fetch_read *read,
			  struct kafka_fetch_response_partition_data *response)
{
	response->aborted_transactions_count = 0;
	if (!read || !read->aborted_count)
		return 0;
	response->aborted_transactions = request_calloc(request, read->aborted_count,
							sizeof(*response->aborted_transactions));
	if (!response->aborted_transactions)
		return -ENOMEM;
	response->aborted_transactions_count = (int32_t)read->aborted_count;
	for (size_t i = 0; i < read->aborted_count; i++) {
		struct kafka_fetch_response_aborted_transaction *row =
			&response->aborted_transactions[i];
		kafka_fetch_response_aborted_transaction_init(row);
		row->producer_id = read->aborted[i].producer_id;
		row->first_offset = read->aborted[i].first_offset;
	}
	return 0;
}

/* -ENOMEM. */
static int report(struct request *request, struct fetch_entry *entry)
{
	struct kafka_fetch_response_partition_data *response = entry->response;

	response->error_code = kafka_code_of(entry->rc);
	response->high_watermark = entry->high_watermark;
	response->last_stable_offset = entry->last_stable_offset;
	response->log_start_offset = entry->log_start_offset;
	if (entry->diverging_epoch >= 0) {
		response->diverging_epoch.epoch = entry->diverging_epoch;
		response->diverging_epoch.end_offset = entry->diverging_end;
	}
	if (entry->rc == 0 && entry->read) {
		const struct log_read *read = &entry->read->read;
		response->records.vectors = read->vectors;
		response->records.vector_count = read->vector_count;
		response->records.length = (int32_t)read->bytes;
	}
	if (entry->rc == 0 && entry->part->fetch->committed)
		return report_aborted(request, entry->read, response);
	return 0;
}

/* -ENOMEM. */
static int report_all(struct fetch *fetch)
{
	struct request *request = fetch->request;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct fetch_entry *entry = fetch->parts[i].first; entry;
		     entry = entry->next) {
			if (report(request, entry) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static void answer_when_home(struct fetch *fetch)
{
	struct request *request = fetch->request;

	if (fetch->parts_out || fetch->cancels_out || request->answered)
		return;
	timers_disarm(&request->shard->timers, &fetch->deadline);
	request->cancel = NULL;
	if (report_all(fetch) < 0)
		request_fail(request, too_much);
	else
		request_answer(request);
}

static void part_home(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, message);
	struct fetch *fetch = part->fetch;

	(void)receiver;
	check(part->out && fetch->parts_out > 0);
	part->out = false;
	fetch->parts_out--;
	fetch->bytes += part->bytes;
	fetch->failed |= part->failed;
	if (fetch->parts_out && (fetch->failed || fetch->bytes >= fetch->bytes_wanted))
		cancel_parts(fetch);
	answer_when_home(fetch);
}

/* ---- at home: after the answer ---- */

static void release_returned(struct message *message, void *receiver)
{
	struct fetch *fetch = container_of(message, struct fetch_part, message)->fetch;

	(void)receiver;
	if (--fetch->releases_out == 0)
		request_free(fetch->request);
}

static void release_reads(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, message);
	struct shard *owner = receiver;
	unsigned home = part->fetch->request->shard->options.index;

	for (struct fetch_entry *entry = part->first; entry; entry = entry->next)
		give_read(owner, entry);
	if (home == owner->options.index) {
		release_returned(message, owner);
		return;
	}
	message->handle = release_returned;
	shard_send(owner, home, message);
}

static void fetch_release(struct request *request)
{
	struct fetch *fetch = request->state;
	struct shard *shard = request->shard;

	fetch->releases_out = 1; /* our own, so that the request lives through the loop */
	for (unsigned i = 0; i < shard->options.shard_count; i++) {
		struct fetch_part *part = &fetch->parts[i];
		if (!part->first)
			continue;
		fetch->releases_out++;
		if (i == shard->options.index) {
			release_reads(&part->message, shard);
			continue;
		}
		part->message.handle = release_reads;
		shard_send(shard, i, &part->message);
	}
	if (--fetch->releases_out == 0)
		request_free(request);
}

/* ---- at home: the request ---- */

static int add_partition(struct fetch *fetch, const struct topic *topic, int unknown_rc,
			 const struct kafka_fetch_request_fetch_partition *wanted,
			 struct kafka_fetch_response_partition_data *response)
{
	struct request *request = fetch->request;
	unsigned shards = request->shard->options.shard_count;

	kafka_fetch_response_partition_data_init(response);
	response->partition_index = wanted->partition;
	response->high_watermark = -1;
	response->aborted_transactions_count = -1;
	if (!topic || wanted->partition < 0 || wanted->partition >= topic->partition_count) {
		response->error_code = kafka_code_of(topic ? -ERR_UNKNOWN_PARTITION : unknown_rc);
		fetch->failed = true;
		return 0;
	}
	struct fetch_entry *entry = request_calloc(request, 1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	struct fetch_part *part = &fetch->parts[partition_shard(topic, wanted->partition, shards)];
	*entry = (struct fetch_entry){
		.part = part,
		.key = partition_key(topic->number, wanted->partition),
		.offset = wanted->fetch_offset,
		.bytes_max = wanted->partition_max_bytes > 0 ? (size_t)wanted->partition_max_bytes
							     : 0,
		.current_epoch = wanted->current_leader_epoch,
		.last_epoch = wanted->last_fetched_epoch,
		.response = response,
	};
	if (part->last)
		part->last->next = entry;
	else
		part->first = entry;
	part->last = entry;
	return 0;
}

static int add_topic(struct fetch *fetch, const struct kafka_fetch_request_fetch_topic *wanted,
		     struct kafka_fetch_response_fetchable_topic_response *response)
{
	struct request *request = fetch->request;
	bool by_id = request->header.api_version >= 13;
	const struct topic *topic = by_id ? topics_find_id(request->shard->topics,
							   &wanted->topic_id)
					  : topic_named(request->shard, &wanted->topic);

	kafka_fetch_response_fetchable_topic_response_init(response);
	response->topic = wanted->topic;
	response->topic_id = wanted->topic_id;
	response->partitions = request_calloc(request, (size_t)wanted->partitions_count,
					      sizeof(*response->partitions));
	if (!response->partitions)
		return -ENOMEM;
	response->partitions_count = wanted->partitions_count;
	for (int32_t i = 0; i < wanted->partitions_count; i++) {
		int rc = add_partition(fetch, topic,
				       by_id ? -ERR_UNKNOWN_TOPIC_ID : -ERR_UNKNOWN_PARTITION,
				       &wanted->partitions[i], &response->partitions[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void share_limits(struct fetch *fetch, const struct kafka_fetch_request *message)
{
	size_t bytes_max = message->max_bytes > 0 ? (size_t)message->max_bytes : 0;
	unsigned parts = 0;

	if (bytes_max > RESPONSE_BYTES_MAX)
		bytes_max = RESPONSE_BYTES_MAX;
	fetch->bytes_wanted = message->min_bytes > 0 ? (size_t)message->min_bytes : 0;
	if (fetch->bytes_wanted > bytes_max)
		fetch->bytes_wanted = bytes_max;
	for (unsigned i = 0; i < fetch->request->shard->options.shard_count; i++)
		parts += fetch->parts[i].first != NULL;
	fetch->may_wait = message->max_wait_ms > 0 && !fetch->failed;
	for (unsigned i = 0; parts && i < fetch->request->shard->options.shard_count; i++) {
		fetch->parts[i].may_wait = fetch->may_wait;
		fetch->parts[i].bytes_max = bytes_max / parts;
		fetch->parts[i].bytes_wanted = (fetch->bytes_wanted + parts - 1) / parts;
	}
}

static void start(struct fetch *fetch, const struct kafka_fetch_request *message)
{
	struct request *request = fetch->request;
	struct shard *shard = request->shard;

	share_limits(fetch, message);
	request->release = fetch_release;
	fetch->parts_out = 1; /* our own, so that nothing is answered before all are out */
	for (unsigned i = 0; i < shard->options.shard_count; i++) {
		struct fetch_part *part = &fetch->parts[i];
		if (!part->first)
			continue;
		part->out = true;
		fetch->parts_out++;
		if (i == shard->options.index) {
			part_arrived(&part->message, shard);
			continue;
		}
		part->message.handle = part_arrived;
		shard_send(shard, i, &part->message);
	}
	fetch->parts_out--;
	if (fetch->parts_out && fetch->may_wait) {
		request->cancel = fetch_cancel;
		fetch->deadline.expired = deadline_passed;
		int rc = timers_arm(&shard->timers, &fetch->deadline,
				    shard->now_ns + (uint64_t)message->max_wait_ms * NS_PER_MS);
		/* Our own part may have come home, with an error or with enough, before the others
		 * were out and could be cancelled.  Nor is there a wait without an end. */
		if (rc < 0 || shard->phase >= SHARD_DRAINING || fetch->failed ||
		    fetch->bytes >= fetch->bytes_wanted)
			cancel_parts(fetch);
	}
	answer_when_home(fetch);
}

static struct fetch *fetch_new(struct request *request)
{
	unsigned shards = request->shard->options.shard_count;
	struct fetch *fetch = request_calloc(request, 1,
					     sizeof(*fetch) + shards * sizeof(fetch->parts[0]));

	if (!fetch)
		return NULL;
	fetch->request = request;
	for (unsigned i = 0; i < shards; i++) {
		fetch->parts[i].fetch = fetch;
		fetch->parts[i].owner_index = i;
	}
	return fetch;
}

void handle_fetch(struct request *request)
{
	const struct kafka_fetch_request *message = request->message;
	struct kafka_fetch_response *response = request->response;
	struct fetch *fetch = fetch_new(request);
	int rc = -ENOMEM;

	if (message->session_id != 0) {
		/* Not one of ours: we never hand out any. */
		response->error_code = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
		request_answer(request);
		return;
	}
	response->responses = request_calloc(request, (size_t)message->topics_count,
					     sizeof(*response->responses));
	if (!fetch || !response->responses)
		goto fail;
	request->state = fetch;
	fetch->committed = message->isolation_level == ISOLATION_COMMITTED;
	response->responses_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		rc = add_topic(fetch, &message->topics[i], &response->responses[i]);
		if (rc < 0)
			goto fail;
	}
	start(fetch, message);
	return;
fail:
	request_fail(request, too_much);
}
