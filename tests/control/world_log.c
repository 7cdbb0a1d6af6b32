#include "tests/control/world_log.h"

#include "base/bytes.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void *world_copy(const void *bytes, size_t size)
{
	void *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	if (size)
		memcpy(copy, bytes, size);
	return copy;
}

static int append(struct state_log *log, int32_t partition, const void *key, size_t key_size,
		  const void *value, size_t value_size, int64_t timestamp_ms)
{
	struct world_log *world_log = container_of(log, struct world_log, log);
	struct world_records *to = &world_log->partitions[partition];

	if (world_log->refuse_after == 0)
		return -ENOMEM;
	if (world_log->refuse_after != UINT_MAX)
		world_log->refuse_after--;
	if (to->count == to->capacity) {
		to->capacity = to->capacity ? 2 * to->capacity : 64;
		to->records = realloc(to->records, to->capacity * sizeof(*to->records));
		assert_non_null(to->records);
	}
	to->records[to->count++] = (struct world_record){
		.key = world_copy(key, key_size),
		.key_size = key_size,
		.value = value ? world_copy(value, value_size) : NULL,
		.value_size = value_size,
		.timestamp_ms = timestamp_ms,
	};
	if (!world_log->hold)
		to->durable = to->count;
	return 0;
}

static void after(struct state_log *log, int32_t partition, struct state_wait *wait)
{
	struct world_log *world_log = container_of(log, struct world_log, log);
	struct world_records *records = &world_log->partitions[partition];

	if (records->durable == records->count)
		wait->done(wait, 0);
	else
		list_push_back(&records->waits, &wait->link);
}

void world_log_init(struct world_log *log)
{
	static const struct state_log_ops ops = {append, after};

	*log = (struct world_log){.log.ops = &ops, .refuse_after = UINT_MAX};
	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++)
		list_init(&log->partitions[i].waits);
}

static void forget_from(struct world_records *records, size_t first)
{
	while (records->count > first) {
		struct world_record *record = &records->records[--records->count];
		free(record->key);
		free(record->value);
	}
}

void world_log_fini(struct world_log *log)
{
	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++) {
		assert_true(list_empty(&log->partitions[i].waits));
		forget_from(&log->partitions[i], 0);
		free(log->partitions[i].records);
	}
}

size_t world_log_count(const struct world_log *log)
{
	size_t count = 0;

	for (int i = 0; i < WORLD_PARTITIONS_MAX; i++)
		count += log->partitions[i].count;
	return count;
}

void world_tell_waits(struct list *waits, int rc)
{
	struct list told;
	struct list *node;

	list_init(&told);
	list_move_all(&told, waits);
	while ((node = list_pop_front(&told))) {
		struct state_wait *wait = container_of(node, struct state_wait, link);
		wait->done(wait, rc);
	}
}

void world_log_flush(struct world_log *log, int32_t partition)
{
	struct world_records *records = &log->partitions[partition];

	records->durable = records->count;
	world_tell_waits(&records->waits, 0);
}

void world_log_lose(struct world_log *log, int32_t partition)
{
	struct world_records *records = &log->partitions[partition];

	forget_from(records, records->durable);
	world_tell_waits(&records->waits, -EIO);
}

struct record world_record_read(const struct world_record *record)
{
	return (struct record){.key = record->key,
			       .key_length = record->key_size,
			       .value = record->value,
			       .value_length = record->value_size};
}
