/* What a client asks before it moves data: ApiVersions, DescribeCluster, FindCoordinator. */
#include "dataplane/handlers/handlers.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"

#include <ctype.h>

/* ---- ApiVersions ---- */

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

/* ---- FindCoordinator: there is none yet ---- */

enum { COORDINATES_TRANSACTIONS = 1 };

/* A consumer that finds no group coordinator goes on without one and asks again.  A transactional
 * producer asks until its caller's patience ends, which for some clients is never, so it is told
 * what all of them take as final. */
static enum kafka_error why_no_coordinator(int8_t key_type, const char **ret_text)
{
	if (key_type == COORDINATES_TRANSACTIONS) {
		*ret_text = "this broker does not serve transactions";
		return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
	}
	*ret_text = "no group coordinator is available yet";
	return KAFKA_COORDINATOR_NOT_AVAILABLE;
}

void handle_find_coordinator(struct request *request)
{
	const struct kafka_find_coordinator_request *message = request->message;
	struct kafka_find_coordinator_response *response = request->response;
	const char *text;
	enum kafka_error error = why_no_coordinator(message->key_type, &text);

	response->error_code = (int16_t)error;
	response->error_message = kafka_string_of(text);
	response->node_id = -1;
	response->host = kafka_string_of("");
	response->port = -1;
	if (request->header.api_version < 4) {
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
	for (int32_t i = 0; i < response->coordinators_count; i++) {
		struct kafka_find_coordinator_response_coordinator *row =
			&response->coordinators[i];
		kafka_find_coordinator_response_coordinator_init(row);
		row->key = message->coordinator_keys[i];
		row->node_id = -1;
		row->host = kafka_string_of("");
		row->port = -1;
		row->error_code = (int16_t)error;
		row->error_message = kafka_string_of(text);
	}
	request_answer(request);
}
