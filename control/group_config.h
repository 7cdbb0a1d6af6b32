/* control/group_config.h: a group's settings: what it overrides, what then holds; as for topics
 * (topic_config.h).  A group need not exist to have settings.  Owner: the control plane. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "control/config.h"
#include "control/setting_tables.h"
#include "dataplane/topics.h"

struct group_overrides {
	char *texts[GROUP_CONFIG_COUNT]; /* owned; canonical (see param_canonical) */
};

void group_overrides_fini(struct group_overrides *overrides); /* a zeroed one is fine */
/* *ret is overwritten, not freed.  -ENOMEM. */
int group_overrides_copy(struct group_overrides *ret, const struct group_overrides *from);
/* Sets or (text null) removes one.  -ERR_CONFIG with the reason in `why`, -ENOMEM. */
int group_overrides_set(struct group_overrides *overrides, const char *key, const char *text,
			char *why, size_t why_bytes);
bool group_overrides_none(const struct group_overrides *overrides);

/* The text without an override. */
const char *group_config_default(const struct config *config, enum group_config_index index);
/* What holds for a share group with these overrides. */
struct share_settings group_config_resolve(const struct config *config,
					   const struct group_overrides *overrides);
