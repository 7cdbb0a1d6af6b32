/* dataplane/share/share_session.h: what a connection has told of a member of a share group: the
 * partitions that it reads (KIP-932's share sessions).
 *
 * A session lives on its connection and ends with it; what the member then still has of any
 * partition is given back.  Its holder is the number by which the partitions' owners know it.
 *
 * Owner: the connection's shard. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "dataplane/kafka/kafka_errors.h"
#include "dataplane/kafka/wire.h"
#include "dataplane/message.h"

struct channel;
struct request;
struct shard;
struct topic;

enum { SHARE_SESSION_OPEN = 0, SHARE_SESSION_CLOSE = -1 }; /* epochs */

/* A partition that the member reads, or has read. */
struct share_row {
	struct uuid topic_id;
	uint32_t topic_number;
	int32_t partition;
	bool reading;
	bool opened; /* its owner has asked the coordinator, in this session */
};

struct share_session {
	struct share_session *next; /* its connection's */
	struct shard *shard;
	struct kafka_string group;
	struct kafka_string member;
	int32_t epoch; /* of the next request */
	uint32_t holder;
	struct share_row *rows; /* ascending by topic id, partition */
	size_t row_count;
	size_t row_capacity;
	size_t first;      /* row to begin with, so that all have their turn */
	unsigned requests; /* under way */
	bool closed;       /* freed when these have ended and all is given back */
	unsigned at;       /* shard that is giving back */
	struct message message;
	char text[]; /* of group and member */
};

/* The sessions of one connection. */
struct share_sessions {
	struct share_session *first;
	unsigned count;
};

/* The session that a request with this epoch is of; SHARE_SESSION_OPEN makes one, in place of one
 * that is there.  NONE: *ret has one request more under way, to be ended with
 * share_session_ended. */
enum kafka_error share_session_begin(struct request *request, const struct kafka_string *group,
				     const struct kafka_string *member, int32_t epoch,
				     struct share_session **ret);
void share_session_ended(struct share_session *session);
/* No more requests; ends with those under way. */
void share_session_close(struct channel *channel, struct share_session *session);
/* The connection is gone. */
void share_sessions_close(struct channel *channel);

/* Null: out of memory. */
struct share_row *share_session_row(struct share_session *session, const struct topic *topic,
				    int32_t partition);
struct share_row *share_session_find(const struct share_session *session,
				     const struct uuid *topic_id, int32_t partition); /* or null */
