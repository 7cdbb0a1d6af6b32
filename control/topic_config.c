#include "control/topic_config.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLICY_DELETE = 1 << 0, POLICY_COMPACT = 1 << 1 }; /* places in the choices */

void topic_overrides_fini(struct topic_overrides *overrides)
{
	params_free_texts(overrides->texts, TOPIC_CONFIG_COUNT);
}

int topic_overrides_copy(struct topic_overrides *ret, const struct topic_overrides *from)
{
	return params_copy_texts(from->texts, TOPIC_CONFIG_COUNT, ret->texts);
}

int topic_overrides_set(struct topic_overrides *overrides, const char *key, const char *text,
			char *why, size_t why_bytes)
{
	return params_set_text(topic_params, TOPIC_CONFIG_COUNT, "topic", overrides->texts, key,
			       text, why, why_bytes);
}

const char *topic_config_default(const struct config *config, enum topic_config_index index)
{
	int broker = topic_config_broker_index(index);
	return broker == NO_BROKER_SETTING ? topic_params[index].default_text
					   : config->texts[broker];
}

static const char *text_of(const struct config *config, const struct topic_overrides *overrides,
			   enum topic_config_index index)
{
	const char *text = overrides->texts[index];

	return text ? text : topic_config_default(config, index);
}

static int64_t value_of(const struct config *config, const struct topic_overrides *overrides,
			enum topic_config_index index)
{
	char why[256];
	int64_t value = 0;
	int rc = param_parse(&topic_params[index], text_of(config, overrides, index), &value, why,
			     sizeof(why));

	check(rc == 0); /* overrides and settings were parsed before they were kept */
	return value;
}

static struct dedup_config resolve_dedup(const struct config *config,
					 const struct topic_overrides *overrides)
{
#define VALUE(name) value_of(config, overrides, TOPIC_CONFIG_##name)
	const char *header = text_of(config, overrides, TOPIC_CONFIG_dedup_header);
	struct dedup_config dedup = {
		.enabled = VALUE(dedup_enable),
		.scope = VALUE(dedup_scope) == 1 ? DEDUP_KEY : DEDUP_PARTITION,
		.on_full = VALUE(dedup_on_full) == 1 ? DEDUP_REJECT : DEDUP_EVICT,
		.window_ms = VALUE(dedup_window_ms),
		.entries_max = (uint64_t)VALUE(dedup_max_entries),
		.header_length = (uint8_t)strlen(header),
	};
#undef VALUE

	memcpy(dedup.header, header, dedup.header_length);
	return dedup;
}

static struct compact_config resolve_compact(const struct config *config,
					     const struct topic_overrides *overrides)
{
#define VALUE(name) value_of(config, overrides, TOPIC_CONFIG_##name)
	return (struct compact_config){
		.enabled = VALUE(cleanup_policy) & POLICY_COMPACT,
		.min_dirty_ratio = (double)VALUE(min_cleanable_dirty_ratio) / PARAM_RATIO_ONE,
		.min_lag_ms = VALUE(min_compaction_lag_ms),
		.max_lag_ms = VALUE(max_compaction_lag_ms),
		.delete_retention_ms = VALUE(delete_retention_ms),
	};
#undef VALUE
}

struct topic_config topic_config_resolve(const struct config *config,
					 const struct topic_overrides *overrides)
{
#define VALUE(name) value_of(config, overrides, TOPIC_CONFIG_##name)
	int64_t policy = VALUE(cleanup_policy);

	return (struct topic_config){
		.log =
			{
				.retention_ms = VALUE(retention_ms),
				.retention_bytes = VALUE(retention_bytes),
				.segment_bytes = (uint64_t)VALUE(segment_bytes),
				.segment_ms = VALUE(segment_ms),
				.delete_enabled = policy & POLICY_DELETE,
				.read_unflushed = VALUE(read_unflushed),
				.compact = resolve_compact(config, overrides),
				.dedup = resolve_dedup(config, overrides),
			},
		.max_message_bytes = (uint32_t)VALUE(max_message_bytes),
		.timestamp_before_max_ms = VALUE(message_timestamp_before_max_ms),
		.timestamp_after_max_ms = VALUE(message_timestamp_after_max_ms),
		.log_append_time = VALUE(message_timestamp_type) == 1,
		.compacted = policy & POLICY_COMPACT,
	};
#undef VALUE
}
