/* control/groups/classic_internal.h: what the classic*.c files share.
 *
 * classic.c draws the states.  One struct classic a group, one struct classic_member a member id
 * that was given out. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map64.h"
#include "base/timer_wheel.h"
#include "control/groups/classic.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/kafka/wire.h"
#include "dataplane/shard.h"

struct classic;
struct kafka_join_group_request;

enum {
	/* A new member's first JoinGroup waits no longer: who gave up during a long rebalance and
	 * began anew would leave one defunct member a try. */
	CLASSIC_FIRST_JOIN_MS = 5 * 60 * 1000,
	/* Assignors that one member may offer; clients offer one to four.  The vote compares them
	 * all. */
	CLASSIC_PROTOCOLS_MAX = 64,
};

enum classic_state {
	CLASSIC_EMPTY,
	CLASSIC_PREPARING,  /* JoinGroup requests are gathered */
	CLASSIC_COMPLETING, /* of a new generation; the leader's assignment is awaited */
	CLASSIC_STABLE,
};

/* ---- the group (classic.c) ---- */
/* Null: no such group, or it speaks another protocol. */
struct group *classic_find_group(const struct groups *groups, const struct kafka_string *id);
/* Empty, and not yet a group's state.  Null: out of memory. */
struct classic *classic_new(struct group *group);
/* What is parked is refused with `error` at once. */
void classic_free(struct classic *classic, enum kafka_error error);
/* The group may be gone: nobody ever joined it and nobody is expected to. */
void classic_forget_if_unused(struct classic *classic);

/* Copies `value`, with a NUL behind it, in place of what `text` owns.  -ENOMEM: nothing changed. */
int classic_set_text(struct kafka_string *text, const struct kafka_string *value);
void classic_clear_text(struct kafka_string *text); /* null from now on */

/* ---- assignors (classic_protocols.c) ---- */
/* Called protocols by the protocol: names of assignors, and what each is to know of the member. */
struct classic_protocol {
	struct kafka_string name;
	struct kafka_bytes metadata; /* opaque; a ConsumerProtocolSubscription for consumers */
};

/* In order of preference; names and metadata lie behind. */
struct classic_protocols {
	int32_t count;
	struct classic_protocol items[];
};

/* Copies 1 to CLASSIC_PROTOCOLS_MAX of them.  Null: out of memory, here and below. */
struct classic_protocols *classic_protocols_of(const struct classic_protocol *items, int32_t count);
struct classic_protocols *classic_protocols_copy(const struct kafka_join_group_request *request);
struct classic_protocols *classic_protocols_one(const struct kafka_string *name,
						const struct kafka_bytes *metadata);
bool classic_protocols_equal(const struct classic_protocols *protocols,
			     const struct kafka_join_group_request *request);
/* Null: not offered. */
const struct classic_protocol *classic_protocols_find(const struct classic_protocols *protocols,
						      const struct kafka_string *name);

struct classic {
	struct group *group;
	enum classic_state state;
	int64_t state_since_ms; /* wall clock */
	int32_t generation;
	struct kafka_string protocol_type; /* "consumer"; owned; null: no member yet */
	struct kafka_string protocol;      /* the assignor voted for; owned; null: none */
	struct classic_member *leader;
	struct list members; /* struct classic_member.link, in order of joining */
	struct list pending; /* likewise, ids that were given out and have not joined yet */
	struct map64 by_id;  /* of both, by hash of the id */
	struct map64 by_instance;
	size_t member_count;
	size_t pending_count;
	size_t joining_count;  /* members whose JoinGroup is parked */
	size_t unsynced_count; /* members that have not asked for their assignment */

	struct wheel_timer join_timer; /* preparing: the members have had time to join */
	struct wheel_timer sync_timer; /* since completing: the members have had time to sync */
	bool initial;                  /* preparing, and was empty before: more members may come */
	bool member_added;             /* initial: since the join timer was armed */
	int64_t initial_delay_ms;      /* initial: the timer's */
	int64_t initial_left_ms;       /* initial: how much it can still be put off */

	/* What is stored says that the members are to be gathered anew: it names no leader.  Until
	 * there is another assignment, or nobody to have one. */
	bool rebalance_due;
	bool stored;               /* the log has a record of this group */
	int32_t stored_generation; /* what that says */
};

/* Phases: pending (an id only) -> new (its first JoinGroup is parked) -> member -> freed. */
struct classic_member {
	struct list link;
	struct classic *classic;
	struct kafka_string id;          /* the texts lie behind the struct */
	struct kafka_string instance_id; /* null: a dynamic member */
	struct kafka_string client_id;
	struct kafka_string client_host;
	int32_t session_timeout_ms;
	int32_t rebalance_timeout_ms;
	struct classic_protocols *protocols; /* null: pending */
	struct kafka_bytes assignment;       /* owned; of the last generation that had one */
	struct wheel_timer session;
	struct control_request *join; /* parked */
	struct control_request *sync; /* parked */
	bool fresh;                   /* new */
	bool unsynced;                /* of this generation */
	bool stored;                  /* in the last record, with `assignment` */
};

/* ---- JoinGroup (classic_join.c) ---- */
/* As the request has it; its session timeout where it has none. */
int32_t classic_join_timeout_ms(const struct control_request *request);

/* ---- members (classic_members.c) ---- */
struct classic_identity {
	struct kafka_string id;
	struct kafka_string instance_id;
	struct kafka_string client_id;
	struct kafka_string client_host;
};

/* Of no group yet.  Null: out of memory. */
struct classic_member *classic_member_new(const struct classic_identity *identity);
void classic_member_free(struct classic_member *member); /* of no group; null is fine */
/* Copies.  -ENOMEM: it has what it had; not for an empty one. */
int classic_member_assign(struct classic_member *member, const struct kafka_bytes *assignment);
/* -ENOMEM; -EEXIST: an id or instance id that cannot be told from another's. */
int classic_members_add(struct classic *classic, struct classic_member *member);
int classic_members_add_pending(struct classic *classic, struct classic_member *member);
/* A pending one becomes a member; its protocols are set. */
void classic_members_admit(struct classic_member *member);
/* Takes `member` out and frees it; what it has parked is answered with `error`; another one leads
 * if it did.  The state is not looked at: call classic_members_changed when all are removed. */
void classic_members_remove(struct classic_member *member, enum kafka_error error);
/* All of them, pending ones too; what is parked is refused at once, whatever is durable. */
void classic_members_clear(struct classic *classic, enum kafka_error error);
/* `next` takes the place and the assignment of `member`, which is freed after its parked requests
 * are answered FENCED_INSTANCE_ID.  -ENOMEM, -EEXIST: nothing changed. */
int classic_members_replace(struct classic_member *member, struct classic_member *next);
/* Pending ones included.  Null: none. */
struct classic_member *classic_members_find(const struct classic *classic,
					    const struct kafka_string *id);
struct classic_member *classic_members_find_static(const struct classic *classic,
						   const struct kafka_string *instance_id);
/* The member that a request comes from.  UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. */
enum kafka_error classic_members_identify(const struct classic *classic,
					  const struct kafka_string *id,
					  const struct kafka_string *instance_id,
					  struct classic_member **ret);
static inline bool classic_member_pending(const struct classic_member *member)
{
	return !member->protocols;
}
static inline struct classic_member *classic_member_at(struct list *link)
{
	return container_of(link, struct classic_member, link);
}

/* The assignor that most members prefer of those that all offer; of the first member where none
 * does.  There are members. */
const struct kafka_string *classic_members_vote(const struct classic *classic);
/* Every member offers one of these. */
bool classic_members_support(const struct classic *classic,
			     const struct kafka_join_group_request *request);
/* The longest. */
int32_t classic_members_rebalance_timeout_ms(const struct classic *classic);

/* ---- sessions (classic_session.c) ---- */
void classic_session_expired(struct wheel_timer *timer);
/* The member is alive: its session begins anew, but that of its first join. */
void classic_session_renew(struct classic_member *member);
void classic_session_begin(struct classic_member *member, int32_t timeout_ms);

/* ---- rebalances (classic_rebalance.c) ---- */
void classic_join_expired(struct wheel_timer *timer);
void classic_sync_expired(struct wheel_timer *timer);
/* Gathers the members anew, or ends the gathering when that was all that is missing.  `reason` goes
 * to the log. */
void classic_rebalance(struct classic *classic, const char *reason);
/* After members left: as classic_rebalance, where there was a generation to end. */
void classic_members_changed(struct classic *classic, const char *reason);
void classic_enter(struct classic *classic, enum classic_state state);
/* At the level of debugging, with the generation and the number of members. */
void classic_log_change(const struct classic *classic, const char *event, const char *reason);
/* KIP-800: why a client says that it joins or leaves; nothing where it does not. */
void classic_log_reason(const struct classic *classic, const char *event,
			const struct kafka_string *reason);
/* It has asked for its assignment. */
void classic_synced(struct classic_member *member);

/* ---- answers (classic_answers.c) ---- */
/* Members may be gone before the answer leaves: it is made of copies. */
struct classic_copies {
	struct arena *arena;
	int rc; /* -ENOMEM: some are missing */
};
struct kafka_string classic_copy_string(struct classic_copies *copies,
					const struct kafka_string *text);
struct kafka_bytes classic_copy_bytes(struct classic_copies *copies,
				      const struct kafka_bytes *bytes); /* null: empty */
/* For the assignor that was voted for; null: it has none for that. */
const struct kafka_bytes *classic_metadata(const struct classic_member *member);
void classic_park_join(struct classic_member *member, struct control_request *request);
void classic_park_sync(struct classic_member *member, struct control_request *request);
/* The parked request, if there is one, is answered. */
void classic_refuse_join(struct classic_member *member, enum kafka_error error,
			 const struct kafka_string *member_id);
void classic_refuse_sync(struct classic_member *member, enum kafka_error error);
void classic_answer_join(struct classic_member *member);
void classic_answer_sync(struct classic_member *member);
/* The member is in a generation: its number, who leads it and, for the leader, everyone in it. */
void classic_fill_join(const struct classic_member *member, struct control_request *request);
void classic_fill_sync(const struct classic_member *member, struct control_request *request);
/* JoinGroup's error, which names a member id. */
void classic_fill_join_error(struct control_request *request, enum kafka_error error,
			     const struct kafka_string *member_id);

/* ---- records (classic_records.c) ---- */
/* Appends the group as it is: all members, with their assignments.  -ENOMEM: what was stored before
 * still is, but a rewrite does not know it any more and writes an empty group. */
int classic_store(struct classic *classic);
int classic_rewrite(struct group *group);
size_t classic_live_records(const struct group *group);
int classic_erase(struct group *group);
void classic_loaded(struct group *group);
