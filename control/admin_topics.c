/* CreateTopics, DeleteTopics, CreatePartitions.  Each topic of a request stands alone: what fails
 * says so in its row, the others go on.  Rules and codes are Kafka's (ReplicationControlManager).
 */
#include "control/control_internal.h"

#include "base/arena.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/kafka/kafka_errors.h"
#include "kafka_messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- CreateTopics ---- */

static int check_partition_count(const struct control *control, int64_t count, int64_t added,
				 char why[static WHY_BYTES])
{
	int64_t limit = control->config->max_partitions;

	if (count < 1 || count > INT32_MAX)
		return requests_refuse(why, -ERR_PARTITION_COUNT,
				       "number of partitions must be 1 or more");
	if (catalog_partition_count(control->catalog) + added > limit)
		return requests_refuse(
			why, -ERR_LIMIT, "max.partitions = %lld would be exceeded: there are %lld",
			(long long)limit, (long long)catalog_partition_count(control->catalog));
	return 0;
}

/* 0, 1, ... in any order: each once.  -ENOMEM. */
static int check_numbering(const struct kafka_create_topics_request_creatable_topic *row)
{
	int32_t count = row->assignments_count;
	bool *seen = calloc((size_t)count, sizeof(*seen));
	int rc = seen ? 0 : -ENOMEM;

	for (int32_t i = 0; rc == 0 && i < count; i++) {
		int32_t index = row->assignments[i].partition_index;
		if (index < 0 || index >= count || seen[index])
			rc = -ERR_ASSIGNMENT;
		else
			seen[index] = true;
	}
	free(seen);
	return rc;
}

/* Partitions 0, 1, ... each on this broker alone. */
static int check_assignments(const struct control *control,
			     const struct kafka_create_topics_request_creatable_topic *row,
			     char why[static WHY_BYTES])
{
	int32_t self = control->node_id;

	if (row->num_partitions != -1 || row->replication_factor != -1)
		return requests_refuse(
			why, -ERR_BAD_REQUEST,
			"with assignments, partitions and replication factor must be -1");
	for (int32_t i = 0; i < row->assignments_count; i++) {
		if (row->assignments[i].broker_ids_count != 1 ||
		    row->assignments[i].broker_ids[0] != self)
			return requests_refuse(why, -ERR_ASSIGNMENT, "the only broker is %d", self);
	}
	int rc = check_numbering(row);
	return rc == -ERR_ASSIGNMENT
		       ? requests_refuse(why, rc, "partitions must be numbered from 0 without gaps")
		       : rc;
}

static int count_of(const struct control *control,
		    const struct kafka_create_topics_request_creatable_topic *row, int32_t *ret,
		    char why[static WHY_BYTES])
{
	int64_t count = row->num_partitions;
	int rc = 0;

	if (row->assignments_count > 0) {
		rc = check_assignments(control, row, why);
		count = row->assignments_count;
	} else if (row->replication_factor != -1 && row->replication_factor != 1) {
		rc = requests_refuse(
			why, -ERR_REPLICATION,
			"replication factor %d: there is one broker, and so one replica",
			row->replication_factor);
	} else if (count == -1) {
		count = control->config->num_partitions;
	}
	if (rc == 0)
		rc = check_partition_count(control, count, count, why);
	if (rc == 0)
		*ret = (int32_t)count;
	return rc;
}

static int overrides_of(struct control_request *request,
			const struct kafka_create_topics_request_creatable_topic *row,
			struct topic_overrides *ret, char why[static WHY_BYTES])
{
	for (int32_t i = 0; i < row->configs_count; i++) {
		const struct kafka_string *name = &row->configs[i].name;
		const struct kafka_string *value = &row->configs[i].value;
		if (value->length < 0)
			return requests_refuse(why, -ERR_CONFIG, "\"%.*s\" has no value",
					       name->length, name->data);
		char *key = arena_strndup(request->arena, name->data, (size_t)name->length);
		char *text = arena_strndup(request->arena, value->data, (size_t)value->length);
		if (!key || !text)
			return -ENOMEM;
		int rc = topic_overrides_set(ret, key, text, why, WHY_BYTES);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int check_name(const struct control *control,
		      const struct kafka_create_topics_request_creatable_topic *row,
		      char why[static WHY_BYTES])
{
	size_t length = (size_t)row->name.length;

	if (!topic_name_legal(row->name.data, length))
		return requests_refuse(
			why, -ERR_TOPIC_NAME,
			"a topic name has 1 to %d of a-z A-Z 0-9 . _ - and is not \".\" or "
			"\"..\"",
			TOPIC_NAME_MAX);
	if (topic_name_internal(row->name.data, length))
		return requests_refuse(why, -ERR_TOPIC_NAME, "the broker makes this topic itself");
	if (catalog_find(control->catalog, row->name.data, length))
		return requests_refuse(why, -ERR_TOPIC_EXISTS, "topic \"%.*s\" exists already",
				       row->name.length, row->name.data);
	return 0;
}

static int describe_settings(const struct control *control, struct control_request *request,
			     const struct topic_overrides *overrides,
			     struct kafka_create_topics_response_creatable_topic_result *result)
{
	result->configs = arena_calloc(request->arena, TOPIC_CONFIG_COUNT,
				       sizeof(*result->configs));
	if (!result->configs)
		return -ENOMEM;
	result->configs_count = TOPIC_CONFIG_COUNT;
	for (int i = 0; i < TOPIC_CONFIG_COUNT; i++) {
		enum topic_config_index index = (enum topic_config_index)i;
		struct kafka_create_topics_response_creatable_topic_configs *setting =
			&result->configs[i];
		struct config_value value;
		int rc = admin_topic_setting(control, request->arena, overrides, index, &value);
		if (rc < 0)
			return rc;
		kafka_create_topics_response_creatable_topic_configs_init(setting);
		setting->name = kafka_string_of(topic_params[i].key);
		setting->value = kafka_string_of(value.text);
		setting->config_source = (int8_t)value.source;
	}
	return 0;
}

static int create_one(struct control *control, struct control_request *request,
		      const struct kafka_create_topics_request_creatable_topic *row,
		      struct kafka_create_topics_response_creatable_topic_result *result,
		      bool *changed, char why[static WHY_BYTES])
{
	const struct kafka_create_topics_request *message = request->request;
	struct topic_overrides overrides = {0};
	const struct catalog_topic *topic = NULL;
	int32_t count = 0;
	int rc = check_name(control, row, why);

	if (rc == 0)
		rc = count_of(control, row, &count, why);
	if (rc == 0)
		rc = overrides_of(request, row, &overrides, why);
	if (rc == 0)
		rc = describe_settings(control, request, &overrides, result);
	if (rc == 0 && !message->validate_only) {
		char name[TOPIC_NAME_MAX + 1];
		snprintf(name, sizeof(name), "%.*s", row->name.length, row->name.data);
		rc = catalog_create_topic(control->catalog, name, count, &overrides, &topic);
	}
	topic_overrides_fini(&overrides);
	if (rc < 0)
		return rc;
	result->num_partitions = count;
	result->replication_factor = 1;
	if (topic) {
		result->topic_id = topic->id;
		*changed = true;
		log_info("catalog", "topic created name=%s partitions=%d", topic->name, count);
	}
	return 0;
}

static void refuse_create(struct control_request *request,
			  struct kafka_create_topics_response_creatable_topic_result *result,
			  int rc, const char *why)
{
	result->error_code = kafka_code_of(rc);
	result->error_message = requests_text(request->arena, why[0] ? why : error_text(rc));
	result->topic_id = (struct uuid){0};
	result->num_partitions = -1;
	result->replication_factor = -1;
	result->configs = NULL;
	result->configs_count = -1;
}

enum outcome admin_create_topics(struct control *control, struct control_request *request)
{
	const struct kafka_create_topics_request *message = request->request;
	struct kafka_create_topics_response *response = request->response;
	bool changed = false;

	response->topics = arena_calloc(request->arena, (size_t)message->topics_count,
					sizeof(*response->topics));
	if (!response->topics) {
		request->rc = -ENOMEM;
		return OUTCOME_ANSWER;
	}
	response->topics_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		struct kafka_create_topics_response_creatable_topic_result *result =
			&response->topics[i];
		char why[WHY_BYTES] = "";
		kafka_create_topics_response_creatable_topic_result_init(result);
		result->name = message->topics[i].name;
		int rc = create_one(control, request, &message->topics[i], result, &changed, why);
		if (rc < 0)
			refuse_create(request, result, rc, why);
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}

void admin_create_topics_undo(struct control *control, struct control_request *request, int rc,
			      const char *why)
{
	struct kafka_create_topics_response *response = request->response;

	for (int32_t i = 0; i < response->topics_count; i++) {
		struct kafka_create_topics_response_creatable_topic_result *result =
			&response->topics[i];
		if (result->error_code || uuid_zero(&result->topic_id))
			continue;
		const struct catalog_topic *topic = catalog_find_id(control->catalog,
								    &result->topic_id);
		if (topic) {
			log_error("catalog", "topic taken back name=%s error=\"%s\"", topic->name,
				  why);
			if (catalog_delete_topic(control->catalog, topic) == 0)
				control->changed = true;
		}
		refuse_create(request, result, rc, why);
	}
}

/* ---- DeleteTopics ---- */

static int delete_one(struct control *control, const struct kafka_string *name,
		      const struct uuid *id,
		      struct kafka_delete_topics_response_deletable_topic_result *result,
		      bool *changed)
{
	const struct catalog_topic *topic;

	if (name->length >= 0) {
		if (!uuid_zero(id))
			return -ERR_BAD_REQUEST;
		topic = catalog_find(control->catalog, name->data, (size_t)name->length);
		result->name = *name;
	} else {
		topic = catalog_find_id(control->catalog, id);
		result->topic_id = *id;
	}
	if (!topic)
		return name->length >= 0 ? -ERR_UNKNOWN_PARTITION : -ERR_UNKNOWN_TOPIC_ID;
	if (topic_name_internal(topic->name, strlen(topic->name)))
		return -ERR_TOPIC_NAME; /* with it every group would be forgotten */
	char removed[TOPIC_NAME_MAX + 1];
	memcpy(removed, topic->name, sizeof(removed));
	result->topic_id = topic->id;
	int rc = catalog_delete_topic(control->catalog, topic);
	if (rc == 0) {
		*changed = true;
		log_info("catalog", "topic deleted name=%s", removed);
	}
	return rc;
}

/* A name given by id is told in the answer, from before the topic goes. */
static struct kafka_string name_by_id(const struct control *control, struct arena *arena,
				      const struct uuid *id)
{
	const struct catalog_topic *topic = catalog_find_id(control->catalog, id);
	return topic ? requests_text(arena, topic->name) : kafka_string_of(NULL);
}

enum outcome admin_delete_topics(struct control *control, struct control_request *request)
{
	static const struct uuid no_id;
	const struct kafka_delete_topics_request *message = request->request;
	struct kafka_delete_topics_response *response = request->response;
	bool by_state = request->version >= 6;
	int32_t count = by_state ? message->topics_count : message->topic_names_count;
	bool changed = false;

	response->responses = arena_calloc(request->arena, (size_t)count,
					   sizeof(*response->responses));
	if (!response->responses) {
		request->rc = -ENOMEM;
		return OUTCOME_ANSWER;
	}
	response->responses_count = count;
	for (int32_t i = 0; i < count; i++) {
		struct kafka_delete_topics_response_deletable_topic_result *result =
			&response->responses[i];
		const struct kafka_string *name = by_state ? &message->topics[i].name
							   : &message->topic_names[i];
		const struct uuid *id = by_state ? &message->topics[i].topic_id : &no_id;
		kafka_delete_topics_response_deletable_topic_result_init(result);
		if (name->length < 0)
			result->name = name_by_id(control, request->arena, id);
		int rc = delete_one(control, name, id, result, &changed);
		result->error_code = kafka_code_of(rc);
		if (rc < 0)
			result->error_message = kafka_string_of(error_text(rc));
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}

/* ---- CreatePartitions ---- */

static int check_new_replicas(
	const struct control *control,
	const struct kafka_create_partitions_request_create_partitions_topic *row, int32_t added,
	char why[static WHY_BYTES])
{
	int32_t self = control->node_id;

	if (row->assignments_count < 0)
		return 0;
	if (row->assignments_count != added)
		return requests_refuse(why, -ERR_ASSIGNMENT, "%d new partitions but %d assignments",
				       added, row->assignments_count);
	for (int32_t i = 0; i < row->assignments_count; i++) {
		if (row->assignments[i].broker_ids_count != 1 ||
		    row->assignments[i].broker_ids[0] != self)
			return requests_refuse(why, -ERR_ASSIGNMENT, "the only broker is %d", self);
	}
	return 0;
}

static int grow_one(struct control *control,
		    const struct kafka_create_partitions_request_create_partitions_topic *row,
		    bool validate_only, bool *changed, char why[static WHY_BYTES])
{
	const struct catalog_topic *topic = catalog_find(control->catalog, row->name.data,
							 (size_t)row->name.length);

	if (!topic)
		return -ERR_UNKNOWN_PARTITION;
	if (topic_name_internal(topic->name, strlen(topic->name)))
		return requests_refuse(why, -ERR_TOPIC_NAME,
				       "groups would not be found where they are stored");
	if (row->count <= topic->partition_count)
		return requests_refuse(why, -ERR_PARTITION_COUNT,
				       "topic has %d partitions; the number can only grow",
				       topic->partition_count);
	int32_t added = row->count - topic->partition_count;
	int rc = check_partition_count(control, row->count, added, why);
	if (rc == 0)
		rc = check_new_replicas(control, row, added, why);
	if (rc < 0 || validate_only)
		return rc;
	rc = catalog_grow_topic(control->catalog, topic, row->count);
	if (rc == 0) {
		*changed = true;
		log_info("catalog", "partitions added topic=%s partitions=%d", topic->name,
			 row->count);
	}
	return rc;
}

enum outcome admin_create_partitions(struct control *control, struct control_request *request)
{
	const struct kafka_create_partitions_request *message = request->request;
	struct kafka_create_partitions_response *response = request->response;
	bool changed = false;

	response->results = arena_calloc(request->arena, (size_t)message->topics_count,
					 sizeof(*response->results));
	if (!response->results) {
		request->rc = -ENOMEM;
		return OUTCOME_ANSWER;
	}
	response->results_count = message->topics_count;
	for (int32_t i = 0; i < message->topics_count; i++) {
		struct kafka_create_partitions_response_create_partitions_topic_result *result =
			&response->results[i];
		char why[WHY_BYTES] = "";
		kafka_create_partitions_response_create_partitions_topic_result_init(result);
		result->name = message->topics[i].name;
		int rc = grow_one(control, &message->topics[i], message->validate_only, &changed,
				  why);
		result->error_code = kafka_code_of(rc);
		if (rc < 0)
			result->error_message = requests_text(request->arena,
							      why[0] ? why : error_text(rc));
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}
