/* control/groups/share_internal.h: one share group, its members, what it keeps.
 *
 *     group epoch       rises when members, subscriptions or the topics change
 *     assignment epoch  the group epoch that the members' targets were computed for
 *     member epoch      the assignment epoch whose target the member has been told
 *
 * Every change is one record and the same in memory, in that order, as in consumer groups. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/timer_wheel.h"
#include "base/uuid.h"
#include "control/groups/consumer_partitions.h"
#include "control/groups/group.h"
#include "dataplane/share/share_partition.h"

struct arena;
struct share_group;

enum { SHARE_EPOCH_JOIN = 0, SHARE_EPOCH_LEAVE = -1 };

/* What a member says of itself. */
struct share_details {
	struct kafka_string rack_id; /* null: none */
	struct kafka_string client_id;
	struct kafka_string client_host;
	struct kafka_string *names; /* of the topics, ascending, no doubles */
	size_t name_count;
};

struct share_member {
	struct share_group *share;
	char *id_text;
	struct kafka_string id;
	void *details_memory; /* what `details` points into; null: no details, no member */
	struct share_details details;
	int32_t epoch;
	int32_t previous_epoch;
	struct partition_set target;
	struct partition_set assigned; /* what it was told */
	struct wheel_timer session;
};

/* How far the group has come in one partition: what its owner stored last. */
struct share_kept {
	struct list link;
	struct uuid topic_id;
	int32_t partition;
	int64_t start;
	struct share_run *runs;
	size_t run_count;
};

struct share_group {
	struct group *group;
	uint64_t incarnation;
	int32_t epoch;
	int32_t assignment_epoch;
	int64_t topics_hash;           /* of what is subscribed to, as of the group epoch */
	bool news;                     /* of a member: the group epoch is to rise */
	bool topics_changed;           /* since it was computed */
	struct share_member **members; /* in order of their coming */
	size_t member_count;
	size_t member_capacity;
	struct list kept;
	size_t kept_count;
};

static inline struct share_group *share_of(const struct group *group)
{
	return group->state;
}

/* ---- share.c ---- */
int share_begin(struct group *group); /* share_adopt without a record; -ENOMEM */

/* ---- share_members.c ---- */
struct share_member *share_member_find(const struct share_group *share,
				       const struct kafka_string *id);
/* Without details.  Null: out of memory. */
struct share_member *share_member_add(struct share_group *share, const struct kafka_string *id);
void share_member_remove(struct share_member *member); /* from memory alone */
/* In memory alone; copies, sorts the names.  -ENOMEM. */
int share_set_details(struct share_member *member, const struct share_details *details);
bool share_details_equal(const struct share_details *a, const struct share_details *b);
void share_member_seen(struct share_member *member); /* its session starts anew */
/* Removes it, with its records; the group epoch rises.  -ENOMEM: it is still there. */
int share_member_fence(struct share_member *member);

/* ---- share_target.c ---- */
/* The group epoch rises if there are news, or what is subscribed to is not what it was.
 * -ENOMEM. */
int share_follow_topics(struct share_group *share);
/* Targets for the group epoch, appended and in force.  -ENOMEM. */
int share_retarget(struct share_group *share);

/* ---- share_records.c: append; -ENOMEM: nothing happened ---- */
int share_append_group(const struct share_group *share, int32_t epoch, int64_t topics_hash);
int share_append_assignment_epoch(const struct share_group *share, int32_t epoch);
int share_append_details(const struct share_member *member);
int share_append_target(const struct share_member *member, const struct partition_set *target,
			struct arena *arena);
int share_append_current(const struct share_member *member, int32_t epoch, int32_t previous_epoch,
			 const struct partition_set *assigned, struct arena *arena);
int share_append_kept(const struct share_group *share, const struct share_kept *kept,
		      struct arena *arena);
int share_erase_member(const struct share_member *member);
int share_erase_kept(const struct share_group *share, const struct share_kept *kept);
int share_rewrite(struct group *group);
size_t share_live_records(const struct group *group);
int share_erase(struct group *group);

/* ---- share_kept.c ---- */
struct share_kept *share_kept_find(const struct share_group *share, const struct uuid *topic_id,
				   int32_t partition);
/* In memory alone; the runs are copied.  Null: out of memory, what was kept is unchanged. */
struct share_kept *share_keep(struct share_group *share, const struct share_kept *next);
void share_kept_free(struct share_group *share, struct share_kept *kept);
/* Forgets what belongs to topics that are gone. */
void share_kept_follow_topics(struct share_group *share);
