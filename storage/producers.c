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
	list_init(&producers->open);
	log_transactions_init(&producers->transactions);
}

static void free_all(struct list *producers)
{
	struct list *node;

	while ((node = list_pop_front(producers)))
		free(container_of(node, struct producer, link));
}

void producers_clear(struct producers *producers)
{
	if (!producers->by_age.next)
		return;
	free_all(&producers->by_age);
	free_all(&producers->open);
	map64_fini(&producers->by_id);
	producers->by_id = (struct map64){0};
	log_transactions_clear(&producers->transactions);
}

void producers_move(struct producers *to, struct producers *from)
{
	producers_clear(to);
	to->by_id = from->by_id;
	from->by_id = (struct map64){0};
	list_move_all(&to->by_age, &from->by_age);
	list_move_all(&to->open, &from->open);
	log_transactions_move(&to->transactions, &from->transactions);
	to->evicted += from->evicted;
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

/* One of another epoch, or none, is followed by 0. */
static int32_t next_sequence(const struct producer *producer)
{
	return producer->batch_count
		       ? sequence_after(producer->batches[producer->newest].last_sequence, 1)
		       : 0;
}

static bool is_marker(const struct batch *batch)
{
	return batch->attributes & BATCH_CONTROL;
}

static bool in_transaction(const struct batch *batch)
{
	return (batch->attributes & BATCH_TRANSACTIONAL) && !is_marker(batch);
}

/* Of a newer epoch it is news, whatever it ends: what the older still sends is fenced by it. */
static int check_marker(const struct producer *producer, const struct batch *batch,
			int64_t *ret_base_offset)
{
	if (batch->producer_epoch < producer->epoch)
		return -ERR_PRODUCER_EPOCH;
	if (producer->open || batch->producer_epoch > producer->epoch)
		return 0;
	*ret_base_offset = -1;
	return 1;
}

/* Before a coordinator gives out a newer epoch it ends what the older has begun.  A batch that
 * comes while that is open would be ended with it. */
static int check_newer(const struct producer *producer, const struct batch *batch)
{
	if (producer->open)
		return -ERR_TXN_STATE;
	return batch->base_sequence == 0 ? 0 : -ERR_SEQUENCE;
}

int producers_check(const struct producers *producers, const struct batch *batch,
		    int64_t *ret_base_offset)
{
	const struct producer *producer;

	if (batch->producer_id < 0)
		return 0;
	producer = find(producers, batch->producer_id);
	if (!producer)
		return 0;
	if (is_marker(batch))
		return check_marker(producer, batch, ret_base_offset);
	if (batch->producer_epoch < producer->epoch)
		return -ERR_PRODUCER_EPOCH;
	if (batch->producer_epoch > producer->epoch)
		return check_newer(producer, batch);
	if (remembered(producer, batch, ret_base_offset))
		return 1;
	if (batch->base_sequence != next_sequence(producer))
		return -ERR_SEQUENCE;
	return producer->open && !in_transaction(batch) ? -ERR_TXN_STATE : 0;
}

/* ---- applying ---- */

static void forget(struct producers *producers, struct producer *producer)
{
	map64_remove(&producers->by_id, (uint64_t)producer->id);
	list_remove(&producer->link);
	free(producer);
}

/* Of those that are not known only who can have begun a transaction, where nothing else is
 * remembered. */
static bool remembers(const struct producers *producers, const struct batch *batch)
{
	return batch->producer_id >= 0 && (producers->max || in_transaction(batch));
}

static int reserve_producer(struct producers *producers)
{
	if (!producers->spare)
		producers->spare = calloc(1, sizeof(*producers->spare));
	return producers->spare ? map64_reserve(&producers->by_id) : -ENOMEM;
}

int producers_reserve(struct producers *producers, const struct batch *batch)
{
	const struct producer *producer = find(producers, batch->producer_id);
	int rc = 0;

	if (!producer && remembers(producers, batch))
		rc = reserve_producer(producers);
	if (rc == 0 && in_transaction(batch) && !(producer && producer->open))
		rc = log_transactions_reserve_begin(&producers->transactions);
	if (rc == 0 && is_marker(batch) && producer && producer->open)
		rc = log_transactions_reserve_end(&producers->transactions);
	return rc;
}

bool producers_forget_oldest(struct producers *producers, int64_t keep_id)
{
	if (list_empty(&producers->by_age))
		return false;
	struct producer *oldest = container_of(producers->by_age.next, struct producer, link);
	if (oldest->id == keep_id)
		return false;
	forget(producers, oldest);
	producers->evicted++;
	return true;
}

static struct producer *add(struct producers *producers, int64_t id)
{
	struct producer *producer = producers->spare;

	check(producer);
	producers->spare = NULL;
	while (producers_count(producers) >= producers->max &&
	       producers_forget_oldest(producers, id)) {
	}
	producer->id = id;
	producer->coordinator_epoch = -1;
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

static int64_t open_from(const struct producers *producers)
{
	if (list_empty(&producers->open))
		return INT64_MAX;
	return container_of(producers->open.next, struct producer, link)->open->first_offset;
}

static void begin_transaction(struct producers *producers, struct producer *producer,
			      int64_t offset)
{
	producer->open = log_transactions_begin(&producers->transactions, offset);
	list_remove(&producer->link);
	list_push_back(&producers->open, &producer->link);
}

static void end_transaction(struct producers *producers, struct producer *producer,
			    enum control_type type, int64_t offset)
{
	struct log_transaction *ended = producer->open;

	producer->open = NULL;
	list_remove(&producer->link);
	int64_t from = open_from(producers);
	const struct log_transactions_abort abort = {
		.producer_id = producer->id,
		.open_from = from <= offset ? from : offset + 1,
	};
	log_transactions_end(&producers->transactions, ended, offset,
			     type == CONTROL_ABORT ? &abort : NULL);
}

static void apply_marker(struct producers *producers, struct producer *producer,
			 const struct control_marker *marker, int64_t offset)
{
	producer->coordinator_epoch = marker->coordinator_epoch;
	if (producer->open)
		end_transaction(producers, producer, marker->type, offset);
}

static void apply_records(struct producers *producers, struct producer *producer,
			  const struct batch *batch)
{
	remember(producer, batch);
	if (in_transaction(batch) && !producer->open)
		begin_transaction(producers, producer, batch->base_offset);
}

void producers_apply(struct producers *producers, const struct batch *batch,
		     const struct control_marker *marker, uint64_t now_ns)
{
	struct producer *producer = find(producers, batch->producer_id);

	check(!is_marker(batch) == !marker);
	if (!producer) {
		if (!remembers(producers, batch))
			return;
		producer = add(producers, batch->producer_id);
	}
	if (batch->producer_epoch != producer->epoch) {
		producer->epoch = batch->producer_epoch;
		producer->batch_count = 0;
		producer->newest = 0;
	}
	producer->last_timestamp_ms = batch->max_timestamp;
	producer->seen_ns = now_ns;
	if (marker)
		apply_marker(producers, producer, marker, batch->base_offset);
	else
		apply_records(producers, producer, batch);
	if (producer->open)
		return;
	list_remove(&producer->link);
	list_push_back(&producers->by_age, &producer->link);
}

int64_t producers_lose(struct producers *producers, int64_t offset)
{
	int64_t first = open_from(producers);
	struct list *node;

	while ((node = list_pop_front(&producers->open))) {
		struct producer *producer = container_of(node, struct producer, link);
		log_transactions_end(&producers->transactions, producer->open, offset - 1, NULL);
		producer->open = NULL;
		list_push_back(&producers->by_age, &producer->link);
	}
	return first < offset ? first : offset;
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
