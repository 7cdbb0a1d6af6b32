/* tests/sim/disk.h: a file system in memory that a power cut leaves as a real one may.
 *
 * What a program sees is the page cache's view: names, sizes and contents as last written.  Beside
 * it stands what is durable: contents by 512-byte sector, sizes, and names, each brought up to date
 * by fsync and fdatasync of the file (contents and size) or of the folder (names), or of its own
 * accord at any time.  disk_power_cut makes the view what had become durable, plus any subset of
 * what had not, drawn sector by sector and name by name: writes are lost, torn and reordered
 * between flushes, an unsynced rename may be undone, a file may be there with length and no data.
 * O_DIRECT writes are no more durable than others until a flush; an fdatasync of any file flushes
 * the device's cache for O_DIRECT writes into settled blocks (storage/flush.c).  After a failed
 * flush written pages count as clean and are not durable, as on Linux; what O_DIRECT has written is
 * in the device's cache still, or gone.
 *
 * Pure state: nothing here blocks or knows of fibers; calls_files.c and backend.c add time. Paths
 * are relative to an inode; there are no links but names, no permissions, one user. Errors are
 * -errno. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/random.h"

struct disk;
struct inode; /* file or folder; open descriptors hold it after its name has gone */

struct disk_faults {
	uint64_t room_bytes; /* ENOSPC beyond; 0: no limit */
	/* In a million operations each. */
	uint32_t read_error, write_error, flush_error, short_transfer, no_space;
	/* A range of an operation's latency; some take `slow_ns` instead. */
	uint64_t latency_ns_min, latency_ns_max, slow_ns;
	uint32_t slow;
};

struct disk *disk_new(struct random random);
void disk_free(struct disk *disk);
void disk_set_faults(struct disk *disk, const struct disk_faults *faults);
struct random disk_split_random(struct disk *disk, const char *name);
uint64_t disk_used_bytes(const struct disk *disk); /* of the room */
uint64_t disk_latency_ns(struct disk *disk);       /* drawn for the next operation */
bool disk_read_fails(struct disk *disk);           /* likewise: of a file, of a folder's names */

struct inode *disk_root(struct disk *disk);
/* A file or folder below `folder`; "." and paths of several names are fine.  Flags and errors of
 * openat.  The caller holds the inode until inode_put. */
int disk_open(struct disk *disk, struct inode *folder, const char *path, int flags,
	      struct inode **ret);
int disk_open_unnamed(struct disk *disk, struct inode **ret); /* O_TMPFILE */
/* /proc/sys/kernel/random/boot_id: another text after each power cut. */
struct inode *disk_boot_id(struct disk *disk);
void inode_put(struct disk *disk, struct inode *inode);

int64_t inode_read(struct disk *disk, struct inode *inode, void *data, size_t length,
		   uint64_t offset);
int64_t inode_write(struct disk *disk, struct inode *inode, const void *data, size_t length,
		    uint64_t offset, bool direct);
int inode_flush(struct disk *disk, struct inode *inode, bool data_only); /* fdatasync or fsync */
/* The same in two steps, for a flush that takes time: what was written, or changed of names, when
 * it began is durable when it has ended, if that says 0.  Of a program that died: abandoned. */
struct disk_flush {
	struct inode *inode;
	uint64_t sequence, size, truncations, names;
	bool lied;
	struct disk_flush *earlier; /* the disk's: also under way */
};
void inode_flush_begin(struct disk *disk, struct inode *inode, bool data_only,
		       struct disk_flush *ret);
int inode_flush_end(struct disk *disk, struct disk_flush *flush);
void inode_flush_abandon(struct disk *disk, struct disk_flush *flush);
void inode_drop_cache(struct disk *disk, struct inode *inode); /* POSIX_FADV_DONTNEED */
/* flock, exclusive: -EWOULDBLOCK. */
int inode_lock(struct inode *inode, const void *holder);
void inode_unlock(struct inode *inode, const void *holder); /* not the holder is fine */
int inode_allocate(struct disk *disk, struct inode *inode, uint64_t offset, uint64_t length);
int inode_truncate(struct disk *disk, struct inode *inode, uint64_t size);
bool inode_is_folder(const struct inode *inode);
uint64_t inode_size(const struct inode *inode);
uint64_t inode_number(const struct inode *inode);
/* The name at `index` of a folder, in an order that is drawn; null: no more. */
const char *inode_name_at(const struct inode *folder, unsigned index);

int disk_make_folder(struct disk *disk, struct inode *folder, const char *path);
int disk_rename(struct disk *disk, struct inode *from_folder, const char *from,
		struct inode *to_folder, const char *to);
int disk_unlink(struct disk *disk, struct inode *folder, const char *path, bool is_folder);

/* Nothing may hold an inode but the root. */
void disk_power_cut(struct disk *disk);
/* Turns a bit of what is durable and seen, in a file whose path matches the pattern of fnmatch
 * (relative to the root); false: there is no such byte. */
bool disk_rot(struct disk *disk, const char *pattern);
void inode_turn_bit(struct inode *inode, uint64_t at, uint8_t bit); /* likewise, just there */
/* A bug of a program's that the disk plays for it (tests/powercut has the same): from now on calls
 * named so ("fsync", "fdatasync") on paths that match do nothing and say 0.  Null: none. */
void disk_lie(struct disk *disk, const char *call, const char *pattern);
