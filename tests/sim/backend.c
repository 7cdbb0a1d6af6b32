/* The back end of storage/io.h in io_uring's place: turns, files and buffers.
 *
 *     io_write ... ──► file_operation ── its event, after the disk's latency ──► carried out
 *                                                                                  │
 *     done ◄── io_turn ◄── complete ◄──────────────────────────────────────────────┘
 *
 * The disk works while the shard does something else: an event carries out what was asked for, so
 * operations overtake each other as their latencies are drawn.  A flush covers what had been
 * carried out when it was submitted, and nothing that came later.  When the process dies, what is
 * under way is carried out or not, each for itself. */
#include "tests/sim/backend.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/list.h"
#include "tests/sim/backend_internal.h"
#include "tests/sim/calls_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* What a turn takes that finds nothing to do: who spins must not stop the clock. */
enum { IDLE_TURN_NS = 10000 };

struct file_operation {
	struct event event;
	struct sim_backend *sim;
	struct io *io;
	struct disk_flush flush; /* of IO_FLUSH and IO_SYNC, once it has begun */
	struct list link;        /* in the back end's files */
};

static struct sim_backend *sim_of(struct io_backend *backend)
{
	return (struct sim_backend *)backend;
}

void backend_rouse(struct sim_backend *sim)
{
	sim->roused = true;
	waiting_wake(&sim->waiting);
}

void backend_complete(struct sim_backend *sim, struct io *io, int result)
{
	io->result = result;
	io_queue_push(&sim->complete, io);
	backend_rouse(sim);
}

struct io_buffer *backend_buffer_get(struct sim_backend *sim)
{
	if (!sim->free_count)
		return NULL;
	return &sim->pool.buffers[sim->free_buffers[--sim->free_count]];
}

/* ---- files ---- */

static int64_t transfer(const struct io *io, const struct descriptor *descriptor)
{
	bool writes = io->op == IO_WRITE;

	if ((descriptor->flags & O_ACCMODE) == (writes ? O_RDONLY : O_WRONLY))
		return -EBADF;
	if (writes)
		return inode_write(sim_disk(), descriptor->inode, io->data, io->length, io->offset,
				   descriptor->flags & O_DIRECT);
	return inode_read(sim_disk(), descriptor->inode, io->data, io->length, io->offset);
}

static int64_t carry_out(struct file_operation *operation)
{
	const struct io *io = operation->io;
	struct descriptor *descriptor;

	if (operation->flush.inode)
		return inode_flush_end(sim_disk(), &operation->flush);
	int rc = file_get(io->fd, &descriptor);
	if (rc < 0)
		return rc;
	switch ((enum io_op)io->op) {
	case IO_READ:
	case IO_WRITE:
		return transfer(io, descriptor);
	case IO_ALLOCATE:
		return inode_allocate(sim_disk(), descriptor->inode, io->offset, io->length);
	case IO_RENAME:
		return disk_rename(sim_disk(), descriptor->inode, io->data, descriptor->inode,
				   (const char *)(uintptr_t)io->offset);
	case IO_UNLINK:
		return disk_unlink(sim_disk(), descriptor->inode, io->data, false);
	case IO_FLUSH:
	case IO_SYNC:
	case IO_OPEN:
	case IO_CLOSE:
	case IO_ACCEPT:
	case IO_READY:
	case IO_RECEIVE:
	case IO_RECEIVE_INTO:
	case IO_SEND:
		break;
	}
	return -EBADF;
}

static void operation_free(struct file_operation *operation)
{
	event_cancel(&operation->event);
	if (operation->flush.inode)
		inode_flush_abandon(sim_disk(), &operation->flush);
	list_remove(&operation->link);
	free(operation);
}

static void disk_is_done(struct event *event)
{
	struct file_operation *operation = container_of(event, struct file_operation, event);
	int result = (int)carry_out(operation);

	backend_complete(operation->sim, operation->io, result);
	operation_free(operation);
}

static void submit_file(struct sim_backend *sim, struct io *io)
{
	struct file_operation *operation = calloc(1, sizeof(*operation));
	struct descriptor *descriptor;

	check(operation);
	operation->sim = sim;
	operation->io = io;
	operation->event.happens = disk_is_done;
	list_push_back(&sim->files, &operation->link);
	if ((io->op == IO_FLUSH || io->op == IO_SYNC) && file_get(io->fd, &descriptor) == 0)
		inode_flush_begin(sim_disk(), descriptor->inode, io->op == IO_FLUSH,
				  &operation->flush);
	event_arm(&operation->event, sim_now_ns() + disk_latency_ns(sim_disk()));
}

/* The process is gone, its memory not yet. */
static void died(void *context)
{
	struct sim_backend *sim = context;

	while (!list_empty(&sim->files)) {
		struct file_operation *operation = container_of(sim->files.next,
								struct file_operation, link);
		if (random_below(&sim->random, 2))
			carry_out(operation);
		operation_free(operation);
	}
}

/* ---- the calls ---- */

static void sim_submit(struct io_backend *backend, struct io *io)
{
	struct sim_backend *sim = sim_of(backend);

	sim->in_flight++;
	switch ((enum io_op)io->op) {
	case IO_OPEN:
		backend_complete(sim, io, path_open(io->fd, io->data, (int)io->offset));
		break;
	case IO_CLOSE:
		backend_sockets_closing(sim, io->fd);
		backend_complete(sim, io, descriptor_close(io->fd));
		break;
	case IO_READ:
	case IO_WRITE:
	case IO_FLUSH:
	case IO_SYNC:
	case IO_ALLOCATE:
	case IO_RENAME:
	case IO_UNLINK:
		submit_file(sim, io);
		break;
	case IO_ACCEPT:
	case IO_READY:
	case IO_RECEIVE:
	case IO_RECEIVE_INTO:
	case IO_SEND:
		backend_sockets_submit(sim, io);
		break;
	}
}

/* What the disk is at ends as it does. */
static void sim_cancel(struct io_backend *backend, struct io *io)
{
	if (io->op >= IO_ACCEPT)
		backend_sockets_cancel(sim_of(backend), io);
}

static int run_complete(struct sim_backend *sim)
{
	struct io_queue complete = sim->complete;
	int count = 0;

	sim->complete = (struct io_queue){0};
	for (struct io *io; (io = io_queue_pop(&complete)); count++) {
		sim->in_flight--;
		io->done(io, io->result);
	}
	return count;
}

static int run(struct sim_backend *sim)
{
	int accepted = backend_sockets_turn(sim);

	return accepted + run_complete(sim);
}

static int sim_turn(struct io_backend *backend, uint64_t wait_ns)
{
	struct sim_backend *sim = sim_of(backend);
	bool roused = sim->roused;

	sim->roused = false;
	int count = run(sim);
	if (count || sim->complete.head || (wait_ns && (roused || sim->roused)))
		return count;
	uint64_t now_ns = sim_now_ns();
	if (!wait_ns)
		wait_ns = IDLE_TURN_NS;
	waiting_block(&sim->waiting, wait_ns < UINT64_MAX - now_ns ? now_ns + wait_ns : UINT64_MAX);
	sim->roused = false;
	return run(sim);
}

static void sim_wake(struct io_backend *backend)
{
	backend_rouse(sim_of(backend));
}

static void sim_buffer_put(struct io_backend *backend, struct io_buffer *buffer)
{
	struct sim_backend *sim = sim_of(backend);

	io_pool_check(&sim->pool, buffer);
	check(sim->free_count < sim->pool.count);
	sim->free_buffers[sim->free_count++] = buffer->index;
}

static void sim_slab_added(struct io_backend *backend, unsigned slab)
{
	(void)backend;
	(void)slab;
}

/* The struct itself stays for died(), which then finds nothing to do. */
static void sim_free(struct io_backend *backend)
{
	struct sim_backend *sim = sim_of(backend);

	check(!sim->in_flight);
	backend_sockets_free(sim->sockets);
	io_pool_fini(&sim->pool);
	free(sim->free_buffers);
}

static const struct io_ops sim_ops = {
	.name = "sim",
	.free = sim_free,
	.submit = sim_submit,
	.cancel = sim_cancel,
	.turn = sim_turn,
	.wake = sim_wake,
	.buffer_put = sim_buffer_put,
	.slab_added = sim_slab_added,
};

static int init_pool(struct sim_backend *sim, const struct io_options *options)
{
	int rc = io_pool_init(&sim->pool, options);

	if (rc < 0 || !sim->pool.count)
		return rc;
	sim->free_buffers = calloc(sim->pool.count, sizeof(*sim->free_buffers));
	if (!sim->free_buffers)
		return -ENOMEM;
	while (sim->free_count < sim->pool.count) {
		sim->free_buffers[sim->free_count] = sim->free_count;
		sim->free_count++;
	}
	return 0;
}

/* Its memory is mapped, not allocated: it goes with its process and, as calls_memory.c is asked
 * first, after died(), to which operations under way still show their data. */
static struct sim_backend *map_backend(void)
{
	struct sim_backend *sim = mmap(NULL, sizeof(*sim), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return sim == MAP_FAILED ? NULL : sim;
}

int sim_backend_new(struct io_backend **ret, const struct io_options *options)
{
	struct sim_backend *sim = map_backend();

	if (!sim)
		return -ENOMEM;
	sim->backend.ops = &sim_ops;
	sim->random = disk_split_random(sim_disk(), "backend");
	list_init(&sim->files);
	if (process_current())
		process_on_death(process_current(), died, sim);
	int rc = init_pool(sim, options);
	if (rc == 0)
		rc = backend_sockets_new(&sim->sockets, sim);
	if (rc < 0) {
		sim_free(&sim->backend);
		return rc;
	}
	*ret = &sim->backend;
	return 0;
}

int __wrap_io_uring_new(struct io_backend **ret, const struct io_options *options)
{
	return sim_backend_new(ret, options);
}
