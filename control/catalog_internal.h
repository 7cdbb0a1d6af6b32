/* control/catalog_internal.h: what the catalog's files share: catalog.c writes and reads the
 * journal, catalog_tables.c holds what it says, in order of name.
 *
 * Owner: the control plane's thread. */
#pragma once
#include "control/catalog.h"

struct journal;

struct catalog {
	int data_fd; /* the caller's */
	int dir_fd;
	struct journal *journal;
	uint64_t rewritten_bytes; /* size after the last rewrite */
	struct uuid cluster_id;
	int32_t run;
	int64_t next_producer_id;
	uint32_t next_number;
	int64_t partition_count;
	struct catalog_topic **topics; /* by name */
	size_t topic_count;
	size_t topic_capacity;
	struct uuid *deleted; /* topics whose folders may be there still */
	size_t deleted_count;
	size_t deleted_capacity;
	struct catalog_group *groups; /* by id */
	size_t group_count;
	size_t group_capacity;
	struct broker_overrides broker[BROKER_SCOPE_COUNT];
};

/* ---- catalog_tables.c ---- */
struct catalog_topic *catalog_topic_by_id(const struct catalog *catalog, const struct uuid *id);
void catalog_topic_free(struct catalog_topic *topic);
/* Room for one more; without it nothing may be added.  -ENOMEM. */
int catalog_reserve_topic(struct catalog *catalog);
int catalog_reserve_group(struct catalog *catalog);
int catalog_reserve_deleted(struct catalog *catalog);
/* Takes over the topic; there is none of its name. */
void catalog_add_topic(struct catalog *catalog, struct catalog_topic *topic);
void catalog_remove_topic(struct catalog *catalog, struct catalog_topic *topic); /* frees it */
void catalog_add_deleted(struct catalog *catalog, const struct uuid *id);
/* Forgets those whose folders have gone. */
void catalog_drop_removed(struct catalog *catalog);
void catalog_group_fini(struct catalog_group *group);
/* Takes over what `group` holds, in place of what there was of its name. */
void catalog_put_group(struct catalog *catalog, const struct catalog_group *group);
void catalog_remove_group(struct catalog *catalog, const char *id); /* none of it is fine */
