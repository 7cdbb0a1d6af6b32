/* control/groups/lag.h: how far every group is behind, drawn at one moment.
 *
 * A picture is made by the coordinator's thread and never changes: whoever it is given to may read
 * it on any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"

struct groups;

struct lag_row {
	const char *topic;
	int32_t partition;
	int64_t committed;      /* -1: none */
	int64_t high_watermark; /* -1: not known */
	int64_t lag;            /* records between; -1: not known */
};

struct lag_group {
	const char *id;
	const char *type;  /* as in ListGroups */
	const char *state; /* as in ListGroups */
	size_t members;
	int64_t lag; /* sum of what is known */
	size_t row_count;
	struct lag_row *rows; /* the most behind first */
};

struct lag_picture {
	struct arena memory;
	size_t group_count;
	struct lag_group *groups; /* by id, ascending */
};

/* -1: not known. */
typedef int64_t lag_watermark(const void *context, uint32_t topic_number, int32_t partition);

/* Null: out of memory. */
struct lag_picture *lag_picture_new(const struct groups *groups, lag_watermark *watermark,
				    const void *context);
void lag_picture_free(struct lag_picture *picture); /* null is fine */
/* Null when there is none. */
const struct lag_group *lag_picture_find(const struct lag_picture *picture, const char *id);
