/* Records as lines of JSON, and bytes as base64. */
#include "client/command/record_json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/base64.h"

static void base64_is_read_as_it_is_written(void **state)
{
	static const uint8_t bytes[] = {0, 0xff, 0x10, 0x80, 0x7f};
	char text[BASE64_BYTES(sizeof(bytes))];
	uint8_t back[sizeof(text)];

	for (size_t length = 0; length <= sizeof(bytes); length++) {
		size_t got;
		base64_write(text, bytes, length);
		assert_int_equal(base64_read(back, &got, text, strlen(text)), 0);
		assert_int_equal(got, length);
		assert_memory_equal(back, bytes, length);
	}
}

static void what_is_not_base64_is_refused(void **state)
{
	static const char *const wrong[] = {
		"A", "AA", "AAA", "====", "A===", "AA=A", "AA==AAAA", "AA\nA", "AA-_", "AAAA="};
	uint8_t back[16];
	size_t got;

	for (size_t i = 0; i < array_count(wrong); i++)
		assert_int_equal(base64_read(back, &got, wrong[i], strlen(wrong[i])), -EINVAL);
}

static void a_record_is_read_with_all_it_has(void **state)
{
	static const char line[] =
		"{\"topic\":\"t\",\"partition\":3,\"offset\":7,\"timestamp\":5,\"key_base64\":"
		"\"/w==\",\"value\":\"a\\u0000b\",\"headers\":[{\"name\":\"n\",\"value\":null},"
		"{\"name\":\"m\",\"value_base64\":\"/wA=\"}]}";
	char why[RECORD_JSON_WHY_BYTES];
	struct record_json told;

	assert_int_equal(record_json_parse(&told, line, strlen(line), why), 0);
	assert_null(told.record.topic);
	assert_int_equal(told.record.partition, 3);
	assert_int_equal(told.record.timestamp_ms, 5);
	assert_int_equal(told.record.key_length, 1);
	assert_memory_equal(told.record.key, "\xff", 1);
	assert_int_equal(told.record.value_length, 3);
	assert_memory_equal(told.record.value, "a\0b", 3);
	assert_int_equal(told.record.header_count, 2);
	assert_null(told.record.headers[0].value);
	assert_memory_equal(told.record.headers[1].value, "\xff", 2);
	assert_true(told.has_key && told.has_headers);
	record_json_free(&told);
}

static void what_may_be_left_out_is(void **state)
{
	static const char line[] = "{\"value\": null}";
	char why[RECORD_JSON_WHY_BYTES];
	struct record_json told;

	assert_int_equal(record_json_parse(&told, line, strlen(line), why), 0);
	assert_null(told.record.value);
	assert_null(told.record.key);
	assert_int_equal(told.record.partition, SLUICE_PARTITION_ANY);
	assert_int_equal(told.record.timestamp_ms, 0);
	assert_false(told.has_key || told.has_headers);
	record_json_free(&told);
}

static void what_makes_no_record_is_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *line;
		const char *why;
	} cases[] = {
		{"{\"value\": 1", "no JSON"},
		{"[1]", "no object"},
		{"{}", "no \"value\""},
		{"{\"vlaue\": \"x\"}", "\"vlaue\""},
		{"{\"value\": 1}", "\"value\" is no string"},
		{"{\"value\": \"x\", \"value\": \"y\"}", "duplicate"},
		{"{\"value\": \"x\", \"value_base64\": \"AAAA\"}", "both"},
		{"{\"value_base64\": \"?\"}", "not base64"},
		{"{\"value_base64\": null}", "\"value_base64\" is no string"},
		{"{\"value\": \"x\", \"partition\": 4294967296}", "\"partition\""},
		{"{\"value\": \"x\", \"partition\": \"1\"}", "\"partition\""},
		{"{\"value\": \"x\", \"timestamp\": 1.5}", "\"timestamp\""},
		{"{\"value\": \"x\", \"headers\": {}}", "\"headers\""},
		{"{\"value\": \"x\", \"headers\": [1]}", "header is no object"},
		{"{\"value\": \"x\", \"headers\": [{\"value\": \"\"}]}", "no \"name\""},
	};

	for (size_t i = 0; i < array_count(cases); i++) {
		char why[RECORD_JSON_WHY_BYTES] = "";
		struct record_json told;
		assert_int_equal(
			record_json_parse(&told, cases[i].line, strlen(cases[i].line), why),
			-EINVAL);
		assert_non_null(strstr(why, cases[i].why));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_is_read_as_it_is_written),
		cmocka_unit_test(what_is_not_base64_is_refused),
		cmocka_unit_test(a_record_is_read_with_all_it_has),
		cmocka_unit_test(what_may_be_left_out_is),
		cmocka_unit_test(what_makes_no_record_is_refused_with_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
