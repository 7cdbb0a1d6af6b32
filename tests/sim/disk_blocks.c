/* The blocks of files: made when first written, dropped when what they say is nothing but zeros
 * that were never written. */
#include "tests/sim/disk_internal.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *new_content(const uint8_t *from)
{
	uint8_t *content = from ? malloc(BLOCK_BYTES) : calloc(1, BLOCK_BYTES);

	check(content);
	if (from)
		memcpy(content, from, BLOCK_BYTES);
	return content;
}

struct block *block_find(const struct inode *inode, uint64_t index)
{
	return index < inode->block_count ? inode->blocks[index] : NULL;
}

struct block *block_make(struct inode *inode, uint64_t index)
{
	if (index >= inode->block_count) {
		size_t count = inode->block_count ? inode->block_count : 4;
		while (count <= index)
			count *= 2;
		inode->blocks = realloc(inode->blocks, count * sizeof(struct block *));
		check(inode->blocks);
		memset(inode->blocks + inode->block_count, 0,
		       (count - inode->block_count) * sizeof(struct block *));
		inode->block_count = count;
	}
	if (!inode->blocks[index]) {
		inode->blocks[index] = calloc(1, sizeof(struct block));
		check(inode->blocks[index]);
		inode->blocks[index]->index = index;
	}
	return inode->blocks[index];
}

void block_drop(struct inode *inode, struct block *block)
{
	list_remove(&block->unsure);
	inode->blocks[block->index] = NULL;
	free(block->seen);
	free(block->durable);
	free(block);
}

void block_unsure(struct disk *disk, struct inode *inode, struct block *block)
{
	if (list_linked(&block->unsure))
		return;
	if (block->seen)
		block->durable = new_content(block->seen);
	list_push_back(&inode->unsure_blocks, &block->unsure);
	inode_unsure(disk, inode);
}

/* When seen and durable are one again. */
void block_sure(const struct inode *inode, struct block *block)
{
	if (block->dirty || block->lost || inode->cut_to < block_start(block) + BLOCK_BYTES)
		return;
	free(block->durable);
	block->durable = NULL;
	list_remove(&block->unsure);
}

void block_copy(uint8_t **to, const uint8_t *from, unsigned start, unsigned length)
{
	if (!from && (!*to || length == BLOCK_BYTES)) {
		free(*to);
		*to = NULL;
		return;
	}
	if (!*to)
		*to = new_content(NULL);
	if (from)
		memcpy(*to + start, from + start, length);
	else
		memset(*to + start, 0, length);
}

void block_write(struct block *block, unsigned start, const uint8_t *data, unsigned length)
{
	if (!block->seen)
		block->seen = new_content(NULL);
	memcpy(block->seen + start, data, length);
}

void block_to_disk(struct block *block, unsigned sector)
{
	block_copy(&block->durable, block->seen, sector * SECTOR_BYTES, SECTOR_BYTES);
}

void block_from_disk(struct block *block, unsigned sector)
{
	block_copy(&block->seen, block->durable, sector * SECTOR_BYTES, SECTOR_BYTES);
}

void block_turn_bit(struct block *block, unsigned at, uint8_t bit)
{
	block->seen[at] ^= bit;
	if (!list_linked(&block->unsure))
		return;
	if (!block->durable)
		block->durable = new_content(NULL);
	block->durable[at] ^= bit;
}
