/* Reading a partition of the coordinator's topic: from the log's start to its high watermark,
 * record by record into the state; again and again, with a pause between, until it works. */
#include "control/coordinator_log_internal.h"

#include "base/errors.h"
#include "base/log.h"
#include "storage/records.h"

#include <errno.h>
#include <stdlib.h>

enum {
	READ_BYTES = 1 << 20,
	LOADS_MAX = 4, /* at a time: each has a buffer */
	WHY_BYTES = 256,
};
static const uint64_t pause_first_ns = 100 * NS_PER_MS;
static const uint64_t pause_most_ns = 5 * NS_PER_SECOND;
static const uint64_t progress_ns = 5 * NS_PER_SECOND;

void log_load_at(struct log_partition *p, uint64_t due_ns)
{
	list_remove(&p->link);
	p->phase = PARTITION_TO_LOAD;
	p->due_ns = due_ns;
	list_push_back(&p->log->to_load, &p->link);
}

void log_load_after_failure(struct log_partition *p, int rc)
{
	p->pause_ns = p->pause_ns ? p->pause_ns * 2 : pause_first_ns;
	if (p->pause_ns > pause_most_ns)
		p->pause_ns = pause_most_ns;
	log_warn("coordinator",
		 "state is loaded again topic=%s partition=%d error=\"%s\" in_ms=%llu",
		 p->log->options.topic, p->index, error_text(rc),
		 (unsigned long long)(p->pause_ns / NS_PER_MS));
	log_load_at(p, log_now_ns(p->log) + p->pause_ns);
}

static void end_read(struct log_partition *p)
{
	p->log->loads--;
	free(p->read.data);
	p->read.data = NULL;
}

static void load_failed(struct log_partition *p, int rc)
{
	struct coordinator_log *log = p->log;

	end_read(p);
	if (log->stopping)
		return;
	log->state.begin_load(log->state.context, p->index);
	log_load_after_failure(p, rc);
	/* The shards try to open what they could not when the topics are published again. */
	if (rc == -ERR_UNKNOWN_PARTITION && !log->creating) {
		log->creating = true;
		log->options.create_topic(log->options.context);
	}
}

static void loaded(struct log_partition *p)
{
	struct coordinator_log *log = p->log;

	end_read(p);
	p->phase = PARTITION_READY;
	p->look_bytes = 0;
	log_info("coordinator",
		 "state is loaded topic=%s partition=%d records=%llu bytes=%llu ms=%llu",
		 log->options.topic, p->index, (unsigned long long)p->records,
		 (unsigned long long)p->bytes,
		 (unsigned long long)((log_now_ns(log) - p->load_ns) / NS_PER_MS));
	log->state.end_load(log->state.context, p->index);
	log_partition_touch(p); /* to look at its size */
}

static void skipped(const struct log_partition *p, int64_t offset, const char *why)
{
	log_error("coordinator", "record skipped topic=%s partition=%d offset=%lld reason=\"%s\"",
		  p->log->options.topic, p->index, (long long)offset, why);
}

static int replay_record(struct log_partition *p, const struct batch *batch,
			 const struct record *record)
{
	const struct coordinator_log_state *state = &p->log->state;
	int64_t offset = batch->base_offset + record->offset_delta;
	char why[WHY_BYTES] = "";

	if (offset < p->next_offset)
		return 0; /* before the log's start, or read already */
	p->records++;
	int rc = state->replay(state->context, p->index, record,
			       batch->base_timestamp + record->timestamp_delta, why, sizeof(why));
	if (rc == -ERR_CORRUPT || rc == -ERR_FORMAT) {
		skipped(p, offset, why);
		rc = 0;
	}
	return rc;
}

static int replay_batch(struct log_partition *p, const struct batch *batch, const uint8_t *data)
{
	struct record_cursor cursor = record_cursor_over(data + BATCH_HEADER_BYTES,
							 batch->size - BATCH_HEADER_BYTES);
	struct record record;
	int rc;

	if (batch->attributes & (BATCH_CODEC_MASK | BATCH_CONTROL)) {
		skipped(p, batch->base_offset, "a compressed or a control batch is not ours");
		return 0;
	}
	while ((rc = record_next(&cursor, &record)) == 1) {
		rc = replay_record(p, batch, &record);
		if (rc < 0)
			return rc;
	}
	if (rc < 0)
		skipped(p, batch->base_offset, "the records of this batch do not parse");
	return 0;
}

/* -ENOMEM; -ERR_CORRUPT: not batches. */
static int replay(struct log_partition *p)
{
	const uint8_t *at = p->read.data;
	const uint8_t *end = at + p->read.size;

	while (at < end) {
		struct batch batch;
		int rc = batch_parse(&batch, at, (size_t)(end - at));
		if (rc < 0)
			return -ERR_CORRUPT;
		rc = replay_batch(p, &batch, at);
		if (rc < 0)
			return rc;
		p->next_offset = batch.base_offset + batch.last_offset_delta + 1;
		p->bytes += batch.size;
		at += batch.size;
	}
	return 0;
}

static void read_back(struct message *message, void *receiver);

static void read_on(struct log_partition *p)
{
	p->read.offset = p->next_offset;
	log_partition_send(p, &p->read.log, shard_read_handle, read_back);
}

static int grow_buffer(struct log_partition *p, size_t bytes)
{
	void *data = realloc(p->read.data, bytes);

	if (!data)
		return -ENOMEM;
	p->read.data = data;
	p->read.capacity = bytes;
	return 0;
}

static void tell_progress(struct log_partition *p)
{
	uint64_t now = log_now_ns(p->log);

	if (now - p->told_ns < progress_ns)
		return;
	p->told_ns = now;
	log_info("coordinator", "loading state topic=%s partition=%d offset=%lld of=%lld",
		 p->log->options.topic, p->index, (long long)p->next_offset,
		 (long long)p->read.high_watermark);
}

static void read_back(struct message *message, void *receiver)
{
	struct log_partition *p = container_of(message, struct log_partition, read.log.message);
	int rc = p->read.log.rc;

	(void)receiver;
	if (p->log->stopping)
		rc = -ERR_CLOSING;
	if (rc == -EMSGSIZE) {
		rc = grow_buffer(p, p->read.size);
	} else if (rc == -ERR_OFFSET_RANGE && p->next_offset < p->read.start_offset) {
		p->next_offset = p->read.start_offset;
		rc = 0;
	} else if (rc == 0) {
		rc = replay(p);
		if (rc == 0 && p->next_offset >= p->read.high_watermark) {
			loaded(p);
			return;
		}
		if (rc == 0 && p->read.size == 0)
			rc = -ERR_STORAGE; /* less than all is not the state */
	}
	if (rc < 0) {
		load_failed(p, rc);
		return;
	}
	tell_progress(p);
	read_on(p);
}

static void load(struct log_partition *p)
{
	struct coordinator_log *log = p->log;

	list_remove(&p->link);
	p->phase = PARTITION_LOADING;
	p->next_offset = 0;
	p->bytes = p->records = 0;
	p->load_ns = p->told_ns = log_now_ns(log);
	log->loads++;
	int rc = grow_buffer(p, READ_BYTES);
	if (rc < 0)
		load_failed(p, rc);
	else
		read_on(p);
}

uint64_t log_start_loads(struct coordinator_log *log)
{
	uint64_t due_ns = UINT64_MAX;
	uint64_t now = log_now_ns(log);

	list_foreach_safe(node, next, &log->to_load) {
		struct log_partition *p = container_of(node, struct log_partition, link);
		if (log->loads == LOADS_MAX)
			break;
		if (p->due_ns > now)
			due_ns = p->due_ns < due_ns ? p->due_ns : due_ns;
		else if (!p->trimming) /* else it is looked at when that is back */
			load(p);
	}
	return due_ns;
}
