/* control/catalog.h: what the broker must not forget about itself: topics and their settings, what
 * clients have set of its own, the cluster id, the number of this run, producer-id blocks.
 *
 * A journal (<data>/catalog/journal) holds one record a change; a change is durable when the call
 * that made it returns 0.  A journal that has outgrown its content is rewritten and swapped in.
 * Format: control/README.md.  After a failed write nothing is changed; after a failed flush, where
 * nobody can know, the catalog refuses changes until the next start.
 *
 * Owner: the control plane's thread.  Calls block on the disk. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "control/broker_config.h"
#include "control/group_config.h"
#include "control/topic_config.h"
#include "dataplane/topics.h"

struct catalog;

struct catalog_topic {
	char name[TOPIC_NAME_MAX + 1];
	struct uuid id;
	uint32_t number; /* ascending in order of creation; of this run */
	int32_t partition_count;
	struct topic_overrides overrides;
};

/* Opens or creates <data_fd>/catalog and reads it; `data_fd` stays open until the catalog is
 * closed. `why` gets the sentence for the operator. -ERR_CORRUPT: damage before the last record;
 * -ERR_FORMAT: not a journal, or of a newer version; -errno. */
int catalog_open(struct catalog **ret, int data_fd, char *why, size_t why_bytes);
void catalog_close(struct catalog *catalog); /* null is fine */

const struct uuid *catalog_cluster_id(const struct catalog *catalog);

/* Topics in strcmp order of their names; pointers hold until the topic is deleted. */
size_t catalog_topic_count(const struct catalog *catalog);
const struct catalog_topic *catalog_topic_at(const struct catalog *catalog, size_t index);
const struct catalog_topic *catalog_find(const struct catalog *catalog, const char *name,
					 size_t length); /* null: none */
const struct catalog_topic *catalog_find_id(const struct catalog *catalog, const struct uuid *id);
int64_t catalog_partition_count(const struct catalog *catalog); /* of all topics */
/* Topics that have been deleted and whose folders, <data_fd>/topics/<id in hex>, were there still
 * when that was last looked for, as at the opening; *ret holds until the next topic is deleted. */
size_t catalog_deleted(const struct catalog *catalog, const struct uuid **ret);
uint32_t catalog_next_number(const struct catalog *catalog); /* of the topic created next */

/* Groups that have settings of their own, in strcmp order of their ids; pointers hold until the
 * next change of a group's settings. */
struct catalog_group {
	char *id;
	struct group_overrides overrides;
};
enum { CATALOG_GROUP_ID_MAX = 32767 };
size_t catalog_group_count(const struct catalog *catalog);
const struct catalog_group *catalog_group_at(const struct catalog *catalog, size_t index);
const struct catalog_group *catalog_find_group(const struct catalog *catalog,
					       const char *id); /* null: none */

/* What clients have set of the broker's own; holds until the next change of it. */
const struct broker_overrides *catalog_broker_overrides(const struct catalog *catalog,
							enum broker_scope scope);

/* Changes.  0, -ENOMEM, -errno of the write, -ERR_STORAGE after an earlier failure. */
/* A new run of the broker; *ret_epoch is 1 for the first and rises by one. */
int catalog_begin_run(struct catalog *catalog, int32_t *ret_epoch);
/* `name` is legal and free; the overrides are copied. */
int catalog_create_topic(struct catalog *catalog, const char *name, int32_t partition_count,
			 const struct topic_overrides *overrides, const struct catalog_topic **ret);
int catalog_delete_topic(struct catalog *catalog, const struct catalog_topic *topic);
int catalog_grow_topic(struct catalog *catalog, const struct catalog_topic *topic,
		       int32_t partition_count);
int catalog_configure_topic(struct catalog *catalog, const struct catalog_topic *topic,
			    const struct topic_overrides *overrides); /* copied */
/* Copied; without any override the group is forgotten.  -ERR_LIMIT: too many have settings. */
int catalog_configure_group(struct catalog *catalog, const char *id,
			    const struct group_overrides *overrides);
int catalog_configure_broker(struct catalog *catalog, enum broker_scope scope,
			     const struct broker_overrides *overrides); /* copied */
/* Takes `count` producer ids that no run has given out; *ret_first is the first.  -ERR_LIMIT: so
 * many are not left. */
int catalog_take_producer_ids(struct catalog *catalog, int64_t count, int64_t *ret_first);
