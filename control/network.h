/* control/network.h: from settings to DPDK's environment and a port. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct config;
struct port;

/* Starts the EAL with what the settings ask for.  Once; main thread. */
int network_start(const struct config *config, unsigned shard_count, char *why, size_t why_bytes);
/* The port of dpdk.port, null where there is none; shard i is at UDP port `udp_port` + i.  Before
 * shards start.  Logs what the device turned out to be. */
int network_port_start(struct port **ret, const struct config *config, unsigned shard_count,
		       uint16_t udp_port, char *why, size_t why_bytes);
/* When all shards have ended; logs what they counted on the port.  Null is fine. */
void network_port_stop(struct port *port, const struct config *config, unsigned shard_count);
/* After that: stops the EAL.
 *
 * A memif is left to the end of the process, and the EAL with it: 22.11's driver leaves the handler
 * of its listener behind when it is closed, and a client that connects then has it run on freed
 * memory.  Only its socket is removed, for the next broker to make. */
void network_stop(void);
