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
#include "dataplane/handlers/fetch_internal.h"

#include "base/check.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/kafka/kafka_errors.h"

#include <errno.h>

enum {
	RESPONSE_BYTES_MAX = 64 << 20, /* whatever the client allows */
};

static const char too_much[] = "request needs too much memory";

/* ---- cancelling ---- */

static void answer_when_home(struct fetch *fetch);

void fetch_cancel_returned(struct message *message, void *receiver)
{
	struct fetch_part *part = container_of(message, struct fetch_part, cancel);

	(void)receiver;
	part->cancel_out = false;
	part->fetch->cancels_out--;
	answer_when_home(part->fetch);
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
		part->cancel.handle = fetch_part_cancelled;
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

void fetch_part_home(struct message *message, void *receiver)
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

void fetch_release_returned(struct message *message, void *receiver)
{
	struct fetch *fetch = container_of(message, struct fetch_part, message)->fetch;

	(void)receiver;
	if (--fetch->releases_out == 0)
		request_free(fetch->request);
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
			fetch_part_release(&part->message, shard);
			continue;
		}
		part->message.handle = fetch_part_release;
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
			fetch_part_arrived(&part->message, shard);
			continue;
		}
		part->message.handle = fetch_part_arrived;
		shard_send(shard, i, &part->message);
	}
	fetch->parts_out--;
	if (fetch->parts_out && fetch->may_wait) {
		request->cancel = fetch_cancel;
		fetch->deadline.expired = deadline_passed;
		int rc = timers_arm(&shard->timers, &fetch->deadline,
				    shard_wait_end_ns(shard, (uint32_t)message->max_wait_ms));
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
