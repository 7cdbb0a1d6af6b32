/* What a client asks before it moves data: ApiVersions, DescribeCluster, FindCoordinator. */
#include "dataplane/handlers/handlers.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <ctype.h>
#include <errno.h>

/* ---- ApiVersions ---- */

enum { TRANSACTION_VERSION = 2, FEATURES_FROM_ZERO_VERSION = 4 };

static int list_api(struct kafka_api_versions_response *response, const struct kafka_api *api)
{
	struct kafka_api_versions_response_api_version *row =
		&response->api_keys[response->api_keys_count++];

	kafka_api_versions_response_api_version_init(row);
	row->api_key = api->key;
	row->min_version = api->advertised_min;
	row->max_version = api->max_version;
	return 0;
}

/* transaction.version 2 (KIP-890): a producer whose broker has it adds partitions by writing to
 * them and has an epoch a transaction.  -ENOMEM. */
static int list_features(struct request *request)
{
	struct kafka_api_versions_response *response = request->response;
	struct kafka_string name = kafka_string_of("transaction.version");

	response->supported_features = request_calloc(request, 1,
						      sizeof(*response->supported_features));
	response->finalized_features = request_calloc(request, 1,
						      sizeof(*response->finalized_features));
	if (!response->supported_features || !response->finalized_features)
		return -ENOMEM;
	/* Older clients fail at a range that begins at 0 (KIP-1022). */
	if (request->header.api_version >= FEATURES_FROM_ZERO_VERSION)
		response->supported_features_count = 1;
	kafka_api_versions_response_supported_feature_key_init(&response->supported_features[0]);
	response->supported_features[0].name = name;
	response->supported_features[0].max_version = TRANSACTION_VERSION;
	response->finalized_features_epoch = 0;
	response->finalized_features_count = 1;
	kafka_api_versions_response_finalized_feature_key_init(&response->finalized_features[0]);
	response->finalized_features[0].name = name;
	response->finalized_features[0].max_version_level = TRANSACTION_VERSION;
	response->finalized_features[0].min_version_level = TRANSACTION_VERSION;
	return 0;
}

/* KIP-511: letters and digits, with '-' and '.' inside. */
static bool software_name_legal(const struct kafka_string *name)
{
	if (name->length <= 0)
		return true;
	for (int32_t i = 0; i < name->length; i++) {
		unsigned char c = (unsigned char)name->data[i];
		bool inner = i > 0 && i < name->length - 1;
		if (!isalnum(c) && !(inner && (c == '-' || c == '.')))
			return false;
	}
	return true;
}

void handle_api_versions(struct request *request)
{
	const struct kafka_api_versions_request *message = request->message;
	struct kafka_api_versions_response *response = request->response;

	response->api_keys = request_calloc(request, kafka_api_count, sizeof(*response->api_keys));
	if (!response->api_keys) {
		request_fail(request, "request needs too much memory");
		return;
	}
	if (!message) {
		/* A version we do not know: KIP-511 wants version 0 and this one row. */
		response->error_code = KAFKA_UNSUPPORTED_VERSION;
		list_api(response, request->api);
		request_answer(request);
		return;
	}
	if (!software_name_legal(&message->client_software_name) ||
	    !software_name_legal(&message->client_software_version)) {
		response->error_code = KAFKA_INVALID_REQUEST;
		request_answer(request);
		return;
	}
	for (size_t i = 0; i < kafka_api_count; i++)
		list_api(response, &kafka_apis[i]);
	if (list_features(request) < 0)
		request_fail(request, "request needs too much memory");
	else
		request_answer(request);
}

/* ---- DescribeCluster ---- */

void handle_describe_cluster(struct request *request)
{
	const struct kafka_describe_cluster_request *message = request->message;
	struct kafka_describe_cluster_response *response = request->response;
	const struct topics *topics = request->shard->topics;

	response->endpoint_type = message->endpoint_type;
	response->cluster_id = kafka_string_of(topics->cluster_id);
	if (message->endpoint_type != 1) {
		response->error_code = message->endpoint_type == 2
					       ? KAFKA_MISMATCHED_ENDPOINT_TYPE
					       : KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
		response->error_message = kafka_string_of("this listener describes brokers only");
		request_answer(request);
		return;
	}
	response->controller_id = topics->node_id;
	response->brokers = request_calloc(request, 1, sizeof(*response->brokers));
	if (!response->brokers) {
		request_fail(request, "request needs too much memory");
		return;
	}
	response->brokers_count = 1;
	kafka_describe_cluster_response_describe_cluster_broker_init(&response->brokers[0]);
	response->brokers[0].broker_id = topics->node_id;
	response->brokers[0].host = kafka_string_of(topics->host);
	response->brokers[0].port = topics->port;
	request_answer(request);
}

/* ---- FindCoordinator: this broker, of every group and transactional id ---- */

/* Kafka's CoordinatorType */
enum { COORDINATES_GROUPS, COORDINATES_TRANSACTIONS, COORDINATES_SHARES };

/* KAFKA_NONE, or why this broker coordinates nothing of that name. */
static enum kafka_error why_no_coordinator(int8_t key_type, const struct kafka_string *key,
					   const char **ret_text)
{
	if (key_type == COORDINATES_SHARES) {
		*ret_text = "the state of share groups is kept with the groups, for brokers alone";
		return KAFKA_INVALID_REQUEST;
	}
	if (key_type != COORDINATES_GROUPS && key_type != COORDINATES_TRANSACTIONS) {
		*ret_text = "no coordinator of this type";
		return KAFKA_INVALID_REQUEST;
	}
	if (key->length <= 0 && key_type == COORDINATES_TRANSACTIONS) {
		*ret_text = "a transactional id is not empty";
		return KAFKA_INVALID_REQUEST;
	}
	if (key->length <= 0) {
		*ret_text = "a group needs an id";
		return KAFKA_INVALID_GROUP_ID;
	}
	*ret_text = NULL;
	return KAFKA_NONE;
}

/* One key's answer, with the names of a row of the newer versions. */
static struct kafka_find_coordinator_response_coordinator coordinator_of(
	const struct topics *topics, int8_t key_type, const struct kafka_string *key)
{
	struct kafka_find_coordinator_response_coordinator row;
	const char *text;

	kafka_find_coordinator_response_coordinator_init(&row);
	row.key = *key;
	row.error_code = (int16_t)why_no_coordinator(key_type, key, &text);
	row.error_message = kafka_string_of(text);
	row.node_id = row.error_code ? -1 : topics->node_id;
	row.host = kafka_string_of(row.error_code ? "" : topics->host);
	row.port = row.error_code ? -1 : topics->port;
	return row;
}

void handle_find_coordinator(struct request *request)
{
	const struct kafka_find_coordinator_request *message = request->message;
	struct kafka_find_coordinator_response *response = request->response;
	const struct topics *topics = request->shard->topics;

	if (request->header.api_version < 4) {
		struct kafka_find_coordinator_response_coordinator row =
			coordinator_of(topics, message->key_type, &message->key);
		response->error_code = row.error_code;
		response->error_message = row.error_message;
		response->node_id = row.node_id;
		response->host = row.host;
		response->port = row.port;
		request_answer(request);
		return;
	}
	response->coordinators = request_calloc(request, (size_t)message->coordinator_keys_count,
						sizeof(*response->coordinators));
	if (!response->coordinators) {
		request_fail(request, "request needs too much memory");
		return;
	}
	response->coordinators_count = message->coordinator_keys_count;
	for (int32_t i = 0; i < response->coordinators_count; i++)
		response->coordinators[i] = coordinator_of(topics, message->key_type,
							   &message->coordinator_keys[i]);
	request_answer(request);
}
