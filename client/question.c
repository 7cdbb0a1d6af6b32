#include "client/question.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "dataplane/kafka/kafka_errors.h"

enum {
	ANSWER_ARENA_BYTES = 64 << 20,
	PAUSE_MS = 100,
	FIND_COORDINATOR_VERSION_MAX = 3, /* the last one about one key, which all brokers have */
	COORDINATOR_OF_GROUP = 0,
};

/* One exchange.  It outlives an interrupted caller, so it is on the heap. */
struct exchange {
	struct request *request;
	bool done;
	bool abandoned;
	int rc;
};

static void exchange_free(struct exchange *exchange)
{
	if (!exchange)
		return;
	request_free(exchange->request);
	free(exchange);
}

static void exchange_done(struct request *request, int rc)
{
	struct exchange *exchange = request->user;

	exchange->done = true;
	exchange->rc = rc;
	if (exchange->abandoned)
		exchange_free(exchange);
}

static int exchange_finished(struct sluice_client *client, void *user)
{
	const struct exchange *exchange = user;

	return exchange->done;
}

static int ask_once(struct sluice_client *client, const struct question *question,
		    struct broker *broker, int64_t timeout_ms, struct exchange **ret)
{
	struct exchange *exchange = calloc(1, sizeof(*exchange));

	if (!exchange)
		return -ENOMEM;
	exchange->request = request_new(question->api, exchange_done, exchange);
	if (!exchange->request || question->fill(exchange->request, question->user) < 0) {
		exchange_free(exchange);
		return -ENOMEM;
	}
	if (question->version_max)
		exchange->request->version_max = question->version_max;
	peer_send(&broker->peers[BROKER_MAIN], exchange->request, timeout_ms);
	int rc = client_wait(client, -1, exchange_finished, exchange);
	if (!exchange->done) {
		exchange->abandoned = true;
		return rc;
	}
	*ret = exchange;
	return 0;
}

static int where(struct sluice_client *client, const struct question *question, unsigned attempt,
		 struct broker **ret)
{
	struct broker *controller = cluster_broker(client, client->cluster.controller);
	int32_t id = question->broker ? *question->broker : CLIENT_NOBODY;

	if (question->group) {
		int rc = question_coordinator(client, question->group, &id);
		if (rc < 0)
			return rc;
	}
	if (question->broker || question->group)
		*ret = cluster_broker(client, id);
	else if (question->controller && controller && attempt == 0)
		*ret = controller;
	else
		*ret = cluster_any(client, attempt);
	return *ret ? 0 : client_fail(client, -ENOENT, "no broker %d is known", id);
}

static int never(struct sluice_client *client, void *user)
{
	return 0;
}

int question_pause(struct sluice_client *client)
{
	int rc = client_wait(client, PAUSE_MS, never, NULL);

	return rc == -ETIMEDOUT ? 0 : rc;
}

static int read_answer(struct sluice_client *client, const struct question *question,
		       struct exchange *exchange)
{
	struct kafka_string message = {0};
	int rc = exchange->rc < 0 ? client_error_of(exchange->rc)
				  : question->read(exchange->request, question->user, &message);

	if (rc == 0)
		return 0;
	if (exchange->rc < 0) {
		const struct url *url = &exchange->request->peer->url;
		return client_fail(client, rc, "%s://%s:%d: %s", url->scheme, url->host, url->port,
				   sluice_error_text(rc));
	}
	if (message.length > 0)
		return client_fail(client, rc, "%s %s: %s: %.*s", question->what, question->about,
				   sluice_error_text(rc), (int)message.length, message.data);
	return client_fail(client, rc, "%s %s: %s", question->what, question->about,
			   sluice_error_text(rc));
}

static bool worth_another(int rc, bool answered, unsigned attempt,
			  const struct sluice_client *client)
{
	if (answered)
		return rc == -SLUICE_KAFKA(41) ||
		       rc == -SLUICE_KAFKA(KAFKA_NOT_LEADER_OR_FOLLOWER) ||
		       rc == -SLUICE_KAFKA(KAFKA_NOT_COORDINATOR) ||
		       rc == -SLUICE_KAFKA(KAFKA_COORDINATOR_NOT_AVAILABLE) ||
		       rc == -SLUICE_KAFKA(KAFKA_COORDINATOR_LOAD_IN_PROGRESS) ||
		       rc == -SLUICE_KAFKA(KAFKA_LEADER_NOT_AVAILABLE);
	return client_retriable(rc) && attempt + 1 < cluster_address_count(client);
}

int question_ask(struct sluice_client *client, const struct question *question)
{
	uint64_t deadline_ns = client_deadline(client->options.api_timeout_ms);
	unsigned unreachable = 0;
	unsigned attempt = 0;

	if (client->depth > 0)
		return -EDEADLK;
	for (;;) {
		struct exchange *exchange = NULL;
		uint64_t now_ns = loop_now();
		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		int64_t left_ms = (int64_t)((deadline_ns - now_ns) / NS_PER_MS) + 1;
		if (left_ms > client->options.request_timeout_ms)
			left_ms = client->options.request_timeout_ms;
		struct broker *broker;
		int rc = where(client, question, attempt, &broker);
		if (rc == 0)
			rc = ask_once(client, question, broker, left_ms, &exchange);
		if (!exchange)
			return rc;
		bool answered = exchange->rc == 0;
		rc = read_answer(client, question, exchange);
		exchange_free(exchange);
		if (rc == 0 || !worth_another(rc, answered, unreachable, client))
			return rc;
		unreachable += !answered;
		attempt++;
		if (answered) {
			rc = question_pause(client);
			if (rc < 0)
				return rc;
		}
	}
}

/* ---- coordinators ---- */

struct coordinator_question {
	struct sluice_client *client;
	const char *group;
	int32_t ret;
};

static int coordinator_fill(struct request *request, void *user)
{
	const struct coordinator_question *question = user;
	struct kafka_find_coordinator_request *message = request->message;

	message->key = kafka_string_of(question->group);
	message->key_type = COORDINATOR_OF_GROUP;
	return 0;
}

static int coordinator_read(struct request *request, void *user, struct kafka_string *message)
{
	struct coordinator_question *question = user;
	const struct kafka_find_coordinator_response *response = request->response;

	*message = response->error_message;
	if (response->error_code)
		return client_kafka_error(response->error_code);
	question->ret = response->node_id;
	return cluster_take_broker(question->client, response->node_id, &response->host,
				   response->port);
}

int question_coordinator(struct sluice_client *client, const char *group, int32_t *ret)
{
	struct coordinator_question user = {.client = client, .group = group};
	const struct question question = {
		.api = KAFKA_FIND_COORDINATOR,
		.version_max = FIND_COORDINATOR_VERSION_MAX,
		.fill = coordinator_fill,
		.read = coordinator_read,
		.user = &user,
		.what = "coordinator of group",
		.about = group,
	};
	int rc = question_ask(client, &question);

	if (rc == 0)
		*ret = user.ret;
	return rc;
}

/* ---- copying answers out ---- */

/* Stands before what the user gets. */
struct answer {
	struct arena arena;
};

void *answer_new(size_t size)
{
	struct arena arena;

	arena_init(&arena, ANSWER_ARENA_BYTES);
	struct answer *answer = arena_calloc(&arena, 1, sizeof(*answer) + size);
	if (!answer)
		return NULL;
	answer->arena = arena;
	return answer + 1;
}

struct arena *answer_arena(void *contents)
{
	return &((struct answer *)contents - 1)->arena;
}

void answer_free(void *contents)
{
	if (!contents)
		return;
	struct arena arena = *answer_arena(contents);
	arena_fini(&arena);
}

const char *answer_text(struct arena *arena, const struct kafka_string *text, bool *failed)
{
	if (text->length < 0)
		return NULL;
	const char *copy = arena_strndup(arena, text->data, (size_t)text->length);
	*failed = *failed || !copy;
	return copy;
}

int32_t *answer_ids(struct arena *arena, const int32_t *ids, int32_t count, bool *failed)
{
	size_t length = count > 0 ? (size_t)count : 0;
	int32_t *copy = arena_calloc(arena, length, sizeof(*copy));

	*failed = *failed || !copy;
	if (copy && length > 0)
		memcpy(copy, ids, length * sizeof(*copy));
	return copy;
}
