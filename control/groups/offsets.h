/* control/groups/offsets.h: the offsets that one group has committed, or that an open transaction
 * has given to it (pending_offsets.h).
 *
 * By topic name and partition, with the topic's id where it is known, so that the offsets of a
 * deleted topic do not come back with a new one of its name.  Both levels are sorted arrays: what
 * is drawn of them does not depend on the order of the commits. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "dataplane/kafka/wire.h"

#define OFFSET_NONE INT64_MIN /* no client can commit it */
#define NO_PRODUCER (-1)

struct committed_offset {
	int64_t offset;       /* OFFSET_NONE: nothing is committed */
	int32_t leader_epoch; /* -1: unknown */
	int64_t commit_ms;    /* wall clock, of the commit */
	int64_t expire_ms; /* of an old client's retention; -1: as offsets.retention.minutes has it
			    */
	char *metadata;    /* not terminated; null: empty */
	uint16_t metadata_length;
	/* Of what is committed to one partition in transactions and besides them, the later has the
	 * greater one, whenever it becomes valid.  0: nothing was pending beside it. */
	int64_t order;
};

/* Copies the text.  -ENOMEM. */
int committed_offset_set_metadata(struct committed_offset *committed,
				  const struct kafka_string *metadata);
struct kafka_string committed_offset_metadata(const struct committed_offset *committed);
void committed_offset_fini(struct committed_offset *committed);

struct offset_partition {
	int32_t index;
	struct committed_offset committed;
};

struct offset_topic {
	char *name; /* NUL-terminated, name_length bytes before it */
	int32_t name_length;
	struct uuid id;                      /* zero: not known */
	struct offset_partition *partitions; /* ascending */
	size_t count;
	size_t capacity;
};

struct offsets {
	int64_t producer_id;          /* NO_PRODUCER: committed; else pending in its transaction */
	struct offset_topic **topics; /* by name, ascending; each has partitions */
	size_t topic_count;
	size_t topic_capacity;
	size_t count; /* of all topics */
};

void offsets_init(struct offsets *offsets); /* committed ones */
void offsets_fini(struct offsets *offsets);
/* Puts *committed there and takes what was there (OFFSET_NONE: nothing) into *committed, which is
 * the caller's with its metadata.  Where the topic is known by another id, its old offsets go
 * first; a zero id is any.  -ENOMEM: nothing changed. */
int offsets_exchange(struct offsets *offsets, const struct kafka_string *topic,
		     const struct uuid *id, int32_t partition, struct committed_offset *committed);
/* Null when nothing is committed. */
const struct committed_offset *offsets_get(const struct offsets *offsets,
					   const struct kafka_string *topic, int32_t partition);
/* Null when nothing is committed in any of its partitions. */
const struct offset_topic *offsets_topic(const struct offsets *offsets,
					 const struct kafka_string *topic);
/* Harmless when nothing is committed.  The topic goes with its last partition. */
void offsets_remove(struct offsets *offsets, const struct kafka_string *topic, int32_t partition);
