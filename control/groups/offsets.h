/* control/groups/offsets.h: the offsets that one group has committed.
 *
 * By topic name and partition, with the topic's id where it is known, so that the offsets of a
 * deleted topic do not come back with a new one of its name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/uuid.h"
#include "dataplane/kafka/wire.h"

enum { OFFSET_METADATA_MAX = 4096 }; /* default of offset.metadata.max.bytes */

struct committed_offset {
	int64_t offset;       /* -1: none */
	int32_t leader_epoch; /* -1: unknown */
	int64_t commit_ms;    /* wall clock, of the commit */
	int64_t expire_ms; /* of an old client's retention; -1: as offsets.retention.minutes has it
			    */
	char *metadata;    /* NUL-terminated; the table's */
};

struct offset_partition {
	int32_t index;
	struct committed_offset committed;
};

struct offset_topic {
	struct list link;
	char *name;
	struct uuid id;                      /* zero: not known */
	struct offset_partition *partitions; /* ascending */
	size_t count;
	size_t capacity;
};

struct offsets {
	struct list topics; /* struct offset_topic, in order of first commit */
	size_t count;       /* of all topics */
};

void offsets_init(struct offsets *offsets);
void offsets_fini(struct offsets *offsets);
/* Copies everything.  -ENOMEM: nothing changed. */
int offsets_put(struct offsets *offsets, const struct kafka_string *topic, const struct uuid *id,
		int32_t partition, const struct committed_offset *committed);
/* Null when nothing is committed. */
const struct committed_offset *offsets_get(const struct offsets *offsets,
					   const struct kafka_string *topic, int32_t partition);
void offsets_remove(struct offsets *offsets, const struct kafka_string *topic, int32_t partition);
