/* Records in, callbacks out.  A record goes straight into its partition's open batch, encoded; or
 * is parked with its topic until the partitions are known.
 *
 * Callbacks run in producer_deliver only, at the end of a turn: whatever a callback does, no list
 * is being walked meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/uuid.h"
#include "storage/compressor.h"
#include "client/partitioner.h"
#include "client/producer_internal.h"

enum {
	UNKNOWN_PARTITION = -SLUICE_KAFKA(3),
	DELIVERIES_FIRST = 16,
	BATCH_OVERHEAD_BYTES = 96, /* header and what a record costs beside its bytes, about */
	TAKEN_A_TURN = 64, /* records between two looks at the sockets, for a busy producer */
};

/* A record that waits for its topic's partitions; everything it points to follows it. */
struct parked {
	struct list link; /* topic.parked, or producer.doomed */
	struct topic *topic;
	struct sluice_record record;
	struct delivery delivery;
	size_t charged;
	uint64_t deadline_ns;
	int error;
};

/* ---- batches ---- */

static void batch_free(struct produce_batch *batch)
{
	batch_build_fini(&batch->builder);
	free(batch->deliveries);
	free(batch->timestamps_ms);
	free(batch);
}

static struct produce_batch *batch_new(struct sluice_client *client, struct partition *partition)
{
	struct produce_batch *batch = calloc(1, sizeof(*batch));
	uint64_t now_ns = loop_now();

	if (!batch)
		return NULL;
	batch->partition = partition;
	batch->number = partition->next_number++;
	batch->linger_until_ns = now_ns + (uint64_t)client->options.linger_ms * NS_PER_MS;
	batch->deadline_ns = now_ns + (uint64_t)client->options.delivery_timeout_ms * NS_PER_MS;
	batch->sequence = -1;
	batch->base_offset = -1;
	batch->append_time_ms = -1;
	return batch;
}

static int grow_deliveries(struct produce_batch *batch)
{
	if (batch->builder.count < batch->delivery_capacity)
		return 0;
	int32_t capacity = batch->delivery_capacity ? batch->delivery_capacity * 2
						    : DELIVERIES_FIRST;
	struct delivery *deliveries = realloc(batch->deliveries,
					      (size_t)capacity * sizeof(*deliveries));
	if (!deliveries)
		return -ENOMEM;
	batch->deliveries = deliveries;
	int64_t *timestamps = realloc(batch->timestamps_ms, (size_t)capacity * sizeof(*timestamps));
	if (!timestamps)
		return -ENOMEM;
	batch->timestamps_ms = timestamps;
	batch->delivery_capacity = capacity;
	return 0;
}

static int batch_add(struct produce_batch *batch, const struct sluice_record *record,
		     const struct delivery *delivery, size_t charged)
{
	int64_t timestamp_ms = record->timestamp_ms ? record->timestamp_ms
						    : clock_wall_ms(clock_system());
	int32_t index = batch->builder.count;
	int rc = grow_deliveries(batch);

	if (rc == 0)
		rc = builder_add(&batch->builder, record, timestamp_ms);
	if (rc < 0)
		return rc;
	batch->deliveries[index] = *delivery;
	batch->timestamps_ms[index] = timestamp_ms;
	batch->charged += charged;
	return 0;
}

void produce_batch_enqueue(struct produce_batch *batch)
{
	struct list *before = batch->partition->ready.prev;

	/* From the end: a new one is the last, one that comes back is among the first. */
	while (before != &batch->partition->ready &&
	       container_of(before, struct produce_batch, link)->number > batch->number)
		before = before->prev;
	list_push_front(before, &batch->link);
}

static void close_open(struct partition *partition)
{
	struct produce_batch *batch = partition->open;

	partition->open = NULL;
	produce_batch_enqueue(batch);
}

void produce_batch_decide(struct sluice_client *client, struct produce_batch *batch, int error)
{
	if (error)
		client_fail(client, error, "%s/%d: %d records not delivered: %s",
			    batch->partition->topic->name, batch->partition->index,
			    batch->builder.count, sluice_error_text(client_error_of(error)));
	/* What comes after it would be out of sequence. */
	if (error && batch->sequence >= 0)
		client->producer.renew_id = true;
	batch->error = client_error_of(error);
	list_push_back(&client->producer.decided, &batch->link);
}

/* ---- choosing a partition ---- */

static int32_t random_partition(struct sluice_client *client, const struct topic *topic)
{
	uint64_t random = partitioner_random(&client->producer.random);
	int32_t first = (int32_t)(random % (uint64_t)topic->partition_count);

	/* The next one that has a leader. */
	for (int32_t i = 0; i < topic->partition_count; i++) {
		int32_t index = (first + i) % topic->partition_count;
		if (topic->partitions[index]->leader != CLIENT_NOBODY)
			return index;
	}
	return first;
}

/* One partition for a batch's worth of bytes, then another (KIP-794 without its weights). */
static int32_t sticky_partition(struct sluice_client *client, struct topic *topic, size_t bytes)
{
	if (topic->sticky < 0 || topic->sticky >= topic->partition_count ||
	    topic->sticky_bytes >= client->options.batch_bytes ||
	    topic->partitions[topic->sticky]->leader == CLIENT_NOBODY) {
		topic->sticky = random_partition(client, topic);
		topic->sticky_bytes = 0;
	}
	topic->sticky_bytes += (int64_t)bytes;
	return topic->sticky;
}

static int choose(struct sluice_client *client, struct topic *topic,
		  const struct sluice_record *record, struct partition **ret)
{
	int32_t index = record->partition;

	if (index == SLUICE_PARTITION_ANY && record->key)
		index = sluice_partition_of_key(record->key, record->key_length,
						topic->partition_count);
	else if (index == SLUICE_PARTITION_ANY)
		index = sticky_partition(client, topic, record->value_length);
	if (index >= topic->partition_count) {
		cluster_refresh(client, topic);
		client_fail(client, UNKNOWN_PARTITION,
			    "topic '%s' has %d partitions, and no partition %d", topic->name,
			    topic->partition_count, index);
		return UNKNOWN_PARTITION;
	}
	*ret = topic->partitions[index];
	return 0;
}

/* ---- accepting ---- */

static int append(struct sluice_client *client, struct partition *partition,
		  const struct sluice_record *record, const struct delivery *delivery,
		  size_t charged)
{
	size_t room = (size_t)client->options.batch_bytes;
	size_t bytes = charged - BATCH_OVERHEAD_BYTES;

	if (partition->open && partition->open->builder.size + bytes > room)
		close_open(partition);
	if (!partition->open) {
		partition->open = batch_new(client, partition);
		client->producer.awake = true;
	}
	if (!partition->open)
		return -ENOMEM;
	int rc = batch_add(partition->open, record, delivery, charged);
	if (rc < 0 && partition->open->builder.count == 0) {
		batch_free(partition->open);
		partition->open = NULL;
	}
	if (rc < 0)
		return rc;
	if (!list_linked(&partition->active))
		list_push_back(&client->producer.active, &partition->active);
	if (partition->open->builder.size >= room) {
		close_open(partition);
		client->producer.awake = true;
	}
	return 0;
}

/* Copies `length` bytes to *at, which moves on; null stays null. */
static const void *keep(uint8_t **at, const void *data, size_t length)
{
	if (!data)
		return NULL;
	void *kept = memcpy(*at, data, length);
	*at += length;
	return kept;
}

static int park(struct sluice_client *client, struct topic *topic,
		const struct sluice_record *record, const struct delivery *delivery, size_t charged)
{
	size_t headers = record->header_count * sizeof(*record->headers);
	/* `charged` is more than all the bytes that the record points to. */
	struct parked *parked = calloc(1, sizeof(*parked) + headers + charged);

	if (!parked)
		return -ENOMEM;
	struct sluice_header *kept = (struct sluice_header *)(parked + 1);
	uint8_t *at = (uint8_t *)kept + headers;
	parked->topic = topic;
	parked->delivery = *delivery;
	parked->charged = charged;
	parked->deadline_ns = client_deadline(client->options.delivery_timeout_ms);
	parked->record = *record;
	parked->record.topic = topic->name;
	parked->record.key = keep(&at, record->key, record->key_length);
	parked->record.value = keep(&at, record->value, record->value_length);
	if (!record->timestamp_ms)
		parked->record.timestamp_ms = clock_wall_ms(clock_system());
	for (size_t i = 0; i < record->header_count; i++) {
		kept[i] = record->headers[i];
		kept[i].name = keep(&at, record->headers[i].name, record->headers[i].name_length);
		kept[i].value = keep(&at, record->headers[i].value,
				     record->headers[i].value_length);
	}
	parked->record.headers = kept;
	list_push_back(&topic->parked, &parked->link);
	client->producer.awake = true;
	return 0;
}

static int accept_record(struct sluice_client *client, const struct sluice_record *record,
			 const struct delivery *delivery, size_t charged)
{
	struct partition *partition;
	struct topic *topic;
	int rc = cluster_topic(client, record->topic, &topic);

	if (rc < 0)
		return rc;
	if (topic->error)
		return client_fail(client, topic->error, "topic '%s': %s", topic->name,
				   sluice_error_text(topic->error));
	/* Behind those that wait already, for the order's sake. */
	if (topic->partition_count == 0 || !list_empty(&topic->parked))
		return park(client, topic, record, delivery, charged);
	rc = choose(client, topic, record, &partition);
	return rc < 0 ? rc : append(client, partition, record, delivery, charged);
}

static int check_record(const struct sluice_record *record)
{
	if (!record->topic || record->partition < SLUICE_PARTITION_ANY || record->timestamp_ms < 0)
		return -EINVAL;
	for (size_t i = 0; i < record->header_count; i++) {
		if (!record->headers[i].name)
			return -EINVAL;
	}
	return 0;
}

int sluice_produce(struct sluice_client *client, const struct sluice_record *record,
		   sluice_delivered *delivered, void *user)
{
	struct producer *producer = &client->producer;
	struct delivery delivery = {.done = delivered, .user = user};

	if (client->closing)
		return -ECANCELED;
	int rc = check_record(record);
	if (rc < 0)
		return rc;
	size_t charged = builder_record_bytes(record);
	if (charged > (size_t)client->options.request_bytes_max)
		return client_fail(client, -EMSGSIZE,
				   "a record of %zu bytes is above max.request.size", charged);
	charged += BATCH_OVERHEAD_BYTES;
	if (producer->memory_used + charged > (size_t)client->options.memory_bytes)
		return -EAGAIN;
	rc = accept_record(client, record, &delivery, charged);
	if (rc < 0)
		return client_error_of(rc);
	producer->memory_used += charged;
	producer->undelivered++;
	if (producer->awake) {
		producer->awake = false;
		client_pump(client);
	}
	return 0;
}

/* ---- the calls that wait ---- */

static int memory_there(struct sluice_client *client, void *user)
{
	const size_t *needed = user;

	return client->producer.memory_used + *needed <= (size_t)client->options.memory_bytes;
}

int sluice_produce_wait(struct sluice_client *client, const struct sluice_record *record,
			int timeout_ms, sluice_delivered *delivered, void *user)
{
	if (client->depth > 0)
		return -EDEADLK;
	if (++client->producer.since_turn >= TAKEN_A_TURN) {
		client->producer.since_turn = 0;
		int turned = sluice_process(client, 0);
		if (turned < 0)
			return turned;
	}
	int rc = sluice_produce(client, record, delivered, user);
	if (rc != -EAGAIN)
		return rc;
	size_t needed = builder_record_bytes(record) + BATCH_OVERHEAD_BYTES;
	client->producer.flushing++;
	rc = client_wait(client, timeout_ms, memory_there, &needed);
	client->producer.flushing--;
	return rc < 0 ? rc : sluice_produce(client, record, delivered, user);
}

struct sync_delivery {
	bool done;
	bool abandoned; /* the caller was interrupted: freed by the delivery */
	struct sluice_delivery result;
};

static void sync_delivered(void *user, const struct sluice_delivery *delivery)
{
	struct sync_delivery *sync = user;

	sync->done = true;
	sync->result = *delivery;
	if (sync->abandoned)
		free(sync);
}

static int sync_finished(struct sluice_client *client, void *user)
{
	const struct sync_delivery *sync = user;

	return sync->done;
}

static int wait_for_delivery(struct sluice_client *client, struct sync_delivery *sync,
			     struct sluice_delivery *ret)
{
	int rc = client_wait(client, -1, sync_finished, sync);

	if (!sync->done) {
		sync->abandoned = true;
		return rc;
	}
	if (ret)
		*ret = sync->result;
	rc = sync->result.error;
	free(sync);
	return rc;
}

int sluice_produce_sync(struct sluice_client *client, const struct sluice_record *record,
			struct sluice_delivery *ret)
{
	struct sync_delivery *sync = calloc(1, sizeof(*sync));

	if (!sync)
		return -ENOMEM;
	client->producer.flushing++;
	int rc = sluice_produce_wait(client, record, -1, sync_delivered, sync);
	if (rc < 0)
		free(sync);
	else
		rc = wait_for_delivery(client, sync, ret);
	client->producer.flushing--;
	return rc;
}

static int all_delivered(struct sluice_client *client, void *user)
{
	return client->producer.undelivered == 0;
}

int sluice_flush(struct sluice_client *client, int timeout_ms)
{
	if (client->depth > 0)
		return -EDEADLK;
	list_foreach(node, &client->producer.active) {
		struct partition *partition = container_of(node, struct partition, active);
		if (partition->open)
			close_open(partition);
	}
	client->producer.flushing++;
	int rc = client_wait(client, timeout_ms, all_delivered, NULL);
	client->producer.flushing--;
	return rc < 0 ? rc : 0;
}

size_t sluice_undelivered(const struct sluice_client *client)
{
	return client->producer.undelivered;
}

/* ---- pumping ---- */

static void doom(struct sluice_client *client, struct parked *parked, int error)
{
	list_remove(&parked->link);
	parked->error = error;
	list_push_back(&client->producer.doomed, &parked->link);
}

void producer_topic_changed(struct sluice_client *client, struct topic *topic)
{
	struct partition *partition;
	struct list *node;

	if (!topic->error && topic->partition_count == 0)
		return;
	while ((node = list_pop_front(&topic->parked))) {
		struct parked *parked = container_of(node, struct parked, link);
		int rc = topic->error;
		if (!rc)
			rc = choose(client, topic, &parked->record, &partition);
		if (!rc)
			rc = append(client, partition, &parked->record, &parked->delivery,
				    parked->charged);
		if (rc) {
			doom(client, parked, client_error_of(rc));
			continue;
		}
		free(parked);
	}
}

/* Could the partition's open batch not leave yet if it were closed?  It may as well grow then:
 * small ones would queue, each to wait for a round trip of its own where requests overtake one
 * another, and hold the memory that others wait for. */
static bool waits_anyway(struct sluice_client *client, struct partition *partition)
{
	if (!list_empty(&partition->ready))
		return true;
	if (partition->in_flight == 0)
		return false;
	if (client->options.linger_ms == 0 && !client->producer.flushing)
		return true;
	const struct broker *broker = cluster_leader(client, partition);
	return !broker || !broker->peers[BROKER_MAIN].ops->ordered;
}

/* Closes what has waited long enough; returns when the rest has.  What waits for more than time is
 * looked at again when an answer comes. */
static uint64_t close_lingered(struct sluice_client *client, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	list_foreach(node, &client->producer.active) {
		struct partition *partition = container_of(node, struct partition, active);
		struct produce_batch *batch = partition->open;
		if (!batch)
			continue;
		if (client->producer.flushing || batch->linger_until_ns <= now_ns) {
			if (!waits_anyway(client, partition))
				close_open(partition);
		} else if (batch->linger_until_ns < next_ns) {
			next_ns = batch->linger_until_ns;
		}
	}
	return next_ns;
}

static uint64_t expire_batches(struct sluice_client *client, struct partition *partition,
			       uint64_t now_ns)
{
	while (!list_empty(&partition->ready)) {
		struct produce_batch *batch = container_of(partition->ready.next,
							   struct produce_batch, link);
		if (batch->deadline_ns > now_ns)
			return batch->deadline_ns;
		list_remove(&batch->link);
		produce_batch_decide(client, batch, -ETIMEDOUT);
	}
	return UINT64_MAX;
}

static uint64_t expire_parked(struct sluice_client *client, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	list_foreach(node, &client->cluster.topics) {
		struct topic *topic = container_of(node, struct topic, link);
		while (!list_empty(&topic->parked)) {
			struct parked *parked = container_of(topic->parked.next, struct parked,
							     link);
			if (parked->deadline_ns > now_ns) {
				if (parked->deadline_ns < next_ns)
					next_ns = parked->deadline_ns;
				break;
			}
			doom(client, parked, -ETIMEDOUT);
		}
	}
	return next_ns;
}

static uint64_t expire(struct sluice_client *client, uint64_t now_ns)
{
	uint64_t next_ns = expire_parked(client, now_ns);

	list_foreach_safe(node, after, &client->producer.active) {
		struct partition *partition = container_of(node, struct partition, active);
		uint64_t at_ns = expire_batches(client, partition, now_ns);
		if (at_ns < next_ns)
			next_ns = at_ns;
		if (!partition->open && !partition->in_flight && list_empty(&partition->ready))
			list_remove(&partition->active);
	}
	return next_ns;
}

void producer_pump(struct sluice_client *client)
{
	struct producer *producer = &client->producer;

	if (producer->undelivered == 0)
		return;
	uint64_t now_ns = loop_now();
	uint64_t next_ns = close_lingered(client, now_ns);
	uint64_t at_ns = expire(client, now_ns);
	next_ns = at_ns < next_ns ? at_ns : next_ns;
	at_ns = produce_send(client, now_ns);
	next_ns = at_ns < next_ns ? at_ns : next_ns;
	/* Decided in a call that must not run callbacks: the next turn does. */
	if (client->depth == 0 &&
	    (!list_empty(&producer->decided) || !list_empty(&producer->doomed)))
		next_ns = 0;
	if (next_ns != producer->timer.due_ns || !producer->timer.place)
		loop_arm(&client->loop, &producer->timer, next_ns);
}

static void timer_expired(struct timer *timer)
{
	/* The pump that follows every turn does the work. */
}

/* ---- callbacks ---- */

static void deliver_batch(struct sluice_client *client, struct produce_batch *batch)
{
	struct sluice_delivery told = {
		.error = batch->error,
		.topic = batch->partition->topic->name,
		.partition = batch->partition->index,
	};

	client->producer.memory_used -= batch->charged;
	client->producer.undelivered -= (size_t)batch->builder.count;
	for (int32_t i = 0; i < batch->builder.count; i++) {
		told.offset = batch->base_offset < 0 ? -1 : batch->base_offset + i;
		told.timestamp_ms = batch->append_time_ms < 0 ? batch->timestamps_ms[i]
							      : batch->append_time_ms;
		if (batch->deliveries[i].done)
			batch->deliveries[i].done(batch->deliveries[i].user, &told);
	}
	batch_free(batch);
}

static void deliver_parked(struct sluice_client *client, struct parked *parked)
{
	struct sluice_delivery told = {
		.error = parked->error,
		.topic = parked->topic->name,
		.partition = parked->record.partition,
		.offset = -1,
		.timestamp_ms = parked->record.timestamp_ms,
	};

	client->producer.memory_used -= parked->charged;
	client->producer.undelivered--;
	if (parked->delivery.done)
		parked->delivery.done(parked->delivery.user, &told);
	free(parked);
}

void producer_deliver(struct sluice_client *client)
{
	struct producer *producer = &client->producer;
	struct list *node;

	while ((node = list_pop_front(&producer->doomed)))
		deliver_parked(client, container_of(node, struct parked, link));
	while ((node = list_pop_front(&producer->decided)))
		deliver_batch(client, container_of(node, struct produce_batch, link));
}

/* ---- beginning and end ---- */

void producer_init(struct sluice_client *client)
{
	struct producer *producer = &client->producer;
	struct uuid seed = uuid_random();

	list_init(&producer->active);
	list_init(&producer->decided);
	list_init(&producer->doomed);
	producer->timer.expired = timer_expired;
	producer->producer_id = -1;
	producer->producer_epoch = -1;
	memcpy(&producer->random, seed.bytes, sizeof(producer->random));
}

int producer_start(struct sluice_client *client)
{
	if (client->options.codec == CODEC_NONE)
		return 0;
	return compressor_new(&client->producer.compressor, (enum batch_codec)client->options.codec,
			      (int)client->options.level);
}

static void cancel(struct sluice_client *client, struct partition *partition)
{
	struct list *node;

	if (partition->open)
		close_open(partition);
	while ((node = list_pop_front(&partition->ready)))
		produce_batch_decide(client, container_of(node, struct produce_batch, link),
				     -ECANCELED);
}

void producer_fini(struct sluice_client *client)
{
	struct list *node;

	list_foreach(topic_node, &client->cluster.topics) {
		struct topic *topic = container_of(topic_node, struct topic, link);
		while (!list_empty(&topic->parked))
			doom(client, container_of(topic->parked.next, struct parked, link),
			     -ECANCELED);
	}
	while ((node = list_pop_front(&client->producer.active)))
		cancel(client, container_of(node, struct partition, active));
	producer_deliver(client);
	loop_disarm(&client->loop, &client->producer.timer);
	compressor_free(client->producer.compressor);
	check(client->producer.undelivered == 0);
}
