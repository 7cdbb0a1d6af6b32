/* From records of a state machine to batches in its topic, and back.
 *
 *     append ──> open batch ──> (turn) ──> one batch under way ──> durable: who waited goes on
 *                   ^  what comes meanwhile is gathered │
 *                   └───────────────────────────────────┘ failed: everybody is told, load again
 *
 * One batch of a partition is under way at a time.  So batches are as large as the disk is slow,
 * and nothing is stored that rests on what was not: a batch behind a failed one has not left yet.
 * All records of one call are in one batch, which is stored whole or not at all.
 *
 * A partition's phases: loading <-> ready, with a pause before a load that follows a failure.  It
 * is read from the log's start to its high watermark, when its log is not in doubt (shard_log.h).
 *
 * A rewrite makes a restart short: everything that holds is appended anew, and when that is durable
 * the log is trimmed to its first record.  A crash between finds the old records and some or all of
 * the new, which say the same; one after the trim finds the new alone.  Tombstones go with what
 * they have erased, as both lie before. */
#include "control/coordinator_log_internal.h"

#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/records.h"

#include <errno.h>
#include <stdlib.h>

enum {
	MERGE_BYTES = 256 << 10, /* calls share a batch until it is so large */
	DRAWN_BATCH_BYTES = 1 << 20,
	BATCH_BYTES_MAX = 4 << 20, /* of one call; well below any shard's buffers */
};

static struct log_partition *partition_at(struct coordinator_log *log, int32_t index)
{
	check(index >= 0 && index < log->options.partition_count);
	return &log->partitions[index];
}

void log_partition_send(struct log_partition *p, struct shard_log *request,
			void (*handle)(struct message *message, void *shard),
			void (*done)(struct message *message, void *receiver))
{
	struct coordinator_log *log = p->log;
	const struct topic topic = {.number = log->topic_number};

	*request = (struct shard_log){
		.message.handle = handle,
		.done = done,
		.sender = log->options.sender,
		.topic_number = log->topic_number,
		.partition = p->index,
	};
	log->options.send(log->options.context,
			  partition_shard(&topic, p->index, log->options.shard_count),
			  &request->message);
}

void log_partition_touch(struct log_partition *p)
{
	if (p->phase == PARTITION_READY && !list_linked(&p->link))
		list_push_back(&p->log->dirty, &p->link);
}

/* ---- batches ---- */

static void batch_free(struct log_batch *batch)
{
	check(list_empty(&batch->waits));
	batch_build_fini(&batch->build);
	free(batch);
}

static struct log_batch *last_batch(const struct log_partition *p)
{
	return list_empty(&p->batches) ? NULL : log_batch_of(p->batches.prev);
}

static bool has_room(const struct log_partition *p, const struct log_batch *batch)
{
	if (batch->closed)
		return false;
	if (p->log->drawing)
		return batch->build.size < DRAWN_BATCH_BYTES;
	return batch->call == p->log->call || batch->build.size < MERGE_BYTES;
}

/* Null: out of memory. */
static struct log_batch *open_batch(struct log_partition *p)
{
	struct log_batch *batch = last_batch(p);

	if (batch && has_room(p, batch))
		return batch;
	if (batch)
		batch->closed = true;
	batch = calloc(1, sizeof(*batch));
	if (!batch)
		return NULL;
	list_init(&batch->waits);
	list_push_back(&p->batches, &batch->link);
	return batch;
}

static int append(struct state_log *state_log, int32_t partition, const void *key, size_t key_size,
		  const void *value, size_t value_size, int64_t timestamp_ms)
{
	struct coordinator_log *log = container_of(state_log, struct coordinator_log, state_log);
	struct log_partition *p = partition_at(log, partition);
	const struct record record = {
		.key = key,
		.key_length = key_size,
		.value = value,
		.value_length = value_size,
	};
	uint8_t *headers;

	/* Its state is forgotten and read again: what it says now does not matter. */
	if (p->phase != PARTITION_READY)
		return 0;
	struct log_batch *batch = open_batch(p);
	if (!batch)
		return -ENOMEM;
	int rc = -ENOMEM;
	if (batch->build.size + batch_build_record_bytes(&record) <= BATCH_BYTES_MAX)
		rc = batch_build_add(&batch->build, &record, timestamp_ms, &headers);
	if (rc == 0) {
		batch->call = log->call;
		log_partition_touch(p);
	} else if (batch->build.count == 0) {
		list_remove(&batch->link);
		batch_free(batch);
	}
	return rc;
}

static void after(struct state_log *state_log, int32_t partition, struct state_wait *wait)
{
	struct coordinator_log *log = container_of(state_log, struct coordinator_log, state_log);
	struct log_partition *p = partition_at(log, partition);
	struct log_batch *batch = last_batch(p);

	if (p->phase != PARTITION_READY || log->abandoned)
		wait->done(wait, -ERR_CLOSING);
	else if (batch)
		list_push_back(&batch->waits, &wait->link);
	else
		wait->done(wait, 0);
}

static void end_waits(struct log_batch *batch, int rc)
{
	struct list *node;

	while ((node = list_pop_front(&batch->waits))) {
		struct state_wait *wait = container_of(node, struct state_wait, link);
		wait->done(wait, rc);
	}
}

/* ---- appending ---- */

static void batch_durable(struct log_partition *p, struct log_batch *batch)
{
	p->pause_ns = 0;
	if (batch->rewrite_begins) {
		p->rewrite_offset = p->append.base_offset;
		p->bytes_before = p->bytes;
		p->records_before = p->records;
	}
	p->bytes += batch->build.size;
	p->records += (uint64_t)batch->build.count;
	p->next_offset = p->append.base_offset + batch->build.count;
	if (batch->rewrite_ends)
		log_trim_to_rewrite(p);
	end_waits(batch, 0);
	batch_free(batch);
	log_partition_touch(p);
}

/* Everything that was not durable is gone: who waits is told, and the state is read again. */
static void forget(struct log_partition *p, int rc)
{
	const struct coordinator_log_state *state = &p->log->state;
	struct list failed;
	struct list *node;

	list_remove(&p->link);
	p->phase = PARTITION_TO_LOAD;
	p->rewriting = p->trimming;
	list_init(&failed);
	list_move_all(&failed, &p->batches);
	while ((node = list_pop_front(&failed))) {
		end_waits(log_batch_of(node), rc);
		batch_free(log_batch_of(node));
	}
	state->begin_load(state->context, p->index);
}

static void append_back(struct message *message, void *receiver)
{
	struct log_partition *p = container_of(message, struct log_partition, append.log.message);

	(void)receiver;
	p->appending = false;
	if (p->append.log.rc == 0) {
		batch_durable(p, log_batch_of(list_pop_front(&p->batches)));
		return;
	}
	forget(p, p->append.log.rc);
	log_load_after_failure(p, p->append.log.rc);
}

static void send_batch(struct log_partition *p)
{
	struct coordinator_log *log = p->log;

	if (p->appending || list_empty(&p->batches))
		return;
	if (!log->topic_exists) {
		if (!log->creating) {
			log->creating = true;
			log->options.create_topic(log->options.context);
		}
		return;
	}
	struct log_batch *batch = log_batch_of(p->batches.next);
	batch->closed = true;
	batch_build_seal(&batch->build, -1, -1, -1);
	p->append.data = batch->build.data;
	p->append.size = batch->build.size;
	p->appending = true;
	log_partition_send(p, &p->append.log, shard_append_handle, append_back);
}

uint64_t coordinator_log_turn(struct coordinator_log *log)
{
	struct list *node;

	coordinator_log_call_end(log);
	while ((node = list_pop_front(&log->dirty))) {
		struct log_partition *p = container_of(node, struct log_partition, link);
		if (log_outgrown(p))
			log_rewrite(p);
		list_remove(&p->link); /* the rewrite has made it dirty */
		send_batch(p);
	}
	if (log->stopping || !log->topic_exists)
		return UINT64_MAX;
	return log_start_loads(log);
}

void coordinator_log_call_end(struct coordinator_log *log)
{
	log->call++;
}

/* ---- the topic ---- */

void coordinator_log_start(struct coordinator_log *log, const struct coordinator_log_state *state,
			   bool topic_exists)
{
	log->state = *state;
	for (int32_t i = 0; i < log->options.partition_count; i++) {
		struct log_partition *p = &log->partitions[i];
		state->begin_load(state->context, i);
		if (topic_exists) {
			log_load_at(p, 0);
		} else {
			p->phase = PARTITION_READY;
			state->end_load(state->context, i);
		}
	}
}

void coordinator_log_set_topic(struct coordinator_log *log, const struct topic *topic)
{
	if (!topic || topic->partition_count != log->options.partition_count)
		return;
	log->creating = false;
	log->topic_number = topic->number;
	if (log->topic_exists)
		return;
	log->topic_exists = true;
	for (int32_t i = 0; i < log->options.partition_count; i++) {
		if (!list_empty(&log->partitions[i].batches))
			log_partition_touch(&log->partitions[i]);
	}
}

void coordinator_log_refused(struct coordinator_log *log, int rc)
{
	log->creating = false;
	if (log->topic_exists)
		return;
	log_error("coordinator", "no topic for state topic=%s error=\"%s\"", log->options.topic,
		  error_text(rc));
	for (int32_t i = 0; i < log->options.partition_count; i++) {
		struct log_partition *p = &log->partitions[i];
		if (list_empty(&p->batches))
			continue;
		forget(p, rc);
		/* Without a topic there is nothing to load. */
		p->phase = PARTITION_READY;
		log->state.end_load(log->state.context, i);
	}
}

/* ---- making and ending ---- */

static const struct state_log_ops state_log_ops = {.append = append, .after = after};

int coordinator_log_new(struct coordinator_log **ret, const struct coordinator_log_options *options)
{
	struct coordinator_log *log = calloc(1, sizeof(*log) + (size_t)options->partition_count *
								       sizeof(log->partitions[0]));

	if (!log)
		return -ENOMEM;
	log->state_log.ops = &state_log_ops;
	log->options = *options;
	list_init(&log->dirty);
	list_init(&log->to_load);
	for (int32_t i = 0; i < options->partition_count; i++) {
		log->partitions[i].log = log;
		log->partitions[i].index = i;
		list_init(&log->partitions[i].batches);
	}
	*ret = log;
	return 0;
}

void coordinator_log_free(struct coordinator_log *log)
{
	if (!log)
		return;
	for (int32_t i = 0; i < log->options.partition_count; i++) {
		struct log_partition *p = &log->partitions[i];
		struct list *node;
		while ((node = list_pop_front(&p->batches)))
			batch_free(log_batch_of(node));
		free(p->read.data);
	}
	free(log);
}

struct state_log *coordinator_log_seam(struct coordinator_log *log)
{
	return &log->state_log;
}

void coordinator_log_stop(struct coordinator_log *log)
{
	log->stopping = true;
}

bool coordinator_log_idle(const struct coordinator_log *log)
{
	for (int32_t i = 0; i < log->options.partition_count; i++) {
		if (!list_empty(&log->partitions[i].batches))
			return false;
	}
	return true;
}

void coordinator_log_abandon(struct coordinator_log *log)
{
	log->abandoned = true;
	for (int32_t i = 0; i < log->options.partition_count; i++) {
		list_foreach(node, &log->partitions[i].batches)
			end_waits(log_batch_of(node), -ERR_CLOSING);
	}
}
