/* dataplane/message.h: how threads talk, and the only way they do.
 *
 * A mesh joins the shards (0, 1, ...), the background thread (count - 3), the coordinator (count -
 * 2) and the control plane (count - 1): one rte_ring, single producer and single consumer, for each
 * ordered pair.  A message is embedded in what it is about; sending it hands over that whole object
 * until it is sent back. Sending never fails and never waits: what a full ring does not take stays
 * in the sender's list and goes first next turn, so messages of one pair keep their order.  Rings
 * are bounded by what requests are in flight. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct io_backend;
struct mesh;

struct message {
	/* Runs on the receiving thread; `receiver` is what that thread passed to mesh_attach. */
	void (*handle)(struct message *message, void *receiver);
	struct message *next; /* the mesh's */
};

/* After EAL is up.  -ENOMEM, -errno of DPDK. */
int mesh_new(struct mesh **ret, unsigned thread_count);
void mesh_free(struct mesh *mesh);
unsigned mesh_control(const struct mesh *mesh);     /* the control plane's number */
unsigned mesh_background(const struct mesh *mesh);  /* the background's; of 3 threads or more */
unsigned mesh_coordinator(const struct mesh *mesh); /* the coordinator's; of 2 threads or more */

/* Once by each thread, before it sends or receives; `backend` is woken by senders. */
void mesh_attach(struct mesh *mesh, unsigned self, struct io_backend *backend, void *receiver);
/* By thread `from`.  To itself: handled in its next mesh_receive. */
void mesh_send(struct mesh *mesh, unsigned from, unsigned to, struct message *message);
/* Once a turn: handles what has come, sends on what was kept, wakes receivers of what was sent.
 * Returns the number of messages handled. */
unsigned mesh_receive(struct mesh *mesh, unsigned self);
/* The same for what thread `from` has sent; what others have sent stays where it is. */
unsigned mesh_receive_from(struct mesh *mesh, unsigned self, unsigned from);
/* Ends a sleep of thread `to`.  Any thread. */
void mesh_wake(struct mesh *mesh, unsigned to);
struct mesh_stats {
	uint64_t sent;     /* messages put into rings */
	uint64_t received; /* ... and taken out */
	uint64_t full;     /* times that a ring did not take all there was to send */
	unsigned waiting;  /* messages for the thread in all rings now */
	unsigned fullest;  /* ... in the one that has the most */
};
/* Of one thread.  Any thread. */
void mesh_stats(const struct mesh *mesh, unsigned thread, struct mesh_stats *ret);
unsigned mesh_ring_slots(void);
/* Pushes out what mesh_send collected this turn; call before sleeping. */
void mesh_flush(struct mesh *mesh, unsigned self);
