/* client/membership.h: which partitions a member of a group has, and how those of a classic group
 * tell one another, in bytes that brokers hand on unread: the protocol type `consumer`, Kafka's
 * ConsumerProtocol.
 *
 * Only what every version has is read: topics by name, then partitions of topics.  Bytes that are
 * something else give -ERR_BAD_REQUEST.  Results are copies in `arena`.  Thread: any. */
#pragma once
#include <stddef.h>

#include "client/sluice.h"
#include "dataplane/kafka/wire.h"

struct arena;

struct assigned_list {
	struct sluice_assigned *at; /* in the arena */
	size_t count;
	size_t capacity;
};

/* Room for `more`, which the caller then fills: list->at + list->count, counted here already.
 * Null: no memory. */
struct sluice_assigned *assigned_list_add(struct assigned_list *list, size_t more,
					  struct arena *arena);

int membership_read_topics(const struct kafka_bytes *metadata, struct arena *arena,
			   const char *const **ret_topics, size_t *ret_count);
/* In the order of the bytes. */
int membership_read_assignment(const struct kafka_bytes *assignment, struct arena *arena,
			       struct assigned_list *ret);
