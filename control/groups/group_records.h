/* control/groups/group_records.h: keys and values of the records in __consumer_offsets, in Kafka's
 * formats, so that tools that read that topic understand ours.
 *
 * A key begins with an i16 that says what it is about; a value begins with the i16 version of its
 * own format.  The structs, encoders and decoders are made of dataplane/kafka/messages at build
 * time.  Decoded strings point into the record; arrays are of the arena. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kafka_messages.h"

struct arena;
struct record;

enum group_record_type { /* the key's first two bytes */
			 RECORD_OFFSET_COMMIT_OLD = 0,
			 RECORD_OFFSET_COMMIT = 1,
			 RECORD_GROUP_METADATA = 2,
			 RECORD_CONSUMER_GROUP_METADATA = 3,
			 RECORD_CONSUMER_GROUP_PARTITION_METADATA = 4,
			 RECORD_CONSUMER_GROUP_MEMBER_METADATA = 5,
			 RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA = 6,
			 RECORD_CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER = 7,
			 RECORD_CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT = 8,
			 RECORD_SHARE_GROUP_MEMBER_METADATA = 10,
			 RECORD_SHARE_GROUP_METADATA = 11,
			 RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_METADATA = 12,
			 RECORD_SHARE_GROUP_TARGET_ASSIGNMENT_MEMBER = 13,
			 RECORD_SHARE_GROUP_CURRENT_MEMBER_ASSIGNMENT = 14,
			 RECORD_SHARE_GROUP_STATE_PARTITION_METADATA = 15,
			 RECORD_CONSUMER_GROUP_REGULAR_EXPRESSION = 16,
};

struct group_record {
	enum group_record_type type;
	int64_t timestamp_ms;
	const void *key;   /* the struct of `type` */
	const void *value; /* null: tombstone */
};

/* -ERR_CORRUPT (does not parse, unknown type or version), -ENOMEM. */
int group_record_decode(const struct record *record, int64_t timestamp_ms, struct arena *arena,
			struct group_record *ret);
/* Encodes and appends to groups->options.log; `value` null writes a tombstone.  -ENOMEM. */
struct group_log;
int group_record_append(struct group_log *log, int32_t partition, enum group_record_type type,
			const void *key, const void *value, int64_t timestamp_ms);
