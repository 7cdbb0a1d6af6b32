/* tests/control/fake_kinds.h: a protocol without a protocol, in place of the real ones: what its
 * groups say is what the test has told them.
 *
 * fake_classic.c and fake_consumer.c have the entry points of classic.c and consumer.c, so that a
 * test of one protocol does not need the other. */
#pragma once
#include <stdbool.h>

#include "control/groups/groups_internal.h"

struct fake_group {
	char protocol_type[32];
	int32_t members;
	const char *subscribed; /* a topic that the members read; null: none */
	enum kafka_error may_commit;
	enum kafka_error may_fetch;
	unsigned seen;
	unsigned topics_changed;
	unsigned loaded;
	struct control_request *parked; /* answered when the group is forgotten */
};

/* Makes the group, or gives it its kind, as a classic one, and stores that. */
struct fake_group *fake_classic(struct groups *groups, const char *id, const char *protocol_type,
				int32_t members);
/* The same group, as it is after something was changed; `members` 0: it is empty from now on. */
void fake_classic_store(struct groups *groups, const char *id, int32_t members);
struct fake_group *fake_find(struct groups *groups, const char *id);
