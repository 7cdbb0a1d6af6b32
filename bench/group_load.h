/* bench/group_load.h: what group_load.c and the two protocols share: members, groups, counts.
 *
 * A member has its own connection, and one request under way at most: it asks when it may and has
 * something to say, and what is answered decides what it says next.  One thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/timer_wheel.h"
#include "base/uuid.h"
#include "bench/group_line.h"
#include "bench/histogram.h"

struct group;

enum {
	MEMBER_ID_BYTES = 320, /* a client id and a UUID, with room */
	GROUP_ID_BYTES = 32,
	TOPIC_BYTES_MAX = 249,      /* as Kafka has it */
	TOPIC_PARTITIONS_MAX = 100, /* a large group is not to be a benchmark of folders */
	ERROR_CODES = 160,
};

enum member_step {
	MEMBER_FIND, /* the coordinator */
	MEMBER_JOIN,
	MEMBER_SYNC, /* classic only */
	MEMBER_STABLE,
	MEMBER_LEAVE, /* and joins again */
};

struct member {
	struct wheel_timer timer; /* for what it says next */
	struct group *group;
	unsigned index; /* in its group; modulo the topic's partitions, the one it commits */
	struct group_line line;
	enum member_step step;
	char id[MEMBER_ID_BYTES]; /* empty: none yet */
	int32_t generation;       /* or epoch */
	int32_t settled;          /* the last one that it was counted in */
	bool leads;
	bool wants_to_leave;
	bool has_news;          /* consumer: owns something else than it said last */
	uint64_t not_before_ns; /* says nothing until then */
	uint64_t heartbeat_ns;  /* the next one is due */
	uint64_t commit_ns;
	int64_t offset;
	struct uuid topic; /* consumer: of the partitions */
	int32_t partitions[TOPIC_PARTITIONS_MAX];
	int32_t partition_count;
};

/* Settled: all its members have the newest generation, and what it gives them. */
struct group {
	struct wheel_timer churn;
	char id[GROUP_ID_BYTES];
	struct member *members;
	unsigned next_leaver;
	int32_t generation; /* the newest that a member was told of */
	unsigned settled;   /* members that have it */
	uint64_t begun_ns;  /* since when the group is not settled; 0: it is */
	uint64_t joined_ns; /* when the last member asked to join */
};

/* Since the last report. */
struct group_counts {
	uint64_t heartbeats;
	uint64_t commits;
	uint64_t joins;
	uint64_t syncs;
	uint64_t leaves;
	uint64_t generations;
	uint64_t rebalances;          /* from settled to settled */
	uint64_t skipped;             /* rebalances that were due in a group that was not settled */
	uint64_t errors[ERROR_CODES]; /* by code + 1; not those by which members learn what to do */
	struct histogram heartbeat;
	struct histogram commit;
	struct histogram rebalance;
	struct histogram assembly; /* the last member has asked to join -> settled */
};

struct group_protocol {
	/* The request of the member's step; for MEMBER_STABLE a heartbeat. */
	void (*ask)(struct member *member);
	/* Any answer but a commit's and FindCoordinator's: the member's next step. */
	void (*answered)(struct member *member, const void *response);
	/* Every member of the group, over `line`, whatever it is doing. */
	void (*leave)(struct group *group, struct group_line *line);
};

extern const struct group_protocol group_protocol_classic;
extern const struct group_protocol group_protocol_consumer;

struct group_options {
	const char *to;
	const char *topic;
	unsigned groups;
	unsigned members;    /* a group */
	unsigned partitions; /* of the topic */
	uint64_t heartbeat_ms;
	uint64_t commit_ms; /* 0: never */
	uint64_t churn_ms;  /* of a group; 0: never */
	uint64_t session_ms;
	uint64_t seconds;
	uint64_t settle_seconds; /* at most */
	const struct group_protocol *protocol;
};

extern struct group_load {
	struct group_options options;
	struct timer_wheel wheel;
	struct arena arena; /* of one request and its answer */
	struct member *members;
	struct group *groups;
	unsigned settled_groups; /* at least once */
	bool asked;              /* for a report */
	struct group_counts counts;
} group_load;

/* ---- group_member.c, for group_load.c ---- */
/* The next request, if there is none under way and it is time for one. */
void member_turn(struct member *member);
void member_readable(struct member *member);
void member_expired(struct wheel_timer *timer);
/* A timer of a group: one member leaves and comes back.  In turn, so that leaders do too. */
void group_churns(struct wheel_timer *timer);

/* ---- group_member.c, for the protocols ---- */
void member_ask(struct member *member, int16_t key, int16_t version, const void *message);
/* The group has news: it is not settled until every member has `generation`. */
void group_unsettled(struct group *group);
void group_generation(struct group *group, int32_t generation);
/* Once per member and generation. */
void group_member_settled(struct member *member);
/* Counted, unless it is 0. */
void group_error(int16_t code);
/* True: the coordinator is not ready, and the member will ask the same again in a moment. */
bool member_waits(struct member *member, int16_t code);
