#include "bench/suite/payload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	POOL_BYTES_MAX = 1 << 20, /* fits a processor's cache, and is more than a batch */
	POOL_BYTES_MIN = 1 << 16, /* of each of many producers, */
	POOLS_BYTES = 1 << 24,    /* which share so much */
	KEYS = 4096,
	KEY_BYTES = 8,
};

struct payload {
	uint64_t random;
	uint32_t value_bytes;
	unsigned value_count;
	unsigned next_value;
	enum workload_keys keys;
	unsigned next_key;
	char key[KEY_BYTES + 1];
	uint8_t values[];
};

/* xorshift64*: what no codec makes smaller. */
static uint64_t next_random(struct payload *payload)
{
	payload->random ^= payload->random >> 12;
	payload->random ^= payload->random << 25;
	payload->random ^= payload->random >> 27;
	return payload->random * UINT64_C(0x2545f4914f6cdd1d);
}

static void fill(struct payload *payload, uint8_t *value, uint32_t random_bytes)
{
	for (uint32_t at = 0; at < random_bytes; at += sizeof(uint64_t)) {
		uint64_t word = next_random(payload);
		uint32_t left = random_bytes - at;
		memcpy(value + at, &word, left < sizeof(word) ? left : sizeof(word));
	}
}

static uint32_t pool_bytes(const struct workload *workload)
{
	uint32_t producers = workload->topics * workload->producers_per_topic;
	uint32_t share = POOLS_BYTES / (producers ? producers : 1);

	if (share > POOL_BYTES_MAX)
		return POOL_BYTES_MAX;
	return share > POOL_BYTES_MIN ? share : POOL_BYTES_MIN;
}

int payload_new(const struct workload *workload, uint64_t seed, struct payload **ret)
{
	uint32_t bytes = workload->message_bytes;
	unsigned count = bytes < pool_bytes(workload) ? pool_bytes(workload) / bytes : 1;
	struct payload *payload = calloc(1, sizeof(*payload) + (size_t)count * bytes);

	if (!payload)
		return -ENOMEM;
	payload->random = seed | 1;
	payload->value_bytes = bytes;
	payload->value_count = count;
	payload->keys = workload->keys;
	for (unsigned i = 0; i < count; i++)
		fill(payload, payload->values + (size_t)i * bytes,
		     (uint32_t)(workload->random_bytes_share * bytes));
	*ret = payload;
	return 0;
}

void payload_free(struct payload *payload)
{
	free(payload);
}

const void *payload_value(struct payload *payload, uint64_t intended_ns)
{
	uint8_t *value = payload->values + (size_t)payload->next_value * payload->value_bytes;

	if (++payload->next_value == payload->value_count)
		payload->next_value = 0;
	memcpy(value, &intended_ns, sizeof(intended_ns));
	return value;
}

const void *payload_key(struct payload *payload, size_t *ret_bytes)
{
	unsigned number;

	*ret_bytes = 0;
	if (payload->keys == KEYS_NONE)
		return NULL;
	number = payload->keys == KEYS_RANDOM ? (unsigned)(next_random(payload) % KEYS)
					      : payload->next_key++ % KEYS;
	for (unsigned i = 0; i < KEY_BYTES; i++, number >>= 4)
		payload->key[KEY_BYTES - 1 - i] = "0123456789abcdef"[number & 15];
	*ret_bytes = KEY_BYTES;
	return payload->key;
}
