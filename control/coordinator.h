/* control/coordinator.h: the thread of the coordinator: the groups (groups/groups.h), the
 * transactions (transactions/transactions.h), their logs, and the messages between them and the
 * rest.
 *
 * The control plane starts it before the shards and ends it after them; between, everything goes by
 * messages.  Phases: started -> serving -> stopping -> quiet (answers COORDINATOR_NOT_AVAILABLE) ->
 * ended. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "control/internal_topics.h"
#include "dataplane/message.h"

struct config;
struct coordinator;
struct mesh;

struct coordinator_options {
	const struct config *config; /* until a coordinator_configure is back */
	struct mesh *mesh;           /* its place is the coordinator's */
	unsigned shard_count;
	struct internal_topic_state topics[INTERNAL_TOPIC_COUNT];
	/* message.handle of a coordinator_wish and of a coordinator_ids; on the control plane. */
	void (*wish)(struct message *message, void *control);
	void (*ids)(struct message *message, void *control);
};

/* Starts the thread.  -errno; nothing runs then. */
int coordinator_start(struct coordinator **ret, const struct coordinator_options *options);
/* Nobody sends to it any more, and what it sent to the shards is back, or will never be looked at:
 * ends and joins the thread, frees.  Null is fine. */
void coordinator_end(struct coordinator *coordinator);

/* Coordinator -> control plane: the topic is needed, or one of its partitions does not open.  Sent
 * back with handle = granted when the catalog has the topic (it comes with a picture) or cannot
 * (rc). */
struct coordinator_wish {
	struct message message;
	void (*granted)(struct message *message, void *coordinator);
	enum internal_topic topic;
	int rc;
};

/* Coordinator -> control plane: producer ids are needed.  Sent back with handle = given: `count` of
 * them from `first` on are the coordinator's, or there are none (rc). */
struct coordinator_ids {
	struct message message;
	void (*given)(struct message *message, void *coordinator);
	int64_t first;
	int64_t count;
	int rc;
};

/* message.handle of a struct control_request. */
void coordinator_request_handle(struct message *message, void *coordinator);

/* ... of a struct share_ask. */
void coordinator_share_handle(struct message *message, void *coordinator);

/* ... of a struct transaction_ask. */
void coordinator_transaction_handle(struct message *message, void *coordinator);

/* ... of a struct shard_publish: to the coordinator when all shards have the picture, as it uses
 * what is in it at once. */
void coordinator_publish_handle(struct message *message, void *coordinator);

/* Control plane -> coordinator, with handle = coordinator_configure_handle: `config` holds from now
 * on.  Sent back with handle = configured when nothing refers to the former one any more. */
struct coordinator_configure {
	struct message message;
	void (*configured)(struct message *message, void *control);
	const struct config *config;
};
void coordinator_configure_handle(struct message *message, void *coordinator);

/* ... of a struct shard_ping: sent back by the next turn of the coordinator's loop. */
void coordinator_ping_handle(struct message *message, void *coordinator);

/* Control plane -> coordinator, with handle = coordinator_stop_handle: answer what is parked, let
 * what was appended become durable and markers return for up to `drain_ms`, send it back with
 * handle = stopped. */
struct coordinator_stop {
	struct message message;
	void (*stopped)(struct message *message, void *control);
	uint32_t drain_ms;
};
void coordinator_stop_handle(struct message *message, void *coordinator);
