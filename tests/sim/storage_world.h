/* tests/sim/storage_world.h: what storage_test.c, storage_life.c and storage_model.c share: one
 * world with one log, which outlives the processes that open it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/store_internal.h"
#include "tests/sim/disk.h"
#include "tests/sim/schedule.h"

/* The log's, as it is made of its identity. */
#define FOLDER "topics/07000000000000000000000000000000/0"

enum {
	ENTRIES_MAX = 4096,
	PENDING_MAX = 64,
	ROTTEN_MAX = 8,
	PRODUCERS = 3,
	BUFFER_BYTES = 16 << 20,
	WHY_BYTES = 256,
};

/* A batch that was appended. */
struct entry {
	int64_t offset, end;
	uint32_t crc;
	bool durable; /* answered for, or shown */
	/* What it was made of. */
	int64_t producer; /* 0: none */
	int32_t sequence;
	unsigned records;
	size_t value_bytes;
};

struct pending {
	struct log_append append;
	uint32_t crc;
	bool used, done;
	int rc;
};

/* A segment of which some bits have turned. */
struct rotten {
	int64_t from, to;
	unsigned bits, lost; /* batches, as they are read now */
};

struct world {
	struct random random;
	struct disk *disk;
	struct disk_faults faults; /* of this life, once it has recovered */
	struct entry entries[ENTRIES_MAX];
	size_t count;
	struct pending pending[PENDING_MAX];
	uint64_t batches; /* makes each one different */
	int64_t start;    /* records were deleted up to here, durably */
	int32_t leader_epoch;
	struct log_config config;
	bool plain_io, direct_io;
	struct rotten rotten[ROTTEN_MAX];
	unsigned rotten_count;
	bool unreadable;             /* a read may have failed in this life: a quarantine */
	bool faulty_recovery, whole; /* this life's */
	uint64_t turns;              /* of the schedule, when it is killed */
	/* The life's own. */
	struct store_region *region;
	struct io_backend *io;
	struct store *store;
	struct log *log;
	bool closed;
	bool rots_at_all;
	uint64_t lives, refused, repairs, rots;
};
extern struct world world;
extern uint64_t world_seed;

#define require(x)                                                                                 \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "seed %llu: %s:%d: %s\n", (unsigned long long)world_seed,  \
				__FILE__, __LINE__, #x);                                           \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

uint64_t world_below(uint64_t bound); /* the world's own randomness */
bool world_one_in(uint64_t n);

/* ---- storage_model.c: what was appended ---- */

void model_forget_from(int64_t offset); /* the log ends there: nothing durable lies behind */
struct entry *model_entry_at(int64_t offset);
struct rotten *model_rotten_at(int64_t offset); /* null: nothing there may be damaged */
void model_note_durable_below(int64_t offset);
const struct entry *model_last_of(int64_t producer); /* null: none */
/* Up to `offset` of it was read: each bit costs a batch, but one in the header all. */
void model_check_rotten(const struct rotten *rotten, int64_t offset);

/* ---- storage_life.c ---- */

/* A process: opens the log, uses it, closes it; of a fiber. */
void *storage_live(void *context);
