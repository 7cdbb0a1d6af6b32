/* For supervisors: is it to be restarted (live), and may clients be sent to it (ready)? */
#include "base/clock.h"
#include "control/http/routes.h"
#include "control/view.h"

#include <microhttpd.h>

/* The loop turns every second at least; on a machine that starves it may be late. */
#define SILENCE_NS_MAX (30 * NS_PER_SECOND)

void health_live(const struct http_request *request, struct http_answer *answer)
{
	uint64_t silent_ns = clock_monotonic_ns(clock_system()) -
			     control_turned_ns(request->control);

	if ((int64_t)silent_ns < (int64_t)SILENCE_NS_MAX)
		answer_json(answer, MHD_HTTP_OK, json_pack("{s:s}", "status", "live"));
	else
		answer_problem(answer, MHD_HTTP_SERVICE_UNAVAILABLE,
			       "the control plane has not turned for %llu s",
			       (unsigned long long)(silent_ns / NS_PER_SECOND));
}

void health_ready(const struct http_request *request, struct http_answer *answer)
{
	if (control_is_ready(request->control))
		answer_json(answer, MHD_HTTP_OK, json_pack("{s:s}", "status", "ready"));
	else
		answer_problem(answer, MHD_HTTP_SERVICE_UNAVAILABLE,
			       "the broker is starting or stopping");
}
