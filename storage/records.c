#include "storage/records.h"

#include "base/errors.h"

/* Zigzag varint of at most `bytes_max` bytes; false: past the end or too long. */
static inline bool get_varlong(struct record_cursor *c, unsigned bytes_max, int64_t *ret)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < bytes_max && c->at < c->end; i++) {
		uint8_t byte = *c->at++;
		raw |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
			return true;
		}
	}
	return false;
}

static inline bool get_varint(struct record_cursor *c, int32_t *ret)
{
	int64_t value;

	if (!get_varlong(c, 5, &value) || value < INT32_MIN || value > INT32_MAX)
		return false;
	*ret = (int32_t)value;
	return true;
}

/* A length and that many bytes; -1 is null where allowed. */
static bool get_bytes(struct record_cursor *c, bool nullable, const uint8_t **ret,
		      size_t *ret_length)
{
	int32_t length;

	if (!get_varint(c, &length) || length < (nullable ? -1 : 0) ||
	    (length > 0 && length > c->end - c->at))
		return false;
	*ret = length < 0 ? NULL : c->at;
	*ret_length = length < 0 ? 0 : (size_t)length;
	c->at += *ret_length;
	return true;
}

static bool skip_headers(struct record_cursor *c, int32_t count)
{
	const uint8_t *data;
	size_t length;

	/* Each takes two bytes at least: a huge count ends early. */
	if (count < 0 || count > c->end - c->at)
		return false;
	for (int32_t i = 0; i < count; i++) {
		if (!get_bytes(c, false, &data, &length) || !get_bytes(c, true, &data, &length))
			return false;
	}
	return true;
}

static bool parse(struct record_cursor *body, struct record *ret)
{
	if (body->at == body->end)
		return false;
	body->at++; /* attributes: unused, Kafka ignores them */
	if (!get_varlong(body, 10, &ret->timestamp_delta) ||
	    !get_varint(body, &ret->offset_delta) ||
	    !get_bytes(body, true, &ret->key, &ret->key_length) ||
	    !get_bytes(body, true, &ret->value, &ret->value_length) ||
	    !get_varint(body, &ret->header_count))
		return false;
	ret->headers = body->at;
	if (!skip_headers(body, ret->header_count))
		return false;
	ret->headers_length = (size_t)(body->at - ret->headers);
	return body->at == body->end;
}

int record_next(struct record_cursor *cursor, struct record *ret)
{
	int32_t length;

	if (cursor->at == cursor->end)
		return 0;
	if (!get_varint(cursor, &length) || length < 0 || length > cursor->end - cursor->at)
		return -ERR_INVALID_RECORD;
	struct record_cursor body = record_cursor_over(cursor->at, (size_t)length);
	if (!parse(&body, ret))
		return -ERR_INVALID_RECORD;
	cursor->at += length;
	return 1;
}
