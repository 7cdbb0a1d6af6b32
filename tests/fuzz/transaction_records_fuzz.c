/* Records of __transaction_state: { u16 length, key, u16 length or 0xffff (a tombstone), value }
 * and so on.  Whatever they are, they are read or refused; what was made of them lives for an hour,
 * in which what is open comes to its end; it is written anew, and that is read without a complaint
 * and written the same. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/transactions/transactions_internal.h"
#include "dataplane/shard_log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/stored_records.h"

#include <errno.h>
#include <string.h>

/* ---- transactions ---- */

static void send_marker(void *context, unsigned shard, struct message *message)
{
	struct shard_append *marker = container_of(message, struct shard_append, log.message);

	marker->log.rc = 0;
	marker->log.done(message, NULL);
}

static int end_offsets(void *context, int32_t partition, int64_t producer_id, bool commit,
		       struct state_wait *wait)
{
	wait->done(wait, 0);
	return 0;
}

static struct transactions *transactions_over(struct store *store)
{
	struct transactions_options options = {
		.config = stored_config(),
		.clock = &stored_clock,
		.log = &store->log,
		.shard_count = 2,
		.sender = 2,
		.send = send_marker,
		.answer = stored_answer,
		.end_offsets = end_offsets,
	};
	struct transactions *transactions;

	log_set_level(LOG_ERROR);
	store->log.ops = &stored_ops;
	check(transactions_new(&transactions, &options) == 0);
	check(transactions_set_partitions(transactions, 1) == 0);
	transactions_begin_load(transactions, 0);
	return transactions;
}

static int replay(struct transactions *transactions, const struct record *record)
{
	char why[100] = "";
	int rc = transactions_replay(transactions, 0, record, 0, why, sizeof(why));

	check(rc == 0 || why[0]);
	return rc;
}

static void end(struct transactions *transactions, struct store *store)
{
	transactions_stop(transactions);
	transactions_free(transactions);
	store_fini(store);
}

/* ---- the input ---- */

static void replay_input(struct transactions *transactions, struct input input)
{
	while (input.left > 0) {
		struct record record = stored_input(&input);
		int rc = replay(transactions, &record);
		check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT || rc == -ENOMEM);
	}
}

static void read_again(const struct stored *written, size_t count)
{
	struct store store = {0};
	struct transactions *transactions = transactions_over(&store);

	for (size_t i = 0; i < count; i++)
		check(replay(transactions, &written[i].record) == 0);
	check(transactions_rewrite(transactions, 0) == 0);
	check(store.count == count);
	for (size_t i = 0; i < count; i++) {
		const struct record *a = &written[i].record, *b = &store.records[i].record;
		check(a->value_length == b->value_length);
		check(memcmp(a->value, b->value, a->value_length) == 0);
	}
	end(transactions, &store);
}

/* As long as a producer may ask for, an open one stays open. */
static void check_ended(const struct transactions *transactions)
{
	list_foreach(node, &transactions->partitions[0].transactions) {
		const struct transaction *transaction = container_of(node, struct transaction,
								     link);
		check(!transaction_prepared(transaction));
		check(!transaction_open(transaction) ||
		      transaction->value.timeout_ms > HOUR_STEPS * 60000);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store store = {0};

	stored_now_ns = 1000 * NS_PER_SECOND;
	struct transactions *transactions = transactions_over(&store);
	replay_input(transactions, (struct input){data, size});
	transactions_set_topics(transactions, stored_topics());
	transactions_end_load(transactions, 0);
	for (int step = 0; step < HOUR_STEPS; step++) {
		stored_now_ns += 60 * NS_PER_SECOND;
		transactions_turn(transactions);
	}
	stored_now_ns += NS_PER_SECOND;
	transactions_turn(transactions);
	check_ended(transactions);
	size_t before = store.count;
	check(transactions_rewrite(transactions, 0) == 0);
	check(store.count - before == transactions_live_records(transactions, 0));
	if (store.count > before) /* without any record there is no array */
		read_again(store.records + before, store.count - before);
	end(transactions, &store);
	return 0;
}
