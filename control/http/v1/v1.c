#include "control/http/v1/v1.h"

#include "client/sluice.h"
#include "control/http/admin_client.h"
#include "control/http/ask.h"
#include "control/view.h"
#include "dataplane/kafka/kafka_errors.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct sluice_client *v1_client(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = NULL;
	int rc = admin_client_open(request->client, &client);

	if (rc < 0)
		answer_failure(answer, rc, sluice_open_error());
	return client;
}

void v1_failed(const struct http_request *request, struct http_answer *answer, int rc)
{
	answer_failure(answer, rc, sluice_last_error(request->client->client));
}

bool v1_unpack(const struct http_request *request, struct http_answer *answer, const char *format,
	       ...)
{
	json_error_t error;
	va_list arguments;

	va_start(arguments, format);
	/* It writes nothing, but its type says that it could. */
	int rc = json_vunpack_ex((json_t *)(uintptr_t)request->body, &error, JSON_STRICT, format,
				 arguments);
	va_end(arguments);
	if (rc < 0)
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "the body is not a %s: %s",
			       request->route->body, error.text);
	return rc == 0;
}

/* ---- topics ---- */

void v1_topic_copy(struct v1_topic *ret, const struct topics *topics, const struct topic *topic)
{
	*ret = (struct v1_topic){
		.number = topic->number,
		.partitions = topic->partition_count,
		.internal = topic->internal,
		.node_id = topics->node_id,
		.shard_count = topics->shard_count,
	};
	memcpy(ret->name, topic->name, sizeof(ret->name));
	uuid_text(&topic->id, ret->id);
}

struct search {
	const char *name;
	bool found;
	struct v1_topic topic;
};

static void look(struct control *control, void *context)
{
	const struct topics *topics = control_topics(control);
	struct search *search = context;
	const struct topic *topic = topics ? topics_find(topics, search->name, strlen(search->name))
					   : NULL;

	search->found = topic;
	if (topic)
		v1_topic_copy(&search->topic, topics, topic);
}

bool v1_topic_find(const struct http_request *request, struct http_answer *answer,
		   struct v1_topic *ret)
{
	struct search search = {.name = request->texts[OF_topic]};
	int rc = ask_control(request->control, look, &search);
	char story[TOPIC_NAME_MAX + 64];

	if (rc == 0 && search.found) {
		*ret = search.topic;
		return true;
	}
	snprintf(story, sizeof(story), "there is no topic %s", search.name);
	answer_failure(answer, rc < 0 ? rc : -SLUICE_KAFKA(KAFKA_UNKNOWN_TOPIC_OR_PARTITION),
		       rc < 0 ? "" : story);
	return false;
}
