/* What the admin HTTP refuses and how it finds who answers: its pure parts, each by itself. */
#include "base/bytes.h"
#include "control/http/guard.h"
#include "control/http/routes.h"
#include "control/http/static_files.h"
#include "control/http/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- targets ---- */

static void a_target_is_taken_apart_and_then_decoded(void **state)
{
	struct target target;

	(void)state;
	assert_int_equal(target_parse(&target, "/v1/groups/a%2Fb%20c?search=x%26y+z&empty&after="),
			 0);
	assert_int_equal(target.segment_count, 3);
	assert_string_equal(target.segments[2], "a/b c");
	assert_string_equal(target.path, "/v1/groups/a%2Fb%20c");
	assert_int_equal(target.query_count, 3);
	assert_string_equal(target.queries[0].value, "x&y z");
	assert_string_equal(target.queries[1].name, "empty");
	assert_string_equal(target.queries[2].value, "");
	target_free(&target);
}

static void what_is_no_path_or_no_text_is_refused(void **state)
{
	static const char *const bad[] = {
		"",     "v1",     "http://host/", "*",         "/%",       "/%4",   "/%zz",
		"/%00", "/a%0ab", "/%ff",         "/x?%c0%80", "/x?a=%7f", "/\x01",
	};
	struct target target;

	(void)state;
	for (size_t i = 0; i < array_count(bad); i++) {
		assert_int_equal(target_parse(&target, bad[i]), -EINVAL);
		target_free(&target);
	}
}

static void a_target_beyond_a_limit_is_refused(void **state)
{
	struct target target;
	char text[TARGET_BYTES_MAX + 2];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[sizeof(text) - 1] = 0;
	assert_int_equal(target_parse(&target, text), -ENAMETOOLONG);
	target_free(&target);
	text[sizeof(text) - 2] = 0;
	assert_int_equal(target_parse(&target, text), 0);
	target_free(&target);
	assert_int_equal(target_parse(&target, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"),
			 -ENAMETOOLONG);
	target_free(&target);
	assert_int_equal(target_parse(&target, "/?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17"),
			 -ENAMETOOLONG);
	target_free(&target);
}

/* ---- the guard ---- */

static void only_addresses_and_own_names_are_hosts(void **state)
{
	static const char *const good[] = {
		"127.0.0.1:9644", "127.0.0.1",        "[::1]:9644", "localhost:80",
		"LOCALHOST",      "broker.example:1", "192.0.2.7",  "b2",
	};
	static const char *const bad[] = {
		"",
		":80",
		"evil.example",
		"evil.example:9644",
		"localhost.evil.example",
		"127.0.0.1.evil.example",
		"localhost:80x",
		"[::1",
		"[::1]x",
		"[]",
		"broker.example.evil",
		"127.0.0.1 evil",
	};

	(void)state;
	for (size_t i = 0; i < array_count(good); i++)
		assert_true(guard_host(good[i], "broker.example,b2"));
	for (size_t i = 0; i < array_count(bad); i++)
		assert_false(guard_host(bad[i], "broker.example,b2"));
	assert_false(guard_host(NULL, ""));
	assert_false(guard_host("b", ",,"));
}

static void changes_come_from_this_origin_as_json(void **state)
{
	struct guard_change change = {
		.host = "127.0.0.1:9644",
		.content_type = "application/json; charset=utf-8",
		.has_body = true,
	};

	(void)state;
	assert_null(guard_change(&change));
	change.origin = "http://127.0.0.1:9644";
	assert_null(guard_change(&change));
	change.origin = "http://127.0.0.1:9645";
	assert_non_null(guard_change(&change));
	change.origin = "null";
	assert_non_null(guard_change(&change));
	change.origin = NULL;
	change.fetch_site = "cross-site";
	assert_non_null(guard_change(&change));
	change.fetch_site = "same-origin";
	assert_null(guard_change(&change));
	change.content_type = "text/plain";
	assert_non_null(guard_change(&change));
	change.content_type = "application/jsonx";
	assert_non_null(guard_change(&change));
	change.content_type = NULL;
	assert_non_null(guard_change(&change));
	change.has_body = false;
	assert_null(guard_change(&change));
}

/* ---- routes ---- */

static unsigned status_of(const char *method, const char *text, struct http_request *request)
{
	struct http_answer answer = {0};
	struct target target;

	*request = (struct http_request){0};
	assert_int_equal(target_parse(&target, text), 0);
	route_request(method, &target, request, &answer);
	unsigned status = answer.status;
	answer_fini(&answer);
	target_free(&target);
	return status;
}

static void a_route_is_found_by_method_and_path(void **state)
{
	struct http_request request;

	(void)state;
	assert_int_equal(status_of("GET", "/health/live", &request), 0);
	assert_string_equal(request.route->path, "/health/live");
	assert_int_equal(status_of("HEAD", "/health/live", &request), 0);
	assert_int_equal(status_of("POST", "/health/live", &request), 405);
	assert_int_equal(status_of("GET", "/health", &request), 404);
	assert_int_equal(status_of("GET", "/health/live/", &request), 404);
	assert_int_equal(status_of("GET", "/health/live/x", &request), 404);
	assert_int_equal(status_of("GET", "/", &request), 404);
}

static void an_unknown_parameter_is_refused(void **state)
{
	struct http_request request;

	(void)state;
	assert_int_equal(status_of("GET", "/health/live?limit=1", &request), 400);
	assert_int_equal(status_of("GET", "/health/live?nonsense", &request), 400);
}

/* So that no row of a table can be wrong: each names parameters that there are, by path or query.
 */
static void every_row_of_the_routes_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		const struct route *route = &routes[i];
		unsigned found = 0;
		unsigned named = 0;
		for (const char *at = route->path; *at; at++)
			named += *at == '{';
		for (const char *at = route->parameters; *at; at += strspn(at, " ")) {
			at += strcspn(at, " ");
			named++;
		}
		for (int p = 0; p < PARAMETERS; p++) {
			char in_path[64];
			snprintf(in_path, sizeof(in_path), "{%s}", parameters[p].name);
			found += strstr(route->path, in_path) ||
				 route_names(route->parameters, parameters[p].name);
		}
		assert_int_equal(found, named);
		assert_true(route->summary[0]);
	}
}

/* ---- files ---- */

static void files_are_compared_not_opened(void **state)
{
	const struct static_file *index = static_file_find("/index.html");

	(void)state;
	assert_non_null(index);
	assert_ptr_equal(static_file_find("/"), index);
	assert_null(static_file_find("/../index.html"));
	assert_null(static_file_find("/./index.html"));
	assert_null(static_file_find("index.html"));
	assert_null(static_file_find(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_target_is_taken_apart_and_then_decoded),
		cmocka_unit_test(what_is_no_path_or_no_text_is_refused),
		cmocka_unit_test(a_target_beyond_a_limit_is_refused),
		cmocka_unit_test(only_addresses_and_own_names_are_hosts),
		cmocka_unit_test(changes_come_from_this_origin_as_json),
		cmocka_unit_test(a_route_is_found_by_method_and_path),
		cmocka_unit_test(an_unknown_parameter_is_refused),
		cmocka_unit_test(every_row_of_the_routes_is_whole),
		cmocka_unit_test(files_are_compared_not_opened),
	};

	return cmocka_run_group_tests_name("http parts", tests, NULL, NULL);
}
