/* Settings from every source, and the sentences for what is wrong with them. */
#include "base/bytes.h"
#include "base/errors.h"
#include "control/config.h"
#include "control/topic_config.h"
#include "tests/control/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

struct fixture {
	struct folder *folder;
	struct config config;
	enum config_action action;
	char why[1024];
	char file[128];
	char ignored[64];
};

static char *ignored; /* where ignore() writes; the callback has no context */

static void ignore(const char *variable)
{
	snprintf(ignored, 64, "%s", variable);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->folder = folder_new();
	snprintf(f->file, sizeof(f->file), "%s/sluice.conf", f->folder->path);
	ignored = f->ignored;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	config_fini(&f->config);
	folder_free(f->folder);
	free(f);
	return 0;
}

static int load(struct fixture *f, char **environment, int count, const char *const words[])
{
	const char *arguments[16] = {"sluiced"};

	for (int i = 0; i < count; i++)
		arguments[i + 1] = words[i];
	config_fini(&f->config);
	return config_load(&f->config, count + 1, (char **)(uintptr_t)arguments, environment,
			   &f->action, ignore, f->why, sizeof(f->why));
}

#define LOAD(f, environment, ...)                                                                  \
	load((f), (environment), (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),    \
	     (const char *[]){__VA_ARGS__})

static void write_file(const struct fixture *f, const char *text)
{
	folder_write(f->folder, "sluice.conf", text, strlen(text));
}

static void defaults_hold_when_nothing_is_said(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(load(f, NULL, 0, NULL), 0);
	assert_int_equal(f->action, CONFIG_RUN);
	assert_string_equal(f->config.listen, "127.0.0.1:9092");
	assert_int_equal(f->config.shards, 0);
	assert_int_equal(f->config.log_retention_ms, INT64_C(7) * 24 * 3600 * 1000);
	assert_true(f->config.auto_create_topics);
	assert_false(config_given(&f->config, CONFIG_listen));
}

static void a_later_source_wins(void **state)
{
	struct fixture *f = *state;
	char *environment[] = {(char[]){"SLUICE_NUM_PARTITIONS=6"}, (char[]){"PATH=/bin"}, NULL};

	write_file(f, "num.partitions = 5\nnode.id=9\n  # a comment\n\nio = sync\n");
	assert_int_equal(LOAD(f, NULL, "--config", f->file), 0);
	assert_int_equal(f->config.num_partitions, 5);
	assert_int_equal(LOAD(f, environment, "--config", f->file), 0);
	assert_int_equal(f->config.num_partitions, 6);
	assert_int_equal(f->config.node_id, 9);
	assert_int_equal(f->config.io, CONFIG_IO_SYNC);
	assert_int_equal(LOAD(f, environment, "--config", f->file, "--set", "num.partitions=7",
			      "--io=uring"),
			 0);
	assert_int_equal(f->config.num_partitions, 7);
	assert_int_equal(f->config.io, CONFIG_IO_URING);
	assert_int_equal(f->config.origins[CONFIG_num_partitions], CONFIG_BY_COMMAND);
	assert_int_equal(f->config.origins[CONFIG_node_id], CONFIG_BY_FILE);
	assert_true(config_given(&f->config, CONFIG_io));
}

static void units_are_understood(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, NULL, "--set", "log.segment.bytes=64MiB", "--set",
			      "log.retention.ms=2h", "--set", "log.retention.bytes=1 g"),
			 0);
	assert_int_equal(f->config.log_segment_bytes, 64 << 20);
	assert_int_equal(f->config.log_retention_ms, 7200000);
	assert_int_equal(f->config.log_retention_bytes, 1 << 30);
}

static void what_is_wrong_is_named(void **state)
{
	static const struct {
		const char *set;
		const char *says;
	} cases[] = {
		{"num.partitons=3", "did you mean \"num.partitions\"?"},
		{"num.partitions=0", "number, 1 to 10000"},
		{"num.partitions=many", "number, 1 to 10000"},
		{"num.partitions=3 kg", "number, 1 to 10000"},
		{"num.partitions=99999999999999999999", "number, 1 to 10000"},
		{"log.segment.bytes=5 parsec", "bytes, 1048576 to 2147483647"},
		{"log.retention.bytes=9223372036854775807k", "bytes"},
		{"io=fast", "auto|uring|sync"},
		{"pin.threads=maybe", "true|false"},
		{"log.cleanup.policy=delete,burn", "comma-separated list of delete|compact"},
		{"listen=nowhere", "HOST:PORT"},
		{"listen=", "HOST:PORT"},
		{"listen=127.0.0.1:99999", "HOST:PORT"},
		{"advertised.listen=::1:9092", "HOST:PORT, or empty"},
		{"datagram.listen=nono", "HOST:PORT or none, or empty"},
		{"num.partitions", "expects KEY=VALUE"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(LOAD(f, NULL, "--set", cases[i].set), -ERR_CONFIG);
		if (!strstr(f->why, cases[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].set, f->why,
				 cases[i].says);
	}
}

static void a_bad_file_is_named_with_its_line(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{"node.id = 1\nnode.ids = 2\n", "sluice.conf:2: no setting is called \"node.ids\""},
		{"node.id = 1\n\n node.id=2\n", "sluice.conf:3: node.id is already set on line 1"},
		{"node.id\n", "sluice.conf:1: expected \"key = value\""},
		{"node.id = -1\n", "sluice.conf:1: node.id = \"-1\" is not valid"},
		{"node.id = \xff\n", "sluice.conf:1: the line is not UTF-8"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file(f, cases[i].text);
		assert_int_equal(LOAD(f, NULL, "--config", f->file), -ERR_CONFIG);
		if (!strstr(f->why, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", f->why, cases[i].says);
	}
}

static void a_line_without_end_is_refused(void **state)
{
	struct fixture *f = *state;
	size_t length = 1 << 20;
	char *line = malloc(length);

	memset(line, 'a', length);
	folder_write(f->folder, "sluice.conf", line, length);
	assert_int_equal(LOAD(f, NULL, "--config", f->file), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "sluice.conf:1: the line is longer than"));
	free(line);
}

static void a_missing_file_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_true(LOAD(f, NULL, "--config", "/nowhere/sluice.conf") < 0);
	assert_non_null(strstr(f->why, "/nowhere/sluice.conf"));
}

static void unknown_options_and_missing_values_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, NULL, "--lisen", "x"), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "--lisen"));
	assert_non_null(strstr(f->why, "did you mean --listen?"));
	assert_int_equal(LOAD(f, NULL, "--num.partitions", "3"), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "--set num.partitions=VALUE"));
	assert_int_equal(LOAD(f, NULL, "--listen"), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "needs a value"));
	assert_int_equal(LOAD(f, NULL, "serve"), -ERR_CONFIG);
}

static void help_and_version_are_found_anywhere(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, NULL, "--shards", "2", "--help"), 0);
	assert_int_equal(f->action, CONFIG_HELP);
	assert_int_equal(LOAD(f, NULL, "--version"), 0);
	assert_int_equal(f->action, CONFIG_VERSION);
	assert_int_equal(LOAD(f, NULL, "--print-config", "--shards", "2"), 0);
	assert_int_equal(f->action, CONFIG_PRINT);
	assert_int_equal(f->config.shards, 2);
	assert_int_equal(LOAD(f, NULL, "--check", "--shards", "many"), -ERR_CONFIG);
	assert_int_equal(f->action, CONFIG_CHECK);
}

/* ---- more than one file ---- */

static void write_piece(const struct fixture *f, const char *name, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "conf.d/%s", name);
	mkdirat(f->folder->fd, "conf.d", 0755);
	folder_write(f->folder, path, text, strlen(text));
}

static void pieces_of_conf_d_follow_the_file_in_order_of_their_names(void **state)
{
	struct fixture *f = *state;

	write_file(f, "num.partitions = 1\nnode.id = 1\nshards = 1\n");
	write_piece(f, "20-b.conf", "num.partitions = 20\nnode.id = 20\n");
	write_piece(f, "10-a.conf", "num.partitions = 10\nnode.id = 10\nshards = 10\n");
	write_piece(f, "30-c.conf.off", "num.partitions = 30\n");
	write_piece(f, ".40-d.conf", "num.partitions = 40\n");
	assert_int_equal(LOAD(f, NULL, "--config", f->file, "--set", "node.id=7"), 0);
	assert_int_equal(f->config.num_partitions, 20);
	assert_int_equal(f->config.shards, 10);
	assert_int_equal(f->config.node_id, 7);
}

static void a_bad_piece_is_named_with_its_line(void **state)
{
	struct fixture *f = *state;

	write_file(f, "num.partitions = 1\n");
	write_piece(f, "10-a.conf", "# a comment\nnum.partitons = 2\n");
	assert_int_equal(LOAD(f, NULL, "--config", f->file), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "conf.d/10-a.conf:2: no setting is called"));
}

struct problems {
	char text[4096];
	unsigned count;
};

static void add_problem(const struct config_problem *problem, void *context)
{
	struct problems *problems = context;
	size_t used = strlen(problems->text);

	problems->count++;
	snprintf(problems->text + used, sizeof(problems->text) - used, "%s:%u: %s\n", problem->path,
		 problem->line, problem->reason);
}

static void lint_tells_all_that_is_wrong_with_the_files(void **state)
{
	struct fixture *f = *state;
	struct problems problems = {0};

	write_file(f, "num.partitions = 1\n");
	assert_int_equal(config_lint(f->file, add_problem, &problems), 0);
	assert_int_equal(problems.count, 0);
	write_file(f, "num.partitions = 0\nwrong\nretention.ms = 5\nio = sync\nio = sync\n");
	write_piece(f, "10-a.conf", "nod.id = 2\n");
	assert_int_equal(config_lint(f->file, add_problem, &problems), -ERR_CONFIG);
	assert_int_equal(problems.count, 5);
	assert_non_null(strstr(problems.text, "sluice.conf:1: num.partitions = \"0\""));
	assert_non_null(strstr(problems.text, "sluice.conf:2: expected"));
	assert_non_null(strstr(problems.text, "set as \"log.retention.ms\""));
	assert_non_null(strstr(problems.text, "sluice.conf:5: io is already set on line 4"));
	assert_non_null(strstr(problems.text, "10-a.conf:1: no setting is called \"nod.id\""));
}

static void a_printed_file_says_the_same(void **state)
{
	struct fixture *f = *state;
	struct config given = {0};

	assert_int_equal(LOAD(f, NULL, "--set", "num.partitions=3", "--set", "log.level=warn"), 0);
	assert_int_equal(config_copy(&given, &f->config), 0);
	FILE *file = fopen(f->file, "we");
	config_print(&given, file);
	fclose(file);
	assert_int_equal(LOAD(f, NULL, "--config", f->file), 0);
	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		assert_true(config_same(&given, &f->config, i));
		assert_int_equal(config_given(&given, (int)i), config_given(&f->config, (int)i));
	}
	config_fini(&given);
}

static void addresses_may_be_empty_or_none_where_that_means_something(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, NULL, "--set", "listen=[::1]:9092", "--set",
			      "advertised.listen=", "--set", "datagram.listen=none"),
			 0);
	assert_string_equal(f->config.listen, "[::1]:9092");
	assert_string_equal(f->config.datagram_listen, "none");
}

static void levels_of_the_log_are_checked(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(LOAD(f, NULL, "--set", "log.level=warn,storage=debug, tcp=error"), 0);
	assert_string_equal(f->config.log_level, "warn,storage=debug, tcp=error");
	assert_int_equal(LOAD(f, NULL, "--set", "log.level=loud"), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "debug|info|warn|error"));
}

static void a_strange_variable_is_passed_on_and_a_bad_one_refused(void **state)
{
	struct fixture *f = *state;
	char *strange[] = {(char[]){"SLUICE_PORT_9092_TCP=tcp://x"}, NULL};
	char *bad[] = {(char[]){"SLUICE_NODE_ID=x"}, NULL};

	assert_int_equal(load(f, strange, 0, NULL), 0);
	assert_string_equal(f->ignored, "SLUICE_PORT_9092_TCP=tcp://x");
	assert_int_equal(load(f, bad, 0, NULL), -ERR_CONFIG);
	assert_non_null(strstr(f->why, "environment variable SLUICE_NODE_ID"));
}

/* ---- topics ---- */

static void a_topic_takes_the_brokers_default_until_it_has_its_own(void **state)
{
	struct fixture *f = *state;
	struct topic_overrides overrides = {0};
	char why[256];

	assert_int_equal(LOAD(f, NULL, "--set", "log.retention.ms=5s"), 0);
	struct topic_config config = topic_config_resolve(&f->config, &overrides);
	assert_int_equal(config.log.retention_ms, 5000);
	assert_true(config.log.delete_enabled);
	assert_false(config.compacted);
	assert_int_equal(topic_overrides_set(&overrides, "retention.ms", "-1", why, sizeof(why)),
			 0);
	assert_int_equal(
		topic_overrides_set(&overrides, "cleanup.policy", "compact", why, sizeof(why)), 0);
	assert_int_equal(topic_overrides_set(&overrides, "message.timestamp.type", "logappendtime",
					     why, sizeof(why)),
			 0);
	config = topic_config_resolve(&f->config, &overrides);
	assert_int_equal(config.log.retention_ms, -1);
	assert_false(config.log.delete_enabled);
	assert_true(config.compacted);
	assert_true(config.log_append_time);
	assert_string_equal(overrides.texts[TOPIC_CONFIG_message_timestamp_type], "LogAppendTime");
	topic_overrides_fini(&overrides);
}

static void every_default_of_a_topic_is_valid(void **state)
{
	struct fixture *f = *state;
	char canonical[PARAM_CANONICAL_BYTES];
	char why[256];

	assert_int_equal(load(f, NULL, 0, NULL), 0);
	for (int i = 0; i < TOPIC_CONFIG_COUNT; i++) {
		const char *text = topic_config_default(&f->config, (enum topic_config_index)i);
		assert_int_equal(
			param_canonical(&topic_params[i], text, canonical, why, sizeof(why)), 0);
	}
}

static void a_refused_setting_changes_nothing(void **state)
{
	struct topic_overrides overrides = {0};
	char why[256];

	(void)state;
	assert_int_equal(topic_overrides_set(&overrides, "retention.ms", "5", why, sizeof(why)), 0);
	assert_int_equal(topic_overrides_set(&overrides, "retention.ms", "x", why, sizeof(why)),
			 -ERR_CONFIG);
	assert_int_equal(topic_overrides_set(&overrides, "retention.msec", "1", why, sizeof(why)),
			 -ERR_CONFIG);
	assert_non_null(strstr(why, "did you mean \"retention.ms\"?"));
	assert_string_equal(overrides.texts[TOPIC_CONFIG_retention_ms], "5");
	topic_overrides_fini(&overrides);
}

static void a_dedup_window_is_off_and_has_defaults(void **state)
{
	struct fixture *f = *state;
	struct topic_overrides overrides = {0};

	assert_int_equal(load(f, NULL, 0, NULL), 0);
	struct dedup_config dedup = topic_config_resolve(&f->config, &overrides).log.dedup;
	assert_false(dedup.enabled);
	assert_int_equal(dedup.window_ms, 120000);
	assert_string_equal(dedup.header, "dedup-id");
	assert_int_equal(dedup.header_length, 8);
	assert_int_equal(dedup.scope, DEDUP_PARTITION);
	assert_int_equal(dedup.on_full, DEDUP_EVICT);
	assert_int_equal(dedup.entries_max, 1000000);
}

static void a_dedup_window_is_what_the_topic_says(void **state)
{
	static const char *const settings[][2] = {
		{"dedup.enable", "true"},      {"dedup.header", "Nats-Msg-Id"},
		{"dedup.scope", "key"},        {"dedup.window.ms", "1d"},
		{"dedup.max.entries", "5000"}, {"dedup.on.full", "reject"},
	};
	struct fixture *f = *state;
	struct topic_overrides overrides = {0};
	char why[256];

	assert_int_equal(load(f, NULL, 0, NULL), 0);
	for (size_t i = 0; i < array_count(settings); i++)
		assert_int_equal(topic_overrides_set(&overrides, settings[i][0], settings[i][1],
						     why, sizeof(why)),
				 0);
	struct dedup_config dedup = topic_config_resolve(&f->config, &overrides).log.dedup;
	assert_true(dedup.enabled);
	assert_string_equal(dedup.header, "Nats-Msg-Id");
	assert_int_equal(dedup.scope, DEDUP_KEY);
	assert_int_equal(dedup.window_ms, 86400000);
	assert_int_equal(dedup.entries_max, 5000);
	assert_int_equal(dedup.on_full, DEDUP_REJECT);
	topic_overrides_fini(&overrides);
}

static void a_bad_dedup_setting_is_refused_in_clear_words(void **state)
{
	static const char *const refused[][3] = {
		{"dedup.header", "", "1 to 63 visible ASCII characters, no spaces"},
		{"dedup.header", "with space", "1 to 63 visible ASCII characters, no spaces"},
		{"dedup.header", "\xc3\xa9", "1 to 63 visible ASCII characters, no spaces"},
		{"dedup.window.ms", "999", "milliseconds, 1000 to 604800000"},
		{"dedup.window.ms", "8d", "milliseconds, 1000 to 604800000"},
		{"dedup.max.entries", "99", "number, 100 to 1000000000"},
		{"dedup.scope", "topic", "partition|key"},
		{"dedup.on.full", "drop", "evict|reject"},
		{"dedup.enable", "yes", "true|false"},
		{"dedup.window", "1s", "did you mean \"dedup.window.ms\"?"},
	};
	struct topic_overrides overrides = {0};
	char longest[DEDUP_HEADER_MAX + 2];
	char why[256];

	(void)state;
	for (size_t i = 0; i < array_count(refused); i++) {
		assert_int_equal(topic_overrides_set(&overrides, refused[i][0], refused[i][1], why,
						     sizeof(why)),
				 -ERR_CONFIG);
		assert_non_null(strstr(why, refused[i][2]));
	}
	memset(longest, 'h', sizeof(longest));
	longest[DEDUP_HEADER_MAX + 1] = '\0';
	assert_int_equal(topic_overrides_set(&overrides, "dedup.header", longest, why, sizeof(why)),
			 -ERR_CONFIG);
	assert_int_equal(
		topic_overrides_set(&overrides, "dedup.header", longest + 1, why, sizeof(why)), 0);
	topic_overrides_fini(&overrides);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(defaults_hold_when_nothing_is_said),
		TEST(a_later_source_wins),
		TEST(units_are_understood),
		TEST(what_is_wrong_is_named),
		TEST(a_bad_file_is_named_with_its_line),
		TEST(a_line_without_end_is_refused),
		TEST(a_missing_file_is_refused),
		TEST(unknown_options_and_missing_values_are_refused),
		TEST(help_and_version_are_found_anywhere),
		TEST(pieces_of_conf_d_follow_the_file_in_order_of_their_names),
		TEST(a_bad_piece_is_named_with_its_line),
		TEST(lint_tells_all_that_is_wrong_with_the_files),
		TEST(a_printed_file_says_the_same),
		TEST(addresses_may_be_empty_or_none_where_that_means_something),
		TEST(levels_of_the_log_are_checked),
		TEST(a_strange_variable_is_passed_on_and_a_bad_one_refused),
		TEST(a_topic_takes_the_brokers_default_until_it_has_its_own),
		TEST(every_default_of_a_topic_is_valid),
		TEST(a_refused_setting_changes_nothing),
		TEST(a_dedup_window_is_off_and_has_defaults),
		TEST(a_dedup_window_is_what_the_topic_says),
		TEST(a_bad_dedup_setting_is_refused_in_clear_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
