/* From a changed catalog to every shard and the coordinator knowing it.
 *
 *     catalog changes ──> publish_changes ──> picture ──> every shard (shard_publish)
 *                          │ one under way: `changed`,        │ opens, closes, sends it back
 *                          └ published when it is over        v
 *                                             all back: ──> the coordinator, which sends it back
 *                                                                         v
 *                                   it is current, the former is freed, requests are answered
 *
 * So a client that has been told "created" finds the topic on every shard, and so does the
 * coordinator, which writes to one of them. */
#include "control/control_internal.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/message.h"
#include "dataplane/topics.h"
#include "kafka_messages.h"

#include <stdlib.h>

struct waiting {
	struct list link;
	struct control_request *request;
};

static void start(struct control *control);

/* First failure of a new topic among the shards; 0: none. */
static int failure(const struct control *control, const char **ret_why)
{
	for (unsigned i = 0; i < control->shard_count; i++) {
		if (control->publishes[i].rc < 0) {
			*ret_why = control->publishes[i].why;
			return control->publishes[i].rc;
		}
	}
	return 0;
}

static void answer_waiting(struct control *control)
{
	const char *why = "";
	int rc = failure(control, &why);
	struct list *node;

	while ((node = list_pop_front(&control->waiting_coming))) {
		struct control_request *request = container_of(node, struct waiting, link)->request;
		if (rc < 0 && request->api->key == KAFKA_CREATE_TOPICS)
			admin_create_topics_undo(control, request, rc, why);
		requests_answer(control, request);
	}
}

static void is_ready(struct control *control)
{
	control->ready = true;
	atomic_store_explicit(&control->serves, !control->stopping, memory_order_relaxed);
	log_milestone("control",
		      "ready listen=%s:%u datagrams=%u shards=%u io=%s topics=%zu "
		      "partitions=%lld",
		      control->advertised.host, control->advertised.port, control->datagram_port,
		      control->shard_count, shard_backend_name(control->shards[0]),
		      catalog_topic_count(control->catalog),
		      (long long)catalog_partition_count(control->catalog));
}

static void published(struct message *message, void *receiver)
{
	struct control *control = receiver;

	(void)message;
	control->publishes_out--;
	picture_free(control->current);
	control->current = control->coming;
	control->coming = NULL;
	answer_waiting(control);
	if (!control->ready)
		is_ready(control);
	if (control->changed)
		start(control);
}

static void send_publish(struct control *control, struct shard_publish *publish, unsigned to,
			 void (*handle)(struct message *message, void *receiver),
			 void (*back)(struct message *message, void *receiver))
{
	*publish = (struct shard_publish){
		.message.handle = handle,
		.published = back,
		.topics = control->coming,
		.new_from = control->published_number,
	};
	control->publishes_out++;
	mesh_send(control->mesh, mesh_control(control->mesh), to, &publish->message);
}

static void opened(struct message *message, void *receiver)
{
	struct control *control = receiver;

	(void)message;
	if (--control->publishes_out == 0)
		send_publish(control, &control->publishes[control->shard_count],
			     mesh_coordinator(control->mesh), coordinator_publish_handle,
			     published);
}

static void start(struct control *control)
{
	control->version++;
	control->coming = picture_new(control);
	if (!control->coming) {
		/* Every turn tries it again. */
		if (!control->waits_for_memory)
			log_warn("control", "changes of the catalog wait for memory");
		control->waits_for_memory = true;
		return;
	}
	control->waits_for_memory = false;
	control->changed = false;
	while (!list_empty(&control->waiting_next))
		list_push_back(&control->waiting_coming, list_pop_front(&control->waiting_next));
	for (unsigned i = 0; i < control->shard_count; i++)
		send_publish(control, &control->publishes[i], i, shard_publish_handle, opened);
	control->published_number = catalog_next_number(control->catalog);
}

void publish_changes(struct control *control)
{
	control->changed = true;
	publish_turn(control);
}

void publish_turn(struct control *control)
{
	if (control->changed && !control->publishes_out)
		start(control);
}

void publish_then_answer(struct control *control, struct control_request *request)
{
	struct waiting *waiting = arena_calloc(request->arena, 1, sizeof(*waiting));

	if (!waiting) {
		/* Done and durable; only the wait is lost. */
		publish_changes(control);
		requests_answer(control, request);
		return;
	}
	waiting->request = request;
	list_push_back(&control->waiting_next, &waiting->link);
	publish_changes(control);
}

void publish_free(struct control *control)
{
	picture_free(control->current);
	picture_free(control->coming);
}
