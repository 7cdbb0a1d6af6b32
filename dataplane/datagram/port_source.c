#include "dataplane/datagram/port_source.h"

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/message.h"
#include "storage/io.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { KEEP_MAX = 128 }; /* a quarter of the receive descriptors that a port has by default */

/* What the transport and the port call by different names has one layout. */
static_assert(sizeof(struct packet_view) == sizeof(struct port_datagram) &&
		      offsetof(struct packet_view, from) == offsetof(struct port_datagram, from) &&
		      offsetof(struct packet_view, packet) ==
			      offsetof(struct port_datagram, packet),
	      "a view is a port's datagram");
static_assert(sizeof(struct transport_address) == sizeof(struct port_address) &&
		      offsetof(struct transport_address, local) ==
			      offsetof(struct port_address, local),
	      "one address");
static_assert(sizeof(struct transport_piece) == sizeof(struct port_piece) &&
		      offsetof(struct transport_piece, length) ==
			      offsetof(struct port_piece, length),
	      "one piece");

struct wait {
	struct io io;
	int fd;
	bool armed;
};

struct port_source {
	struct packet_source source;
	struct port_queue *queue;
	struct mesh *mesh;
	struct io_backend *backend;
	struct wait waits[PORT_WAIT_FDS_MAX];
	unsigned wait_count;
	unsigned shard;
	bool asleep; /* port_woken is owed */
	bool stopping;
};

static struct port_source *port_of(struct packet_source *source)
{
	return container_of(source, struct port_source, source);
}

static unsigned port_source_receive(struct packet_source *source, struct packet_view *ret,
				    unsigned max, uint64_t now_ns)
{
	return port_receive(port_of(source)->queue, (struct port_datagram *)(void *)ret, max,
			    now_ns);
}

static void port_source_release(struct packet_source *source, void *packet)
{
	port_release(port_of(source)->queue, packet);
}

/* What cannot be sent at all is lost, as on any wire. */
static bool port_source_send(struct packet_source *source,
			     const struct transport_datagram *datagram, uint64_t now_ns)
{
	int rc = port_send(port_of(source)->queue, (const struct port_address *)datagram->to,
			   datagram->header, datagram->header_bytes,
			   (const struct port_piece *)datagram->pieces, datagram->piece_count,
			   now_ns);

	return rc != -EAGAIN && rc != -ENOBUFS;
}

static unsigned port_source_turn(struct packet_source *source, uint64_t now_ns)
{
	return port_turn(port_of(source)->queue, now_ns);
}

/* ---- sleeping ---- */

static void wait_over(struct io *io, int result)
{
	container_of(io, struct wait, io)->armed = false;
}

static uint64_t port_source_sleep(struct packet_source *source)
{
	struct port_source *port = port_of(source);

	if (!port_sleep(port->queue))
		return 0;
	port->asleep = true;
	for (unsigned i = 0; i < port->wait_count; i++) {
		struct wait *wait = &port->waits[i];
		if (wait->armed)
			continue;
		wait->armed = true;
		wait->io.done = wait_over;
		io_ready(port->backend, &wait->io, wait->fd);
	}
	return port_sleep_ns_max(port->queue);
}

static void port_source_woken(struct packet_source *source)
{
	struct port_source *port = port_of(source);

	if (port->asleep)
		port_woken(port->queue);
	port->asleep = false;
}

/* ---- the end ---- */

static bool port_source_stop(struct packet_source *source)
{
	struct port_source *port = port_of(source);
	bool armed = false;

	port_source_woken(source);
	for (unsigned i = 0; i < port->wait_count; i++) {
		if (port->waits[i].armed && !port->stopping)
			io_cancel(port->backend, &port->waits[i].io);
		armed |= port->waits[i].armed;
	}
	port->stopping = true;
	return !armed;
}

static void port_source_free(struct packet_source *source)
{
	struct port_source *port = port_of(source);

	/* What the device still refers to is released here. */
	port_queue_detach(port->queue);
	free(port);
}

static const struct packet_source_ops port_ops = {
	.name = "port",
	.receive = port_source_receive,
	.release = port_source_release,
	.send = port_source_send,
	.turn = port_source_turn,
	.sleep = port_source_sleep,
	.woken = port_source_woken,
	.keep_max = KEEP_MAX,
	.stop = port_source_stop,
	.free = port_source_free,
};

/* ---- what the port asks ---- */

static void hold(void *context, void *reference)
{
	const struct packet_source_hooks *hooks = &((struct port_source *)context)->source.hooks;

	hooks->hold(hooks->context, reference);
}

static void release(void *context, void *reference)
{
	const struct packet_source_hooks *hooks = &((struct port_source *)context)->source.hooks;

	hooks->release(hooks->context, reference);
}

static void wake(void *context, unsigned shard)
{
	const struct port_source *port = context;

	if (shard != port->shard)
		mesh_wake(port->mesh, shard);
}

int port_source_new(struct packet_source **ret, struct port *port, unsigned shard,
		    struct mesh *mesh, struct io_backend *backend)
{
	static const struct port_hooks hooks = {.hold = hold, .release = release, .wake = wake};
	struct port_source *source = calloc(1, sizeof(*source));
	int fds[PORT_WAIT_FDS_MAX];

	if (!source)
		return -ENOMEM;
	source->source.ops = &port_ops;
	source->queue = port_queue(port, shard);
	source->mesh = mesh;
	source->backend = backend;
	source->shard = shard;
	port_queue_attach(source->queue, &hooks, source);
	source->wait_count = port_wait_fds(source->queue, fds);
	for (unsigned i = 0; i < source->wait_count; i++)
		source->waits[i].fd = fds[i];
	*ret = &source->source;
	return 0;
}
