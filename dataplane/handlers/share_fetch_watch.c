/* A ShareFetch that waits, at the owners of its partitions. */
#include "dataplane/handlers/share_fetch_internal.h"

static void watch_ended(struct message *message, void *receiver);

static void call_back(struct share_watching *watching)
{
	struct shard *owner = watching->owner;
	struct share_fetch *fetch = watching->fetch;

	if (!watching->armed)
		return;
	watching->armed = false;
	for (struct share_fetch_entry *entry = first_of(fetch, owner->options.index); entry;
	     entry = next_of(entry)) {
		log_unwatch(&entry->log_watch);
		share_unwatch(&entry->watch);
	}
	/* Also at home by message: an append or another member's request is up the stack. */
	watching->message.handle = watch_ended;
	shard_send(owner, home_of(fetch), &watching->message);
}

static void entry_changed(struct share_fetch_entry *entry)
{
	call_back(&entry->fetch->watching[entry->share.scatter.part->owner]);
}

static void log_changed(struct log_watch *watch)
{
	entry_changed(container_of(watch, struct share_fetch_entry, log_watch));
}

static void share_changed(struct share_watch *watch)
{
	entry_changed(container_of(watch, struct share_fetch_entry, watch));
}

/* False: there is something to be seen already. */
static bool watch_entry(struct shard *shard, struct share_fetch_entry *entry)
{
	const struct partition *partition = shard_partition(shard, entry->share.scatter.key);
	struct share *share = share_fetch_share(shard, entry);

	if (!entry->reading)
		return true;
	if (!share || share_readable(share) >= 0)
		return false;
	entry->log_watch.changed = log_changed;
	entry->watch.changed = share_changed;
	log_watch(partition->log, &entry->log_watch);
	share_watch(share, &entry->watch);
	return true;
}

static void watch_begun(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, message);
	struct shard *shard = receiver;
	bool quiet = true;

	watching->owner = shard;
	watching->armed = true;
	for (struct share_fetch_entry *entry = first_of(watching->fetch, shard->options.index);
	     entry && quiet; entry = next_of(entry))
		quiet = watch_entry(shard, entry);
	if (!quiet)
		call_back(watching);
}

static void go_on_when_home(struct share_fetch *fetch)
{
	if (fetch->watches_out || fetch->cancels_out)
		return;
	if (fetch->over)
		share_fetch_answer(fetch);
	else
		share_fetch_tour(fetch);
}

static void cancel_ended(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, cancel);

	(void)receiver;
	watching->cancel_out = false;
	watching->fetch->cancels_out--;
	go_on_when_home(watching->fetch);
}

static void cancelled(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, cancel);

	call_back(watching);
	message->handle = cancel_ended;
	shard_send(receiver, home_of(watching->fetch), message);
}

static void cancel_watches(struct share_fetch *fetch)
{
	struct shard *shard = fetch->request->shard;

	for (unsigned i = 0; i < shards_of(fetch); i++) {
		struct share_watching *watching = &fetch->watching[i];
		if (!watching->out || watching->cancel_out)
			continue;
		watching->cancel_out = true;
		fetch->cancels_out++;
		watching->cancel.handle = cancelled;
		shard_send(shard, i, &watching->cancel);
	}
}

static void watch_ended(struct message *message, void *receiver)
{
	struct share_watching *watching = container_of(message, struct share_watching, message);
	struct share_fetch *fetch = watching->fetch;

	(void)receiver;
	watching->out = false;
	fetch->watches_out--;
	cancel_watches(fetch);
	go_on_when_home(fetch);
}

void share_fetch_watch(struct share_fetch *fetch)
{
	struct shard *shard = fetch->request->shard;

	for (unsigned i = 0; i < shards_of(fetch); i++) {
		struct share_watching *watching = &fetch->watching[i];
		if (!first_of(fetch, i))
			continue;
		watching->out = true;
		fetch->watches_out++;
		watching->message.handle = watch_begun;
		shard_send(shard, i, &watching->message);
	}
}

void share_fetch_end_soon(struct share_fetch *fetch)
{
	fetch->over = true;
	cancel_watches(fetch);
}
