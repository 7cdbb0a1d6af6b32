/* From what members do to what the coordinator keeps, and back.
 *
 *     take, settle, give_back, a lock's end  -> changed -> go_on -> write -> durable -> waits
 *                                                           ^
 *     open -------------------------------------------------+-> open --> state in force -> waits
 *
 * `go_on` sends the next message when none is under way: an opening first, as what is written may
 * not be ours any more.  A write that fails takes the state with it: the coordinator's log decides
 * what was, and records that were out are given again. */
#include "dataplane/share/share.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "dataplane/share/share_ask.h"
#include "dataplane/shard_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
	OPEN_TRIES_MAX = 100, /* while the coordinator loads */
	OPEN_RETRY_MS = 20,
};

struct share {
	struct shard *shard;
	struct partition *partition; /* null: gone, a message is still out */
	struct list link;            /* partition.shares */
	char *group;
	size_t group_length;
	struct share_partition *records; /* null: not open */
	uint64_t incarnation;
	uint64_t dead_lettered; /* of `records`, as counted so far */
	struct timer locks;
	struct timer retry;
	unsigned tries;
	struct list opening;      /* struct share_wait */
	struct list opening_next; /* ... of those who came while a message was under way */
	struct list writing;
	struct list writing_next;
	struct list watches;
	bool out;   /* `ask` is under way */
	bool dirty; /* `records` is not what is kept */
	struct share_ask ask;
};

static void go_on(struct share *share);

/* ---- life ---- */

static void finish(struct list *waits, int rc)
{
	struct list own, *node;

	list_init(&own);
	list_move_all(&own, waits);
	while ((node = list_pop_front(&own))) {
		struct share_wait *wait = container_of(node, struct share_wait, link);
		wait->done(wait, rc);
	}
}

static void wake(struct share *share)
{
	struct list own, *node;

	list_init(&own);
	list_move_all(&own, &share->watches);
	while ((node = list_pop_front(&own))) {
		struct share_watch *watch = container_of(node, struct share_watch, link);
		watch->changed(watch);
	}
}

static void free_share(struct share *share)
{
	struct timers *timers = &share->shard->timers;

	timers_disarm(timers, &share->locks);
	timers_disarm(timers, &share->retry);
	share_partition_free(share->records);
	free(share->group);
	free(share);
}

/* Not open any more; who waits is told `rc`. */
static void close_state(struct share *share, int rc)
{
	timers_disarm(&share->shard->timers, &share->locks);
	share_partition_free(share->records);
	share->records = NULL;
	share->dirty = false;
	finish(&share->writing, rc);
	finish(&share->writing_next, rc);
	wake(share);
}

static void drop(struct share *share, int rc)
{
	list_remove(&share->link);
	share->partition = NULL;
	close_state(share, rc);
	finish(&share->opening, rc);
	finish(&share->opening_next, rc);
	if (!share->out)
		free_share(share);
}

void share_drop_all(struct partition *partition)
{
	list_foreach_safe(node, after, &partition->shares)
		drop(container_of(node, struct share, link), -ERR_CLOSING);
}

static struct share *find(const struct partition *partition, const struct kafka_string *group)
{
	list_foreach(node, &partition->shares) {
		struct share *share = container_of(node, struct share, link);
		if (share->group_length == (size_t)group->length &&
		    bytes_compare(share->group, group->data, share->group_length) == 0)
			return share;
	}
	return NULL;
}

struct share *share_find(const struct partition *partition, const struct kafka_string *group)
{
	struct share *share = find(partition, group);

	return share && share->records ? share : NULL;
}

/* ---- what changes by itself ---- */

/* Counts what was delivered too often, stores what is new, wakes who waits for records. */
static void changed(struct share *share)
{
	uint64_t dead = share_dead_lettered(share->records);

	shard_count(share->shard, share_records_dead_lettered, dead - share->dead_lettered);
	share->dead_lettered = dead;
	share->dirty = true;
	if (share_readable(share) >= 0)
		wake(share);
	go_on(share);
}

static void time_locks(struct share *share)
{
	uint64_t due_ns = share_next_deadline(share->records);

	/* Without memory for the timer the next that is given out sets it. */
	if (due_ns != UINT64_MAX)
		timers_arm(&share->shard->timers, &share->locks, due_ns);
}

static void locks_expired(struct timer *timer)
{
	struct share *share = container_of(timer, struct share, locks);
	uint32_t expired = share_expire(share->records, share->shard->now_ns);

	shard_count(share->shard, share_locks_expired, expired);
	time_locks(share);
	if (expired)
		changed(share);
}

/* ---- the coordinator ---- */

static void retry_expired(struct timer *timer)
{
	go_on(container_of(timer, struct share, retry));
}

static int load(struct share *share)
{
	const struct share_ask *kept = &share->ask;
	const struct topics *topics = share->shard->topics;
	const struct share_settings *settings = topics_share_settings(topics, share->group,
								      share->group_length);
	const struct share_limits limits = {
		.records_max = topics->share.records_max,
		.deliveries_max = topics->share.deliveries_max,
		.lock_ns = (uint64_t)settings->record_lock_duration_ms * NS_PER_MS,
	};
	struct share_partition *records;
	int rc = share_partition_new(&records, &limits, kept->start);

	if (rc == 0)
		rc = share_load(records, kept->start, kept->runs, kept->run_count);
	if (rc < 0) {
		share_partition_free(records);
		return rc;
	}
	close_state(share, -ERR_NOT_OWNER);
	share->records = records;
	share->incarnation = kept->incarnation;
	share->dead_lettered = 0;
	return 0;
}

static void opened(struct share *share, int rc)
{
	if (rc == -ERR_NO_COORDINATOR && share->tries++ < OPEN_TRIES_MAX) {
		list_move_all(&share->opening_next, &share->opening);
		if (timers_arm(&share->shard->timers, &share->retry,
			       share->shard->now_ns + OPEN_RETRY_MS * NS_PER_MS) == 0)
			return;
		rc = -ENOMEM;
		list_move_all(&share->opening, &share->opening_next);
	}
	share->tries = 0;
	if (rc == -ERR_NO_COORDINATOR)
		rc = -ERR_NOT_OWNER;
	if (rc == 0 && (!share->records || share->incarnation != share->ask.incarnation))
		rc = load(share);
	if (rc == -ERR_UNKNOWN_PARTITION)
		close_state(share, rc);
	finish(&share->opening, rc);
}

static void written(struct share *share, int rc)
{
	if (rc < 0)
		close_state(share, -ERR_NOT_OWNER);
	else
		finish(&share->writing, 0);
}

/* Of a group that is none: anybody can name those. */
static void forget_if_unused(struct share *share)
{
	if (share->out || share->records || share->retry.place || !list_empty(&share->opening_next))
		return;
	list_remove(&share->link);
	free_share(share);
}

static void ask_back(struct message *message, void *receiver)
{
	struct share *share = container_of(message, struct share, ask.message);
	struct shard *shard = receiver;

	/* Who is told may cause the next message. */
	struct share_run *runs = share->ask.runs;

	share->out = false;
	shard->shares_out--;
	if (!share->partition) {
		free(runs);
		free_share(share);
		return;
	}
	if (share->ask.what == SHARE_ASK_OPEN)
		opened(share, share->ask.rc);
	else
		written(share, share->ask.rc);
	free(runs);
	go_on(share);
	forget_if_unused(share);
}

static void ask(struct share *share, enum share_ask_kind what)
{
	struct shard *shard = share->shard;
	const struct partition *partition = share->partition;

	share->out = true;
	shard->shares_out++;
	share->ask.message.handle = shard->options.coordinator_share;
	share->ask.done = ask_back;
	share->ask.shard_index = shard->options.index;
	share->ask.what = what;
	share->ask.group_id = (struct kafka_string){share->group, (int32_t)share->group_length};
	share->ask.topic_id = partition->topic_id;
	share->ask.partition = partition->index;
	share->ask.incarnation = share->incarnation;
	shard_send(shard, mesh_coordinator(shard->mesh), &share->ask.message);
}

static void send_open(struct share *share)
{
	const struct log *log = share->partition->log;

	list_move_all(&share->opening, &share->opening_next);
	share->ask.log_start = log_start_offset(log);
	share->ask.log_end = log_high_watermark(log);
	share->ask.runs = NULL;
	share->ask.run_count = 0;
	ask(share, SHARE_ASK_OPEN);
}

static void send_write(struct share *share)
{
	size_t count = share_store(share->records, NULL, 0);
	struct share_run *runs = malloc((count + 1) * sizeof(*runs));

	if (!runs) {
		close_state(share, -ENOMEM);
		return;
	}
	share_store(share->records, runs, count);
	list_move_all(&share->writing, &share->writing_next);
	share->dirty = false;
	share->ask.start = share_start(share->records);
	share->ask.runs = runs;
	share->ask.run_count = count;
	ask(share, SHARE_ASK_WRITE);
}

static void go_on(struct share *share)
{
	if (share->out || share->retry.place)
		return;
	if (!list_empty(&share->opening_next))
		send_open(share);
	else if (share->records && share->dirty)
		send_write(share);
}

/* ---- opening ---- */

static struct share *make(struct partition *partition, const struct kafka_string *group)
{
	struct share *share = calloc(1, sizeof(*share));
	char *copy = malloc((size_t)group->length + 1);

	if (!share || !copy) {
		free(share);
		free(copy);
		return NULL;
	}
	bytes_copy(copy, group->data, (size_t)group->length);
	share->shard = partition->shard;
	share->partition = partition;
	share->group = copy;
	share->group_length = (size_t)group->length;
	share->locks.expired = locks_expired;
	share->retry.expired = retry_expired;
	list_init(&share->opening);
	list_init(&share->opening_next);
	list_init(&share->writing);
	list_init(&share->writing_next);
	list_init(&share->watches);
	list_push_back(&partition->shares, &share->link);
	return share;
}

void share_open(struct partition *partition, const struct kafka_string *group,
		struct share_wait *wait)
{
	struct share *share = find(partition, group);

	if (!share)
		share = make(partition, group);
	if (!share) {
		wait->done(wait, -ENOMEM);
		return;
	}
	list_push_back(&share->opening_next, &wait->link);
	go_on(share);
}

/* ---- what members do ---- */

int64_t share_readable(struct share *share)
{
	const struct log *log = share->partition->log;

	share_trim(share->records, log_start_offset(log));
	int64_t next = share_next(share->records);
	return next < log_high_watermark(log) ? next : -1;
}

int share_take(struct share *share, uint32_t holder, int64_t first, int64_t last, uint32_t records,
	       struct share_run *out, size_t capacity)
{
	if (first > share_end(share->records))
		return 0;
	int runs = share_acquire(share->records, holder, first, last, records, share->shard->now_ns,
				 out, capacity);
	for (int i = 0; i < runs; i++)
		shard_count(share->shard, share_records_acquired, out[i].last - out[i].first + 1);
	if (runs > 0 && !share->locks.place)
		time_locks(share);
	return runs;
}

void share_skip(struct share *share, uint32_t holder, int64_t first, int64_t last)
{
	static const uint8_t gap = SHARE_GAP;
	struct share_run run;

	if (first > share_end(share->records))
		return;
	while (share_acquire(share->records, holder, first, last, UINT32_MAX, share->shard->now_ns,
			     &run, 1) == 1) {
		share_acknowledge(share->records, holder, run.first, run.last, &gap, 1);
		share->dirty = true;
	}
}

static void count_settled(struct shard *shard, int64_t first, int64_t last, const uint8_t *types,
			  size_t type_count)
{
	uint64_t each = type_count == 1 ? (uint64_t)(last - first) + 1 : 1;

	for (size_t i = 0; i < type_count; i++) {
		if (types[i] == SHARE_ACCEPT)
			shard_count(shard, share_records_acknowledged, each);
		if (types[i] == SHARE_RELEASE)
			shard_count(shard, share_records_released, each);
	}
}

int share_settle(struct share *share, uint32_t holder, int64_t first, int64_t last,
		 const uint8_t *types, size_t type_count)
{
	int rc = share_acknowledge(share->records, holder, first, last, types, type_count);

	if (rc == 0) {
		count_settled(share->shard, first, last, types, type_count);
		share->dirty = true;
	}
	return rc;
}

void share_when_durable(struct share *share, struct share_wait *wait)
{
	list_push_back(&share->writing_next, &wait->link);
	changed(share);
}

void share_give_back(struct share *share, uint32_t holder)
{
	uint32_t released = share_release(share->records, holder);

	shard_count(share->shard, share_records_released, released);
	if (released)
		changed(share);
}

void share_watch(struct share *share, struct share_watch *watch)
{
	list_push_back(&share->watches, &watch->link);
}

void share_unwatch(struct share_watch *watch)
{
	list_remove(&watch->link);
}
