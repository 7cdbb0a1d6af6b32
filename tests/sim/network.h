/* tests/sim/network.h: connections and datagrams between processes of one simulated host.
 *
 * Pure state and events, as disk.h; calls_sockets.c and backend.c are the system calls in front.  A
 * stream delivers bytes in order, in pieces of any size, after a drawn delay, and can be cut: both
 * sides get ECONNRESET, what was under way is lost.  A datagram is dropped, doubled, delayed or
 * overtaken as the faults say. An address is a port; every host is 127.0.0.1.  Several listeners of
 * one port (SO_REUSEPORT) get connections as drawn. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/random.h"
#include "tests/sim/schedule.h"

struct socket_state; /* one end: a listener, a stream or a datagram socket */

struct network_faults {
	uint64_t delay_ns_min, delay_ns_max; /* of a piece, of a datagram */
	/* In a million each. */
	uint32_t drop, duplicate, overtake; /* of datagrams */
	uint32_t garble;                    /* a byte of a copy is another */
	uint32_t cut;                       /* of pieces of a stream: the connection breaks here */
	bool whole; /* pieces of a stream are all that is under way, else of any size */
	size_t datagram_bytes_max; /* a narrow path: longer ones are lost; 0: none is */
};

void network_init(struct random random);
void network_set_faults(const struct network_faults *faults);
uint64_t network_draw(uint64_t bound); /* for those who stand in front of sockets */

enum { NETWORK_MAILBOX_BYTES = 1 << 20 }; /* of a datagram socket, like SO_RCVBUF */

enum socket_kind { SOCKET_STREAM, SOCKET_DATAGRAM };
struct socket_state *socket_new(enum socket_kind kind);
bool socket_is_stream(const struct socket_state *socket);
/* Connections that came to a listener and that its side has not closed. */
unsigned network_accepted(void);
void socket_close(struct socket_state *socket); /* the peer reads what was sent, then the end */
/* Its process died: as drawn the peer still gets what was sent, or a part, then ECONNRESET. */
void socket_reset(struct socket_state *socket);

/* Port 0: any, and says which.  -EADDRINUSE: see socket_share_port. */
int socket_bind(struct socket_state *socket, uint16_t *port);
/* SO_REUSEPORT: several sockets that all asked for it may have one port. */
void socket_share_port(struct socket_state *socket);
int socket_listen(struct socket_state *socket);
int socket_connect(struct socket_state *socket, uint16_t port); /* -EINPROGRESS, -ECONNREFUSED */
int socket_error(struct socket_state *socket);                  /* SO_ERROR: taken */
int socket_accept(struct socket_state *socket, struct socket_state **ret); /* -EAGAIN */
uint16_t socket_port(const struct socket_state *socket);
uint16_t socket_peer_port(const struct socket_state *socket);

/* Streams: counts, 0 at the peer's end, -EAGAIN, -ECONNRESET, -EPIPE. */
int64_t socket_receive(struct socket_state *socket, void *data, size_t length, bool peek);
int64_t socket_send(struct socket_state *socket, const void *data, size_t length);
int socket_shutdown_write(struct socket_state *socket);
int socket_shutdown_read(struct socket_state *socket);          /* the end is read from now on */
uint64_t socket_bytes_acked(const struct socket_state *socket); /* have come to the peer's host */
/* Datagrams: whole ones; what does not fit is cut off.  -ECONNREFUSED once after a datagram of a
 * connected socket came to a port where nobody is. */
int64_t socket_receive_from(struct socket_state *socket, void *data, size_t length,
			    uint16_t *ret_port);
int64_t socket_send_to(struct socket_state *socket, const void *data, size_t length, uint16_t port);

bool socket_readable(const struct socket_state *socket);
bool socket_writable(const struct socket_state *socket);
bool socket_peer_ended(const struct socket_state *socket); /* EPOLLRDHUP */
bool socket_broken(const struct socket_state *socket);     /* EPOLLERR, EPOLLHUP */
/* Runs, from an event or from a call of the peer's, whenever one of the two may have become true.
 */
void socket_on_change(struct socket_state *socket, void (*changed)(void *context), void *context);
