/* What compaction_test finds in its log, against what was appended. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/errors.h"
#include "storage/compress.h"
#include "storage/control_batch.h"
#include "storage/records.h"
#include "tests/sim/compaction_world.h"
#include "tests/storage/keyed.h"

#include <string.h>

/* A client that reads committed records: one answer of the broker's, from `from` on. */
struct reader {
	struct aborted_transaction aborted[ABORTED_MAX]; /* by first offset */
	size_t aborted_count, aborted_next;
	bool skips[PRODUCERS];
	int64_t stable; /* up to here */
};

static int by_first_offset(const void *a, const void *b)
{
	const struct aborted_transaction *x = a;
	const struct aborted_transaction *y = b;
	return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

static void reader_begin(struct reader *reader, int64_t from)
{
	*reader = (struct reader){.stable = log_last_stable_offset(world.log)};
	reader->aborted_count = log_aborted(world.log, from, reader->stable, reader->aborted,
					    ABORTED_MAX);
	require(reader->aborted_count <= ABORTED_MAX);
	qsort(reader->aborted, reader->aborted_count, sizeof(reader->aborted[0]), by_first_offset);
}

/* True: it takes the batch's records. */
static bool reader_takes(struct reader *reader, const struct batch *batch, const uint8_t *data)
{
	int64_t last = batch->base_offset + batch->last_offset_delta;
	struct control_marker marker;

	while (reader->aborted_next < reader->aborted_count &&
	       reader->aborted[reader->aborted_next].first_offset <= last)
		reader->skips[reader->aborted[reader->aborted_next++].producer_id] = true;
	if (batch->attributes & BATCH_CONTROL) {
		require(control_batch_read(&marker, data, batch) == 0);
		if (marker.type == CONTROL_ABORT)
			reader->skips[batch->producer_id] = false;
		return false;
	}
	return !(batch->attributes & BATCH_TRANSACTIONAL) || !reader->skips[batch->producer_id];
}

struct contents {
	bool present[ENTRIES_MAX];
	struct reader reader;
	struct decompressor *decompressor;
	int64_t from, next, end;
};

static void see_record(struct contents *contents, int64_t offset, const struct record *record,
		       bool taken)
{
	const struct entry *entry = &world.entries[offset];
	int64_t key = NO_KEY;
	int64_t value = TOMBSTONE;

	require(offset < contents->end && !entry->marker && !contents->present[offset]);
	memcpy(&key, record->key, sizeof(key));
	if (record->value)
		memcpy(&value, record->value, sizeof(value));
	require(entry->key == key && entry->value == value);
	contents->present[offset] = true;
	if (offset < contents->reader.stable)
		require(taken == (outcome_of(offset, contents->end) == COUNTS));
}

static void see_batch(struct contents *contents, const struct batch *batch, const uint8_t *data)
{
	const void *records = data + BATCH_HEADER_BYTES;
	size_t length = batch->size - BATCH_HEADER_BYTES;
	enum batch_codec codec = batch->attributes & BATCH_CODEC_MASK;
	bool taken = reader_takes(&contents->reader, batch, data);
	struct record record;

	require(batch_crc_valid(batch, data));
	require(batch->base_offset + batch->last_offset_delta >= contents->next);
	contents->next = batch->base_offset + batch->last_offset_delta + 1;
	if (batch->attributes & BATCH_CONTROL) {
		require(world.entries[batch->base_offset].marker);
		return;
	}
	if (codec != CODEC_NONE)
		require(decompress(contents->decompressor, codec, records, length, 1 << 24,
				   &records, &length) == 0);
	struct record_cursor cursor = record_cursor_over(records, length);
	while (record_next(&cursor, &record) > 0)
		see_record(contents, batch->base_offset + record.offset_delta, &record, taken);
	require(cursor.at == cursor.end);
}

static int read_some(struct contents *contents)
{
	struct waited_read reading = {
		.read = {.offset = contents->next,
			 .bytes_max = 1 + below(20000),
			 .oversize_first = true,
			 .done = waited_read_done},
	};
	uint8_t *data;
	size_t filled = 0;
	struct batch batch;

	log_read(world.log, &reading.read);
	while (!reading.done)
		turn(NS_PER_MS);
	data = malloc(reading.read.bytes + 1);
	require(data);
	for (unsigned i = 0; reading.rc == 0 && i < reading.read.vector_count; i++) {
		memcpy(data + filled, reading.read.vectors[i].iov_base,
		       reading.read.vectors[i].iov_len);
		filled += reading.read.vectors[i].iov_len;
	}
	log_read_release(world.store, &reading.read);
	reader_begin(&contents->reader, contents->next);
	if (reading.rc == 0 && !filled)
		contents->next = contents->end;
	for (size_t at = 0; at < filled && contents->next < contents->end; at += batch.size) {
		require(batch_parse(&batch, data + at, filled - at) == 0);
		see_batch(contents, &batch, data + at);
	}
	free(data);
	return reading.rc;
}

/* Of each key the last one that counts. */
static void check_keys(const struct contents *contents)
{
	bool settled[KEYS_MAX] = {0};
	bool gone[KEYS_MAX] = {0}; /* by a tombstone that is gone itself */

	for (int64_t i = contents->end; i-- > 0;) {
		const struct entry *entry = &world.entries[i];
		enum outcome outcome = entry->marker ? ABORTED : outcome_of(i, contents->end);
		if (outcome == OPEN)
			require(contents->present[i]);
		if (outcome != COUNTS)
			continue;
		require(!gone[entry->key] || !contents->present[i]);
		if (settled[entry->key])
			continue;
		settled[entry->key] = true;
		gone[entry->key] = !contents->present[i];
		require(contents->present[i] || entry->value == TOMBSTONE);
	}
}

void check_contents(bool at_rest)
{
	static struct contents contents;
	int rc = 0;

	memset(&contents, 0, sizeof(contents));
	contents.end = log_high_watermark(world.log);
	require(decompressor_new(&contents.decompressor) == 0);
	while (rc == 0 && contents.next < contents.end)
		rc = read_some(&contents);
	decompressor_free(contents.decompressor);
	require(rc == 0 || world.faulty);
	if (rc == 0 && at_rest)
		check_keys(&contents);
}

void check_producers(void)
{
	static struct log_producer known[PRODUCERS];
	size_t count = log_producers(world.log, known, PRODUCERS);

	for (unsigned producer = 1; producer < PRODUCERS; producer++) {
		const struct entry *last = last_of(producer);
		size_t i = 0;
		while (i < count && known[i].id != producer)
			i++;
		require((i < count) == (last != NULL));
		if (last)
			require(known[i].last_sequence == last->last_sequence);
		if (last)
			require((known[i].open_offset >= 0) ==
				(producer > 1 && in_transaction(producer)));
	}
}
