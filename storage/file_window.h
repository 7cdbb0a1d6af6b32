/* storage/file_window.h: reading files at a start, where that may block: a piece, or a window that
 * slides forward over a segment, batch by batch. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads on where the system gave less than asked for, which it does for other reasons than the
 * file's end: an error further on, for one.  A count, short at the end of the file alone; -errno.
 */
ssize_t file_read(int fd, void *data, size_t length, uint64_t offset);

struct file_window {
	int fd; /* the caller's; may be open for direct I/O */
	uint64_t file_bytes;
	uint8_t *data;
	size_t capacity;
	uint64_t position; /* of data[0], block aligned */
	size_t length;
	int error; /* of the machine: not to be taken for the end */
	/* Blocks that the device cannot read have zeros; behind the last such. */
	uint64_t unreadable_end;
};

/* `count` bytes at `position`, until the next call; null at the end of the file, or with `error`
 * set. */
const uint8_t *file_window_at(struct file_window *window, uint64_t position, size_t count);
void file_window_fini(struct file_window *window); /* a zeroed one is fine; the file stays open */
