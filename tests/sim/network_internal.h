/* tests/sim/network_internal.h: a socket, shared by network.c, streams.c and datagrams.c. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "tests/sim/network.h"
#include "tests/sim/schedule.h"

enum socket_phase {
	SOCKET_FRESH, /* bound or not */
	SOCKET_LISTENING,
	SOCKET_CONNECTING,
	SOCKET_CONNECTED,
	SOCKET_BROKEN, /* refused, reset or cut */
};

/* What comes in: data[taken .. arrived) can be read, data[arrived .. end) is under way. */
struct stream {
	uint8_t *data;
	size_t room, taken, arrived, end;
	size_t window; /* the sender's: of end - taken */
	struct event arrival;
	bool ending;         /* the peer sends no more: after the last byte comes the end */
	bool reset;          /* likewise, but what comes is a reset */
	bool ended;          /* it has come */
	uint64_t sent_acked; /* of what this end has sent */
	size_t in_vain;      /* bytes sent since the peer closed */
	bool sends_no_more;
	bool reads_no_more;
};

/* What a datagram socket holds. */
struct mailbox {
	struct list received; /* struct datagram, the first is read next */
	size_t received_bytes;
	struct list under_way; /* struct datagram that were sent and have not come */
	size_t under_way_bytes;
	size_t send_bytes_max;
	uint64_t latest_ns; /* when the last one that did not overtake comes */
};

struct socket_state {
	enum socket_kind kind;
	enum socket_phase phase;
	int error; /* negative, told once */
	uint16_t port, peer_port;
	bool shares_port;
	bool accepted;          /* the listener's end of a connection */
	struct list bound_link; /* among those that hold a port */
	void (*changed)(void *context);
	void *context;

	struct list queue; /* of a listener: connections to accept */
	struct list queue_link;
	struct event connecting;
	struct socket_state *peer; /* null: none, or closed */
	struct stream stream;
	struct mailbox mailbox;
};

extern struct network {
	struct random random;
	struct network_faults faults;
	struct list bound; /* struct socket_state by bound_link, the oldest first */
	uint16_t next_port;
	unsigned accepted_count;
} network;

uint64_t network_delay_ns(void); /* drawn */
void socket_tell(struct socket_state *socket);
int socket_take_error(struct socket_state *socket);
/* Gives it a port of its own if it has none. */
void socket_bind_any(struct socket_state *socket);
/* The socket of this kind and phase at the port, of several one that is drawn; null. */
struct socket_state *socket_at(enum socket_kind kind, enum socket_phase phase, uint16_t port);

/* streams.c */
void stream_start(struct socket_state *socket, struct socket_state *peer);
/* Lets go of the peer, which will read what was sent and then the end or a reset; `lost`: a part
 * of what is under way, drawn, never comes. */
void stream_leave(struct socket_state *socket, bool reset, bool lost);
void stream_break(struct socket_state *socket, int error);
void stream_fini(struct socket_state *socket);
bool stream_readable(const struct socket_state *socket);
bool stream_writable(const struct socket_state *socket);

/* datagrams.c */
void mailbox_init(struct socket_state *socket);
void mailbox_fini(struct socket_state *socket);
bool mailbox_writable(const struct socket_state *socket);
