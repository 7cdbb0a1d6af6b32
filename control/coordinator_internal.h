/* control/coordinator_internal.h: what the files of the coordinator share. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "control/coordinator.h"
#include "control/coordinator_log.h"

struct clock;
struct coordinator;
struct group_lag;
struct groups;
struct io_backend;
struct topics;
struct transactions;

/* The memory of one state machine. */
struct state_topic {
	struct coordinator *coordinator;
	enum internal_topic topic;
	struct coordinator_log *log;
	struct coordinator_wish wish;
	bool wishing; /* `wish` is not back */
};

struct coordinator {
	struct coordinator_options options;
	unsigned self; /* in the mesh */
	const struct clock *clock;
	pthread_t thread;
	bool running;
	atomic_bool ended;

	/* The thread's. */
	struct io_backend *io;
	struct groups *groups;
	struct transactions *transactions;
	struct state_topic topics[INTERNAL_TOPIC_COUNT];
	struct group_lag *lag; /* null: no pictures are wanted */
	struct coordinator_ids ids;
	bool wants_ids;                /* `ids` is not back */
	struct coordinator_stop *stop; /* being answered */
	uint64_t stop_ns;              /* ... at the latest */
};

static inline void coordinator_send(struct coordinator *coordinator, unsigned to,
				    struct message *message)
{
	mesh_send(coordinator->options.mesh, coordinator->self, to, message);
}

/* ---- coordinator_topics.c: all of `topics` ---- */
int coordinator_topics_open(struct coordinator *coordinator); /* -ENOMEM */
/* The state machines are there. */
void coordinator_topics_start(struct coordinator *coordinator);
void coordinator_topics_set(struct coordinator *coordinator, const struct topics *topics);
void coordinator_topics_call_end(struct coordinator *coordinator);
uint64_t coordinator_topics_turn(struct coordinator *coordinator);
void coordinator_topics_stop(struct coordinator *coordinator);
bool coordinator_topics_idle(const struct coordinator *coordinator);
void coordinator_topics_abandon(struct coordinator *coordinator);
void coordinator_topics_free(struct coordinator *coordinator);

/* ---- coordinator_machines.c ---- */
/* The groups and the transactions, over the logs of `topics`.  -ENOMEM. */
int coordinator_machines_open(struct coordinator *coordinator);
