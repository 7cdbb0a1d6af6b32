/* control/listener.h: listening sockets. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "control/listen_address.h"

/* `count` sockets on one address, bound, listening, SO_REUSEPORT among themselves only: an address
 * that somebody else listens on is refused.  Port 0 takes a free one, the same for all; *ret_port
 * says which.  `fds` are the caller's; after a failure none is open and what was is -1.
 * -EADDRINUSE, -errno; `why` gets the sentence. */
int listeners_open(const struct listen_address *address, unsigned count, int fds[],
		   uint16_t *ret_port, char *why, size_t why_bytes);

/* `count` UDP sockets on consecutive ports from address->port on (not 0), bound.  As above. */
int datagram_sockets_open(const struct listen_address *address, unsigned count, int fds[],
			  char *why, size_t why_bytes);
