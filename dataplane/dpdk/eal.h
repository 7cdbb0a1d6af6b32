/* dataplane/dpdk/eal.h: DPDK's environment, for its rings, pools and ports. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Zero is the embedded default: no hugepages, no PCI devices, no telemetry, no root. */
struct eal_options {
	unsigned thread_count;    /* of the mesh */
	size_t memory_bytes;      /* beside the mesh: port_memory_bytes of each port */
	const char *const *vdevs; /* "net_memif0,role=client,...", as DPDK's --vdev */
	size_t vdev_count;
	const char *const *devices; /* PCI addresses; only these are touched */
	size_t device_count;
	bool hugepages; /* several processes share the host's; needed for most NICs */
	bool telemetry; /* a socket of its own for each process */
	bool quiet;     /* a library's: what DPDK logs as errors stays unsaid, calls tell */
};

/* Once, from the main thread, before shards start: several brokers and clients a host.  Memory for
 * the mesh of `thread_count` threads comes from it.  EAL binds the calling thread to one processor;
 * this undoes that.
 * -errno; `why` gets the sentence for the operator. */
int eal_start_with(const struct eal_options *options, char *why, size_t why_bytes);
/* The embedded default. */
int eal_start(unsigned thread_count, char *why, size_t why_bytes);
void eal_stop(void);

/* A virtual device after start, in the words of --vdev; and its end, after port_stop.  A memif that
 * is a client neither waits for its server nor finds it again: when port_start fails, or the link
 * is not up soon after it or later goes down, remove the device and add it anew.  Main thread.
 * -errno. */
int eal_add_vdev(const char *vdev, char *why, size_t why_bytes);
int eal_remove_vdev(const char *vdev);
