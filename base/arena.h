/* base/arena.h: memory of one request, freed at once.
 *
 * Owner: one thread at a time; the arena moves with the request that owns it.  Blocks are 8 KiB
 * at first and double; `arena_reset` keeps the first block, so a reused arena that fits it never
 * allocates.  A budget bounds what a peer can make us hold. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
	struct arena_block *first;
	struct arena_block *current;
	size_t used;  /* bytes of `current` taken */
	size_t held;  /* bytes of all blocks */
	size_t limit; /* `held` never goes above it */
};

/* `limit` in bytes, at least 8 KiB.  Allocates nothing yet. */
void arena_init(struct arena *arena, size_t limit);
void arena_fini(struct arena *arena); /* a zeroed arena is fine */
void arena_reset(struct arena *arena);

/* 16-byte aligned, not zeroed; null when the limit or the memory is reached.  size 0 gives a
 * unique pointer. */
void *arena_alloc(struct arena *arena, size_t size);
/* count * size, zeroed; null also on overflow. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);
/* A copy of `length` bytes with a terminating NUL. */
char *arena_strndup(struct arena *arena, const char *text, size_t length);
