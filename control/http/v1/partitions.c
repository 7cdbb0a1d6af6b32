/* A page of a topic's partitions: one request for where they begin, one for where they end. */
#include "client/sluice.h"
#include "control/http/v1/v1.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

struct page {
	const struct v1_topic *topic;
	int32_t first;
	int32_t count;
	struct sluice_spot *spots;
};

static int fill(struct page *page, struct sluice_client *client)
{
	page->spots = calloc((size_t)page->count + 1, sizeof(*page->spots));
	if (!page->spots)
		return -ENOMEM;
	for (int32_t i = 0; i < page->count; i++)
		page->spots[i] = (struct sluice_spot){
			.topic = page->topic->name,
			.partition = page->first + i,
		};
	return page->count ? sluice_spots_extend(client, page->spots, (size_t)page->count) : 0;
}

static json_t *row(const struct page *page, int32_t i)
{
	const struct v1_topic *topic = page->topic;
	struct topic numbered = {.number = topic->number};
	const struct sluice_spot *spot = &page->spots[i];

	return json_pack("{s:i, s:i, s:i, s:o, s:o, s:s?}", "partition", spot->partition, "leader",
			 topic->node_id, "shard",
			 (int)partition_shard(&numbered, spot->partition, topic->shard_count),
			 "start", spot->error ? json_null() : json_integer(spot->first), "end",
			 spot->error ? json_null() : json_integer(spot->end), "error",
			 spot->error ? sluice_error_name(spot->error) : NULL);
}

static json_t *page_json(const struct page *page)
{
	json_t *rows = json_array();
	int32_t end = page->first + page->count;
	char next[12];

	for (int32_t i = 0; i < page->count; i++)
		json_array_append_new(rows, row(page, i));
	snprintf(next, sizeof(next), "%d", end - 1);
	return json_pack("{s:o, s:s?, s:i}", "partitions", rows, "next",
			 end < page->topic->partitions ? next : NULL, "total",
			 page->topic->partitions);
}

static bool first_of(const struct http_request *request, struct http_answer *answer, int32_t *ret)
{
	const char *after = request->texts[OF_after];
	char *end = NULL;

	*ret = 0;
	if (!after)
		return true;
	errno = 0;
	long value = strtol(after, &end, 10);
	if (after[0] < '0' || after[0] > '9' || *end || errno || value >= INT32_MAX) {
		answer_problem(answer, MHD_HTTP_BAD_REQUEST,
			       "after takes the index of a partition");
		return false;
	}
	*ret = (int32_t)value + 1;
	return true;
}

void v1_partitions(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct v1_topic topic;
	struct page page = {.topic = &topic};

	if (!client || !first_of(request, answer, &page.first) ||
	    !v1_topic_find(request, answer, &topic))
		return;
	int32_t left = topic.partitions > page.first ? topic.partitions - page.first : 0;
	page.count = left < request->counts[OF_limit] ? left : (int32_t)request->counts[OF_limit];
	int rc = fill(&page, client);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_json(answer, MHD_HTTP_OK, page_json(&page));
	free(page.spots);
}
