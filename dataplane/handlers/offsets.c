/* Questions about offsets: ListOffsets, DeleteRecords, OffsetForLeaderEpoch; each partition is
 * asked on its owner shard. */
#include "base/check.h"
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/scatter.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"

#include <errno.h>

static const char too_much[] = "request needs too much memory";

static bool known(const struct topic *topic, int32_t partition)
{
	return topic && partition >= 0 && partition < topic->partition_count;
}

static int check_epoch(const struct partition *partition, int32_t current_epoch)
{
	if (!partition)
		return -ERR_UNKNOWN_PARTITION;
	if (current_epoch >= 0 && current_epoch < log_leader_epoch(partition->log))
		return -ERR_FENCED_EPOCH;
	if (current_epoch > log_leader_epoch(partition->log))
		return -ERR_UNKNOWN_EPOCH;
	return 0;
}

static struct scatter *new_scatter(struct request *request,
				   void (*run)(struct shard *shard, struct partition *partition,
					       struct scatter_entry *entry),
				   void (*complete)(struct request *request))
{
	struct scatter *scatter = scatter_new(request);

	if (scatter) {
		scatter->run = run;
		scatter->complete = complete;
		request->state = scatter;
	}
	return scatter;
}

/* ---- ListOffsets ---- */

enum {
	LIST_LATEST = -1,
	LIST_EARLIEST = -2,
	LIST_MAX_TIMESTAMP = -3,
	LIST_EARLIEST_LOCAL = -4,
	LIST_LATEST_TIERED = -5,
};

struct list_entry {
	struct scatter_entry entry;
	struct log_find find;
	struct shard *owner;
	int32_t current_epoch;
	int64_t offset;
	int64_t timestamp_ms;
	int32_t leader_epoch;
	struct kafka_list_offsets_response_list_offsets_partition_response *response;
};

static void found(struct log_find *find, int rc)
{
	struct list_entry *list = container_of(find, struct list_entry, find);

	list->offset = find->offset;
	list->timestamp_ms = find->found_ms;
	list->leader_epoch = find->leader_epoch;
	scatter_entry_done(list->owner, &list->entry, rc);
}

static void run_list(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct list_entry *list = container_of(entry, struct list_entry, entry);
	int64_t wanted = list->find.timestamp_ms;
	int rc = check_epoch(partition, list->current_epoch);

	list->owner = shard;
	list->offset = -1;
	list->timestamp_ms = -1;
	list->leader_epoch = -1;
	if (rc == 0 && (wanted >= 0 || wanted == LIST_MAX_TIMESTAMP)) {
		list->find.done = found;
		log_find(partition->log, &list->find);
		return;
	}
	if (rc == 0 && wanted == LIST_LATEST)
		list->offset = list->find.committed ? log_last_stable_offset(partition->log)
						    : log_high_watermark(partition->log);
	else if (rc == 0 && (wanted == LIST_EARLIEST || wanted == LIST_EARLIEST_LOCAL))
		list->offset = log_start_offset(partition->log);
	else if (rc == 0 && wanted != LIST_LATEST_TIERED)
		rc = -ERR_BAD_REQUEST;
	if (rc == 0 && list->offset >= 0)
		list->leader_epoch = log_leader_epoch(partition->log);
	scatter_entry_done(shard, entry, rc);
}

static void complete_list(struct request *request)
{
	struct scatter *scatter = request->state;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next) {
			struct list_entry *list = container_of(entry, struct list_entry, entry);
			list->response->error_code = kafka_code_of(entry->rc);
			if (entry->rc < 0)
				continue;
			list->response->offset = list->offset;
			list->response->timestamp = list->timestamp_ms;
			list->response->leader_epoch = list->leader_epoch;
		}
	}
	request_answer(request);
}

static int add_list(struct request *request, const struct topic *topic,
		    const struct kafka_list_offsets_request_list_offsets_partition *asked,
		    struct kafka_list_offsets_response_list_offsets_partition_response *response)
{
	kafka_list_offsets_response_list_offsets_partition_response_init(response);
	response->partition_index = asked->partition_index;
	if (!known(topic, asked->partition_index)) {
		response->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		return 0;
	}
	struct list_entry *list = request_calloc(request, 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	const struct kafka_list_offsets_request *message = request->message;
	list->find.timestamp_ms = asked->timestamp;
	list->find.committed = message->isolation_level == ISOLATION_COMMITTED;
	list->current_epoch = asked->current_leader_epoch;
	list->response = response;
	scatter_add(request->state, &list->entry, topic, asked->partition_index);
	return 0;
}

static int list_topic(struct request *request,
		      const struct kafka_list_offsets_request_list_offsets_topic *asked,
		      struct kafka_list_offsets_response_list_offsets_topic_response *row)
{
	const struct topic *topic = topic_named(request->shard, &asked->name);

	kafka_list_offsets_response_list_offsets_topic_response_init(row);
	row->name = asked->name;
	row->partitions = request_calloc(request, (size_t)asked->partitions_count,
					 sizeof(*row->partitions));
	if (!row->partitions)
		return -ENOMEM;
	row->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		if (add_list(request, topic, &asked->partitions[i], &row->partitions[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

void handle_list_offsets(struct request *request)
{
	const struct kafka_list_offsets_request *message = request->message;
	struct kafka_list_offsets_response *response = request->response;
	struct scatter *scatter = new_scatter(request, run_list, complete_list);

	response->topics = request_calloc(request, (size_t)message->topics_count,
					  sizeof(*response->topics));
	if (!scatter || !response->topics)
		goto fail;
	response->topics_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (list_topic(request, &message->topics[i], &response->topics[i]) < 0)
			goto fail;
	}
	scatter_start(scatter);
	return;
fail:
	request_fail(request, too_much);
}

/* ---- DeleteRecords ---- */

struct trim_entry {
	struct scatter_entry entry;
	struct log_trim trim;
	struct shard *owner;
	struct kafka_delete_records_response_delete_records_partition_result *response;
};

static void trimmed(struct log_trim *trim, int rc)
{
	struct trim_entry *entry = container_of(trim, struct trim_entry, trim);

	scatter_entry_done(entry->owner, &entry->entry, rc);
}

static void run_trim(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct trim_entry *trim = container_of(entry, struct trim_entry, entry);

	if (!partition) {
		scatter_entry_done(shard, entry, -ERR_UNKNOWN_PARTITION);
		return;
	}
	trim->owner = shard;
	trim->trim.done = trimmed;
	log_trim(partition->log, &trim->trim);
}

static void complete_trim(struct request *request)
{
	struct scatter *scatter = request->state;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next) {
			struct trim_entry *trim = container_of(entry, struct trim_entry, entry);
			trim->response->error_code = kafka_code_of(entry->rc);
			trim->response->low_watermark = entry->rc < 0 ? -1
								      : trim->trim.start_offset;
		}
	}
	request_answer(request);
}

static int trim_topic(struct request *request,
		      const struct kafka_delete_records_request_delete_records_topic *asked,
		      struct kafka_delete_records_response_delete_records_topic_result *row)
{
	const struct topic *topic = topic_named(request->shard, &asked->name);

	kafka_delete_records_response_delete_records_topic_result_init(row);
	row->name = asked->name;
	row->partitions = request_calloc(request, (size_t)asked->partitions_count,
					 sizeof(*row->partitions));
	if (!row->partitions)
		return -ENOMEM;
	row->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		struct kafka_delete_records_response_delete_records_partition_result *response =
			&row->partitions[i];
		int32_t index = asked->partitions[i].partition_index;

		kafka_delete_records_response_delete_records_partition_result_init(response);
		response->partition_index = index;
		response->low_watermark = -1;
		if (!known(topic, index)) {
			response->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			continue;
		}
		if (topic->internal) {
			response->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
			continue;
		}
		struct trim_entry *trim = request_calloc(request, 1, sizeof(*trim));
		if (!trim)
			return -ENOMEM;
		trim->trim.offset = asked->partitions[i].offset;
		trim->response = response;
		scatter_add(request->state, &trim->entry, topic, index);
	}
	return 0;
}

void handle_delete_records(struct request *request)
{
	const struct kafka_delete_records_request *message = request->message;
	struct kafka_delete_records_response *response = request->response;
	struct scatter *scatter = new_scatter(request, run_trim, complete_trim);

	response->topics = request_calloc(request, (size_t)message->topics_count,
					  sizeof(*response->topics));
	if (!scatter || !response->topics)
		goto fail;
	response->topics_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (trim_topic(request, &message->topics[i], &response->topics[i]) < 0)
			goto fail;
	}
	scatter_start(scatter);
	return;
fail:
	request_fail(request, too_much);
}

/* ---- OffsetForLeaderEpoch ---- */

struct epoch_entry {
	struct scatter_entry entry;
	int32_t current_epoch;
	int32_t asked_epoch;
	int32_t epoch;
	int64_t end_offset;
	struct kafka_offset_for_leader_epoch_response_epoch_end_offset *response;
};

static void run_epoch(struct shard *shard, struct partition *partition, struct scatter_entry *entry)
{
	struct epoch_entry *epoch = container_of(entry, struct epoch_entry, entry);
	int rc = check_epoch(partition, epoch->current_epoch);

	if (rc == 0)
		log_epoch_end(partition->log, epoch->asked_epoch, &epoch->epoch,
			      &epoch->end_offset);
	scatter_entry_done(shard, entry, rc);
}

static void complete_epoch(struct request *request)
{
	struct scatter *scatter = request->state;

	for (unsigned i = 0; i < request->shard->options.shard_count; i++) {
		for (struct scatter_entry *entry = scatter->parts[i].first; entry;
		     entry = entry->next) {
			struct epoch_entry *epoch = container_of(entry, struct epoch_entry, entry);
			epoch->response->error_code = kafka_code_of(entry->rc);
			if (entry->rc < 0)
				continue;
			epoch->response->leader_epoch = epoch->epoch;
			epoch->response->end_offset = epoch->end_offset;
		}
	}
	request_answer(request);
}

static int epoch_topic(
	struct request *request,
	const struct kafka_offset_for_leader_epoch_request_offset_for_leader_topic *asked,
	struct kafka_offset_for_leader_epoch_response_offset_for_leader_topic_result *row)
{
	const struct topic *topic = topic_named(request->shard, &asked->topic);

	kafka_offset_for_leader_epoch_response_offset_for_leader_topic_result_init(row);
	row->topic = asked->topic;
	row->partitions = request_calloc(request, (size_t)asked->partitions_count,
					 sizeof(*row->partitions));
	if (!row->partitions)
		return -ENOMEM;
	row->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count; i++) {
		struct kafka_offset_for_leader_epoch_response_epoch_end_offset *response =
			&row->partitions[i];
		int32_t index = asked->partitions[i].partition;

		kafka_offset_for_leader_epoch_response_epoch_end_offset_init(response);
		response->partition = index;
		if (!known(topic, index)) {
			response->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
			continue;
		}
		struct epoch_entry *epoch = request_calloc(request, 1, sizeof(*epoch));
		if (!epoch)
			return -ENOMEM;
		epoch->current_epoch = asked->partitions[i].current_leader_epoch;
		epoch->asked_epoch = asked->partitions[i].leader_epoch;
		epoch->response = response;
		scatter_add(request->state, &epoch->entry, topic, index);
	}
	return 0;
}

void handle_offset_for_leader_epoch(struct request *request)
{
	const struct kafka_offset_for_leader_epoch_request *message = request->message;
	struct kafka_offset_for_leader_epoch_response *response = request->response;
	struct scatter *scatter = new_scatter(request, run_epoch, complete_epoch);

	response->topics = request_calloc(request, (size_t)message->topics_count,
					  sizeof(*response->topics));
	if (!scatter || !response->topics)
		goto fail;
	response->topics_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		if (epoch_topic(request, &message->topics[i], &response->topics[i]) < 0)
			goto fail;
	}
	scatter_start(scatter);
	return;
fail:
	request_fail(request, too_much);
}
