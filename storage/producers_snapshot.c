/* Producers and transactions as bytes; little-endian.
 *
 *     0   8   magic "SLUICEps"
 *     8   4   version, 2
 *    12   4   number of producers, n
 *    16   8   offset: every batch below it has been applied, none above
 *    24   8   XXH3-64 of all that follows, seeded with the XXH3-64 of bytes 0 to 23
 *    32   8   number of aborted transactions, m
 *    40 112n  producers, longest silent first, then those with an open transaction, by its offset
 *     . 32m   aborted transactions, by the offset of their markers
 *
 * Version 1 knew nothing of transactions: no m, producers of 96 bytes, and no more.
 * What has ended but is not durable needs no place: the bytes become a file when it is. */
#include "storage/producers.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { VERSION = 2, VERSION_PRODUCERS_ONLY = 1, NONE = -1 };
static const char magic[8] = {'S', 'L', 'U', 'I', 'C', 'E', 'p', 's'};

struct disk_header {
	char magic[8];
	uint32_t version;
	uint32_t count;
	uint64_t offset;
	uint64_t sum;
};
_Static_assert(sizeof(struct disk_header) == 32, "as described above");

enum { COUNT_BYTES = 8 }; /* of aborted transactions, behind the header */

struct disk_batch {
	uint64_t base_offset;
	uint32_t first_sequence;
	uint32_t last_sequence;
};

struct disk_producer {
	uint64_t id;
	uint16_t epoch;
	uint16_t batch_count;
	uint32_t coordinator_epoch;                  /* of the last marker; -1: none */
	struct disk_batch batches[PRODUCER_BATCHES]; /* oldest first */
	uint64_t last_timestamp_ms;
	uint64_t open_offset; /* where its open transaction begins; -1: none is */
};
_Static_assert(sizeof(struct disk_producer) == 112, "as described above");
enum { PRODUCERS_ONLY_BYTES = offsetof(struct disk_producer, last_timestamp_ms) };
_Static_assert(PRODUCERS_ONLY_BYTES == 96, "as described above");

struct disk_aborted {
	uint64_t producer_id;
	uint64_t first_offset;
	uint64_t last_offset;
	uint64_t later_from;
};
_Static_assert(sizeof(struct disk_aborted) == 32, "as described above");

static uint64_t sum_of(const struct disk_header *header, const void *behind, size_t size)
{
	uint64_t seed = XXH3_64bits(header, offsetof(struct disk_header, sum));

	return XXH3_64bits_withSeed(behind, size, seed);
}

size_t producers_snapshot_size(const struct producers *producers)
{
	return sizeof(struct disk_header) + COUNT_BYTES +
	       producers_count(producers) * sizeof(struct disk_producer) +
	       producers->transactions.aborted_count * sizeof(struct disk_aborted);
}

/* ---- writing ---- */

static struct disk_producer packed(const struct producer *producer)
{
	struct disk_producer out = {
		.id = htole64((uint64_t)producer->id),
		.epoch = htole16((uint16_t)producer->epoch),
		.batch_count = htole16(producer->batch_count),
		.coordinator_epoch = htole32((uint32_t)producer->coordinator_epoch),
		.last_timestamp_ms = htole64((uint64_t)producer->last_timestamp_ms),
		.open_offset =
			htole64((uint64_t)(producer->open ? producer->open->first_offset : NONE)),
	};

	for (unsigned i = 0; i < producer->batch_count; i++) {
		unsigned place = producer->newest + PRODUCER_BATCHES - producer->batch_count + 1 +
				 i;
		const struct producer_batch *batch = &producer->batches[place % PRODUCER_BATCHES];
		out.batches[i] = (struct disk_batch){
			.base_offset = htole64((uint64_t)batch->base_offset),
			.first_sequence = htole32((uint32_t)batch->first_sequence),
			.last_sequence = htole32((uint32_t)batch->last_sequence),
		};
	}
	return out;
}

static uint8_t *write_producers(const struct list *producers, uint8_t *at)
{
	list_foreach(node, producers) {
		struct disk_producer row = packed(container_of(node, struct producer, link));
		memcpy(at, &row, sizeof(row));
		at += sizeof(row);
	}
	return at;
}

static uint8_t *write_aborted(const struct log_transactions *transactions, uint8_t *at)
{
	for (size_t i = 0; i < transactions->aborted_count; i++) {
		const struct aborted_entry *entry =
			&transactions->aborted[transactions->aborted_first + i];
		struct disk_aborted row = {
			.producer_id = htole64((uint64_t)entry->transaction.producer_id),
			.first_offset = htole64((uint64_t)entry->transaction.first_offset),
			.last_offset = htole64((uint64_t)entry->transaction.last_offset),
			.later_from = htole64((uint64_t)entry->later_from),
		};
		memcpy(at, &row, sizeof(row));
		at += sizeof(row);
	}
	return at;
}

void producers_snapshot_write(const struct producers *producers, int64_t offset, uint8_t *out)
{
	struct disk_header header = {
		.version = htole32(VERSION),
		.count = htole32((uint32_t)producers_count(producers)),
		.offset = htole64((uint64_t)offset),
	};
	uint64_t aborted_count = htole64(producers->transactions.aborted_count);
	uint8_t *behind = out + sizeof(header);

	memcpy(header.magic, magic, sizeof(magic));
	memcpy(behind, &aborted_count, COUNT_BYTES);
	uint8_t *end = write_producers(&producers->by_age, behind + COUNT_BYTES);
	end = write_producers(&producers->open, end);
	end = write_aborted(&producers->transactions, end);
	header.sum = htole64(sum_of(&header, behind, (size_t)(end - behind)));
	memcpy(out, &header, sizeof(header));
}

/* ---- reading ---- */

/* False: what no producer can be. */
static bool unpack(const struct disk_producer *row, uint64_t now_ns, struct producer *producer)
{
	unsigned count = le16toh(row->batch_count);

	if (count > PRODUCER_BATCHES || (int64_t)le64toh(row->id) < 0)
		return false;
	*producer = (struct producer){
		.id = (int64_t)le64toh(row->id),
		.seen_ns = now_ns,
		.epoch = (int16_t)le16toh(row->epoch),
		.batch_count = (uint8_t)count,
		.newest = (uint8_t)(count ? count - 1 : 0),
		.coordinator_epoch = (int32_t)le32toh(row->coordinator_epoch),
		.last_timestamp_ms = (int64_t)le64toh(row->last_timestamp_ms),
	};
	for (unsigned i = 0; i < count; i++)
		producer->batches[i] = (struct producer_batch){
			.base_offset = (int64_t)le64toh(row->batches[i].base_offset),
			.first_sequence = (int32_t)le32toh(row->batches[i].first_sequence),
			.last_sequence = (int32_t)le32toh(row->batches[i].last_sequence),
		};
	return true;
}

static struct producer *add_producer(struct producers *producers, const struct producer *unpacked)
{
	struct producer *producer = malloc(sizeof(*producer));

	if (!producer)
		return NULL;
	*producer = *unpacked;
	if (map64_put(&producers->by_id, (uint64_t)producer->id, producer) < 0) {
		free(producer);
		return NULL;
	}
	list_init(&producer->link);
	list_push_back(&producers->by_age, &producer->link);
	return producer;
}

/* They come by rising offset. */
static int open_transaction(struct producers *producers, struct producer *producer, int64_t offset,
			    int64_t end_offset)
{
	struct list *last = producers->open.prev;
	int64_t above = last == &producers->open
				? -1
				: container_of(last, struct producer, link)->open->first_offset;

	if (offset <= above || offset >= end_offset)
		return -ERR_CORRUPT;
	int rc = log_transactions_reserve_begin(&producers->transactions);
	if (rc < 0)
		return rc;
	producer->open = log_transactions_begin(&producers->transactions, offset);
	list_remove(&producer->link);
	list_push_back(&producers->open, &producer->link);
	return 0;
}

static int read_producer(struct producers *producers, const struct disk_producer *row,
			 uint64_t now_ns, int64_t end_offset)
{
	int64_t open_offset = (int64_t)le64toh(row->open_offset);
	struct producer unpacked;

	if (!unpack(row, now_ns, &unpacked) || producers_find(producers, unpacked.id))
		return -ERR_CORRUPT;
	struct producer *producer = add_producer(producers, &unpacked);
	if (!producer)
		return -ENOMEM;
	return open_offset == NONE ? 0
				   : open_transaction(producers, producer, open_offset, end_offset);
}

static int read_aborted(struct log_transactions *transactions, const struct disk_aborted *row,
			int64_t end_offset)
{
	const struct aborted_entry entry = {
		.transaction = {.producer_id = (int64_t)le64toh(row->producer_id),
				.first_offset = (int64_t)le64toh(row->first_offset),
				.last_offset = (int64_t)le64toh(row->last_offset)},
		.later_from = (int64_t)le64toh(row->later_from),
	};
	const struct aborted_transaction *aborted = &entry.transaction;
	size_t end = transactions->aborted_first + transactions->aborted_count;
	int64_t above = transactions->aborted_count
				? transactions->aborted[end - 1].transaction.last_offset
				: -1;

	if (aborted->producer_id < 0 || aborted->first_offset < 0 ||
	    aborted->first_offset >= aborted->last_offset || aborted->last_offset <= above ||
	    aborted->last_offset >= end_offset || entry.later_from < 0)
		return -ERR_CORRUPT;
	int rc = log_transactions_reserve_end(transactions);
	if (rc == 0)
		log_transactions_add_aborted(transactions, &entry);
	return rc;
}

/* A file taken apart; counts are those that its size allows. */
struct layout {
	struct disk_header header;
	const uint8_t *producers;
	size_t producer_count;
	size_t producer_bytes; /* of each */
	const uint8_t *aborted;
	size_t aborted_count;
};

/* False: the counts do not fill the file. */
static bool lay_out(struct layout *layout, const uint8_t *data, size_t size)
{
	bool producers_only = le32toh(layout->header.version) == VERSION_PRODUCERS_ONLY;
	size_t at = sizeof(layout->header) + (producers_only ? 0 : COUNT_BYTES);
	uint64_t aborted = 0;

	if (size < at)
		return false;
	if (!producers_only)
		memcpy(&aborted, data + sizeof(layout->header), COUNT_BYTES);
	aborted = le64toh(aborted);
	layout->producers = data + at;
	layout->producer_count = le32toh(layout->header.count);
	layout->producer_bytes = producers_only ? PRODUCERS_ONLY_BYTES
						: sizeof(struct disk_producer);
	if (layout->producer_count > (size - at) / layout->producer_bytes)
		return false;
	at += layout->producer_count * layout->producer_bytes;
	layout->aborted = data + at;
	if (aborted > (size - at) / sizeof(struct disk_aborted))
		return false;
	layout->aborted_count = aborted;
	return at + aborted * sizeof(struct disk_aborted) == size;
}

static int take_apart(struct layout *layout, const uint8_t *data, size_t size)
{
	const struct disk_header *header = &layout->header;

	if (size < sizeof(*header))
		return -ERR_CORRUPT;
	memcpy(&layout->header, data, sizeof(*header));
	if (memcmp(header->magic, magic, sizeof(magic)) != 0)
		return -ERR_CORRUPT;
	uint32_t version = le32toh(header->version);
	if (version != VERSION && version != VERSION_PRODUCERS_ONLY)
		return -ERR_FORMAT;
	if (!lay_out(layout, data, size) || (int64_t)le64toh(header->offset) < 0 ||
	    le64toh(header->sum) != sum_of(header, data + sizeof(*header), size - sizeof(*header)))
		return -ERR_CORRUPT;
	return 0;
}

static int read_all(struct producers *producers, const struct layout *layout, uint64_t now_ns)
{
	int64_t end_offset = (int64_t)le64toh(layout->header.offset);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < layout->producer_count; i++) {
		struct disk_producer row = {
			.last_timestamp_ms = htole64((uint64_t)NONE),
			.open_offset = htole64((uint64_t)NONE),
		};
		memcpy(&row, layout->producers + i * layout->producer_bytes,
		       layout->producer_bytes);
		if (layout->producer_bytes == PRODUCERS_ONLY_BYTES)
			row.coordinator_epoch = htole32((uint32_t)NONE);
		rc = read_producer(producers, &row, now_ns, end_offset);
	}
	for (size_t i = 0; rc == 0 && i < layout->aborted_count; i++) {
		struct disk_aborted row;
		memcpy(&row, layout->aborted + i * sizeof(row), sizeof(row));
		rc = read_aborted(&producers->transactions, &row, end_offset);
	}
	return rc;
}

/* More than `max` are read, and trimmed: the limit may have been lowered. */
static void trim(struct producers *producers)
{
	while (producers_count(producers) > producers->max &&
	       producers_forget_oldest(producers, NONE)) {
	}
}

int producers_snapshot_read(struct producers *producers, const uint8_t *data, size_t size,
			    uint64_t now_ns, int64_t *ret_offset)
{
	struct layout layout;

	producers_clear(producers);
	int rc = take_apart(&layout, data, size);
	if (rc == 0)
		rc = read_all(producers, &layout, now_ns);
	if (rc < 0) {
		producers_clear(producers);
		return rc;
	}
	trim(producers);
	*ret_offset = (int64_t)le64toh(layout.header.offset);
	return 0;
}
