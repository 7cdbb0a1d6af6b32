/* A request of the admin HTTP as far as it is text: method, target, Host and what guards a change.
 */
#include "client/sluice.h"
#include "control/http/guard.h"
#include "control/http/routes.h"
#include "control/http/target.h"
#include "control/http/v1/v1.h"
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

static void try_settings(const json_t *json)
{
	struct http_answer answer = {0};
	struct sluice_config *settings = NULL;
	size_t count = 0;

	if (v1_settings_read(&answer, json, &settings, &count))
		check(count == json_object_size(json) && !answer.status);
	else
		check(answer.status >= 400);
	for (size_t i = 0; i < count; i++)
		check(settings[i].name);
	free(settings);
	answer_fini(&answer);
}

/* What is read is shown the same way. */
static void try_bytes(const json_t *json)
{
	struct v1_bytes bytes;

	if (v1_bytes_read(json, &bytes) == 0) {
		json_t *shown = v1_bytes(bytes.data, bytes.length, 8);
		check(shown != NULL);
		json_decref(shown);
		shown = v1_bytes(bytes.data, bytes.length, bytes.length + 1);
		struct v1_bytes again;
		check(v1_bytes_read(shown, &again) == 0);
		check(again.length == bytes.length);
		check(!bytes.length || memcmp(again.data, bytes.data, bytes.length) == 0);
		free(again.memory);
		json_decref(shown);
	}
	free(bytes.memory);
}

static void try_body(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size,
				  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);

	if (!json)
		return;
	try_settings(json);
	try_bytes(json);
	json_decref(json);
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
	try_body(input.at, input.left);
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
