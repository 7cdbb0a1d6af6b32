#include "client/command/connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/profile.h"

enum { TIMEOUT_SECONDS = 10 };

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

static int set_timeouts(struct sluice_options *options, int64_t seconds)
{
	static const char *const names[] = {"request.timeout.ms",
					    "socket.connection.setup.timeout.ms",
					    "default.api.timeout.ms"};
	char milliseconds[32];
	int code = EXIT_DONE;

	snprintf(milliseconds, sizeof(milliseconds), "%lld", (long long)seconds * 1000);
	for (size_t i = 0; !code && i < sizeof(names) / sizeof(names[0]); i++)
		code = apply(options, names[i], milliseconds);
	return code;
}

static int set_flags(const struct invocation *invocation, struct sluice_options *options)
{
	char name[64];
	const char *value;
	int64_t seconds;
	int code = EXIT_DONE;

	if (!flag_number(invocation, FLAG_timeout, 1, 3600, 0, &seconds))
		return EXIT_USAGE;
	if (seconds)
		code = set_timeouts(options, seconds);
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

/* What comes later counts more. */
static int set_options(const struct invocation *invocation, const struct profile *profile,
		       struct sluice_options *options)
{
	int code = apply(options, "client.id", "sluice-command");

	code = code ? code : apply(options, "topic.metadata.propagation.max.ms", "3000");
	code = code ? code : set_timeouts(options, TIMEOUT_SECONDS);
	code = code ? code : profile_apply(profile, options);
	return code ? code : set_flags(invocation, options);
}

/* A profile that was asked for goes before the environment, one that is only in use after it. */
static const char *choose(const char *flag, const char *variable, const struct profile *profile,
			  const char *name, const char *otherwise)
{
	const char *environment = getenv(variable);
	const char *of_profile = profile_value(profile, name);

	if (flag)
		return flag;
	if (of_profile && profile->asked_for)
		return of_profile;
	if (environment && *environment)
		return environment;
	return of_profile ? of_profile : otherwise;
}

static int open_client(struct invocation *invocation, const struct profile *profile)
{
	const char *brokers = choose(flag_value(invocation, FLAG_brokers), "SLUICE_BROKERS",
				     profile, "brokers", "127.0.0.1:9092");
	struct sluice_options *options;

	if (sluice_options_new(&options) < 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	int code = set_options(invocation, profile, options);
	if (!code && sluice_open(&invocation->client, brokers, options) < 0)
		code = complain_usage("%s", sluice_open_error());
	sluice_options_free(options);
	return code;
}

int connect_open(struct invocation *invocation)
{
	struct profile profile;
	int code = profile_open(&profile, invocation);

	if (code)
		return code;
	code = open_client(invocation, &profile);
	profile_close(&profile);
	return code;
}

int connect_admin(const struct invocation *invocation, char **ret)
{
	struct profile profile;
	int code = profile_open(&profile, invocation);

	if (code)
		return code;
	*ret = strdup(choose(flag_value(invocation, FLAG_admin), "SLUICE_ADMIN", &profile, "admin",
			     "http://127.0.0.1:9644"));
	profile_close(&profile);
	if (*ret)
		return EXIT_DONE;
	complain("out of memory");
	return EXIT_FAILED;
}
