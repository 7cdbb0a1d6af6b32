/* tests/control/world_log.h: a state machine's log (control/state_log.h) in a test's memory.  What
 * is appended is durable at once, or with `hold` when the test says so. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "control/state_log.h"
#include "storage/records.h"

enum { WORLD_PARTITIONS_MAX = 8 };

struct world_record {
	uint8_t *key;
	size_t key_size;
	uint8_t *value; /* null: tombstone */
	size_t value_size;
	int64_t timestamp_ms;
};

struct world_records {
	struct world_record *records;
	size_t count;
	size_t capacity;
	size_t durable; /* the first so many */
	struct list waits;
};

struct world_log {
	struct state_log log;
	struct world_records partitions[WORLD_PARTITIONS_MAX];
	bool hold;
	unsigned refuse_after; /* so many appends succeed, then -ENOMEM; UINT_MAX: all do */
};

void world_log_init(struct world_log *log);
void world_log_fini(struct world_log *log);          /* nobody waits */
size_t world_log_count(const struct world_log *log); /* of all partitions */
/* All of it is durable. */
void world_log_flush(struct world_log *log, int32_t partition);
/* What is not durable is lost, and who waits for it is told. */
void world_log_lose(struct world_log *log, int32_t partition);
/* As state machines are given it. */
struct record world_record_read(const struct world_record *record);

/* Each struct state_wait of the list, which it leaves. */
void world_tell_waits(struct list *waits, int rc);
void *world_copy(const void *bytes, size_t size);
