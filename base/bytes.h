/* base/bytes.h: big-endian loads and stores at any alignment, bytes that may be none, and small
 * arithmetic. */
#pragma once
#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load_be16(const void *at)
{
	uint16_t raw;
	memcpy(&raw, at, sizeof(raw));
	return be16toh(raw);
}

static inline uint32_t load_be32(const void *at)
{
	uint32_t raw;
	memcpy(&raw, at, sizeof(raw));
	return be32toh(raw);
}

static inline uint64_t load_be64(const void *at)
{
	uint64_t raw;
	memcpy(&raw, at, sizeof(raw));
	return be64toh(raw);
}

static inline void store_be16(void *at, uint16_t value)
{
	value = htobe16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void store_be32(void *at, uint32_t value)
{
	value = htobe32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void store_be64(void *at, uint64_t value)
{
	value = htobe64(value);
	memcpy(at, &value, sizeof(value));
}

/* `to` is a power of two. */
static inline uint64_t round_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

static inline uint64_t round_down(uint64_t value, uint64_t to)
{
	return value & ~(to - 1);
}

/* Where there is nothing to copy or to compare, a pointer may be null, as an empty view's is. */
static inline void bytes_copy(void *to, const void *from, size_t size)
{
	if (size)
		memcpy(to, from, size);
}

static inline int bytes_compare(const void *a, const void *b, size_t size)
{
	return size ? memcmp(a, b, size) : 0;
}

#define array_count(array) (sizeof(array) / sizeof((array)[0]))
#define container_of(pointer, type, member)                                                        \
	((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))
