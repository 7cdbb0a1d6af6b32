/* control/topic_config.h: a topic's settings: what it overrides, what then holds.
 *
 * An override is a text in the slot of its parameter, null where the topic has none; the default is
 * the broker's setting of the like name, or the table's.  Owner: the control plane. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"
#include "control/setting_tables.h"
#include "dataplane/topics.h"

struct topic_overrides {
	char *texts[TOPIC_CONFIG_COUNT]; /* owned; canonical (see param_canonical) */
};

void topic_overrides_fini(struct topic_overrides *overrides); /* a zeroed one is fine */
/* *ret is overwritten, not freed.  -ENOMEM. */
int topic_overrides_copy(struct topic_overrides *ret, const struct topic_overrides *from);
/* Sets or (text null) removes one.  -ERR_CONFIG with the reason in `why`, -ENOMEM. */
int topic_overrides_set(struct topic_overrides *overrides, const char *key, const char *text,
			char *why, size_t why_bytes);

/* The text without an override. */
const char *topic_config_default(const struct config *config, enum topic_config_index index);
/* What holds for a topic with these overrides. */
struct topic_config topic_config_resolve(const struct config *config,
					 const struct topic_overrides *overrides);
