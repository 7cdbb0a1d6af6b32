/* What a record's id is, and its fingerprint: 128 bits of XXH3, by which windows in memory and on
 * disk know it.  So seeds and how a key is joined to an id are part of a format. */
#include "storage/dedup.h"
#include "storage/records.h"

#include <string.h>

/* Ids are short: the call would take about as long as the hash. */
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
	SEED_KEY = 1,
	SEED_NO_KEY = 2, /* null is not the empty key */
	SEED_PAIR = 3,
};

/* False: there is none. */
static bool find_id(const struct dedup_config *config, const struct record *record,
		    const uint8_t **ret, size_t *ret_length)
{
	const uint8_t *at = record->headers;
	const uint8_t *end = at + record->headers_length;
	const uint8_t *name, *value;
	size_t name_length, length;

	for (int32_t i = 0; i < record->header_count; i++) {
		at = record_get_bytes(at, end, false, &name, &name_length);
		at = at ? record_get_bytes(at, end, true, &value, &length) : NULL;
		if (!at)
			return false;
		if (name_length != config->header_length || !length ||
		    memcmp(name, config->header, name_length) != 0)
			continue;
		*ret = value;
		*ret_length = length;
		return true;
	}
	return false;
}

/* Of two hashes, each of which covers a length, so what lies between key and id matters. */
static XXH128_hash_t hash_pair(const struct record *record, XXH128_hash_t id)
{
	const XXH128_hash_t pair[] = {
		XXH3_128bits_withSeed(record->key, record->key_length,
				      record->key ? SEED_KEY : SEED_NO_KEY),
		id,
	};

	return XXH3_128bits_withSeed(pair, sizeof(pair), SEED_PAIR);
}

bool dedup_id_of(const struct dedup_config *config, const struct record *record,
		 struct dedup_id *ret)
{
	const uint8_t *id;
	size_t length;

	if (!find_id(config, record, &id, &length))
		return false;
	XXH128_hash_t hash = XXH3_128bits(id, length);
	if (config->scope == DEDUP_KEY)
		hash = hash_pair(record, hash);
	*ret = (struct dedup_id){.low = hash.low64, .high = hash.high64};
	if (!ret->low && !ret->high)
		ret->low = 1;
	return true;
}
