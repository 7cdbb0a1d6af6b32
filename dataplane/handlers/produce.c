/* Produce: each partition's batch is validated and appended on its owner shard.
 *
 *     connection's shard: acks, topics -> scatter -> owner: validate, log_append -> (disk) ->
 *     append done -> scatter_entry_done -> all done: build the response
 *
 * The record bytes stay in the request's frame until the log has copied them.  Where the log has no
 * buffer free the entry waits in its partition, and later batches of that partition behind it, so
 * order is kept. */
#include "base/check.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/scatter.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <errno.h>

enum { PRODUCE_ZSTD_VERSION = 7 };

struct produce_entry {
	struct scatter_entry entry;
	struct log_append append;
	struct list blocked; /* partition.blocked */
	struct shard *owner;
	struct partition *partition;
	const uint8_t *data;
	size_t size;
	enum log_ack ack;
	bool zstd_allowed;
	/* Results. */
	struct batch batch;
	struct batch_fault fault;
	int64_t base_offset;
	int64_t append_time_ms;
	int64_t log_start_offset;
	struct kafka_produce_response_partition_produce_response *response;
};

static void append_done(struct log_append *append, int rc)
{
	struct produce_entry *produce = container_of(append, struct produce_entry, append);

	if (rc == 0) {
		shard_count(produce->owner, produce_batches, 1);
		shard_count(produce->owner, produce_bytes, produce->size);
	}
	scatter_entry_done(produce->owner, &produce->entry, rc);
}

/* False: no buffer is free, try again later. */
static bool try_append(struct produce_entry *produce)
{
	struct partition *partition = produce->partition;

	produce->append_time_ms = partition->config.log_append_time ? shard_wall_ms(produce->owner)
								    : -1;
	produce->append.done = append_done;
	int rc = log_append(partition->log, produce->data, &produce->batch, produce->append_time_ms,
			    produce->ack, &produce->append);
	if (rc == -ENOBUFS)
		return false;
	produce->log_start_offset = log_start_offset(partition->log);
	if (rc < 0) {
		scatter_entry_done(produce->owner, &produce->entry, rc);
		return true;
	}
	produce->base_offset = produce->append.base_offset;
	return true;
}

static void wait_for_buffers(struct shard *shard, struct produce_entry *produce)
{
	struct partition *partition = produce->partition;

	list_push_back(&partition->blocked, &produce->blocked);
	if (!list_linked(&partition->blocked_link))
		list_push_back(&shard->blocked, &partition->blocked_link);
}

static int validate(struct shard *shard, const struct partition *partition,
		    struct produce_entry *produce)
{
	struct batch_rules rules = {
		.batch_bytes_max = partition->config.max_message_bytes,
		.decompressed_bytes_max = shard->options.decompressed_bytes_max,
		.now_ms = shard_wall_ms(shard),
		.timestamp_before_max_ms = partition->config.timestamp_before_max_ms,
		.timestamp_after_max_ms = partition->config.timestamp_after_max_ms,
		.keys_required = partition->config.compacted,
		.zstd_allowed = produce->zstd_allowed,
		.log_append_time = partition->config.log_append_time,
	};
	int rc = batch_validate(&produce->batch, produce->data, produce->size, &rules,
				shard->decompressor, &produce->fault);

	if (rc == 0 && (produce->batch.attributes & BATCH_TRANSACTIONAL)) {
		produce->fault = (struct batch_fault){-1, "transactions are not available"};
		rc = -ERR_INVALID_RECORD;
	}
	return rc;
}

static void run_entry(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct produce_entry *produce = container_of(entry, struct produce_entry, entry);

	if (!partition) {
		scatter_entry_done(shard, entry, -ERR_UNKNOWN_PARTITION);
		return;
	}
	produce->owner = shard;
	produce->partition = partition;
	int rc = validate(shard, partition, produce);
	if (rc < 0) {
		shard_count(shard, produce_rejected, 1);
		scatter_entry_done(shard, entry, rc);
		return;
	}
	if (!list_empty(&partition->blocked) || !try_append(produce))
		wait_for_buffers(shard, produce);
}

void produce_run_blocked(struct shard *shard)
{
	list_foreach_safe(node, after, &shard->blocked) {
		struct partition *partition = container_of(node, struct partition, blocked_link);
		while (!list_empty(&partition->blocked)) {
			struct produce_entry *produce = container_of(partition->blocked.next,
								     struct produce_entry, blocked);
			/* Off the list first: a refused append ends the entry. */
			list_remove(&produce->blocked);
			if (!try_append(produce)) {
				list_push_front(&partition->blocked, &produce->blocked);
				break;
			}
		}
		if (list_empty(&partition->blocked))
			list_remove(&partition->blocked_link);
	}
}

void produce_fail_blocked(struct partition *partition)
{
	struct list *node;

	list_remove(&partition->blocked_link);
	while ((node = list_pop_front(&partition->blocked))) {
		struct produce_entry *produce = container_of(node, struct produce_entry, blocked);
		scatter_entry_done(produce->owner, &produce->entry, -ERR_CLOSING);
	}
}

/* ---- the response ---- */

static void describe_fault(struct request *request, struct produce_entry *produce)
{
	const char *text = produce->fault.text ? produce->fault.text
					       : error_text(produce->entry.rc);

	produce->response->error_message = kafka_string_of(text);
	if (produce->fault.record_index < 0 || !produce->fault.text)
		return;
	produce->response->record_errors =
		request_calloc(request, 1, sizeof(*produce->response->record_errors));
	if (!produce->response->record_errors)
		return;
	produce->response->record_errors_count = 1;
	produce->response->record_errors[0].batch_index = produce->fault.record_index;
	produce->response->record_errors[0].batch_index_error_message = kafka_string_of(text);
}

static void report(struct request *request, struct produce_entry *produce)
{
	produce->response->error_code = kafka_code_of(produce->entry.rc);
	if (produce->entry.rc < 0) {
		produce->response->base_offset = -1;
		describe_fault(request, produce);
		return;
	}
	produce->response->base_offset = produce->base_offset;
	produce->response->log_append_time_ms = produce->append_time_ms;
	produce->response->log_start_offset = produce->log_start_offset;
}

static bool any_failed(const struct kafka_produce_response *response)
{
	for (int32_t t = 0; t < response->responses_count; t++) {
		for (int32_t p = 0; p < response->responses[t].partition_responses_count; p++) {
			if (response->responses[t].partition_responses[p].error_code)
				return true;
		}
	}
	return false;
}

static void finish(struct request *request)
{
	const struct kafka_produce_request *message = request->message;

	request->silent = message->acks == 0;
	/* With acks=0 a closed connection is the only way to tell (kafka-protocol, 4.3). */
	if (request->silent && any_failed(request->response))
		request->closing = true;
	request_answer(request);
}

static void complete(struct request *request)
{
	struct scatter *scatter = request->state;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next)
			report(request, container_of(entry, struct produce_entry, entry));
	}
	finish(request);
}

/* ---- the request ---- */

static int refusal(const struct kafka_produce_request *message, const struct topic *topic,
		   int32_t partition, const struct kafka_records *records)
{
	if (message->acks < -1 || message->acks > 1)
		return -ERR_ACKS;
	if (!topic || partition < 0 || partition >= topic->partition_count)
		return -ERR_UNKNOWN_PARTITION;
	if (topic->internal)
		return -ERR_TOPIC_NAME;
	if (records->length <= 0)
		return -ERR_INVALID_RECORD;
	return 0;
}

static int add_partition(struct request *request, const struct topic *topic,
			 const struct kafka_produce_request_partition_produce_data *data,
			 struct kafka_produce_response_partition_produce_response *response)
{
	const struct kafka_produce_request *message = request->message;

	kafka_produce_response_partition_produce_response_init(response);
	response->index = data->index;
	int rc = refusal(message, topic, data->index, &data->records);
	if (rc < 0) {
		response->error_code = kafka_code_of(rc);
		response->error_message = kafka_string_of(error_text(rc));
		response->base_offset = -1;
		return 0;
	}
	struct produce_entry *produce = request_calloc(request, 1, sizeof(*produce));
	if (!produce)
		return -ENOMEM;
	list_init(&produce->blocked);
	produce->data = data->records.data;
	produce->size = (size_t)data->records.length;
	produce->ack = message->acks == -1 ? ACK_DURABLE : ACK_SUBMITTED;
	produce->zstd_allowed = request->header.api_version >= PRODUCE_ZSTD_VERSION;
	produce->response = response;
	scatter_add(request->state, &produce->entry, topic, data->index);
	return 0;
}

static int add_topic(struct request *request,
		     const struct kafka_produce_request_topic_produce_data *data,
		     struct kafka_produce_response_topic_produce_response *response)
{
	const struct topic *topic = topic_named(request->shard, &data->name);

	kafka_produce_response_topic_produce_response_init(response);
	response->name = data->name;
	response->partition_responses = request_calloc(request, (size_t)data->partition_data_count,
						       sizeof(*response->partition_responses));
	if (!response->partition_responses)
		return -ENOMEM;
	response->partition_responses_count = data->partition_data_count;
	for (int32_t i = 0; i < data->partition_data_count; i++) {
		int rc = add_partition(request, topic, &data->partition_data[i],
				       &response->partition_responses[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void handle_produce(struct request *request)
{
	const struct kafka_produce_request *message = request->message;
	struct kafka_produce_response *response = request->response;
	struct scatter *scatter = scatter_new(request);
	int rc = -ENOMEM;

	response->responses = request_calloc(request, (size_t)message->topic_data_count,
					     sizeof(*response->responses));
	if (!scatter || !response->responses)
		goto fail;
	response->responses_count = message->topic_data_count;
	scatter->run = run_entry;
	scatter->complete = complete;
	request->state = scatter;
	for (int32_t i = 0; i < message->topic_data_count; i++) {
		rc = add_topic(request, &message->topic_data[i], &response->responses[i]);
		if (rc < 0)
			goto fail;
	}
	scatter_start(scatter);
	return;
fail:
	request_fail(request, "request needs too much memory");
}
