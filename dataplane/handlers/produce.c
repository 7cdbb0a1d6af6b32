/* Produce: each partition's batch is validated and appended on its owner shard.
 *
 *     connection's shard: acks, topics -> scatter -> owner: validate, partition_append -> (disk) ->
 *     append done -> scatter_entry_done -> all done: build the response
 *
 * One batch for a partition of the connection's own shard takes the same steps but for the scatter.
 *
 * A batch of a transaction goes through transaction_gate.h first.  The record bytes stay in the
 * request's frame until the log has copied them; when all are, the frame goes back although the
 * request waits for the disk, and what is received next lands in memory that the caches still know.
 */
#include "base/check.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/scatter.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/partition_append.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"
#include "dataplane/transaction_gate.h"

#include <errno.h>

enum {
	PRODUCE_ZSTD_VERSION = 7,
	PRODUCE_ABORTABLE_VERSION = 11, /* knows TRANSACTION_ABORTABLE */
	PRODUCE_ADDS_VERSION = 12,      /* adds its partitions to the transaction */
	PRODUCE_ID_VERSION = 13,        /* names topics by their ids */
};

/* A request that was taken apart. */
struct produce_parts {
	struct scatter *scatter;
	unsigned uncopied; /* batches in the frame that no log has yet, as far as we know */
};

struct produce_entry {
	struct scatter_entry entry;
	struct request *alone; /* null: scattered */
	struct partition_append append;
	struct transaction_append transaction; /* of `append`, if it is of one */
	struct shard *owner;
	size_t size;
	struct dedup_id *ids; /* null: the batch passes the window by */
	bool zstd_allowed;
	/* Results. */
	struct batch_fault fault;
	int64_t log_start_offset;
	struct kafka_produce_response_partition_produce_response *response;
};

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

/* What clients of that version know and take as Kafka means it; NOT_ENOUGH_REPLICAS has them try
 * again without asking for metadata. */
static int16_t code_for(int16_t version, int rc)
{
	switch (rc) {
	case -ERR_TXN_ABORTABLE:
		return version < PRODUCE_ABORTABLE_VERSION ? KAFKA_INVALID_TXN_STATE
							   : KAFKA_TRANSACTION_ABORTABLE;
	case -ERR_CONCURRENT_TXNS:
		return version < PRODUCE_ADDS_VERSION ? KAFKA_NOT_ENOUGH_REPLICAS
						      : KAFKA_CONCURRENT_TRANSACTIONS;
	case -ERR_LOADING:
	case -ERR_NO_COORDINATOR:
		return KAFKA_NOT_ENOUGH_REPLICAS;
	default:
		return kafka_code_of(rc);
	}
}

static void report(struct request *request, struct produce_entry *produce)
{
	if (produce->entry.rc < 0) {
		produce->response->error_code = code_for(request->header.api_version,
							 produce->entry.rc);
		produce->response->base_offset = -1;
		describe_fault(request, produce);
		return;
	}
	produce->response->base_offset = produce->append.log.base_offset;
	produce->response->log_append_time_ms = produce->append.time_ms;
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

/* ---- the batch ---- */

static void entry_done(struct produce_entry *produce, int rc)
{
	if (!produce->alone) {
		scatter_entry_done(produce->owner, &produce->entry, rc);
		return;
	}
	produce->entry.rc = rc;
	report(produce->alone, produce);
	finish(produce->alone);
}

static void count_batch(struct produce_entry *produce)
{
	produce->log_start_offset = log_start_offset(produce->append.partition->log);
	if (produce->append.duplicate) {
		shard_count(produce->owner, produce_duplicates, 1);
		return;
	}
	shard_count(produce->owner, produce_batches, 1);
	shard_count(produce->owner, produce_bytes, produce->size);
	produce->append.partition->appended_bytes += produce->size;
}

static void append_done(struct partition_append *append, int rc)
{
	struct produce_entry *produce = container_of(append, struct produce_entry, append);

	if (rc == 0)
		count_batch(produce);
	entry_done(produce, rc);
}

static struct request *request_of(const struct produce_entry *produce)
{
	return produce->alone ? produce->alone : produce->entry.part->scatter->request;
}

/* Another shard leaves the request alone: its frame stays. */
static void append_copied(struct partition_append *append)
{
	struct produce_entry *produce = container_of(append, struct produce_entry, append);
	struct request *request = request_of(produce);
	struct produce_parts *parts = request->state;

	if (!parts || (request->shard == produce->owner && --parts->uncopied == 0))
		request_give_frame(request);
}

static int validate(struct shard *shard, const struct partition *partition,
		    struct produce_entry *produce)
{
	struct batch_rules rules = {
		.batch_bytes_max = partition->config.max_message_bytes,
		.decompressed_bytes_max = shard->options.limits.decompressed_bytes_max,
		.now_ms = shard_wall_ms(shard),
		.timestamp_before_max_ms = partition->config.timestamp_before_max_ms,
		.timestamp_after_max_ms = partition->config.timestamp_after_max_ms,
		.keys_required = partition->config.compacted,
		.zstd_allowed = produce->zstd_allowed,
		.log_append_time = partition->config.log_append_time,
	};
	if (produce->ids && partition->config.log.dedup.enabled) {
		rules.dedup = &partition->config.log.dedup;
		rules.ids = produce->ids;
	}
	produce->append.log.ids = rules.ids;
	struct batch *batch = &produce->append.batch;
	int rc = batch_validate(batch, produce->append.data, produce->size, &rules,
				shard->decompressor, &produce->fault);

	if (rc == 0 && (batch->attributes & BATCH_TRANSACTIONAL) && batch->producer_id < 0) {
		produce->fault = (struct batch_fault){-1, "a transaction without a producer id"};
		rc = -ERR_INVALID_RECORD;
	}
	return rc;
}

static void append_in_transaction(struct partition *partition, struct produce_entry *produce)
{
	const struct request *request = request_of(produce);
	const struct kafka_produce_request *message = request->message;

	if (message->transactional_id.length <= 0) {
		entry_done(produce, -ERR_NO_TXN_ID);
		return;
	}
	produce->transaction.append = &produce->append;
	produce->transaction.transactional_id = message->transactional_id;
	produce->transaction.add = request->header.api_version >= PRODUCE_ADDS_VERSION;
	transaction_gate_append(partition, &produce->transaction);
}

static void run_entry(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct produce_entry *produce = container_of(entry, struct produce_entry, entry);

	produce->owner = shard;
	if (!partition) {
		entry_done(produce, -ERR_UNKNOWN_PARTITION);
		return;
	}
	int rc = validate(shard, partition, produce);
	if (rc < 0) {
		shard_count(shard, produce_rejected, 1);
		entry_done(produce, rc);
		return;
	}
	produce->append.copied = append_copied;
	produce->append.done = append_done;
	if (produce->append.batch.attributes & BATCH_TRANSACTIONAL)
		append_in_transaction(partition, produce);
	else
		partition_append(partition, &produce->append);
}

/* ---- the request ---- */

static void complete(struct request *request)
{
	const struct produce_parts *parts = request->state;
	const struct scatter *scatter = parts->scatter;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next)
			report(request, container_of(entry, struct produce_entry, entry));
	}
	finish(request);
}

static int refusal(const struct request *request, const struct topic *topic, int32_t partition,
		   const struct kafka_records *records)
{
	const struct kafka_produce_request *message = request->message;

	if (message->acks < -1 || message->acks > 1)
		return -ERR_ACKS;
	if (!topic && request->header.api_version >= PRODUCE_ID_VERSION)
		return -ERR_UNKNOWN_TOPIC_ID;
	if (!topic || partition < 0 || partition >= topic->partition_count)
		return -ERR_UNKNOWN_PARTITION;
	if (topic->internal)
		return -ERR_TOPIC_NAME;
	if (records->length <= 0)
		return -ERR_INVALID_RECORD;
	return 0;
}

/* Room for the ids of the batch's records, on this shard, as the arena is its own.  False: that is
 * too much.  What the header says is not verified yet; where it is wrong nothing uses the room. */
static bool take_room_for_ids(struct request *request, struct produce_entry *produce)
{
	struct batch batch;

	if (batch_parse(&batch, produce->append.data, produce->size) < 0 ||
	    batch.record_count <= 0 || (batch.attributes & BATCH_TRANSACTIONAL))
		return true;
	size_t count = (size_t)batch.record_count;
	if (count > arena_room(&request->arena) / sizeof(*produce->ids))
		return false;
	produce->ids = request_alloc(request, count, sizeof(*produce->ids));
	request_charge(request);
	return produce->ids;
}

/* The only partition, and of this shard: as it is nearly always on the datagram transport. */
static bool runs_alone(const struct request *request, const struct topic *topic, int32_t partition)
{
	const struct kafka_produce_request *message = request->message;
	const struct shard_options *options = &request->shard->options;

	return message->topic_data_count == 1 && message->topic_data[0].partition_data_count == 1 &&
	       partition_shard(topic, partition, options->shard_count) == options->index;
}

/* Null: the request's memory limit. */
static struct produce_parts *parts_of(struct request *request)
{
	struct produce_parts *parts = request->state;

	if (parts)
		return parts;
	parts = request_calloc(request, 1, sizeof(*parts));
	if (!parts)
		return NULL;
	parts->scatter = scatter_new(request);
	if (!parts->scatter)
		return NULL;
	parts->scatter->run = run_entry;
	parts->scatter->complete = complete;
	request->state = parts;
	return parts;
}

/* Outlives the frame. */
static struct kafka_string name_for_answer(struct request *request, struct kafka_string name)
{
	if (request->frame && name.length > 0)
		name.data = arena_strndup(&request->arena, name.data, (size_t)name.length);
	return name;
}

static void refuse(struct kafka_produce_response_partition_produce_response *response, int rc,
		   const char *text)
{
	response->error_code = kafka_code_of(rc);
	response->error_message = kafka_string_of(text);
	response->base_offset = -1;
}

/* 1: it runs by itself, or has run and the request is gone. */
static int add_partition(struct request *request, const struct topic *topic,
			 const struct kafka_produce_request_partition_produce_data *data,
			 struct kafka_produce_response_partition_produce_response *response)
{
	const struct kafka_produce_request *message = request->message;

	kafka_produce_response_partition_produce_response_init(response);
	response->index = data->index;
	int rc = refusal(request, topic, data->index, &data->records);
	if (rc < 0) {
		refuse(response, rc, error_text(rc));
		return 0;
	}
	/* Not zeroed: what is not set here is set by who runs the entry. */
	struct produce_entry *produce = request_alloc(request, 1, sizeof(*produce));
	if (!produce)
		return -ENOMEM;
	produce->alone = NULL;
	produce->fault.text = NULL;
	produce->append.data = data->records.data;
	produce->append.ack = message->acks == -1 ? ACK_DURABLE : ACK_SUBMITTED;
	produce->size = (size_t)data->records.length;
	produce->zstd_allowed = request->header.api_version >= PRODUCE_ZSTD_VERSION;
	produce->response = response;
	produce->ids = NULL;
	if (topic->config.log.dedup.enabled && !take_room_for_ids(request, produce)) {
		refuse(response, -ERR_TOO_LARGE, "too many records in a batch for their dedup ids");
		return 0;
	}
	if (runs_alone(request, topic, data->index)) {
		uint64_t key = partition_key(topic->number, data->index);
		produce->alone = request;
		run_entry(request->shard, shard_partition(request->shard, key), &produce->entry);
		return 1;
	}
	struct produce_parts *parts = parts_of(request);
	if (!parts)
		return -ENOMEM;
	parts->uncopied++;
	scatter_add(parts->scatter, &produce->entry, topic, data->index);
	return 0;
}

static const struct topic *topic_of(const struct request *request,
				    const struct kafka_produce_request_topic_produce_data *data)
{
	if (request->header.api_version < PRODUCE_ID_VERSION)
		return topic_named(request->shard, &data->name);
	return topics_find_id(request->shard->topics, &data->topic_id);
}

/* As add_partition. */
static int add_topic(struct request *request,
		     const struct kafka_produce_request_topic_produce_data *data,
		     struct kafka_produce_response_topic_produce_response *response)
{
	const struct topic *topic = topic_of(request, data);

	kafka_produce_response_topic_produce_response_init(response);
	response->name = name_for_answer(request, data->name);
	if (response->name.length > 0 && !response->name.data)
		return -ENOMEM;
	response->topic_id = data->topic_id;
	response->partition_responses = request_alloc(request, (size_t)data->partition_data_count,
						      sizeof(*response->partition_responses));
	if (!response->partition_responses)
		return -ENOMEM;
	response->partition_responses_count = data->partition_data_count;
	for (int32_t i = 0; i < data->partition_data_count; i++) {
		int rc = add_partition(request, topic, &data->partition_data[i],
				       &response->partition_responses[i]);
		if (rc)
			return rc;
	}
	return 0;
}

void handle_produce(struct request *request)
{
	const struct kafka_produce_request *message = request->message;
	struct kafka_produce_response *response = request->response;
	int rc = 0;

	response->responses = request_alloc(request, (size_t)message->topic_data_count,
					    sizeof(*response->responses));
	response->responses_count = message->topic_data_count;
	if (!response->responses)
		rc = -ENOMEM;
	for (int32_t i = 0; rc == 0 && i < message->topic_data_count; i++)
		rc = add_topic(request, &message->topic_data[i], &response->responses[i]);
	if (rc > 0)
		return;
	if (rc < 0)
		request_fail(request, "request needs too much memory");
	else if (request->state)
		scatter_start(((struct produce_parts *)request->state)->scatter);
	else
		finish(request); /* everything was refused */
}
