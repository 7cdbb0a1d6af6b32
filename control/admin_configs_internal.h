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

/* ---- admin_config_alter.c ---- */
/* The settings that resources of a kind can have. */
struct config_table {
	const struct param *params;
	size_t count;
	/* The text that holds where a resource has none of its own. */
	const char *(*inherited)(const struct config *config, int index);
	int (*set)(void *overrides, const char *key, const char *text, char *why, size_t why_bytes);
};

/* A resource whose settings are being changed. */
struct altering {
	const struct config_table *table;
	const struct config *config;
	struct arena *arena;
	void *overrides;    /* what `set` takes */
	char *const *texts; /* in them, by index in the table; null: it has none of its own */
};

/* Makes the changes; where it fails some are made.  -ERR_CONFIG, -ERR_BAD_REQUEST: with the reason
 * in `why`; -ENOMEM. */
int admin_config_alter(const struct altering *altering, const struct changes *changes,
		       char why[static WHY_BYTES]);

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
