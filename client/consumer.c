/* Assigned partitions and the queue of what was fetched of them.  fetch_request.c fills the queue,
 * sluice_fetch empties it; max.partition.fetch.bytes bounds what one partition has in it. */
#include "client/consumer_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

struct assignment *consumer_find(const struct sluice_client *client, const char *topic,
				 int32_t partition)
{
	list_foreach(node, &client->consumer.assigned) {
		struct assignment *assignment = container_of(node, struct assignment, link);
		if (assignment->partition == partition &&
		    strcmp(assignment->topic->name, topic) == 0)
			return assignment;
	}
	return NULL;
}

void consumer_drop_fetched(struct sluice_client *client, struct assignment *assignment)
{
	list_foreach_safe(node, after, &client->consumer.fetched) {
		struct sluice_batch *batch = container_of(node, struct sluice_batch, link);
		if (batch->assignment != assignment)
			continue;
		list_remove(node);
		sluice_batch_free(batch);
	}
	assignment->queued_bytes = 0;
}

void consumer_look_up(struct assignment *assignment, int64_t look_up_ms)
{
	assignment->looking_up = true;
	assignment->asking = false;
	assignment->look_up_ms = look_up_ms;
	assignment->position = -1;
}

void consumer_trouble(struct sluice_client *client, struct assignment *assignment, int error)
{
	error = client_error_of(error);
	if (assignment->told == error)
		return;
	struct sluice_batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		return;
	client_fail(client, error, "%s/%d: %s", assignment->topic->name, assignment->partition,
		    sluice_error_text(error));
	assignment->told = error;
	batch->client = client;
	batch->assignment = assignment;
	batch->topic = assignment->topic;
	batch->partition = assignment->partition;
	batch->error = error;
	batch->high_watermark = -1;
	list_push_back(&client->consumer.fetched, &batch->link);
}

/* ---- assigning ---- */

static int assignment_new(struct sluice_client *client, const char *name, int32_t partition,
			  struct assignment **ret)
{
	struct topic *topic;
	int rc = partition < 0 ? -EINVAL : cluster_topic(client, name, &topic);

	if (rc < 0)
		return rc;
	struct assignment *assignment = calloc(1, sizeof(*assignment));
	if (!assignment)
		return -ENOMEM;
	assignment->topic = topic;
	assignment->partition = partition;
	list_push_back(&client->consumer.assigned, &assignment->link);
	*ret = assignment;
	return 0;
}

static void restart(struct sluice_client *client, struct assignment *assignment)
{
	consumer_drop_fetched(client, assignment);
	client->consumer.changed_ns = loop_now();
	assignment->generation++;
	assignment->told = 0;
	assignment->failures = 0;
	assignment->not_before_ns = 0;
	assignment->looking_up = false;
}

static int assign(struct sluice_client *client, const char *topic, int32_t partition,
		  struct assignment **ret)
{
	*ret = consumer_find(client, topic, partition);
	int rc = *ret ? 0 : assignment_new(client, topic, partition, ret);

	if (rc == 0)
		restart(client, *ret);
	return rc;
}

static void go_to(struct assignment *assignment, int64_t offset)
{
	if (offset < 0) {
		consumer_look_up(assignment, offset);
		return;
	}
	assignment->fetch_offset = offset;
	assignment->position = offset;
}

int sluice_assign(struct sluice_client *client, const char *topic, int32_t partition,
		  int64_t offset)
{
	struct assignment *assignment;

	if (offset < SLUICE_EARLIEST)
		return -EINVAL;
	int rc = assign(client, topic, partition, &assignment);
	if (rc < 0)
		return rc;
	go_to(assignment, offset);
	client_pump(client);
	return 0;
}

int sluice_assign_time(struct sluice_client *client, const char *topic, int32_t partition,
		       int64_t timestamp_ms)
{
	struct assignment *assignment;

	if (timestamp_ms < 0)
		return -EINVAL;
	int rc = assign(client, topic, partition, &assignment);
	if (rc < 0)
		return rc;
	consumer_look_up(assignment, timestamp_ms);
	client_pump(client);
	return 0;
}

static void assignment_free(struct sluice_client *client, struct assignment *assignment)
{
	consumer_drop_fetched(client, assignment);
	list_remove(&assignment->link);
	free(assignment);
}

int sluice_unassign(struct sluice_client *client, const char *topic, int32_t partition)
{
	struct assignment *assignment = consumer_find(client, topic, partition);

	if (!assignment)
		return -ENOENT;
	assignment_free(client, assignment);
	return 0;
}

int sluice_seek(struct sluice_client *client, const char *topic, int32_t partition, int64_t offset)
{
	struct assignment *assignment = consumer_find(client, topic, partition);

	if (offset < SLUICE_EARLIEST)
		return -EINVAL;
	if (!assignment)
		return -ENOENT;
	restart(client, assignment);
	go_to(assignment, offset);
	client_pump(client);
	return 0;
}

int sluice_pause(struct sluice_client *client, const char *topic, int32_t partition)
{
	struct assignment *assignment = consumer_find(client, topic, partition);

	if (!assignment)
		return -ENOENT;
	assignment->paused = true;
	return 0;
}

int sluice_resume(struct sluice_client *client, const char *topic, int32_t partition)
{
	struct assignment *assignment = consumer_find(client, topic, partition);

	if (!assignment)
		return -ENOENT;
	assignment->paused = false;
	client->consumer.changed_ns = loop_now();
	client_pump(client);
	return 0;
}

int sluice_position(const struct sluice_client *client, const char *topic, int32_t partition,
		    int64_t *ret)
{
	const struct assignment *assignment = consumer_find(client, topic, partition);

	if (!assignment)
		return -ENOENT;
	if (assignment->position < 0)
		return -EAGAIN;
	*ret = assignment->position;
	return 0;
}

/* ---- handing out ---- */

/* The oldest batch of a partition that is not paused; null: none. */
static struct sluice_batch *first_fetched(const struct sluice_client *client)
{
	list_foreach(node, &client->consumer.fetched) {
		struct sluice_batch *batch = container_of(node, struct sluice_batch, link);
		if (!batch->assignment->paused)
			return batch;
	}
	return NULL;
}

static int something_fetched(struct sluice_client *client, void *user)
{
	return first_fetched(client) != NULL;
}

static struct sluice_batch *hand_out(struct sluice_client *client)
{
	struct sluice_batch *batch = first_fetched(client);

	if (!batch)
		return NULL;
	struct assignment *assignment = batch->assignment;
	list_remove(&batch->link);
	batch->assignment = NULL;
	if (!batch->error) {
		assignment->queued_bytes -= batch->header.size;
		assignment->position = batch->header.base_offset + batch->header.last_offset_delta +
				       1;
	}
	return batch;
}

int sluice_fetch(struct sluice_client *client, int timeout_ms, struct sluice_batch **ret)
{
	struct sluice_batch *batch = hand_out(client);

	if (!batch && client->depth == 0) {
		int rc = client_wait(client, timeout_ms, something_fetched, NULL);
		if (rc < 0 && rc != -ETIMEDOUT)
			return rc;
		batch = hand_out(client);
	}
	if (!batch)
		return 0;
	/* There is room for more now. */
	consumer_pump(client);
	*ret = batch;
	return 1;
}

/* ---- pumping, beginning and end ---- */

void consumer_pump(struct sluice_client *client)
{
	struct consumer *consumer = &client->consumer;

	if (client->closing || list_empty(&consumer->assigned))
		return;
	uint64_t next_ns = fetch_send(client, loop_now());
	if (!consumer->timer.place || consumer->timer.due_ns != next_ns)
		loop_arm(&client->loop, &consumer->timer, next_ns);
}

static void timer_expired(struct timer *timer)
{
	/* The pump that follows every turn does the work. */
}

void consumer_init(struct sluice_client *client)
{
	list_init(&client->consumer.assigned);
	list_init(&client->consumer.fetched);
	list_init(&client->consumer.decompressors);
	client->consumer.timer.expired = timer_expired;
}

void consumer_fini(struct sluice_client *client)
{
	struct list *node;

	while ((node = list_pop_front(&client->consumer.assigned)))
		assignment_free(client, container_of(node, struct assignment, link));
	batch_decompressors_fini(client);
	loop_disarm(&client->loop, &client->consumer.timer);
}
