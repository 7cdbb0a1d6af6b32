/* tests/sim/backend_internal.h: what backend.c (files, turns, buffers) and backend_sockets.c share.
 *
 * Everything runs on the fiber that made the back end, but backend_rouse, which an event or another
 * fiber may call. */
#pragma once
#include "base/list.h"
#include "storage/io_internal.h"
#include "tests/sim/random.h"
#include "tests/sim/schedule.h"

struct backend_sockets;

struct sim_backend {
	struct io_backend backend;
	struct random random;
	struct waiting waiting; /* the fiber in io_turn */
	bool roused;            /* the next sleep ends at once */
	unsigned in_flight;
	struct io_queue complete; /* done not yet run */
	struct list files;        /* operations under way */
	struct io_pool pool;
	uint32_t *free_buffers;
	unsigned free_count;
	struct backend_sockets *sockets;
};

/* Its done runs in this or the next io_turn; the fiber is roused. */
void backend_complete(struct sim_backend *sim, struct io *io, int result);
/* Ends the sleep in io_turn, now or the next one. */
void backend_rouse(struct sim_backend *sim);
/* A free receive buffer; null: none (-ENOBUFS for data that has arrived). */
struct io_buffer *backend_buffer_get(struct sim_backend *sim);

/* ---- backend_sockets.c ---- */

int backend_sockets_new(struct backend_sockets **ret, struct sim_backend *sim);
void backend_sockets_free(struct backend_sockets *sockets); /* null is fine */
/* IO_ACCEPT and those behind it in enum io_op.  Ends in backend_complete, never in done. */
void backend_sockets_submit(struct sim_backend *sim, struct io *io);
/* Not parked (complete already): nothing. */
void backend_sockets_cancel(struct sim_backend *sim, struct io *io);
/* In io_turn, before what is complete is run: tries what waits for descriptors that changed, in an
 * order that is drawn.  Runs done itself for the connections of IO_ACCEPT alone, and says how many;
 * the rest ends in backend_complete. */
int backend_sockets_turn(struct sim_backend *sim);
/* IO_CLOSE is about to close it: nothing of ours may wait for it. */
void backend_sockets_closing(struct sim_backend *sim, int fd);
