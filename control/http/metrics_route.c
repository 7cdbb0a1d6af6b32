/* /metrics: the pictures are taken for as long as their text is written. */
#include "control/broker_picture.h"
#include "control/dedup_telemetry.h"
#include "control/group_telemetry.h"
#include "control/http/metrics.h"
#include "control/http/routes.h"

#include <microhttpd.h>

void metrics(const struct http_request *request, struct http_answer *answer)
{
	const struct metrics_sources sources = {
		.version = SLUICE_VERSION,
		.broker = broker_picture_take(),
		.lag = group_telemetry_take(),
		.dedup = dedup_telemetry_take(),
	};
	char *text = NULL;
	size_t bytes = 0;

	metrics_write(&sources, &text, &bytes);
	dedup_telemetry_put_back(sources.dedup);
	group_telemetry_put_back(sources.lag);
	broker_picture_put_back(sources.broker);
	answer_text(answer, METRICS_CONTENT_TYPE, text, bytes);
}
