#include "dataplane/shard_usage.h"

#include "base/check.h"
#include "dataplane/shard_internal.h"

static void fill(const struct shard *shard, struct shard_usage_row *row)
{
	const struct partition *partition =
		shard_partition(shard, partition_key(row->topic_number, row->partition));

	row->found = partition && partition->log;
	if (!row->found)
		return;
	row->start_offset = log_start_offset(partition->log);
	row->high_watermark = log_high_watermark(partition->log);
	row->bytes = log_bytes(partition->log);
	row->appended_bytes = partition->appended_bytes;
	row->fetched_bytes = partition->fetched_bytes;
	row->fetched_records = partition->fetched_records;
}

void shard_usage_handle(struct message *message, void *receiver)
{
	struct shard_usage *asked = container_of(message, struct shard_usage, message);
	struct shard *shard = receiver;

	check(asked->count <= SHARD_USAGE_ROWS_MAX);
	for (size_t i = 0; i < asked->count; i++)
		fill(shard, asked->rows[i]);
	message->handle = asked->done;
	shard_send(shard, asked->sender, message);
}
