/* control/groups/offset_rows.h: the partitions that a request about offsets names, whatever its API
 * and version.
 *
 * Each API makes its response, one row for each that was asked for and in that order, and has these
 * point into it. */
#pragma once
#include "control/groups/groups_internal.h"

struct offset_row {
	const struct topic *topic; /* null: there is none */
	int32_t partition;
	/* Where it is committed: */
	int64_t offset;
	int32_t leader_epoch;
	struct kafka_string metadata; /* null: none */
	int16_t *error;               /* the response's */
};

struct offset_rows {
	struct offset_row *rows;
	size_t count;
};

/* NONE, or UNKNOWN_TOPIC_OR_PARTITION; `topic` null: there is none. */
enum kafka_error offset_partition_check(const struct topic *topic, int32_t partition);
/* Every row that has none yet. */
void offset_rows_fail(const struct offset_rows *rows, enum kafka_error error);

/* ---- offset_commit.c ---- */

struct offset_commit {
	const struct kafka_string *group_id;
	struct group_claim claim;
	int64_t producer_id;            /* whose transaction it is part of; NO_PRODUCER */
	int64_t retention_ms;           /* an old client's own; negative: none */
	enum kafka_error unknown_topic; /* how the API says it */
	enum kafka_error unknown_group; /* to somebody who says to be its member */
	struct offset_rows rows;
};

/* Commits what may be, each row by itself, and answers; nothing where request->rc is an error. */
void offset_commit_run(struct groups *groups, struct control_request *request,
		       const struct offset_commit *commit);
