/* Settings of topics and of the broker. */
#include "client/sluice.h"
#include "control/http/v1/v1.h"

#include <microhttpd.h>
#include <stdlib.h>

json_t *v1_settings(const struct sluice_configs *configs)
{
	json_t *list = json_array();

	for (size_t i = 0; i < configs->count; i++) {
		const struct sluice_config *config = &configs->configs[i];
		json_array_append_new(list,
				      json_pack("{s:s, s:s?, s:s, s:s, s:b}", "name", config->name,
						"value", config->sensitive ? NULL : config->value,
						"source", config->source, "help", config->help,
						"read_only", config->read_only));
	}
	return list;
}

bool v1_settings_read(struct http_answer *answer, const json_t *json, struct sluice_config **ret,
		      size_t *ret_count)
{
	size_t size = json_object_size(json);
	size_t count = 0;
	const char *name;
	json_t *value;

	if (json && !json_is_object(json)) {
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "settings is an object of texts");
		return false;
	}
	struct sluice_config *settings = calloc(size + 1, sizeof(*settings));
	if (!settings) {
		answer_json(answer, MHD_HTTP_OK, NULL);
		return false;
	}
	/* It only reads. */
	json_object_foreach((json_t *)(uintptr_t)json, name, value)
	{
		if (!json_is_string(value) && !json_is_null(value)) {
			answer_problem(answer, MHD_HTTP_BAD_REQUEST,
				       "the setting %.200s takes a text, or null for its default",
				       name);
			free(settings);
			return false;
		}
		settings[count++] = (struct sluice_config){
			.name = name,
			.value = json_string_value(value),
		};
	}
	*ret = settings;
	*ret_count = count;
	return true;
}
