/* storage/file_window.h: a window over a file that slides forward, for who reads a segment batch by
 * batch at a start. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As whole_pread, but a device that cannot read (-EIO) is asked again: what it says every time is
 * taken for damage, and that is remembered. */
ssize_t patient_pread(int fd, void *data, size_t length, uint64_t offset);

struct file_window {
	int fd; /* the caller's; may be open for direct I/O */
	uint64_t file_bytes;
	uint8_t *data;
	size_t capacity;
	size_t chunk;      /* read at once */
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
