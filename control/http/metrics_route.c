/* /metrics and /metrics/detailed: pictures are taken for as long as their text is written. */
#include "control/broker_picture.h"
#include "control/dedup_telemetry.h"
#include "control/group_telemetry.h"
#include "control/groups/consumer_regex.h"
#include "control/http/metrics.h"
#include "control/http/routes.h"
#include "control/usage_picture.h"

#include <errno.h>
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

void metrics_detailed(const struct http_request *request, struct http_answer *answer)
{
	const struct metrics_filter filter = {
		.topic = request->texts[OF_topic],
		.group = request->texts[OF_group],
	};
	const struct metrics_sources sources = {
		.lag = group_telemetry_take(),
		.usage = usage_picture_take(),
	};
	char why[REGEX_WHY_BYTES] = "";
	char *text = NULL;
	size_t bytes = 0;
	int rc = metrics_write_detailed(&sources, &filter, &text, &bytes, why, sizeof(why));

	usage_picture_put_back(sources.usage);
	group_telemetry_put_back(sources.lag);
	if (rc == -EINVAL)
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "topic or group: %s", why);
	else
		answer_text(answer, METRICS_CONTENT_TYPE, text, bytes);
}
