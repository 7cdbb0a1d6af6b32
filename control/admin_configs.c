/* DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: settings of topics here, of groups and of
 * the broker in the files beside. */
#include "control/admin_configs_internal.h"

#include "base/arena.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/kafka/kafka_errors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum config_type {
	TYPE_BOOLEAN = 1,
	TYPE_STRING = 2,
	TYPE_INT = 3,
	TYPE_LONG = 5,
	TYPE_DOUBLE = 6,
	TYPE_LIST = 7
};

/* ---- values ---- */

int admin_config_canonical(struct arena *arena, const struct param *param, const char *text,
			   const char **ret)
{
	char canonical[PARAM_CANONICAL_BYTES];
	char why[WHY_BYTES];

	/* Parsed before; only a broker's path can be too long for the buffer. */
	if (param_canonical(param, text, canonical, why, sizeof(why)) == 0)
		text = canonical;
	*ret = arena_strndup(arena, text, strlen(text));
	return *ret ? 0 : -ENOMEM;
}

static enum config_source default_source(const struct control *control,
					 enum topic_config_index index)
{
	int broker = topic_config_broker_index(index);

	return broker == NO_BROKER_SETTING ? SOURCE_DEFAULT
					   : admin_config_source(control->config->origins[broker]);
}

int admin_topic_setting(const struct control *control, struct arena *arena,
			const struct topic_overrides *overrides, enum topic_config_index index,
			struct config_value *ret)
{
	const char *text = overrides->texts[index];

	ret->source = text ? SOURCE_TOPIC : default_source(control, index);
	if (!text)
		text = topic_config_default(control->config, index);
	return admin_config_canonical(arena, &topic_params[index], text, &ret->text);
}

static enum config_type type_of(const struct param *param)
{
	switch (param->kind) {
	case PARAM_BOOL:
		return TYPE_BOOLEAN;
	case PARAM_COUNT:
	case PARAM_BYTES:
	case PARAM_MS:
		return param->max <= INT32_MAX ? TYPE_INT : TYPE_LONG;
	case PARAM_RATIO:
		return TYPE_DOUBLE;
	case PARAM_LIST:
		return TYPE_LIST;
	case PARAM_TEXT:
	case PARAM_NAME:
	case PARAM_CHOICE:
	case PARAM_LEVELS:
	case PARAM_ADDRESS:
		break;
	}
	return TYPE_STRING;
}

/* ---- DescribeConfigs ---- */

bool admin_config_wanted(const struct describe *d, const char *key)
{
	struct kafka_string name = kafka_string_of(key);

	if (d->resource->configuration_keys_count < 0)
		return true;
	for (int32_t i = 0; i < d->resource->configuration_keys_count; i++) {
		if (kafka_string_equal(&d->resource->configuration_keys[i], &name))
			return true;
	}
	return false;
}

describe_row *admin_config_add_row(const struct describe *d, const struct param *param,
				   const struct config_value *value)
{
	describe_row *row = &d->result->configs[d->result->configs_count++];

	kafka_describe_configs_response_describe_configs_resource_result_init(row);
	row->name = kafka_string_of(param->key);
	row->value = kafka_string_of(value->text);
	row->config_source = (int8_t)value->source;
	row->config_type = (int8_t)type_of(param);
	row->documentation = kafka_string_of(d->message->include_documentation ? param->help
									       : NULL);
	return row;
}

void admin_config_add_synonym(describe_row *row, const char *name, const char *value,
			      enum config_source source)
{
	struct kafka_describe_configs_response_describe_configs_synonym *synonym =
		&row->synonyms[row->synonyms_count++];

	kafka_describe_configs_response_describe_configs_synonym_init(synonym);
	synonym->name = kafka_string_of(name);
	synonym->value = kafka_string_of(value);
	synonym->source = (int8_t)source;
}

/* Where the value comes from and would come from, most specific first. */
static int add_synonyms(
	const struct describe *d,
	struct kafka_describe_configs_response_describe_configs_resource_result *row,
	enum topic_config_index index, const struct config_value *value)
{
	int broker = topic_config_broker_index(index);
	const char *fallback;

	if (!d->message->include_synonyms)
		return 0;
	row->synonyms = arena_calloc(d->arena, 2, sizeof(*row->synonyms));
	if (!row->synonyms ||
	    admin_config_canonical(d->arena, &topic_params[index],
				   topic_config_default(d->control->config, index), &fallback) < 0)
		return -ENOMEM;
	if (value->source == SOURCE_TOPIC)
		admin_config_add_synonym(row, topic_params[index].key, value->text, SOURCE_TOPIC);
	admin_config_add_synonym(row,
				 broker == NO_BROKER_SETTING ? topic_params[index].key
							     : config_params[broker].key,
				 fallback, default_source(d->control, index));
	return 0;
}

static int describe_topic(const struct describe *d)
{
	const struct kafka_string *name = &d->resource->resource_name;
	const struct catalog_topic *topic = catalog_find(d->control->catalog, name->data,
							 (size_t)name->length);

	if (!topic)
		return -ERR_UNKNOWN_PARTITION;
	d->result->configs = arena_calloc(d->arena, TOPIC_CONFIG_COUNT,
					  sizeof(*d->result->configs));
	if (!d->result->configs)
		return -ENOMEM;
	for (int i = 0; i < TOPIC_CONFIG_COUNT; i++) {
		enum topic_config_index index = (enum topic_config_index)i;
		struct config_value value;
		if (!admin_config_wanted(d, topic_params[i].key))
			continue;
		int rc = admin_topic_setting(d->control, d->arena, &topic->overrides, index,
					     &value);
		if (rc < 0)
			return rc;
		rc = add_synonyms(d, admin_config_add_row(d, &topic_params[i], &value), index,
				  &value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int describe_resource(const struct describe *d)
{
	switch (d->resource->resource_type) {
	case RESOURCE_TOPIC:
		return describe_topic(d);
	case RESOURCE_BROKER:
		return admin_describe_broker(d);
	case RESOURCE_GROUP:
		return admin_describe_group(d);
	default:
		return -ERR_BAD_REQUEST;
	}
}

enum outcome admin_describe_configs(struct control *control, struct control_request *request)
{
	const struct kafka_describe_configs_request *message = request->request;
	struct kafka_describe_configs_response *response = request->response;

	response->results = arena_calloc(request->arena, (size_t)message->resources_count,
					 sizeof(*response->results));
	if (!response->results) {
		request->rc = -ENOMEM;
		return OUTCOME_ANSWER;
	}
	response->results_count = message->resources_count;
	for (int32_t i = 0; i < message->resources_count; i++) {
		struct describe d = {.control = control,
				     .arena = request->arena,
				     .message = message,
				     .resource = &message->resources[i],
				     .result = &response->results[i]};
		kafka_describe_configs_response_describe_configs_result_init(d.result);
		d.result->resource_type = d.resource->resource_type;
		d.result->resource_name = d.resource->resource_name;
		int rc = describe_resource(&d);
		if (rc == -ENOMEM) {
			request->rc = rc;
			return OUTCOME_ANSWER;
		}
		d.result->error_code = kafka_code_of(rc);
		if (rc < 0)
			d.result->error_message = kafka_string_of(error_text(rc));
	}
	return OUTCOME_ANSWER;
}

/* ---- changing ---- */

static const char *inherited(const struct config *config, int index)
{
	return topic_config_default(config, (enum topic_config_index)index);
}

static int set(void *overrides, const char *key, const char *text, char *why, size_t why_bytes)
{
	return topic_overrides_set(overrides, key, text, why, why_bytes);
}

static const struct config_table table = {topic_params, TOPIC_CONFIG_COUNT, inherited, set};

static int commit(struct control *control, const struct catalog_topic *topic,
		  const struct topic_overrides *overrides, bool validate_only, bool *changed)
{
	if (validate_only)
		return 0;
	int rc = catalog_configure_topic(control->catalog, topic, overrides);
	if (rc == 0) {
		*changed = true;
		log_info("catalog", "topic configured name=%s", topic->name);
	}
	return rc;
}

static int change_topic(struct control *control, struct arena *arena, const struct changes *changes,
			bool *changed, char why[static WHY_BYTES])
{
	struct topic_overrides overrides = {0};
	const struct altering altering = {&table, control->config, arena, &overrides,
					  overrides.texts};
	const struct catalog_topic *topic = catalog_find(control->catalog, changes->name->data,
							 (size_t)changes->name->length);
	int rc = topic ? 0 : -ERR_UNKNOWN_PARTITION;

	if (rc == 0 && !changes->anew)
		rc = topic_overrides_copy(&overrides, &topic->overrides);
	if (rc == 0)
		rc = admin_config_alter(&altering, changes, why);
	if (rc == 0)
		rc = commit(control, topic, &overrides, changes->validate_only, changed);
	topic_overrides_fini(&overrides);
	return rc;
}

static int change(struct control *control, struct arena *arena, const struct changes *changes,
		  bool *changed, char why[static WHY_BYTES])
{
	if (!changes->alterations)
		return -ENOMEM;
	switch (changes->type) {
	case RESOURCE_TOPIC:
		return change_topic(control, arena, changes, changed, why);
	case RESOURCE_BROKER:
		return admin_change_broker(control, arena, changes, changed, why);
	case RESOURCE_GROUP:
		return admin_change_group(control, arena, changes, changed, why);
	default:
		return requests_refuse(why, -ERR_BAD_REQUEST, "resource type %d is not known",
				       changes->type);
	}
}

static struct kafka_string reason(struct arena *arena, int rc, const char *why)
{
	return rc == 0 ? kafka_string_of(NULL)
		       : requests_text(arena, why[0] ? why : error_text(rc));
}

/* Room for one more than there are, so that null is no memory. */
static struct alteration *alterations_new(struct arena *arena, int32_t count)
{
	return arena_calloc(arena, (size_t)count + 1, sizeof(struct alteration));
}

static struct changes incremental_changes(
	struct arena *arena,
	const struct kafka_incremental_alter_configs_request_alter_configs_resource *resource)
{
	struct alteration *alterations = alterations_new(arena, resource->configs_count);

	for (int32_t i = 0; alterations && i < resource->configs_count; i++)
		alterations[i] =
			(struct alteration){.key = &resource->configs[i].name,
					    .value = &resource->configs[i].value,
					    .operation = resource->configs[i].config_operation};
	return (struct changes){.type = resource->resource_type,
				.name = &resource->resource_name,
				.alterations = alterations,
				.count = resource->configs_count};
}

/* The old request: what it does not name goes back to its default. */
static struct changes replacing_changes(
	struct arena *arena,
	const struct kafka_alter_configs_request_alter_configs_resource *resource)
{
	struct alteration *alterations = alterations_new(arena, resource->configs_count);

	for (int32_t i = 0; alterations && i < resource->configs_count; i++)
		alterations[i] = (struct alteration){.key = &resource->configs[i].name,
						     .value = &resource->configs[i].value,
						     .operation = OPERATION_SET};
	return (struct changes){.type = resource->resource_type,
				.name = &resource->resource_name,
				.anew = true,
				.alterations = alterations,
				.count = resource->configs_count};
}

enum outcome admin_incremental_alter_configs(struct control *control,
					     struct control_request *request)
{
	const struct kafka_incremental_alter_configs_request *message = request->request;
	struct kafka_incremental_alter_configs_response *response = request->response;
	bool changed = false;

	response->responses = arena_calloc(request->arena, (size_t)message->resources_count,
					   sizeof(*response->responses));
	if (!response->responses) {
		request->rc = -ENOMEM;
		return OUTCOME_ANSWER;
	}
	response->responses_count = message->resources_count;
	for (int32_t i = 0; i < message->resources_count; i++) {
		struct kafka_incremental_alter_configs_response_alter_configs_resource_response
			*row = &response->responses[i];
		struct changes changes = incremental_changes(request->arena,
							     &message->resources[i]);
		char why[WHY_BYTES] = "";
		changes.validate_only = message->validate_only;
		int rc = change(control, request->arena, &changes, &changed, why);
		kafka_incremental_alter_configs_response_alter_configs_resource_response_init(row);
		row->error_code = kafka_code_of(rc);
		row->error_message = reason(request->arena, rc, why);
		row->resource_type = message->resources[i].resource_type;
		row->resource_name = message->resources[i].resource_name;
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}

enum outcome admin_alter_configs(struct control *control, struct control_request *request)
{
	const struct kafka_alter_configs_request *message = request->request;
	struct kafka_alter_configs_response *response = request->response;
	bool changed = false;

	response->responses = arena_calloc(request->arena, (size_t)message->resources_count,
					   sizeof(*response->responses));
	if (!response->responses) {
		request->rc = -ENOMEM;
		return OUTCOME_ANSWER;
	}
	response->responses_count = message->resources_count;
	for (int32_t i = 0; i < message->resources_count; i++) {
		struct kafka_alter_configs_response_alter_configs_resource_response *row =
			&response->responses[i];
		struct changes changes = replacing_changes(request->arena, &message->resources[i]);
		char why[WHY_BYTES] = "";
		changes.validate_only = message->validate_only;
		int rc = change(control, request->arena, &changes, &changed, why);
		kafka_alter_configs_response_alter_configs_resource_response_init(row);
		row->error_code = kafka_code_of(rc);
		row->error_message = reason(request->arena, rc, why);
		row->resource_type = message->resources[i].resource_type;
		row->resource_name = message->resources[i].resource_name;
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}
