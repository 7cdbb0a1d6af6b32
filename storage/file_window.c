#include "storage/file_window.h"

#include "base/bytes.h"
#include "base/whole.h"
#include "storage/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_TRIES = 4 };

ssize_t patient_pread(int fd, void *data, size_t length, uint64_t offset)
{
	ssize_t got = -EIO;

	for (unsigned i = 0; got == -EIO && i < READ_TRIES; i++)
		got = whole_pread(fd, data, length, offset);
	return got;
}

enum { CHUNK_MOST_BYTES = 8 << 20 };

/* How much is read at once: who reads on gets more each time, as a device gives more of a large
 * piece than of small ones one after the other. */
static size_t next_chunk(const struct file_window *w, uint64_t position)
{
	bool reads_on = w->length && position >= w->position && position <= w->position + w->length;

	if (!reads_on)
		return READ_CHUNK_BYTES;
	return w->chunk < CHUNK_MOST_BYTES ? w->chunk * 2 : CHUNK_MOST_BYTES;
}

/* Room for `count` bytes from anywhere in a block. */
static bool grow(struct file_window *w, size_t count)
{
	size_t needed = round_up(count + BLOCK_BYTES, BLOCK_BYTES);

	if (w->chunk < needed)
		w->chunk = needed;
	if (w->chunk <= w->capacity)
		return true;
	free(w->data);
	w->data = aligned_alloc(BLOCK_BYTES, w->chunk);
	w->capacity = w->data ? w->chunk : 0;
	if (!w->data)
		w->error = -ENOMEM;
	return w->data;
}

/* One block, where a larger piece cannot be read. */
static ssize_t read_block(struct file_window *w)
{
	uint64_t at = w->position + w->length;
	size_t count = w->file_bytes - at < BLOCK_BYTES ? (size_t)(w->file_bytes - at)
							: BLOCK_BYTES;
	ssize_t got = patient_pread(w->fd, w->data + w->length, BLOCK_BYTES, at);

	if (got != -EIO)
		return got;
	memset(w->data + w->length, 0, count);
	w->unreadable_end = at + count;
	return (ssize_t)count;
}

/* More of the file behind what there is.  0: its end; -errno. */
static ssize_t read_more(struct file_window *w)
{
	ssize_t got = pread(w->fd, w->data + w->length, w->chunk - w->length,
			    (off_t)(w->position + w->length));

	if (got >= 0)
		return got;
	return errno == EIO ? read_block(w) : -errno;
}

const uint8_t *file_window_at(struct file_window *w, uint64_t position, size_t count)
{
	if (count > w->file_bytes || position > w->file_bytes - count)
		return NULL;
	if (position >= w->position && position + count <= w->position + w->length)
		return w->data + (position - w->position);
	w->chunk = next_chunk(w, position);
	w->length = 0;
	w->position = round_down(position, BLOCK_BYTES);
	if (!grow(w, count))
		return NULL;
	while (w->position + w->length < position + count) {
		ssize_t got = read_more(w);
		if (got <= 0) {
			w->error = (int)got;
			return NULL;
		}
		w->length += (size_t)got;
	}
	return w->data + (position - w->position);
}

void file_window_fini(struct file_window *w)
{
	free(w->data);
	*w = (struct file_window){.fd = -1};
}
