/* DescribeConfigs, AlterConfigs, IncrementalAlterConfigs: settings of topics, which can be changed,
 * and of the broker, which are read here and changed in its configuration file. */
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
	return broker != NO_BROKER_SETTING && config_given(control->config, broker)
		       ? SOURCE_BROKER_FILE
		       : SOURCE_DEFAULT;
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

/* "" asks for the cluster-wide defaults that Kafka can change at run time: there are none. */
static int describe_broker(const struct describe *d)
{
	const struct kafka_string *name = &d->resource->resource_name;
	const struct config *config = d->control->config;
	char self[16];

	if (name->length == 0)
		return 0;
	snprintf(self, sizeof(self), "%lld", (long long)config->node_id);
	struct kafka_string own = kafka_string_of(self);
	if (!kafka_string_equal(name, &own))
		return -ERR_BAD_REQUEST;
	d->result->configs = arena_calloc(d->arena, CONFIG_COUNT, sizeof(*d->result->configs));
	if (!d->result->configs)
		return -ENOMEM;
	for (int i = 0; i < CONFIG_COUNT; i++) {
		struct config_value value = {
			.source = config_given(config, i) ? SOURCE_BROKER_FILE : SOURCE_DEFAULT,
		};
		if (!admin_config_wanted(d, config_params[i].key))
			continue;
		int rc = admin_config_canonical(d->arena, &config_params[i], config->texts[i],
						&value.text);
		if (rc < 0)
			return rc;
		admin_config_add_row(d, &config_params[i], &value)->read_only = true;
	}
	return 0;
}

static int describe_resource(const struct describe *d)
{
	switch (d->resource->resource_type) {
	case RESOURCE_TOPIC:
		return describe_topic(d);
	case RESOURCE_BROKER:
		return describe_broker(d);
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

static bool list_has(const char *list, const char *item, size_t length)
{
	for (const char *at = list; *at; at += strspn(at, ",")) {
		size_t width = strcspn(at, ",");
		if (width == length && memcmp(at, item, length) == 0)
			return true;
		at += width;
	}
	return false;
}

/* The items of `list` that are not among `others`, behind what `ret` holds already. */
static int add_items(const char *list, const char *others, char *ret, size_t ret_bytes)
{
	size_t used = strlen(ret);

	for (const char *at = list; *at; at += strspn(at, ",")) {
		size_t width = strcspn(at, ",");
		if (width && !list_has(others, at, width)) {
			used += (size_t)snprintf(ret + used, ret_bytes - used, "%s%.*s",
						 used ? "," : "", (int)width, at);
			if (used >= ret_bytes)
				return -ERR_CONFIG;
		}
		at += width;
	}
	return 0;
}

/* A list's text with the items of `items` added or taken out. */
static int edit_list(const char *list, const char *items, bool add, char *ret, size_t ret_bytes)
{
	int rc;

	ret[0] = '\0';
	rc = add_items(list, add ? "" : items, ret, ret_bytes);
	if (rc == 0 && add)
		rc = add_items(items, list, ret, ret_bytes);
	return rc;
}

static int edit(const struct control *control, struct topic_overrides *overrides, const char *key,
		const char *text, bool add, char why[static WHY_BYTES])
{
	char edited[2 * PARAM_CANONICAL_BYTES];
	int index = params_find(topic_params, TOPIC_CONFIG_COUNT, key);

	if (index >= 0 && topic_params[index].kind == PARAM_LIST) {
		const char *now = overrides->texts[index];
		if (!now)
			now = topic_config_default(control->config, (enum topic_config_index)index);
		if (edit_list(now, text, add, edited, sizeof(edited)) < 0)
			return requests_refuse(why, -ERR_CONFIG, "%s: too long", key);
		text = edited;
	} else if (index >= 0) {
		return requests_refuse(why, -ERR_CONFIG, "%s is not a list", key);
	}
	return topic_overrides_set(overrides, key, text, why, WHY_BYTES);
}

static int alter(const struct control *control, struct arena *arena,
		 struct topic_overrides *overrides, const struct alteration *alteration,
		 char why[static WHY_BYTES])
{
	char *key = arena_strndup(arena, alteration->key->data, (size_t)alteration->key->length);
	char *text = NULL;

	if (alteration->value->length >= 0)
		text = arena_strndup(arena, alteration->value->data,
				     (size_t)alteration->value->length);
	if (!key || (alteration->value->length >= 0 && !text))
		return -ENOMEM;
	if (!text && alteration->operation != OPERATION_DELETE)
		return requests_refuse(why, -ERR_CONFIG, "\"%.80s\" has no value", key);
	switch (alteration->operation) {
	case OPERATION_SET:
		return topic_overrides_set(overrides, key, text, why, WHY_BYTES);
	case OPERATION_DELETE:
		return topic_overrides_set(overrides, key, NULL, why, WHY_BYTES);
	case OPERATION_APPEND:
	case OPERATION_SUBTRACT:
		return edit(control, overrides, key, text,
			    alteration->operation == OPERATION_APPEND, why);
	default:
		return requests_refuse(why, -ERR_BAD_REQUEST, "unknown operation %d",
				       alteration->operation);
	}
}

static int check_resource(const struct control *control, int8_t type,
			  const struct kafka_string *name, const struct catalog_topic **ret,
			  char why[static WHY_BYTES])
{
	if (type == RESOURCE_BROKER)
		return requests_refuse(
			why, -ERR_BAD_REQUEST,
			"the broker's settings are changed in its configuration file");
	if (type != RESOURCE_TOPIC)
		return requests_refuse(why, -ERR_BAD_REQUEST, "resource type %d is not known",
				       type);
	*ret = catalog_find(control->catalog, name->data, (size_t)name->length);
	return *ret ? 0 : -ERR_UNKNOWN_PARTITION;
}

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

static struct kafka_string reason(struct arena *arena, int rc, const char *why)
{
	return rc == 0 ? kafka_string_of(NULL)
		       : requests_text(arena, why[0] ? why : error_text(rc));
}

static int incremental_group(
	struct control *control, struct arena *arena,
	const struct kafka_incremental_alter_configs_request_alter_configs_resource *resource,
	bool validate_only, bool *changed, char why[static WHY_BYTES])
{
	struct group_change change;
	int rc = admin_group_begin(control, arena, &resource->resource_name, false, &change, why);

	for (int32_t i = 0; rc == 0 && i < resource->configs_count; i++) {
		struct alteration alteration = {.key = &resource->configs[i].name,
						.value = &resource->configs[i].value,
						.operation = resource->configs[i].config_operation};
		rc = admin_group_alter(&change, arena, &alteration, why);
	}
	return admin_group_end(control, &change, rc, validate_only, changed);
}

static int incremental_one(
	struct control *control, struct control_request *request,
	const struct kafka_incremental_alter_configs_request_alter_configs_resource *resource,
	bool validate_only, bool *changed, char why[static WHY_BYTES])
{
	struct topic_overrides overrides = {0};
	const struct catalog_topic *topic = NULL;

	if (resource->resource_type == RESOURCE_GROUP)
		return incremental_group(control, request->arena, resource, validate_only, changed,
					 why);
	int rc = check_resource(control, resource->resource_type, &resource->resource_name, &topic,
				why);

	if (rc == 0)
		rc = topic_overrides_copy(&overrides, &topic->overrides);
	for (int32_t i = 0; rc == 0 && i < resource->configs_count; i++) {
		struct alteration alteration = {.key = &resource->configs[i].name,
						.value = &resource->configs[i].value,
						.operation = resource->configs[i].config_operation};
		rc = alter(control, request->arena, &overrides, &alteration, why);
	}
	if (rc == 0)
		rc = commit(control, topic, &overrides, validate_only, changed);
	topic_overrides_fini(&overrides);
	return rc;
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
		char why[WHY_BYTES] = "";
		int rc = incremental_one(control, request, &message->resources[i],
					 message->validate_only, &changed, why);
		kafka_incremental_alter_configs_response_alter_configs_resource_response_init(row);
		row->error_code = kafka_code_of(rc);
		row->error_message = reason(request->arena, rc, why);
		row->resource_type = message->resources[i].resource_type;
		row->resource_name = message->resources[i].resource_name;
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}

/* The old request: what it does not name goes back to its default. */
static int replace_group(struct control *control, struct arena *arena,
			 const struct kafka_alter_configs_request_alter_configs_resource *resource,
			 bool validate_only, bool *changed, char why[static WHY_BYTES])
{
	struct group_change change;
	int rc = admin_group_begin(control, arena, &resource->resource_name, true, &change, why);

	for (int32_t i = 0; rc == 0 && i < resource->configs_count; i++) {
		struct alteration alteration = {.key = &resource->configs[i].name,
						.value = &resource->configs[i].value,
						.operation = OPERATION_SET};
		rc = admin_group_alter(&change, arena, &alteration, why);
	}
	return admin_group_end(control, &change, rc, validate_only, changed);
}

static int replace_one(struct control *control, struct control_request *request,
		       const struct kafka_alter_configs_request_alter_configs_resource *resource,
		       bool validate_only, bool *changed, char why[static WHY_BYTES])
{
	struct topic_overrides overrides = {0};
	const struct catalog_topic *topic = NULL;

	if (resource->resource_type == RESOURCE_GROUP)
		return replace_group(control, request->arena, resource, validate_only, changed,
				     why);
	int rc = check_resource(control, resource->resource_type, &resource->resource_name, &topic,
				why);

	for (int32_t i = 0; rc == 0 && i < resource->configs_count; i++) {
		struct alteration alteration = {.key = &resource->configs[i].name,
						.value = &resource->configs[i].value,
						.operation = OPERATION_SET};
		rc = alter(control, request->arena, &overrides, &alteration, why);
	}
	if (rc == 0)
		rc = commit(control, topic, &overrides, validate_only, changed);
	topic_overrides_fini(&overrides);
	return rc;
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
		char why[WHY_BYTES] = "";
		int rc = replace_one(control, request, &message->resources[i],
				     message->validate_only, &changed, why);
		kafka_alter_configs_response_alter_configs_resource_response_init(row);
		row->error_code = kafka_code_of(rc);
		row->error_message = reason(request->arena, rc, why);
		row->resource_type = message->resources[i].resource_type;
		row->resource_name = message->resources[i].resource_name;
	}
	return changed ? OUTCOME_PUBLISH : OUTCOME_ANSWER;
}
