#include "tests/fuzz/stored_records.h"

#include "base/bytes.h"
#include "base/check.h"
#include "control/config.h"
#include "dataplane/topics.h"

#include <stdlib.h>
#include <string.h>

enum { TOMBSTONE = 0xffff };

/* ---- a clock and a log in memory ---- */

uint64_t stored_now_ns;

static uint64_t monotonic_ns(const struct clock *clock)
{
	return stored_now_ns;
}

static int64_t wall_ms(const struct clock *clock)
{
	return INT64_C(1750000000000) + (int64_t)(stored_now_ns / NS_PER_MS);
}

const struct clock stored_clock = {monotonic_ns, wall_ms};

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

const struct state_log_ops stored_ops = {append, after};

void store_fini(struct store *store)
{
	for (size_t i = 0; i < store->count; i++)
		free(store->records[i].bytes);
	free(store->records);
}

/* ---- what a state machine is given ---- */

void stored_answer(void *context, struct control_request *request)
{
	check(!"nobody has asked");
}

const struct config *stored_config(void)
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

const struct topics *stored_topics(void)
{
	static struct topic topic = {.name = "t", .id = {{1}}, .partition_count = 3};
	static const struct topic *rows[] = {&topic};
	static const struct topics topics = {.count = 1, .by_name = rows, .by_id = rows};

	return &topics;
}

struct record stored_input(struct input *input)
{
	struct record record = {.key_length = input_u16(input)};

	record.key = input_take(input, &record.key_length);
	record.value_length = input_u16(input);
	bool tombstone = record.value_length == TOMBSTONE;
	record.value_length = tombstone ? 0 : record.value_length;
	record.value = tombstone ? NULL : input_take(input, &record.value_length);
	return record;
}
