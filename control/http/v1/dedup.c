/* What topics' dedup windows hold, from the picture that is drawn every five seconds. */
#include "control/dedup_telemetry.h"
#include "control/http/v1/v1.h"

#include <microhttpd.h>
#include <string.h>

static json_t *row_json(const struct dedup_row *row)
{
	const struct dedup_status *all = &row->sums.all;

	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "topic", row->topic,
			 "partitions", (json_int_t)row->sums.partitions, "entries",
			 (json_int_t)all->entries, "memory_bytes", (json_int_t)all->memory_bytes,
			 "file_bytes", (json_int_t)all->file_bytes, "hits", (json_int_t)all->hits,
			 "evictions", (json_int_t)all->evictions, "rejections",
			 (json_int_t)all->rejections, "covered_ms", (json_int_t)all->covered_ms);
}

static json_t *page_json(const struct http_request *request, const struct dedup_picture *picture)
{
	size_t total = picture ? picture->count : 0;
	const char *search = request->texts[OF_search];
	const char *after = request->texts[OF_after];
	json_t *rows = json_array();
	const char *last = NULL;
	const char *next = NULL;

	for (size_t i = 0; i < total && !next; i++) {
		const struct dedup_row *row = &picture->rows[i];
		if ((after && strcmp(row->topic, after) <= 0) ||
		    (search && !strcasestr(row->topic, search)))
			continue;
		if (json_array_size(rows) == (size_t)request->counts[OF_limit]) {
			next = last;
			break;
		}
		json_array_append_new(rows, row_json(row));
		last = row->topic;
	}
	return json_pack("{s:o, s:s?, s:I}", "topics", rows, "next", next, "total",
			 (json_int_t)total);
}

void v1_dedup(const struct http_request *request, struct http_answer *answer)
{
	const struct dedup_picture *picture = dedup_telemetry_take();

	answer_json(answer, MHD_HTTP_OK, page_json(request, picture));
	dedup_telemetry_put_back(picture);
}
