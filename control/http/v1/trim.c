/* Deleting the records of partitions up to an offset. */
#include "client/sluice.h"
#include "control/http/v1/v1.h"

#include <microhttpd.h>
#include <stdlib.h>

enum { PARTITIONS_MAX = 1000 };

/* False: `answer` says what is wrong. */
static bool read_places(const json_t *list, const char *topic, struct sluice_place *places,
			struct http_answer *answer)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_int_t offset = 0;
		int partition = 0;
		if (json_unpack_ex(json_array_get(list, i), NULL, JSON_STRICT, "{s:i, s:I}",
				   "partition", &partition, "offset", &offset) < 0 ||
		    offset < SLUICE_LATEST) {
			answer_problem(answer, MHD_HTTP_BAD_REQUEST,
				       "entry %zu is not {\"partition\": N, \"offset\": N}", i);
			return false;
		}
		places[i] = (struct sluice_place){
			.topic = topic,
			.partition = partition,
			.offset = offset,
		};
	}
	return true;
}

static json_t *trimmed_json(const struct sluice_place *places, size_t count)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < count; i++) {
		int error = places[i].error;
		json_array_append_new(
			rows,
			json_pack("{s:i, s:o, s:s?}", "partition", places[i].partition, "start",
				  error ? json_null() : json_integer(places[i].offset), "error",
				  error ? sluice_error_name(error) : NULL));
	}
	return json_pack("{s:o}", "partitions", rows);
}

void v1_trim(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_place *places = NULL;
	struct v1_topic topic;
	json_t *list = NULL;

	if (!client || !v1_topic_find(request, answer, &topic) ||
	    !v1_unpack(request, answer, "{s:o}", "partitions", &list))
		return;
	size_t count = json_array_size(list);
	if (!count || count > PARTITIONS_MAX) {
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "partitions is a list of 1 to %d",
			       PARTITIONS_MAX);
		return;
	}
	places = calloc(count, sizeof(*places));
	if (!places) {
		answer_json(answer, MHD_HTTP_OK, NULL);
	} else if (read_places(list, topic.name, places, answer)) {
		int rc = sluice_trim(client, places, count);
		if (rc < 0)
			v1_failed(request, answer, rc);
		else
			answer_json(answer, MHD_HTTP_OK, trimmed_json(places, count));
	}
	free(places);
}
