/* tests/control/classic_consumers.h: consumers of the classic protocol that do with the opaque
 * bytes what real ones do: they say what they subscribe to and own, and follow what they are
 * assigned.
 *
 * They are in group "g" and subscribe to the topic "t", of up to 32 partitions, which are bits. */
#pragma once
#include "tests/control/classic_clients.h"

enum { CLASSIC_METADATA_BYTES = 256 };

struct classic_consumer {
	struct client client;
	bool cooperative; /* it keeps what it owns while it joins */
	uint32_t owned;
	uint32_t lost; /* by the last assignment; a cooperative one joins again for that */
	char metadata[CLASSIC_METADATA_BYTES];
};

struct classic_consumer classic_consumer_of(struct world *world, bool cooperative);
/* JoinGroup, the second one too where it takes two; it may be parked. */
void classic_consumer_send_join(struct classic_consumer *consumer);
int16_t classic_consumer_joined(struct classic_consumer *consumer);
/* One JoinGroup, whatever it is answered. */
void classic_consumer_begin_join(struct classic_consumer *consumer);
/* SyncGroup of one that leads, by itself: who was named as a member has an even share. */
struct kafka_join_group_response;
void classic_consumer_send_assignment(struct classic_consumer *consumer,
				      const struct kafka_join_group_response *joined,
				      int32_t partitions);
int16_t classic_consumer_synced(struct classic_consumer *consumer);
/* The answer to its SyncGroup, as one that does not lead; NONE: it owns what it is told. */
int16_t classic_consumer_sync(struct classic_consumer *consumer);
/* All three, of a group that answers at once, until nothing more has to go. */
void classic_consumer_come(struct classic_consumer *consumer);
/* A group of `count` that all joined: the leader gives each every count'th of `partitions`. */
void classic_consumers_assign(struct classic_consumer *const *consumers, size_t count,
			      int32_t partitions);
/* A classic group of them that is stable; the first one leads. */
void classic_consumers_settle(struct classic_consumer *const *consumers, size_t count,
			      int32_t partitions);
