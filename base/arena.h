/* base/arena.h: memory of one request, freed at once.
 *
 * Owner: one thread at a time; the arena moves with the request that owns it.  Blocks are 8 KiB
 * at first and double; `arena_reset` keeps the first block, so a reused arena that fits it never
 * allocates.  A budget bounds what a peer can make us hold. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena_block;

enum { ARENA_ALIGNMENT = 16 };

struct arena {
	struct arena_block *first;
	struct arena_block *current;
	uint8_t *at; /* free part of `current`; aligned */
	uint8_t *end;
	size_t held;  /* bytes of all blocks */
	size_t limit; /* `held` never goes above it */
};

/* `limit` in bytes, at least 8 KiB.  Allocates nothing yet. */
void arena_init(struct arena *arena, size_t limit);
void arena_fini(struct arena *arena); /* a zeroed arena is fine */
void arena_reset(struct arena *arena);

/* 16-byte aligned, not zeroed; null when the limit or the memory is reached.  size 0 gives a
 * unique pointer. */
static inline void *arena_alloc(struct arena *arena, size_t size);
/* count * size; null also on overflow. */
static inline void *arena_alloc_array(struct arena *arena, size_t count, size_t size);
/* The same, zeroed. */
static inline void *arena_calloc(struct arena *arena, size_t count, size_t size);
/* A copy of `length` bytes with a terminating NUL. */
char *arena_strndup(struct arena *arena, const char *text, size_t length);

/* Half of what can still be taken, rounded down: as much certainly can be at once. */
static inline size_t arena_room(const struct arena *arena)
{
	return ((size_t)(arena->end - arena->at) + arena->limit - arena->held) / 2;
}

/* Where the current block has no room. */
void *arena_alloc_block(struct arena *arena, size_t size);

static inline void *arena_alloc(struct arena *arena, size_t size)
{
	uint8_t *taken = arena->at;

	/* Both ends are aligned: what fits still does when it is rounded up. */
	if (size - 1 >= (size_t)(arena->end - taken)) /* also where size is 0 */
		return arena_alloc_block(arena, size);
	arena->at += (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	return taken;
}

static inline void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	return __builtin_mul_overflow(count, size, &total) ? NULL : arena_alloc(arena, total);
}

static inline void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
	void *taken = arena_alloc_array(arena, count, size);

	if (taken)
		memset(taken, 0, count * size);
	return taken;
}
