/* Rewriting a partition of the coordinator's topic to what still holds; see coordinator_log.c. */
#include "control/coordinator_log_internal.h"

#include "base/errors.h"
#include "base/log.h"

enum { REWRITE_FACTOR = 4 }; /* records in the log for one that holds */

static void trim_back(struct message *message, void *receiver)
{
	struct log_partition *p = container_of(message, struct log_partition, trim.log.message);

	(void)receiver;
	p->trimming = p->rewriting = false;
	if (p->phase != PARTITION_READY)
		return;
	if (p->trim.log.rc < 0) {
		log_warn("coordinator", "log is not trimmed topic=%s partition=%d error=\"%s\"",
			 p->log->options.topic, p->index, error_text(p->trim.log.rc));
		p->look_bytes = 2 * p->bytes;
		return;
	}
	p->bytes -= p->bytes_before;
	p->records -= p->records_before;
	p->look_bytes = 2 * p->bytes;
	log_info("coordinator",
		 "state is rewritten topic=%s partition=%d offset=%lld bytes=%llu from=%llu",
		 p->log->options.topic, p->index, (long long)p->trim.start_offset,
		 (unsigned long long)p->bytes, (unsigned long long)(p->bytes + p->bytes_before));
}

void log_trim_to_rewrite(struct log_partition *p)
{
	p->trimming = true;
	p->trim.offset = p->rewrite_offset;
	log_partition_send(p, &p->trim.log, shard_trim_handle, trim_back);
}

bool log_outgrown(struct log_partition *p)
{
	const struct coordinator_log *log = p->log;
	const struct coordinator_log_state *state = &log->state;

	if (p->phase != PARTITION_READY || p->rewriting || log->stopping || !log->topic_exists ||
	    p->bytes < log->options.rewrite_bytes_min || p->bytes < p->look_bytes)
		return false;
	/* Counting them is not for every turn. */
	p->look_bytes = p->bytes + p->bytes / 4;
	return p->records > REWRITE_FACTOR * state->live_records(state->context, p->index);
}

/* Nothing holds: all that is durable can go. */
static void trim_all(struct log_partition *p)
{
	p->rewriting = true;
	p->rewrite_offset = p->next_offset;
	p->bytes_before = p->bytes;
	p->records_before = p->records;
	log_trim_to_rewrite(p);
}

void log_rewrite(struct log_partition *p)
{
	struct coordinator_log *log = p->log;
	struct list *before = p->batches.prev;

	if (!list_empty(&p->batches))
		log_batch_of(before)->closed = true;
	log->drawing = true;
	int rc = log->state.rewrite(log->state.context, p->index);
	log->drawing = false;
	coordinator_log_call_end(log);
	if (rc < 0) {
		log_warn("coordinator", "state is not rewritten topic=%s partition=%d error=\"%s\"",
			 log->options.topic, p->index, error_text(rc));
	} else if (before->next != &p->batches) {
		p->rewriting = true;
		log_batch_of(before->next)->rewrite_begins = true;
		log_batch_of(p->batches.prev)->rewrite_ends = true;
	} else if (list_empty(&p->batches)) {
		trim_all(p);
	}
}
