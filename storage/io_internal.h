/* storage/io_internal.h: what io.c and its back ends share.
 *
 * Also what a third back end (the simulator) needs to read an operation: which fields of struct io
 * an enum io_op uses.  Everything here runs on the backend's thread. */
#pragma once
#include "storage/io.h"

#include <stdatomic.h>

enum io_op {
	IO_OPEN,         /* fd: folder, data: path, offset: flags */
	IO_CLOSE,        /* fd */
	IO_READ,         /* fd, data, length, offset */
	IO_WRITE,        /* the same */
	IO_FLUSH,        /* fd */
	IO_SYNC,         /* fd */
	IO_ALLOCATE,     /* fd, offset, length */
	IO_RENAME,       /* fd: folder, data: from, offset: to, a pointer */
	IO_UNLINK,       /* fd: folder, data: path */
	IO_ACCEPT,       /* fd; the only one whose done runs many times */
	IO_READY,        /* fd */
	IO_RECEIVE,      /* fd; gives buffer */
	IO_RECEIVE_INTO, /* fd, data and length: what is left; result: what arrived */
	IO_SEND,         /* fd, data: struct msghdr and length: what is left; result: what went */
};

/* Bits of io->flags. */
enum {
	IO_CANCELLED = 1 << 0,     /* io_cancel was called */
	IO_POLL_FIRST = 1 << 1,    /* uring: the file is nonblocking, wait for readiness first */
	IO_CANCEL_QUEUED = 1 << 2, /* uring: in the list of cancels that await an entry */
	IO_OVERFLOWED = 1 << 3,    /* uring: in the list of operations that await an entry */
};

enum {
	IO_FILE_MODE = 0644,
	IO_TRANSFER_BYTES_MAX = 0x7ffff000, /* Linux moves no more in one call */
};

/* First in, first out, by io->next. */
struct io_queue {
	struct io *head;
	struct io *tail;
};

static inline void io_queue_push(struct io_queue *queue, struct io *io)
{
	io->next = NULL;
	if (queue->tail)
		queue->tail->next = io;
	else
		queue->head = io;
	queue->tail = io;
}

/* Null when empty. */
static inline struct io *io_queue_pop(struct io_queue *queue)
{
	struct io *io = queue->head;

	if (!io)
		return NULL;
	queue->head = io->next;
	if (!queue->head)
		queue->tail = NULL;
	io->next = NULL;
	return io;
}

/* Walks: for the rare ways out of the middle. */
void io_queue_remove(struct io_queue *queue, struct io *io);

/* The receive buffers: one piece of memory, cut.  Who has which is the back end's business. */
struct io_pool {
	struct io_buffer *buffers;
	uint8_t *memory;
	size_t memory_bytes;
	unsigned count;
	unsigned bytes;
};

int io_pool_init(struct io_pool *pool, const struct io_options *options); /* -ENOMEM */
void io_pool_fini(struct io_pool *pool);                                  /* all zero is fine */
/* Aborts on a stranger's buffer. */
void io_pool_check(const struct io_pool *pool, const struct io_buffer *buffer);

/* Takes `count` sent bytes off the front of the message, in its iovecs. */
void io_message_advance(struct msghdr *message, size_t count);

/* The way from io_wake to a sleeping thread.
 *
 * The sleeper stores `sleeping`, then loads `pending`, and sleeps only if that was false; the waker
 * stores `pending`, then loads `sleeping`, and writes to the eventfd only if that was true.  All
 * four are sequentially consistent, so at least one of the two sees the other.  Wakers after the
 * first find `pending` set already and leave the rest to the first.  The sleeper clears `pending`
 * when it is up; its read-modify-write orders what the waker did before the wake (say, a message
 * put into a ring) before what the sleeper does next. */
struct io_waker {
	int fd; /* eventfd, nonblocking for sync, blocking for uring */
	atomic_bool sleeping;
	atomic_bool pending;
};

int io_waker_init(struct io_waker *waker, int flags); /* of eventfd; -errno */
void io_waker_fini(struct io_waker *waker);
void io_waker_wake(struct io_waker *waker); /* any thread */

/* False: do not sleep. Either way io_waker_up must follow. */
static inline bool io_waker_down(struct io_waker *waker)
{
	atomic_store(&waker->sleeping, true);
	return !atomic_load(&waker->pending);
}

static inline void io_waker_up(struct io_waker *waker)
{
	atomic_store(&waker->sleeping, false);
	atomic_exchange(&waker->pending, false);
}
