/* client/command/consume_group.h: reading on where a group has come to, and committing for it, as
 * somebody from outside who is no member. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct invocation;

struct consume_group {
	const struct invocation *invocation;
	const char *id; /* null: no group; then all below do nothing */
	const char *topic;
	struct sluice_group_offsets *committed;
	struct sluice_place *places; /* to be committed next */
	size_t count;
	size_t capacity;
	uint64_t due_ns;
};

/* Complains where the group has members.  Exit code. */
int consume_group_open(struct consume_group *group);
void consume_group_close(struct consume_group *group);
/* Where the group goes on; -1: it has committed nothing. */
int64_t consume_group_offset(const struct consume_group *group, int32_t partition);
/* All before `next` was printed. */
void consume_group_note(struct consume_group *group, int32_t partition, int64_t next);
/* Commits what was noted, when it is time or `now`.  Exit code. */
int consume_group_commit(struct consume_group *group, bool now);
