/* storage/io.c: the calls of io.h, written down in a struct io and handed to the back end.
 *
 * Plus the small parts both kernel back ends need: the receive pool's memory, the eventfd protocol
 * and the arithmetic of half-sent messages. */
#include "storage/io.h"

#include "base/check.h"
#include "base/counter.h"
#include "storage/io_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

int io_new(struct io_backend **ret, bool plain, const struct io_options *options)
{
	int rc = plain ? -ENOSYS : io_uring_new(ret, options);

	return rc < 0 ? io_sync_new(ret, options) : rc;
}

void io_free(struct io_backend *backend)
{
	if (backend)
		backend->ops->free(backend);
}

static void submit(struct io_backend *backend, struct io *io, enum io_op op, int fd, void *data,
		   size_t length, uint64_t offset)
{
	io->op = (uint16_t)op;
	io->flags = 0;
	io->buffer = NULL;
	io->next = NULL;
	io->fd = fd;
	io->data = data;
	io->length = length;
	io->offset = offset;
	io->result = 0;
	counter_add(&backend->stats.submitted, 1);
	backend->ops->submit(backend, io);
}

/* The field of struct io is not const because reads fill it; writes and paths are only read. */
static void *unconst(const void *data)
{
	return (void *)(uintptr_t)data;
}

static size_t transfer_bytes(size_t length)
{
	return length < IO_TRANSFER_BYTES_MAX ? length : IO_TRANSFER_BYTES_MAX;
}

void io_open(struct io_backend *backend, struct io *io, int dir_fd, const char *path, int flags)
{
	submit(backend, io, IO_OPEN, dir_fd, unconst(path), 0, (uint64_t)(unsigned)flags);
}

void io_close(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_CLOSE, fd, NULL, 0, 0);
}

void io_read(struct io_backend *backend, struct io *io, int fd, void *data, size_t length,
	     uint64_t offset)
{
	submit(backend, io, IO_READ, fd, data, transfer_bytes(length), offset);
}

void io_write(struct io_backend *backend, struct io *io, int fd, const void *data, size_t length,
	      uint64_t offset)
{
	submit(backend, io, IO_WRITE, fd, unconst(data), transfer_bytes(length), offset);
}

void io_flush(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_FLUSH, fd, NULL, 0, 0);
}

void io_sync(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_SYNC, fd, NULL, 0, 0);
}

void io_allocate(struct io_backend *backend, struct io *io, int fd, uint64_t offset,
		 uint64_t length)
{
	submit(backend, io, IO_ALLOCATE, fd, NULL, (size_t)length, offset);
}

void io_rename(struct io_backend *backend, struct io *io, int dir_fd, const char *from,
	       const char *to)
{
	submit(backend, io, IO_RENAME, dir_fd, unconst(from), 0, (uint64_t)(uintptr_t)to);
}

void io_unlink(struct io_backend *backend, struct io *io, int dir_fd, const char *path)
{
	submit(backend, io, IO_UNLINK, dir_fd, unconst(path), 0, 0);
}

void io_accept(struct io_backend *backend, struct io *io, int listener)
{
	submit(backend, io, IO_ACCEPT, listener, NULL, 0, 0);
}

void io_ready(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_READY, fd, NULL, 0, 0);
}

void io_receive(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_RECEIVE, fd, NULL, 0, 0);
}

void io_receive_into(struct io_backend *backend, struct io *io, int fd, void *data, size_t length)
{
	check(length <= INT_MAX);
	submit(backend, io, IO_RECEIVE_INTO, fd, data, length, 0);
}

void io_send(struct io_backend *backend, struct io *io, int fd, struct msghdr *message)
{
	size_t length = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++)
		length += message->msg_iov[i].iov_len;
	check(length <= INT_MAX);
	submit(backend, io, IO_SEND, fd, message, length, 0);
}

void io_buffer_put(struct io_backend *backend, struct io_buffer *buffer)
{
	backend->ops->buffer_put(backend, buffer);
}

void io_cancel(struct io_backend *backend, struct io *io)
{
	backend->ops->cancel(backend, io);
}

int io_turn(struct io_backend *backend, uint64_t wait_ns)
{
	int done = backend->ops->turn(backend, wait_ns);

	if (done > 0)
		counter_add(&backend->stats.completed, (unsigned)done);
	return done;
}

void io_wake(struct io_backend *backend)
{
	backend->ops->wake(backend);
}

void io_slab_added(struct io_backend *backend, unsigned slab)
{
	backend->ops->slab_added(backend, slab);
}

/* Null is how io_wait sees the end. */
static void wait_done(struct io *io, int result)
{
	io->result = result;
	io->done = NULL;
}

int io_wait(struct io_backend *backend, struct io *io)
{
	io_done_fn *done = io->done;
	int rc = 0;

	check(io->op != IO_ACCEPT);
	io->done = wait_done;
	while (io->done && rc >= 0)
		rc = io_turn(backend, UINT64_MAX);
	if (io->done)
		return rc;
	io->done = done;
	return io->result;
}

void io_queue_remove(struct io_queue *queue, struct io *io)
{
	struct io *before = NULL;

	for (struct io *at = queue->head; at != io; at = at->next) {
		check(at);
		before = at;
	}
	if (before)
		before->next = io->next;
	else
		queue->head = io->next;
	if (queue->tail == io)
		queue->tail = before;
	io->next = NULL;
}

int io_pool_init(struct io_pool *pool, const struct io_options *options)
{
	if (!options->buffer_count)
		return 0;
	check(options->buffer_bytes);
	check(!(options->buffer_count & (options->buffer_count - 1)));
	check(options->buffer_count <= 32768);

	size_t bytes = (size_t)options->buffer_count * options->buffer_bytes;
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			    0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	pool->memory = memory;
	pool->memory_bytes = bytes;
	pool->buffers = calloc(options->buffer_count, sizeof(*pool->buffers));
	if (!pool->buffers)
		return -ENOMEM;
	pool->count = options->buffer_count;
	pool->bytes = options->buffer_bytes;
	for (unsigned i = 0; i < pool->count; i++) {
		pool->buffers[i].data = pool->memory + (size_t)i * pool->bytes;
		pool->buffers[i].index = i;
	}
	return 0;
}

void io_pool_fini(struct io_pool *pool)
{
	if (pool->memory)
		munmap(pool->memory, pool->memory_bytes);
	free(pool->buffers);
}

void io_pool_check(const struct io_pool *pool, const struct io_buffer *buffer)
{
	check(buffer->index < pool->count);
	check(buffer == &pool->buffers[buffer->index]);
}

void io_message_advance(struct msghdr *message, size_t count)
{
	while (message->msg_iovlen && count >= message->msg_iov->iov_len) {
		count -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (!count)
		return;
	check(message->msg_iovlen);
	message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + count;
	message->msg_iov->iov_len -= count;
}

int io_waker_init(struct io_waker *waker, int flags)
{
	waker->fd = eventfd(0, EFD_CLOEXEC | flags);
	return waker->fd < 0 ? -errno : 0;
}

void io_waker_fini(struct io_waker *waker)
{
	if (waker->fd >= 0)
		close(waker->fd);
}

void io_waker_wake(struct io_waker *waker)
{
	uint64_t one = 1;

	if (atomic_exchange(&waker->pending, true) || !atomic_load(&waker->sleeping))
		return;
	/* Eight bytes into an eventfd that is drained once a sleep: cannot be short or block. */
	while (write(waker->fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}
