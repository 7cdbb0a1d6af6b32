#include "base/arena.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

enum {
	FIRST_BLOCK_BYTES = 8192,
};

struct arena_block {
	struct arena_block *next;
	size_t size; /* of bytes[] */
	_Alignas(ARENA_ALIGNMENT) unsigned char bytes[];
};

/* A block's last bytes that are no whole unit are not used. */
static void set_current(struct arena *arena, struct arena_block *block)
{
	arena->current = block;
	arena->at = block->bytes;
	arena->end = block->bytes + (block->size & ~(size_t)(ARENA_ALIGNMENT - 1));
}

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
	set_current(arena, first);
	arena->held = first->size;
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
	set_current(arena, block);
	arena->held += size;
	return 0;
}

void *arena_alloc_block(struct arena *arena, size_t size)
{
	if (size > arena->limit)
		return NULL;
	size = (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
	if (size == 0)
		size = ARENA_ALIGNMENT;
	if (size > (size_t)(arena->end - arena->at) && add_block(arena, size) < 0)
		return NULL;
	void *taken = arena->at;
	arena->at += size;
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
