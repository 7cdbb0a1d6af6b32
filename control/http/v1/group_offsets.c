/* What a group has committed: a page of it, and forgetting it. */
#include "client/sluice.h"
#include "control/http/v1/v1.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the page ---- */

static json_t *offset_json(const struct sluice_group_offset *offset)
{
	return json_pack("{s:s, s:i, s:I, s:o, s:o, s:s}", "topic", offset->topic, "partition",
			 offset->partition, "offset", (json_int_t)offset->offset, "end",
			 offset->end < 0 ? json_null() : json_integer(offset->end), "lag",
			 offset->lag < 0 ? json_null() : json_integer(offset->lag), "metadata",
			 offset->metadata);
}

/* `after` is "TOPIC:PARTITION" of the last row before; null: from the start. */
static size_t first_after(const struct sluice_group_offsets *offsets, const char *after)
{
	const char *colon = after ? strrchr(after, ':') : NULL;
	size_t first = 0;

	for (; colon && first < offsets->count; first++) {
		const struct sluice_group_offset *offset = &offsets->offsets[first];
		size_t length = (size_t)(colon - after);
		int order = strncmp(offset->topic, after, length);
		if (order == 0)
			order = offset->topic[length] != 0;
		if (order > 0 || (order == 0 && offset->partition > strtol(colon + 1, NULL, 10)))
			break;
	}
	return first;
}

static json_t *page_json(const struct http_request *request,
			 const struct sluice_group_offsets *offsets)
{
	size_t at = first_after(offsets, request->texts[OF_after]);
	size_t limit = (size_t)request->counts[OF_limit];
	size_t end = offsets->count - at > limit ? at + limit : offsets->count;
	char next[TOPIC_NAME_MAX + 16] = "";
	json_t *rows = json_array();
	int64_t lag = 0;

	for (size_t i = 0; i < offsets->count; i++)
		lag += offsets->offsets[i].lag > 0 ? offsets->offsets[i].lag : 0;
	for (size_t i = at; i < end; i++)
		json_array_append_new(rows, offset_json(&offsets->offsets[i]));
	if (end < offsets->count)
		snprintf(next, sizeof(next), "%s:%d", offsets->offsets[end - 1].topic,
			 offsets->offsets[end - 1].partition);
	return json_pack("{s:o, s:s?, s:I, s:I}", "offsets", rows, "next", next[0] ? next : NULL,
			 "total", (json_int_t)offsets->count, "lag", (json_int_t)lag);
}

void v1_group_offsets(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_group_offsets *offsets = NULL;

	if (!client)
		return;
	int rc = sluice_group_offsets(client, request->texts[OF_group], &offsets);
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	answer_json(answer, MHD_HTTP_OK, page_json(request, offsets));
	sluice_group_offsets_free(offsets);
}

/* ---- forgetting ---- */

/* The places of `topic`, null: all; on the heap.  Null: no memory. */
static struct sluice_place *places_of(const struct sluice_group_offsets *offsets, const char *topic,
				      size_t *ret_count)
{
	struct sluice_place *places = calloc(offsets->count + 1, sizeof(*places));
	size_t count = 0;

	for (size_t i = 0; places && i < offsets->count; i++) {
		const struct sluice_group_offset *offset = &offsets->offsets[i];
		if (!topic || strcmp(offset->topic, topic) == 0)
			places[count++] = (struct sluice_place){
				.topic = offset->topic,
				.partition = offset->partition,
			};
	}
	*ret_count = count;
	return places;
}

static int forget(struct sluice_client *client, const char *group, const char *topic)
{
	struct sluice_group_offsets *offsets = NULL;
	struct sluice_place *places = NULL;
	size_t count = 0;
	int rc = sluice_group_offsets(client, group, &offsets);

	if (rc < 0)
		return rc;
	places = places_of(offsets, topic, &count);
	rc = places ? 0 : -ENOMEM;
	if (rc == 0 && count)
		rc = sluice_group_forget(client, group, places, count);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = places[i].error;
	free(places);
	sluice_group_offsets_free(offsets);
	return rc;
}

void v1_group_forget(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);

	if (!client)
		return;
	int rc = forget(client, request->texts[OF_group], request->texts[OF_topic]);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_nothing(answer);
}
