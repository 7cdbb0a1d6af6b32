/* What the control plane tells a shard besides pictures and the end: new limits, what to remove,
 * and whether it still turns. */
#include "base/bytes.h"
#include "dataplane/shard_internal.h"

static void send_back(struct shard *shard, struct message *message,
		      void (*handle)(struct message *message, void *control))
{
	message->handle = handle;
	shard_send(shard, mesh_control(shard->mesh), message);
}

static void set_store_limits(struct shard *shard)
{
	const struct shard_limits *limits = &shard->options.limits;

	store_set_limits(shard->store,
			 &(struct store_limits){
				 .producer_expiration_ms = limits->producer_expiration_ms,
				 .scrub_bytes_per_second = limits->scrub_bytes_per_second,
				 .compact_bytes_per_second = limits->compact_bytes_per_second,
				 .compact_backoff_ms = limits->compact_backoff_ms,
			 });
}

void shard_configure_handle(struct message *message, void *receiver)
{
	const struct shard_configure *configure = container_of(message, struct shard_configure,
							       message);
	struct shard *shard = receiver;

	shard->options.limits = configure->limits;
	set_store_limits(shard);
	send_back(shard, message, configure->configured);
}

/* Where there is no memory for it the next start does it. */
void shard_remove_handle(struct message *message, void *receiver)
{
	const struct shard_remove *remove = container_of(message, struct shard_remove, message);
	struct shard *shard = receiver;

	for (size_t i = 0; i < remove->count; i++)
		store_remove_topic(shard->store, &remove->topic_ids[i]);
	send_back(shard, message, remove->taken);
}

void shard_ping_handle(struct message *message, void *receiver)
{
	const struct shard_ping *ping = container_of(message, struct shard_ping, message);

	send_back(receiver, message, ping->turned);
}
