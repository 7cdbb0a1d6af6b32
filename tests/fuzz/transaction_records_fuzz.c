/* Records of __transaction_state: { u16 length, key, u16 length or 0xffff (a tombstone), value }
 * and so on.  Whatever they are, they are read or refused; what was made of them lives for an hour,
 * in which what is open comes to its end; it is written anew, and that is read without a complaint
 * and written the same. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "control/config.h"
#include "control/state_log.h"
#include "control/transactions/transactions_internal.h"
#include "dataplane/shard_log.h"
#include "dataplane/topics.h"
#include "storage/records.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOMBSTONE = 0xffff, HOUR_STEPS = 60 };

/* ---- a clock and a log in memory ---- */

static uint64_t now_ns;

static uint64_t monotonic_ns(const struct clock *clock)
{
	return now_ns;
}

static int64_t wall_ms(const struct clock *clock)
{
	return INT64_C(1750000000000) + (int64_t)(now_ns / NS_PER_MS);
}

static const struct clock fake_clock = {monotonic_ns, wall_ms};

struct stored {
	uint8_t *bytes; /* key, then value */
	struct record record;
};

struct store {
	struct state_log log;
	struct stored *records;
	size_t count;
	size_t capacity;
};

static int append(struct state_log *log, int32_t partition, const void *key, size_t key_size,
		  const void *value, size_t value_size, int64_t timestamp_ms)
{
	struct store *store = container_of(log, struct store, log);
	uint8_t *bytes = malloc(key_size + value_size + 1);

	if (store->count == store->capacity) {
		store->capacity = store->capacity * 2 + 16;
		store->records = realloc(store->records, store->capacity * sizeof(struct stored));
	}
	check(bytes && store->records);
	memcpy(bytes, key, key_size);
	if (value)
		memcpy(bytes + key_size, value, value_size);
	store->records[store->count++] = (struct stored){
		.bytes = bytes,
		.record = {.key = bytes,
			   .key_length = key_size,
			   .value = value ? bytes + key_size : NULL,
			   .value_length = value_size},
	};
	return 0;
}

static void after(struct state_log *log, int32_t partition, struct state_wait *wait)
{
	wait->done(wait, 0);
}

static const struct state_log_ops log_ops = {append, after};

static void store_fini(struct store *store)
{
	for (size_t i = 0; i < store->count; i++)
		free(store->records[i].bytes);
	free(store->records);
}

/* ---- transactions ---- */

static void answer(void *context, struct control_request *request)
{
	check(!"nobody has asked");
}

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

static const struct config *defaults(void)
{
	static struct config config;
	static bool loaded;
	char name[] = "sluiced", *argv[] = {name, NULL}, *environment[] = {NULL};
	enum config_action action;
	char why[256];

	if (!loaded)
		check(config_load(&config, 1, argv, environment, &action, NULL, why, sizeof(why)) ==
		      0);
	loaded = true;
	log_set_level(LOG_ERROR);
	return &config;
}

static const struct topics *one_topic(void)
{
	static struct topic topic = {.name = "t", .id = {{1}}, .partition_count = 3};
	static const struct topic *rows[] = {&topic};
	static const struct topics topics = {.count = 1, .by_name = rows, .by_id = rows};

	return &topics;
}

static struct transactions *transactions_over(struct store *store)
{
	struct transactions_options options = {
		.config = defaults(),
		.clock = &fake_clock,
		.log = &store->log,
		.shard_count = 2,
		.sender = 2,
		.send = send_marker,
		.answer = answer,
		.end_offsets = end_offsets,
	};
	struct transactions *transactions;

	store->log.ops = &log_ops;
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
		struct record record = {.key_length = input_u16(&input)};
		record.key = input_take(&input, &record.key_length);
		record.value_length = input_u16(&input);
		bool tombstone = record.value_length == TOMBSTONE;
		record.value_length = tombstone ? 0 : record.value_length;
		record.value = tombstone ? NULL : input_take(&input, &record.value_length);
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

	now_ns = 1000 * NS_PER_SECOND;
	struct transactions *transactions = transactions_over(&store);
	replay_input(transactions, (struct input){data, size});
	transactions_set_topics(transactions, one_topic());
	transactions_end_load(transactions, 0);
	for (int step = 0; step < HOUR_STEPS; step++) {
		now_ns += 60 * NS_PER_SECOND;
		transactions_turn(transactions);
	}
	now_ns += NS_PER_SECOND;
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
