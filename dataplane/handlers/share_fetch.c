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
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/share_fetch_internal.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/share/share_session.h"

#include <errno.h>

#define PARTITION struct kafka_share_fetch_response_partition_data
#define TOPIC struct kafka_share_fetch_response_share_fetchable_topic_response
#define BATCH struct kafka_share_fetch_response_acquired_records

enum { RESPONSE_BYTES_MAX = 64 << 20 };

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

void share_fetch_answer(struct share_fetch *fetch)
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
		share_fetch_give_read(owner, entry);
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

static void deadline_passed(struct timer *timer)
{
	share_fetch_end_soon(container_of(timer, struct share_fetch, deadline));
}

static void cancel(struct request *request)
{
	share_fetch_end_soon(request->state);
}

void share_fetch_toured(struct share_fetch *fetch)
{
	const struct shard *shard = fetch->request->shard;

	if (fetch->found || fetch->failed || fetch->acknowledged || fetch->over ||
	    !fetch->may_wait || shard->phase >= SHARD_DRAINING)
		share_fetch_answer(fetch);
	else
		share_fetch_watch(fetch);
}

static void settled(struct request *request)
{
	struct share_fetch *fetch = request->state;

	for (size_t i = 0; i < fetch->entry_count; i++) {
		struct share_fetch_entry *entry = &fetch->entries[i];
		if (entry->rc == 0)
			entry->rc = entry->share.scatter.rc;
		fetch->failed |= entry->rc < 0 || entry->share.acknowledge_rc < 0;
		fetch->acknowledged |= entry->share.batch_count > 0;
	}
	share_fetch_tour(fetch);
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
				   shard_wait_end_ns(shard, (uint32_t)message->max_wait_ms)) == 0;
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
