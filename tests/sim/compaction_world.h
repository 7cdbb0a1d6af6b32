/* tests/sim/compaction_world.h: what the files of compaction_test share: the list of what was
 * appended to the log, and the log. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log.h"
#include "tests/sim/disk.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"

enum {
	ENTRIES_MAX = 8192,
	RUNS = 300,
	PROCESS_RUNS = 25,
	KEYS_MAX = 100,
	PRODUCERS = 4, /* the first has no id, the second is idempotent, the others transactional */
	BATCH_MAX = 3,
	BUFFER_BYTES = 16 << 20,
	ABORTED_MAX = 1024,
	WHY_BYTES = 256,
};

/* A record, or the marker that ends a transaction. */
struct entry {
	int64_t key, value;
	unsigned producer;
	bool marker, commit;
	int32_t last_sequence; /* of its batch */
	int64_t base_offset;   /* likewise */
};

struct appending {
	struct log_append append;
	bool done;
	int rc;
};

struct world {
	struct random random;
	struct disk *disk;
	struct disk_faults faults;
	struct entry entries[ENTRIES_MAX]; /* by offset */
	int64_t count;
	int64_t durable; /* answered for */
	int64_t values;  /* makes each one different */
	int32_t leader_epoch;
	struct log_config config;
	bool plain_io, direct_io, whole, faulty;
	size_t map_bytes;
	uint64_t keys;
	uint64_t turns; /* of the schedule, when it is killed */
	/* The life's own. */
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log *log;
	bool closed;
	struct store_job *jobs[4]; /* the first has its turn: all its steps */
	unsigned job_count;
	bool job_ended; /* the first */
	struct waiting job_waiting;
};
extern struct world world;

extern uint64_t running_seed;

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "seed %llu: %s:%d: %s\n",                                  \
				(unsigned long long)running_seed, __FILE__, __LINE__, #x);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline uint64_t below(uint64_t bound)
{
	return random_below(&world.random, bound);
}

static inline bool one_in(uint64_t n)
{
	return below(n) == 0;
}

/* ---- compaction_test.c ---- */
enum outcome { OPEN, ABORTED, COUNTS };
/* What becomes of the record in a log that ends at `end`. */
enum outcome outcome_of(int64_t offset, int64_t end);
/* The last one of the producer's that is data; null: none. */
const struct entry *last_of(unsigned producer);
bool in_transaction(unsigned producer);
void turn(uint64_t wait_ns); /* of the shard's loop */

/* ---- compaction_contents.c ---- */
/* Reads the log from end to end and looks at every batch.  While a compaction goes on what is found
 * may be of before and after, but it is what was appended; at rest each key's last one is there. */
void check_contents(bool at_rest);
void check_producers(void);
