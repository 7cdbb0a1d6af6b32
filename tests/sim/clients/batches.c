#include "tests/sim/clients/batches.h"

#include "base/check.h"
#include "kafka_messages.h"
#include "storage/batch.h"
#include "storage/control_batch.h"
#include "storage/records.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum { VALUE_BYTES_MAX = 40000, ABORTED_MAX = 32 };

/* Of a record that has no value: where its id is. */
static const char id_header[] = "id", dedup_header[] = "dedup-id";

void batches_begin(struct batch_build *build)
{
	batch_build_fini(build);
}

static size_t write_value(char *value, const struct outgoing *record)
{
	int length = snprintf(value, VALUE_BYTES_MAX, "%s:%u ", record->producer, record->number);
	size_t size = (size_t)length;

	for (size_t i = 0; i < record->payload_bytes && size < VALUE_BYTES_MAX; i++)
		value[size++] = (char)('a' + (record->number + i) % 26);
	return size;
}

struct header {
	const char *name; /* null: none */
	const char *value;
};

/* One at most. */
static struct header header_of(const struct outgoing *record, char id[static ID_BYTES])
{
	if (record->dedup)
		return (struct header){dedup_header, record->dedup};
	if (!record->tombstone)
		return (struct header){0};
	snprintf(id, ID_BYTES, "%s:%u", record->producer, record->number);
	return (struct header){id_header, id};
}

static size_t header_bytes(const struct header *header)
{
	return header->name ? batch_bytes_bytes(header->name, strlen(header->name)) +
				      batch_bytes_bytes(header->value, strlen(header->value))
			    : 0;
}

uint32_t batches_add(struct batch_build *build, const struct outgoing *record, int64_t timestamp_ms)
{
	static char value[VALUE_BYTES_MAX];
	size_t size = record->tombstone ? 0 : write_value(value, record);
	char id[ID_BYTES];
	struct header header = header_of(record, id);
	struct record added = {
		.key = (const uint8_t *)record->key,
		.key_length = record->key ? strlen(record->key) : 0,
		.value = record->tombstone ? NULL : (const uint8_t *)value,
		.value_length = size,
		.header_count = header.name ? 1 : 0,
		.headers_length = header_bytes(&header),
	};
	uint8_t *headers;

	check(batch_build_add(build, &added, timestamp_ms, &headers) == 0);
	if (header.name) {
		headers = batch_put_bytes(headers, header.name, strlen(header.name));
		batch_put_bytes(headers, header.value, strlen(header.value));
	}
	uLong crc = crc32(0, added.key, (uInt)added.key_length);
	return (uint32_t)crc32(crc, added.value, (uInt)size);
}

/* ---- reading ---- */

struct walk {
	const struct fetched *fetched;
	int64_t from;
	enum isolation isolation;
	void (*given)(void *context, const struct incoming *record);
	void *context;
	int64_t aborted[ABORTED_MAX]; /* producers whose records are being passed over */
	unsigned aborted_count;
	int32_t taken; /* of fetched->aborted */
};

static void begin_aborted(struct walk *walk, int64_t last_offset)
{
	const struct fetched *fetched = walk->fetched;

	for (; walk->taken < fetched->aborted_count &&
	       fetched->aborted[walk->taken].first_offset <= last_offset;
	     walk->taken++) {
		check(walk->aborted_count < ABORTED_MAX);
		walk->aborted[walk->aborted_count++] = fetched->aborted[walk->taken].producer_id;
	}
}

static bool is_aborted(const struct walk *walk, int64_t producer_id)
{
	for (unsigned i = 0; i < walk->aborted_count; i++) {
		if (walk->aborted[i] == producer_id)
			return true;
	}
	return false;
}

static void end_aborted(struct walk *walk, int64_t producer_id)
{
	for (unsigned i = 0; i < walk->aborted_count; i++) {
		if (walk->aborted[i] == producer_id) {
			walk->aborted[i] = walk->aborted[--walk->aborted_count];
			return;
		}
	}
}

void batches_read_id(char ret[static ID_BYTES], const uint8_t *value, size_t length)
{
	size_t size = 0;

	while (size < length && size < ID_BYTES - 1 && value[size] > ' ' && value[size] < 127 &&
	       value[size] != '"' && value[size] != '\\') {
		ret[size] = (char)value[size];
		size++;
	}
	ret[size] = '\0';
}

/* The value of the only header. */
static void copy_header_id(struct incoming *ret, const struct record *record)
{
	const uint8_t *end = record->headers + record->headers_length, *name, *value;
	size_t name_length, value_length;
	const uint8_t *at = record_get_bytes(record->headers, end, false, &name, &name_length);

	if (record->header_count == 1 && at &&
	    record_get_bytes(at, end, true, &value, &value_length) && value)
		batches_read_id(ret->id, value, value_length);
}

static void give(struct walk *walk, const struct record *record, int64_t offset)
{
	struct incoming incoming = {.offset = offset};
	uLong crc = crc32(0, record->key, (uInt)record->key_length);

	incoming.hash = (uint32_t)crc32(crc, record->value, (uInt)record->value_length);
	if (record->value)
		batches_read_id(incoming.id, record->value, record->value_length);
	else
		copy_header_id(&incoming, record);
	walk->given(walk->context, &incoming);
}

static bool read_records(struct walk *walk, const struct batch *batch, const uint8_t *data)
{
	struct record_cursor cursor = record_cursor_over(data + BATCH_HEADER_BYTES,
							 batch->size - BATCH_HEADER_BYTES);
	struct record record;
	int rc;

	while ((rc = record_next(&cursor, &record)) > 0) {
		int64_t offset = batch->base_offset + record.offset_delta;
		if (offset >= walk->from)
			give(walk, &record, offset);
	}
	return rc == 0;
}

static bool read_batch(struct walk *walk, const struct batch *batch, const uint8_t *data)
{
	begin_aborted(walk, batch->base_offset + batch->last_offset_delta);
	if (batch->attributes & BATCH_CONTROL) {
		struct control_marker marker;
		if (control_batch_read(&marker, data, batch) < 0)
			return false;
		if (marker.type == CONTROL_ABORT)
			end_aborted(walk, batch->producer_id);
		return true;
	}
	if (walk->isolation == READ_COMMITTED && (batch->attributes & BATCH_TRANSACTIONAL) &&
	    is_aborted(walk, batch->producer_id))
		return true;
	return read_records(walk, batch, data);
}

bool batches_read(const struct fetched *fetched, int64_t from, enum isolation isolation,
		  void (*given)(void *context, const struct incoming *record), void *context,
		  int64_t *ret_next)
{
	struct walk walk = {fetched, from, isolation, given, context};
	const uint8_t *at = fetched->records;
	size_t left = fetched->length;
	struct batch batch;

	*ret_next = from;
	/* The last batch may be cut off. */
	while (left >= BATCH_HEADER_BYTES && batch_parse(&batch, at, left) == 0) {
		if (!batch_crc_valid(&batch, at) || !read_batch(&walk, &batch, at))
			return false;
		*ret_next = batch.base_offset + batch.last_offset_delta + 1;
		at += batch.size;
		left -= batch.size;
	}
	return left < BATCH_HEADER_BYTES || batch_parse(&batch, at, left) == -EMSGSIZE;
}
