/* storage/dedup.h: dedup windows: the message ids that a topic's partitions remember.
 *
 * A record that carries an id (a header, `dedup.header`) which its partition was given less than
 * `dedup.window.ms` ago is not stored again.  What an id is, and how long it is remembered, is
 * settled by the topic's configuration and by what the log holds; see storage/README.md. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "storage/dedup_table.h"

struct record;

enum { DEDUP_HEADER_MAX = 63 };

enum dedup_scope {
	DEDUP_PARTITION, /* an id is one in its partition, whatever the key */
	DEDUP_KEY,       /* the same id under two keys is two */
};

enum dedup_on_full {
	DEDUP_EVICT,  /* the oldest ids are forgotten early */
	DEDUP_REJECT, /* records with new ids are refused until old ones have aged */
};

struct dedup_config {
	bool enabled;
	enum dedup_scope scope;
	enum dedup_on_full on_full;
	int64_t window_ms;
	uint64_t entries_max; /* of one partition */
	uint8_t header_length;
	char header[DEDUP_HEADER_MAX + 1];
};

/* The fingerprint of the record's id: of the first header of that name that has a value, neither
 * null nor empty.  False: it has none, and is always stored.  A fingerprint is never all zero. */
bool dedup_id_of(const struct dedup_config *config, const struct record *record,
		 struct dedup_id *ret);

/* Of one log, at this moment. */
struct dedup_status {
	uint64_t entries;      /* remembered, in memory and on disk */
	uint64_t memory_bytes; /* of tables and filters */
	uint64_t file_bytes;
	uint64_t hits;       /* records not stored again; since the log was opened */
	uint64_t evictions;  /* ids forgotten early; likewise */
	uint64_t rejections; /* batches refused; likewise */
	/* How far back the oldest id lies that is remembered for sure: dedup.window.ms once the
	 * window has been enabled for so long and nothing was evicted. */
	int64_t covered_ms;
};
