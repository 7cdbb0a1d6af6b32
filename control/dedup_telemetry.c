/* Dedup windows, for dpdk-telemetry.py and whatever else speaks to DPDK's telemetry socket:
 *
 *     /sluice/dedup_topics[,N]  topics with a window, without the first N: as many as an answer
 *                               holds
 *     /sluice/dedup,<topic>     what its partitions' windows hold, together */
#include "control/dedup_telemetry.h"

#include "control/telemetry_slot.h"

#include <errno.h>
#include <rte_telemetry.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 60 }; /* an answer has 16 KiB, a name up to 250 bytes */

static struct telemetry_slot slot = {.free = free};

static void tell_names(const struct dedup_picture *picture, size_t first, struct rte_tel_data *data)
{
	for (size_t i = first; i < picture->count && i - first < NAMES_MAX; i++)
		rte_tel_data_add_array_string(data, picture->rows[i].topic);
}

static int tell_topics(const char *command, const char *parameters, struct rte_tel_data *data)
{
	size_t first = parameters ? strtoul(parameters, NULL, 10) : 0;

	(void)command;
	rte_tel_data_start_array(data, RTE_TEL_STRING_VAL);
	struct dedup_picture *picture = telemetry_slot_take(&slot);
	if (picture)
		tell_names(picture, first, data);
	telemetry_slot_put_back(&slot, picture);
	return 0;
}

static void tell_row(const struct dedup_row *row, struct rte_tel_data *data)
{
	const struct dedup_status *all = &row->sums.all;

	rte_tel_data_start_dict(data);
	rte_tel_data_add_dict_u64(data, "partitions", row->sums.partitions);
	rte_tel_data_add_dict_u64(data, "entries", all->entries);
	rte_tel_data_add_dict_u64(data, "memory_bytes", all->memory_bytes);
	rte_tel_data_add_dict_u64(data, "file_bytes", all->file_bytes);
	rte_tel_data_add_dict_u64(data, "hits", all->hits);
	rte_tel_data_add_dict_u64(data, "evictions", all->evictions);
	rte_tel_data_add_dict_u64(data, "rejections", all->rejections);
	/* Of the partition where it is least. */
	rte_tel_data_add_dict_u64(data, "covered_ms", (uint64_t)all->covered_ms);
}

static const struct dedup_row *find(const struct dedup_picture *picture, const char *topic)
{
	for (size_t i = 0; i < picture->count; i++) {
		if (strcmp(picture->rows[i].topic, topic) == 0)
			return &picture->rows[i];
	}
	return NULL;
}

static int tell_topic(const char *command, const char *parameters, struct rte_tel_data *data)
{
	struct dedup_picture *picture = telemetry_slot_take(&slot);
	const struct dedup_row *row = picture && parameters ? find(picture, parameters) : NULL;

	(void)command;
	if (row)
		tell_row(row, data);
	telemetry_slot_put_back(&slot, picture);
	return row ? 0 : -EINVAL;
}

void dedup_telemetry_start(void)
{
	rte_telemetry_register_cmd("/sluice/dedup_topics", tell_topics,
				   "Topics with a dedup window, sixty.  Parameter: how many to "
				   "leave out before");
	rte_telemetry_register_cmd("/sluice/dedup", tell_topic,
				   "What a topic's dedup windows hold.  Parameter: the topic's "
				   "name");
}

void dedup_telemetry_publish(struct dedup_picture *picture)
{
	telemetry_slot_publish(&slot, picture);
}

const struct dedup_picture *dedup_telemetry_take(void)
{
	return telemetry_slot_take(&slot);
}

void dedup_telemetry_put_back(const struct dedup_picture *picture)
{
	telemetry_slot_put_back(&slot, (void *)(uintptr_t)picture);
}
