/* Making durable what was written: one commit round after the other, each with as few flushes as
 * the file system allows.
 *
 *     written ──► store.unflushed ──► a round ──┬─ settled, shared ──► one flush of the device
 *                 (segments)                    └─ else ──► fdatasync of the segment's own file
 *
 * A round takes every segment with written but unflushed bytes; the next begins when the last flush
 * of the round has ended, with whatever has been written by then.  There is no linger.  When so
 * much is waiting that a flush is well used (second_round_bytes), the next begins at once, so that
 * a stream does not wait for this thread to be told and to answer.  What the later round has
 * achieved is believed only when the earlier has succeeded: a device that fails a flush may have
 * dropped what both cover.
 *
 * Why one flush may stand for many files.  fdatasync has two jobs: to bring the file's metadata
 * (its extents, its size) to the disk, and to empty the device's volatile cache.  The second is not
 * about a file at all: ext4_sync_file and xfs_file_fsync end in blkdev_issue_flush on the file
 * system's device, which covers every write that had completed before, whichever file it belonged
 * to (fs/ext4/fsync.c, fs/xfs/xfs_file.c, block/blk-flush.c).  The first has nothing to do for a
 * file whose blocks have been written before, inside a size that is on the disk: with O_DIRECT such
 * a write goes straight to the blocks and changes no more than the time of modification.
 *
 * So each store keeps an unnamed file that is never written once it is synced.  Its own metadata is
 * always clean, so fdatasync of it is the flush of the device and nothing else: ext4 finds the
 * file's transaction committed long ago (jbd2_trans_will_send_data_barrier: no) and flushes; xfs
 * finds nothing pinned in its log and flushes.  It neither starts a journal commit nor waits for
 * one.  It covers the bytes of a segment below `settled_end`; see prewrite.c for how blocks get
 * there.  Bytes above it go into unwritten extents or extend the file: their conversion is metadata
 * of that file, which only an fdatasync of its own makes durable, and which then settles them.
 *
 * Where this does not hold, every file is flushed by itself.  shares_flush() asks for all of it:
 * - ext2, ext3, ext4 or xfs: read and understood.  Copy-on-write file systems move every write;
 *   network and stacked ones have no device of ours.
 * - real direct I/O (STATX_DIOALIGN, Linux 6.1): not with data=journal or encryption, where
 *   O_DIRECT is accepted and the write goes through the page cache all the same.
 * - no DAX: there the processor's caches are in between.
 * - no reflinks (xfs with reflink=1): once somebody has cloned a segment, writes into it move.
 * - the segment lies on the device of the store's folder.
 * When a flush of the device fails, the device, or the file that plays it for a virtual machine,
 * may have dropped all that it had not yet written, of whatever log, and say of the next flush that
 * all is well.  So each such failure is counted for all stores of the process, which lie on one
 * device, and of what had been written when one was counted no later flush is believed.
 *
 * What it cannot see: a tool that moves the blocks of a file in use, such as e4defrag.  Do not run
 * one on a broker's folder. */
#include "storage/store_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { SECOND_ROUND_BYTES = 1 << 20 };

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* ---- may a flush be shared ---- */

static bool is_direct_file(int fd, dev_t *ret_device)
{
#ifdef STATX_DIOALIGN
	struct statx info;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_DIOALIGN, &info) < 0)
		return false;
	*ret_device = makedev(info.stx_dev_major, info.stx_dev_minor);
	return (info.stx_mask & STATX_DIOALIGN) && info.stx_dio_mem_align &&
	       info.stx_dio_offset_align && info.stx_dio_offset_align <= BLOCK_BYTES &&
	       !(info.stx_attributes & STATX_ATTR_DAX);
#else
	return false;
#endif
}

static bool file_system_is_known(int fd)
{
	struct statfs info;

	return fstatfs(fd, &info) == 0 &&
	       (info.f_type == EXT4_SUPER_MAGIC || info.f_type == XFS_SUPER_MAGIC);
}

static int unnamed_file(const struct store *store)
{
	return openat(store->dir_fd, ".", O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
}

/* An attempt: the only way to ask that needs no knowledge of the file system. */
static bool can_clone(const struct store *store, int fd)
{
	int other = unnamed_file(store);
	bool cloned = other < 0 || ioctl(other, FICLONE, fd) == 0 ||
		      (errno != EOPNOTSUPP && errno != ENOTTY);

	if (other >= 0)
		close(other);
	return cloned;
}

static bool fill_and_sync(int fd)
{
	uint8_t *block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES);
	bool done = false;

	if (block) {
		memset(block, 0, BLOCK_BYTES);
		done = whole_pwrite(fd, block, BLOCK_BYTES, 0) == 0 && fsync(fd) == 0;
	}
	free(block);
	return done;
}

void flush_probe(struct store *store)
{
	store->flush_fd = -1;
	store->second_round_bytes = SECOND_ROUND_BYTES;
	if (store->options.flush_shared) {
		store->flush_fd = openat(store->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		return;
	}
	if (!store->options.direct_io || !file_system_is_known(store->dir_fd))
		return;
	int fd = unnamed_file(store);
	if (fd < 0)
		return;
	if (!is_direct_file(fd, &store->flush_device) || !fill_and_sync(fd) ||
	    can_clone(store, fd)) {
		close(fd);
		return;
	}
	store->flush_fd = fd;
}

bool flush_shares(const struct store *store, int fd)
{
	dev_t device;

	if (store->options.flush_shared)
		return store->flush_fd >= 0;
	return store->flush_fd >= 0 && (fcntl(fd, F_GETFL) & O_DIRECT) &&
	       is_direct_file(fd, &device) && device == store->flush_device;
}

/* ---- rounds ---- */

/* Flushes of the device that have failed, of all stores: the one thing that they share.  A shard
 * that is slow to look at its completions tells the others late: a flush that began after the
 * failure and has ended before that is believed. */
static atomic_uint failures;

void flush_want(struct segment *segment)
{
	uint64_t asked = segment->flushing ? segment->flushing : segment->flushed;
	struct store *store = segment->log->store;

	if (segment->written <= asked || list_linked(&segment->unflushed))
		return;
	if (list_empty(&store->unflushed))
		store->unflushed_failures = atomic_load(&failures);
	list_push_back(&store->unflushed, &segment->unflushed);
}

/* How much of the log one flush has covered lately. */
static void note_flush_bytes(struct log *log, uint64_t bytes)
{
	log->flush_bytes = log->flush_bytes ? (3 * log->flush_bytes + bytes) / 4 : bytes;
}

static void end_flush(struct segment_flush *flush)
{
	struct segment *segment = flush->segment;
	struct log *log = segment->log;

	if (segment->flushing == flush->reached)
		segment->flushing = 0;
	if (flush->result < 0) {
		commit_fail(log, flush->result, "flush");
	} else {
		if (flush->own)
			prewrite_settled(segment, round_up(flush->reached, BLOCK_BYTES),
					 flush->zeroed_end &&
						 flush->zeroed_end == segment->zeroed_end);
		note_flush_bytes(log, flush->reached - segment->flushed);
		segment->flushed = flush->reached;
		log->store->nothing_to_evict = false;
		commit_flushed(log);
	}
	/* Counted until here, so that no callback above can end the log under us. */
	log->io_count--;
	log_finish_close(log);
}

/* Tells what is known, in the order of the rounds. */
static void end_rounds(struct store *store)
{
	while (store->round_count) {
		struct flush_round *round = &store->rounds[store->round_first];
		list_foreach_safe(node, after, &round->segments) {
			struct segment_flush *flush = container_of(node, struct segment_flush,
								   link);
			if (!flush->ended)
				continue;
			list_remove(&flush->link);
			if (flush->result == 0 && round->failures != atomic_load(&failures))
				flush->result = -EIO;
			end_flush(flush);
		}
		if (round->flushes_out)
			return;
		histogram_observe(&store->stats.rounds,
				  clock_monotonic_ns(store->clock) - round->begun_ns, 1);
		store->round_first = (store->round_first + 1) % FLUSH_ROUNDS;
		store->round_count--;
	}
}

static void file_flushed(struct io *io, int result)
{
	struct segment_flush *flush = container_of(io, struct segment_flush, io);
	struct segment *segment = flush->segment;
	struct store *store = segment->log->store;

	flush->ended = true;
	flush->result = result;
	store->rounds[flush - segment->flushes].flushes_out--;
	end_rounds(store);
}

static void device_flushed(struct io *io, int result)
{
	struct flush_round *round = container_of(io, struct flush_round, device);
	struct store *store = NULL;

	if (result < 0)
		atomic_fetch_add(&failures, 1);
	round->flushes_out--;
	list_foreach(node, &round->segments) {
		struct segment_flush *flush = container_of(node, struct segment_flush, link);
		if (flush->own)
			continue;
		flush->ended = true;
		flush->result = result;
		store = flush->segment->log->store;
	}
	check(store);
	end_rounds(store);
}

static void start_io(struct store *store, struct flush_round *round, struct io *io, int fd,
		     io_done_fn *done)
{
	round->flushes_out++;
	store->stats.flushes++;
	io->done = done;
	io_flush(store->io, io, fd);
}

/* True: the round's flush of the device covers it. */
static bool join_round(struct store *store, unsigned number, struct segment *segment)
{
	struct flush_round *round = &store->rounds[number];
	struct segment_flush *flush = &segment->flushes[number];
	struct log *log = segment->log;

	if (segment->dead || !log_writes(log))
		return false;
	*flush = (struct segment_flush){
		.segment = segment,
		.reached = segment->written,
		.own = !segment->shares_flush || segment->written > segment->settled_end,
		.zeroed_end = segment->prewriting ? 0 : segment->zeroed_end,
	};
	segment->flushing = flush->reached;
	log->io_count++;
	store->round_logs++;
	list_push_back(&round->segments, &flush->link);
	if (flush->own)
		start_io(store, round, &flush->io, segment->file.fd, file_flushed);
	return !flush->own;
}

void flush_start(struct store *store)
{
	unsigned number = (store->round_first + store->round_count) % FLUSH_ROUNDS;
	bool covers = false;
	struct list joining;
	struct list *node;

	if (list_empty(&store->unflushed) || store->round_count == FLUSH_ROUNDS ||
	    (store->round_count && store->unflushed_bytes < store->second_round_bytes))
		return;
	list_init(&joining);
	list_move_all(&joining, &store->unflushed);
	store->unflushed_bytes = 0;
	store->round_logs = 0;
	while ((node = list_pop_front(&joining)))
		covers |= join_round(store, number, container_of(node, struct segment, unflushed));
	struct flush_round *round = &store->rounds[number];
	round->failures = store->unflushed_failures;
	if (covers)
		start_io(store, round, &round->device, store->flush_fd, device_flushed);
	if (round->flushes_out) {
		round->begun_ns = clock_monotonic_ns(store->clock);
		store->round_count++;
	}
}
