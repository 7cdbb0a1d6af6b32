/* storage/io_uring.c: the back end of choice, one io_uring a thread.
 *
 *	io_read, io_send, ... ──► submission queue ──┐ (full: overflow list)
 *	                                             ├─ io_turn: one io_uring_enter
 *	done ◄── finished, or again ◄── completions ─┘
 *
 * The ring is made with SINGLE_ISSUER and DEFER_TASKRUN (Linux 6.1): the kernel finishes our
 * operations only when we enter it, on our core, never by interrupting us.  TASKRUN_FLAG says when
 * there is such work, so a busy turn without news makes no system call at all.  The ring starts
 * disabled and is enabled by the first io_turn, because SINGLE_ISSUER binds it to the thread that
 * enables it, and start-up may make it elsewhere.  Older kernels get fewer flags; those without
 * provided buffer rings (before 5.19) get -ENOSYS.
 *
 * The wake-up eventfd always has a read outstanding.  Its protocol is told in io_internal.h.
 *
 * Operations that promise the whole (receive_into, send) are submitted again while short.  A
 * cancelled one may come back short too, hence IO_CANCELLED: it is not submitted again.
 *
 * Slabs of the region are registered as fixed buffers, by number.  A read or write that lies in a
 * registered slab uses it; the caller does not know.  The kernel counts registered memory against
 * RLIMIT_MEMLOCK; when it refuses, plain operations do the same, a little slower. */
#include "storage/io.h"

#include "base/check.h"
#include "base/counter.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/io_internal.h"

#include <liburing.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	BUFFER_GROUP = 0,
	FIXED_SLABS_MAX = 1 << 14, /* the kernel's IORING_MAX_REG_BUFFERS */
};

/* Completions that are no struct io. */
static const uint64_t DATA_NONE = 0;
static const uint64_t DATA_WAKE = 1;

struct uring_backend {
	struct io_backend backend;
	struct io_uring ring;
	bool ring_made;
	bool enabled;
	bool wake_armed;
	struct io_waker waker;
	uint64_t wakes; /* what the eventfd's read fills */
	unsigned in_flight;
	struct io_queue overflow; /* await a submission entry */
	struct io_queue cancels;  /* in the kernel, their cancel awaits one */
	struct io_queue ready;    /* cancelled before the kernel saw them */
	struct io_pool pool;
	struct io_uring_buf_ring *buffer_ring;
	uint8_t *region;
	size_t slab_bytes;
	unsigned slab_count; /* 0: no fixed buffers */
	bool *slab_fixed;
};

static struct uring_backend *uring_of(struct io_backend *backend)
{
	return (struct uring_backend *)backend;
}

/* The number of the fixed buffer that holds the operation's memory, or -1. */
static int fixed_slab(const struct uring_backend *uring, const struct io *io)
{
	size_t start = (uintptr_t)io->data - (uintptr_t)uring->region;

	if (!uring->slab_count || (uintptr_t)io->data < (uintptr_t)uring->region)
		return -1;
	size_t slab = start / uring->slab_bytes;
	if (slab >= uring->slab_count || !uring->slab_fixed[slab])
		return -1;
	return start % uring->slab_bytes + io->length <= uring->slab_bytes ? (int)slab : -1;
}

static void prepare_read(const struct uring_backend *uring, struct io *io, struct io_uring_sqe *sqe)
{
	int slab = fixed_slab(uring, io);
	unsigned length = (unsigned)io->length;

	if (slab < 0)
		io_uring_prep_read(sqe, io->fd, io->data, length, io->offset);
	else
		io_uring_prep_read_fixed(sqe, io->fd, io->data, length, io->offset, slab);
}

static void prepare_write(const struct uring_backend *uring, struct io *io,
			  struct io_uring_sqe *sqe)
{
	int slab = fixed_slab(uring, io);
	unsigned length = (unsigned)io->length;

	if (slab < 0)
		io_uring_prep_write(sqe, io->fd, io->data, length, io->offset);
	else
		io_uring_prep_write_fixed(sqe, io->fd, io->data, length, io->offset, slab);
}

static void prepare_receive(struct io *io, struct io_uring_sqe *sqe)
{
	io_uring_prep_recv(sqe, io->fd, NULL, 0, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
}

static void prepare(const struct uring_backend *uring, struct io *io, struct io_uring_sqe *sqe)
{
	const char *to = (const char *)(uintptr_t)io->offset;

	switch ((enum io_op)io->op) {
	case IO_OPEN:
		io_uring_prep_openat(sqe, io->fd, io->data, (int)io->offset | O_CLOEXEC,
				     IO_FILE_MODE);
		break;
	case IO_CLOSE:
		io_uring_prep_close(sqe, io->fd);
		break;
	case IO_READ:
		prepare_read(uring, io, sqe);
		break;
	case IO_WRITE:
		prepare_write(uring, io, sqe);
		break;
	case IO_FLUSH:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_SYNC:
		io_uring_prep_fsync(sqe, io->fd, 0);
		break;
	case IO_ALLOCATE:
		/* liburing 2.3 still declares off_t; the bits are the same. */
		io_uring_prep_fallocate(sqe, io->fd, 0, (off_t)io->offset, (off_t)io->length);
		break;
	case IO_RENAME:
		io_uring_prep_renameat(sqe, io->fd, io->data, io->fd, to, 0);
		break;
	case IO_UNLINK:
		io_uring_prep_unlinkat(sqe, io->fd, io->data, 0);
		break;
	case IO_ACCEPT:
		/* Not multishot: a burst of connections would take all descriptors that are left
		 * before the first one could be refused, and storage would have none. */
		io_uring_prep_accept(sqe, io->fd, NULL, NULL, SOCK_CLOEXEC);
		break;
	case IO_READY:
		io_uring_prep_poll_add(sqe, io->fd, POLLIN);
		break;
	case IO_RECEIVE:
		prepare_receive(io, sqe);
		break;
	case IO_RECEIVE_INTO:
		io_uring_prep_recv(sqe, io->fd, io->data, io->length, MSG_WAITALL);
		break;
	case IO_SEND:
		io_uring_prep_sendmsg(sqe, io->fd, io->data, MSG_NOSIGNAL | MSG_WAITALL);
		break;
	}
	if (io->flags & IO_POLL_FIRST)
		io_uring_prep_poll_add(sqe, io->fd, io->op == IO_SEND ? POLLOUT : POLLIN);
	io_uring_sqe_set_data(sqe, io);
}

/* For a new operation and for the rest of a short one.  Those that wait go first. */
static void enqueue(struct uring_backend *uring, struct io *io)
{
	struct io_uring_sqe *sqe = uring->overflow.head ? NULL : io_uring_get_sqe(&uring->ring);

	if (sqe) {
		prepare(uring, io, sqe);
		return;
	}
	counter_add(&uring->backend.stats.overflowed, 1);
	io->flags |= IO_OVERFLOWED;
	io_queue_push(&uring->overflow, io);
}

static void uring_submit(struct io_backend *backend, struct io *io)
{
	struct uring_backend *uring = uring_of(backend);

	uring->in_flight++;
	enqueue(uring, io);
}

static void prepare_cancel(struct io *io, struct io_uring_sqe *sqe)
{
	io_uring_prep_cancel(sqe, io, 0);
	io_uring_sqe_set_data64(sqe, DATA_NONE);
}

static void uring_cancel(struct io_backend *backend, struct io *io)
{
	struct uring_backend *uring = uring_of(backend);

	if (io->flags & IO_CANCELLED)
		return;
	io->flags |= IO_CANCELLED;
	if (io->flags & IO_OVERFLOWED) {
		io_queue_remove(&uring->overflow, io);
		io->flags &= (uint16_t)~IO_OVERFLOWED;
		io_queue_push(&uring->ready, io);
		return;
	}
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
	if (sqe) {
		prepare_cancel(io, sqe);
		return;
	}
	io->flags |= IO_CANCEL_QUEUED;
	io_queue_push(&uring->cancels, io);
}

/* The operation is the caller's again. */
static int finish(struct uring_backend *uring, struct io *io, int result)
{
	if (io->flags & IO_CANCEL_QUEUED)
		io_queue_remove(&uring->cancels, io);
	uring->in_flight--;
	io->done(io, result);
	return 1;
}

/* Submits what is missing, unless the caller wants it no more. */
static int again(struct uring_backend *uring, struct io *io)
{
	if (io->flags & IO_CANCELLED)
		return finish(uring, io, -ECANCELED);
	enqueue(uring, io);
	return 0;
}

static void give_buffer(struct uring_backend *uring, unsigned index)
{
	struct io_buffer *buffer = &uring->pool.buffers[index];

	io_uring_buf_ring_add(uring->buffer_ring, buffer->data, uring->pool.bytes,
			      (unsigned short)index, io_uring_buf_ring_mask(uring->pool.count), 0);
	io_uring_buf_ring_advance(uring->buffer_ring, 1);
}

static int complete_receive(struct uring_backend *uring, struct io *io, int result, unsigned flags)
{
	if (flags & IORING_CQE_F_BUFFER) {
		unsigned index = flags >> IORING_CQE_BUFFER_SHIFT;
		check(index < uring->pool.count);
		if (result > 0) {
			io->buffer = &uring->pool.buffers[index];
			io->buffer->length = (uint32_t)result;
		} else {
			give_buffer(uring, index);
		}
	}
	check(result <= 0 || io->buffer);
	return finish(uring, io, result);
}

static int complete_accept(struct uring_backend *uring, struct io *io, int result)
{
	if (result == -ECONNABORTED)
		return again(uring, io);
	if (result < 0)
		return finish(uring, io, result);
	io->done(io, result);
	return 1 + again(uring, io);
}

static int complete_receive_into(struct uring_backend *uring, struct io *io, int result)
{
	if (result < 0)
		return finish(uring, io, result);
	io->data = (uint8_t *)io->data + result;
	io->length -= (size_t)result;
	io->result += result;
	if (!result || !io->length)
		return finish(uring, io, io->result);
	return again(uring, io);
}

static int complete_send(struct uring_backend *uring, struct io *io, int result)
{
	if (result < 0)
		return finish(uring, io, result);
	io_message_advance(io->data, (size_t)result);
	io->length -= (size_t)result;
	io->result += result;
	if (!io->length)
		return finish(uring, io, io->result);
	return again(uring, io);
}

/* EAGAIN from a socket means its descriptor is nonblocking, which makes io_uring not wait either;
 * then readiness is asked for first.  Returns the number of dones run. */
static int complete(struct uring_backend *uring, struct io *io, int result, unsigned flags)
{
	if (io->flags & IO_POLL_FIRST) {
		io->flags &= (uint16_t)~IO_POLL_FIRST;
		return result < 0 ? finish(uring, io, result) : again(uring, io);
	}
	if (result == -EINTR && io->op == IO_CLOSE)
		result = 0;
	if (result == -EINTR || result == -EAGAIN) {
		if (result == -EAGAIN && io->op >= IO_ACCEPT)
			io->flags |= IO_POLL_FIRST;
		return again(uring, io);
	}
	switch ((enum io_op)io->op) {
	case IO_ACCEPT:
		return complete_accept(uring, io, result);
	case IO_READY:
		return finish(uring, io, result < 0 ? result : 0);
	case IO_RECEIVE:
		return complete_receive(uring, io, result, flags);
	case IO_RECEIVE_INTO:
		return complete_receive_into(uring, io, result);
	case IO_SEND:
		return complete_send(uring, io, result);
	case IO_OPEN:
	case IO_CLOSE:
	case IO_READ:
	case IO_WRITE:
	case IO_FLUSH:
	case IO_SYNC:
	case IO_ALLOCATE:
	case IO_RENAME:
	case IO_UNLINK:
		break;
	}
	return finish(uring, io, result);
}

/* Each completion leaves the queue before its done runs, which may turn the backend itself
 * (io_wait).  What arrives meanwhile is for the next turn. */
static int reap(struct uring_backend *uring)
{
	unsigned left = io_uring_cq_ready(&uring->ring);
	struct io_uring_cqe *cqe;
	int count = 0;

	for (; left && io_uring_peek_cqe(&uring->ring, &cqe) == 0; left--) {
		uint64_t data = cqe->user_data;
		int result = cqe->res;
		unsigned flags = cqe->flags;
		io_uring_cqe_seen(&uring->ring, cqe);
		if (data == DATA_WAKE)
			uring->wake_armed = false;
		else if (data != DATA_NONE)
			count += complete(uring, (struct io *)(uintptr_t)data, result, flags);
	}
	return count;
}

static int run_ready(struct uring_backend *uring)
{
	struct io_queue ready = uring->ready;
	int count = 0;

	uring->ready = (struct io_queue){0};
	for (struct io *io; (io = io_queue_pop(&ready));)
		count += finish(uring, io, -ECANCELED);
	return count;
}

/* Null when the kernel takes no more for now. */
static struct io_uring_sqe *next_entry(struct uring_backend *uring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

	if (!sqe && io_uring_submit(&uring->ring) > 0)
		sqe = io_uring_get_sqe(&uring->ring);
	return sqe;
}

static void arm_wake(struct uring_backend *uring)
{
	struct io_uring_sqe *sqe = uring->wake_armed ? NULL : next_entry(uring);

	if (!sqe)
		return;
	io_uring_prep_read(sqe, uring->waker.fd, &uring->wakes, sizeof(uring->wakes), 0);
	io_uring_sqe_set_data64(sqe, DATA_WAKE);
	uring->wake_armed = true;
}

/* Entries for all that found none. */
static void drain_lists(struct uring_backend *uring)
{
	struct io_uring_sqe *sqe;

	arm_wake(uring);
	while (uring->cancels.head && (sqe = next_entry(uring))) {
		struct io *io = io_queue_pop(&uring->cancels);
		io->flags &= (uint16_t)~IO_CANCEL_QUEUED;
		prepare_cancel(io, sqe);
	}
	while (uring->overflow.head && (sqe = next_entry(uring))) {
		struct io *io = io_queue_pop(&uring->overflow);
		io->flags &= (uint16_t)~IO_OVERFLOWED;
		prepare(uring, io, sqe);
	}
}

static int enter_busy(struct uring_backend *uring)
{
	unsigned kernel = __atomic_load_n(uring->ring.sq.kflags, __ATOMIC_RELAXED);

	if (kernel & IORING_SQ_CQ_OVERFLOW)
		counter_add(&uring->backend.stats.cq_overflowed, 1);
	if (!io_uring_sq_ready(&uring->ring) &&
	    !(kernel & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)))
		return 0;
	return io_uring_submit_and_get_events(&uring->ring);
}

static int enter_sleep(struct uring_backend *uring, uint64_t wait_ns)
{
	struct __kernel_timespec wait = {
		.tv_sec = (int64_t)(wait_ns / 1000000000),
		.tv_nsec = (long long)(wait_ns % 1000000000),
	};
	struct io_uring_cqe *cqe;
	int rc;

	if (io_waker_down(&uring->waker))
		rc = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &wait, NULL);
	else
		rc = io_uring_submit_and_get_events(&uring->ring);
	io_waker_up(&uring->waker);
	return rc;
}

/* Shortage and interruption pass; the next turn tries again. */
static bool is_passing(int rc)
{
	return rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EBUSY || rc == -EAGAIN;
}

/* liburing 2.3 declares io_uring_enable_rings, but its shared library does not export it. */
static int enable_rings(const struct uring_backend *uring)
{
	long rc = syscall(__NR_io_uring_register, uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS,
			  NULL, 0);

	return rc < 0 ? -errno : 0;
}

static int enable(struct uring_backend *uring)
{
	int rc = 0;

	if (uring->ring.flags & IORING_SETUP_R_DISABLED)
		rc = enable_rings(uring);
	if (rc < 0)
		return rc;
	uring->enabled = true;
	/* A registered ring is the thread's; only SINGLE_ISSUER makes the kernel refuse the
	 * unregistration that io_free would do from another thread, on that one's ring. */
	if (uring->ring.flags & IORING_SETUP_SINGLE_ISSUER)
		io_uring_register_ring_fd(&uring->ring);
	return 0;
}

static int uring_turn(struct io_backend *backend, uint64_t wait_ns)
{
	struct uring_backend *uring = uring_of(backend);
	int rc = uring->enabled ? 0 : enable(uring);

	if (rc < 0)
		return rc;
	int count = run_ready(uring);
	drain_lists(uring);
	if (!wait_ns || count || uring->ready.head || uring->overflow.head || uring->cancels.head ||
	    !uring->wake_armed || io_uring_cq_ready(&uring->ring))
		rc = enter_busy(uring);
	else
		rc = enter_sleep(uring, wait_ns);
	count += reap(uring);
	return is_passing(rc) || count ? count : rc;
}

static void uring_wake(struct io_backend *backend)
{
	io_waker_wake(&uring_of(backend)->waker);
}

static void uring_buffer_put(struct io_backend *backend, struct io_buffer *buffer)
{
	struct uring_backend *uring = uring_of(backend);

	io_pool_check(&uring->pool, buffer);
	give_buffer(uring, buffer->index);
}

static void uring_slab_added(struct io_backend *backend, unsigned slab)
{
	struct uring_backend *uring = uring_of(backend);

	if (slab >= uring->slab_count)
		return;
	struct iovec memory = {uring->region + (size_t)slab * uring->slab_bytes, uring->slab_bytes};
	__u64 tag = 0;
	int rc = io_uring_register_buffers_update_tag(&uring->ring, slab, &memory, &tag, 1);
	if (rc == 1) {
		uring->slab_fixed[slab] = true;
		return;
	}
	uring->slab_fixed[slab] = false;
	static atomic_bool told;
	if (!atomic_exchange(&told, true))
		log_warn("io", "slab not registered, plain reads and writes instead: %s",
			 error_text(rc < 0 ? rc : -EIO));
}

static void uring_free(struct io_backend *backend)
{
	struct uring_backend *uring = uring_of(backend);

	check(!uring->in_flight);
	if (uring->ring_made)
		io_uring_queue_exit(&uring->ring);
	io_waker_fini(&uring->waker);
	io_pool_fini(&uring->pool);
	free(uring->buffer_ring);
	free(uring->slab_fixed);
	free(uring);
}

static const struct io_ops uring_ops = {
	.name = "uring",
	.free = uring_free,
	.submit = uring_submit,
	.cancel = uring_cancel,
	.turn = uring_turn,
	.wake = uring_wake,
	.buffer_put = uring_buffer_put,
	.slab_added = uring_slab_added,
};

static int make_ring(struct uring_backend *uring, const struct io_options *options)
{
	static const unsigned flags[] = {
		/* 6.1 */
		IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		/* 5.19 */
		IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_SUBMIT_ALL,
	};
	int rc = -EINVAL;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && rc == -EINVAL; i++) {
		/* Multishots and receives outnumber the entries of one submission. */
		struct io_uring_params params = {
			.flags = flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = 4 * options->depth,
		};
		rc = io_uring_queue_init_params(options->depth, &uring->ring, &params);
		uring->ring_made = rc == 0;
		if (rc == 0 && !(params.features & IORING_FEAT_EXT_ARG))
			rc = -ENOSYS;
	}
	/* A policy may say EACCES; an old kernel does not know the flags. */
	return rc == -EINVAL ? -ENOSYS : rc == -EACCES ? -EPERM : rc;
}

static int make_pool(struct uring_backend *uring, const struct io_options *options)
{
	int rc = io_pool_init(&uring->pool, options);

	if (rc < 0 || !uring->pool.count)
		return rc;
	void *memory;
	if (posix_memalign(&memory, 4096, uring->pool.count * sizeof(struct io_uring_buf)))
		return -ENOMEM;
	uring->buffer_ring = memory;
	io_uring_buf_ring_init(uring->buffer_ring);
	struct io_uring_buf_reg group = {
		.ring_addr = (uintptr_t)memory,
		.ring_entries = uring->pool.count,
		.bgid = BUFFER_GROUP,
	};
	rc = io_uring_register_buf_ring(&uring->ring, &group, 0);
	if (rc < 0)
		return rc == -EINVAL ? -ENOSYS : rc;
	for (unsigned i = 0; i < uring->pool.count; i++)
		give_buffer(uring, i);
	return 0;
}

static int make_slabs(struct uring_backend *uring, const struct io_options *options)
{
	if (!options->region || !options->slab_bytes)
		return 0;
	size_t count = options->region_bytes / options->slab_bytes;
	if (count > FIXED_SLABS_MAX)
		count = FIXED_SLABS_MAX;
	uring->region = options->region;
	uring->slab_bytes = options->slab_bytes;
	uring->slab_fixed = calloc(count ? count : 1, sizeof(*uring->slab_fixed));
	if (!uring->slab_fixed)
		return -ENOMEM;
	/* Refused: none is ever fixed. */
	if (count && io_uring_register_buffers_sparse(&uring->ring, (unsigned)count) == 0)
		uring->slab_count = (unsigned)count;
	return 0;
}

int io_uring_new(struct io_backend **ret, const struct io_options *options)
{
	struct uring_backend *uring = calloc(1, sizeof(*uring));

	if (!uring)
		return -ENOMEM;
	uring->backend.ops = &uring_ops;
	uring->waker.fd = -1;
	int rc = make_ring(uring, options);
	if (rc == 0)
		rc = io_waker_init(&uring->waker, 0);
	if (rc == 0)
		rc = make_pool(uring, options);
	if (rc == 0)
		rc = make_slabs(uring, options);
	if (rc < 0) {
		uring_free(&uring->backend);
		return rc;
	}
	*ret = &uring->backend;
	return 0;
}
