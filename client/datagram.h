/* client/datagram.h: private to datagram*.c: endpoints of the transport, and the seam below them.
 *
 * An endpoint is one endpoint of dataplane/transport with the channels that are its sessions.  What
 * takes its datagrams away and brings those that come is a carrier, which embeds it:
 * datagram_socket.c, a kernel socket for each channel; datagram_port.c, a port of DPDK for all
 * channels of a client.
 *
 * Owner: the client's thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "client/channel.h"
#include "client/loop.h"
#include "dataplane/transport/transport.h"

struct addrinfo;
struct endpoint;

struct carrier_ops {
	/* False: full; it is offered again by a later endpoint_drive. */
	bool (*send)(struct endpoint *endpoint, const struct transport_datagram *datagram);
	/* What was sent leaves, in case it has only been collected. */
	void (*flush)(struct endpoint *endpoint);
	/* Its last channel was closed. */
	void (*unused)(struct endpoint *endpoint);
};

struct endpoint {
	const struct carrier_ops *ops;
	struct loop *loop;
	struct timer timer;
	struct transport *transport;
	struct list news; /* channels with something to tell */
	unsigned channels;
	uint64_t due_ns; /* of the transport; 0: it has been asked for something since */
};

/* For carriers; the channels' limits are in *config already. */
struct transport_config endpoint_config(uint64_t response_bytes_max, int64_t connect_timeout_ms);
/* -ENOMEM, -EINVAL; endpoint_fini is due either way. */
int endpoint_init(struct endpoint *endpoint, struct loop *loop, const struct carrier_ops *ops,
		  const struct transport_config *config);
void endpoint_fini(struct endpoint *endpoint);
void endpoint_receive(struct endpoint *endpoint, const void *data, size_t length,
		      const struct transport_address *from);
/* Does what is due and tells the channels' owners.  Only from the loop: callbacks run, and with the
 * last channel the endpoint may go. */
void endpoint_drive(struct endpoint *endpoint);

/* A session to `to`, as a channel. */
int datagram_open(struct channel **ret, struct endpoint *endpoint, const struct channel_ops *ops,
		  const struct transport_address *to, const struct channel_settings *settings,
		  struct channel_owner *owner);
void datagram_call(struct channel *channel, struct channel_call *call);
void datagram_cancel(struct channel *channel, struct channel_call *call);
void datagram_close(struct channel *channel);
/* The channel is of no use any more: its owner is told in the next drive. */
void datagram_fail(struct channel *channel, int rc);

/* IPv4 first: a datagram socket connects to anything, so there is no trying one after the other,
 * and brokers of names with both are most likely to listen there.  *ret_found is to be freed. */
int datagram_look_up(const char *host, int port, struct addrinfo **ret_found,
		     const struct addrinfo **ret);
struct transport_address datagram_address(const struct addrinfo *found);
