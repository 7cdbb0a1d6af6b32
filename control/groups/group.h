/* control/groups/group.h: one group, whatever protocol its members speak.
 *
 * What all have in common is here: the id, the committed offsets, the partition that stores it.
 * What the members do is a kind's: struct group_kind, with one implementation a protocol
 * (classic.c, consumer.c, share.c).  A group without members may change its kind; one that has
 * neither members nor offsets, pending ones included, is deleted.
 *
 * Phases: of no kind (only offsets, or just made) -> of a kind, empty <-> with members -> deleted.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "control/groups/offsets.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/kafka/wire.h"

struct control_request;
struct group;
struct groups;
struct topic;

/* Who wants to commit or to read offsets as a member; empty and -1 where the request has none. */
struct group_claim {
	struct kafka_string member_id;
	struct kafka_string instance_id; /* null: none */
	int32_t epoch;                   /* generation or member epoch; -1: not a member */
	int16_t version;                 /* of the request, where an error depends on it */
	bool in_transaction;
};

struct group_kind {
	const char *type;                                /* "classic", "consumer", "share" */
	const char *(*state)(const struct group *group); /* as ListGroups says it: "Stable" */
	const char *(*protocol_type)(const struct group *group); /* "consumer", "" */
	size_t (*member_count)(const struct group *group);
	/* KAFKA_NONE, or why this member's commit is refused. */
	enum kafka_error (*may_commit)(const struct group *group, const struct group_claim *claim);
	enum kafka_error (*may_fetch)(const struct group *group, const struct group_claim *claim);
	/* Whether members read the topic now: its offsets neither expire nor can be deleted.  True
	 * where members may and nobody can tell. */
	bool (*subscribed)(const struct group *group, const struct topic *topic);
	/* Without members it is more than its offsets: it neither goes nor changes its kind.
	 * Optional. */
	bool (*keeps)(const struct group *group);
	/* Of a member: put off its session's end.  Optional. */
	void (*seen)(struct group *group, const struct group_claim *claim);
	/* The topics have changed (groups->topics).  Optional. */
	void (*topics_changed)(struct group *group);
	/* Its partition has been loaded: arm timers.  Optional. */
	void (*loaded)(struct group *group);
	/* Appends what is stored of the kind's state.  -ENOMEM. */
	int (*rewrite)(struct group *group);
	size_t (*live_records)(const struct group *group);
	/* Appends tombstones for what is stored of the kind's state (not of the offsets). */
	int (*erase)(struct group *group);
	/* Answers what is parked with `error`, disarms timers, frees group->state.  Appends
	 * nothing. */
	void (*forget)(struct group *group, enum kafka_error error);
};

struct group {
	struct groups *groups;
	struct list link;    /* its partition's */
	struct group *chain; /* the next of its place in the table */
	char *id;            /* NUL-terminated, id_length bytes before it */
	size_t id_length;
	int32_t partition;             /* of __consumer_offsets */
	const struct group_kind *kind; /* null: of no kind yet */
	void *state;                   /* the kind's; null with it */
	/* Wall clock, as stored; 0: it has members, never had, or the kind does not store it.
	 * Offsets expire by the later of this and their commit. */
	int64_t empty_since_ms;
	struct offsets offsets; /* committed */
	struct list pending;    /* struct pending_offsets.link, in order of their making */
};

/* Which of `count` partitions of __consumer_offsets stores the group: Kafka's rule, the absolute
 * value of Java's String.hashCode. */
int32_t group_partition_of(const struct kafka_string *id, int32_t count);
/* The id as it goes into a record or an answer; lives as long as the group. */
struct kafka_string group_id(const struct group *group);

/* Null when there is none. */
struct group *group_find(const struct groups *groups, const struct kafka_string *id);
/* Finds or makes one, of no kind.  Null: COORDINATOR_NOT_AVAILABLE, out of memory, or
 * GROUP_MAX_SIZE_REACHED, which group.max.groups is (never while the partition is loading). */
struct group *group_obtain(struct groups *groups, const struct kafka_string *id,
			   enum kafka_error *ret_error);
/* Committed or pending. */
bool group_has_offsets(const struct group *group);
/* Members: none, whatever the kind. */
bool group_empty(const struct group *group);
/* It has no members, and its kind nothing to keep: it may change its kind. */
bool group_vacant(const struct group *group);
/* Tombstones for all that is stored of it; gone when the call returns.  -ENOMEM: it is still there,
 * maybe without some of its offsets. */
int group_delete(struct group *group);
/* Gone when it has no members and no offsets; appends the tombstones.  `group` may be freed. */
void group_delete_if_idle(struct group *group);
/* Gone from memory alone: its kind is told to forget, with `error` for what is parked. */
void group_drop(struct group *group, enum kafka_error error);
