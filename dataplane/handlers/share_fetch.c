/* ShareFetch: records for a member of a share group (KIP-932).
 *
 *     settle   scatter: partitions that are new in the session are opened, what the member says of
 *              earlier records is made durable
 *     tour     the request visits the owners one after the other, and each gives what it has, until
 *              there are enough records
 *     watch    nothing was found: every owner watches its partitions; the first that sees something
 *              has the others called back, and the tour begins anew
 *
 * Owners are visited one at a time because what is given is locked: two that gave all that was
 * asked for would lock twice as much as the member wants.  A partition is read from its first
 * available record on; what of the batches that were read is available goes to the member.
 *
 * The answer refers to the owners' buffers, which are given back after it has left. */
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/share_entry.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/share/share_session.h"
#include "storage/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PARTITION struct kafka_share_fetch_response_partition_data
#define TOPIC struct kafka_share_fetch_response_share_fetchable_topic_response
#define BATCH struct kafka_share_fetch_response_acquired_records

enum {
	RESPONSE_BYTES_MAX = 64 << 20,
	READ_BYTES_MAX = 1 << 20, /* of one partition: more than the records that clients ask for */
	RUNS_MAX = 64,            /* of one partition; more is for the next time */
	SHARD_READS_MAX = 65536,
};

struct share_fetch;

/* An owner's: a read that the answer refers to. */
struct share_read {
	struct log_read read;
	struct share_fetch_entry *entry;
};

struct share_fetch_entry {
	struct share_entry share; /* first */
	struct share_fetch *fetch;
	struct uuid topic_id;
	int32_t partition;
	bool reading; /* asked for records, too */
	bool asked;   /* named by the request: in the answer in any case */
	int rc;
	int64_t from;
	struct share_read *read; /* null: nothing to give */
	struct iovec *vectors;   /* of it, as far as the last record given */
	unsigned vector_count;
	size_t bytes;
	struct share_run *runs;
	int run_count;
	struct log_watch log_watch;
	struct share_watch watch;
};

/* One a shard. */
struct share_watching {
	struct message message;
	struct message cancel;
	struct share_fetch *fetch;
	struct shard *owner;
	bool armed;      /* the owner's */
	bool out;        /* home's */
	bool cancel_out; /* home's */
};

struct share_fetch {
	struct request *request;
	struct share_session *session;
	struct scatter *scatter;
	struct share_fetch_entry *entries;
	size_t entry_count;
	struct timer deadline;
	/* The tour. */
	struct message message;
	struct shard *owner; /* where it is */
	unsigned visits;
	struct share_fetch_entry *next;
	bool stepping;
	bool in_read;
	uint32_t records_left;
	size_t bytes_left;
	bool found;
	bool failed;
	/* Home's. */
	bool may_wait;
	bool over; /* time, connection or broker */
	unsigned watches_out;
	unsigned cancels_out;
	unsigned releases_out;
	struct share_watching watching[];
};

static struct share_fetch_entry *first_of(const struct share_fetch *fetch, unsigned shard)
{
	return (void *)fetch->scatter->parts[shard].first;
}

static struct share_fetch_entry *next_of(const struct share_fetch_entry *entry)
{
	return (void *)entry->share.scatter.next;
}

static unsigned home_of(const struct share_fetch *fetch)
{
	return fetch->request->shard->options.index;
}

static unsigned shards_of(const struct share_fetch *fetch)
{
	return fetch->request->shard->options.shard_count;
}

/* ---- on the owner: what was read ---- */

/* `size` bytes at `at` of what was read, which may lie in several pieces. */
static void copy_out(const struct log_read *read, size_t at, void *to, size_t size)
{
	uint8_t *into = to;

	for (unsigned i = 0; i < read->vector_count && size; i++) {
		const struct iovec *vector = &read->vectors[i];
		if (at >= vector->iov_len) {
			at -= vector->iov_len;
			continue;
		}
		size_t here = vector->iov_len - at < size ? vector->iov_len - at : size;
		memcpy(into, (const uint8_t *)vector->iov_base + at, here);
		into += here;
		size -= here;
		at = 0;
	}
	check(!size);
}

/* The batch at `at`: its size and last offset.  False: the end. */
static bool batch_at(const struct log_read *read, size_t at, size_t *ret_size, int64_t *ret_last)
{
	uint8_t header[BATCH_HEADER_BYTES];
	struct batch batch;

	if (read->bytes - at < sizeof(header))
		return false;
	copy_out(read, at, header, sizeof(header));
	int rc = batch_parse(&batch, header, sizeof(header));
	if (rc < 0 && rc != -EMSGSIZE)
		return false;
	*ret_size = batch.size;
	*ret_last = batch.base_offset + batch.last_offset_delta;
	return true;
}

/* -1: not one batch. */
static int64_t last_offset(const struct log_read *read)
{
	int64_t last = -1;
	size_t size;

	for (size_t at = 0; batch_at(read, at, &size, &last); at += size)
		continue;
	return last;
}

/* Bytes up to the end of the batch with offset `wanted`. */
static size_t bytes_until(const struct log_read *read, int64_t wanted)
{
	size_t at = 0, size;
	int64_t last = -1;

	while (last < wanted && batch_at(read, at, &size, &last))
		at += size;
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

static void give_read(struct shard *shard, struct share_fetch_entry *entry)
{
	if (!entry->read)
		return;
	log_read_release(shard->store, &entry->read->read);
	shard->reads_live--;
	free(entry->read);
	entry->read = NULL;
}

static struct share *share_of_entry(struct shard *shard, const struct share_fetch_entry *entry)
{
	const struct partition *partition = shard_partition(shard, entry->share.scatter.key);

	return partition ? share_find(partition, entry->share.group) : NULL;
}

/* Takes for the member what there is among the records that were read. */
static void take(struct share_fetch *fetch, struct share_fetch_entry *entry)
{
	struct shard *shard = fetch->owner;
	const struct log_read *read = &entry->read->read;
	struct share *share = share_of_entry(shard, entry);
	int64_t last = last_offset(read);

	entry->runs = request_alloc(fetch->request, RUNS_MAX, sizeof(*entry->runs));
	entry->vectors = request_alloc(fetch->request, LOG_READ_VECTORS, sizeof(*entry->vectors));
	if (!share || last < entry->from || !entry->runs || !entry->vectors)
		return;
	int count = share_take(share, entry->share.holder, entry->from, last, fetch->records_left,
			       entry->runs, RUNS_MAX);
	if (count <= 0)
		return;
	entry->run_count = count;
	refer_to(entry, bytes_until(read, entry->runs[count - 1].last));
	for (int i = 0; i < count; i++)
		fetch->records_left -= (uint32_t)(entry->runs[i].last - entry->runs[i].first + 1);
	fetch->bytes_left -= entry->bytes < fetch->bytes_left ? entry->bytes : fetch->bytes_left;
	fetch->found = true;
	shard_count(shard, fetch_bytes, entry->bytes);
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
		give_read(fetch->owner, entry);
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
	struct share *share = share_of_entry(shard, entry);
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

static void tour_over(struct share_fetch *fetch);

static void came_home(struct message *message, void *receiver)
{
	(void)receiver;
	tour_over(container_of(message, struct share_fetch, message));
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

static void begin_tour(struct share_fetch *fetch)
{
	fetch->owner = fetch->request->shard;
	fetch->visits = 0;
	travel(fetch);
}

/* ---- watching ---- */

static void watch_ended(struct message *message, void *receiver);

static void call_back(struct share_watching *watching)
{
	struct shard *owner = watching->owner;
	struct share_fetch *fetch = watching->fetch;

	if (!watching->armed)
		return;
	watching->armed = false;
	for (struct share_fetch_entry *entry = first_of(fetch, owner->options.index); entry;
	     entry = next_of(entry)) {
		log_unwatch(&entry->log_watch);
		share_unwatch(&entry->watch);
	}
	/* Also at home by message: an append or another member's request is up the stack. */
	watching->message.handle = watch_ended;
	shard_send(owner, home_of(fetch), &watching->message);
}

static void entry_changed(struct share_fetch_entry *entry)
{
	call_back(&entry->fetch->watching[entry->share.scatter.part->owner]);
}

static void log_changed(struct log_watch *watch)
{
	entry_changed(container_of(watch, struct share_fetch_entry, log_watch));
}

static void share_changed(struct share_watch *watch)
{
	entry_changed(container_of(watch, struct share_fetch_entry, watch));
}

/* False: there is something to be seen already. */
static bool watch_entry(struct shard *shard, struct share_fetch_entry *entry)
{
	const struct partition *partition = shard_partition(shard, entry->share.scatter.key);
	struct share *share = share_of_entry(shard, entry);

	if (!entry->reading)
		return true;
	if (!share || share_readable(share) >= 0)
		return false;
	entry->log_watch.changed = log_changed;
	entry->watch.changed = share_changed;
	log_watch(partition->log, &entry->log_watch);
	share_watch(share, &entry->watch);
	return true;
}

static void watch_begun(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, message);
	struct shard *shard = receiver;
	bool quiet = true;

	watching->owner = shard;
	watching->armed = true;
	for (struct share_fetch_entry *entry = first_of(watching->fetch, shard->options.index);
	     entry && quiet; entry = next_of(entry))
		quiet = watch_entry(shard, entry);
	if (!quiet)
		call_back(watching);
}

static void answer(struct share_fetch *fetch);

static void go_on_when_home(struct share_fetch *fetch)
{
	if (fetch->watches_out || fetch->cancels_out)
		return;
	if (fetch->over)
		answer(fetch);
	else
		begin_tour(fetch);
}

static void cancel_ended(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, cancel);

	(void)receiver;
	watching->cancel_out = false;
	watching->fetch->cancels_out--;
	go_on_when_home(watching->fetch);
}

static void cancelled(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, cancel);

	call_back(watching);
	message->handle = cancel_ended;
	shard_send(receiver, home_of(watching->fetch), message);
}

static void cancel_watches(struct share_fetch *fetch)
{
	struct shard *shard = fetch->request->shard;

	for (unsigned i = 0; i < shards_of(fetch); i++) {
		struct share_watching *watching = &fetch->watching[i];
		if (!watching->out || watching->cancel_out)
			continue;
		watching->cancel_out = true;
		fetch->cancels_out++;
		watching->cancel.handle = cancelled;
		shard_send(shard, i, &watching->cancel);
	}
}

static void watch_ended(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, message);
	struct share_fetch *fetch = watching->fetch;

	(void)receiver;
	watching->out = false;
	fetch->watches_out--;
	cancel_watches(fetch);
	go_on_when_home(fetch);
}

static void begin_watch(struct share_fetch *fetch)
{
	struct shard *shard = fetch->request->shard;

	for (unsigned i = 0; i < shards_of(fetch); i++) {
		struct share_watching *watching = &fetch->watching[i];
		if (!first_of(fetch, i))
			continue;
		watching->out = true;
		fetch->watches_out++;
		watching->message.handle = watch_begun;
		shard_send(shard, i, &watching->message);
	}
}

static void end_soon(struct share_fetch *fetch)
{
	fetch->over = true;
	cancel_watches(fetch);
}

static void deadline_passed(struct timer *timer)
{
	end_soon(container_of(timer, struct share_fetch, deadline));
}

static void cancel(struct request *request)
{
	end_soon(request->state);
}

static void tour_over(struct share_fetch *fetch)
{
	const struct shard *shard = fetch->request->shard;

	if (fetch->found || fetch->failed || fetch->over || !fetch->may_wait ||
	    shard->phase >= SHARD_DRAINING)
		answer(fetch);
	else
		begin_watch(fetch);
}

/* ---- the answer ---- */

static int fill_acquired(const struct share_fetch *fetch, const struct share_fetch_entry *entry,
			 PARTITION *row)
{
	const struct kafka_share_fetch_request *message = fetch->request->message;
	int64_t most = message->batch_size > 0 ? message->batch_size : INT32_MAX;
	size_t count = 0;

	for (int i = 0; i < entry->run_count; i++)
		count += (size_t)((entry->runs[i].last - entry->runs[i].first) / most + 1);
	row->acquired_records = request_alloc(fetch->request, count + 1, sizeof(BATCH));
	if (!row->acquired_records)
		return -ENOMEM;
	for (int i = 0; i < entry->run_count; i++) {
		const struct share_run *run = &entry->runs[i];
		for (int64_t first = run->first; first <= run->last; first += most) {
			int64_t last = run->last - first < most ? run->last : first + most - 1;
			row->acquired_records[row->acquired_records_count++] =
				(BATCH){first, last, (int16_t)run->deliveries};
		}
	}
	return 0;
}

static int fill_partition(struct share_fetch *fetch, struct share_fetch_entry *entry,
			  PARTITION *row)
{
	kafka_share_fetch_response_partition_data_init(row);
	row->partition_index = entry->partition;
	row->error_code = kafka_code_of(entry->rc);
	row->acknowledge_error_code = kafka_code_of(entry->share.acknowledge_rc);
	row->records.vectors = entry->vectors;
	row->records.vector_count = entry->vector_count;
	row->records.length = (int32_t)entry->bytes;
	return fill_acquired(fetch, entry, row);
}

static bool is_told(const struct share_fetch_entry *entry)
{
	return entry->asked || entry->rc < 0 || entry->run_count;
}

/* Only what the member is to be told; a topic's partitions follow one another. */
static int fill(struct share_fetch *fetch)
{
	struct request *request = fetch->request;
	struct kafka_share_fetch_response *response = request->response;
	PARTITION *rows = request_alloc(request, fetch->entry_count + 1, sizeof(*rows));
	TOPIC *topic = NULL;

	response->responses = request_alloc(request, fetch->entry_count + 1, sizeof(*topic));
	if (!rows || !response->responses)
		return -ENOMEM;
	for (size_t i = 0; i < fetch->entry_count; i++) {
		struct share_fetch_entry *entry = &fetch->entries[i];
		if (!is_told(entry))
			continue;
		if (!topic || !uuid_equal(&topic->topic_id, &entry->topic_id)) {
			topic = &response->responses[response->responses_count++];
			kafka_share_fetch_response_share_fetchable_topic_response_init(topic);
			topic->topic_id = entry->topic_id;
			topic->partitions = rows;
		}
		topic->partitions_count++;
		if (fill_partition(fetch, entry, rows++) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* What is not open (any more) is opened anew by the session's next request. */
static void note_opened(struct share_fetch *fetch)
{
	for (size_t i = 0; i < fetch->entry_count; i++) {
		const struct share_fetch_entry *entry = &fetch->entries[i];
		struct share_row *row = share_session_find(fetch->session, &entry->topic_id,
							   entry->partition);
		if (row && entry->reading)
			row->opened = entry->rc == 0;
	}
}

static void answer(struct share_fetch *fetch)
{
	struct request *request = fetch->request;
	const struct kafka_share_fetch_request *message = request->message;

	timers_disarm(&request->shard->timers, &fetch->deadline);
	request->cancel = NULL;
	note_opened(fetch);
	if (message->share_session_epoch == SHARE_SESSION_CLOSE)
		share_session_close(request->channel, fetch->session);
	int rc = fill(fetch);
	/* What cannot be told is given back with the session. */
	if (rc < 0)
		share_session_close(request->channel, fetch->session);
	share_session_ended(fetch->session);
	if (rc < 0)
		request_fail(request, "request needs too much memory");
	else
		request_answer(request);
}

/* ---- after the answer ---- */

static void release_ended(struct message *message, void *receiver)
{
	struct share_fetch *fetch = container_of(message, struct share_watching, message)->fetch;

	(void)receiver;
	if (--fetch->releases_out == 0)
		request_free(fetch->request);
}

static void release_reads(struct message *message, void *receiver)
{
	struct share_fetch *fetch = container_of(message, struct share_watching, message)->fetch;
	struct shard *owner = receiver;

	for (struct share_fetch_entry *entry = first_of(fetch, owner->options.index); entry;
	     entry = next_of(entry))
		give_read(owner, entry);
	message->handle = release_ended;
	if (owner->options.index == home_of(fetch))
		release_ended(message, owner);
	else
		shard_send(owner, home_of(fetch), message);
}

static void release(struct request *request)
{
	struct share_fetch *fetch = request->state;
	struct shard *shard = request->shard;

	fetch->releases_out = 1; /* our own, so that the request lives through the loop */
	for (unsigned i = 0; i < shards_of(fetch); i++) {
		struct message *message = &fetch->watching[i].message;
		if (!first_of(fetch, i))
			continue;
		fetch->releases_out++;
		message->handle = release_reads;
		if (i == shard->options.index)
			release_reads(message, shard);
		else
			shard_send(shard, i, message);
	}
	if (--fetch->releases_out == 0)
		request_free(request);
}

/* ---- the request ---- */

static void settled(struct request *request)
{
	struct share_fetch *fetch = request->state;

	for (size_t i = 0; i < fetch->entry_count; i++) {
		struct share_fetch_entry *entry = &fetch->entries[i];
		if (entry->rc == 0)
			entry->rc = entry->share.scatter.rc;
		fetch->failed |= entry->rc < 0 || entry->share.acknowledge_rc < 0;
		fetch->found |= entry->share.batch_count > 0; /* and its result is waited for */
	}
	begin_tour(fetch);
}

static size_t count_asked(const struct kafka_share_fetch_request *message)
{
	size_t count = 0;

	for (int32_t i = 0; i < message->topics_count; i++)
		count += (size_t)message->topics[i].partitions_count;
	return count;
}

static const struct topic *topic_of(const struct request *request, const struct uuid *id,
				    int32_t partition)
{
	const struct topic *topic = topics_find_id(request->shard->topics, id);

	return topic && partition >= 0 && partition < topic->partition_count ? topic : NULL;
}

/* The request's partitions become the session's. */
static int add_rows(struct share_fetch *fetch, const struct kafka_share_fetch_request *message)
{
	for (int32_t i = 0; i < message->topics_count; i++) {
		const struct kafka_share_fetch_request_fetch_topic *topic = &message->topics[i];
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			int32_t index = topic->partitions[j].partition_index;
			const struct topic *known = topic_of(fetch->request, &topic->topic_id,
							     index);
			struct share_row *row =
				known ? share_session_row(fetch->session, known, index) : NULL;
			if (known && !row)
				return -ENOMEM;
			if (row)
				row->reading = true;
		}
	}
	return 0;
}

/* What the member then still has of them it may still speak of. */
static void forget_rows(struct share_fetch *fetch, const struct kafka_share_fetch_request *message)
{
	for (int32_t i = 0; i < message->forgotten_topics_data_count; i++) {
		const struct kafka_share_fetch_request_forgotten_topic *topic =
			&message->forgotten_topics_data[i];
		for (int32_t j = 0; j < topic->partitions_count; j++) {
			struct share_row *row = share_session_find(fetch->session, &topic->topic_id,
								   topic->partitions[j]);
			if (row)
				row->reading = false;
		}
	}
}

static void make_entries(struct share_fetch *fetch, bool reading)
{
	const struct share_session *session = fetch->session;

	for (size_t i = 0; i < session->row_count; i++) {
		const struct share_row *row = &session->rows[i];
		struct share_fetch_entry *entry = &fetch->entries[i];
		entry->fetch = fetch;
		entry->topic_id = row->topic_id;
		entry->partition = row->partition;
		entry->reading = reading && row->reading;
		entry->share.open = entry->reading && !row->opened;
		entry->share.group = &session->group;
		entry->share.holder = session->holder;
	}
	fetch->entry_count = session->row_count;
}

/* What the request says of each partition; those that do not exist have an entry behind. */
static void take_asked(struct share_fetch *fetch,
		       const struct kafka_share_fetch_request_fetch_topic *topic,
		       const struct kafka_share_fetch_request_fetch_partition *asked)
{
	const struct request *request = fetch->request;
	const struct share_row *row = share_session_find(fetch->session, &topic->topic_id,
							 asked->partition_index);
	struct share_fetch_entry *entry;

	if (!row) {
		entry = &fetch->entries[fetch->entry_count++];
		entry->topic_id = topic->topic_id;
		entry->partition = asked->partition_index;
		entry->rc = topics_find_id(request->shard->topics, &topic->topic_id)
				    ? -ERR_UNKNOWN_PARTITION
				    : -ERR_UNKNOWN_TOPIC_ID;
		entry->share.acknowledge_rc = asked->acknowledgement_batches_count ? entry->rc : 0;
		return;
	}
	entry = &fetch->entries[row - fetch->session->rows];
	entry->asked |= asked->acknowledgement_batches_count > 0;
	if (entry->share.batches && asked->acknowledgement_batches_count) {
		entry->share.acknowledge_rc = -ERR_BAD_REQUEST; /* named twice */
		return;
	}
	entry->share.batches = asked->acknowledgement_batches;
	entry->share.batch_count = asked->acknowledgement_batches_count;
}

/* In an order that begins elsewhere each time.  Whether the owners have anything to do before
 * records are read. */
static bool scatter_entries(struct share_fetch *fetch)
{
	struct share_session *session = fetch->session;
	size_t rows = session->row_count;
	bool work = false;

	for (size_t i = 0; i < rows; i++) {
		struct share_fetch_entry *entry = &fetch->entries[(session->first + i) % rows];
		if (!entry->reading && !entry->share.batch_count)
			continue;
		const struct topic *topic = topic_of(fetch->request, &entry->topic_id,
						     entry->partition);
		if (!topic) {
			entry->rc = -ERR_UNKNOWN_TOPIC_ID;
			continue;
		}
		scatter_add(fetch->scatter, &entry->share.scatter, topic, entry->partition);
		work |= entry->share.open || entry->share.batch_count;
	}
	session->first++;
	return work;
}

static int prepare(struct share_fetch *fetch, const struct kafka_share_fetch_request *message)
{
	bool closing = message->share_session_epoch == SHARE_SESSION_CLOSE;
	int rc = closing ? 0 : add_rows(fetch, message);

	if (rc < 0)
		return rc;
	forget_rows(fetch, message);
	fetch->entries = request_calloc(fetch->request,
					fetch->session->row_count + count_asked(message) + 1,
					sizeof(*fetch->entries));
	if (!fetch->entries)
		return -ENOMEM;
	make_entries(fetch, !closing && message->max_records > 0);
	for (int32_t i = 0; i < message->topics_count; i++) {
		for (int32_t j = 0; j < message->topics[i].partitions_count; j++)
			take_asked(fetch, &message->topics[i], &message->topics[i].partitions[j]);
	}
	return 0;
}

static void start(struct share_fetch *fetch, const struct kafka_share_fetch_request *message)
{
	struct request *request = fetch->request;
	struct shard *shard = request->shard;
	size_t bytes = message->max_bytes > 0 ? (size_t)message->max_bytes : 0;

	fetch->records_left = message->max_records > 0 ? (uint32_t)message->max_records : 0;
	fetch->bytes_left = bytes < RESPONSE_BYTES_MAX ? bytes : RESPONSE_BYTES_MAX;
	fetch->may_wait = message->max_wait_ms > 0 && fetch->records_left && fetch->bytes_left;
	fetch->deadline.expired = deadline_passed;
	if (fetch->may_wait)
		fetch->may_wait =
			timers_arm(&shard->timers, &fetch->deadline,
				   shard->now_ns + (uint64_t)message->max_wait_ms * NS_PER_MS) == 0;
	request->cancel = cancel;
	request->release = release;
	if (scatter_entries(fetch))
		scatter_start(fetch->scatter);
	else
		settled(request);
}

static struct share_fetch *fetch_new(struct request *request)
{
	unsigned shards = request->shard->options.shard_count;
	struct share_fetch *fetch =
		request_calloc(request, 1, sizeof(*fetch) + shards * sizeof(fetch->watching[0]));

	if (!fetch)
		return NULL;
	fetch->request = request;
	fetch->scatter = scatter_new(request);
	if (!fetch->scatter)
		return NULL;
	fetch->scatter->run = share_entry_run;
	fetch->scatter->complete = settled;
	for (unsigned i = 0; i < shards; i++)
		fetch->watching[i].fetch = fetch;
	return fetch;
}

void handle_share_fetch(struct request *request)
{
	const struct kafka_share_fetch_request *message = request->message;
	struct kafka_share_fetch_response *response = request->response;
	struct share_fetch *fetch = fetch_new(request);

	if (!fetch) {
		request_fail(request, "request needs too much memory");
		return;
	}
	enum kafka_error error = share_session_begin(request, &message->group_id,
						     &message->member_id,
						     message->share_session_epoch, &fetch->session);
	if (error) {
		response->error_code = (int16_t)error;
		request_answer(request);
		return;
	}
	response->acquisition_lock_timeout_ms =
		topics_share_settings(request->shard->topics, message->group_id.data,
				      (size_t)message->group_id.length)
			->record_lock_duration_ms;
	request->state = fetch;
	if (prepare(fetch, message) < 0) {
		share_session_ended(fetch->session);
		request_fail(request, "request needs too much memory");
		return;
	}
	start(fetch, message);
}
