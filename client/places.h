/* client/places.h: places of the user in the order in which requests name them: topic by topic,
 * a leader's together.  Thread: the client's. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "client/sluice.h"
#include "dataplane/kafka/wire.h"

struct arena;

struct place_route {
	struct sluice_place *place; /* the user's */
	int32_t leader;             /* node id; CLIENT_NOBODY: not known */
};

/* All of them, or a run of those that another has; only the former is freed. */
struct places {
	struct place_route *routes;
	size_t count;
};

/* By topic and partition; as of strcmp. */
int place_order(const char *topic, int32_t partition, const char *other_topic,
		int32_t other_partition);

/* Of any order; by topic and partition then.  -EINVAL: no topic, or a partition twice; -ENOMEM. */
int places_init(struct places *ret, struct sluice_place *places, size_t count);
void places_fini(struct places *places);
/* Finds out who leads them (waits), and orders them by leader first.  Those that nobody leads have
 * the reason in `error`. */
int places_route(struct sluice_client *client, struct places *places);

/* Runs, from `from` on: one topic; one leader, no more than a request takes. */
struct places places_topic(const struct places *places, size_t from);
struct places places_request(const struct places *places, size_t from);
size_t places_topic_count(const struct places *places); /* of one leader */
/* What a broker says of one of them.  The place where it is good; null: it is not, or is none of
 * them. */
struct sluice_place *places_tell(const struct places *places, const struct kafka_string *topic,
				 int32_t partition, int16_t error_code);
void places_fail(const struct places *places, int error);
