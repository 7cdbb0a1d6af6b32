/* DescribeProducers: what logs remember of producers, asked on the partitions' owner shards.
 *
 * A few bytes ask for all producers of a partition, and for the same ones again and again: an owner
 * tells of ROWS_MAX, or of one partition that has more, and refuses the others. */
#include "base/check.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/scatter.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"

#include <errno.h>
#include <stdlib.h>

enum { ROWS_MAX = 65536 };

struct describe_entry {
	struct scatter_entry entry;
	size_t owner_rows; /* of the first of an owner: those of all of its entries so far */
	struct log_producer *producers; /* the owner's answer, freed at home */
	size_t count;
	struct kafka_describe_producers_response_partition_response *response;
};

/* ---- on the owner ---- */

/* -ERR_LIMIT, -ENOMEM. */
static int note_producers(const struct log *log, struct describe_entry *describe)
{
	struct describe_entry *first = container_of(describe->entry.part->first,
						    struct describe_entry, entry);
	size_t count = log_producers(log, NULL, 0);

	if (!count)
		return 0;
	if (first->owner_rows && first->owner_rows + count > ROWS_MAX)
		return -ERR_LIMIT;
	describe->producers = calloc(count, sizeof(*describe->producers));
	if (!describe->producers)
		return -ENOMEM;
	describe->count = count;
	first->owner_rows += count;
	log_producers(log, describe->producers, count);
	return 0;
}

static void run_entry(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct describe_entry *describe = container_of(entry, struct describe_entry, entry);
	int rc = partition ? note_producers(partition->log, describe) : -ERR_UNKNOWN_PARTITION;

	scatter_entry_done(shard, entry, rc);
}

/* ---- at home ---- */

static void describe_producer(const struct log_producer *from,
			      struct kafka_describe_producers_response_producer_state *to)
{
	kafka_describe_producers_response_producer_state_init(to);
	to->producer_id = from->id;
	to->producer_epoch = from->epoch;
	to->last_sequence = from->last_sequence;
	to->last_timestamp = from->last_timestamp_ms;
	to->coordinator_epoch = from->coordinator_epoch;
	to->current_txn_start_offset = from->open_offset;
}

static void report(struct request *request, struct describe_entry *describe)
{
	struct kafka_describe_producers_response_partition_response *row = describe->response;

	if (describe->entry.rc == 0 && describe->count) {
		row->active_producers = request_calloc(request, describe->count,
						       sizeof(*row->active_producers));
		if (!row->active_producers)
			describe->entry.rc = -ENOMEM;
	}
	row->error_code = kafka_code_of(describe->entry.rc);
	if (describe->entry.rc < 0) {
		row->error_message = kafka_string_of(error_text(describe->entry.rc));
	} else {
		row->active_producers_count = (int32_t)describe->count;
		for (size_t i = 0; i < describe->count; i++)
			describe_producer(&describe->producers[i], &row->active_producers[i]);
	}
	free(describe->producers);
}

static void complete(struct request *request)
{
	struct scatter *scatter = request->state;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next)
			report(request, container_of(entry, struct describe_entry, entry));
	}
	request_answer(request);
}

static int add_partition(struct request *request, const struct topic *topic, int32_t index,
			 struct kafka_describe_producers_response_partition_response *row)
{
	kafka_describe_producers_response_partition_response_init(row);
	row->partition_index = index;
	if (!topic || index < 0 || index >= topic->partition_count) {
		row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		return 0;
	}
	struct describe_entry *describe = request_calloc(request, 1, sizeof(*describe));
	if (!describe)
		return -ENOMEM;
	describe->response = row;
	scatter_add(request->state, &describe->entry, topic, index);
	return 0;
}

static int add_topic(struct request *request,
		     const struct kafka_describe_producers_request_topic_request *asked,
		     struct kafka_describe_producers_response_topic_response *row)
{
	const struct topic *topic = topic_named(request->shard, &asked->name);

	kafka_describe_producers_response_topic_response_init(row);
	row->name = asked->name;
	row->partitions = request_calloc(request, (size_t)asked->partition_indexes_count,
					 sizeof(*row->partitions));
	if (!row->partitions)
		return -ENOMEM;
	row->partitions_count = asked->partition_indexes_count;
	for (int32_t i = 0; i < row->partitions_count; i++) {
		if (add_partition(request, topic, asked->partition_indexes[i],
				  &row->partitions[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

void handle_describe_producers(struct request *request)
{
	const struct kafka_describe_producers_request *message = request->message;
	struct kafka_describe_producers_response *response = request->response;
	struct scatter *scatter = scatter_new(request);

	response->topics = request_calloc(request, (size_t)message->topics_count,
					  sizeof(*response->topics));
	if (!scatter || !response->topics)
		goto fail;
	scatter->run = run_entry;
	scatter->complete = complete;
	request->state = scatter;
	response->topics_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (add_topic(request, &message->topics[i], &response->topics[i]) < 0)
			goto fail;
	}
	scatter_start(scatter);
	return;
fail:
	request_fail(request, "request needs too much memory");
}
