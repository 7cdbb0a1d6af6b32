/* Requests that shards pass on, by API key, one at a time in order of arrival. */
#include "control/control_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/message.h"
#include "kafka_messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int requests_refuse(char why[static WHY_BYTES], int rc, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, WHY_BYTES, format, arguments);
	va_end(arguments);
	return rc;
}

struct kafka_string requests_text(struct arena *arena, const char *text)
{
	return kafka_string_of(arena_strndup(arena, text, strlen(text)));
}

void requests_answer(struct control *control, struct control_request *request)
{
	request->message.handle = request->answered;
	mesh_send(control->mesh, mesh_control(control->mesh), request->shard_index,
		  &request->message);
}

void requests_handle(struct message *message, void *receiver)
{
	static const struct {
		int16_t key;
		enum outcome (*handle)(struct control *control, struct control_request *request);
	} handlers[] = {
		{KAFKA_CREATE_TOPICS, admin_create_topics},
		{KAFKA_DELETE_TOPICS, admin_delete_topics},
		{KAFKA_CREATE_PARTITIONS, admin_create_partitions},
		{KAFKA_DESCRIBE_CONFIGS, admin_describe_configs},
		{KAFKA_ALTER_CONFIGS, admin_alter_configs},
		{KAFKA_INCREMENTAL_ALTER_CONFIGS, admin_incremental_alter_configs},
		{KAFKA_INIT_PRODUCER_ID, producer_ids_init},
	};
	struct control_request *request = container_of(message, struct control_request, message);
	struct control *control = receiver;

	for (size_t i = 0; i < array_count(handlers); i++) {
		if (handlers[i].key != request->api->key)
			continue;
		if (handlers[i].handle(control, request) == OUTCOME_PUBLISH)
			publish_then_answer(control, request);
		else
			requests_answer(control, request);
		return;
	}
	check(!"an API is described as served by the control plane but has no handler");
}
