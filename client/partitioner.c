#include "client/partitioner.h"

#include "client/sluice.h"

int32_t partitioner_murmur2(const void *data, size_t length)
{
	const uint32_t m = 0x5bd1e995;
	const uint8_t *at = data;
	size_t left = length;
	uint32_t h = 0x9747b28c ^ (uint32_t)length;

	for (; left >= 4; at += 4, left -= 4) {
		uint32_t k = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
			     (uint32_t)at[3] << 24;
		k *= m;
		k ^= k >> 24;
		k *= m;
		h = (h * m) ^ k;
	}
	switch (left) {
	case 3:
		h ^= (uint32_t)at[2] << 16;
		__attribute__((fallthrough));
	case 2:
		h ^= (uint32_t)at[1] << 8;
		__attribute__((fallthrough));
	case 1:
		h ^= at[0];
		h *= m;
		break;
	default:
		break;
	}
	h ^= h >> 13;
	h *= m;
	h ^= h >> 15;
	return (int32_t)h;
}

int32_t sluice_partition_of_key(const void *key, size_t key_length, int32_t count)
{
	return (partitioner_murmur2(key, key_length) & INT32_MAX) % count;
}

uint64_t partitioner_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}
