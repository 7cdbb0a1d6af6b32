/* storage/io.h: the seam to disk and sockets.
 *
 * One backend a shard (and one for the control plane).  Every call but io_wake runs on the thread
 * that made the backend; the simulator supplies another `struct io_ops`.  An operation is an
 * embedded `struct io`: it belongs to the backend from the call until `done` runs (from io_turn,
 * never from inside the submitting call), and what it points to must live as long.
 * `result` is a count, a file descriptor or 0, else -errno. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct io;
struct io_backend;

typedef void io_done_fn(struct io *io, int result);

struct io {
	io_done_fn *done;
	/* Pooled receive only: the data that arrived; give back with io_buffer_put. */
	struct io_buffer *buffer;
	/* The backend's own. */
	struct io *next;
	uint64_t offset;
	void *data;
	size_t length;
	int fd;
	int result;
	uint16_t op;
	uint16_t flags;
};

/* A receive buffer of the backend's pool; IO_BUFFER_BYTES of room. */
struct io_buffer {
	uint8_t *data;
	uint32_t length; /* bytes received */
	uint32_t index;
};

struct io_options {
	unsigned depth;        /* submission queue entries, e.g. 1024 */
	unsigned buffer_count; /* receive pool, power of two; 0: no sockets */
	unsigned buffer_bytes; /* of one receive buffer, e.g. 65536 */
	/* Virtual range whose slabs io_buffer_region_add registers; null: none. */
	void *region;
	size_t region_bytes;
	size_t slab_bytes;
};

struct io_ops {
	const char *name; /* "uring", "sync", "sim" */
	void (*free)(struct io_backend *backend);
	void (*submit)(struct io_backend *backend, struct io *io);
	void (*cancel)(struct io_backend *backend, struct io *io);
	int (*turn)(struct io_backend *backend, uint64_t wait_ns);
	void (*wake)(struct io_backend *backend);
	void (*buffer_put)(struct io_backend *backend, struct io_buffer *buffer);
	void (*slab_added)(struct io_backend *backend, unsigned slab);
};

/* Written by the backend's thread with relaxed stores; any thread may read. */
struct io_stats {
	uint64_t submitted;     /* operations */
	uint64_t completed;     /* ... whose done has run; an accept's runs many times */
	uint64_t overflowed;    /* ... that found no entry in the submission queue and waited */
	uint64_t cq_overflowed; /* times the kernel found the completion queue full */
};

struct io_backend {
	const struct io_ops *ops;
	struct io_stats stats;
};

/* Completion-based, registered buffers, one system call a turn.  -ENOSYS/-EPERM/-ENOMEM where the
 * kernel or its policy refuses io_uring: fall back to the other. */
int io_uring_new(struct io_backend **ret, const struct io_options *options);
/* pwritev, preadv, fdatasync inline (they block), sockets by epoll. */
int io_sync_new(struct io_backend **ret, const struct io_options *options);
/* The one, or where it is refused, or not wanted (`plain`), the other: ops->name says which. */
int io_new(struct io_backend **ret, bool plain, const struct io_options *options);
void io_free(struct io_backend *backend); /* nothing in flight; null is fine */

/* Files.  `path` and buffers live until done.  Reads and writes may be short. */
void io_open(struct io_backend *backend, struct io *io, int dir_fd, const char *path, int flags);
void io_close(struct io_backend *backend, struct io *io, int fd);
void io_read(struct io_backend *backend, struct io *io, int fd, void *data, size_t length,
	     uint64_t offset);
void io_write(struct io_backend *backend, struct io *io, int fd, const void *data, size_t length,
	      uint64_t offset);
void io_flush(struct io_backend *backend, struct io *io, int fd); /* fdatasync */
void io_sync(struct io_backend *backend, struct io *io, int fd);  /* fsync, directories too */
void io_allocate(struct io_backend *backend, struct io *io, int fd, uint64_t offset,
		 uint64_t length); /* fallocate, extends the size */
void io_rename(struct io_backend *backend, struct io *io, int dir_fd, const char *from,
	       const char *to);
void io_unlink(struct io_backend *backend, struct io *io, int dir_fd, const char *path);

/* Sockets.  io_accept stays armed: done runs once a connection (result: fd) until it is cancelled
 * or fails (result < 0, disarmed).  io_receive is one-shot into a pooled buffer (io->buffer);
 * result 0 is the peer's end, -ENOBUFS an exhausted pool (try later).  io_receive_into fills
 * caller memory, completing only when full, at end (short count) or on error. io_send writes the
 * whole message (short only on error).  io_ready is one-shot too: done runs with 0 once the
 * descriptor can be read; it shares the place of the descriptor's receives. */
void io_accept(struct io_backend *backend, struct io *io, int listener);
void io_receive(struct io_backend *backend, struct io *io, int fd);
void io_receive_into(struct io_backend *backend, struct io *io, int fd, void *data, size_t length);
void io_send(struct io_backend *backend, struct io *io, int fd, struct msghdr *message);
void io_ready(struct io_backend *backend, struct io *io, int fd);
void io_buffer_put(struct io_backend *backend, struct io_buffer *buffer);

/* Asks for an early end of `io`; its done still runs, with -ECANCELED unless it was faster. */
void io_cancel(struct io_backend *backend, struct io *io);

/* Submits what was queued, runs `done` of what has completed; when nothing had, sleeps up to
 * wait_ns (0: not at all) until a completion or io_wake.  Returns the number of completions run,
 * -errno when the backend itself is broken. */
int io_turn(struct io_backend *backend, uint64_t wait_ns);
/* Ends a sleep in io_turn now or the next one.  Any thread. */
void io_wake(struct io_backend *backend);
/* Slab number `slab` of the region is now readable memory used for I/O. */
void io_slab_added(struct io_backend *backend, unsigned slab);
/* Turns until `io`, just submitted, is done; returns its result and ignores its `done`.  Start-up
 * and shutdown only. */
int io_wait(struct io_backend *backend, struct io *io);
