#include "storage/io_internal.h"

#include "base/check.h"

#include <errno.h>
#include <unistd.h>

static void submit(struct io_backend *backend, struct io *io, enum io_op op, int fd, void *data,
		   size_t length, uint64_t offset)
{
	io->op = (uint16_t)op;
	io->flags = 0;
	io->fd = fd;
	io->data = data;
	io->length = length;
	io->offset = offset;
	io->result = 0;
	io->next = NULL;
	io->buffer = NULL;
	backend->ops->submit(backend, io);
}

static void *writable(const void *data)
{
	return (void *)(uintptr_t)data;
}

void io_free(struct io_backend *backend)
{
	if (backend)
		backend->ops->free(backend);
}

void io_open(struct io_backend *backend, struct io *io, int dir_fd, const char *path, int flags)
{
	submit(backend, io, IO_OPEN, dir_fd, writable(path), (size_t)flags, 0);
}

void io_close(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_CLOSE, fd, NULL, 0, 0);
}

void io_read(struct io_backend *backend, struct io *io, int fd, void *data, size_t length,
	     uint64_t offset)
{
	submit(backend, io, IO_READ, fd, data, length, offset);
}

void io_write(struct io_backend *backend, struct io *io, int fd, const void *data, size_t length,
	      uint64_t offset)
{
	submit(backend, io, IO_WRITE, fd, writable(data), length, offset);
}

void io_flush(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_FLUSH, fd, NULL, 0, 0);
}

void io_sync(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_SYNC, fd, NULL, 0, 0);
}

void io_allocate(struct io_backend *backend, struct io *io, int fd, uint64_t offset, uint64_t length)
{
	submit(backend, io, IO_ALLOCATE, fd, NULL, length, offset);
}

void io_rename(struct io_backend *backend, struct io *io, int dir_fd, const char *from, const char *to)
{
	submit(backend, io, IO_RENAME, dir_fd, writable(from), 0, (uint64_t)(uintptr_t)to);
}

const char *io_rename_target(const struct io *io)
{
	return (const char *)(uintptr_t)io->offset;
}

void io_unlink(struct io_backend *backend, struct io *io, int dir_fd, const char *path)
{
	submit(backend, io, IO_UNLINK, dir_fd, writable(path), 0, 0);
}

void io_accept(struct io_backend *backend, struct io *io, int listener)
{
	submit(backend, io, IO_ACCEPT, listener, NULL, 0, 0);
}

void io_receive(struct io_backend *backend, struct io *io, int fd)
{
	submit(backend, io, IO_RECEIVE, fd, NULL, 0, 0);
}

void io_receive_into(struct io_backend *backend, struct io *io, int fd, void *data, size_t length)
{
	submit(backend, io, IO_RECEIVE_INTO, fd, data, length, 0);
}

void io_send(struct io_backend *backend, struct io *io, int fd, struct msghdr *message)
{
	submit(backend, io, IO_SEND, fd, message, 0, 0);
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
	return backend->ops->turn(backend, wait_ns);
}

void io_wake(struct io_backend *backend)
{
	backend->ops->wake(backend);
}

void io_slab_added(struct io_backend *backend, unsigned slab)
{
	backend->ops->slab_added(backend, slab);
}

int io_wait(struct io_backend *backend, struct io *io)
{
	io->flags |= IO_WAITED;
	while (!(io->flags & IO_DONE))
		check(io_turn(backend, UINT64_C(1000000000)) >= 0);
	return io->result;
}

void io_complete(struct io *io, int result)
{
	io->result = result;
	if (io->flags & IO_WAITED) {
		io->flags |= IO_DONE;
		return;
	}
	io->done(io, result);
}

size_t io_message_advance(struct msghdr *message, size_t bytes)
{
	while (message->msg_iovlen && bytes >= message->msg_iov->iov_len) {
		bytes -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (!message->msg_iovlen)
		return 0;
	message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + bytes;
	message->msg_iov->iov_len -= bytes;
	return 1;
}
