#include "dataplane/shard_dedup.h"

#include "dataplane/shard_internal.h"

void shard_dedup_add(struct shard_dedup_topic *topic, const struct dedup_status *from,
		     uint32_t partitions)
{
	struct dedup_status *all = &topic->all;

	if (!partitions)
		return;
	if (!topic->partitions || from->covered_ms < all->covered_ms)
		all->covered_ms = from->covered_ms;
	topic->partitions += partitions;
	all->entries += from->entries;
	all->memory_bytes += from->memory_bytes;
	all->file_bytes += from->file_bytes;
	all->hits += from->hits;
	all->evictions += from->evictions;
	all->rejections += from->rejections;
}

static void add_partitions(const struct shard *shard, struct shard_dedup_topic *topic)
{
	topic->partitions = 0;
	topic->all = (struct dedup_status){0};
	for (int32_t i = 0; i < topic->partition_count; i++) {
		const struct partition *partition =
			shard_partition(shard, partition_key(topic->number, i));
		struct dedup_status status;
		if (!partition)
			continue;
		log_dedup_status(partition->log, &status);
		shard_dedup_add(topic, &status, 1);
	}
}

void shard_dedup_handle(struct message *message, void *receiver)
{
	struct shard_dedup *asked = container_of(message, struct shard_dedup, message);
	struct shard *shard = receiver;

	for (size_t i = 0; i < asked->count; i++)
		add_partitions(shard, &asked->topics[i]);
	message->handle = asked->done;
	shard_send(shard, asked->sender, message);
}
