/* storage/io_internal.h: how the wrappers of io.c describe an operation to a backend. */
#pragma once
#include "storage/io.h"

/*                 data              length  offset
 * IO_OPEN         path              flags   -
 * IO_RENAME       from              -       to (pointer)
 * IO_SEND         struct msghdr     -       bytes sent so far
 * IO_RECEIVE_INTO memory            bytes   bytes received so far */
enum io_op {
	IO_OPEN,
	IO_CLOSE,
	IO_READ,
	IO_WRITE,
	IO_FLUSH,
	IO_SYNC,
	IO_ALLOCATE,
	IO_RENAME,
	IO_UNLINK,
	IO_ACCEPT,
	IO_RECEIVE,
	IO_RECEIVE_INTO,
	IO_SEND,
	IO_WAKE, /* the backend's own */
};

enum {
	IO_DONE = 1,    /* flags: set when `done` has run or would have */
	IO_WAITED = 2,  /* flags: io_wait collects the result */
	IO_FILE_MODE = 0644,
};

/* Ends an operation: remembers the result, runs `done` unless io_wait waits for it. */
void io_complete(struct io *io, int result);
/* Drops the first `bytes` of the message; returns what is left. */
size_t io_message_advance(struct msghdr *message, size_t bytes);
const char *io_rename_target(const struct io *io);
