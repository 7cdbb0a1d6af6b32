#include "client/command/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- complaints ---- */

static bool unreachable(int rc)
{
	switch (-rc) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EPIPE:
	case EPROTO:
		return true;
	default:
		return false;
	}
}

int complain_of(const struct invocation *invocation, int rc)
{
	const char *story = sluice_last_error(invocation->client);

	if (rc == -EINTR || interrupted())
		return EXIT_INTERRUPTED;
	complain("%s", *story ? story : sluice_error_text(rc));
	if (rc == -SLUICE_KAFKA(3))
		fputs("        `sluice topic list` shows the topics, `sluice topic create` makes one\n",
		      stderr);
	if (rc == -EPROTO)
		fputs("        whatever listens there does not speak the Kafka protocol (or wants "
		      "TLS)\n",
		      stderr);
	else if (unreachable(rc))
		fputs("        is a broker running there?  -b HOST:PORT or SLUICE_BROKERS names "
		      "another\n",
		      stderr);
	return unreachable(rc) ? EXIT_UNREACHABLE : EXIT_FAILED;
}

/* ---- opening ---- */

/* Flags that are options of the client under another name. */
static int apply(struct sluice_options *options, const char *name, const char *value)
{
	if (!value || sluice_options_set(options, name, value) == 0)
		return EXIT_DONE;
	return complain_usage("%s", sluice_options_error(options));
}

static int set_options(struct invocation *invocation, struct sluice_options *options)
{
	char milliseconds[32];
	char name[64];
	const char *value;
	int64_t seconds;

	if (!flag_number(invocation, FLAG_timeout, 1, 3600, 10, &seconds))
		return EXIT_USAGE;
	snprintf(milliseconds, sizeof(milliseconds), "%lld", (long long)seconds * 1000);
	int code = apply(options, "client.id", "sluice-command");
	code = code ? code : apply(options, "request.timeout.ms", milliseconds);
	code = code ? code : apply(options, "socket.connection.setup.timeout.ms", milliseconds);
	code = code ? code : apply(options, "default.api.timeout.ms", milliseconds);
	code = code ? code : apply(options, "topic.metadata.propagation.max.ms", "3000");
	code = code ? code
		    : apply(options, "compression.type", flag_value(invocation, FLAG_compression));
	code = code ? code : apply(options, "acks", flag_value(invocation, FLAG_acks));
	for (size_t i = 0; !code && i < invocation->flags[FLAG_option].count; i++) {
		const char *text = invocation->flags[FLAG_option].values[i];
		if (!split_setting(text, name, sizeof(name), &value))
			return complain_usage("-X takes NAME=VALUE, not '%s'", text);
		code = apply(options, name, value ? value : "");
	}
	return code;
}

int connect_open(struct invocation *invocation)
{
	const char *brokers = flag_value(invocation, FLAG_brokers);
	const char *environment = getenv("SLUICE_BROKERS");
	struct sluice_options *options;

	if (!brokers)
		brokers = environment && *environment ? environment : "127.0.0.1:9092";
	if (sluice_options_new(&options) < 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	int code = set_options(invocation, options);
	if (!code && sluice_open(&invocation->client, brokers, options) < 0)
		code = complain_usage("%s", sluice_open_error());
	sluice_options_free(options);
	return code;
}
