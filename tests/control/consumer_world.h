/* tests/control/consumer_world.h: heartbeats of consumers, and what they are answered, as text.
 *
 *     beat(w, (struct beat){.member = "a", .topics = "t", .owned = "", .rebalance_ms = 1000});
 *     expect_assigned(answer, "t:0,1 u:2");
 *
 * Partitions are "topic:index,index topic:index", topics in the order in which they were made. */
#pragma once
#include "kafka_messages.h"
#include "tests/control/groups_world.h"

struct beat {
	const char *group;  /* null: "g" */
	const char *member; /* null: "" */
	int32_t epoch;
	const char *instance;
	const char *rack;
	int32_t rebalance_ms; /* 0: not said */
	const char *topics;   /* "t,u"; null: not said */
	const char *regex;
	const char *assignor;
	const char *owned;  /* partitions; null: not said */
	const char *client; /* client id; null: "client" */
	bool v0;
};

typedef struct kafka_consumer_group_heartbeat_response heartbeat_answer;

/* Asked and not looked at, for logs that are held. */
struct world_request *beat_send(struct world *world, struct beat beat);
heartbeat_answer *beat(struct world *world, struct beat beat);
/* Epoch 0, subscribed to `topics`. */
heartbeat_answer *join(struct world *world, const char *member, const char *topics);
/* Nothing to say but that it is alive. */
heartbeat_answer *alive(struct world *world, const char *member, int32_t epoch);
/* And that it owns these. */
heartbeat_answer *alive_owning(struct world *world, const char *member, int32_t epoch,
			       const char *owned);
heartbeat_answer *leave(struct world *world, const char *member);

/* "unchanged" where the answer does not say; the next call's text replaces it. */
const char *assigned(const struct world *world, const heartbeat_answer *answer);
void expect(const struct world *world, const heartbeat_answer *answer, int32_t epoch,
	    const char *assignment);
void expect_refused(const heartbeat_answer *answer, enum kafka_error error);

typedef struct kafka_consumer_group_describe_response_described_group described_group;
const described_group *describe(struct world *world, const char *group);
/* Of group "g". */
void expect_state(struct world *world, const char *state);

/* What was appended from record number `first` on, by the types: "3 5 16 7 6 8-", '-' for a
 * tombstone; of partition 0. */
const char *appended_types(const struct world *world, size_t first);
