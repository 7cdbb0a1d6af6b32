#include "dataplane/kafka/wire.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "dataplane/kafka/utf8.h"

#include <errno.h>

enum {
	UVARINT_BYTES_MAX = 5,
	CHUNK_BYTES = 1024,
	FIRST_VECTORS = 8,
	/* Ten times the partitions that a busy cluster's client names in one request. */
	ARRAY_COUNT_MAX = 1 << 20,
};

struct kafka_string kafka_string_of(const char *text)
{
	if (!text)
		return (struct kafka_string){.length = -1};
	return (struct kafka_string){.data = text, .length = (int32_t)strlen(text)};
}

bool kafka_string_equal(const struct kafka_string *a, const struct kafka_string *b)
{
	return a->length == b->length &&
	       (a->length <= 0 || memcmp(a->data, b->data, (size_t)a->length) == 0);
}

/* ---- reader ---- */

struct wire_reader wire_reader_over(const void *data, size_t length, struct arena *arena)
{
	const uint8_t *at = data;
	return (struct wire_reader){.at = at, .end = length ? at + length : at, .arena = arena};
}

void wire_fail(struct wire_reader *r, int error)
{
	if (r->error == 0)
		r->error = error;
	r->at = r->end;
}

double wire_get_f64(struct wire_reader *r)
{
	uint64_t raw = (uint64_t)wire_get_i64(r);
	double value;

	memcpy(&value, &raw, sizeof(value));
	return value;
}

uint32_t wire_get_uvarint(struct wire_reader *r)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < UVARINT_BYTES_MAX; i++) {
		const uint8_t *at = wire_take(r, 1);
		if (!at)
			return 0;
		value |= (uint64_t)(*at & 0x7f) << (7 * i);
		if (!(*at & 0x80)) {
			if (value > UINT32_MAX)
				break;
			return (uint32_t)value;
		}
	}
	wire_fail(r, -ERR_BAD_REQUEST);
	return 0;
}

struct uuid wire_get_uuid(struct wire_reader *r)
{
	struct uuid uuid = {0};
	const uint8_t *at = wire_take(r, sizeof(uuid));

	if (at)
		memcpy(&uuid, at, sizeof(uuid));
	return uuid;
}

/* A length or count: -1 for null, else 0 .. INT32_MAX. */
static int32_t get_length(struct wire_reader *r, bool compact, bool nullable, bool short_form)
{
	int64_t length;

	if (compact)
		length = (int64_t)wire_get_uvarint(r) - 1;
	else
		length = short_form ? wire_get_i16(r) : wire_get_i32(r);
	if (wire_ok(r) && (length < -1 || length > INT32_MAX || (length == -1 && !nullable)))
		wire_fail(r, -ERR_BAD_REQUEST);
	return wire_ok(r) ? (int32_t)length : (nullable ? -1 : 0);
}

static const uint8_t *get_body(struct wire_reader *r, int32_t *length)
{
	const uint8_t *data = *length > 0 ? wire_take(r, (size_t)*length) : NULL;

	if (!wire_ok(r))
		*length = 0;
	return data;
}

struct kafka_string wire_get_string(struct wire_reader *r, bool compact, bool nullable)
{
	int32_t length = get_length(r, compact, nullable, true);
	/* Kafka's strings end at 32 KiB, also in the compact form. */
	if (length > INT16_MAX)
		wire_fail(r, -ERR_BAD_REQUEST);
	const uint8_t *data = get_body(r, &length);
	if (data && !utf8_valid(data, (size_t)length)) {
		wire_fail(r, -ERR_BAD_REQUEST);
		return (struct kafka_string){0};
	}
	return (struct kafka_string){.data = (const char *)data, .length = length};
}

struct kafka_bytes wire_get_bytes(struct wire_reader *r, bool compact, bool nullable)
{
	int32_t length = get_length(r, compact, nullable, false);
	const uint8_t *data = get_body(r, &length);
	return (struct kafka_bytes){.data = data, .length = length};
}

struct kafka_records wire_get_records(struct wire_reader *r, bool compact, bool nullable)
{
	struct kafka_bytes bytes = wire_get_bytes(r, compact, nullable);
	return (struct kafka_records){.data = bytes.data, .length = bytes.length};
}

bool wire_get_present(struct wire_reader *r, bool nullable)
{
	return !nullable || wire_get_i8(r) >= 0;
}

int32_t wire_get_array(struct wire_reader *r, bool compact, bool nullable, size_t element_bytes_min,
		       size_t element_size, void **ret_elements)
{
	int32_t count = get_length(r, compact, nullable, false);

	*ret_elements = NULL;
	if (count <= 0)
		return count;
	size_t left = (size_t)(r->end - r->at);
	if (count > ARRAY_COUNT_MAX || (size_t)count > left / element_bytes_min) {
		wire_fail(r, -ERR_BAD_REQUEST);
		return 0;
	}
	*ret_elements = arena_calloc(r->arena, (size_t)count, element_size);
	if (!*ret_elements) {
		wire_fail(r, -ENOMEM);
		return 0;
	}
	return count;
}

bool wire_next_tag(struct wire_reader *r, struct wire_tags *tags, uint32_t *ret_tag,
		   struct wire_reader *ret_field)
{
	if (!tags->begun) {
		*tags = (struct wire_tags){.left = wire_get_uvarint(r), .last = -1, .begun = true};
	}
	if (!wire_ok(r) || tags->left == 0)
		return false;
	uint32_t tag = wire_get_uvarint(r);
	uint32_t size = wire_get_uvarint(r);
	const uint8_t *data = wire_take(r, size);
	if ((int64_t)tag <= tags->last)
		wire_fail(r, -ERR_BAD_REQUEST);
	if (!wire_ok(r))
		return false;
	tags->left--;
	tags->last = tag;
	*ret_tag = tag;
	*ret_field = wire_reader_over(data, size, r->arena);
	return true;
}

void wire_end_tag(struct wire_reader *r, const struct wire_reader *field)
{
	if (!wire_ok(field))
		wire_fail(r, field->error);
	else if (field->at != field->end)
		wire_fail(r, -ERR_BAD_REQUEST);
}

void wire_skip_tags(struct wire_reader *r)
{
	struct wire_tags tags = {0};
	struct wire_reader field;
	uint32_t tag;

	while (wire_next_tag(r, &tags, &tag, &field))
		;
}

/* ---- writer ---- */

void wire_writer_init(struct wire_writer *w, struct arena *arena)
{
	*w = (struct wire_writer){.arena = arena};
}

/* No room is left: what follows goes the long way, and nowhere. */
static bool fail(struct wire_writer *w, int error)
{
	w->error = error;
	w->end = w->at;
	return false;
}

static bool add_vector(struct wire_writer *w, const void *data, size_t length)
{
	if (w->vector_count == w->vector_capacity) {
		size_t capacity = w->vector_capacity ? w->vector_capacity * 2 : FIRST_VECTORS;
		struct iovec *vectors = arena_calloc(w->arena, capacity, sizeof(*vectors));
		if (!vectors)
			return fail(w, -ENOMEM);
		if (w->vector_count)
			memcpy(vectors, w->vectors, w->vector_count * sizeof(*vectors));
		w->vectors = vectors;
		w->vector_capacity = capacity;
	}
	w->vectors[w->vector_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data,
						       .iov_len = length};
	return true;
}

/* The chunk of the last vector, or what earlier vectors left of it. */
static bool attach(struct wire_writer *w)
{
	if (w->detached && !add_vector(w, w->at, 0))
		return false;
	w->detached = false;
	return true;
}

static bool add_chunk(struct wire_writer *w, size_t at_least)
{
	size_t size = at_least > CHUNK_BYTES ? at_least : CHUNK_BYTES;
	uint8_t *chunk = arena_alloc(w->arena, size);

	if (!chunk)
		return fail(w, -ENOMEM);
	w->at = chunk;
	w->end = chunk + size;
	w->detached = true;
	return true;
}

uint8_t *wire_reserve_chunk(struct wire_writer *w, size_t count)
{
	w->bytes += count;
	if (!w->arena || w->error)
		return NULL;
	if (count > (size_t)(w->end - w->at) && !add_chunk(w, count))
		return NULL;
	if (!attach(w))
		return NULL;
	uint8_t *reserved = w->at;
	w->at += count;
	w->vectors[w->vector_count - 1].iov_len += count;
	return reserved;
}

static void put(struct wire_writer *w, const void *data, size_t length)
{
	uint8_t *to = length ? wire_reserve(w, length) : NULL;

	if (to)
		memcpy(to, data, length);
}

void wire_put_f64(struct wire_writer *w, double value)
{
	int64_t raw;

	memcpy(&raw, &value, sizeof(raw));
	wire_put_i64(w, raw);
}

void wire_put_uvarint(struct wire_writer *w, uint32_t value)
{
	uint8_t raw[UVARINT_BYTES_MAX];
	size_t length = 0;

	while (value >= 0x80) {
		raw[length++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	raw[length++] = (uint8_t)value;
	put(w, raw, length);
}

void wire_put_uuid(struct wire_writer *w, const struct uuid *value)
{
	put(w, value, sizeof(*value));
}

static void put_length(struct wire_writer *w, int32_t length, bool compact, bool nullable)
{
	if (length < 0)
		length = nullable ? -1 : 0;
	if (compact)
		wire_put_uvarint(w, (uint32_t)length + 1);
	else
		wire_put_i32(w, length);
}

void wire_put_array(struct wire_writer *w, int32_t count, bool compact, bool nullable)
{
	put_length(w, count, compact, nullable);
}

bool wire_put_present(struct wire_writer *w, bool present, bool nullable)
{
	if (nullable)
		wire_put_i8(w, present ? 1 : -1);
	return present || !nullable;
}

void wire_put_string(struct wire_writer *w, const struct kafka_string *value, bool compact,
		     bool nullable)
{
	if (value->length > INT16_MAX) {
		fail(w, -ERR_TOO_LARGE);
		return;
	}
	if (compact)
		put_length(w, value->length, true, nullable);
	else
		wire_put_i16(w, value->length < 0 && !nullable ? 0 : (int16_t)value->length);
	if (value->length > 0)
		put(w, value->data, (size_t)value->length);
}

void wire_put_bytes(struct wire_writer *w, const struct kafka_bytes *value, bool compact,
		    bool nullable)
{
	put_length(w, value->length, compact, nullable);
	if (value->length > 0)
		put(w, value->data, (size_t)value->length);
}

static void put_reference(struct wire_writer *w, const void *data, size_t length)
{
	w->bytes += length;
	if (!w->arena || w->error || !length)
		return;
	if (add_vector(w, data, length))
		w->detached = true;
}

void wire_put_records(struct wire_writer *w, const struct kafka_records *value, bool compact,
		      bool nullable)
{
	put_length(w, value->length, compact, nullable);
	if (value->length <= 0)
		return;
	if (!value->vector_count) {
		put_reference(w, value->data, (size_t)value->length);
		return;
	}
	for (uint32_t i = 0; i < value->vector_count; i++)
		put_reference(w, value->vectors[i].iov_base, value->vectors[i].iov_len);
}
