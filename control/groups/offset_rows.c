#include "control/groups/offset_rows.h"

#include "dataplane/topics.h"

enum kafka_error offset_row_check(const struct offset_row *row)
{
	if (!row->topic || row->partition < 0 || row->partition >= row->topic->partition_count)
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
