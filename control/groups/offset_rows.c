#include "control/groups/offset_rows.h"

#include "dataplane/topics.h"

enum kafka_error offset_partition_check(const struct topic *topic, int32_t partition)
{
	if (!topic || partition < 0 || partition >= topic->partition_count)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	return KAFKA_NONE;
}

void offset_rows_fail(const struct offset_rows *rows, enum kafka_error error)
{
	for (size_t i = 0; i < rows->count; i++) {
		if (!*rows->rows[i].error)
			*rows->rows[i].error = (int16_t)error;
	}
}
