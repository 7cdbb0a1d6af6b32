#include "storage/producers.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <stdlib.h>

void producers_init(struct producers *producers, size_t max)
{
	*producers = (struct producers){.max = max};
	list_init(&producers->by_age);
}

void producers_clear(struct producers *producers)
{
	struct list *node;

	if (!producers->by_age.next)
		return;
	while ((node = list_pop_front(&producers->by_age)))
		free(container_of(node, struct producer, link));
	map64_fini(&producers->by_id);
	producers->by_id = (struct map64){0};
}

void producers_fini(struct producers *producers)
{
	producers_clear(producers);
	free(producers->spare);
	producers->spare = NULL;
}

size_t producers_count(const struct producers *producers)
{
	return producers->by_id.count;
}

static struct producer *find(const struct producers *producers, int64_t id)
{
	return map64_get(&producers->by_id, (uint64_t)id);
}

const struct producer *producers_find(const struct producers *producers, int64_t id)
{
	return find(producers, id);
}

/* ---- checking ---- */

/* INT32_MAX is followed by 0. */
static int32_t sequence_after(int32_t sequence, int32_t count)
{
	return (int32_t)(((uint32_t)sequence + (uint32_t)count) & INT32_MAX);
}

static int32_t last_sequence(const struct batch *batch)
{
	return sequence_after(batch->base_sequence, batch->last_offset_delta);
}

static bool remembered(const struct producer *producer, const struct batch *batch,
		       int64_t *ret_base_offset)
{
	for (unsigned i = 0; i < producer->batch_count; i++) {
		const struct producer_batch *known = &producer->batches[i];
		if (known->first_sequence != batch->base_sequence ||
		    known->last_sequence != last_sequence(batch))
			continue;
		*ret_base_offset = known->base_offset;
		return true;
	}
	return false;
}

static bool sequenced(const struct batch *batch)
{
	return batch->producer_id >= 0 && !(batch->attributes & BATCH_CONTROL);
}

int producers_check(const struct producers *producers, const struct batch *batch,
		    int64_t *ret_base_offset)
{
	const struct producer *producer;

	if (!sequenced(batch))
		return 0;
	producer = find(producers, batch->producer_id);
	if (!producer)
		return 0;
	if (batch->producer_epoch < producer->epoch)
		return -ERR_PRODUCER_EPOCH;
	if (batch->producer_epoch > producer->epoch)
		return batch->base_sequence == 0 ? 0 : -ERR_SEQUENCE;
	if (remembered(producer, batch, ret_base_offset))
		return 1;
	const struct producer_batch *last = &producer->batches[producer->newest];
	if (producer->batch_count && batch->base_sequence != sequence_after(last->last_sequence, 1))
		return -ERR_SEQUENCE;
	return 0;
}

/* ---- applying ---- */

static void forget(struct producers *producers, struct producer *producer)
{
	map64_remove(&producers->by_id, (uint64_t)producer->id);
	list_remove(&producer->link);
	free(producer);
}

int producers_reserve(struct producers *producers, const struct batch *batch)
{
	if (!sequenced(batch) || !producers->max || find(producers, batch->producer_id))
		return 0;
	if (!producers->spare)
		producers->spare = calloc(1, sizeof(*producers->spare));
	return producers->spare ? map64_reserve(&producers->by_id) : -ENOMEM;
}

void producers_forget_oldest(struct producers *producers)
{
	forget(producers, container_of(producers->by_age.next, struct producer, link));
	producers->evicted++;
}

static struct producer *add(struct producers *producers, int64_t id)
{
	struct producer *producer = producers->spare;

	check(producer);
	producers->spare = NULL;
	while (producers_count(producers) >= producers->max)
		producers_forget_oldest(producers);
	producer->id = id;
	list_init(&producer->link);
	check(map64_put(&producers->by_id, (uint64_t)id, producer) == 0);
	return producer;
}

static void remember(struct producer *producer, const struct batch *batch)
{
	if (producer->batch_count)
		producer->newest = (uint8_t)((producer->newest + 1) % PRODUCER_BATCHES);
	if (producer->batch_count < PRODUCER_BATCHES)
		producer->batch_count++;
	producer->batches[producer->newest] = (struct producer_batch){
		.base_offset = batch->base_offset,
		.first_sequence = batch->base_sequence,
		.last_sequence = last_sequence(batch),
	};
}

void producers_apply(struct producers *producers, const struct batch *batch, uint64_t now_ns)
{
	if (!sequenced(batch) || !producers->max)
		return;
	struct producer *producer = find(producers, batch->producer_id);
	if (!producer)
		producer = add(producers, batch->producer_id);
	if (batch->producer_epoch != producer->epoch) {
		producer->epoch = batch->producer_epoch;
		producer->batch_count = 0;
		producer->newest = 0;
	}
	remember(producer, batch);
	producer->seen_ns = now_ns;
	list_remove(&producer->link);
	list_push_back(&producers->by_age, &producer->link);
}

size_t producers_expire(struct producers *producers, uint64_t before_ns)
{
	size_t forgotten = 0;

	while (!list_empty(&producers->by_age)) {
		struct producer *oldest = container_of(producers->by_age.next, struct producer,
						       link);
		if (oldest->seen_ns >= before_ns)
			break;
		forget(producers, oldest);
		forgotten++;
	}
	return forgotten;
}
