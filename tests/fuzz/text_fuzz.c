/* One text for one of the small parsers, which the first byte chooses: addresses to listen on, URLs
 * of brokers, faults of a network, addresses of a port, of `sluice` where to begin and how a
 * record is printed, text with secrets, and an answer of HTTP. */
#include "base/bytes.h"
#include "base/errors.h"
#include "client/command/format.h"
#include "client/command/from.h"
#include "client/command/http_get.h"
#include "client/command/redact.h"
#include "client/sluice.h"
#include "client/url.h"
#include "control/listener.h"
#include "dataplane/datagram/faulty_source.h"
#include "dataplane/dpdk/port.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>

enum { OUTPUT_BYTES = 1 << 16 };

static void try_listen(const char *text)
{
	struct listen_address address;
	int rc = listen_address_parse(&address, text);

	check(rc == 0 || rc == -ERR_CONFIG);
	check(rc < 0 || strlen(address.host) < sizeof(address.host));
}

static void try_settings(const char *at)
{
	struct url_setting setting;

	while (at && url_setting_next(&at, &setting) == 0)
		check(setting.name[0] && setting.value[0]);
}

static void try_urls(const char *text)
{
	char why[URL_WHY_BYTES] = "";
	struct url url;

	for (const char *at = text; at;) {
		const char *before = at;
		if (url_next(&at, &url, why) < 0) {
			check(why[0]);
			break;
		}
		check(!at || at > before);
		check(url.host[0]);
		check(url.port > 0 && url.port <= UINT16_MAX);
		if (url.settings[0])
			try_settings(url.settings);
	}
}

static void try_faults(const char *text)
{
	struct faults faults = {0};
	char why[256] = "";
	int rc = faults_parse(text, &faults, why, sizeof(why));

	check(rc == 0 || (rc == -ERR_CONFIG && why[0]));
	if (rc == 0)
		check(faults.loss <= FAULTS_ALL && faults.twice <= FAULTS_ALL &&
		      faults.reorder <= FAULTS_ALL && faults.flip <= FAULTS_ALL &&
		      faults.cut <= FAULTS_ALL);
}

static void try_port_ip(const char *text)
{
	struct port_ip ip;
	int rc = port_ip_parse(&ip, text);

	check(rc == 0 || rc == -EINVAL);
}

static void try_from(const char *text)
{
	struct sluice_target from;
	int rc = from_parse(&from, text, INT64_C(1800000000000));

	check(rc == 0 || rc == -EINVAL);
}

static void try_format(const char *text)
{
	static char output[OUTPUT_BYTES];
	static const struct sluice_message message = {
		.topic = "t",
		.partition = 1,
		.offset = INT64_MAX,
		.key = "k",
		.key_length = 1,
	};
	const char *wrong = NULL;
	struct format format = {0};
	int rc = format_parse(&format, text, &wrong);

	check(rc == 0 || rc == -EINVAL);
	check(rc == 0 || (wrong >= text && wrong <= text + strlen(text)));
	if (rc == 0) {
		FILE *file = fmemopen(output, sizeof(output), "w");
		check(file != NULL);
		format_print(&format, file, &message);
		fclose(file);
	}
	format_free(&format);
}

static void try_redact(const char *text)
{
	char *clean = NULL;
	size_t length;
	FILE *to = open_memstream(&clean, &length);

	check(to != NULL);
	redact(text, strlen(text), to);
	check(fclose(to) == 0);
	/* A value of one byte becomes "(removed)". */
	check(length <= strlen(text) * strlen("(removed)"));
	free(clean);
}

static void try_http_answer(const char *text)
{
	size_t length = strlen(text);
	size_t body;
	int status;
	int rc = http_answer_parse(text, length, &status, &body);

	check(rc == 0 || rc == -EPROTO);
	check(rc < 0 || (status >= 0 && status <= 999 && body <= length));
}

static void (*const tries[])(const char *text) = {
	try_listen, try_urls,   try_faults, try_port_ip,
	try_from,   try_format, try_redact, try_http_answer,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint8_t choice = input_u8(&input);
	char *text = input_text(&input, 0);

	tries[choice % array_count(tries)](text);
	free(text);
	return 0;
}
