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
	struct sluice_place *starts; /* `count` of each */
	struct sluice_place *ends;
};

static int fill(struct page *page, struct sluice_client *client)
{
	for (int32_t i = 0; i < page->count; i++) {
		page->starts[i] = page->ends[i] = (struct sluice_place){
			.topic = page->topic->name,
			.partition = page->first + i,
		};
		page->starts[i].timestamp_ms = SLUICE_EARLIEST;
		page->ends[i].timestamp_ms = SLUICE_LATEST;
	}
	int rc = sluice_list_offsets(client, page->starts, (size_t)page->count);
	return rc == 0 ? sluice_list_offsets(client, page->ends, (size_t)page->count) : rc;
}

static json_t *row(const struct page *page, int32_t i)
{
	const struct v1_topic *topic = page->topic;
	struct topic numbered = {.number = topic->number};
	int error = page->starts[i].error ? page->starts[i].error : page->ends[i].error;
	int32_t partition = page->first + i;

	return json_pack("{s:i, s:i, s:i, s:o, s:o, s:s?}", "partition", partition, "leader",
			 topic->node_id, "shard",
			 (int)partition_shard(&numbered, partition, topic->shard_count), "start",
			 error ? json_null() : json_integer(page->starts[i].offset), "end",
			 error ? json_null() : json_integer(page->ends[i].offset), "error",
			 error ? sluice_error_name(error) : NULL);
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
	page.starts = calloc((size_t)page.count + 1, 2 * sizeof(*page.starts));
	int rc = -ENOMEM;
	if (page.starts) {
		page.ends = page.starts + page.count;
		rc = page.count ? fill(&page, client) : 0;
	}
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_json(answer, MHD_HTTP_OK, page_json(&page));
	free(page.starts);
}
