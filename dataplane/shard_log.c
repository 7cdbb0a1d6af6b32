#include "dataplane/shard_log.h"

#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <string.h>

static struct shard_log *log_of(struct message *message)
{
	return container_of(message, struct shard_log, message);
}

static void send_back(struct shard *shard, struct shard_log *log, int rc)
{
	log->rc = rc;
	log->message.handle = log->done;
	shard_send(shard, log->sender, &log->message);
}

static struct partition *partition_of(const struct shard *shard, const struct shard_log *log)
{
	return shard_partition(shard, partition_key(log->topic_number, log->partition));
}

/* ---- append ---- */

static void appended(struct partition_append *append, int rc)
{
	struct shard_append *request = container_of(append, struct shard_append, append);

	if (rc == 0)
		request->base_offset = append->log.base_offset;
	send_back(append->partition->shard, &request->log, rc);
}

void shard_append_handle(struct message *message, void *receiver)
{
	struct shard_append *request = container_of(log_of(message), struct shard_append, log);
	struct partition_append *append = &request->append;
	struct partition *partition = partition_of(receiver, &request->log);

	if (!partition) {
		send_back(receiver, &request->log, -ERR_UNKNOWN_PARTITION);
		return;
	}
	*append = (struct partition_append){
		.data = request->data,
		.ack = ACK_DURABLE,
		.done = appended,
	};
	int rc = batch_parse(&append->batch, request->data, request->size);
	check(rc == 0 && append->batch.size == request->size);
	partition_append(partition, append);
}

/* ---- read ---- */

static int copy_out(struct shard_read *request)
{
	const struct log_read *read = &request->read;
	uint8_t *to = request->data;

	request->size = read->bytes;
	if (read->bytes > request->capacity)
		return -EMSGSIZE;
	for (unsigned i = 0; i < read->vector_count; i++) {
		memcpy(to, read->vectors[i].iov_base, read->vectors[i].iov_len);
		to += read->vectors[i].iov_len;
	}
	return 0;
}

static void read_done(struct log_read *read, int rc)
{
	struct shard_read *request = container_of(read, struct shard_read, read);
	struct shard *shard = request->shard;

	request->size = 0;
	if (rc == 0)
		rc = copy_out(request);
	log_read_release(shard->store, read);
	send_back(shard, &request->log, rc);
}

void shard_read_handle(struct message *message, void *receiver)
{
	struct shard_read *request = container_of(log_of(message), struct shard_read, log);
	struct partition *partition = partition_of(receiver, &request->log);

	if (!partition) {
		send_back(receiver, &request->log, -ERR_UNKNOWN_PARTITION);
		return;
	}
	if (log_failed(partition->log)) {
		send_back(receiver, &request->log, -ERR_STORAGE);
		return;
	}
	request->shard = receiver;
	request->start_offset = log_start_offset(partition->log);
	request->high_watermark = log_high_watermark(partition->log);
	request->read = (struct log_read){
		.offset = request->offset,
		.bytes_max = request->capacity,
		.oversize_first = true,
		.done = read_done,
	};
	log_read(partition->log, &request->read);
}

/* ---- trim ---- */

static void trimmed(struct log_trim *trim, int rc)
{
	struct shard_trim *request = container_of(trim, struct shard_trim, trim);

	request->start_offset = trim->start_offset;
	send_back(request->shard, &request->log, rc);
}

void shard_trim_handle(struct message *message, void *receiver)
{
	struct shard_trim *request = container_of(log_of(message), struct shard_trim, log);
	struct partition *partition = partition_of(receiver, &request->log);

	if (!partition) {
		send_back(receiver, &request->log, -ERR_UNKNOWN_PARTITION);
		return;
	}
	request->shard = receiver;
	request->trim = (struct log_trim){.offset = request->offset, .done = trimmed};
	log_trim(partition->log, &request->trim);
}

/* ---- watermarks ---- */

void shard_watermarks_handle(struct message *message, void *receiver)
{
	struct shard_watermarks *request = container_of(log_of(message), struct shard_watermarks,
							log);

	for (size_t i = 0; i < request->count; i++) {
		struct shard_watermark *row = &request->rows[i];
		struct partition *partition =
			shard_partition(receiver, partition_key(row->topic_number, row->partition));
		row->rc = partition ? 0 : -ERR_UNKNOWN_PARTITION;
		row->start_offset = partition ? log_start_offset(partition->log) : -1;
		row->high_watermark = partition ? log_high_watermark(partition->log) : -1;
	}
	send_back(receiver, &request->log, 0);
}
