/* Topics: the list, and what is done to one. */
#include "client/sluice.h"
#include "control/http/ask.h"
#include "control/http/v1/v1.h"
#include "control/view.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* ---- the list ---- */

/* A page, copied by an errand: names are walked from `after` on, no partition is looked at. */
struct page {
	const char *after; /* null: from the start */
	const char *search;
	bool internal;
	size_t limit;
	size_t count;
	size_t total;
	bool more;
	struct v1_topic topics[];
};

static size_t first_after(const struct topics *topics, const char *after)
{
	size_t low = 0;
	size_t high = topics->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(topics->by_name[middle]->name, after) > 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void look(struct control *control, void *context)
{
	const struct topics *topics = control_topics(control);
	struct page *page = context;

	page->total = topics ? topics->count : 0;
	for (size_t i = page->total && page->after ? first_after(topics, page->after) : 0;
	     i < page->total; i++) {
		const struct topic *topic = topics->by_name[i];
		if (topic->internal && !page->internal)
			continue;
		if (page->search && !strcasestr(topic->name, page->search))
			continue;
		page->more = page->count == page->limit;
		if (page->more)
			break;
		v1_topic_copy(&page->topics[page->count++], topics, topic);
	}
}

static json_t *page_json(const struct page *page)
{
	json_t *topics = json_array();

	for (size_t i = 0; i < page->count; i++) {
		const struct v1_topic *topic = &page->topics[i];
		json_array_append_new(topics,
				      json_pack("{s:s, s:s, s:i, s:b}", "name", topic->name, "id",
						topic->id, "partitions", topic->partitions,
						"internal", topic->internal));
	}
	return json_pack("{s:o, s:s?, s:I}", "topics", topics, "next",
			 page->more ? page->topics[page->count - 1].name : NULL, "total",
			 (json_int_t)page->total);
}

void v1_topics(const struct http_request *request, struct http_answer *answer)
{
	size_t limit = (size_t)request->counts[OF_limit];
	struct page *page = calloc(1, sizeof(*page) + limit * sizeof(page->topics[0]));

	if (!page) {
		answer_json(answer, MHD_HTTP_OK, NULL);
		return;
	}
	page->limit = limit;
	page->after = request->texts[OF_after];
	page->search = request->texts[OF_search];
	page->internal = request->counts[OF_internal];
	int rc = ask_control(request->control, look, page);
	if (rc < 0)
		answer_failure(answer, rc, "");
	else
		answer_json(answer, MHD_HTTP_OK, page_json(page));
	free(page);
}

/* ---- one ---- */

static void answer_topic(const struct http_request *request, struct http_answer *answer,
			 unsigned status)
{
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_configs *configs = NULL;
	struct v1_topic topic;

	if (!client || !v1_topic_find(request, answer, &topic))
		return;
	int rc = sluice_configs_get(client, SLUICE_TOPIC, topic.name, &configs);
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	answer_json(answer, status,
		    json_pack("{s:s, s:s, s:i, s:b, s:o}", "name", topic.name, "id", topic.id,
			      "partitions", topic.partitions, "internal", topic.internal,
			      "settings", v1_settings(configs)));
	sluice_configs_free(configs);
}

void v1_topic(const struct http_request *request, struct http_answer *answer)
{
	answer_topic(request, answer, MHD_HTTP_OK);
}

void v1_topic_create(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct http_request created = *request;
	struct sluice_config *settings = NULL;
	json_t *json = NULL;
	size_t count = 0;
	int partitions = -1;

	if (!client ||
	    !v1_unpack(request, answer, "{s:s, s?i, s?o}", "name", &created.texts[OF_topic],
		       "partitions", &partitions, "settings", &json) ||
	    !v1_settings_read(answer, json, &settings, &count))
		return;
	int rc = sluice_topic_create(client, created.texts[OF_topic], partitions, -1, settings,
				     count);
	free(settings);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_topic(&created, answer, MHD_HTTP_CREATED);
}

/* Settings first: they are what may be refused. */
static int change(struct sluice_client *client, const struct v1_topic *topic, int partitions,
		  const struct sluice_config *settings, size_t count)
{
	int rc = count ? sluice_configs_set(client, SLUICE_TOPIC, topic->name, settings, count) : 0;

	if (rc == 0 && partitions != -1 && partitions != topic->partitions)
		rc = sluice_topic_grow(client, topic->name, partitions);
	return rc;
}

void v1_topic_change(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_config *settings = NULL;
	struct v1_topic topic;
	json_t *json = NULL;
	size_t count = 0;
	int partitions = -1;

	if (!client || !v1_topic_find(request, answer, &topic) ||
	    !v1_unpack(request, answer, "{s?i, s?o}", "partitions", &partitions, "settings",
		       &json) ||
	    !v1_settings_read(answer, json, &settings, &count))
		return;
	int rc = change(client, &topic, partitions, settings, count);
	free(settings);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_topic(request, answer, MHD_HTTP_OK);
}

void v1_topic_delete(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);

	if (!client)
		return;
	int rc = sluice_topic_delete(client, request->texts[OF_topic]);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_nothing(answer);
}
