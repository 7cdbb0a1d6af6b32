/* dataplane/kafka/wire.h: reading and writing the Kafka protocol's primitive types.
 *
 * The reader looks at bytes in place and never past `end`: every access goes through wire_take,
 * which compares raw lengths.  Its error is sticky: decode straight through, test wire_ok once.
 * The writer fills chunks of an arena and refers to record bytes instead of copying them.
 *
 * Fields of fixed size that follow one another are taken, or reserved, at once: wire_TYPE_at and
 * wire_TYPE_to then read and write one of them in bytes that are known to be there. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "base/uuid.h"
#include "dataplane/kafka/utf8.h"

/* Views into the frame; not terminated. length -1: null. */
struct kafka_string {
	const char *data;
	int32_t length;
};

struct kafka_bytes {
	const uint8_t *data;
	int32_t length;
};

/* Record batches.  Decoded: data/length.  To encode: the vectors when vector_count > 0, else data.
 */
struct kafka_records {
	const uint8_t *data;
	const struct iovec *vectors;
	uint32_t vector_count;
	int32_t length;
};

/* A string with static or longer-lived storage; null gives the null string. */
struct kafka_string kafka_string_of(const char *text);
bool kafka_string_equal(const struct kafka_string *a, const struct kafka_string *b);

/* ---- fixed sizes ---- */
static inline bool wire_bool_at(const uint8_t *at)
{
	return *at != 0;
}

static inline int8_t wire_i8_at(const uint8_t *at)
{
	return (int8_t)*at;
}

static inline int16_t wire_i16_at(const uint8_t *at)
{
	return (int16_t)load_be16(at);
}

static inline uint16_t wire_u16_at(const uint8_t *at)
{
	return load_be16(at);
}

static inline int32_t wire_i32_at(const uint8_t *at)
{
	return (int32_t)load_be32(at);
}

static inline int64_t wire_i64_at(const uint8_t *at)
{
	return (int64_t)load_be64(at);
}

static inline double wire_f64_at(const uint8_t *at)
{
	uint64_t raw = load_be64(at);
	double value;

	memcpy(&value, &raw, sizeof(value));
	return value;
}

static inline void wire_bool_to(uint8_t *to, bool value)
{
	*to = value;
}

static inline void wire_i8_to(uint8_t *to, int8_t value)
{
	*to = (uint8_t)value;
}

static inline void wire_i16_to(uint8_t *to, int16_t value)
{
	store_be16(to, (uint16_t)value);
}

static inline void wire_u16_to(uint8_t *to, uint16_t value)
{
	store_be16(to, value);
}

static inline void wire_i32_to(uint8_t *to, int32_t value)
{
	store_be32(to, (uint32_t)value);
}

static inline void wire_i64_to(uint8_t *to, int64_t value)
{
	store_be64(to, (uint64_t)value);
}

static inline void wire_f64_to(uint8_t *to, double value)
{
	uint64_t raw;

	memcpy(&raw, &value, sizeof(raw));
	store_be64(to, raw);
}

/* ---- reader ---- */
struct wire_reader {
	const uint8_t *at;
	const uint8_t *end;
	struct arena *arena; /* for arrays */
	int error;           /* 0, -ERR_BAD_REQUEST or -ENOMEM; sticky */
};

static inline struct wire_reader wire_reader_over(const void *data, size_t length,
						  struct arena *arena)
{
	const uint8_t *at = data;
	return (struct wire_reader){.at = at, .end = length ? at + length : at, .arena = arena};
}

static inline bool wire_ok(const struct wire_reader *r)
{
	return r->error == 0;
}
void wire_fail(struct wire_reader *r, int error); /* the first one stays */
/* `count` bytes, or null with the error set.  0 bytes: a pointer not to be followed. */
static inline const uint8_t *wire_take(struct wire_reader *r, size_t count)
{
	if (__builtin_expect(count > (size_t)(r->end - r->at), 0)) {
		wire_fail(r, -ERR_BAD_REQUEST);
		return NULL;
	}
	const uint8_t *taken = r->at;
	r->at += count;
	return taken;
}

static inline bool wire_get_bool(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 1);
	return at ? wire_bool_at(at) : false;
}

static inline int8_t wire_get_i8(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 1);
	return at ? wire_i8_at(at) : 0;
}

static inline uint16_t wire_get_u16(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 2);
	return at ? wire_u16_at(at) : 0;
}

static inline int16_t wire_get_i16(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 2);
	return at ? wire_i16_at(at) : 0;
}

static inline int32_t wire_get_i32(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 4);
	return at ? wire_i32_at(at) : 0;
}

static inline int64_t wire_get_i64(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 8);
	return at ? wire_i64_at(at) : 0;
}

static inline double wire_get_f64(struct wire_reader *r)
{
	const uint8_t *at = wire_take(r, 8);
	return at ? wire_f64_at(at) : 0;
}

uint32_t wire_get_long_uvarint(struct wire_reader *r); /* not one byte */
static inline uint32_t wire_get_uvarint(struct wire_reader *r)
{
	if (r->at == r->end || *r->at >= 0x80)
		return wire_get_long_uvarint(r);
	return *r->at++;
}

struct uuid wire_get_uuid(struct wire_reader *r);
/* A length or count: -1 for null, else 0 .. INT32_MAX.  After an error the least that is allowed.
 */
static inline int32_t wire_get_length(struct wire_reader *r, bool compact, bool nullable,
				      bool short_form)
{
	const int32_t least = nullable ? -1 : 0;
	int64_t length;

	if (compact) {
		length = (int64_t)wire_get_uvarint(r) - 1;
	} else {
		const uint8_t *at = wire_take(r, short_form ? 2 : 4);
		if (!at)
			return least;
		length = short_form ? wire_i16_at(at) : wire_i32_at(at);
	}
	if (length >= least && length <= INT32_MAX)
		return (int32_t)length;
	wire_fail(r, -ERR_BAD_REQUEST);
	return least;
}

/* What *length says; where it is not there, *length is 0 from then on. */
static inline const uint8_t *wire_get_body(struct wire_reader *r, int32_t *length)
{
	if (*length <= 0)
		return NULL;
	const uint8_t *data = wire_take(r, (size_t)*length);
	if (!data)
		*length = 0;
	return data;
}

/* `compact`: flexible versions' form.  Null where `nullable` is false is an error, as is a string
 * that is not UTF-8 or longer than 32 KiB. */
static inline struct kafka_string wire_get_string(struct wire_reader *r, bool compact,
						  bool nullable)
{
	int32_t length = wire_get_length(r, compact, nullable, true);
	/* Kafka's strings end at 32 KiB, also in the compact form. */
	if (length > INT16_MAX)
		wire_fail(r, -ERR_BAD_REQUEST);
	const uint8_t *data = wire_get_body(r, &length);
	if (data && !utf8_valid(data, (size_t)length)) {
		wire_fail(r, -ERR_BAD_REQUEST);
		return (struct kafka_string){0};
	}
	return (struct kafka_string){.data = (const char *)data, .length = length};
}

static inline struct kafka_bytes wire_get_bytes(struct wire_reader *r, bool compact, bool nullable)
{
	int32_t length = wire_get_length(r, compact, nullable, false);
	const uint8_t *data = wire_get_body(r, &length);
	return (struct kafka_bytes){.data = data, .length = length};
}

static inline struct kafka_records wire_get_records(struct wire_reader *r, bool compact,
						    bool nullable)
{
	struct kafka_bytes bytes = wire_get_bytes(r, compact, nullable);
	return (struct kafka_records){.data = bytes.data, .length = bytes.length};
}

/* Before a struct that may be null: whether it is there. */
static inline bool wire_get_present(struct wire_reader *r, bool nullable)
{
	return !nullable || wire_get_i8(r) >= 0;
}

/* Ten times the partitions that a busy cluster's client names in one request. */
enum { WIRE_ARRAY_COUNT_MAX = 1 << 20 };

/* The count of an array whose elements take at least `element_bytes_min` on the wire and
 * `element_size` in memory; *ret_elements is arena memory, not zeroed.  -1: null. */
static inline int32_t wire_get_array(struct wire_reader *r, bool compact, bool nullable,
				     uint32_t element_bytes_min, size_t element_size,
				     void **ret_elements)
{
	int32_t count = wire_get_length(r, compact, nullable, false);

	*ret_elements = NULL;
	if (count <= 0)
		return count;
	/* No overflow: the product of two numbers of 32 bits. */
	if (count > WIRE_ARRAY_COUNT_MAX ||
	    (uint64_t)count * element_bytes_min > (uint64_t)(r->end - r->at)) {
		wire_fail(r, -ERR_BAD_REQUEST);
		return 0;
	}
	*ret_elements = arena_alloc_array(r->arena, (size_t)count, element_size);
	if (!*ret_elements) {
		wire_fail(r, -ENOMEM);
		return 0;
	}
	return count;
}

/* Tagged fields: for (uint32_t tag; wire_next_tag(r, &tags, &tag, &field);) decode from &field,
 * then wire_end_tag.  Tags that do not rise are an error, as is a size past the end. */
struct wire_tags {
	uint32_t left;
	int64_t last;
	bool begun;
};
bool wire_next_tag(struct wire_reader *r, struct wire_tags *tags, uint32_t *ret_tag,
		   struct wire_reader *ret_field);
/* Passes the field's error on; bytes left in a field that was understood are one too. */
void wire_end_tag(struct wire_reader *r, const struct wire_reader *field);
void wire_skip_long_tags(struct wire_reader *r); /* not "none" */
static inline void wire_skip_tags(struct wire_reader *r)
{
	if (r->at != r->end && *r->at == 0)
		r->at++;
	else
		wire_skip_long_tags(r);
}

/* ---- writer ---- */
struct wire_writer {
	struct arena *arena; /* null: counts bytes */
	struct iovec *vectors;
	size_t vector_count;
	size_t vector_capacity;
	uint8_t *piece; /* from here to `at`: written, but in no vector yet */
	uint8_t *at;    /* free part of the newest chunk */
	uint8_t *end;
	size_t bytes;         /* of the vectors; without an arena, counted */
	int error;            /* 0, -ENOMEM, or -ERR_TOO_LARGE: a string above 32 KiB; sticky */
	uint32_t error_codes; /* written, other than NONE */
};

/* Takes the first chunk.  A writer that is all zero only counts. */
void wire_writer_init(struct wire_writer *w, struct arena *arena);
/* At the end, before the vectors are looked at.  Returns `error`. */
int wire_finish(struct wire_writer *w);
/* Where the chunk has no room. */
uint8_t *wire_reserve_chunk(struct wire_writer *w, size_t count);
/* `count` bytes side by side, for the caller to fill; null when counting or after an error. */
static inline uint8_t *wire_reserve(struct wire_writer *w, size_t count)
{
	/* Without an arena there is no chunk, and after an error it has no room; also for 0. */
	if (__builtin_expect(count - 1 >= (size_t)(w->end - w->at), 0))
		return wire_reserve_chunk(w, count);
	uint8_t *reserved = w->at;
	w->at += count;
	return reserved;
}

static inline void wire_put_bool(struct wire_writer *w, bool value)
{
	uint8_t *to = wire_reserve(w, 1);
	if (to)
		wire_bool_to(to, value);
}

static inline void wire_put_i8(struct wire_writer *w, int8_t value)
{
	uint8_t *to = wire_reserve(w, 1);
	if (to)
		wire_i8_to(to, value);
}

static inline void wire_put_u16(struct wire_writer *w, uint16_t value)
{
	uint8_t *to = wire_reserve(w, 2);
	if (to)
		wire_u16_to(to, value);
}

static inline void wire_put_i16(struct wire_writer *w, int16_t value)
{
	uint8_t *to = wire_reserve(w, 2);
	if (to)
		wire_i16_to(to, value);
}

static inline void wire_put_i32(struct wire_writer *w, int32_t value)
{
	uint8_t *to = wire_reserve(w, 4);
	if (to)
		wire_i32_to(to, value);
}

static inline void wire_put_i64(struct wire_writer *w, int64_t value)
{
	uint8_t *to = wire_reserve(w, 8);
	if (to)
		wire_i64_to(to, value);
}

static inline void wire_put_f64(struct wire_writer *w, double value)
{
	uint8_t *to = wire_reserve(w, 8);
	if (to)
		wire_f64_to(to, value);
}

void wire_put_long_uvarint(struct wire_writer *w, uint32_t value);
static inline void wire_put_uvarint(struct wire_writer *w, uint32_t value)
{
	if (value < 0x80)
		wire_put_i8(w, (int8_t)value);
	else
		wire_put_long_uvarint(w, value);
}

void wire_put_uuid(struct wire_writer *w, const struct uuid *value);
/* Nothing more is written.  False, for the caller to return. */
bool wire_put_fail(struct wire_writer *w, int error);
static inline void wire_put(struct wire_writer *w, const void *data, size_t length)
{
	uint8_t *to = length ? wire_reserve(w, length) : NULL;

	if (to)
		memcpy(to, data, length);
}

/* Null where `nullable` is false is written as empty: a peer would not understand it. */
static inline void wire_put_string(struct wire_writer *w, const struct kafka_string *value,
				   bool compact, bool nullable)
{
	int32_t length = value->length < 0 ? (nullable ? -1 : 0) : value->length;

	if (length > INT16_MAX) {
		wire_put_fail(w, -ERR_TOO_LARGE);
		return;
	}
	if (compact)
		wire_put_uvarint(w, (uint32_t)length + 1);
	else
		wire_put_i16(w, (int16_t)length);
	if (length > 0)
		wire_put(w, value->data, (size_t)length);
}

void wire_put_bytes(struct wire_writer *w, const struct kafka_bytes *value, bool compact,
		    bool nullable);
/* Refers to the bytes, which must live until the vectors were used. */
void wire_put_records(struct wire_writer *w, const struct kafka_records *value, bool compact,
		      bool nullable);
static inline void wire_put_array(struct wire_writer *w, int32_t count, bool compact, bool nullable)
{
	if (count < 0)
		count = nullable ? -1 : 0;
	if (compact)
		wire_put_uvarint(w, (uint32_t)count + 1);
	else
		wire_put_i32(w, count);
}

/* Whether the struct follows; where null is not allowed it always does. */
bool wire_put_present(struct wire_writer *w, bool present, bool nullable);
