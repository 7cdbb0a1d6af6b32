#include "dataplane/kafka/wire.h"

#include "base/bytes.h"
#include "base/errors.h"

#include <errno.h>

enum {
	UVARINT_BYTES_MAX = 5,
	CHUNK_BYTES = 1024,
	FIRST_VECTORS = 8,
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

void wire_fail(struct wire_reader *r, int error)
{
	if (r->error == 0)
		r->error = error;
	r->at = r->end;
}

uint32_t wire_get_long_uvarint(struct wire_reader *r)
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

void wire_skip_long_tags(struct wire_reader *r)
{
	struct wire_tags tags = {0};
	struct wire_reader field;
	uint32_t tag;

	while (wire_next_tag(r, &tags, &tag, &field))
		;
}

/* ---- writer ---- */

/* The first vectors and the first chunk in one piece of memory. */
void wire_writer_init(struct wire_writer *w, struct arena *arena)
{
	struct iovec *vectors = arena_alloc(arena, FIRST_VECTORS * sizeof(*vectors) + CHUNK_BYTES);

	*w = (struct wire_writer){.arena = arena};
	if (!vectors) {
		w->error = -ENOMEM;
		return;
	}
	w->vectors = vectors;
	w->vector_capacity = FIRST_VECTORS;
	w->piece = w->at = (uint8_t *)(vectors + FIRST_VECTORS);
	w->end = w->at + CHUNK_BYTES;
}

bool wire_put_fail(struct wire_writer *w, int error)
{
	w->error = error;
	w->end = w->at;
	return false;
}

static bool grow_vectors(struct wire_writer *w)
{
	struct iovec *vectors = arena_alloc_array(w->arena, w->vector_capacity * 2,
						  sizeof(*vectors));

	if (!vectors)
		return wire_put_fail(w, -ENOMEM);
	memcpy(vectors, w->vectors, w->vector_count * sizeof(*vectors));
	w->vectors = vectors;
	w->vector_capacity *= 2;
	return true;
}

static bool add_vector(struct wire_writer *w, const void *data, size_t length)
{
	if (w->vector_count == w->vector_capacity && !grow_vectors(w))
		return false;
	w->vectors[w->vector_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)data,
						       .iov_len = length};
	w->bytes += length;
	return true;
}

/* What was written since the last vector becomes one. */
static bool end_piece(struct wire_writer *w)
{
	if (w->at == w->piece)
		return true;
	if (!add_vector(w, w->piece, (size_t)(w->at - w->piece)))
		return false;
	w->piece = w->at;
	return true;
}

int wire_finish(struct wire_writer *w)
{
	if (!w->error)
		end_piece(w);
	return w->error;
}

uint8_t *wire_reserve_chunk(struct wire_writer *w, size_t count)
{
	size_t size = count > CHUNK_BYTES ? count : CHUNK_BYTES;

	if (!w->arena)
		w->bytes += count;
	if (!w->arena || w->error || !end_piece(w))
		return NULL;
	uint8_t *chunk = arena_alloc(w->arena, size);
	if (!chunk) {
		wire_put_fail(w, -ENOMEM);
		return NULL;
	}
	w->piece = chunk;
	w->at = chunk + count;
	w->end = chunk + size;
	return chunk;
}

void wire_put_long_uvarint(struct wire_writer *w, uint32_t value)
{
	uint8_t raw[UVARINT_BYTES_MAX];
	size_t length = 0;

	while (value >= 0x80) {
		raw[length++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	raw[length++] = (uint8_t)value;
	wire_put(w, raw, length);
}

void wire_put_uuid(struct wire_writer *w, const struct uuid *value)
{
	wire_put(w, value, sizeof(*value));
}

bool wire_put_present(struct wire_writer *w, bool present, bool nullable)
{
	if (nullable)
		wire_put_i8(w, present ? 1 : -1);
	return present || !nullable;
}

void wire_put_bytes(struct wire_writer *w, const struct kafka_bytes *value, bool compact,
		    bool nullable)
{
	wire_put_array(w, value->length, compact, nullable);
	if (value->length > 0)
		wire_put(w, value->data, (size_t)value->length);
}

static void put_reference(struct wire_writer *w, const void *data, size_t length)
{
	if (!w->arena)
		w->bytes += length;
	else if (length && !w->error && end_piece(w))
		add_vector(w, data, length);
}

void wire_put_records(struct wire_writer *w, const struct kafka_records *value, bool compact,
		      bool nullable)
{
	wire_put_array(w, value->length, compact, nullable);
	if (value->length <= 0)
		return;
	if (!value->vector_count) {
		put_reference(w, value->data, (size_t)value->length);
		return;
	}
	for (uint32_t i = 0; i < value->vector_count; i++)
		put_reference(w, value->vectors[i].iov_base, value->vectors[i].iov_len);
}
