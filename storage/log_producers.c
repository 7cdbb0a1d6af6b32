/* What a log says of its producers and transactions, and when it forgets them. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/errors.h"

int log_check_producer(const struct log *log, const struct batch *batch, bool *ret_open)
{
	const struct producer *producer = producers_find(&log->producers, batch->producer_id);
	int64_t first;

	*ret_open = false;
	if (log->state != LOG_WRITABLE)
		return 0;
	*ret_open = producer && producer->open;
	return producers_check(&log->producers, batch, &first);
}

bool log_lacks_producer(const struct log *log, int64_t producer_id)
{
	return log->state == LOG_WRITABLE && !producers_find(&log->producers, producer_id);
}

int log_open_epoch(const struct log *log, int64_t producer_id)
{
	const struct producer *producer = producers_find(&log->producers, producer_id);

	if (log->state != LOG_WRITABLE)
		return -ERR_STORAGE;
	return producer && producer->open ? producer->epoch : -ERR_TXN_STATE;
}

/* What is durable is the limit of what has begun, so that one more transaction cannot lower it. */
int64_t log_last_stable_offset(const struct log *log)
{
	int64_t unstable = log_transactions_unstable_from(&log->producers.transactions);
	int64_t stable = unstable < log->durable_offset ? unstable : log->durable_offset;

	return stable > log->start_offset ? stable : log->start_offset;
}

size_t log_aborted(const struct log *log, int64_t from, int64_t below,
		   struct aborted_transaction *out, size_t max)
{
	return log_transactions_aborted(&log->producers.transactions, from, below, out, max);
}

bool log_has_aborted(const struct log *log, int64_t from)
{
	return log_transactions_has_aborted(&log->producers.transactions, from);
}

static struct log_producer described(const struct producer *producer)
{
	const struct producer_batch *last = &producer->batches[producer->newest];

	return (struct log_producer){
		.id = producer->id,
		.epoch = producer->epoch,
		.last_sequence = producer->batch_count ? last->last_sequence : -1,
		.last_timestamp_ms = producer->last_timestamp_ms,
		.coordinator_epoch = producer->coordinator_epoch,
		.open_offset = producer->open ? producer->open->first_offset : -1,
	};
}

size_t log_producers(const struct log *log, struct log_producer *out, size_t max)
{
	const struct list *lists[] = {&log->producers.open, &log->producers.by_age};
	size_t count = 0;

	for (unsigned i = 0; i < 2; i++) {
		list_foreach(node, lists[i]) {
			if (count == max)
				return producers_count(&log->producers);
			out[count++] = described(container_of(node, struct producer, link));
		}
	}
	return count;
}

void producers_forget(struct log *log)
{
	struct store *store = log->store;

	/* Where the log is compacted none of their records are left. */
	log_transactions_trim(&log->producers.transactions, log->start_offset > log->clean_offset
								    ? log->start_offset
								    : log->clean_offset);
	if (!producers_count(&log->producers))
		return;
	uint64_t age_ns = (uint64_t)store->options.producer_expiration_ms * NS_PER_MS;
	uint64_t now_ns = clock_monotonic_ns(store->clock);
	size_t forgotten = now_ns > age_ns ? producers_expire(&log->producers, now_ns - age_ns) : 0;
	store->stats.producers -= forgotten;
	store->stats.producers_forgotten += forgotten;
}
