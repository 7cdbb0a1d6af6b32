/* Writes the seeds that can be computed: FOLDER/<target>/<name>.
 *
 *     fuzz_seeds FOLDER
 *
 * Messages: each version of each, filled at random.  Batches and compressed data: the same records
 * under each codec, so that the fuzzer need not invent a valid stream.  Groups: one of every type
 * of stored record, and offsets within transactions.  Producers: snapshots of some, and markers.
 * Files of ids: one with some, one without. */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "kafka_messages.h"
#include "storage/batch.h"
#include "storage/compress.h"
#include "storage/control_batch.h"
#include "storage/producers.h"
#include "tests/dataplane/kafka_codec.h"
#include "tests/dataplane/kafka_fill.h"

#include <errno.h>
#include <limits.h>
#include <lz4frame.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

enum {
	SEEDS_OF_EACH = 2,
	SEEDS_OF_GROUPS = 20,
	BYTES_MAX = 16384,
	GZIP_WINDOW_BITS = 15 + 16,
	RECORDS = 3,
	RECORD_BYTES = 14,
	AT_LENGTH = 8,
	AT_MAGIC = 16,
	AT_CRC = 17,
	AT_ATTRIBUTES = 21,
	AT_LAST_OFFSET_DELTA = 23,
	AT_BASE_TIMESTAMP = 27,
	AT_PRODUCER_ID = 43,
	AT_RECORD_COUNT = 57,
};

static const char *folder;

static void save(const char *target, const char *name, const void *data, size_t length)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", folder, target);
	if (mkdir(path, 0777) < 0 && errno != EEXIST) {
		perror(path);
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/%s/%s", folder, target, name);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(data, 1, length, file) != length || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static void save_message(size_t index, uint64_t seed)
{
	struct kafka_codec codec = kafka_codec_at(index);
	struct kafka_frame frame = kafka_codec_example(&codec, seed);
	char name[64];

	snprintf(name, sizeof(name), "%s_v%d_%d", codec.api->name, codec.version, (int)seed);
	if (codec.response) {
		uint8_t *chosen = malloc(2 + frame.length);
		check(chosen != NULL);
		store_be16(chosen, (uint16_t)index);
		memcpy(chosen + 2, frame.data, frame.length);
		save("response", name, chosen, 2 + frame.length);
		free(chosen);
	} else {
		save("request", name, frame.data, frame.length);
	}
	kafka_frame_free(&frame);
}

/* Length, attributes, timestamp delta, offset delta, key, value, headers; small numbers, so that
 * each varint is one byte, its value doubled. */
static size_t put_record(uint8_t *out, unsigned index)
{
	const uint8_t record[] = {
		26,  0, (uint8_t)(2 * index), (uint8_t)(2 * index), 2, 'k', 6, 'a', 'a', 'a', 2, 2,
		'h', 1};

	_Static_assert(sizeof(record) == RECORD_BYTES, "");
	memcpy(out, record, sizeof(record));
	return sizeof(record);
}

static size_t put_records(uint8_t *out)
{
	size_t length = 0;

	for (unsigned i = 0; i < RECORDS; i++)
		length += put_record(out + length, i);
	return length;
}

static size_t gzip(const uint8_t *data, size_t length, uint8_t *out)
{
	z_stream stream = {0};

	check(deflateInit2(&stream, 6, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) ==
	      Z_OK);
	stream.next_in = (uint8_t *)(uintptr_t)data;
	stream.avail_in = (unsigned)length;
	stream.next_out = out;
	stream.avail_out = BYTES_MAX;
	check(deflate(&stream, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&stream);
	return stream.total_out;
}

/* A literal, then a copy of what the record before ends with too. */
static size_t snappy(const uint8_t *data, size_t length, uint8_t *out)
{
	const size_t literal = length - 4;

	check(literal >= RECORD_BYTES);
	check(literal <= 60);
	out[0] = (uint8_t)length;
	out[1] = (uint8_t)((literal - 1) << 2);
	memcpy(out + 2, data, literal);
	out[2 + literal] = 1;
	out[3 + literal] = RECORD_BYTES;
	return literal + 4;
}

/* Java's frame around blocks: here two. */
static size_t snappy_framed(const uint8_t *data, size_t length, uint8_t *out)
{
	size_t at = 16;

	memcpy(out, "\x82SNAPPY\0\0\0\0\1\0\0\0\1", at);
	store_be32(out + at, 2 + RECORD_BYTES);
	out[at + 4] = RECORD_BYTES;
	out[at + 5] = (RECORD_BYTES - 1) << 2;
	memcpy(out + at + 6, data, RECORD_BYTES);
	at += 6 + RECORD_BYTES;
	size_t block = snappy(data + RECORD_BYTES, length - RECORD_BYTES, out + at + 4);
	store_be32(out + at, (uint32_t)block);
	return at + 4 + block;
}

static size_t lz4(const uint8_t *data, size_t length, uint8_t *out)
{
	size_t made = LZ4F_compressFrame(out, BYTES_MAX, data, length, NULL);

	check(!LZ4F_isError(made));
	return made;
}

static size_t zstd(const uint8_t *data, size_t length, uint8_t *out)
{
	size_t made = ZSTD_compress(out, BYTES_MAX, data, length, 3);

	check(!ZSTD_isError(made));
	return made;
}

static size_t plain(const uint8_t *data, size_t length, uint8_t *out)
{
	memcpy(out, data, length);
	return length;
}

static const struct {
	const char *name;
	enum batch_codec codec;
	size_t (*pack)(const uint8_t *data, size_t length, uint8_t *out);
} codecs[] = {
	{"none", CODEC_NONE, plain},      {"gzip", CODEC_GZIP, gzip},
	{"snappy", CODEC_SNAPPY, snappy}, {"snappy_framed", CODEC_SNAPPY, snappy_framed},
	{"lz4", CODEC_LZ4, lz4},          {"zstd", CODEC_ZSTD, zstd},
};

/* A seed that is refused at once would teach the fuzzer nothing. */
static void check_valid(const uint8_t *batch, size_t size)
{
	const struct batch_rules rules = {
		.batch_bytes_max = BYTES_MAX,
		.decompressed_bytes_max = BYTES_MAX,
		.now_ms = INT64_C(1800000000000),
		.timestamp_before_max_ms = INT64_MAX,
		.timestamp_after_max_ms = INT64_MAX,
		.zstd_allowed = true,
	};
	struct decompressor *decompressor;
	struct batch_fault fault = {0};
	struct batch parsed;

	check(decompressor_new(&decompressor) == 0);
	if (batch_validate(&parsed, batch, size, &rules, decompressor, &fault) < 0) {
		fprintf(stderr, "seed refused: %s\n", fault.text);
		exit(1);
	}
	decompressor_free(decompressor);
}

static void save_batch(size_t index, const uint8_t *packed, size_t length)
{
	static uint8_t seed[1 + BATCH_HEADER_BYTES + BYTES_MAX];
	uint8_t *batch = seed + 1;

	memset(seed, 0, sizeof(seed));
	store_be32(batch + AT_LENGTH,
		   (uint32_t)(BATCH_HEADER_BYTES - BATCH_LENGTH_PREFIX + length));
	batch[AT_MAGIC] = 2;
	store_be16(batch + AT_ATTRIBUTES, (uint16_t)codecs[index].codec);
	store_be32(batch + AT_LAST_OFFSET_DELTA, RECORDS - 1);
	store_be64(batch + AT_BASE_TIMESTAMP, UINT64_C(1800000000000));
	memset(batch + AT_PRODUCER_ID, 0xff, AT_RECORD_COUNT - AT_PRODUCER_ID);
	store_be32(batch + AT_RECORD_COUNT, RECORDS);
	memcpy(batch + BATCH_HEADER_BYTES, packed, length);
	store_be32(batch + AT_CRC, crc32c(0, batch + BATCH_CRC_START,
					  BATCH_HEADER_BYTES + length - BATCH_CRC_START));
	check_valid(batch, BATCH_HEADER_BYTES + length);
	save("batch", codecs[index].name, seed, 1 + BATCH_HEADER_BYTES + length);
}

static void save_compressed(size_t index, const uint8_t *packed, size_t length)
{
	static uint8_t seed[2 + BYTES_MAX];
	char name[64];

	for (unsigned limit = 0; limit < 2; limit++) {
		seed[0] = (uint8_t)codecs[index].codec;
		seed[1] = (uint8_t)(0x80 | limit);
		memcpy(seed + 2, packed, length);
		snprintf(name, sizeof(name), "%s_%u", codecs[index].name, limit);
		save("decompress", name, seed, 2 + length);
	}
}

/* ---- records of groups ---- */

static size_t put_written(uint8_t *to, const struct wire_writer *writer)
{
	size_t length = 2;

	store_be16(to, (uint16_t)writer->bytes);
	for (size_t i = 0; i < writer->vector_count; i++) {
		const struct iovec *vector = &writer->vectors[i];
		check(length + vector->iov_len <= BYTES_MAX);
		memcpy(to + length, vector->iov_base, vector->iov_len);
		length += vector->iov_len;
	}
	return length;
}

/* One of each type, all of one group: its id comes first in every key. */
static void save_group_records(uint64_t seed)
{
	static uint8_t bytes[32 * BYTES_MAX];
	size_t length = 0;
	char name[32];

	for (size_t i = 0; i < kafka_record_count; i++) {
		const struct kafka_record *record = &kafka_records[i];
		struct wire_writer writer;
		struct kafka_fill fill;
		struct arena arena;
		arena_init(&arena, 1 << 20);
		struct kafka_string *key = arena_calloc(&arena, 1, record->key_size);
		void *value = arena_calloc(&arena, 1, record->value_size);
		check(key && value);
		kafka_fill_init(&fill, seed * kafka_record_count + i, &arena);
		kafka_fill_record(&fill, record->type, false, 0, key);
		kafka_fill_record(&fill, record->type, true, record->write_version, value);
		*key = kafka_string_of("g");
		check(kafka_encode_record_key(record, key, &arena, &writer) == 0);
		length += put_written(bytes + length, &writer);
		check(kafka_encode_record_value(record, value, &arena, &writer) == 0);
		length += put_written(bytes + length, &writer);
		arena_fini(&arena);
	}
	snprintf(name, sizeof(name), "all_types_%d", (int)seed);
	save("group_records", name, bytes, length);
}

static size_t put_stored(uint8_t *to, enum kafka_record_type type, const void *key,
			 const void *value)
{
	const struct kafka_record *record = kafka_record_find((int16_t)type);
	struct wire_writer writer;
	struct arena arena;
	size_t length;

	arena_init(&arena, 1 << 20);
	check(kafka_encode_record_key(record, key, &arena, &writer) == 0);
	length = put_written(to, &writer);
	if (value) {
		check(kafka_encode_record_value(record, value, &arena, &writer) == 0);
		length += put_written(to + length, &writer);
	} else {
		store_be16(to + length, UINT16_MAX);
		length += 2;
	}
	arena_fini(&arena);
	return length;
}

/* Two transactions and a plain commit to one partition; then one of the transactions ends. */
static void save_pending_offsets(void)
{
	static uint8_t bytes[BYTES_MAX];
	struct kafka_string group = kafka_string_of("g"), topic = kafka_string_of("t");
	struct record_offset_commit_key committed_key = {group, topic, 1};
	struct record_offset_commit_value committed;
	struct record_pending_offset_key pending_key = {group, 1000, topic, 1};
	struct record_pending_offset_value pending;
	size_t length = 0;

	record_offset_commit_value_init(&committed);
	record_pending_offset_value_init(&pending);
	committed.metadata = pending.metadata = kafka_string_of("m");
	for (pending.order = 1; pending.order <= 3; pending.order++) {
		pending_key.producer_id = 1000 + pending.order % 2;
		length += put_stored(bytes + length, RECORD_PENDING_OFFSET, &pending_key, &pending);
		committed.order = pending.order;
	}
	length += put_stored(bytes + length, RECORD_OFFSET_COMMIT, &committed_key, &committed);
	length += put_stored(bytes + length, RECORD_PENDING_OFFSET, &pending_key, NULL);
	save("group_records", "pending_offsets", bytes, length);
}

/* One id in every state, then a tombstone; with its partitions where it has some. */
static void save_transactions(void)
{
	static uint8_t bytes[BYTES_MAX];
	int32_t partitions[] = {0, 2};
	struct record_transaction_value_transaction_topic topics[] = {
		{kafka_string_of("t"), partitions, 2},
		{kafka_string_of("__consumer_offsets"), partitions, 1},
	};
	char id[] = "a";
	struct record_transaction_key key = {{id, 1}};
	struct record_transaction_value value;
	size_t length = 0;

	record_transaction_value_init(&value);
	value.producer_id = 1000;
	value.timeout_ms = 60000;
	value.start_ms = value.last_update_ms = INT64_C(1750000000000);
	for (value.status = 0; value.status <= 5; value.status++, id[0]++) {
		bool open = value.status >= 1 && value.status <= 3;
		value.partitions = topics;
		value.partitions_count = open ? 2 : 0;
		value.next_producer_id = value.status == 2 ? 2000 : -1;
		length += put_stored(bytes + length, RECORD_TRANSACTION, &key, &value);
	}
	id[0]--;
	length += put_stored(bytes + length, RECORD_TRANSACTION, &key, NULL);
	save("transaction_records", "all_states", bytes, length);
}

/* ---- producers ---- */

static void apply(struct producers *producers, int64_t offset, int64_t id,
		  const struct control_marker *marker)
{
	const struct batch batch = {
		.base_offset = offset,
		.attributes = BATCH_TRANSACTIONAL | (marker ? BATCH_CONTROL : 0),
		.max_timestamp = 1000,
		.producer_id = id,
		.base_sequence = marker ? -1 : 0,
		.record_count = 1,
	};

	check(producers_reserve(producers, &batch) == 0);
	producers_apply(producers, &batch, marker, 0);
}

/* As many producers as the seed says begin, and every second is ended. */
static void save_snapshot(int64_t count)
{
	const struct control_marker marker = {.type = CONTROL_ABORT};
	struct producers producers;
	char name[32];

	producers_init(&producers, (size_t)count);
	for (int64_t id = 0; id < count; id++)
		apply(&producers, id, id, NULL);
	for (int64_t id = 0; id < count; id += 2)
		apply(&producers, count + id, id, &marker);
	size_t size = 1 + producers_snapshot_size(&producers);
	uint8_t *seed = calloc(1, size);
	check(seed);
	producers_snapshot_write(&producers, 3 * count, seed + 1);
	snprintf(name, sizeof(name), "snapshot_%d", (int)count);
	save("producers", name, seed, size);
	free(seed);
	producers_fini(&producers);
}

static void save_marker(enum control_type type, const char *name)
{
	const struct control_marker marker = {.type = type, .producer_id = 7, .timestamp_ms = 1000};
	uint8_t seed[1 + CONTROL_BATCH_BYTES] = {1};

	control_batch_write(&marker, seed + 1);
	save("producers", name, seed, sizeof(seed));
}

static void save_producers(void)
{
	for (int64_t count = 0; count < 8; count++)
		save_snapshot(count);
	save_marker(CONTROL_ABORT, "abort");
	save_marker(CONTROL_COMMIT, "commit");
}

/* The target puts magic, count and checksum right. */
static void save_dedup_files(void)
{
	enum { HEADER_BYTES = 88, ENTRY_BYTES = 24, AT_TO = 24, ENTRIES = 3 };
	uint8_t bytes[HEADER_BYTES + ENTRIES * ENTRY_BYTES] = {0};

	bytes[AT_TO] = ENTRIES;
	for (unsigned i = 0; i < ENTRIES; i++) {
		bytes[HEADER_BYTES + i * ENTRY_BYTES] = (uint8_t)i;
		bytes[HEADER_BYTES + i * ENTRY_BYTES + 16] = (uint8_t)i;
	}
	save("dedup_file", "some", bytes, sizeof(bytes));
	save("dedup_file", "none", bytes, HEADER_BYTES);
}

int main(int argc, char **argv)
{
	static uint8_t records[BYTES_MAX], packed[BYTES_MAX];

	check(argc == 2);
	folder = argv[1];
	if (mkdir(folder, 0777) < 0 && errno != EEXIST) {
		perror(folder);
		return 1;
	}
	for (size_t i = 0; i < kafka_codec_count(); i++) {
		for (uint64_t seed = 0; seed < SEEDS_OF_EACH; seed++)
			save_message(i, seed);
	}
	for (uint64_t seed = 0; seed < SEEDS_OF_GROUPS; seed++)
		save_group_records(seed);
	save_pending_offsets();
	save_transactions();
	save_producers();
	save_dedup_files();
	size_t length = put_records(records);
	for (size_t i = 0; i < array_count(codecs); i++) {
		size_t packed_length = codecs[i].pack(records, length, packed);
		save_batch(i, packed, packed_length);
		save_compressed(i, packed, packed_length);
	}
	return 0;
}
