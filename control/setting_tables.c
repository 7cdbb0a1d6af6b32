#include "control/setting_tables.h"

#include "storage/dedup.h"

const struct param topic_params[TOPIC_CONFIG_COUNT] = {
#define TOPIC_PARAM(kind_, name, key_, broker, def, min_, max_, choices_, help_)                   \
	[TOPIC_CONFIG_##name] = {.key = (key_),                                                    \
				 .kind = PARAM_##kind_,                                            \
				 .min = (min_),                                                    \
				 .max = (max_),                                                    \
				 .default_text = (def),                                            \
				 .choices = (choices_),                                            \
				 .live = true,                                                     \
				 .help = (help_)},
#include "control/topic_config.def"
#undef TOPIC_PARAM
};

const struct param group_params[GROUP_CONFIG_COUNT] = {
#define GROUP_PARAM(kind_, name, key_, broker, def, min_, max_, choices_, help_)                   \
	[GROUP_CONFIG_##name] = {.key = (key_),                                                    \
				 .kind = PARAM_##kind_,                                            \
				 .min = (min_),                                                    \
				 .max = (max_),                                                    \
				 .default_text = (def),                                            \
				 .choices = (choices_),                                            \
				 .live = true,                                                     \
				 .help = (help_)},
#include "control/group_config.def"
#undef GROUP_PARAM
};

static const int topic_defaults[TOPIC_CONFIG_COUNT] = {
#define TOPIC_PARAM(kind, name, key, broker, def, min, max, choices, help)                         \
	[TOPIC_CONFIG_##name] = (broker),
#include "control/topic_config.def"
#undef TOPIC_PARAM
};

static const int group_defaults[GROUP_CONFIG_COUNT] = {
#define GROUP_PARAM(kind, name, key, broker, def, min, max, choices, help)                         \
	[GROUP_CONFIG_##name] = (broker),
#include "control/group_config.def"
#undef GROUP_PARAM
};

int topic_config_broker_index(enum topic_config_index index)
{
	return topic_defaults[index];
}

int group_config_broker_index(enum group_config_index index)
{
	return group_defaults[index];
}
