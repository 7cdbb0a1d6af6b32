/* libsluice hands one pointer to a delivery, so what a producer has under way lies in a pool of
 * slots, as many as its window has. */
#include "bench/suite/driver_sluice.h"

#include "bench/suite/driver_common.h"
#include "bench/suite/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SPIN_US_MAX = 1000 };

struct slot {
	struct driver_producer *producer;
	uint64_t tag;
	struct slot *next; /* free too */
};

struct driver_producer {
	struct sluice_client *client;
	driver_delivered *delivered;
	void *context;
	bool dedup;
	bool spins;       /* over a port of DPDK, which is asked for what has come */
	size_t under_way; /* records */
	int ran;          /* callbacks in this call */
	int complained;   /* an outage is one sentence, not one a record */
	struct slot *free_slots;
	size_t fresh; /* slots from here on were never taken, and their memory never touched */
	size_t window;
	struct slot slots[];
};

/* Null: the window is full. */
static struct slot *slot_get(struct driver_producer *producer)
{
	struct slot *slot = producer->free_slots;

	if (slot)
		producer->free_slots = slot->next;
	else if (producer->fresh < producer->window)
		slot = &producer->slots[producer->fresh++];
	if (slot)
		producer->under_way++;
	return slot;
}

static void slot_put(struct slot *slot)
{
	slot->next = slot->producer->free_slots;
	slot->producer->free_slots = slot;
	slot->producer->under_way--;
}

static void complain_once(struct driver_producer *producer, int error)
{
	if (error && error != producer->complained)
		driver_complain(&driver_sluice, "not delivered: %s", sluice_error_text(error));
	producer->complained = error ? error : producer->complained;
}

static void record_delivered(void *user, const struct sluice_delivery *delivery)
{
	struct slot *slot = user;
	struct driver_producer *producer = slot->producer;
	uint64_t tag = slot->tag;

	slot_put(slot);
	producer->ran++;
	complain_once(producer, delivery->error);
	producer->delivered(producer->context, tag, native_rc(delivery->error));
}

/* So that it is connected, and a broker that is not there is known now. */
static int connect_now(struct sluice_client *client)
{
	struct sluice_metadata *metadata;
	const char *none = NULL;
	int rc = sluice_metadata(client, &none, 0, &metadata);

	if (rc < 0)
		return native_complain(client, "connection", rc);
	sluice_metadata_free(metadata);
	return 0;
}

int native_producer_new(const struct driver_target *target, driver_delivered *delivered,
			void *context, struct driver_producer **ret)
{
	size_t window = target->window ? target->window : WINDOW_CAPACITY_DEFAULT;
	struct driver_producer *producer = calloc(1,
						  sizeof(*producer) + window * sizeof(struct slot));

	if (!producer)
		return -ENOMEM;
	producer->delivered = delivered;
	producer->context = context;
	producer->dedup = target->dedup;
	producer->spins = strncmp(target->url, "dpdk:", 5) == 0;
	producer->window = window;
	int rc = native_client_new(target, target->url, &producer->client);
	if (rc == 0)
		rc = connect_now(producer->client);
	if (rc < 0) {
		sluice_close(producer->client);
		free(producer);
		return rc;
	}
	*ret = producer;
	return 0;
}

int native_produce(struct driver_producer *producer, const struct driver_record *record,
		   uint64_t tag)
{
	struct slot *slot = slot_get(producer);
	const struct sluice_header id = {.name = "dedup-id",
					 .name_length = 8,
					 .value = &record->id,
					 .value_length = sizeof(record->id)};
	struct sluice_record told = {
		.topic = record->topic,
		.partition = record->partition < 0 ? SLUICE_PARTITION_ANY : record->partition,
		.key = record->key,
		.key_length = record->key_bytes,
		.value = record->value,
		.value_length = record->value_bytes,
	};

	if (!slot)
		return -EAGAIN;
	if (producer->dedup) {
		told.headers = &id;
		told.header_count = 1;
	}
	slot->producer = producer;
	slot->tag = tag;
	int rc = sluice_produce(producer->client, &told, record_delivered, slot);
	if (rc < 0)
		slot_put(slot);
	if (rc < 0 && rc != -EAGAIN)
		return native_complain(producer->client, "produce", rc);
	return rc;
}

/* Its descriptor would only tell when the next look is due, and answers come sooner. */
static int spin(struct driver_producer *producer, unsigned timeout_us)
{
	unsigned spin_us = timeout_us < SPIN_US_MAX ? timeout_us : SPIN_US_MAX;
	uint64_t end_us = driver_now_us() + spin_us;
	int rc = 0;

	while (rc >= 0 && !producer->ran && producer->under_way && driver_left_us(end_us))
		rc = sluice_process(producer->client, 0);
	return rc < 0 ? rc : 0;
}

int native_producer_poll(struct driver_producer *producer, unsigned timeout_us)
{
	int rc = 0;

	producer->ran = 0;
	if (producer->spins)
		rc = spin(producer, timeout_us);
	if (rc == 0 && !producer->ran && timeout_us)
		rc = driver_wait(sluice_fd(producer->client), POLLIN, timeout_us);
	if (rc >= 0)
		rc = sluice_process(producer->client, 0);
	if (rc < 0 && rc != -EINTR)
		return native_complain(producer->client, "poll", rc);
	return producer->ran;
}

int native_producer_flush(struct driver_producer *producer, unsigned timeout_ms)
{
	int rc = sluice_flush(producer->client, (int)timeout_ms);

	return rc < 0 && rc != -ETIMEDOUT ? native_complain(producer->client, "flush", rc) : rc;
}

void native_producer_free(struct driver_producer *producer)
{
	if (!producer)
		return;
	sluice_close(producer->client);
	free(producer);
}
