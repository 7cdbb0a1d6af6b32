/* bench/suite/workload.h: what is to be run.
 *
 * Names and meaning are the OpenMessaging Benchmark's where it has them, so that its YAML files are
 * workloads here; what it does not have is marked "ours". */
#pragma once
#include "bench/suite/driver.h"

#include <stdbool.h>
#include <stdint.h>

enum {
	WORKLOAD_NAME_BYTES = 128, /* OpenMessaging's are sentences */
	WORKLOAD_FILE_BYTES_MAX = 64 << 10,
	WORKLOAD_MESSAGE_BYTES_MIN = 8, /* the intended time */
	WORKLOAD_MESSAGE_BYTES_MAX = 16 << 20,
	WORKLOAD_SETTINGS_MAX = 32, /* one less, and the null behind them */
	WORKLOAD_SETTING_BYTES_MAX = 4096,
	/* Of all topics together; more than one machine drives. */
	WORKLOAD_CLIENTS_MAX = 100000, /* producers, consumers */
	WORKLOAD_PARTITIONS_MAX = 2000000,
};

enum workload_keys { KEYS_NONE, KEYS_RANDOM, KEYS_ROUND_ROBIN }; /* keyDistributor */

struct param; /* control/param.h */

struct workload {
	char name[WORKLOAD_NAME_BYTES];
	char help[128]; /* ours: a sentence */
	unsigned topics;
	unsigned partitions_per_topic;
	enum workload_keys keys;
	uint32_t message_bytes;
	double random_bytes_share; /* of the payload; the rest compresses to nothing */
	unsigned producers_per_topic;
	unsigned subscriptions_per_topic; /* groups; each gets all records */
	unsigned consumers_per_subscription;
	uint64_t producer_rate; /* records a second of all producers; 0: as fast as they can */
	uint64_t backlog_bytes; /* consumers stand still until so much is stored, then drain it */
	unsigned warm_up_ms;
	unsigned duration_ms;
	/* ours */
	enum driver_acks acks;
	uint32_t batch_bytes_max;
	uint32_t linger_us;
	uint32_t window; /* records a producer may have under way */
	char compression[16];
	bool dedup;
	bool grouped; /* consumers are members of groups; else partitions are shared out */
	unsigned idle_connections; /* beside the load: they do nothing */
	unsigned tail_consumers;   /* beside a drained backlog: they read what comes */
	unsigned rebalance_ms;     /* a member leaves and comes back so often; 0: never */
	char *topic_configs[WORKLOAD_SETTINGS_MAX]; /* "key=value"; owned; ended by null */
	char *client_settings[WORKLOAD_SETTINGS_MAX];
};

/* One topic, partition, producer and consumer; what keys say goes on top. */
void workload_init(struct workload *workload);
/* Built-in ones; null past the last one. */
const struct workload *workload_at(size_t index);
/* To workload_fini.  -ENOMEM */
int workload_copy(const struct workload *workload, struct workload *ret);
/* A copy of its own.  -ENOENT: no such built-in one. */
int workload_builtin(const char *name, struct workload *ret);
/* The name most like it. */
const char *workload_nearest(const char *name);
/* What can be said, for `list` and --help: key, help, and param_describe its values.  Null past the
 * last one. */
const struct param *workload_key_at(size_t index);
/* Each value is added to those before. */
bool workload_key_repeats(size_t index);
/* -ENOENT: `why` names the nearest one. */
int workload_key_find(const char *key, size_t *ret, char *why, size_t why_bytes);
/* `key` is OpenMessaging's or ours.  -ENOENT: no such key; -EINVAL, -ERANGE: not a value for it;
 * with `why`. */
int workload_set(struct workload *workload, const char *key, const char *value, char *why,
		 size_t why_bytes);
/* An OpenMessaging Benchmark workload file.  Unknown keys, bad values: -EINVAL, and `why` has
 * file, line, key and the nearest known one. */
int workload_read_yaml(const char *path, struct workload *ret, char *why, size_t why_bytes);
/* The text of one; `file` is for `why`, and the name of one that has none. */
int workload_parse_yaml(const char *file, const void *text, size_t bytes, struct workload *ret,
			char *why, size_t why_bytes);
/* What workload_set would be given to say the same: a setting that may be repeated has more than
 * one `value_index`.  Returns `text`, cut; null: there is no such key, no such value of it, or the
 * key says nothing about this workload, as minutes do about 90 seconds. */
const char *workload_get(const struct workload *workload, size_t key_index, size_t value_index,
			 char *text, size_t bytes);
/* Does it fit together?  -EINVAL with `why`. */
int workload_check(const struct workload *workload, char *why, size_t why_bytes);
void workload_fini(struct workload *workload);
