/* A new last segment.
 *
 *     file made ── header and first zeros written ── flushed ── its name flushed ── the log's last
 *
 * Two flushes are some ten milliseconds on many a disk, in which a shard has other things to do: so
 * they are operations of the back end, and an append to this log waits until they are done.  With
 * nothing to offload to (store_options), and when a log is opened, it all happens in the call.
 *
 * What is under way counts in log.io_count: a log is neither repaired nor gone before it has ended.
 * Nothing is appended meanwhile, so the offset that the segment begins at stays. */
#include "storage/segment_internal.h"

#include "base/bytes.h"
#include "base/whole.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { MAKING_MAX = 64 }; /* of a store; each has two descriptors and this memory in use */

struct segment_making {
	struct io io;
	struct log *log;
	struct segment *segment;
	uint8_t *blocks; /* header and zeros */
	size_t bytes;
	size_t written;
	int folder_fd; /* -1: not yet open */
};

static void free_making(struct segment_making *making)
{
	if (making->folder_fd >= 0)
		close(making->folder_fd);
	free(making->blocks);
	free(making);
}

/* Room for the first appends, made durable together with the header. */
static size_t first_bytes(const struct segment *segment)
{
	uint64_t bytes = round_up(segment->log->config.segment_bytes, BLOCK_BYTES);

	if (!segment->shares_flush)
		return SEGMENT_HEADER_BYTES;
	return SEGMENT_HEADER_BYTES + (bytes < PREWRITE_FIRST_BYTES ? bytes : PREWRITE_FIRST_BYTES);
}

/* The file, and what is to be written to it.  On failure the caller undoes what there is. */
static int begin(struct segment_making *making)
{
	struct log *log = making->log;
	struct segment *segment = making->segment;
	int rc = log->name_durable ? 0 : folder_sync_name(log);

	if (rc == 0)
		rc = segment_open(segment, O_CREAT | O_EXCL);
	if (rc < 0)
		return rc;
	segment->shares_flush = flush_shares(log->store, segment->file.fd);
	making->bytes = first_bytes(segment);
	making->blocks = aligned_alloc(BLOCK_BYTES, making->bytes);
	if (!making->blocks)
		return -ENOMEM;
	memset(making->blocks, 0, making->bytes);
	segment_new_header(segment, making->blocks);
	return 0;
}

static struct segment_making *making_new(struct log *log, int64_t base_offset)
{
	struct segment_making *making = calloc(1, sizeof(*making));

	if (!making)
		return NULL;
	making->log = log;
	making->folder_fd = -1;
	making->segment = segment_new(log, base_offset);
	if (making->segment)
		return making;
	free(making);
	return NULL;
}

/* Ends it: the segment is the log's last, or is no more. */
static void end(struct segment_making *making, int rc)
{
	struct log *log = making->log;
	struct segment *segment = making->segment;

	if (rc == 0) {
		segment->allocated_end = segment->settled_end = making->bytes;
		segment->written = segment->flushed = segment->end;
		list_push_back(&log->segments, &segment->link);
		log->active = segment;
	} else {
		/* Durably: appends may go on in the segment before it, past this one's offset. */
		if (segment->inode) {
			segment_unlink(segment);
			folder_sync(log);
		}
		segment_free(segment);
	}
	free_making(making);
}

int segment_create(struct log *log, int64_t base_offset)
{
	struct segment_making *making = making_new(log, base_offset);

	if (!making)
		return -ENOMEM;
	int rc = begin(making);
	if (rc == 0)
		rc = whole_pwrite(making->segment->file.fd, making->blocks, making->bytes, 0);
	if (rc == 0 && fdatasync(making->segment->file.fd) < 0)
		rc = -errno;
	if (rc == 0)
		rc = folder_sync(log);
	end(making, rc);
	return rc;
}

/* ---- while the shard goes on ---- */

static void ended(struct segment_making *making, int rc)
{
	struct log *log = making->log;

	log->making = NULL;
	log->store->makings_out--;
	if (rc == 0 && !log_writes(log))
		rc = -ECANCELED; /* it has failed otherwise, or goes */
	if (rc == 0 && log->active)
		log_seal(log);
	end(making, rc);
	if (rc < 0)
		commit_fail(log, rc, "segment");
	log->io_count--;
	log_finish_close(log);
}

static void name_flushed(struct io *io, int result)
{
	ended(container_of(io, struct segment_making, io), result);
}

static void flushed(struct io *io, int result)
{
	struct segment_making *making = container_of(io, struct segment_making, io);

	if (result == 0)
		result = making->folder_fd = folder_open(making->log);
	if (result < 0) {
		ended(making, result);
		return;
	}
	making->io.done = name_flushed;
	io_sync(making->log->store->io, &making->io, making->folder_fd);
}

static void write_on(struct segment_making *making);

static void written(struct io *io, int result)
{
	struct segment_making *making = container_of(io, struct segment_making, io);

	if (result <= 0) {
		ended(making, result < 0 ? result : -EIO);
		return;
	}
	making->written += (size_t)result;
	if (making->written < making->bytes) {
		write_on(making);
		return;
	}
	making->io.done = flushed;
	io_flush(making->log->store->io, &making->io, making->segment->file.fd);
}

static void write_on(struct segment_making *making)
{
	making->io.done = written;
	io_write(making->log->store->io, &making->io, making->segment->file.fd,
		 making->blocks + making->written, making->bytes - making->written,
		 making->written);
}

bool segment_make_waits(const struct log *log)
{
	return log->making || log->store->makings_out == MAKING_MAX;
}

int segment_make(struct log *log)
{
	struct segment_making *making;
	int rc;

	if (!log->store->options.offload) {
		if (log->active)
			log_seal(log);
		rc = segment_create(log, log->next_offset);
		return rc == -ENOBUFS ? -EIO : rc;
	}
	making = making_new(log, log->next_offset);
	if (!making)
		return -ENOMEM;
	rc = begin(making);
	if (rc < 0) {
		end(making, rc);
		return rc == -ENOBUFS ? -EIO : rc;
	}
	log->making = making;
	log->store->makings_out++;
	log->io_count++;
	write_on(making);
	return -ENOBUFS;
}
