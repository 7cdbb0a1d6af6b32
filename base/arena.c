#include "base/arena.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BLOCK_BYTES = 8192,
	ALIGNMENT = 16,
};

struct arena_block {
	struct arena_block *next;
	size_t size; /* of bytes[] */
	_Alignas(ALIGNMENT) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t limit)
{
	check(limit >= FIRST_BLOCK_BYTES);
	*arena = (struct arena){.limit = limit};
}

static void free_blocks(struct arena_block *block)
{
	while (block) {
		struct arena_block *next = block->next;
		free(block);
		block = next;
	}
}

void arena_fini(struct arena *arena)
{
	free_blocks(arena->first);
	*arena = (struct arena){.limit = arena->limit};
}

void arena_reset(struct arena *arena)
{
	struct arena_block *first = arena->first;

	if (!first)
		return;
	free_blocks(first->next);
	first->next = NULL;
	arena->current = first;
	arena->held = first->size;
	arena->used = 0;
}

static int add_block(struct arena *arena, size_t at_least)
{
	size_t size = arena->current ? arena->current->size * 2 : FIRST_BLOCK_BYTES;

	if (size < at_least)
		size = at_least;
	if (size > arena->limit - arena->held)
		size = arena->limit - arena->held;
	if (size < at_least)
		return -1;
	struct arena_block *block = malloc(sizeof(*block) + size);
	if (!block)
		return -1;
	block->next = NULL;
	block->size = size;
	if (arena->current)
		arena->current->next = block;
	else
		arena->first = block;
	arena->current = block;
	arena->held += size;
	arena->used = 0;
	return 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	if (size > arena->limit)
		return NULL;
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (size == 0)
		size = ALIGNMENT;
	if (!arena->current || size > arena->current->size - arena->used) {
		if (add_block(arena, size) < 0)
			return NULL;
	}
	void *taken = arena->current->bytes + arena->used;
	arena->used += size;
	return taken;
}

void *arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	void *taken = arena_alloc(arena, total);
	if (taken)
		memset(taken, 0, total);
	return taken;
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
	if (length == SIZE_MAX)
		return NULL;
	char *copy = arena_alloc(arena, length + 1);
	if (!copy)
		return NULL;
	if (length) /* an empty text may be null */
		memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}
