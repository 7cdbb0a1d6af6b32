/* storage/batch.h: the Kafka record batch (magic 2), the unit on wire, in memory and on disk.
 * Header layout: 61 bytes, big-endian, as Kafka's documentation of the message format gives it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	BATCH_HEADER_BYTES = 61,
	BATCH_LENGTH_PREFIX = 12, /* bytes before what batchLength counts */
	BATCH_CRC_START = 21,     /* first byte the CRC covers */
};

enum batch_codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_COUNT };

enum {
	BATCH_CODEC_MASK = 0x07,
	BATCH_LOG_APPEND_TIME = 0x08,
	BATCH_TRANSACTIONAL = 0x10,
	BATCH_CONTROL = 0x20,
	BATCH_DELETE_HORIZON = 0x40,
};

/* The header decoded; `size` is the whole batch in bytes. */
struct batch {
	int64_t base_offset;
	size_t size;
	int32_t leader_epoch;
	uint32_t crc;
	uint16_t attributes;
	int32_t last_offset_delta;
	int64_t base_timestamp;
	int64_t max_timestamp;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	int32_t record_count;
};

/* Without records, and of no producer: it stands for offsets of records that are no more. */
static inline bool batch_is_filler(const struct batch *batch)
{
	return batch->record_count == 0 && batch->producer_id < 0;
}

/* Decodes the header at `data` without looking past `length`; checks magic and that the batch fits
 * (size <= length) and is at least a header.  -ERR_CORRUPT, -ERR_INVALID_RECORD (magic),
 * -EMSGSIZE: header whole but the batch is longer than `length` (*ret is filled). */
int batch_parse(struct batch *ret, const void *data, size_t length);
/* What BATCH_HEADER_BYTES say, whether that can be or not. */
void batch_decode(struct batch *ret, const void *header);
bool batch_crc_valid(const struct batch *batch, const void *data);
int64_t batch_max_timestamp(const void *header); /* as the header says */
/* Broker-side edits outside the CRC: base offset and leader epoch. */
void batch_set_base(void *data, int64_t base_offset, int32_t leader_epoch);
/* Edits of the header that the CRC covers: the caller computes it anew.  LogAppendTime sets the
 * attribute bit too. */
void batch_set_append_time(void *header, int64_t now_ms);
void batch_set_max_timestamp(void *header, int64_t max_ms);

struct dedup_config;
struct dedup_id;

struct batch_rules {
	size_t batch_bytes_max;        /* max.message.bytes */
	size_t decompressed_bytes_max; /* of one batch */
	int64_t now_ms;
	int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms, INT64_MAX: no limit */
	int64_t timestamp_after_max_ms;
	bool keys_required;   /* compacted topic */
	bool zstd_allowed;    /* Produce >= 7 */
	bool log_append_time; /* timestamps are ours: do not check the client's */
	/* Null: no dedup window.  Else ids[i] becomes the id of record i, all zero where it has
	 * none; there is room for as many as the header says. */
	const struct dedup_config *dedup;
	struct dedup_id *ids;
};

/* Which record a batch was refused for: Produce v8+ record_errors. */
struct batch_fault {
	int32_t record_index; /* -1: the batch as a whole */
	const char *text;     /* static */
};

/* Everything a produced batch must satisfy (order as in Kafka's LogValidator): one batch exactly
 * fills `size`, magic, CRC, counts, attributes, sequence, codec, then every record, decompressed
 * where needed.  `scratch` is reused between calls (see compress.h).  Errors: -ERR_CORRUPT,
 * -ERR_INVALID_RECORD, -ERR_INVALID_TIMESTAMP, -ERR_TOO_LARGE, -ERR_CODEC, -ENOMEM; *fault is then
 * filled. */
struct decompressor;
int batch_validate(struct batch *ret, const void *data, size_t size,
		   const struct batch_rules *rules, struct decompressor *decompressor,
		   struct batch_fault *fault);
