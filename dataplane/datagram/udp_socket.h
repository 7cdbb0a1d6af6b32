/* dataplane/datagram/udp_socket.h: a kernel UDP socket as a packet source. */
#pragma once
#include "dataplane/datagram/packet_source.h"

struct io_backend;

/* `fd`: bound, the source's from now on; `backend` tells when it can be read.  -ENOMEM, -errno. */
int udp_socket_new(struct packet_source **ret, int fd, struct io_backend *backend);
