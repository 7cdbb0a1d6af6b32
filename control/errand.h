/* control/errand.h: what a thread outside the mesh has the control plane do.
 *
 * The control plane owns an errand from errands_send until it calls its `run`, exactly once: on its
 * own thread with itself, or with null when it has ended and nothing was done.  `run` may wait for
 * nothing.  Errands run in the order in which they were sent. */
#pragma once
#include <stdatomic.h>

struct control;

struct errand {
	void (*run)(struct errand *errand, struct control *control);
	struct errand *next; /* the errands' */
};

struct errands {
	struct errand *_Atomic newest;
};

/* Any thread.  After the end `run` is called at once, by this thread. */
void errands_send(struct errands *errands, struct errand *errand);
/* The control plane's thread: runs what has come; every turn. */
void errands_turn(struct errands *errands, struct control *control);
/* Likewise: what has come and what will come is told of the end. */
void errands_end(struct errands *errands);
