/* A request of the admin HTTP as far as it is text: method, target, Host and what guards a change.
 */
#include "control/http/guard.h"
#include "control/http/routes.h"
#include "control/http/target.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>

static void try_target(const char *method, const char *text)
{
	struct http_request request = {0};
	struct http_answer answer = {0};
	struct target target;
	int rc = target_parse(&target, text);

	check(rc == 0 || rc == -EINVAL || rc == -ENAMETOOLONG);
	if (rc == 0) {
		bool found = route_request(method, &target, &request, &answer);
		check(found == !answer.status);
		check(answer.status == 0 || answer.status >= 400);
	}
	answer_fini(&answer);
	target_free(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *method = input_text(&input, '\n');
	char *target = input_text(&input, '\n');
	char *host = input_text(&input, '\n');
	char *origin = input_text(&input, '\n');
	char *type = input_text(&input, '\n');
	const struct guard_change change = {
		.host = host,
		.origin = origin[0] ? origin : NULL,
		.content_type = type,
		.has_body = true,
	};

	try_target(method, target);
	guard_host(host, "localhost,broker.example");
	/* A page of another host never gets in. */
	if (!guard_change(&change))
		check(!origin[0] || strstr(origin, "://"));
	free(method);
	free(target);
	free(host);
	free(origin);
	free(type);
	return 0;
}
