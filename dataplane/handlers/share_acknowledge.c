/* ShareAcknowledge: what a member has done with records that it was given; answered when that is
 * durable.  share_entry.c is what happens at the partitions' owners. */
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/handlers/share_entry.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/share/share_session.h"

#include <errno.h>

#define PARTITION struct kafka_share_acknowledge_response_partition_data
#define TOPIC struct kafka_share_acknowledge_response_share_acknowledge_topic_response

struct acknowledge_entry {
	struct share_entry share; /* first */
	PARTITION *row;
	struct acknowledge_entry *next;
};

struct acknowledge {
	struct share_session *session;
	struct scatter *scatter;
	struct acknowledge_entry *entries;
};

static void answer(struct request *request)
{
	const struct kafka_share_acknowledge_request *message = request->message;
	struct acknowledge *acknowledge = request->state;

	for (struct acknowledge_entry *entry = acknowledge->entries; entry; entry = entry->next) {
		int rc = entry->share.scatter.rc;
		entry->row->error_code = kafka_code_of(rc < 0 ? rc : entry->share.acknowledge_rc);
	}
	if (message->share_session_epoch == SHARE_SESSION_CLOSE)
		share_session_close(request->channel, acknowledge->session);
	share_session_ended(acknowledge->session);
	request_answer(request);
}

static int add_partition(struct request *request, const struct topic *topic,
			 const struct kafka_share_acknowledge_request_acknowledge_partition *asked,
			 PARTITION *row)
{
	struct acknowledge *acknowledge = request->state;

	kafka_share_acknowledge_response_partition_data_init(row);
	row->partition_index = asked->partition_index;
	if (!topic || asked->partition_index < 0 ||
	    asked->partition_index >= topic->partition_count) {
		row->error_code = topic ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_UNKNOWN_TOPIC_ID;
		return 0;
	}
	struct acknowledge_entry *entry = request_calloc(request, 1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->share.group = &acknowledge->session->group;
	entry->share.holder = acknowledge->session->holder;
	entry->share.batches = (const void *)asked->acknowledgement_batches;
	entry->share.batch_count = asked->acknowledgement_batches_count;
	entry->row = row;
	entry->next = acknowledge->entries;
	acknowledge->entries = entry;
	scatter_add(acknowledge->scatter, &entry->share.scatter, topic, asked->partition_index);
	return 0;
}

static int add_topic(struct request *request,
		     const struct kafka_share_acknowledge_request_acknowledge_topic *asked,
		     TOPIC *row)
{
	const struct topic *topic = topics_find_id(request->shard->topics, &asked->topic_id);
	int rc = 0;

	kafka_share_acknowledge_response_share_acknowledge_topic_response_init(row);
	row->topic_id = asked->topic_id;
	row->partitions = request_calloc(request, (size_t)asked->partitions_count,
					 sizeof(*row->partitions));
	if (!row->partitions)
		return -ENOMEM;
	row->partitions_count = asked->partitions_count;
	for (int32_t i = 0; i < asked->partitions_count && rc == 0; i++)
		rc = add_partition(request, topic, &asked->partitions[i], &row->partitions[i]);
	return rc;
}

static int add_topics(struct request *request)
{
	const struct kafka_share_acknowledge_request *message = request->message;
	struct kafka_share_acknowledge_response *response = request->response;
	int rc = 0;

	response->responses = request_calloc(request, (size_t)message->topics_count,
					     sizeof(*response->responses));
	if (!response->responses)
		return -ENOMEM;
	response->responses_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count && rc == 0; i++)
		rc = add_topic(request, &message->topics[i], &response->responses[i]);
	return rc;
}

void handle_share_acknowledge(struct request *request)
{
	const struct kafka_share_acknowledge_request *message = request->message;
	struct kafka_share_acknowledge_response *response = request->response;
	struct acknowledge *acknowledge = request_calloc(request, 1, sizeof(*acknowledge));
	struct scatter *scatter = scatter_new(request);
	enum kafka_error error = KAFKA_INVALID_SHARE_SESSION_EPOCH; /* it opens none */

	if (!acknowledge || !scatter) {
		request_fail(request, "request needs too much memory");
		return;
	}
	if (message->share_session_epoch != SHARE_SESSION_OPEN)
		error = share_session_begin(request, &message->group_id, &message->member_id,
					    message->share_session_epoch, &acknowledge->session);
	if (error) {
		response->error_code = (int16_t)error;
		request_answer(request);
		return;
	}
	scatter->run = share_entry_run;
	scatter->complete = answer;
	acknowledge->scatter = scatter;
	request->state = acknowledge;
	if (add_topics(request) < 0) {
		share_session_ended(acknowledge->session);
		request_fail(request, "request needs too much memory");
		return;
	}
	scatter_start(scatter);
}
