/* The io_uring backend: one ring a thread, DEFER_TASKRUN, one system call a turn.
 *
 * Sockets receive into a provided buffer ring; files whose buffers lie in the registered region use
 * fixed-buffer reads and writes, which save the kernel the pinning of pages each time.  Another
 * thread wakes a sleeper through an eventfd that always has a read pending. */
#include "storage/io_internal.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	BUFFER_GROUP = 0,
	COMPLETIONS_A_TURN = 512,
};

struct uring {
	struct io_backend base;
	struct io_options options;
	struct io_uring ring;
	struct io *overflow_first; /* found the submission queue full */
	struct io *overflow_last;

	struct io wake_io;
	int wake_fd;
	uint64_t wake_value;
	/* Sleeper: sets `sleeping`, then looks at `pending`.  Waker: sets `pending`, then looks at
	 * `sleeping`.  Both seq_cst, so one of them sees the other. */
	atomic_bool sleeping;
	atomic_bool pending;

	struct io_uring_buf_ring *buffer_ring;
	struct io_buffer *buffers;
	uint8_t *buffer_memory;

	bool *slab_registered; /* one a slab of the region; null: no fixed buffers */
};

static struct uring *uring_of(struct io_backend *backend)
{
	return container_of(backend, struct uring, base);
}

/* ---- submission ---- */

/* The registered slab that holds all of [data, data + length), or -1. */
static int fixed_slab(const struct uring *u, const void *data, size_t length)
{
	if (!u->slab_registered)
		return -1;
	size_t at = (size_t)((const uint8_t *)data - (const uint8_t *)u->options.region);
	if (at >= u->options.region_bytes)
		return -1;
	size_t slab = at / u->options.slab_bytes;
	if (!u->slab_registered[slab] || at + length > (slab + 1) * u->options.slab_bytes)
		return -1;
	return (int)slab;
}

static void prepare_transfer(const struct uring *u, struct io_uring_sqe *sqe, struct io *io)
{
	int slab = fixed_slab(u, io->data, io->length);
	unsigned length = (unsigned)io->length;

	if (io->op == IO_READ && slab >= 0)
		io_uring_prep_read_fixed(sqe, io->fd, io->data, length, io->offset, slab);
	else if (io->op == IO_READ)
		io_uring_prep_read(sqe, io->fd, io->data, length, io->offset);
	else if (slab >= 0)
		io_uring_prep_write_fixed(sqe, io->fd, io->data, length, io->offset, slab);
	else
		io_uring_prep_write(sqe, io->fd, io->data, length, io->offset);
}

static void prepare(struct uring *u, struct io_uring_sqe *sqe, struct io *io)
{
	switch ((enum io_op)io->op) {
	case IO_OPEN:
		io_uring_prep_openat(sqe, io->fd, io->data, (int)io->length, IO_FILE_MODE);
		break;
	case IO_CLOSE:
		io_uring_prep_close(sqe, io->fd);
		break;
	case IO_READ:
	case IO_WRITE:
		prepare_transfer(u, sqe, io);
		break;
	case IO_FLUSH:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_SYNC:
		io_uring_prep_fsync(sqe, io->fd, 0);
		break;
	case IO_ALLOCATE:
		io_uring_prep_fallocate(sqe, io->fd, 0, (off_t)io->offset, (off_t)io->length);
		break;
	case IO_RENAME:
		io_uring_prep_renameat(sqe, io->fd, io->data, io->fd, io_rename_target(io), 0);
		break;
	case IO_UNLINK:
		io_uring_prep_unlinkat(sqe, io->fd, io->data, 0);
		break;
	case IO_ACCEPT:
		io_uring_prep_multishot_accept(sqe, io->fd, NULL, NULL, SOCK_CLOEXEC);
		break;
	case IO_RECEIVE:
		io_uring_prep_recv(sqe, io->fd, NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = BUFFER_GROUP;
		break;
	case IO_RECEIVE_INTO:
		io_uring_prep_recv(sqe, io->fd, (char *)io->data + io->offset,
				   io->length - io->offset, MSG_WAITALL);
		break;
	case IO_SEND:
		io_uring_prep_sendmsg(sqe, io->fd, io->data, MSG_NOSIGNAL | MSG_WAITALL);
		break;
	case IO_WAKE:
		io_uring_prep_read(sqe, io->fd, io->data, (unsigned)io->length, 0);
		break;
	}
	io_uring_sqe_set_data(sqe, io);
}

static struct io_uring_sqe *take_sqe(struct uring *u)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (!sqe) {
		io_uring_submit(&u->ring);
		sqe = io_uring_get_sqe(&u->ring);
	}
	return sqe;
}

static void uring_submit(struct io_backend *backend, struct io *io)
{
	struct uring *u = uring_of(backend);
	struct io_uring_sqe *sqe = u->overflow_first ? NULL : take_sqe(u);

	if (sqe) {
		prepare(u, sqe, io);
		return;
	}
	io->next = NULL;
	if (u->overflow_last)
		u->overflow_last->next = io;
	else
		u->overflow_first = io;
	u->overflow_last = io;
}

static void submit_overflow(struct uring *u)
{
	while (u->overflow_first) {
		struct io_uring_sqe *sqe = take_sqe(u);
		if (!sqe)
			return;
		struct io *io = u->overflow_first;
		u->overflow_first = io->next;
		if (!u->overflow_first)
			u->overflow_last = NULL;
		prepare(u, sqe, io);
	}
}

static void uring_cancel(struct io_backend *backend, struct io *io)
{
	struct uring *u = uring_of(backend);
	struct io_uring_sqe *sqe = take_sqe(u);

	/* Without a place it simply is not cancelled; it ends on its own. */
	if (!sqe)
		return;
	io_uring_prep_cancel(sqe, io, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

/* ---- completion ---- */

static void end_send(struct uring *u, struct io *io, int result)
{
	if (result > 0 && io_message_advance(io->data, (size_t)result)) {
		io->offset += (uint64_t)result;
		uring_submit(&u->base, io);
		return;
	}
	io_complete(io, result < 0 ? result : (int)(io->offset + (uint64_t)result));
}

static void end_receive_into(struct uring *u, struct io *io, int result)
{
	if (result > 0) {
		io->offset += (uint64_t)result;
		if (io->offset < io->length) {
			uring_submit(&u->base, io);
			return;
		}
	}
	io_complete(io, result < 0 ? result : (int)io->offset);
}

static void end_receive(struct uring *u, struct io *io, int result, unsigned flags)
{
	if (flags & IORING_CQE_F_BUFFER) {
		struct io_buffer *buffer = &u->buffers[flags >> IORING_CQE_BUFFER_SHIFT];
		if (result > 0) {
			io->buffer = buffer;
			buffer->length = (uint32_t)result;
		} else {
			u->base.ops->buffer_put(&u->base, buffer);
		}
	}
	io_complete(io, result);
}

static void end_accept(struct uring *u, struct io *io, int result, unsigned flags)
{
	bool more = flags & IORING_CQE_F_MORE;

	if (result >= 0 && !more)
		uring_submit(&u->base, io);
	io->done(io, result);
}

static void end(struct uring *u, struct io *io, int result, unsigned flags)
{
	/* A multishot's failure may be followed by nothing; others are repeated when interrupted. */
	if ((result == -EINTR || result == -EAGAIN) && io->op != IO_ACCEPT) {
		uring_submit(&u->base, io);
		return;
	}
	switch ((enum io_op)io->op) {
	case IO_ACCEPT:
		end_accept(u, io, result, flags);
		break;
	case IO_RECEIVE:
		end_receive(u, io, result, flags);
		break;
	case IO_RECEIVE_INTO:
		end_receive_into(u, io, result);
		break;
	case IO_SEND:
		end_send(u, io, result);
		break;
	case IO_WAKE:
		uring_submit(&u->base, io);
		break;
	case IO_OPEN:
	case IO_CLOSE:
	case IO_READ:
	case IO_WRITE:
	case IO_FLUSH:
	case IO_SYNC:
	case IO_ALLOCATE:
	case IO_RENAME:
	case IO_UNLINK:
		io_complete(io, result);
		break;
	}
}

static int reap(struct uring *u)
{
	int completed = 0;
	struct io_uring_cqe *cqe;

	while (completed < COMPLETIONS_A_TURN && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct io *io = io_uring_cqe_get_data(cqe);
		int result = cqe->res;
		unsigned flags = cqe->flags;
		io_uring_cqe_seen(&u->ring, cqe);
		if (!io)
			continue; /* of a cancel */
		end(u, io, result, flags);
		completed += io->op != IO_WAKE;
	}
	return completed;
}

static int enter(struct uring *u, uint64_t wait_ns)
{
	struct io_uring_cqe *cqe;

	if (wait_ns == 0 || io_uring_cq_ready(&u->ring)) {
		unsigned kernel_work = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
		unsigned flags = __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);
		if (!io_uring_sq_ready(&u->ring) && !(flags & kernel_work))
			return 0;
		return io_uring_submit_and_get_events(&u->ring);
	}
	struct __kernel_timespec limit = {
		.tv_sec = (long long)(wait_ns / NS_PER_SECOND),
		.tv_nsec = (long long)(wait_ns % NS_PER_SECOND),
	};
	return io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &limit, NULL);
}

static int uring_turn(struct io_backend *backend, uint64_t wait_ns)
{
	struct uring *u = uring_of(backend);

	submit_overflow(u);
	if (wait_ns) {
		atomic_store(&u->sleeping, true);
		if (atomic_exchange(&u->pending, false))
			wait_ns = 0;
	}
	int rc = enter(u, wait_ns);
	atomic_store(&u->sleeping, false);
	if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN)
		return rc;
	return reap(u);
}

static void uring_wake(struct io_backend *backend)
{
	struct uring *u = uring_of(backend);
	uint64_t one = 1;

	atomic_store(&u->pending, true);
	if (!atomic_load(&u->sleeping))
		return;
	ssize_t written = write(u->wake_fd, &one, sizeof(one));
	(void)written; /* full: a wake-up is under way already */
}

static void uring_buffer_put(struct io_backend *backend, struct io_buffer *buffer)
{
	struct uring *u = uring_of(backend);

	io_uring_buf_ring_add(u->buffer_ring, buffer->data, u->options.buffer_bytes,
			      (unsigned short)buffer->index,
			      io_uring_buf_ring_mask(u->options.buffer_count), 0);
	io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static void uring_slab_added(struct io_backend *backend, unsigned slab)
{
	struct uring *u = uring_of(backend);
	struct iovec memory = {
		.iov_base = (uint8_t *)u->options.region + slab * u->options.slab_bytes,
		.iov_len = u->options.slab_bytes,
	};

	if (!u->slab_registered)
		return;
	int rc = io_uring_register_buffers_update_tag(&u->ring, slab, &memory, NULL, 1);
	u->slab_registered[slab] = rc == 1;
}

/* ---- making and freeing ---- */

static void uring_free(struct io_backend *backend)
{
	struct uring *u = uring_of(backend);

	if (u->ring.ring_fd > 0)
		io_uring_queue_exit(&u->ring);
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	free(u->buffer_ring);
	free(u->buffer_memory);
	free(u->buffers);
	free(u->slab_registered);
	free(u);
}

static int make_pool(struct uring *u)
{
	unsigned count = u->options.buffer_count;
	size_t ring_bytes = round_up(count * sizeof(struct io_uring_buf), 4096);

	if (!count)
		return 0;
	u->buffer_ring = aligned_alloc(4096, ring_bytes);
	u->buffer_memory = aligned_alloc(4096, (size_t)count * u->options.buffer_bytes);
	u->buffers = calloc(count, sizeof(*u->buffers));
	if (!u->buffer_ring || !u->buffer_memory || !u->buffers)
		return -ENOMEM;
	memset(u->buffer_ring, 0, ring_bytes);
	struct io_uring_buf_reg registration = {
		.ring_addr = (uint64_t)(uintptr_t)u->buffer_ring,
		.ring_entries = count,
		.bgid = BUFFER_GROUP,
	};
	int rc = io_uring_register_buf_ring(&u->ring, &registration, 0);
	if (rc < 0)
		return rc;
	io_uring_buf_ring_init(u->buffer_ring);
	for (unsigned i = 0; i < count; i++) {
		u->buffers[i].index = i;
		u->buffers[i].data = u->buffer_memory + (size_t)i * u->options.buffer_bytes;
		uring_buffer_put(&u->base, &u->buffers[i]);
	}
	return 0;
}

static int make_fixed_table(struct uring *u)
{
	if (!u->options.region)
		return 0;
	size_t slabs = u->options.region_bytes / u->options.slab_bytes;
	if (io_uring_register_buffers_sparse(&u->ring, (unsigned)slabs) < 0)
		return 0; /* plain reads and writes do */
	u->slab_registered = calloc(slabs, sizeof(bool));
	return u->slab_registered ? 0 : -ENOMEM;
}

static int make_ring(struct uring *u)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CQSIZE,
		.cq_entries = u->options.depth * 4,
	};
	int rc = io_uring_queue_init_params(u->options.depth, &u->ring, &params);

	if (rc == -EINVAL) { /* before 6.1 */
		params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE,
						  .cq_entries = u->options.depth * 4};
		rc = io_uring_queue_init_params(u->options.depth, &u->ring, &params);
	}
	if (rc < 0)
		return rc;
	io_uring_register_ring_fd(&u->ring);
	return 0;
}

int io_uring_new(struct io_backend **ret, const struct io_options *options)
{
	static const struct io_ops ops = {
		.name = "uring",
		.free = uring_free,
		.submit = uring_submit,
		.cancel = uring_cancel,
		.turn = uring_turn,
		.wake = uring_wake,
		.buffer_put = uring_buffer_put,
		.slab_added = uring_slab_added,
	};
	struct uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	u->base.ops = &ops;
	u->options = *options;
	u->wake_fd = eventfd(0, EFD_CLOEXEC);
	rc = u->wake_fd < 0 ? -errno : make_ring(u);
	if (rc == 0)
		rc = make_pool(u);
	if (rc == 0)
		rc = make_fixed_table(u);
	if (rc < 0) {
		uring_free(&u->base);
		return rc;
	}
	u->wake_io = (struct io){.op = IO_WAKE,
				 .fd = u->wake_fd,
				 .data = &u->wake_value,
				 .length = sizeof(u->wake_value)};
	uring_submit(&u->base, &u->wake_io);
	*ret = &u->base;
	return 0;
}
