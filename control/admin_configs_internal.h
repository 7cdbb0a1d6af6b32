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

/* One setting of a request to change some, of either kind. */
struct alteration {
	const struct kafka_string *key;
	const struct kafka_string *value;
	int8_t operation;
};

/* ---- admin_group_configs.c ---- */
int admin_describe_group(const struct describe *d);
/* Settings of a group as they are and will be.  `name` is copied; -ERR_BAD_REQUEST: no group can be
 * called so. */
struct group_change {
	char *id; /* of the arena */
	struct group_overrides overrides;
};
int admin_group_begin(const struct control *control, struct arena *arena,
		      const struct kafka_string *name, bool anew, struct group_change *ret,
		      char why[static WHY_BYTES]);
int admin_group_alter(struct group_change *change, struct arena *arena,
		      const struct alteration *alteration, char why[static WHY_BYTES]);
/* Durable, unless `validate_only`; the overrides are freed in any case. */
int admin_group_end(struct control *control, struct group_change *change, int rc,
		    bool validate_only, bool *changed);
