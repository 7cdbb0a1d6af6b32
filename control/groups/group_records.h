/* control/groups/group_records.h: keys and values of the records in __consumer_offsets, in Kafka's
 * formats, so that tools that read that topic understand ours.
 *
 * Types, structs and coding come from dataplane/kafka/records (enum kafka_record_type, struct
 * record_offset_commit_key, record_offset_commit_value, ...). */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "kafka_messages.h"

struct arena;
struct record;

struct group_record {
	enum kafka_record_type type;
	int64_t timestamp_ms;
	const void *key;   /* the struct of `type` */
	const void *value; /* null: tombstone */
};

/* Decoded strings point into `record`; arrays are of the arena.  -ERR_CORRUPT: does not parse;
 * -ERR_FORMAT: of a type or version that is not known; -ENOMEM. */
int group_record_decode(const struct record *record, int64_t timestamp_ms, struct arena *arena,
			struct group_record *ret);
/* Encodes and appends; `value` null writes a tombstone.  `scratch` is reset first.  -ENOMEM. */
struct state_log;
int group_record_append(struct state_log *log, int32_t partition, struct arena *scratch,
			const struct group_record *record);
