#include "dataplane/partition_append.h"

#include "base/errors.h"

#include <errno.h>

static void logged(struct log_append *log, int rc)
{
	struct partition_append *append = container_of(log, struct partition_append, log);

	append->done(append, rc);
}

/* False: no buffer is free, try again later. */
static bool try_append(struct partition_append *append)
{
	struct partition *partition = append->partition;

	append->time_ms = partition->config.log_append_time ? shard_wall_ms(partition->shard) : -1;
	append->log.done = logged;
	int rc = log_append(partition->log, append->data, &append->batch, append->time_ms,
			    append->ack, &append->log);
	if (rc == -ENOBUFS)
		return false;
	append->duplicate = rc > 0;
	if (rc < 0)
		append->done(append, rc);
	else if (append->copied)
		append->copied(append); /* it is done by a later completion, not yet */
	return true;
}

void partition_append(struct partition *partition, struct partition_append *append)
{
	append->partition = partition;
	if (list_empty(&partition->blocked) && try_append(append))
		return;
	list_push_back(&partition->blocked, &append->blocked);
	if (!list_linked(&partition->blocked_link))
		list_push_back(&partition->shard->blocked, &partition->blocked_link);
}

void partition_append_blocked(struct shard *shard)
{
	list_foreach_safe(node, after, &shard->blocked) {
		struct partition *partition = container_of(node, struct partition, blocked_link);
		while (!list_empty(&partition->blocked)) {
			struct partition_append *append = container_of(
				partition->blocked.next, struct partition_append, blocked);
			/* Off the list first: a refused append ends it. */
			list_remove(&append->blocked);
			if (!try_append(append)) {
				list_push_front(&partition->blocked, &append->blocked);
				break;
			}
		}
		if (list_empty(&partition->blocked))
			list_remove(&partition->blocked_link);
	}
}

void partition_append_fail(struct partition *partition)
{
	struct list *node;

	list_remove(&partition->blocked_link);
	while ((node = list_pop_front(&partition->blocked))) {
		struct partition_append *append = container_of(node, struct partition_append,
							       blocked);
		append->done(append, -ERR_CLOSING);
	}
}
