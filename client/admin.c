/* Administration of topics and settings. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "client/question.h"
#include "dataplane/kafka/kafka_errors.h"

enum {
	METADATA_VERSION_MAX = 12,
	DESCRIBE_CLUSTER_BROKERS = 1,
	CONFIG_SET = 0,
	CONFIG_DELETE = 1,
};

/* ---- metadata ---- */

struct metadata_question {
	const char *const *topics;
	size_t count;
	struct sluice_client *client;
	struct sluice_metadata *ret;
};

static int metadata_fill(struct request *request, void *user)
{
	const struct metadata_question *question = user;
	struct kafka_metadata_request *message = request->message;

	message->allow_auto_topic_creation = false;
	if (!question->topics) {
		message->topics_count = -1; /* all */
		return 0;
	}
	message->topics = arena_calloc(&request->arena, question->count, sizeof(*message->topics));
	if (!message->topics)
		return -ENOMEM;
	message->topics_count = (int32_t)question->count;
	for (size_t i = 0; i < question->count; i++)
		message->topics[i].name = kafka_string_of(question->topics[i]);
	return 0;
}

static int compare_partitions(const void *a, const void *b)
{
	const struct sluice_partition *one = a;
	const struct sluice_partition *other = b;

	return (one->index > other->index) - (one->index < other->index);
}

static int compare_topics(const void *a, const void *b)
{
	return strcmp(((const struct sluice_topic *)a)->name,
		      ((const struct sluice_topic *)b)->name);
}

static void copy_partition(struct arena *arena, struct sluice_partition *to,
			   const struct kafka_metadata_response_metadata_response_partition *from,
			   bool *failed)
{
	*to = (struct sluice_partition){
		.error = client_kafka_error(from->error_code),
		.index = from->partition_index,
		.leader = from->leader_id,
		.replicas = answer_ids(arena, from->replica_nodes, from->replica_nodes_count,
				       failed),
		.replica_count = (size_t)from->replica_nodes_count,
		.in_sync = answer_ids(arena, from->isr_nodes, from->isr_nodes_count, failed),
		.in_sync_count = (size_t)from->isr_nodes_count,
	};
}

static void copy_topic(struct arena *arena, struct sluice_topic *to,
		       const struct kafka_metadata_response_metadata_response_topic *from,
		       bool *failed)
{
	size_t count = from->partitions_count > 0 ? (size_t)from->partitions_count : 0;
	struct sluice_partition *partitions = arena_calloc(arena, count, sizeof(*partitions));
	char id[UUID_TEXT_BYTES] = "";

	if (!uuid_zero(&from->topic_id))
		uuid_text(&from->topic_id, id);
	to->error = client_kafka_error(from->error_code);
	to->name = answer_text(arena, &from->name, failed);
	to->id = arena_strndup(arena, id, strlen(id));
	to->internal = from->is_internal;
	to->partitions = partitions;
	to->partition_count = count;
	*failed = *failed || !partitions || !to->id || !to->name;
	for (size_t i = 0; !*failed && i < count; i++)
		copy_partition(arena, &partitions[i], &from->partitions[i], failed);
	if (!*failed)
		qsort(partitions, count, sizeof(*partitions), compare_partitions);
}

static int metadata_copy(struct sluice_metadata *to, const struct kafka_metadata_response *from)
{
	struct arena *arena = answer_arena(to);
	struct sluice_broker *brokers = arena_calloc(arena, (size_t)from->brokers_count,
						     sizeof(*brokers));
	struct sluice_topic *topics = arena_calloc(arena, (size_t)from->topics_count,
						   sizeof(*topics));
	bool failed = !brokers || !topics;

	to->cluster_id = answer_text(arena, &from->cluster_id, &failed);
	to->controller = from->controller_id;
	to->brokers = brokers;
	to->topics = topics;
	for (int32_t i = 0; !failed && i < from->brokers_count; i++) {
		brokers[to->broker_count++] = (struct sluice_broker){
			.id = from->brokers[i].node_id,
			.host = answer_text(arena, &from->brokers[i].host, &failed),
			.port = from->brokers[i].port,
			.rack = answer_text(arena, &from->brokers[i].rack, &failed),
		};
	}
	for (int32_t i = 0; !failed && i < from->topics_count; i++)
		copy_topic(arena, &topics[to->topic_count++], &from->topics[i], &failed);
	if (failed || !topics)
		return -ENOMEM;
	qsort(topics, to->topic_count, sizeof(*topics), compare_topics);
	return 0;
}

static int metadata_read(struct request *request, void *user, struct kafka_string *message)
{
	struct metadata_question *question = user;
	const struct kafka_metadata_response *response = request->response;

	cluster_take_brokers(question->client, response);
	question->ret = answer_new(sizeof(*question->ret));
	if (!question->ret)
		return -ENOMEM;
	int rc = metadata_copy(question->ret, response);
	if (rc < 0)
		answer_free(question->ret);
	return rc;
}

int sluice_metadata(struct sluice_client *client, const char *const *topics, size_t count,
		    struct sluice_metadata **ret)
{
	struct metadata_question user = {.topics = topics, .count = count, .client = client};
	const struct question question = {
		.api = KAFKA_METADATA,
		.version_max = METADATA_VERSION_MAX,
		.fill = metadata_fill,
		.read = metadata_read,
		.user = &user,
		.what = "metadata",
		.about = "",
	};
	int rc = question_ask(client, &question);

	if (rc == 0)
		*ret = user.ret;
	return rc;
}

void sluice_metadata_free(struct sluice_metadata *metadata)
{
	answer_free(metadata);
}

/* ---- brokers ---- */

static int nothing_fill(struct request *request, void *user)
{
	return 0; /* no topics at all */
}

static int nothing_read(struct request *request, void *user, struct kafka_string *message)
{
	return 0;
}

int sluice_broker_check(struct sluice_client *client, int32_t broker)
{
	const struct question question = {
		.api = KAFKA_METADATA,
		.version_max = METADATA_VERSION_MAX,
		.broker = &broker,
		.fill = nothing_fill,
		.read = nothing_read,
		.what = "metadata",
		.about = "",
	};

	return question_ask(client, &question);
}

/* ---- topics ---- */

struct topic_question {
	const char *topic;
	int32_t partitions;
	int16_t replicas;
	const struct sluice_config *configs;
	size_t count;
	int32_t timeout_ms;
};

static int create_fill(struct request *request, void *user)
{
	const struct topic_question *question = user;
	struct kafka_create_topics_request *message = request->message;
	struct kafka_create_topics_request_creatable_topic *topic = arena_calloc(&request->arena, 1,
										 sizeof(*topic));

	if (!topic)
		return -ENOMEM;
	kafka_create_topics_request_creatable_topic_init(topic);
	message->topics = topic;
	message->topics_count = 1;
	message->timeout_ms = question->timeout_ms;
	topic->name = kafka_string_of(question->topic);
	topic->num_partitions = question->partitions;
	topic->replication_factor = question->replicas;
	topic->configs = arena_calloc(&request->arena, question->count, sizeof(*topic->configs));
	if (!topic->configs)
		return -ENOMEM;
	topic->configs_count = (int32_t)question->count;
	for (size_t i = 0; i < question->count; i++) {
		topic->configs[i].name = kafka_string_of(question->configs[i].name);
		topic->configs[i].value = kafka_string_of(question->configs[i].value);
	}
	return 0;
}

static int create_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_create_topics_response *response = request->response;

	if (response->topics_count != 1)
		return -EPROTO;
	*message = response->topics[0].error_message;
	return client_kafka_error(response->topics[0].error_code);
}

int sluice_topic_create(struct sluice_client *client, const char *topic, int32_t partitions,
			int16_t replicas, const struct sluice_config *configs, size_t count)
{
	struct topic_question user = {
		.topic = topic,
		.partitions = partitions,
		.replicas = replicas,
		.configs = configs,
		.count = count,
		.timeout_ms = (int32_t)client->options.request_timeout_ms,
	};
	const struct question question = {
		.api = KAFKA_CREATE_TOPICS,
		.controller = true,
		.fill = create_fill,
		.read = create_read,
		.user = &user,
		.what = "create topic",
		.about = topic,
	};

	return question_ask(client, &question);
}

static int delete_fill(struct request *request, void *user)
{
	const struct topic_question *question = user;
	struct kafka_delete_topics_request *message = request->message;

	/* By the version that is spoken either the one or the other counts. */
	message->topics = arena_calloc(&request->arena, 1, sizeof(*message->topics));
	message->topic_names = arena_calloc(&request->arena, 1, sizeof(*message->topic_names));
	if (!message->topics || !message->topic_names)
		return -ENOMEM;
	message->topics_count = 1;
	message->topics[0].name = kafka_string_of(question->topic);
	message->topic_names_count = 1;
	message->topic_names[0] = kafka_string_of(question->topic);
	message->timeout_ms = question->timeout_ms;
	return 0;
}

static int delete_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_delete_topics_response *response = request->response;

	if (response->responses_count != 1)
		return -EPROTO;
	*message = response->responses[0].error_message;
	return client_kafka_error(response->responses[0].error_code);
}

int sluice_topic_delete(struct sluice_client *client, const char *topic)
{
	struct topic_question user = {
		.topic = topic,
		.timeout_ms = (int32_t)client->options.request_timeout_ms,
	};
	const struct question question = {
		.api = KAFKA_DELETE_TOPICS,
		.controller = true,
		.fill = delete_fill,
		.read = delete_read,
		.user = &user,
		.what = "delete topic",
		.about = topic,
	};

	return question_ask(client, &question);
}

static int grow_fill(struct request *request, void *user)
{
	const struct topic_question *question = user;
	struct kafka_create_partitions_request *message = request->message;
	struct kafka_create_partitions_request_create_partitions_topic *topic =
		arena_calloc(&request->arena, 1, sizeof(*topic));

	if (!topic)
		return -ENOMEM;
	topic->name = kafka_string_of(question->topic);
	topic->count = question->partitions;
	topic->assignments_count = -1; /* the broker's choice */
	message->topics = topic;
	message->topics_count = 1;
	message->timeout_ms = question->timeout_ms;
	return 0;
}

static int grow_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_create_partitions_response *response = request->response;

	if (response->results_count != 1)
		return -EPROTO;
	*message = response->results[0].error_message;
	return client_kafka_error(response->results[0].error_code);
}

int sluice_topic_grow(struct sluice_client *client, const char *topic, int32_t partitions)
{
	struct topic_question user = {
		.topic = topic,
		.partitions = partitions,
		.timeout_ms = (int32_t)client->options.request_timeout_ms,
	};
	const struct question question = {
		.api = KAFKA_CREATE_PARTITIONS,
		.controller = true,
		.fill = grow_fill,
		.read = grow_read,
		.user = &user,
		.what = "grow topic",
		.about = topic,
	};

	return question_ask(client, &question);
}

/* ---- configurations ---- */

struct configs_question {
	enum sluice_resource type;
	const char *name;
	const struct sluice_config *configs;
	size_t count;
	struct sluice_configs *ret;
};

/* Of a broker only that one knows, and changes, what is its own. */
static const int32_t *broker_of(const struct configs_question *question, int32_t *number)
{
	char *end;
	long value = strtol(question->name, &end, 10);

	if (question->type != SLUICE_BROKER || end == question->name || *end || value < 0 ||
	    value > INT32_MAX)
		return NULL;
	*number = (int32_t)value;
	return number;
}

/* A broker that nobody has told of yet is looked for. */
static int ask_about_configs(struct sluice_client *client, const struct question *question)
{
	const char *const no_topics[1] = {NULL};
	struct sluice_metadata *metadata = NULL;

	if (question->broker && !cluster_broker(client, *question->broker)) {
		int rc = sluice_metadata(client, no_topics, 0, &metadata);
		sluice_metadata_free(metadata);
		if (rc < 0)
			return rc;
	}
	return question_ask(client, question);
}

static int get_fill(struct request *request, void *user)
{
	const struct configs_question *question = user;
	struct kafka_describe_configs_request *message = request->message;

	message->resources = arena_calloc(&request->arena, 1, sizeof(*message->resources));
	if (!message->resources)
		return -ENOMEM;
	message->resources_count = 1;
	message->resources[0].resource_type = (int8_t)question->type;
	message->resources[0].resource_name = kafka_string_of(question->name);
	message->resources[0].configuration_keys_count = -1; /* all */
	message->include_documentation = true;
	return 0;
}

static const char *source_name(int8_t source)
{
	static const char *const names[] = {"unknown", "topic",  "broker",  "cluster", "file",
					    "default", "logger", "unknown", "group"};

	return names[source >= 0 && (size_t)source < array_count(names) ? source : 0];
}

static int compare_configs(const void *a, const void *b)
{
	return strcmp(((const struct sluice_config *)a)->name,
		      ((const struct sluice_config *)b)->name);
}

static int configs_copy(struct sluice_configs *to,
			const struct kafka_describe_configs_response_describe_configs_result *from)
{
	struct arena *arena = answer_arena(to);
	size_t count = from->configs_count > 0 ? (size_t)from->configs_count : 0;
	struct sluice_config *configs = arena_calloc(arena, count, sizeof(*configs));
	bool failed = !configs;

	to->configs = configs;
	for (; !failed && to->count < count; to->count++) {
		const struct kafka_describe_configs_response_describe_configs_resource_result *one =
			&from->configs[to->count];
		const char *help = answer_text(arena, &one->documentation, &failed);
		configs[to->count] = (struct sluice_config){
			.name = answer_text(arena, &one->name, &failed),
			.value = answer_text(arena, &one->value, &failed),
			.source = source_name(one->config_source),
			.help = help ? help : "",
			.read_only = one->read_only,
			.sensitive = one->is_sensitive,
		};
	}
	if (failed)
		return -ENOMEM;
	qsort(configs, count, sizeof(*configs), compare_configs);
	return 0;
}

static int get_read(struct request *request, void *user, struct kafka_string *message)
{
	struct configs_question *question = user;
	const struct kafka_describe_configs_response *response = request->response;

	if (response->results_count != 1)
		return -EPROTO;
	*message = response->results[0].error_message;
	if (response->results[0].error_code)
		return client_kafka_error(response->results[0].error_code);
	question->ret = answer_new(sizeof(*question->ret));
	if (!question->ret)
		return -ENOMEM;
	int rc = configs_copy(question->ret, &response->results[0]);
	if (rc < 0)
		answer_free(question->ret);
	return rc;
}

int sluice_configs_get(struct sluice_client *client, enum sluice_resource type, const char *name,
		       struct sluice_configs **ret)
{
	struct configs_question user = {.type = type, .name = name};
	int32_t broker = 0;
	const struct question question = {
		.api = KAFKA_DESCRIBE_CONFIGS,
		.broker = broker_of(&user, &broker),
		.fill = get_fill,
		.read = get_read,
		.user = &user,
		.what = "configuration of",
		.about = name,
	};
	int rc = ask_about_configs(client, &question);

	if (rc == 0)
		*ret = user.ret;
	return rc;
}

void sluice_configs_free(struct sluice_configs *configs)
{
	answer_free(configs);
}

static int set_fill(struct request *request, void *user)
{
	const struct configs_question *question = user;
	struct kafka_incremental_alter_configs_request *message = request->message;
	struct kafka_incremental_alter_configs_request_alterable_config *configs =
		arena_calloc(&request->arena, question->count, sizeof(*configs));

	message->resources = arena_calloc(&request->arena, 1, sizeof(*message->resources));
	if (!configs || !message->resources)
		return -ENOMEM;
	message->resources_count = 1;
	message->resources[0].resource_type = (int8_t)question->type;
	message->resources[0].resource_name = kafka_string_of(question->name);
	message->resources[0].configs = configs;
	message->resources[0].configs_count = (int32_t)question->count;
	for (size_t i = 0; i < question->count; i++) {
		configs[i].name = kafka_string_of(question->configs[i].name);
		configs[i].value = kafka_string_of(question->configs[i].value);
		configs[i].config_operation = question->configs[i].value ? CONFIG_SET
									 : CONFIG_DELETE;
	}
	return 0;
}

static int set_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_incremental_alter_configs_response *response = request->response;

	if (response->responses_count != 1)
		return -EPROTO;
	*message = response->responses[0].error_message;
	return client_kafka_error(response->responses[0].error_code);
}

int sluice_configs_set(struct sluice_client *client, enum sluice_resource type, const char *name,
		       const struct sluice_config *configs, size_t count)
{
	struct configs_question user = {
		.type = type, .name = name, .configs = configs, .count = count};
	int32_t broker = 0;
	const struct question question = {
		.api = KAFKA_INCREMENTAL_ALTER_CONFIGS,
		.broker = broker_of(&user, &broker),
		.fill = set_fill,
		.read = set_read,
		.user = &user,
		.what = "configure",
		.about = name,
	};

	return ask_about_configs(client, &question);
}
