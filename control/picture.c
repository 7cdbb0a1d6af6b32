#include "control/control_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_ids(const void *a, const void *b)
{
	const struct topic *const *x = a;
	const struct topic *const *y = b;
	return memcmp(&(*x)->id, &(*y)->id, sizeof((*x)->id));
}

static void draw_topic(const struct control *control, const struct catalog_topic *from,
		       struct topic *to)
{
	memcpy(to->name, from->name, sizeof(to->name));
	to->id = from->id;
	to->number = from->number;
	to->partition_count = from->partition_count;
	to->internal = topic_name_internal(from->name, strlen(from->name));
	to->config = topic_config_resolve(control->config, &from->overrides);
	/* Their owner rewrites them itself. */
	if (to->internal)
		to->config.log.compact.enabled = false;
}

static void draw_broker(const struct control *control, struct topics *topics)
{
	const struct config *config = control->config;
	const struct group_overrides none = {0};

	topics->version = control->version;
	topics->node_id = control->node_id;
	topics->leader_epoch = control->epoch;
	uuid_text(catalog_cluster_id(control->catalog), topics->cluster_id);
	snprintf(topics->host, sizeof(topics->host), "%s", control->advertised.host);
	topics->port = control->advertised.port;
	topics->datagram_port = control->datagram_port;
	topics->shard_count = (uint16_t)control->shard_count;
	topics->auto_create = config->auto_create_topics;
	topics->default_partitions = (int32_t)config->num_partitions;
	topics->share = (struct share_rules){
		.settings = group_config_resolve(config, &none),
		.deliveries_max = (uint16_t)config->group_share_delivery_count_limit,
		.records_max = (uint32_t)config->group_share_partition_max_record_locks,
	};
}

static size_t id_bytes(const struct control *control)
{
	size_t bytes = 0;

	for (size_t i = 0; i < catalog_group_count(control->catalog); i++)
		bytes += strlen(catalog_group_at(control->catalog, i)->id);
	return bytes;
}

static void draw_groups(const struct control *control, struct topics *topics,
			struct share_group_settings *rows)
{
	size_t count = catalog_group_count(control->catalog);
	char *at = (char *)(rows + count);

	topics->share_group_count = count;
	topics->share_groups = rows;
	for (size_t i = 0; i < count; i++) {
		const struct catalog_group *group = catalog_group_at(control->catalog, i);
		rows[i] = (struct share_group_settings){
			.group = at,
			.group_length = strlen(group->id),
			.settings = group_config_resolve(control->config, &group->overrides),
		};
		memcpy(at, group->id, rows[i].group_length);
		at += rows[i].group_length;
	}
}

/* | struct topics | by_name | by_id | struct topic ... | settings of groups | their ids | */
const struct topics *picture_new(const struct control *control)
{
	size_t count = catalog_topic_count(control->catalog);
	size_t pointers = count * sizeof(struct topic *);
	size_t groups = catalog_group_count(control->catalog) * sizeof(struct share_group_settings);
	struct topics *topics = calloc(1, sizeof(*topics) + 2 * pointers +
						  count * sizeof(struct topic) + groups +
						  id_bytes(control));

	if (!topics)
		return NULL;
	draw_broker(control, topics);
	topics->count = count;
	topics->by_name = (const struct topic **)(void *)(topics + 1);
	topics->by_id = topics->by_name + count;
	struct topic *rows = (struct topic *)(void *)(topics->by_id + count);
	for (size_t i = 0; i < count; i++) {
		draw_topic(control, catalog_topic_at(control->catalog, i), &rows[i]);
		topics->by_name[i] = topics->by_id[i] = &rows[i];
	}
	if (count)
		qsort(topics->by_id, count, sizeof(struct topic *), compare_ids);
	draw_groups(control, topics, (struct share_group_settings *)(void *)(rows + count));
	return topics;
}

void picture_free(const struct topics *picture)
{
	free((void *)(uintptr_t)picture);
}
