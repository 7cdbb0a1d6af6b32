/* control/broker_config.h: what clients have set of the broker's settings, over what files,
 * environment and command line say; as for topics (topic_config.h).  Only what holds without a
 * restart can be set so.  Owner: the control plane. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "control/config.h"

/* Whom they are for. */
enum broker_scope {
	BROKER_ALL, /* every broker of the cluster */
	BROKER_ONE, /* this one; wins */
	BROKER_SCOPE_COUNT
};

struct broker_overrides {
	char *texts[CONFIG_COUNT]; /* owned; canonical (see param_canonical); null: not set */
};

void broker_overrides_fini(struct broker_overrides *overrides); /* a zeroed one is fine */
/* *ret is overwritten, not freed.  -ENOMEM. */
int broker_overrides_copy(struct broker_overrides *ret, const struct broker_overrides *from);
/* Sets or (text null) removes one.  -ERR_CONFIG with the reason in `why`, -ENOMEM. */
int broker_overrides_set(struct broker_overrides *overrides, const char *key, const char *text,
			 char *why, size_t why_bytes);
bool broker_overrides_none(const struct broker_overrides *overrides);
