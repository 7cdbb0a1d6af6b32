/* Producers as bytes; little-endian.
 *
 *     0   8   magic "SLUICEps"
 *     8   4   version, 1
 *    12   4   number of producers, n
 *    16   8   offset: every batch below it has been applied, none above
 *    24   8   XXH3-64 of all that follows, seeded with the XXH3-64 of bytes 0 to 23
 *    32  96n  producers, longest silent first */
#include "storage/producers.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { VERSION = 1 };
static const char magic[8] = {'S', 'L', 'U', 'I', 'C', 'E', 'p', 's'};

struct disk_header {
	char magic[8];
	uint32_t version;
	uint32_t count;
	uint64_t offset;
	uint64_t sum;
};
_Static_assert(sizeof(struct disk_header) == 32, "as described above");

struct disk_batch {
	uint64_t base_offset;
	uint32_t first_sequence;
	uint32_t last_sequence;
};

struct disk_producer {
	uint64_t id;
	uint16_t epoch;
	uint16_t batch_count;
	uint32_t zero;
	struct disk_batch batches[PRODUCER_BATCHES]; /* oldest first */
};
_Static_assert(sizeof(struct disk_producer) == 96, "as described above");

static uint64_t sum_of(const struct disk_header *header, const void *producers, size_t size)
{
	uint64_t seed = XXH3_64bits(header, offsetof(struct disk_header, sum));

	return XXH3_64bits_withSeed(producers, size, seed);
}

size_t producers_snapshot_size(const struct producers *producers)
{
	return sizeof(struct disk_header) +
	       producers_count(producers) * sizeof(struct disk_producer);
}

static struct disk_producer packed(const struct producer *producer)
{
	struct disk_producer out = {
		.id = htole64((uint64_t)producer->id),
		.epoch = htole16((uint16_t)producer->epoch),
		.batch_count = htole16(producer->batch_count),
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

void producers_snapshot_write(const struct producers *producers, int64_t offset, uint8_t *out)
{
	struct disk_header header = {
		.version = htole32(VERSION),
		.count = htole32((uint32_t)producers_count(producers)),
		.offset = htole64((uint64_t)offset),
	};
	uint8_t *at = out + sizeof(header);

	memcpy(header.magic, magic, sizeof(magic));
	list_foreach(node, &producers->by_age) {
		struct disk_producer row = packed(container_of(node, struct producer, link));
		memcpy(at, &row, sizeof(row));
		at += sizeof(row);
	}
	header.sum =
		htole64(sum_of(&header, out + sizeof(header), (size_t)(at - out) - sizeof(header)));
	memcpy(out, &header, sizeof(header));
}

/* False: what no producer can be. */
static bool unpack(const struct disk_producer *row, uint64_t now_ns, struct producer *producer)
{
	unsigned count = le16toh(row->batch_count);

	if (count < 1 || count > PRODUCER_BATCHES || (int64_t)le64toh(row->id) < 0)
		return false;
	*producer = (struct producer){
		.id = (int64_t)le64toh(row->id),
		.seen_ns = now_ns,
		.epoch = (int16_t)le16toh(row->epoch),
		.batch_count = (uint8_t)count,
		.newest = (uint8_t)(count - 1),
	};
	for (unsigned i = 0; i < count; i++)
		producer->batches[i] = (struct producer_batch){
			.base_offset = (int64_t)le64toh(row->batches[i].base_offset),
			.first_sequence = (int32_t)le32toh(row->batches[i].first_sequence),
			.last_sequence = (int32_t)le32toh(row->batches[i].last_sequence),
		};
	return true;
}

static int read_row(struct producers *producers, const uint8_t *at, uint64_t now_ns)
{
	struct disk_producer row;
	struct producer unpacked;

	memcpy(&row, at, sizeof(row));
	if (!unpack(&row, now_ns, &unpacked) || producers_find(producers, unpacked.id))
		return -ERR_CORRUPT;
	struct producer *producer = malloc(sizeof(*producer));
	if (!producer)
		return -ENOMEM;
	*producer = unpacked;
	if (map64_put(&producers->by_id, (uint64_t)producer->id, producer) < 0) {
		free(producer);
		return -ENOMEM;
	}
	list_init(&producer->link);
	list_push_back(&producers->by_age, &producer->link);
	return 0;
}

static int check_header(const struct disk_header *header, const uint8_t *data, size_t size)
{
	size_t rows = size - sizeof(*header);

	if (memcmp(header->magic, magic, sizeof(magic)) != 0)
		return -ERR_CORRUPT;
	if (le32toh(header->version) != VERSION)
		return -ERR_FORMAT;
	if (rows % sizeof(struct disk_producer) ||
	    le32toh(header->count) != rows / sizeof(struct disk_producer) ||
	    (int64_t)le64toh(header->offset) < 0 ||
	    le64toh(header->sum) != sum_of(header, data + sizeof(*header), rows))
		return -ERR_CORRUPT;
	return 0;
}

/* More than `max` are read, and trimmed: the limit may have been lowered. */
static void trim(struct producers *producers)
{
	while (producers_count(producers) > producers->max)
		producers_forget_oldest(producers);
}

int producers_snapshot_read(struct producers *producers, const uint8_t *data, size_t size,
			    uint64_t now_ns, int64_t *ret_offset)
{
	struct disk_header header;
	int rc = -ERR_CORRUPT;

	producers_clear(producers);
	if (size < sizeof(header))
		return rc;
	memcpy(&header, data, sizeof(header));
	rc = check_header(&header, data, size);
	for (size_t at = sizeof(header); rc == 0 && at < size; at += sizeof(struct disk_producer))
		rc = read_row(producers, data + at, now_ns);
	if (rc < 0) {
		producers_clear(producers);
		return rc;
	}
	trim(producers);
	*ret_offset = (int64_t)le64toh(header.offset);
	return 0;
}
