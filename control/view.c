#include "control/view.h"

#include "control/control_internal.h"
#include "storage/io.h"

void control_send(struct control *control, struct errand *errand)
{
	errands_send(&control->errands, errand);
	io_wake(control->io);
}

const struct config *control_config(const struct control *control)
{
	return control->config;
}

int32_t control_node_id(const struct control *control)
{
	return control->node_id;
}

unsigned control_shard_count(const struct control *control)
{
	return control->shard_count;
}

uint16_t control_listen_port(const struct control *control)
{
	return control->listen_port;
}

bool control_is_ready(const struct control *control)
{
	return atomic_load_explicit(&control->serves, memory_order_relaxed);
}

uint64_t control_started_ns(const struct control *control)
{
	return control->started_ns;
}

uint64_t control_turned_ns(const struct control *control)
{
	return atomic_load_explicit(&control->turned_ns, memory_order_relaxed);
}

const struct topics *control_topics(const struct control *control)
{
	return control->current;
}

int64_t control_partition_count(const struct control *control)
{
	return catalog_partition_count(control->catalog);
}

const char *control_io_name(const struct control *control)
{
	return shard_backend_name(control->shards[0]);
}
