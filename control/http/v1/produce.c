/* Records from JSON to a topic, each reported by itself. */
#include "client/sluice.h"
#include "control/http/admin_client.h"
#include "control/http/v1/v1.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>

enum { MESSAGES_MAX = 100, HEADERS_MAX = 100, DELIVERY_MS = 15000 };

struct message {
	struct sluice_record record;
	struct v1_bytes key;
	struct v1_bytes value;
	struct sluice_header *headers;
	struct v1_bytes *header_values;
	int error; /* of its delivery */
	int32_t partition;
	int64_t offset;
};

static void message_fini(struct message *message)
{
	free(message->key.memory);
	free(message->value.memory);
	for (size_t i = 0; i < message->record.header_count; i++)
		free(message->header_values[i].memory);
	free(message->header_values);
	free(message->headers);
}

/* ---- from JSON; -EINVAL, -ENOMEM ---- */

static int read_header(struct message *message, json_t *json)
{
	size_t index = message->record.header_count;
	struct sluice_header *header = &message->headers[index];
	json_t *value = NULL;

	if (json_unpack_ex(json, NULL, JSON_STRICT, "{s:s%, s:o}", "name", &header->name,
			   &header->name_length, "value", &value) < 0)
		return -EINVAL;
	int rc = v1_bytes_read(value, &message->header_values[index]);
	if (rc < 0)
		return rc;
	header->value = message->header_values[index].data;
	header->value_length = message->header_values[index].length;
	message->record.header_count++;
	return 0;
}

static int read_headers(struct message *message, const json_t *json)
{
	size_t count = json_array_size(json);
	int rc = 0;

	if (!json)
		return 0;
	if (!json_is_array(json) || count > HEADERS_MAX)
		return -EINVAL;
	message->headers = calloc(count + 1, sizeof(*message->headers));
	message->header_values = calloc(count + 1, sizeof(*message->header_values));
	if (!message->headers || !message->header_values)
		return -ENOMEM;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = read_header(message, json_array_get(json, i));
	message->record.headers = message->headers;
	return rc;
}

static int read_message(struct message *message, json_t *json, const char *topic)
{
	json_int_t timestamp_ms = 0;
	json_t *key = NULL;
	json_t *value = NULL;
	json_t *headers = NULL;
	int partition = SLUICE_PARTITION_ANY;

	if (json_unpack_ex(json, NULL, JSON_STRICT, "{s?i, s?I, s?o, s?o, s?o}", "partition",
			   &partition, "timestamp_ms", &timestamp_ms, "key", &key, "value", &value,
			   "headers", &headers) < 0)
		return -EINVAL;
	int rc = v1_bytes_read(key, &message->key);
	if (rc == 0)
		rc = v1_bytes_read(value, &message->value);
	if (rc == 0)
		rc = read_headers(message, headers);
	message->record.topic = topic;
	message->record.partition = partition;
	message->record.key = message->key.data;
	message->record.key_length = message->key.length;
	message->record.value = message->value.data;
	message->record.value_length = message->value.length;
	message->record.timestamp_ms = timestamp_ms;
	return rc;
}

/* False: `answer` says why. */
static bool read_messages(const json_t *json, const char *topic, struct message *messages,
			  struct http_answer *answer)
{
	for (size_t i = 0; i < json_array_size(json); i++) {
		int rc = read_message(&messages[i], json_array_get(json, i), topic);
		if (rc == -EINVAL)
			answer_problem(answer, MHD_HTTP_BAD_REQUEST,
				       "message %zu is none: key, value and headers' values are a "
				       "text, {\"text\": ...}, {\"base64\": ...} or null",
				       i);
		else if (rc < 0)
			answer_failure(answer, rc, "");
		if (rc < 0)
			return false;
	}
	return true;
}

/* ---- to the broker ---- */

static void delivered(void *user, const struct sluice_delivery *delivery)
{
	struct message *message = user;

	message->error = delivery->error;
	message->partition = delivery->partition;
	message->offset = delivery->offset;
}

static void produce(const struct http_request *request, struct message *messages, size_t count)
{
	struct sluice_client *client = request->client->client;

	for (size_t i = 0; i < count; i++) {
		int rc = sluice_produce_wait(client, &messages[i].record, DELIVERY_MS, delivered,
					     &messages[i]);
		if (rc < 0)
			messages[i].error = rc;
	}
	/* The messages end here: a client that has not reported all of them does so as it ends. */
	if (sluice_flush(client, DELIVERY_MS) < 0)
		admin_client_close(request->client);
}

static json_t *produced_json(const struct message *messages, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++) {
		const struct message *message = &messages[i];
		int error = message->error;
		json_array_append_new(
			list,
			json_pack("{s:o, s:o, s:s?}", "partition",
				  error ? json_null() : json_integer(message->partition), "offset",
				  error ? json_null() : json_integer(message->offset), "error",
				  error ? sluice_error_name(error) : NULL));
	}
	return json_pack("{s:o}", "messages", list);
}

/* 0: some were stored; else why the first was not. */
static int failure(const struct message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!messages[i].error)
			return 0;
	}
	return messages[0].error;
}

void v1_messages_produce(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct v1_topic topic;
	json_t *list = NULL;

	if (!client || !v1_topic_find(request, answer, &topic) ||
	    !v1_unpack(request, answer, "{s:o}", "messages", &list))
		return;
	size_t count = json_array_size(list);
	if (!count || count > MESSAGES_MAX) {
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "messages is a list of 1 to %d",
			       MESSAGES_MAX);
		return;
	}
	struct message *messages = calloc(count, sizeof(*messages));
	if (!messages) {
		answer_json(answer, MHD_HTTP_OK, NULL);
		return;
	}
	if (read_messages(list, topic.name, messages, answer)) {
		produce(request, messages, count);
		int rc = failure(messages, count);
		if (rc < 0)
			answer_failure(answer, rc, "");
		else
			answer_json(answer, MHD_HTTP_OK, produced_json(messages, count));
	}
	for (size_t i = 0; i < count; i++)
		message_fini(&messages[i]);
	free(messages);
}
