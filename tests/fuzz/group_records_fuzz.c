/* Records of __consumer_offsets: { u16 length, key, u16 length or 0xffff (a tombstone), value } and
 * so on.  Whatever they are, they are read or refused; what was made of them lives for an hour, is
 * written anew, and that is read without a complaint and written the same. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "control/config.h"
#include "control/groups/groups.h"
#include "control/state_log.h"
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

/* ---- groups ---- */

static void answer(void *context, struct control_request *request)
{
	check(!"nobody has asked");
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
	return &config;
}

static const struct topics *one_topic(void)
{
	static struct topic topic = {.name = "t", .id = {{1}}, .partition_count = 3};
	static const struct topic *rows[] = {&topic};
	static const struct topics topics = {.count = 1, .by_name = rows, .by_id = rows};

	return &topics;
}

static struct groups *groups_over(struct store *store)
{
	struct groups_options options = {
		.config = defaults(),
		.clock = &fake_clock,
		.log = &store->log,
		.answer = answer,
	};
	struct groups *groups;

	store->log.ops = &log_ops;
	check(groups_new(&groups, &options) == 0);
	check(groups_set_partitions(groups, 1) == 0);
	groups_begin_load(groups, 0);
	return groups;
}

static int replay(struct groups *groups, const struct record *record)
{
	char why[100] = "";
	int rc = groups_replay(groups, 0, record, 0, why, sizeof(why));

	check(rc == 0 || why[0]);
	return rc;
}

/* ---- the input ---- */

static void replay_input(struct groups *groups, struct input input)
{
	while (input.left > 0) {
		struct record record = {.key_length = input_u16(&input)};
		record.key = input_take(&input, &record.key_length);
		record.value_length = input_u16(&input);
		bool tombstone = record.value_length == TOMBSTONE;
		record.value_length = tombstone ? 0 : record.value_length;
		record.value = tombstone ? NULL : input_take(&input, &record.value_length);
		int rc = replay(groups, &record);
		check(rc == 0 || rc == -ERR_CORRUPT || rc == -ERR_FORMAT || rc == -ENOMEM);
	}
}

static void rewrite(struct groups *groups)
{
	check(groups_rewrite(groups, 0) == 0);
}

static void read_again(const struct store *written)
{
	struct store store = {0};
	struct groups *groups = groups_over(&store);

	for (size_t i = 0; i < written->count; i++)
		check(replay(groups, &written->records[i].record) == 0);
	/* Before topics are known and sessions begin, nothing changes by itself. */
	rewrite(groups);
	check(store.count == written->count);
	groups_stop(groups);
	groups_free(groups);
	store_fini(&store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store store = {0};
	struct store again = {0};

	now_ns = 1000 * NS_PER_SECOND;
	struct groups *groups = groups_over(&store);
	replay_input(groups, (struct input){data, size});
	groups_set_topics(groups, one_topic());
	groups_end_load(groups, 0);
	for (int step = 0; step < HOUR_STEPS; step++) {
		now_ns += 60 * NS_PER_SECOND;
		groups_turn(groups);
	}
	size_t before = store.count;
	rewrite(groups);
	for (size_t i = before; i < store.count; i++)
		append(&again.log, 0, store.records[i].record.key,
		       store.records[i].record.key_length, store.records[i].record.value,
		       store.records[i].record.value_length, 0);
	read_again(&again);
	groups_stop(groups);
	groups_free(groups);
	store_fini(&store);
	store_fini(&again);
	return 0;
}
