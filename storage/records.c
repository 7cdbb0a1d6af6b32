#include "storage/records.h"

const uint8_t *record_get_long(const uint8_t *at, const uint8_t *end, unsigned bytes_max,
			       int64_t *ret)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < bytes_max && at < end; i++) {
		uint8_t byte = *at++;
		raw |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret = record_unzigzag(raw);
			return at;
		}
	}
	return NULL;
}

const uint8_t *record_skip_headers(const uint8_t *at, const uint8_t *end, int32_t count)
{
	const uint8_t *data;
	size_t length;

	/* Each takes two bytes at least: a huge count ends early. */
	if (count < 0 || count > end - at)
		return NULL;
	for (int32_t i = 0; i < count; i++) {
		at = record_get_bytes(at, end, false, &data, &length);
		at = at ? record_get_bytes(at, end, true, &data, &length) : NULL;
		if (!at)
			return NULL;
	}
	return at;
}
