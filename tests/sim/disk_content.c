/* What a file holds: as seen, and as durable.
 *
 *     sure block      seen ────────────────── is durable
 *     unsure block    seen, durable; of each sector: dirty, lost or the same in both
 *
 * A block becomes unsure with a write or a truncation and sure again when a flush has covered it. A
 * dirty sector that is written again may have reached the disk before, on its own: that is drawn
 * then, so that a power cut can bring back any of the contents since the last flush with only two
 * being kept.  While a flush is under way the older content always becomes durable, as the flush
 * may have been asked for it.
 *
 * A truncation keeps what it cuts as durable, until the file system's journal is said to have taken
 * it: a power cut before may undo it, and then all that was written behind it is gone as well. */
#include "tests/sim/disk_internal.h"

#include "base/bytes.h"
#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t zeros[BLOCK_BYTES];

/* ---- room ---- */

static void reach(struct disk *disk, struct inode *inode, uint64_t end)
{
	disk->used_bytes = disk->used_bytes - inode->allocated + end;
	inode->allocated = end;
}

void content_set(struct inode *inode, const char *text)
{
	size_t length = strlen(text);

	check(!inode->block_count && length <= BLOCK_BYTES);
	block_write(block_make(inode, 0), 0, (const uint8_t *)text, (unsigned)length);
	inode->size = inode->durable_size = length;
}

void content_fini(struct disk *disk, struct inode *inode)
{
	for (size_t i = 0; i < inode->block_count; i++) {
		if (inode->blocks[i])
			block_drop(inode, inode->blocks[i]);
	}
	free(inode->blocks);
	disk->used_bytes -= inode->allocated;
}

/* How much of [offset, offset + length) fits on the disk; takes the room. */
static uint64_t take_room(struct disk *disk, struct inode *inode, uint64_t offset, uint64_t length)
{
	uint64_t end = round_up(offset + length, BLOCK_BYTES);

	if (end <= inode->allocated)
		return length;
	if (disk->faults.room_bytes) {
		uint64_t room = disk->faults.room_bytes > disk->used_bytes
					? disk->faults.room_bytes - disk->used_bytes
					: 0;
		uint64_t most = inode->allocated + round_down(room, BLOCK_BYTES);
		if (most <= offset)
			return 0;
		if (end > most) {
			end = most;
			length = length < end - offset ? length : end - offset;
		}
	}
	reach(disk, inode, end);
	return length;
}

/* ---- reading and writing ---- */

/* Within a sector all is done or nothing; and within a page, where it is not of whole sectors. */
static uint64_t shorter(struct disk *disk, uint64_t offset, uint64_t length)
{
	bool sectors = offset % SECTOR_BYTES == 0 && length % SECTOR_BYTES == 0;

	if (length < 2 || !random_chance(&disk->random, disk->faults.short_transfer))
		return length;
	uint64_t stop = round_down(offset + random_between(&disk->random, 1, length - 1),
				   sectors ? SECTOR_BYTES : BLOCK_BYTES);
	return stop > offset ? stop - offset : length;
}

int64_t inode_read(struct disk *disk, struct inode *inode, void *data, size_t length,
		   uint64_t offset)
{
	uint8_t *to = data;

	if (inode->is_folder)
		return -EISDIR;
	if (disk_read_fails(disk))
		return -EIO;
	if (offset >= inode->size)
		return 0;
	uint64_t end = offset + shorter(disk, offset, length);
	if (end > inode->size)
		end = inode->size;
	for (uint64_t at = offset; at < end;) {
		const struct block *block = block_find(inode, at / BLOCK_BYTES);
		uint64_t stop = round_down(at, BLOCK_BYTES) + BLOCK_BYTES;
		if (stop > end)
			stop = end;
		if (block && block->seen)
			memcpy(to, block->seen + at % BLOCK_BYTES, stop - at);
		else
			memset(to, 0, stop - at);
		to += stop - at;
		at = stop;
	}
	return (int64_t)(end - offset);
}

/* A dirty sector is about to be written again. */
static void overwrite(struct disk *disk, struct inode *inode, struct block *block, unsigned sector)
{
	bool device = block->settled && (block->direct >> sector & 1) && disk->flushes;
	bool journaled = block_start(block) + sector * SECTOR_BYTES < inode->cut_to;

	if (inode->flushes || device || (journaled && random_below(&disk->random, 2)))
		block_to_disk(block, sector);
}

static void write_block(struct disk *disk, struct inode *inode, uint64_t offset,
			const uint8_t *data, unsigned length, bool direct)
{
	struct block *block = block_make(inode, offset / BLOCK_BYTES);
	unsigned start = (unsigned)(offset % BLOCK_BYTES);
	uint8_t touched = 0;

	block_unsure(disk, inode, block);
	if (!block->placed)
		block->placed = disk->sequence;
	for (unsigned i = start / SECTOR_BYTES; i <= (start + length - 1) / SECTOR_BYTES; i++) {
		if (block->dirty >> i & 1)
			overwrite(disk, inode, block, i);
		touched |= (uint8_t)(1 << i);
	}
	/* The page is written as a whole, with what a failed flush had left in it. */
	if (!direct)
		touched |= block->lost;
	for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
		if (touched >> i & 1)
			block->written[i] = disk->sequence;
	}
	block->dirty |= touched;
	block->lost &= (uint8_t)~touched;
	block->direct = (uint8_t)(direct ? block->direct | touched : block->direct & ~touched);
	if (block->seen || memcmp(data, zeros, length) != 0)
		block_write(block, start, data, length);
}

static void write_content(struct disk *disk, struct inode *inode, const uint8_t *data,
			  uint64_t length, uint64_t offset, bool direct)
{
	uint64_t end = offset + length;

	disk->sequence++;
	for (uint64_t at = offset; at < end;) {
		uint64_t stop = round_down(at, BLOCK_BYTES) + BLOCK_BYTES;
		if (stop > end)
			stop = end;
		write_block(disk, inode, at, data, (unsigned)(stop - at), direct);
		data += stop - at;
		at = stop;
	}
	if (end > inode->size)
		inode->size = end;
}

int64_t inode_write(struct disk *disk, struct inode *inode, const void *data, size_t length,
		    uint64_t offset, bool direct)
{
	bool fails = random_chance(&disk->random, disk->faults.write_error);

	if (inode->is_folder)
		return -EISDIR;
	if (direct &&
	    (offset % SECTOR_BYTES || length % SECTOR_BYTES || (uintptr_t)data % SECTOR_BYTES))
		return -EINVAL;
	if (!length)
		return 0;
	if (random_chance(&disk->random, disk->faults.no_space))
		return -ENOSPC;
	uint64_t some = take_room(disk, inode, offset, shorter(disk, offset, length));
	if (!some)
		return -ENOSPC;
	if (fails)
		some = round_down(random_below(&disk->random, some + 1), SECTOR_BYTES);
	if (some)
		write_content(disk, inode, data, some, offset, direct);
	return fails ? -EIO : (int64_t)some;
}

int inode_allocate(struct disk *disk, struct inode *inode, uint64_t offset, uint64_t length)
{
	if (inode->is_folder)
		return -EISDIR;
	if (!length)
		return -EINVAL;
	if (random_chance(&disk->random, disk->faults.no_space))
		return -ENOSPC;
	uint64_t before = inode->allocated;
	if (take_room(disk, inode, offset, length) < length) {
		reach(disk, inode, before);
		return -ENOSPC;
	}
	if (offset + length > inode->size) {
		inode->size = offset + length;
		inode_unsure(disk, inode);
	}
	return 0;
}

/* ---- truncation ---- */

static void cut_block(struct disk *disk, struct inode *inode, struct block *block, uint64_t size)
{
	block_unsure(disk, inode, block);
	if (block_start(block) >= size) {
		block_copy(&block->seen, NULL, 0, BLOCK_BYTES);
		block->dirty = block->lost = block->direct = 0;
		block->settled = false;
		block->placed = 0;
		return;
	}
	unsigned left = (unsigned)(size - block_start(block));
	uint8_t kept = (uint8_t)((1U << (left + SECTOR_BYTES - 1) / SECTOR_BYTES) - 1);
	block_copy(&block->seen, NULL, left, BLOCK_BYTES - left);
	block->dirty &= kept;
	block->lost &= kept;
}

int inode_truncate(struct disk *disk, struct inode *inode, uint64_t size)
{
	if (inode->is_folder)
		return -EISDIR;
	inode_unsure(disk, inode);
	if (size >= inode->size) {
		inode->size = size;
		return 0;
	}
	if (size < inode->cut_to)
		inode->cut_to = size;
	for (uint64_t i = size / BLOCK_BYTES; i < inode->block_count; i++) {
		if (inode->blocks[i])
			cut_block(disk, inode, inode->blocks[i], size);
	}
	inode->size = size;
	inode->truncations++;
	reach(disk, inode, round_up(size, BLOCK_BYTES));
	if (inode->flushes) {
		content_commit_cut(disk, inode);
		inode->durable_size = size;
	}
	return 0;
}

static void zero_durable(struct block *block, uint64_t from)
{
	uint64_t start = from > block_start(block) ? from - block_start(block) : 0;

	if (start < BLOCK_BYTES)
		block_copy(&block->durable, NULL, (unsigned)start, (unsigned)(BLOCK_BYTES - start));
}

void content_commit_cut(struct disk *disk, struct inode *inode)
{
	uint64_t cut_to = inode->cut_to;

	if (cut_to == UINT64_MAX)
		return;
	inode->cut_to = UINT64_MAX;
	if (inode->durable_size > cut_to)
		inode->durable_size = cut_to;
	list_foreach_safe(node, after, &inode->unsure_blocks) {
		struct block *block = container_of(node, struct block, unsure);
		zero_durable(block, cut_to);
		block_sure(inode, block);
	}
}

static void undo_cut(struct inode *inode)
{
	list_foreach(node, &inode->unsure_blocks) {
		struct block *block = container_of(node, struct block, unsure);
		for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
			if (block_start(block) + (i + 1) * SECTOR_BYTES <= inode->cut_to)
				continue;
			block_from_disk(block, i);
			block->dirty &= (uint8_t) ~(1 << i);
			block->lost &= (uint8_t) ~(1 << i);
		}
	}
	inode->cut_to = UINT64_MAX;
	inode->size = inode->durable_size;
}

/* ---- flushes ---- */

static uint8_t covered(const struct block *block, uint64_t sequence, bool device)
{
	uint8_t mask = 0;

	if (device && !block->settled)
		return 0;
	for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
		if (block->written[i] <= sequence)
			mask |= (uint8_t)(1 << i);
	}
	return mask & block->dirty & (device ? block->direct : 0xff);
}

void content_flushed(struct disk *disk, struct inode *inode, uint64_t sequence, bool device)
{
	list_foreach_safe(node, after, &inode->unsure_blocks) {
		struct block *block = container_of(node, struct block, unsure);
		uint8_t mask = covered(block, sequence, device);
		for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
			if (mask >> i & 1)
				block_to_disk(block, i);
		}
		block->dirty &= (uint8_t)~mask;
		if (!device)
			block->settled |= block->placed && block->placed <= sequence;
		block_sure(inode, block);
	}
}

void content_flush_failed(struct disk *disk, struct inode *inode, uint64_t safe, uint64_t sequence,
			  bool device)
{
	list_foreach_safe(node, after, &inode->unsure_blocks) {
		struct block *block = container_of(node, struct block, unsure);
		uint8_t mask = covered(block, sequence, device);
		for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
			bool direct = block->direct >> i & 1;
			if (!(mask >> i & 1) || block->written[i] <= safe ||
			    (direct && random_below(&disk->random, 2)))
				continue;
			/* Of the device's cache gone, or in the page cache for good. */
			if (direct)
				block_from_disk(block, i);
			else
				block->lost |= (uint8_t)(1 << i);
			block->dirty &= (uint8_t) ~(1 << i);
		}
		block_sure(inode, block);
	}
}

void inode_drop_cache(struct disk *disk, struct inode *inode)
{
	if (inode->is_folder)
		return;
	list_foreach_safe(node, after, &inode->unsure_blocks) {
		struct block *block = container_of(node, struct block, unsure);
		for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
			if (block->lost >> i & 1)
				block_from_disk(block, i);
		}
		block->lost = 0;
		block_sure(inode, block);
	}
}

/* ---- a power cut, and time ---- */

static uint64_t draw_size(struct disk *disk, const struct inode *inode)
{
	uint64_t low = inode->durable_size;
	uint64_t high = inode->size;
	uint64_t fate = random_below(&disk->random, 3);

	check(low <= high);
	if (fate == 0 || low == high)
		return low;
	if (fate == 1)
		return high;
	uint64_t size = round_up(random_between(&disk->random, low, high), BLOCK_BYTES);
	return size < high ? size : high;
}

static void cut_power_of(struct disk *disk, struct inode *inode, struct block *block,
			 uint32_t kept_in_a_million)
{
	uint8_t unsure = block->dirty | block->lost;
	bool on_disk = block->settled || block->durable;

	for (unsigned i = 0; i < BLOCK_SECTORS; i++) {
		if (!(unsure >> i & 1))
			continue;
		if (random_chance(&disk->random, kept_in_a_million))
			on_disk = true;
		else
			block_from_disk(block, i);
	}
	block->dirty = block->lost = 0;
	if (!on_disk || block_start(block) >= inode->size) {
		block_drop(inode, block);
		return;
	}
	uint64_t left = inode->size - block_start(block);
	if (left < BLOCK_BYTES)
		block_copy(&block->seen, NULL, (unsigned)left, (unsigned)(BLOCK_BYTES - left));
	block->settled = true;
	block->placed = 1;
	block_sure(inode, block);
}

void content_power_cut(struct disk *disk, struct inode *inode)
{
	static const uint32_t shares[] = {0, 100000, 500000, 900000, 1000000};
	uint32_t kept = shares[random_below(&disk->random, sizeof(shares) / sizeof(shares[0]))];

	if (inode->cut_to != UINT64_MAX && random_below(&disk->random, 2))
		content_commit_cut(disk, inode);
	else if (inode->cut_to != UINT64_MAX)
		undo_cut(inode);
	inode->size = inode->durable_size = draw_size(disk, inode);
	list_foreach_safe(node, after, &inode->unsure_blocks)
		cut_power_of(disk, inode, container_of(node, struct block, unsure), kept);
	inode->flushes = 0;
	reach(disk, inode, round_up(inode->size, BLOCK_BYTES));
}

void inode_turn_bit(struct inode *inode, uint64_t at, uint8_t bit)
{
	struct block *block = block_find(inode, at / BLOCK_BYTES);

	check(at < inode->size && block && block->seen);
	block_turn_bit(block, at % BLOCK_BYTES, bit);
}

bool content_rot(struct disk *disk, struct inode *inode)
{
	unsigned count = 0;
	struct block *chosen = NULL;

	for (size_t i = 0; i < inode->block_count && i * BLOCK_BYTES < inode->size; i++) {
		struct block *block = inode->blocks[i];
		if (block && block->seen && random_below(&disk->random, ++count) == 0)
			chosen = block;
	}
	if (!chosen)
		return false;
	uint64_t left = inode->size - block_start(chosen);
	uint64_t at = random_below(&disk->random, left < BLOCK_BYTES ? left : BLOCK_BYTES);
	uint8_t bit = (uint8_t)(1 << random_below(&disk->random, 8));
	block_turn_bit(chosen, (unsigned)at, bit);
	return true;
}
