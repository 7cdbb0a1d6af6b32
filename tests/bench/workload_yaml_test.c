/* Workload files, as the OpenMessaging Benchmark writes them and with what is ours. */
#include "base/bytes.h"
#include "bench/suite/workload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int parse(const char *text, struct workload *ret, char why[static 256])
{
	return workload_parse_yaml("w/some.yaml", text, strlen(text), ret, why, 256);
}

static void a_file_of_openmessaging_is_a_workload(void **state)
{
	static const char text[] = "name: \"4 producers\"\n"
				   "\n"
				   "topics: 10   # each of one partition\n"
				   "partitionsPerTopic: 1\n"
				   "messageSize: 100\n"
				   "useRandomizedPayloads: true\n"
				   "randomBytesRatio: 0.25\n"
				   "randomizedPayloadPoolSize: 1000\n"
				   "payloadFile: \"payload/payload-100b.data\"\n"
				   "keyDistributor: RANDOM_NANO\n"
				   "subscriptionsPerTopic: 2\n"
				   "consumerPerSubscription: 3\n"
				   "producersPerTopic: 4\n"
				   "producerRate: 200000\n"
				   "consumerBacklogSizeGB: 1\n"
				   "testDurationMinutes: 5\n";
	struct workload w;
	char why[256] = "";

	assert_int_equal(parse(text, &w, why), 0);
	assert_string_equal(w.name, "4 producers");
	assert_int_equal(w.topics, 10);
	assert_int_equal(w.message_bytes, 100);
	assert_true(w.random_bytes_share == 0.25);
	assert_int_equal(w.keys, KEYS_RANDOM);
	assert_int_equal(w.subscriptions_per_topic, 2);
	assert_int_equal(w.consumers_per_subscription, 3);
	assert_int_equal(w.producers_per_topic, 4);
	assert_int_equal(w.producer_rate, 200000);
	assert_int_equal(w.backlog_bytes, 1 << 30);
	assert_int_equal(w.duration_ms, 300000);
	assert_int_equal(w.warm_up_ms, 60000);
	assert_int_equal(workload_check(&w, why, sizeof(why)), 0);
	workload_fini(&w);
}

static void settings_may_be_one_text_a_sequence_or_a_mapping(void **state)
{
	static const char *const texts[] = {
		"topicConfig: a.b=1",
		"topicConfig:\n  - a.b=1\n  - c=d=e",
		"topicConfig:\n  a.b: 1\n  c: d=e",
		"topicConfig: {a.b: '1', \"c\": d=e}",
	};
	char why[256];

	for (size_t i = 0; i < array_count(texts); i++) {
		struct workload w;
		assert_int_equal(parse(texts[i], &w, why), 0);
		assert_string_equal(w.topic_configs[0], "a.b=1");
		if (i > 0)
			assert_string_equal(w.topic_configs[1], "c=d=e");
		workload_fini(&w);
	}
}

static void what_is_null_leaves_the_default(void **state)
{
	struct workload w;
	char why[256];

	assert_int_equal(parse("name:\nmessageSize: ~\ntopics: null\n", &w, why), 0);
	assert_string_equal(w.name, "some"); /* the file's */
	assert_int_equal(w.message_bytes, 1024);
	assert_int_equal(w.topics, 1);
	workload_fini(&w);
}

/* Each with what the reason says. */
static void what_is_wrong_is_told_with_file_and_line(void **state)
{
	static const char *const cases[][2] = {
		{"topics: 1\n\nmesageSize: 1\n", "w/some.yaml:3: no key is called \"mesageSize\"; "
						 "did you mean \"messageSize\"?"},
		{"topics: 1\nmessageSize: many\n", "w/some.yaml:2: messageSize = \"many\""},
		{"topics: 1\nname: x\ntopics: 2\n", "w/some.yaml:3: topics for the second time"},
		{"topics: [1, 2]\n", "w/some.yaml:1: here should be a plain value"},
		{"topics:\n  a: 1\n", "w/some.yaml:2: here should be a plain value"},
		{"topicConfig: [[a=b]]\n", "w/some.yaml:1: here should be a plain value"},
		{"topicConfig:\n  a: [1]\n", "w/some.yaml:2: here should be a plain value"},
		{"topicConfig:\n  - a\n", "w/some.yaml:2: topicConfig = \"a\""},
		{"name: &n a\nhelp: *n\n", "w/some.yaml:2: an alias"},
		{"name: &n a\n*n : 1\n", "w/some.yaml:2: an alias"},
		{"name: \"a\\0b\"\n", "w/some.yaml:1: a NUL character"},
		{"- topics\n", "w/some.yaml:1: here should be a mapping"},
		{"", "w/some.yaml:1: here should be a mapping"},
		{"topics: 1\n---\ntopics: 2\n", "w/some.yaml:2: here should be the end"},
		{"topics: 1\n\"name\n", "w/some.yaml:"},
		{"topics: 1\nname: \x80\n", "w/some.yaml:2: not YAML"},
	};
	struct workload before, w;
	char why[256];

	memset(&before, 0x5a, sizeof(before));
	for (size_t i = 0; i < array_count(cases); i++) {
		w = before;
		assert_int_equal(parse(cases[i][0], &w, why), -EINVAL);
		assert_non_null(strstr(why, cases[i][1]));
		assert_memory_equal(&w, &before, sizeof(w));
	}
}

/* However deep, the second level is the end. */
static void deep_nesting_is_refused_where_it_begins(void **state)
{
	char text[20000] = "topicConfig: ";
	struct workload w;
	char why[256];

	memset(text + 13, '[', sizeof(text) - 14);
	assert_int_equal(parse(text, &w, why), -EINVAL);
	assert_non_null(strstr(why, "w/some.yaml:1: "));
}

static void a_setting_longer_than_its_limit_is_refused(void **state)
{
	char text[WORKLOAD_SETTING_BYTES_MAX + 64] = "topicConfig: {a: ";
	struct workload w;
	char why[256];
	size_t begin = strlen(text);

	for (int beyond = 0; beyond <= 1; beyond++) {
		size_t value = WORKLOAD_SETTING_BYTES_MAX - strlen("a=") + beyond;
		memset(text + begin, 'x', value);
		snprintf(text + begin + value, sizeof(text) - begin - value, "}");
		assert_int_equal(parse(text, &w, why), beyond ? -EINVAL : 0);
		if (!beyond)
			workload_fini(&w);
	}
}

static void a_file_is_read_up_to_its_limit(void **state)
{
	char path[] = "/tmp/workload_yaml_test.XXXXXX";
	int file = mkstemp(path);
	char *text = malloc(WORKLOAD_FILE_BYTES_MAX + 1);
	struct workload w;
	char why[256];

	assert_true(file >= 0);
	memset(text, '\n', WORKLOAD_FILE_BYTES_MAX + 1);
	memcpy(text, "topics: 7", 9);
	assert_int_equal(write(file, text, WORKLOAD_FILE_BYTES_MAX), WORKLOAD_FILE_BYTES_MAX);
	assert_int_equal(workload_read_yaml(path, &w, why, sizeof(why)), 0);
	assert_int_equal(w.topics, 7);
	workload_fini(&w);
	assert_int_equal(write(file, text, 1), 1);
	assert_int_equal(workload_read_yaml(path, &w, why, sizeof(why)), -EINVAL);
	assert_non_null(strstr(why, "bytes"));
	close(file);
	unlink(path);
	assert_int_equal(workload_read_yaml(path, &w, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, path));
	assert_int_equal(workload_read_yaml("/tmp", &w, why, sizeof(why)), -EISDIR);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_of_openmessaging_is_a_workload),
		cmocka_unit_test(settings_may_be_one_text_a_sequence_or_a_mapping),
		cmocka_unit_test(what_is_null_leaves_the_default),
		cmocka_unit_test(what_is_wrong_is_told_with_file_and_line),
		cmocka_unit_test(deep_nesting_is_refused_where_it_begins),
		cmocka_unit_test(a_setting_longer_than_its_limit_is_refused),
		cmocka_unit_test(a_file_is_read_up_to_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
