/* The mesh: what mesh_send collects during a turn goes into the rings in one burst a receiver, and
 * each receiver is woken at most once a turn.
 *
 *     thread f: mesh_send -> outbox[f][t] -> (mesh_flush) -> ring[f][t] -> mesh_receive on thread t
 *
 * A row of outboxes belongs to its sender.  The only words that two threads share are inside the
 * rings and each thread's `backend`, which is written once by mesh_attach (pairs with the load in
 * wake: the sender enqueues first, then loads; the receiver stores first, then looks at its rings).
 */
#include "dataplane/message.h"

#include "base/check.h"
#include "base/counter.h"
#include "storage/io.h"

#include <errno.h>
#include <rte_errno.h>
#include <rte_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	RING_SLOTS = 1024,
	BURST = 64,
};

struct outbox {
	struct message *first;
	struct message *last;
};

struct mesh_thread {
	_Atomic(struct io_backend *) backend;
	void *receiver;
	struct outbox *outboxes; /* one a receiver; the entry for itself is its own inbox */
	/* The thread's; any may read. */
	uint64_t sent;
	uint64_t received;
	uint64_t full;
};

struct mesh {
	unsigned thread_count;
	struct rte_ring **rings; /* [from * thread_count + to]; null on the diagonal */
	struct mesh_thread threads[];
};

static struct rte_ring *ring_between(const struct mesh *mesh, unsigned from, unsigned to)
{
	return mesh->rings[from * mesh->thread_count + to];
}

static int make_rings(struct mesh *mesh)
{
	for (unsigned from = 0; from < mesh->thread_count; from++) {
		for (unsigned to = 0; to < mesh->thread_count; to++) {
			char name[RTE_RING_NAMESIZE];

			if (from == to)
				continue;
			snprintf(name, sizeof(name), "mesh_%u_%u", from, to);
			struct rte_ring *ring = rte_ring_create(name, RING_SLOTS, SOCKET_ID_ANY,
								RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (!ring)
				return -rte_errno;
			mesh->rings[from * mesh->thread_count + to] = ring;
		}
	}
	return 0;
}

int mesh_new(struct mesh **ret, unsigned thread_count)
{
	struct mesh *mesh = calloc(1, sizeof(*mesh) + thread_count * sizeof(mesh->threads[0]));
	int rc = -ENOMEM;

	check(thread_count >= 1);
	if (!mesh)
		return rc;
	mesh->thread_count = thread_count;
	mesh->rings = calloc((size_t)thread_count * thread_count, sizeof(struct rte_ring *));
	if (!mesh->rings)
		goto fail;
	for (unsigned i = 0; i < thread_count; i++) {
		mesh->threads[i].outboxes = calloc(thread_count, sizeof(struct outbox));
		if (!mesh->threads[i].outboxes)
			goto fail;
	}
	rc = make_rings(mesh);
	if (rc < 0)
		goto fail;
	*ret = mesh;
	return 0;
fail:
	mesh_free(mesh);
	return rc;
}

void mesh_free(struct mesh *mesh)
{
	if (!mesh)
		return;
	for (unsigned i = 0; mesh->rings && i < mesh->thread_count * mesh->thread_count; i++)
		rte_ring_free(mesh->rings[i]);
	for (unsigned i = 0; i < mesh->thread_count; i++)
		free(mesh->threads[i].outboxes);
	free(mesh->rings);
	free(mesh);
}

unsigned mesh_control(const struct mesh *mesh)
{
	return mesh->thread_count - 1;
}

unsigned mesh_coordinator(const struct mesh *mesh)
{
	check(mesh->thread_count >= 2);
	return mesh->thread_count - 2;
}

unsigned mesh_background(const struct mesh *mesh)
{
	check(mesh->thread_count >= 3);
	return mesh->thread_count - 3;
}

void mesh_attach(struct mesh *mesh, unsigned self, struct io_backend *backend, void *receiver)
{
	check(self < mesh->thread_count);
	mesh->threads[self].receiver = receiver;
	atomic_store(&mesh->threads[self].backend, backend);
}

void mesh_send(struct mesh *mesh, unsigned from, unsigned to, struct message *message)
{
	check(from < mesh->thread_count && to < mesh->thread_count);
	struct outbox *box = &mesh->threads[from].outboxes[to];

	check(message->handle);
	message->next = NULL;
	if (box->last)
		box->last->next = message;
	else
		box->first = message;
	box->last = message;
}

void mesh_wake(struct mesh *mesh, unsigned to)
{
	struct io_backend *backend = atomic_load(&mesh->threads[to].backend);

	/* Not attached yet: it looks at its rings before it first sleeps. */
	if (backend)
		io_wake(backend);
}

static void flush_outbox(struct mesh *mesh, unsigned from, unsigned to)
{
	struct outbox *box = &mesh->threads[from].outboxes[to];
	struct rte_ring *ring = ring_between(mesh, from, to);

	while (box->first) {
		void *burst[BURST];
		unsigned count = 0;
		for (struct message *m = box->first; m && count < BURST; m = m->next)
			burst[count++] = m;
		/* Read the links before the receiver owns the messages. */
		struct message *after[BURST];
		for (unsigned i = 0; i < count; i++)
			after[i] = ((struct message *)burst[i])->next;
		unsigned sent = rte_ring_sp_enqueue_burst(ring, burst, count, NULL);
		counter_add(&mesh->threads[from].sent, sent);
		if (sent < count)
			counter_add(&mesh->threads[from].full, 1);
		if (sent == 0)
			break;
		box->first = after[sent - 1];
		if (!box->first)
			box->last = NULL;
	}
	mesh_wake(mesh, to);
}

void mesh_flush(struct mesh *mesh, unsigned self)
{
	for (unsigned to = 0; to < mesh->thread_count; to++) {
		if (to != self && mesh->threads[self].outboxes[to].first)
			flush_outbox(mesh, self, to);
	}
	/* What it sent itself waits for mesh_receive, and nobody tells when a full ring has room
	 * again: do not sleep before. */
	for (unsigned to = 0; to < mesh->thread_count; to++) {
		if (mesh->threads[self].outboxes[to].first) {
			mesh_wake(mesh, self);
			break;
		}
	}
}

static unsigned receive_own(struct mesh *mesh, unsigned self)
{
	struct outbox *box = &mesh->threads[self].outboxes[self];
	struct message *message = box->first;
	unsigned handled = 0;

	*box = (struct outbox){0};
	while (message) {
		struct message *next = message->next;
		message->handle(message, mesh->threads[self].receiver);
		message = next;
		handled++;
	}
	return handled;
}

static unsigned receive_burst(struct mesh *mesh, unsigned self, unsigned from)
{
	void *burst[BURST];
	unsigned count = rte_ring_sc_dequeue_burst(ring_between(mesh, from, self), burst, BURST,
						   NULL);

	if (count)
		counter_add(&mesh->threads[self].received, count);
	for (unsigned i = 0; i < count; i++) {
		struct message *message = burst[i];
		check(message->handle);
		message->handle(message, mesh->threads[self].receiver);
	}
	return count;
}

unsigned mesh_receive_from(struct mesh *mesh, unsigned self, unsigned from)
{
	unsigned handled = receive_burst(mesh, self, from);

	mesh_flush(mesh, self);
	return handled;
}

unsigned mesh_receive(struct mesh *mesh, unsigned self)
{
	unsigned handled = receive_own(mesh, self);

	for (unsigned from = 0; from < mesh->thread_count; from++) {
		if (from != self)
			handled += receive_burst(mesh, self, from);
	}
	mesh_flush(mesh, self);
	return handled;
}

/* As rte_ring_count, which reads plainly what the threads at its ends write. */
static unsigned count_of(const struct rte_ring *ring)
{
	/* First where it begins, which is never behind an end read later. */
	uint32_t begin = __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE);
	uint32_t end = __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED);
	unsigned count = end - begin;

	return count < ring->capacity ? count : ring->capacity;
}

void mesh_stats(const struct mesh *mesh, unsigned thread, struct mesh_stats *ret)
{
	check(thread < mesh->thread_count);
	*ret = (struct mesh_stats){
		.sent = counter_read(&mesh->threads[thread].sent),
		.received = counter_read(&mesh->threads[thread].received),
		.full = counter_read(&mesh->threads[thread].full),
	};
	for (unsigned from = 0; from < mesh->thread_count; from++) {
		const struct rte_ring *ring = ring_between(mesh, from, thread);
		unsigned waiting = ring ? count_of(ring) : 0;
		ret->waiting += waiting;
		if (waiting > ret->fullest)
			ret->fullest = waiting;
	}
}

unsigned mesh_ring_slots(void)
{
	return RING_SLOTS - 1;
}
