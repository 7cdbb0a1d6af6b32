/* The broker's settings, as any client of the protocol sees and changes them. */
#include "client/sluice.h"
#include "control/http/v1/v1.h"
#include "control/view.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>

struct broker_name {
	char text[12];
};

static struct broker_name name_of(const struct http_request *request)
{
	struct broker_name name;

	snprintf(name.text, sizeof(name.text), "%d", control_node_id(request->control));
	return name;
}

void v1_config(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct broker_name name = name_of(request);
	struct sluice_configs *configs = NULL;

	if (!client)
		return;
	int rc = sluice_configs_get(client, SLUICE_BROKER, name.text, &configs);
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	answer_json(answer, MHD_HTTP_OK, json_pack("{s:o}", "settings", v1_settings(configs)));
	sluice_configs_free(configs);
}

void v1_config_change(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct broker_name name = name_of(request);
	struct sluice_config *settings = NULL;
	json_t *json = NULL;
	size_t count = 0;

	if (!client || !v1_unpack(request, answer, "{s:o}", "settings", &json) ||
	    !v1_settings_read(answer, json, &settings, &count))
		return;
	int rc = count ? sluice_configs_set(client, SLUICE_BROKER, name.text, settings, count) : 0;
	free(settings);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		v1_config(request, answer);
}
