/* bench/suite/payload.h: what records are made of, prepared before the clock runs.
 *
 * A pool of values, each with its share of random bytes and zeros behind them, and of keys.  One
 * thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "bench/suite/workload.h"

struct payload;

/* -ENOMEM */
int payload_new(const struct workload *workload, uint64_t seed, struct payload **ret);
void payload_free(struct payload *payload); /* null is fine */
/* The next value, with `intended_ns` in its first eight bytes; valid until the next call. */
const void *payload_value(struct payload *payload, uint64_t intended_ns);
/* The next key; null with KEYS_NONE. */
const void *payload_key(struct payload *payload, size_t *ret_bytes);

static inline uint64_t payload_intended_ns(const void *value)
{
	uint64_t intended_ns;

	__builtin_memcpy(&intended_ns, value, sizeof(intended_ns));
	return intended_ns;
}
