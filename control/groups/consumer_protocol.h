/* control/groups/consumer_protocol.h: what consumers of the classic protocol put into bytes that
 * are opaque to it: ConsumerProtocolSubscription (versions 0 to 3) and ConsumerProtocolAssignment.
 *
 * Versions only append, so that a later one is read as the last that is known. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/groups/consumer_partitions.h"
#include "dataplane/kafka/wire.h"

struct arena;
struct topics;

struct consumer_protocol_subscription {
	int16_t version;
	struct kafka_string *topics;
	int32_t topic_count;
	struct partition_set owned;  /* 1 and above: before it joins; of topics that exist */
	struct kafka_string rack_id; /* 3 and above; null: none */
};

struct consumer_protocol_assignment {
	struct partition_set partitions; /* of topics that exist */
	bool user_data;                  /* an assignor of its own has added something */
};

/* Texts point into `bytes`, arrays are of the arena.  `topics` null: none exist.
 * -ERR_BAD_REQUEST: does not parse; -ENOMEM. */
int consumer_protocol_read_subscription(const struct kafka_bytes *bytes,
					const struct topics *topics, struct arena *arena,
					struct consumer_protocol_subscription *ret);
/* Empty bytes are an empty assignment: nobody has assigned anything yet. */
int consumer_protocol_read_assignment(const struct kafka_bytes *bytes, const struct topics *topics,
				      struct arena *arena,
				      struct consumer_protocol_assignment *ret);
/* The highest that is known where it is a later one; 0 where it has none. */
int16_t consumer_protocol_version(const struct kafka_bytes *bytes);
/* As a member understands it whose subscription has this version; topics that are gone are left
 * out.  *ret is of the arena.  -ENOMEM. */
int consumer_protocol_write_assignment(const struct partition_set *partitions, int16_t version,
				       const struct topics *topics, struct arena *arena,
				       struct kafka_bytes *ret);
