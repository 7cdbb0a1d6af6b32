/* Metadata: answered from the shard's own picture of the topics.  Names that are missing and may be
 * created go to the control plane as a CreateTopics request first; then the answer is built from
 * the new picture, so a client can use the topic at once. */
#include "base/errors.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <errno.h>

static int list_partitions(struct request *request, const struct topic *topic,
			   struct kafka_metadata_response_metadata_response_topic *row)
{
	const struct topics *topics = request->shard->topics;
	int32_t *self = request_calloc(request, 1, sizeof(*self));

	row->partitions = request_calloc(request, (size_t)topic->partition_count,
					 sizeof(*row->partitions));
	if (!row->partitions || !self)
		return -ENOMEM;
	*self = topics->node_id;
	row->partitions_count = topic->partition_count;
	for (int32_t i = 0; i < topic->partition_count; i++) {
		struct kafka_metadata_response_metadata_response_partition *partition =
			&row->partitions[i];
		kafka_metadata_response_metadata_response_partition_init(partition);
		partition->partition_index = i;
		if (topics->datagram_port)
			partition->datagram_port =
				(uint16_t)(topics->datagram_port +
					   partition_shard(topic, i, topics->shard_count));
		partition->leader_id = topics->node_id;
		partition->leader_epoch = topics->leader_epoch;
		partition->replica_nodes = self;
		partition->replica_nodes_count = 1;
		partition->isr_nodes = self;
		partition->isr_nodes_count = 1;
	}
	return 0;
}

static int describe(struct request *request, const struct topic *topic,
		    struct kafka_metadata_response_metadata_response_topic *row)
{
	row->name = kafka_string_of(topic->name);
	row->topic_id = topic->id;
	row->is_internal = topic->internal;
	return list_partitions(request, topic, row);
}

static int list_all(struct request *request, struct kafka_metadata_response *response)
{
	const struct topics *topics = request->shard->topics;

	response->topics = request_calloc(request, topics->count, sizeof(*response->topics));
	if (!response->topics)
		return -ENOMEM;
	response->topics_count = (int32_t)topics->count;
	for (size_t i = 0; i < topics->count; i++) {
		kafka_metadata_response_metadata_response_topic_init(&response->topics[i]);
		int rc = describe(request, topics->by_name[i], &response->topics[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* What the control plane said of a topic that it was asked to create; 0: not asked.  It says so in
 * the order in which the client has asked: `*at` is behind the last that was looked up. */
static int16_t creation_error(const struct request *request, const struct kafka_string *name,
			      int32_t *at)
{
	const struct kafka_create_topics_response *created = request->state;

	for (int32_t i = *at; created && i < created->topics_count; i++) {
		if (!kafka_string_equal(&created->topics[i].name, name))
			continue;
		*at = i + 1;
		return created->topics[i].error_code;
	}
	return 0;
}

static int list_one(struct request *request,
		    const struct kafka_metadata_request_metadata_request_topic *asked,
		    struct kafka_metadata_response_metadata_response_topic *row,
		    int32_t *created_at)
{
	const struct topic *topic;

	kafka_metadata_response_metadata_response_topic_init(row);
	/* The Java admin client asks by id with an empty name, others with none. */
	if (asked->name.length < 0 || !uuid_zero(&asked->topic_id)) {
		topic = topics_find_id(request->shard->topics, &asked->topic_id);
		if (topic)
			return describe(request, topic, row);
		row->error_code = KAFKA_UNKNOWN_TOPIC_ID;
		row->topic_id = asked->topic_id;
		row->name = (struct kafka_string){.length = -1};
		if (request->header.api_version < 12)
			row->name = kafka_string_of("");
		return 0;
	}
	topic = topic_named(request->shard, &asked->name);
	if (topic)
		return describe(request, topic, row);
	row->name = asked->name;
	row->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
	if (!topic_name_legal(asked->name.data, (size_t)asked->name.length))
		return 0;
	row->error_code = creation_error(request, &asked->name, created_at);
	if (row->error_code == 0)
		row->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return 0;
}

static int list_asked(struct request *request, struct kafka_metadata_response *response)
{
	const struct kafka_metadata_request *message = request->message;
	int32_t created_at = 0;

	response->topics = request_calloc(request, (size_t)message->topics_count,
					  sizeof(*response->topics));
	if (!response->topics)
		return -ENOMEM;
	response->topics_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		int rc = list_one(request, &message->topics[i], &response->topics[i], &created_at);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void answer(struct request *request)
{
	const struct kafka_metadata_request *message = request->message;
	struct kafka_metadata_response *response = request->response;
	const struct topics *topics = request->shard->topics;
	/* Version 0 says "all" by an empty list, later ones by null. */
	bool all = message->topics_count < 0 ||
		   (request->header.api_version == 0 && message->topics_count == 0);
	int rc = all ? list_all(request, response) : list_asked(request, response);

	response->brokers = request_calloc(request, 1, sizeof(*response->brokers));
	if (rc < 0 || !response->brokers) {
		request_fail(request, "request needs too much memory");
		return;
	}
	response->brokers_count = 1;
	kafka_metadata_response_metadata_response_broker_init(&response->brokers[0]);
	response->brokers[0].node_id = topics->node_id;
	response->brokers[0].host = kafka_string_of(topics->host);
	response->brokers[0].port = topics->port;
	response->cluster_id = kafka_string_of(topics->cluster_id);
	response->controller_id = topics->node_id;
	request_answer(request);
}

static bool may_create(const struct request *request,
		       const struct kafka_metadata_request_metadata_request_topic *asked)
{
	size_t length = asked->name.length > 0 ? (size_t)asked->name.length : 0;

	return length && !topic_named(request->shard, &asked->name) &&
	       topic_name_legal(asked->name.data, length) &&
	       !topic_name_internal(asked->name.data, length);
}

/* The missing names as a CreateTopics request with default counts; null when none is missing. */
static int missing_topics(struct request *request, struct kafka_create_topics_request **ret)
{
	const struct kafka_metadata_request *message = request->message;
	struct kafka_create_topics_request *create = NULL;

	for (int32_t i = 0; i < message->topics_count; i++) {
		if (!may_create(request, &message->topics[i]))
			continue;
		if (!create) {
			create = request_calloc(request, 1, sizeof(*create));
			if (!create)
				return -ENOMEM;
			kafka_create_topics_request_init(create);
			create->topics = request_calloc(request, (size_t)message->topics_count,
							sizeof(*create->topics));
			if (!create->topics)
				return -ENOMEM;
		}
		struct kafka_create_topics_request_creatable_topic *topic =
			&create->topics[create->topics_count++];
		kafka_create_topics_request_creatable_topic_init(topic);
		topic->name = message->topics[i].name;
		topic->num_partitions = -1;
		topic->replication_factor = -1;
	}
	*ret = create;
	return 0;
}

static int create_missing(struct request *request, const struct kafka_create_topics_request *create)
{
	const struct kafka_api *api = kafka_api_find(KAFKA_CREATE_TOPICS);
	struct kafka_create_topics_response *created = request_calloc(request, 1, sizeof(*created));

	if (!created)
		return -ENOMEM;
	kafka_create_topics_response_init(created);
	request->state = created;
	return forward_to_control(request, api, api->max_version, create, created, answer);
}

void handle_metadata(struct request *request)
{
	const struct kafka_metadata_request *message = request->message;
	bool allowed = request->header.api_version < 4 || message->allow_auto_topic_creation;
	struct kafka_create_topics_request *create = NULL;
	int rc = 0;

	if (allowed && request->shard->topics->auto_create)
		rc = missing_topics(request, &create);
	if (rc == 0 && create) {
		rc = create_missing(request, create);
		if (rc == 0)
			return;
	}
	if (rc < 0)
		request_fail(request, "request needs too much memory");
	else
		answer(request);
}
