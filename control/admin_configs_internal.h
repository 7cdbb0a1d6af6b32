/* control/admin_configs_internal.h: what DescribeConfigs and its siblings share between resources
 * of different kinds. */
#pragma once
#include "control/control_internal.h"
#include "kafka_messages.h"

enum resource_type { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4, RESOURCE_GROUP = 32 }; /* Kafka's */
enum config_operation { OPERATION_SET, OPERATION_DELETE, OPERATION_APPEND, OPERATION_SUBTRACT };

struct describe {
	const struct control *control;
	struct arena *arena;
	const struct kafka_describe_configs_request *message;
	const struct kafka_describe_configs_request_describe_configs_resource *resource;
	struct kafka_describe_configs_response_describe_configs_result *result;
};

typedef struct kafka_describe_configs_response_describe_configs_resource_result describe_row;

bool admin_config_wanted(const struct describe *d, const char *key);
describe_row *admin_config_add_row(const struct describe *d, const struct param *param,
				   const struct config_value *value);
void admin_config_add_synonym(describe_row *row, const char *name, const char *value,
			      enum config_source source);
/* The canonical text, in the arena.  -ENOMEM. */
int admin_config_canonical(struct arena *arena, const struct param *param, const char *text,
			   const char **ret);

/* One setting of a request to change some. */
struct alteration {
	const struct kafka_string *key;
	const struct kafka_string *value;
	int8_t operation;
};

/* What a request changes of one resource; all of it or nothing. */
struct changes {
	int8_t type;
	const struct kafka_string *name;
	bool anew; /* what is not named goes back to its default */
	bool validate_only;
	const struct alteration *alterations; /* in the arena; null: there was no memory */
	int32_t count;
};

/* A list's text with the items of `items` added or taken out.  -ERR_CONFIG: too long. */
int admin_config_edit_list(const char *list, const char *items, bool add, char *ret,
			   size_t ret_bytes);

/* ---- admin_broker_configs.c ---- */
enum config_source admin_config_source(enum config_origin origin);
int admin_describe_broker(const struct describe *d);
/* Durable, and holds when the caller's publish is over.  *changed becomes true when something has;
 * `why` is filled where there is more to say than rc does.  -ERR_BAD_REQUEST: another broker's. */
int admin_change_broker(struct control *control, struct arena *arena, const struct changes *changes,
			bool *changed, char why[static WHY_BYTES]);

/* ---- admin_group_configs.c ---- */
int admin_describe_group(const struct describe *d);
/* Likewise.  -ERR_BAD_REQUEST: no group can be called so. */
int admin_change_group(struct control *control, struct arena *arena, const struct changes *changes,
		       bool *changed, char why[static WHY_BYTES]);
