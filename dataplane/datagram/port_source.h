/* dataplane/datagram/port_source.h: a shard's queue of a DPDK port as a packet source. */
#pragma once
#include "dataplane/datagram/packet_source.h"

struct io_backend;
struct mesh;
struct port;

/* By the shard `shard`; the port outlives the source.  -ENOMEM. */
int port_source_new(struct packet_source **ret, struct port *port, unsigned shard,
		    struct mesh *mesh, struct io_backend *backend);
