/* Records out of a fetched batch.  An uncompressed one is read where it lies, in the frame that it
 * came in, which lives as long as any of its batches.  A compressed one is expanded into the buffer
 * of a decompressor that stays with the batch until it is freed and then serves the next. */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/errors.h"
#include "client/consumer_internal.h"
#include "storage/compress.h"

enum { DECOMPRESSORS_KEPT = 4 };

struct decompressor_entry {
	struct list link;
	struct decompressor *decompressor;
};

static struct decompressor_entry *take_decompressor(struct sluice_client *client)
{
	struct consumer *consumer = &client->consumer;
	struct list *node = list_pop_front(&consumer->decompressors);

	if (node) {
		consumer->decompressor_count--;
		return container_of(node, struct decompressor_entry, link);
	}
	struct decompressor_entry *entry = calloc(1, sizeof(*entry));
	if (entry && decompressor_new(&entry->decompressor) < 0) {
		free(entry);
		return NULL;
	}
	return entry;
}

static void entry_free(struct decompressor_entry *entry)
{
	decompressor_free(entry->decompressor);
	free(entry);
}

static void put_decompressor(struct sluice_client *client, struct decompressor_entry *entry)
{
	if (client->consumer.decompressor_count >= DECOMPRESSORS_KEPT) {
		entry_free(entry);
		return;
	}
	list_push_front(&client->consumer.decompressors, &entry->link);
	client->consumer.decompressor_count++;
}

void batch_decompressors_fini(struct sluice_client *client)
{
	struct list *node;

	while ((node = list_pop_front(&client->consumer.decompressors)))
		entry_free(container_of(node, struct decompressor_entry, link));
}

void sluice_batch_free(struct sluice_batch *batch)
{
	if (!batch)
		return;
	if (batch->decompressor)
		put_decompressor(batch->client, batch->decompressor);
	channel_buffer_release(batch->frame);
	free(batch);
}

void sluice_batch_info(const struct sluice_batch *batch, struct sluice_batch_info *ret)
{
	*ret = (struct sluice_batch_info){
		.error = batch->error,
		.topic = batch->topic->name,
		.partition = batch->partition,
		.base_offset = batch->header.base_offset,
		.next_offset = batch->header.base_offset + batch->header.last_offset_delta + 1,
		.high_watermark = batch->high_watermark,
		.bytes = batch->header.size,
	};
}

static int begin(struct sluice_batch *batch)
{
	struct sluice_client *client = batch->client;
	const void *records = batch->data + BATCH_HEADER_BYTES;
	size_t length = batch->header.size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->header.attributes & BATCH_CODEC_MASK;

	if (client->options.check_crcs && !batch_crc_valid(&batch->header, batch->data))
		return -ERR_CORRUPT;
	if (codec != CODEC_NONE) {
		batch->decompressor = take_decompressor(client);
		if (!batch->decompressor)
			return -ENOMEM;
		int rc = decompress(batch->decompressor->decompressor, codec, records, length,
				    (size_t)client->options.batch_expanded_max, &records, &length);
		if (rc < 0)
			return rc;
	}
	batch->cursor = record_cursor_over(records, length);
	batch->begun = true;
	return 0;
}

static int64_t timestamp_of(const struct sluice_batch *batch, const struct record *record)
{
	int64_t timestamp_ms;

	if (batch->header.attributes & BATCH_LOG_APPEND_TIME)
		return batch->header.max_timestamp;
	if (__builtin_add_overflow(batch->header.base_timestamp, record->timestamp_delta,
				   &timestamp_ms))
		return -1;
	return timestamp_ms;
}

static int broken(struct sluice_batch *batch, int rc)
{
	/* It stays so: there is nothing to go on with. */
	batch->error = client_fail(batch->client, rc, "%s/%d: the batch at offset %lld: %s",
				   batch->topic->name, batch->partition,
				   (long long)batch->header.base_offset, error_text(rc));
	return batch->error;
}

int sluice_batch_next(struct sluice_batch *batch, struct sluice_message *ret)
{
	struct record record;
	int64_t offset;

	if (batch->error)
		return batch->error;
	int rc = batch->begun ? 0 : begin(batch);
	if (rc < 0)
		return broken(batch, rc);
	do {
		rc = record_next(&batch->cursor, &record);
		if (rc == 0)
			return 0;
		if (rc < 0)
			return broken(batch, -ERR_CORRUPT);
		offset = batch->header.base_offset + record.offset_delta;
	} while (offset < batch->first_offset);
	*ret = (struct sluice_message){
		.topic = batch->topic->name,
		.partition = batch->partition,
		.offset = offset,
		.timestamp_ms = timestamp_of(batch, &record),
		.key = record.key,
		.key_length = record.key_length,
		.value = record.value,
		.value_length = record.value_length,
		.header_count = record.header_count,
		.headers = record.headers,
		.headers_length = record.headers_length,
	};
	return 1;
}

/* ---- headers: varint lengths, verified when the record was parsed ---- */

static int64_t get_length(const uint8_t *at, size_t *cursor, size_t end)
{
	uint64_t raw = 0;

	for (unsigned shift = 0; shift < 35 && *cursor < end; shift += 7) {
		uint8_t byte = at[(*cursor)++];
		raw |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

static const uint8_t *get_bytes(const uint8_t *at, size_t *cursor, size_t end, size_t *ret_length)
{
	int64_t length = get_length(at, cursor, end);
	const uint8_t *data = at + *cursor;

	*ret_length = 0;
	if (length < 0 || (uint64_t)length > end - *cursor)
		return NULL;
	*cursor += (size_t)length;
	*ret_length = (size_t)length;
	return data;
}

int sluice_header_next(const struct sluice_message *message, size_t *cursor,
		       struct sluice_header *ret)
{
	const uint8_t *at = message->headers;
	size_t end = message->headers_length;

	if (*cursor >= end)
		return 0;
	ret->name = (const char *)get_bytes(at, cursor, end, &ret->name_length);
	ret->value = get_bytes(at, cursor, end, &ret->value_length);
	return 1;
}
