#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "client/client_internal.h"
#include "dataplane/kafka/kafka_errors.h"

/* ---- errors ---- */

const char *sluice_version(void)
{
	return SLUICE_VERSION;
}

int client_kafka_error(int16_t code)
{
	return code == KAFKA_NONE ? 0 : -SLUICE_KAFKA(code);
}

int client_error_of(int rc)
{
	if (rc == -ERR_VERSION)
		return -EPROTONOSUPPORT;
	if (-rc > ERR_FIRST && -rc < ERR_END)
		return client_kafka_error(kafka_code_of(rc));
	return rc;
}

struct error_entry {
	int16_t code;
	const char *name;
	bool retriable;
	const char *text;
};

/* What the protocol's codes mean to who reads them, and which may pass by themselves. */
static const struct error_entry error_entries[] = {
#define BROKER_ERROR(code, name, retriable, text) {code, #name, retriable, text},
#include "client/broker_errors.def"
#undef BROKER_ERROR
};

static const struct error_entry *find_error(int rc)
{
	for (size_t i = 0; i < array_count(error_entries); i++) {
		if (rc == -SLUICE_KAFKA(error_entries[i].code))
			return &error_entries[i];
	}
	return NULL;
}

bool client_retriable(int rc)
{
	switch (-rc) {
	case ETIMEDOUT:
	case ECONNRESET:
	case ECONNREFUSED:
	case ECONNABORTED: /* given up by the broker before it was executed */
	case EUSERS:       /* the broker has no session free */
	case EPIPE:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EPROTO:
	case ENOTCONN:
		return true;
	default:
		break;
	}
	const struct error_entry *entry = find_error(rc);
	return entry && entry->retriable;
}

static bool is_kafka(int rc)
{
	return -rc >= SLUICE_KAFKA(-1) && -rc < SLUICE_KAFKA(1000);
}

const char *sluice_error_name(int rc)
{
	if (is_kafka(rc)) {
		const struct error_entry *entry = find_error(rc);
		return entry ? entry->name : kafka_error_name((int16_t)(-rc - SLUICE_KAFKA(0)));
	}
	const char *name = strerrorname_np(rc < 0 ? -rc : rc);
	return name ? name : "?";
}

const char *sluice_error_text(int rc)
{
	if (is_kafka(rc)) {
		const struct error_entry *entry = find_error(rc);
		return entry ? entry->text : "the broker refused with a code without a sentence";
	}
	return error_text(rc);
}

int client_fail(struct sluice_client *client, int rc, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(client->error, sizeof(client->error), format, arguments);
	va_end(arguments);
	return client_error_of(rc);
}

const char *sluice_last_error(const struct sluice_client *client)
{
	return client->error;
}

/* ---- opening and closing ---- */

enum { IDEMPOTENT_IN_FLIGHT_MAX = 5 }; /* batches of a producer that a broker remembers */

static _Thread_local char open_error[URL_WHY_BYTES];

const char *sluice_open_error(void)
{
	return open_error;
}

/* Numbered batches promise what only these settings can keep. */
static int options_agree(const struct sluice_options *options, char why[static URL_WHY_BYTES])
{
	if (!options->idempotence)
		return 0;
	if (options->acks == CLIENT_ACKS_ALL && options->in_flight_max <= IDEMPOTENT_IN_FLIGHT_MAX)
		return 0;
	snprintf(
		why, URL_WHY_BYTES,
		"enable.idempotence needs acks=all and max.in.flight.requests.per.connection of at "
		"most %d",
		IDEMPOTENT_IN_FLIGHT_MAX);
	return -EINVAL;
}

static void client_free(struct sluice_client *client)
{
	client->closing = true;
	/* Requests under way report to the producer and the consumer, which go after them. */
	cluster_close_peers(client);
	client->depth++;
	producer_fini(client);
	client->depth--;
	consumer_fini(client);
	cluster_fini(client);
	loop_fini(&client->loop);
	free(client);
}

int sluice_open(struct sluice_client **ret, const char *urls, const struct sluice_options *options)
{
	struct sluice_client *client = calloc(1, sizeof(*client));

	open_error[0] = 0;
	if (!client)
		return -ENOMEM;
	if (options)
		client->options = *options;
	else
		options_init(&client->options);
	cluster_init(client);
	producer_init(client);
	consumer_init(client);
	int rc = options_agree(&client->options, open_error);
	if (rc == 0)
		rc = loop_init(&client->loop);
	if (rc == 0)
		rc = producer_start(client);
	if (rc == 0)
		rc = cluster_bootstrap(client, urls, open_error);
	if (rc < 0) {
		if (!open_error[0])
			snprintf(open_error, sizeof(open_error), "%s", sluice_error_text(rc));
		client_free(client);
		return rc;
	}
	*ret = client;
	return 0;
}

int sluice_close(struct sluice_client *client)
{
	if (!client)
		return 0;
	if (client->depth > 0)
		return -EDEADLK;
	client_free(client);
	return 0;
}

/* ---- turning ---- */

int sluice_fd(const struct sluice_client *client)
{
	return client->loop.epoll_fd;
}

void sluice_interrupt(struct sluice_client *client)
{
	loop_interrupt(&client->loop);
}

void client_pump(struct sluice_client *client)
{
	if (client->closing)
		return;
	cluster_pump(client);
	producer_pump(client);
	consumer_pump(client);
}

static int turn(struct sluice_client *client, int timeout_ms)
{
	client->depth++;
	int rc = loop_turn(&client->loop, timeout_ms);
	client_pump(client);
	producer_deliver(client);
	client->depth--;
	return rc;
}

int sluice_process(struct sluice_client *client, int timeout_ms)
{
	if (client->depth > 0)
		return -EDEADLK;
	return turn(client, timeout_ms);
}

uint64_t client_deadline(int64_t timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : loop_now() + (uint64_t)timeout_ms * NS_PER_MS;
}

/* Rounded up, so that a deadline is past when the wait is over. */
static int left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = loop_now();

	if (deadline_ns == UINT64_MAX)
		return -1;
	if (now_ns >= deadline_ns)
		return 0;
	uint64_t left = (deadline_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

int client_wait(struct sluice_client *client, int64_t timeout_ms,
		int (*finished)(struct sluice_client *client, void *user), void *user)
{
	uint64_t deadline_ns = client_deadline(timeout_ms);

	if (client->depth > 0)
		return -EDEADLK;
	client_pump(client);
	for (;;) {
		int rc = finished(client, user);
		if (rc)
			return rc;
		int wait_ms = left_ms(deadline_ns);
		rc = turn(client, wait_ms);
		if (rc < 0)
			return rc;
		if (wait_ms == 0) {
			rc = finished(client, user);
			return rc ? rc : -ETIMEDOUT;
		}
	}
}
