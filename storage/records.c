#include "storage/records.h"

#include "base/errors.h"

/* The getters return where to go on, or null: past the end or malformed. */

static inline int64_t unzigzag(uint64_t raw)
{
	return (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
}

static const uint8_t *get_long(const uint8_t *at, const uint8_t *end, unsigned bytes_max,
			       int64_t *ret)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < bytes_max && at < end; i++) {
		uint8_t byte = *at++;
		raw |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret = unzigzag(raw);
			return at;
		}
	}
	return NULL;
}

/* Most of a record's numbers are one byte. */
static inline bool one_byte(const uint8_t *at, const uint8_t *end)
{
	return at < end && *at < 0x80;
}

static inline const uint8_t *get_varlong(const uint8_t *at, const uint8_t *end, int64_t *ret)
{
	if (!one_byte(at, end))
		return get_long(at, end, 10, ret);
	*ret = unzigzag(*at);
	return at + 1;
}

static inline const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, int32_t *ret)
{
	int64_t value;

	if (one_byte(at, end)) {
		*ret = (int32_t)unzigzag(*at);
		return at + 1;
	}
	at = get_long(at, end, 5, &value);
	if (!at || value < INT32_MIN || value > INT32_MAX)
		return NULL;
	*ret = (int32_t)value;
	return at;
}

/* A length and that many bytes; -1 is null where allowed. */
static inline const uint8_t *get_bytes(const uint8_t *at, const uint8_t *end, bool nullable,
				       const uint8_t **ret, size_t *ret_length)
{
	int32_t length;

	at = get_varint(at, end, &length);
	if (!at || length > end - at || length < (nullable ? -1 : 0))
		return NULL;
	*ret = length < 0 ? NULL : at;
	*ret_length = length < 0 ? 0 : (size_t)length;
	return at + *ret_length;
}

static const uint8_t *skip_headers(const uint8_t *at, const uint8_t *end, int32_t count)
{
	const uint8_t *data;
	size_t length;

	/* Each takes two bytes at least: a huge count ends early. */
	if (count < 0 || count > end - at)
		return NULL;
	for (int32_t i = 0; i < count; i++) {
		at = get_bytes(at, end, false, &data, &length);
		at = at ? get_bytes(at, end, true, &data, &length) : NULL;
		if (!at)
			return NULL;
	}
	return at;
}

/* The body of one record, which it has to fill. */
static inline bool parse(const uint8_t *at, const uint8_t *end, struct record *ret)
{
	if (at == end)
		return false;
	at++; /* attributes: unused, Kafka ignores them */
	if (!(at = get_varlong(at, end, &ret->timestamp_delta)) ||
	    !(at = get_varint(at, end, &ret->offset_delta)) ||
	    !(at = get_bytes(at, end, true, &ret->key, &ret->key_length)) ||
	    !(at = get_bytes(at, end, true, &ret->value, &ret->value_length)) ||
	    !(at = get_varint(at, end, &ret->header_count)))
		return false;
	ret->headers = at;
	at = skip_headers(at, end, ret->header_count);
	ret->headers_length = (size_t)(end - ret->headers);
	return at == end;
}

int record_next(struct record_cursor *cursor, struct record *ret)
{
	const uint8_t *at = cursor->at;
	int32_t length;

	if (at == cursor->end)
		return 0;
	at = get_varint(at, cursor->end, &length);
	if (!at || length < 0 || length > cursor->end - at || !parse(at, at + length, ret))
		return -ERR_INVALID_RECORD;
	cursor->at = at + length;
	return 1;
}
