#include "dataplane/handlers/scatter.h"

#include "base/check.h"
#include "base/errors.h"
#include "dataplane/request.h"

struct scatter *scatter_new(struct request *request)
{
	unsigned shards = request->shard->options.shard_count;
	struct scatter *scatter =
		request_alloc(request, 1, sizeof(*scatter) + shards * sizeof(scatter->parts[0]));

	if (!scatter)
		return NULL;
	scatter->request = request;
	/* One of our own, so that nothing completes before all parts are out. */
	scatter->parts_out = 1;
	for (unsigned i = 0; i < shards; i++) {
		struct scatter_part *part = &scatter->parts[i];
		part->scatter = scatter;
		part->owner = i;
		part->pending = 0;
		part->first = NULL;
		part->last = NULL;
	}
	return scatter;
}

void scatter_add(struct scatter *scatter, struct scatter_entry *entry, const struct topic *topic,
		 int32_t partition)
{
	unsigned shards = scatter->request->shard->options.shard_count;
	struct scatter_part *part = &scatter->parts[partition_shard(topic, partition, shards)];

	entry->part = part;
	entry->next = NULL;
	entry->key = partition_key(topic->number, partition);
	if (part->last) {
		part->last->next = entry;
	} else {
		part->first = entry;
		scatter->parts_out++;
	}
	part->last = entry;
	part->pending++;
}

static void part_returned(struct message *message, void *receiver)
{
	struct scatter_part *part = container_of(message, struct scatter_part, message);
	struct scatter *scatter = part->scatter;

	(void)receiver;
	check(scatter->parts_out > 0);
	if (--scatter->parts_out == 0)
		scatter->complete(scatter->request);
}

static void run_part(struct message *message, void *receiver)
{
	struct scatter_part *part = container_of(message, struct scatter_part, message);
	struct shard *shard = receiver;

	/* The last entry to end may send the part home: read `next` before. */
	for (struct scatter_entry *entry = part->first, *next; entry; entry = next) {
		next = entry->next;
		part->scatter->run(shard, shard_partition(shard, entry->key), entry);
	}
}

void scatter_entry_done(struct shard *shard, struct scatter_entry *entry, int rc)
{
	struct scatter_part *part = entry->part;
	unsigned home = part->scatter->request->shard->options.index;

	entry->rc = rc;
	check(part->pending > 0);
	if (--part->pending)
		return;
	if (home == shard->options.index) {
		part_returned(&part->message, shard);
		return;
	}
	part->message.handle = part_returned;
	shard_send(shard, home, &part->message);
}

void scatter_start(struct scatter *scatter)
{
	struct shard *shard = scatter->request->shard;
	unsigned shards = shard->options.shard_count;

	for (unsigned i = 0; i < shards; i++) {
		struct scatter_part *part = &scatter->parts[i];
		if (!part->first)
			continue;
		if (i == shard->options.index) {
			run_part(&part->message, shard);
			continue;
		}
		part->message.handle = run_part;
		shard_send(shard, i, &part->message);
	}
	if (--scatter->parts_out == 0)
		scatter->complete(scatter->request);
}
