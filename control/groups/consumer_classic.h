/* control/groups/consumer_classic.h: members of a consumer group that speak the classic protocol,
 * as they do while a group goes from one protocol to the other (KIP-848, "Upgrade").
 *
 * They have epochs, targets and partitions as all members do.  Their JoinGroup is a heartbeat that
 * says everything, the answer's generation is their epoch, and SyncGroup tells what they have.
 * That they are to come again Heartbeat says with REBALANCE_IN_PROGRESS. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/timer_wheel.h"

struct classic_protocol;
struct classic_protocols;
struct consumer_member;
struct consumer_step;
struct control_request;
struct groups;
struct record_consumer_group_member_metadata_value;

/* What such a member is besides. */
struct consumer_classic {
	struct consumer_member *member;
	int32_t session_timeout_ms;
	struct classic_protocols *protocols; /* in order of preference; there is one at least */
	struct wheel_timer wait;             /* for its next JoinGroup or SyncGroup */
};

/* Copies.  -ENOMEM: it is what it was. */
int consumer_classic_set(struct consumer_member *member, const struct classic_protocol *protocols,
			 int32_t count, int32_t session_timeout_ms);
/* It speaks the other protocol from now on; nothing where it does already. */
void consumer_classic_clear(struct consumer_member *member);
/* What the step's request says of it, to be stored.  -ENOMEM. */
int consumer_classic_take_news(struct consumer_step *step);
/* To and from its record. */
void consumer_classic_describe(const struct consumer_member *member,
			       struct record_consumer_group_member_metadata_value *ret);
/* -ENOMEM; -ERR_CORRUPT: what no member can have said. */
int consumer_classic_load(struct consumer_member *member,
			  const struct record_consumer_group_member_metadata_value *value);

/* ---- consumer_classic_requests.c ---- */
/* Of a group that is a consumer group with members: the request is answered.  False: it is not, or
 * not any more, and nothing happened to the request. */
bool consumer_classic_join(struct groups *groups, struct control_request *request);
bool consumer_classic_sync(struct groups *groups, struct control_request *request);
bool consumer_classic_heartbeat(struct groups *groups, struct control_request *request);
bool consumer_classic_leave(struct groups *groups, struct control_request *request);
