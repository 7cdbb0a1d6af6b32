/* Settings, addresses and the command's own small languages: all that is parsed from text. */
#include "client/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "client/command/format.h"
#include "client/command/from.h"
#include "client/url.h"

static void defaults_are_those_of_the_table(void **state)
{
	struct sluice_options options;

	options_init(&options);
	assert_int_equal(options.acks, CLIENT_ACKS_ALL);
	assert_int_equal(options.linger_ms, 5);
	assert_int_equal(options.batch_bytes, 131072);
	assert_true(options.check_crcs);
	assert_string_equal(options.client_id, "sluice");
}

static void every_option_takes_its_own_default(void **state)
{
	struct sluice_options *options;
	const struct sluice_option *option;
	size_t count = 0;

	assert_int_equal(sluice_options_new(&options), 0);
	for (; (option = sluice_option_at(count)); count++) {
		assert_int_equal(sluice_options_set(options, option->name, option->default_text),
				 0);
		assert_true(strlen(option->help) > 10);
	}
	assert_in_range(count, 20, 100);
	sluice_options_free(options);
}

static void sizes_have_units_and_bounds(void **state)
{
	struct sluice_options options;

	options_init(&options);
	assert_int_equal(sluice_options_set(&options, "batch.size", "64k"), 0);
	assert_int_equal(options.batch_bytes, 65536);
	assert_int_equal(sluice_options_set(&options, "batch.size", "2m"), 0);
	assert_int_equal(options.batch_bytes, 2 << 20);
	assert_int_equal(sluice_options_set(&options, "batch.size", "2x"), -EINVAL);
	assert_int_equal(sluice_options_set(&options, "batch.size", "2kk"), -EINVAL);
	assert_int_equal(sluice_options_set(&options, "batch.size", ""), -EINVAL);
	assert_int_equal(sluice_options_set(&options, "batch.size", "0"), -ERANGE);
	assert_int_equal(sluice_options_set(&options, "batch.size", "99999m"), -ERANGE);
	assert_int_equal(sluice_options_set(&options, "batch.size", "9223372036854775807k"),
			 -EINVAL);
	assert_int_equal(options.batch_bytes, 2 << 20);
}

static void words_are_taken_whole(void **state)
{
	struct sluice_options options;

	options_init(&options);
	assert_int_equal(sluice_options_set(&options, "acks", "1"), 0);
	assert_int_equal(options.acks, CLIENT_ACKS_1);
	assert_int_equal(sluice_options_set(&options, "acks", "al"), -EINVAL);
	assert_int_equal(sluice_options_set(&options, "acks", ""), -EINVAL);
	assert_non_null(strstr(sluice_options_error(&options), "0|1|all"));
	assert_int_equal(sluice_options_set(&options, "check.crcs", "yes"), -EINVAL);
}

static void a_wrong_name_is_told_the_nearest(void **state)
{
	struct sluice_options options;

	options_init(&options);
	assert_int_equal(sluice_options_set(&options, "linger.sm", "1"), -ENOENT);
	assert_non_null(strstr(sluice_options_error(&options), "'linger.ms'"));
	assert_int_equal(sluice_options_set(&options, "", "1"), -ENOENT);
}

static void check_url(const char *text, const char *scheme, const char *host, int port)
{
	char why[URL_WHY_BYTES];
	const char *at = text;
	struct url url;

	assert_int_equal(url_next(&at, &url, why), 0);
	assert_string_equal(url.scheme, scheme);
	assert_string_equal(url.host, host);
	assert_int_equal(url.port, port);
	assert_null(at);
}

static void addresses_are_read(void **state)
{
	check_url("tcp://broker.example:9093", "tcp", "broker.example", 9093);
	check_url("broker", "tcp", "broker", 9092);
	check_url("udp://10.0.0.1:9192", "udp", "10.0.0.1", 9192);
	check_url("tcp://[::1]:9092", "tcp", "::1", 9092);
	check_url("[fe80::1]", "tcp", "fe80::1", 9092);
	check_url(" host:1 ", "tcp", "host", 1);
	check_url("dpdk:net_memif0,socket=/x,id=1?peer=10.0.0.1:9192", "dpdk", "10.0.0.1", 9192);
	check_url("dpdk:0000:00:05.0?address=fd00::2/64&peer=[fd00::1]", "dpdk", "fd00::1", 9092);
}

static void a_port_has_a_device_and_settings(void **state)
{
	char why[URL_WHY_BYTES];
	const char *at = "dpdk:net_memif0,id=1,socket=/why?/x?address=10.0.0.2/24&peer=10.0.0.1";
	struct url_setting setting;
	struct url url;

	assert_int_equal(url_next(&at, &url, why), 0);
	assert_string_equal(url.device, "net_memif0,id=1,socket=/why?/x");
	at = url.settings;
	assert_int_equal(url_setting_next(&at, &setting), 0);
	assert_string_equal(setting.name, "address");
	assert_string_equal(setting.value, "10.0.0.2/24");
	assert_int_equal(url_setting_next(&at, &setting), 0);
	assert_string_equal(setting.name, "peer");
	assert_null(at);
}

static void a_list_of_addresses_is_walked(void **state)
{
	char why[URL_WHY_BYTES];
	const char *at = "one:1, two:2";
	struct url url;

	assert_int_equal(url_next(&at, &url, why), 0);
	assert_string_equal(url.host, "one");
	assert_non_null(at);
	assert_int_equal(url_next(&at, &url, why), 0);
	assert_string_equal(url.host, "two");
	assert_null(at);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const wrong[] = {"",
					    "host:",
					    "host:0",
					    "host:65536",
					    "host:12x",
					    "[::1",
					    "::1",
					    "tcp://",
					    "tcp://:90",
					    "toolongscheme://h",
					    "a,,b:1x",
					    "[::1]9092",
					    "dpdk:",
					    "dpdk:net_memif0",
					    "dpdk:?peer=host",
					    "dpdk:net_memif0?",
					    "dpdk:net_memif0?peer",
					    "dpdk:net_memif0?peer=",
					    "dpdk:net_memif0?peer=host:0",
					    "dpdk:net_memif0?address=10.0.0.2/24",
					    "dpdk:net_memif0?&peer=host"};
	char why[URL_WHY_BYTES];
	struct url url;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		const char *at = wrong[i];
		int rc = 0;
		while (at && rc == 0)
			rc = url_next(&at, &url, why);
		assert_int_equal(rc, -EINVAL);
		assert_true(strlen(why) > 0);
	}
}

static void a_client_is_not_opened_for_nonsense(void **state)
{
	struct sluice_client *client;

	assert_int_equal(sluice_open(&client, "", NULL), -EINVAL);
	assert_int_equal(sluice_open(&client, "carrier-pigeon://x:1", NULL), -EINVAL);
	assert_int_equal(sluice_open(&client, "udp://x:1,tcp://x:1", NULL), -EINVAL);
	assert_int_equal(sluice_open(&client, "ftp://x:1", NULL), -EPROTONOSUPPORT);
	assert_non_null(strstr(sluice_open_error(), "ftp"));
	assert_int_equal(sluice_close(NULL), 0);
}

static void check_format(const char *text, const char *expected)
{
	const struct sluice_message message = {
		.topic = "t",
		.partition = 3,
		.offset = 5000000000,
		.timestamp_ms = -1,
		.key = "k",
		.key_length = 1,
		.value = NULL,
		.header_count = 2,
		.headers = "\x02h\x02v\x02n\x01",
		.headers_length = 7,
	};
	struct format format;
	const char *wrong;
	char made[128] = {0};

	FILE *to = fmemopen(made, sizeof(made), "w");
	assert_non_null(to);
	assert_int_equal(format_parse(&format, text, &wrong), 0);
	format_print(&format, to, &message);
	fclose(to);
	format_free(&format);
	assert_string_equal(made, expected);
}

static void formats_print_what_they_say(void **state)
{
	check_format("", "");
	check_format("%t/%p@%o", "t/3@5000000000");
	check_format("%k=%s;", "k=;");
	check_format("%K %S %T", "1 -1 -1");
	check_format("100%%\\t\\x41\\\\", "100%\tA\\");
	check_format("%h", "h=v,n=NULL");
}

static void formats_that_mean_nothing_are_refused(void **state)
{
	static const char *const wrong[] = {"%", "%q", "a%", "\\", "\\q", "\\x4", "\\xzz"};
	struct format format;
	const char *at;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(format_parse(&format, wrong[i], &at), -EINVAL);
}

static void check_from(const char *text, enum sluice_target_kind kind, int64_t value)
{
	struct sluice_target from;

	assert_int_equal(from_parse(&from, text, 1000000000), 0);
	assert_int_equal(from.kind, kind);
	assert_int_equal(from.value, value);
}

static void beginnings_are_read(void **state)
{
	check_from("beginning", SLUICE_AT_OFFSET, SLUICE_EARLIEST);
	check_from("end", SLUICE_AT_OFFSET, SLUICE_LATEST);
	check_from("17", SLUICE_AT_OFFSET, 17);
	check_from("-3", SLUICE_BEFORE_END, 3);
	check_from("@1767225600000", SLUICE_AT_TIME, 1767225600000);
	check_from("@2026-01-01T00:00:00Z", SLUICE_AT_TIME, 1767225600000);
	check_from("@-2m", SLUICE_AT_TIME, 1000000000 - 120000);
}

static void wrong_beginnings_are_refused(void **state)
{
	static const char *const wrong[] = {"",
					    "start",
					    "1x",
					    "--3",
					    "@",
					    "@5m",
					    "@-5x",
					    "@-99d",
					    "@2026-13-01T00:00:00Z",
					    "99999999999999999999"};
	struct sluice_target from;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(from_parse(&from, wrong[i], 1000000000), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_table),
		cmocka_unit_test(every_option_takes_its_own_default),
		cmocka_unit_test(sizes_have_units_and_bounds),
		cmocka_unit_test(words_are_taken_whole),
		cmocka_unit_test(a_wrong_name_is_told_the_nearest),
		cmocka_unit_test(addresses_are_read),
		cmocka_unit_test(a_port_has_a_device_and_settings),
		cmocka_unit_test(a_list_of_addresses_is_walked),
		cmocka_unit_test(what_is_no_address_is_refused),
		cmocka_unit_test(a_client_is_not_opened_for_nonsense),
		cmocka_unit_test(formats_print_what_they_say),
		cmocka_unit_test(formats_that_mean_nothing_are_refused),
		cmocka_unit_test(beginnings_are_read),
		cmocka_unit_test(wrong_beginnings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
