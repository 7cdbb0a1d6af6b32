/* client/partitioner.h: which partition a key belongs to, as Kafka's Java client has it, so that
 * producers of all languages agree. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Austin Appleby's MurmurHash2, with the seed and the signed result of Kafka's Utils.murmur2. */
int32_t partitioner_murmur2(const void *data, size_t length);
/* SplitMix64: spreads records without a key; no secret depends on it. */
uint64_t partitioner_random(uint64_t *state);
