/* Groups and their lag, for dpdk-telemetry.py and whatever else speaks to DPDK's telemetry socket:
 *
 *     /sluice/groups[,N]         the groups' ids, without the first N: as many as an answer holds
 *     /sluice/group_lag,<group>  the group, and under 0, 1, ... its partitions,
 *                                the most behind first */
#include "control/group_telemetry.h"

#include "control/groups/lag.h"
#include "control/telemetry_slot.h"

#include <errno.h>
#include <rte_telemetry.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	IDS_MAX = 100,  /* an answer has 16 KiB, an id up to 128 bytes */
	ROWS_MAX = 100, /* a row takes about 120 bytes */
};

static void free_picture(void *picture)
{
	lag_picture_free(picture);
}

static struct telemetry_slot slot = {.free = free_picture};

static void tell_ids(const struct lag_picture *picture, size_t first, struct rte_tel_data *data)
{
	for (size_t i = first; i < picture->group_count && i - first < IDS_MAX; i++)
		rte_tel_data_add_array_string(data, picture->groups[i].id);
}

static int tell_groups(const char *command, const char *parameters, struct rte_tel_data *data)
{
	size_t first = parameters ? strtoul(parameters, NULL, 10) : 0;

	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	struct lag_picture *picture = telemetry_slot_take(&slot);
	if (picture)
		tell_ids(picture, first, data);
	telemetry_slot_put_back(&slot, picture);
	return 0;
}

static struct rte_tel_data *row_new(const struct lag_row *row)
{
	struct rte_tel_data *data = rte_tel_data_alloc();

	if (!data)
		return NULL;
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "topic", row->topic);
	rte_tel_data_add_dict_int(data, "partition", row->partition);
	/* Numbers of 64 bits are unsigned here: what is not known is left out. */
	if (row->committed >= 0)
		rte_tel_data_add_dict_u64(data, "committed", (uint64_t)row->committed);
	if (row->high_watermark >= 0)
		rte_tel_data_add_dict_u64(data, "high_watermark", (uint64_t)row->high_watermark);
	if (row->lag >= 0)
		rte_tel_data_add_dict_u64(data, "lag", (uint64_t)row->lag);
	return data;
}

/* One under another's number: DPDK 22.11 has no lists of dictionaries. */
static void tell_rows(const struct lag_group *group, struct rte_tel_data *data)
{
	for (size_t i = 0; i < group->row_count && i < ROWS_MAX; i++) {
		struct rte_tel_data *row = row_new(&group->rows[i]);
		char name[24];
		snprintf(name, sizeof(name), "%zu", i);
		if (row && rte_tel_data_add_dict_container(data, name, row, 0) < 0)
			rte_tel_data_free(row);
	}
}

static void tell_group(const struct lag_group *group, struct rte_tel_data *data)
{
	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_string(data, "type", group->type);
	rte_tel_data_add_dict_string(data, "state", group->state);
	rte_tel_data_add_dict_u64(data, "members", group->members);
	rte_tel_data_add_dict_u64(data, "partitions", group->row_count);
	rte_tel_data_add_dict_u64(data, "lag", (uint64_t)group->lag);
	tell_rows(group, data);
}

static int tell_lag(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct lag_picture *picture = telemetry_slot_take(&slot);
	const struct lag_group *group = picture && parameters
						? lag_picture_find(picture, parameters)
						: NULL;

	if (group)
		tell_group(group, data);
	telemetry_slot_put_back(&slot, picture);
	return group ? 0 : -EINVAL;
}

void group_telemetry_start(void)
{
	rte_telemetry_register_cmd("/sluice/groups", tell_groups,
				   "Groups, a hundred.  Parameter: how many to leave out before");
	rte_telemetry_register_cmd("/sluice/group_lag", tell_lag,
				   "A group, and its partitions most behind.  Parameter: the "
				   "group's id");
}

void group_telemetry_publish(struct lag_picture *picture)
{
	telemetry_slot_publish(&slot, picture);
}

const struct lag_picture *group_telemetry_take(void)
{
	return telemetry_slot_take(&slot);
}

void group_telemetry_put_back(const struct lag_picture *picture)
{
	telemetry_slot_put_back(&slot, (void *)(uintptr_t)picture);
}
