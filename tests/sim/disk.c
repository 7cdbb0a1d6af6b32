/* The disk as a whole: which inodes there are, what goes wrong, flushes, the power cut. */
#include "tests/sim/disk.h"

#include "base/check.h"
#include "tests/sim/disk_internal.h"

#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 1024 };

/* ---- inodes ---- */

struct inode *inode_new(struct disk *disk, bool is_folder)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	check(inode);
	inode->number = ++disk->inode_count;
	inode->references = 1;
	inode->is_folder = is_folder;
	inode->cut_to = UINT64_MAX;
	list_init(&inode->unsure_blocks);
	list_push_back(&disk->inodes, &inode->among);
	return inode;
}

static void inode_free(struct disk *disk, struct inode *inode)
{
	list_remove(&inode->among);
	list_remove(&inode->unsure);
	content_fini(disk, inode);
	names_fini(disk, inode);
	free(inode->name);
	free(inode);
}

void inode_hold(struct inode *inode)
{
	inode->references++;
}

void inode_put(struct disk *disk, struct inode *inode)
{
	check(inode->references);
	if (--inode->references == 0)
		inode_free(disk, inode);
}

void inode_unsure(struct disk *disk, struct inode *inode)
{
	if (!list_linked(&inode->unsure))
		list_push_back(&disk->unsure, &inode->unsure);
}

static void inode_sure(struct inode *inode)
{
	if (!inode->change_count && list_empty(&inode->unsure_blocks) &&
	    inode->size == inode->durable_size && inode->cut_to == UINT64_MAX)
		list_remove(&inode->unsure);
}

bool inode_is_folder(const struct inode *inode)
{
	return inode->is_folder;
}

uint64_t inode_size(const struct inode *inode)
{
	return inode->size;
}

uint64_t inode_number(const struct inode *inode)
{
	return inode->number;
}

int inode_lock(struct inode *inode, const void *holder)
{
	if (inode->locked_by && inode->locked_by != holder)
		return -EWOULDBLOCK;
	inode->locked_by = holder;
	return 0;
}

void inode_unlock(struct inode *inode, const void *holder)
{
	if (inode->locked_by == holder)
		inode->locked_by = NULL;
}

/* ---- the disk ---- */

static void boot(struct disk *disk)
{
	char text[40];
	uint64_t high = random_u64(&disk->random);
	uint64_t low = random_u64(&disk->random);

	if (disk->boot_id)
		inode_put(disk, disk->boot_id);
	disk->boot_id = inode_new(disk, false);
	snprintf(text, sizeof(text), "%08x-%04x-4%03x-8%03x-%012" PRIx64 "\n",
		 (unsigned)(high >> 32), (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff,
		 (unsigned)(low >> 52), low & 0xffffffffffff);
	content_set(disk->boot_id, text);
}

struct inode *disk_boot_id(struct disk *disk)
{
	inode_hold(disk->boot_id);
	return disk->boot_id;
}

struct disk *disk_new(struct random random)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	check(disk);
	disk->random = random;
	list_init(&disk->unsure);
	list_init(&disk->inodes);
	disk->root = inode_new(disk, true);
	boot(disk);
	return disk;
}

static void free_lies(struct disk *disk)
{
	while (disk->lies) {
		struct lie *lie = disk->lies;
		disk->lies = lie->next;
		free(lie);
	}
}

void disk_free(struct disk *disk)
{
	if (!disk)
		return;
	/* Whoever holds what: none of them is put for the last time before its turn. */
	list_foreach(node, &disk->inodes)
		inode_hold(container_of(node, struct inode, among));
	list_foreach(node, &disk->inodes) {
		struct inode *inode = container_of(node, struct inode, among);
		names_fini(disk, inode);
		inode->seen = inode->durable = (struct names){0};
		inode->changes = NULL;
		inode->change_count = 0;
	}
	while (!list_empty(&disk->inodes))
		inode_free(disk, container_of(disk->inodes.next, struct inode, among));
	free_lies(disk);
	free(disk);
}

void disk_set_faults(struct disk *disk, const struct disk_faults *faults)
{
	disk->faults = *faults;
}

struct random disk_split_random(struct disk *disk, const char *name)
{
	return random_split(&disk->random, name);
}

uint64_t disk_used_bytes(const struct disk *disk)
{
	return disk->used_bytes;
}

uint64_t disk_latency_ns(struct disk *disk)
{
	const struct disk_faults *faults = &disk->faults;

	if (random_chance(&disk->random, faults->slow))
		return faults->slow_ns;
	return random_between(&disk->random, faults->latency_ns_min, faults->latency_ns_max);
}

bool disk_read_fails(struct disk *disk)
{
	return random_chance(&disk->random, disk->faults.read_error);
}

struct inode *disk_root(struct disk *disk)
{
	return disk->root;
}

int disk_open_unnamed(struct disk *disk, struct inode **ret)
{
	if (random_chance(&disk->random, disk->faults.no_space))
		return -ENOSPC;
	*ret = inode_new(disk, false);
	return 0;
}

void disk_lie(struct disk *disk, const char *call, const char *pattern)
{
	if (!call) {
		free_lies(disk);
		return;
	}
	struct lie *lie = malloc(sizeof(*lie));
	check(lie);
	*lie = (struct lie){.call = call, .pattern = pattern, .next = disk->lies};
	disk->lies = lie;
}

static bool lies(const struct disk *disk, const char *call, const struct inode *inode)
{
	char path[PATH_BYTES];

	if (!disk->lies)
		return false;
	inode_path(inode, path, sizeof(path));
	for (const struct lie *lie = disk->lies; lie; lie = lie->next) {
		if (strcmp(lie->call, call) == 0 && fnmatch(lie->pattern, path, 0) == 0)
			return true;
	}
	return false;
}

/* ---- flushes ---- */

void inode_flush_begin(struct disk *disk, struct inode *inode, bool data_only,
		       struct disk_flush *ret)
{
	inode_hold(inode);
	inode->flushes++;
	*ret = (struct disk_flush){
		.inode = inode,
		.earlier = disk->flushes,
		.lied = lies(disk, data_only ? "fdatasync" : "fsync", inode),
	};
	if (!ret->lied)
		content_commit_cut(disk, inode);
	ret->sequence = disk->sequence;
	ret->size = inode->size;
	ret->truncations = inode->truncations;
	ret->names = inode->changes_before + inode->change_count;
	disk->flushes = ret;
}

/* What a flush of the device covers, of every file. */
static void flush_device(struct disk *disk, uint64_t sequence)
{
	list_foreach_safe(node, after, &disk->unsure) {
		struct inode *inode = container_of(node, struct inode, unsure);
		content_flushed(disk, inode, sequence, true);
		inode_sure(inode);
	}
}

static void flush_done(struct disk *disk, const struct disk_flush *flush)
{
	struct inode *inode = flush->inode;

	if (flush->names > inode->changes_before)
		names_commit(disk, inode, (unsigned)(flush->names - inode->changes_before));
	if (inode->truncations == flush->truncations && flush->size > inode->durable_size)
		inode->durable_size = flush->size;
	content_flushed(disk, inode, flush->sequence, false);
	inode_sure(inode);
	if (!inode->is_folder)
		flush_device(disk, flush->sequence);
}

static uint64_t covered_by_others(const struct disk *disk, const struct disk_flush *flush)
{
	uint64_t sequence = 0;

	for (const struct disk_flush *each = disk->flushes; each; each = each->earlier) {
		if (each != flush && each->sequence > sequence)
			sequence = each->sequence;
	}
	return sequence;
}

/* What another covers that is under way cannot go, as it may succeed yet.  A flush of a file with
 * nothing of its own is one of the device. */
static void flush_failed(struct disk *disk, const struct disk_flush *flush)
{
	uint64_t safe = covered_by_others(disk, flush);

	if (flush->inode->is_folder)
		return;
	if (list_linked(&flush->inode->unsure)) {
		content_flush_failed(disk, flush->inode, safe, flush->sequence, false);
		return;
	}
	list_foreach_safe(node, after, &disk->unsure) {
		struct inode *inode = container_of(node, struct inode, unsure);
		content_flush_failed(disk, inode, safe, flush->sequence, true);
		inode_sure(inode);
	}
}

int inode_flush_end(struct disk *disk, struct disk_flush *flush)
{
	bool fails = random_chance(&disk->random, disk->faults.flush_error);

	if (fails && !flush->lied)
		flush_failed(disk, flush);
	else if (!flush->lied)
		flush_done(disk, flush);
	inode_flush_abandon(disk, flush);
	return fails ? -EIO : 0;
}

void inode_flush_abandon(struct disk *disk, struct disk_flush *flush)
{
	struct disk_flush **at = &disk->flushes;

	while (*at != flush)
		at = &(*at)->earlier;
	*at = flush->earlier;
	flush->inode->flushes--;
	inode_put(disk, flush->inode);
	flush->inode = NULL;
}

int inode_flush(struct disk *disk, struct inode *inode, bool data_only)
{
	struct disk_flush flush;

	inode_flush_begin(disk, inode, data_only, &flush);
	return inode_flush_end(disk, &flush);
}

/* ---- power cuts and rot ---- */

void disk_power_cut(struct disk *disk)
{
	struct list unsure;

	check(!disk->flushes);
	list_init(&unsure);
	list_move_all(&unsure, &disk->unsure);
	/* Contents first: a file may have none of its names left then. */
	list_foreach(node, &unsure) {
		struct inode *inode = container_of(node, struct inode, unsure);
		if (!inode->is_folder)
			content_power_cut(disk, inode);
	}
	for (struct list *node; (node = list_pop_front(&unsure));) {
		struct inode *inode = container_of(node, struct inode, unsure);
		if (inode->is_folder)
			names_power_cut(disk, inode);
	}
	boot(disk);
}

bool disk_rot(struct disk *disk, const char *pattern)
{
	char path[PATH_BYTES];
	struct inode *chosen = NULL;
	uint64_t count = 0;

	list_foreach(node, &disk->inodes) {
		struct inode *inode = container_of(node, struct inode, among);
		if (inode->is_folder || !inode->parent || !inode->size)
			continue;
		inode_path(inode, path, sizeof(path));
		if (fnmatch(pattern, path, 0) == 0 && random_below(&disk->random, ++count) == 0)
			chosen = inode;
	}
	return chosen && content_rot(disk, chosen);
}
