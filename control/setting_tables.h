/* control/setting_tables.h: the tables of what a topic and a group can be told; the broker's own is
 * in config.h.
 *
 * Of these tables, param.h and config.h a small library is made that needs nothing else, for
 * programs that know settings without being a broker.  The tables are static; any thread. */
#pragma once
#include "control/config.h"
#include "control/param.h"

enum { NO_BROKER_SETTING = -1 };

enum topic_config_index {
#define TOPIC_PARAM(kind, name, key, broker, def, min, max, choices, help) TOPIC_CONFIG_##name,
#include "control/topic_config.def"
#undef TOPIC_PARAM
	TOPIC_CONFIG_COUNT
};

enum group_config_index {
#define GROUP_PARAM(kind, name, key, broker, def, min, max, choices, help) GROUP_CONFIG_##name,
#include "control/group_config.def"
#undef GROUP_PARAM
	GROUP_CONFIG_COUNT
};

extern const struct param topic_params[TOPIC_CONFIG_COUNT];
extern const struct param group_params[GROUP_CONFIG_COUNT];

/* The broker's setting that gives the default; NO_BROKER_SETTING. */
int topic_config_broker_index(enum topic_config_index index);
int group_config_broker_index(enum group_config_index index);
