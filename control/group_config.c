#include "control/group_config.h"

#include "base/check.h"

void group_overrides_fini(struct group_overrides *overrides)
{
	params_free_texts(overrides->texts, GROUP_CONFIG_COUNT);
}

int group_overrides_copy(struct group_overrides *ret, const struct group_overrides *from)
{
	return params_copy_texts(from->texts, GROUP_CONFIG_COUNT, ret->texts);
}

int group_overrides_set(struct group_overrides *overrides, const char *key, const char *text,
			char *why, size_t why_bytes)
{
	return params_set_text(group_params, GROUP_CONFIG_COUNT, "group", overrides->texts, key,
			       text, why, why_bytes);
}

bool group_overrides_none(const struct group_overrides *overrides)
{
	for (size_t i = 0; i < GROUP_CONFIG_COUNT; i++) {
		if (overrides->texts[i])
			return false;
	}
	return true;
}

const char *group_config_default(const struct config *config, enum group_config_index index)
{
	int broker = group_config_broker_index(index);
	return broker == NO_BROKER_SETTING ? group_params[index].default_text
					   : config->texts[broker];
}

static int64_t value_of(const struct config *config, const struct group_overrides *overrides,
			enum group_config_index index)
{
	const char *text = overrides->texts[index];
	char why[256];
	int64_t value = 0;

	if (!text)
		text = group_config_default(config, index);
	int rc = param_parse(&group_params[index], text, &value, why, sizeof(why));
	check(rc == 0); /* overrides and settings were parsed before they were kept */
	return value;
}

struct share_settings group_config_resolve(const struct config *config,
					   const struct group_overrides *overrides)
{
#define VALUE(name) value_of(config, overrides, GROUP_CONFIG_##name)
	return (struct share_settings){
		.from_earliest = VALUE(share_auto_offset_reset) == 1,
		.session_timeout_ms = (int32_t)VALUE(share_session_timeout_ms),
		.heartbeat_interval_ms = (int32_t)VALUE(share_heartbeat_interval_ms),
		.record_lock_duration_ms = (int32_t)VALUE(share_record_lock_duration_ms),
	};
#undef VALUE
}
