/* tests/sim/disk_internal.h: what the disk's files share.
 *
 *     disk.c           the disk: faults, lies, flushes, the power cut
 *     disk_blocks.c    a file's blocks
 *     disk_content.c   an inode's bytes and sizes, as seen and as durable
 *     disk_names.c     folders: names as seen and as durable, and paths */
#pragma once
#include "base/bytes.h"
#include "base/list.h"
#include "tests/sim/disk.h"

enum {
	SECTOR_BYTES = 512,
	BLOCK_SECTORS = 8,
	BLOCK_BYTES = SECTOR_BYTES * BLOCK_SECTORS,
};

/* 4096 bytes of a file. Content: null is zeros. */
struct block {
	uint8_t *seen;
	uint8_t *durable; /* of an unsure block; of others it is what is seen */
	uint64_t index;
	uint64_t placed;                 /* number of the first write since it has a place */
	uint64_t written[BLOCK_SECTORS]; /* number of each sector's latest write */
	struct list unsure;              /* in the inode's; linked: seen and durable are two */
	/* A bit a sector. */
	uint8_t dirty;  /* seen is newer than durable, and a flush brings it there */
	uint8_t lost;   /* a flush failed: seen, but no flush knows of it any more */
	uint8_t direct; /* the latest write was O_DIRECT */
	bool settled;   /* its place on the device is durable: a flush of the device will do */
};

struct entry {
	char *name;
	struct inode *inode;
};

struct names {
	struct entry *entries;
	unsigned count, capacity;
};

/* One step of a folder's: takes `removed` away, and has `added` name `inode`, both at once. */
struct name_change {
	char *removed; /* null: nothing */
	char *added;   /* likewise */
	struct inode *inode;
};

struct inode {
	uint64_t number;
	unsigned references; /* holders, names, changes of names */
	bool is_folder;
	struct list among;  /* the disk's inodes */
	struct list unsure; /* in the disk's: more may be seen than is durable */
	/* Where it is now; for patterns alone. */
	struct inode *parent;
	char *name;
	const void *locked_by;

	/* A file's. */
	struct block **blocks; /* by index; null: zeros that were never written */
	size_t block_count;
	uint64_t size, durable_size;
	uint64_t cut_to;    /* a truncation to here is not durable; UINT64_MAX: none */
	uint64_t allocated; /* bytes, as counted against the disk's room */
	uint64_t truncations;
	unsigned flushes; /* under way */
	struct list unsure_blocks;

	/* A folder's. */
	struct names seen, durable;
	struct name_change *changes; /* not yet durable, in their order */
	unsigned change_count, change_capacity;
	uint64_t changes_before; /* how many have become durable, ever */
};

struct lie {
	const char *call, *pattern;
	struct lie *next;
};

struct disk {
	struct random random;
	struct disk_faults faults;
	struct inode *root;
	struct inode *boot_id;
	struct list unsure; /* inodes */
	uint64_t inode_count;
	uint64_t sequence; /* of writes */
	uint64_t used_bytes;
	struct disk_flush *flushes; /* under way, the latest first */
	struct list inodes;         /* all there are */
	struct lie *lies;
};

struct inode *inode_new(struct disk *disk, bool is_folder); /* held once */
void inode_hold(struct inode *inode);
void inode_unsure(struct disk *disk, struct inode *inode);
/* Its path from the root; "#unnamed" where there is none. */
void inode_path(const struct inode *inode, char *ret, size_t size);

/* ---- disk_blocks.c ---- */

static inline uint64_t block_start(const struct block *block)
{
	return block->index * BLOCK_BYTES;
}

struct block *block_find(const struct inode *inode, uint64_t index); /* null: never written */
struct block *block_make(struct inode *inode, uint64_t index);
void block_drop(struct inode *inode, struct block *block);
/* From now on seen and durable are two; they begin alike. */
void block_unsure(struct disk *disk, struct inode *inode, struct block *block);
/* Ends that, if nothing tells them apart any more. */
void block_sure(const struct inode *inode, struct block *block);
/* A part of *to becomes what it is in `from`. */
void block_copy(uint8_t **to, const uint8_t *from, unsigned start, unsigned length);
void block_write(struct block *block, unsigned start, const uint8_t *data, unsigned length);
void block_to_disk(struct block *block, unsigned sector);   /* durable := seen */
void block_from_disk(struct block *block, unsigned sector); /* seen := durable */
void block_turn_bit(struct block *block, unsigned at, uint8_t bit);

/* ---- disk_content.c ---- */

/* Durable from the start, and not counted against the room. */
void content_set(struct inode *inode, const char *text);
void content_fini(struct disk *disk, struct inode *inode);
/* The journal takes what was truncated. */
void content_commit_cut(struct disk *disk, struct inode *inode);
/* A flush of the file, or of the device for others' direct writes, that covers writes up to
 * `sequence`. */
void content_flushed(struct disk *disk, struct inode *inode, uint64_t sequence, bool device);
/* It failed: what it covered of writes after `safe` may be gone, and will not be flushed again. */
void content_flush_failed(struct disk *disk, struct inode *inode, uint64_t safe, uint64_t sequence,
			  bool device);
void content_power_cut(struct disk *disk, struct inode *inode);
bool content_rot(struct disk *disk, struct inode *inode);

/* ---- disk_names.c ---- */

void names_fini(struct disk *disk, struct inode *folder);
/* The first `count` changes become durable. */
void names_commit(struct disk *disk, struct inode *folder, unsigned count);
void names_power_cut(struct disk *disk, struct inode *folder);
