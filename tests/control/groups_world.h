/* tests/control/groups_world.h: a broker's groups in a test's hands: time, topics, the log and the
 * clients.
 *
 * A request goes through its wire form both ways, so that the groups see what its version carries
 * and the test what a client of it would.  Everything that is appended is kept: a second `struct
 * groups` can be made of it at any time, which is what a restart does.
 *
 *     struct world *w = world_new(1);
 *     world_topic(w, "t", 3);
 *     struct world_request *ask = world_ask(w, KAFKA_OFFSET_COMMIT, 9);
 *     struct kafka_offset_commit_request *commit = ask->message;
 *     ...
 *     world_send(ask);
 *     struct kafka_offset_commit_response *answer = world_answer(ask);
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "control/config.h"
#include "control/groups/groups_internal.h"
#include "dataplane/share/share_ask.h"
#include "dataplane/topics.h"
#include "tests/control/world_log.h"

enum { WORLD_TOPICS_MAX = 32 };

struct world {
	struct clock clock;
	uint64_t now_ns;
	int64_t wall_ms;
	struct config config; /* the defaults, to be changed before or between requests */
	struct world_log log;
	struct topics topics;
	struct topic *rows[WORLD_TOPICS_MAX];
	struct groups *groups;
	struct list requests; /* all that were asked */
	uint32_t topics_made;
};

struct world_request {
	struct list link;
	struct world *world;
	struct control_request request;
	struct arena arena;
	void *message; /* struct kafka_<api>_request, of the client's making */
	bool answered;
};

/* What the owner of a partition asks of a share group. */
struct world_share {
	struct share_ask ask;
	bool answered;
};

/* `partitions` of __consumer_offsets, all loaded; no topics. */
struct world *world_new(int32_t partitions);
/* Also checks that every answer can be sent when all groups are gone. */
void world_free(struct world *world);

/* ---- topics ---- */
const struct topic *world_topic(struct world *world, const char *name, int32_t partitions);
void world_grow_topic(struct world *world, const char *name, int32_t partitions);
void world_delete_topic(struct world *world, const char *name);

/* ---- time ---- */
/* Forward by `ms`, stopping whenever something is due. */
void world_advance(struct world *world, int64_t ms);

/* ---- requests ---- */
/* The request with its defaults, from client "client" at 192.0.2.7. */
struct world_request *world_ask(struct world *world, int16_t key, int16_t version);
/* Zeroed memory that lives as long as the request. */
void *world_alloc(struct world_request *ask, size_t count, size_t size);
void world_send(struct world_request *ask);
/* The response as a client reads it; it must have been answered. */
void *world_answer(struct world_request *ask);

/* ---- the log ---- */
void world_flush(struct world *world, int32_t partition); /* all of it is durable */
/* What is not durable is lost; those who waited are told, and the partition is loaded anew. */
void world_fail(struct world *world, int32_t partition);
size_t world_appended(const struct world *world); /* in all partitions */
/* The groups end, and new ones are made of what is durable.  What was parked is answered. */
void world_restart(struct world *world);
/* A restart now would give the same groups, and so would one from what groups_rewrite writes:
 * everything that is stored of them is the same, and so is what the admin requests say. */
void world_check_restart(struct world *world);
