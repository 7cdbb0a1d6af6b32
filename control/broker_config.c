#include "control/broker_config.h"

#include "base/errors.h"

void broker_overrides_fini(struct broker_overrides *overrides)
{
	params_free_texts(overrides->texts, CONFIG_COUNT);
}

int broker_overrides_copy(struct broker_overrides *ret, const struct broker_overrides *from)
{
	return params_copy_texts(from->texts, CONFIG_COUNT, ret->texts);
}

int broker_overrides_set(struct broker_overrides *overrides, const char *key, const char *text,
			 char *why, size_t why_bytes)
{
	int index = params_find(config_params, CONFIG_COUNT, key);

	/* One that is set already may go, whatever a later version thinks of it. */
	if (index >= 0 && text && !config_params[index].live) {
		snprintf(why, why_bytes,
			 "%s holds after a restart only: set it in the broker's configuration file",
			 key);
		return -ERR_CONFIG;
	}
	return params_set_text(config_params, CONFIG_COUNT, "broker", overrides->texts, key, text,
			       why, why_bytes);
}

bool broker_overrides_none(const struct broker_overrides *overrides)
{
	for (size_t i = 0; i < CONFIG_COUNT; i++) {
		if (overrides->texts[i])
			return false;
	}
	return true;
}
