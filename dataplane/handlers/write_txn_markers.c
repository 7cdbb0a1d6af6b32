/* WriteTxnMarkers: an operator ends a transaction that hangs in a partition (KIP-664).
 *
 * Aborts only: what commits is the coordinator's to say, and its markers do not come this way. */
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/scatter.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/partition_append.h"
#include "dataplane/request.h"
#include "storage/control_batch.h"

#include <errno.h>

#define REQUEST(name) struct kafka_write_txn_markers_request_writable_txn_##name
#define RESPONSE(name) struct kafka_write_txn_markers_response_writable_txn_##name

struct marker_entry {
	struct scatter_entry entry;
	struct partition_append append;
	struct shard *owner;
	const REQUEST(marker) * asked;
	RESPONSE(marker_partition_result) * response;
	uint8_t batch[CONTROL_BATCH_BYTES];
};

/* ---- on the owner ---- */

static void append_done(struct partition_append *append, int rc)
{
	struct marker_entry *marker = container_of(append, struct marker_entry, append);

	scatter_entry_done(marker->owner, &marker->entry, rc);
}

/* 1: the transaction is open; 0: there is none.  A marker of another epoch would fence a producer
 * that is at work, and have its coordinator's marker come late. */
static int check_open(const struct log *log, const REQUEST(marker) * asked)
{
	int epoch = log_open_epoch(log, asked->producer_id);

	if (epoch < 0)
		return epoch == -ERR_TXN_STATE ? 0 : epoch;
	return epoch == asked->producer_epoch ? 1 : -ERR_PRODUCER_EPOCH;
}

static void run_entry(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct marker_entry *marker = container_of(entry, struct marker_entry, entry);
	const struct control_marker abort = {
		.type = CONTROL_ABORT,
		.producer_id = marker->asked->producer_id,
		.producer_epoch = marker->asked->producer_epoch,
		.coordinator_epoch = marker->asked->coordinator_epoch,
		.timestamp_ms = shard_wall_ms(shard),
	};

	int rc = partition ? check_open(partition->log, marker->asked) : -ERR_UNKNOWN_PARTITION;
	if (rc <= 0) {
		scatter_entry_done(shard, entry, rc);
		return;
	}
	control_batch_write(&abort, marker->batch);
	marker->owner = shard;
	marker->append.data = marker->batch;
	marker->append.ack = ACK_DURABLE;
	marker->append.done = append_done;
	batch_parse(&marker->append.batch, marker->batch, sizeof(marker->batch));
	partition_append(partition, &marker->append);
}

/* ---- at home ---- */

static void complete(struct request *request)
{
	struct scatter *scatter = request->state;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next)
			container_of(entry, struct marker_entry, entry)->response->error_code =
				kafka_code_of(entry->rc);
	}
	request_answer(request);
}

static enum kafka_error refusal(const REQUEST(marker) * asked, const struct topic *topic,
				int32_t partition)
{
	if (asked->transaction_result || asked->producer_id < 0 || asked->producer_epoch < 0)
		return KAFKA_INVALID_REQUEST;
	if (!topic || partition < 0 || partition >= topic->partition_count)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return topic->internal ? KAFKA_INVALID_TOPIC_EXCEPTION : KAFKA_NONE;
}

static int add_partition(struct request *request, const REQUEST(marker) * asked,
			 const struct topic *topic, int32_t index,
			 RESPONSE(marker_partition_result) * row)
{
	kafka_write_txn_markers_response_writable_txn_marker_partition_result_init(row);
	row->partition_index = index;
	row->error_code = (int16_t)refusal(asked, topic, index);
	if (row->error_code)
		return 0;
	struct marker_entry *marker = request_calloc(request, 1, sizeof(*marker));
	if (!marker)
		return -ENOMEM;
	marker->asked = asked;
	marker->response = row;
	scatter_add(request->state, &marker->entry, topic, index);
	return 0;
}

static int add_topic(struct request *request, const REQUEST(marker) * asked,
		     const REQUEST(marker_topic) * topic_asked, RESPONSE(marker_topic_result) * row)
{
	const struct topic *topic = topic_named(request->shard, &topic_asked->name);
	int rc = 0;

	kafka_write_txn_markers_response_writable_txn_marker_topic_result_init(row);
	row->name = topic_asked->name;
	row->partitions = request_calloc(request, (size_t)topic_asked->partition_indexes_count,
					 sizeof(*row->partitions));
	if (!row->partitions)
		return -ENOMEM;
	row->partitions_count = topic_asked->partition_indexes_count;
	for (int32_t i = 0; rc == 0 && i < row->partitions_count; i++)
		rc = add_partition(request, asked, topic, topic_asked->partition_indexes[i],
				   &row->partitions[i]);
	return rc;
}

static int add_marker(struct request *request, const REQUEST(marker) * asked,
		      RESPONSE(marker_result) * row)
{
	int rc = 0;

	kafka_write_txn_markers_response_writable_txn_marker_result_init(row);
	row->producer_id = asked->producer_id;
	row->topics = request_calloc(request, (size_t)asked->topics_count, sizeof(*row->topics));
	if (!row->topics)
		return -ENOMEM;
	row->topics_count = asked->topics_count;
	for (int32_t i = 0; rc == 0 && i < row->topics_count; i++)
		rc = add_topic(request, asked, &asked->topics[i], &row->topics[i]);
	return rc;
}

void handle_write_txn_markers(struct request *request)
{
	const struct kafka_write_txn_markers_request *message = request->message;
	struct kafka_write_txn_markers_response *response = request->response;
	struct scatter *scatter = scatter_new(request);
	int rc = scatter ? 0 : -ENOMEM;

	response->markers = request_calloc(request, (size_t)message->markers_count,
					   sizeof(*response->markers));
	if (!response->markers)
		rc = -ENOMEM;
	if (rc == 0) {
		scatter->run = run_entry;
		scatter->complete = complete;
		request->state = scatter;
		response->markers_count = message->markers_count;
	}
	for (int32_t i = 0; rc == 0 && i < message->markers_count; i++)
		rc = add_marker(request, &message->markers[i], &response->markers[i]);
	if (rc < 0)
		request_fail(request, "request needs too much memory");
	else
		scatter_start(scatter);
}
