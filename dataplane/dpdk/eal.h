/* dataplane/dpdk/eal.h: DPDK's environment, for its rings, pools and ports. */
#pragma once
#include <stddef.h>

/* Once, from the main thread, before shards start: the embedded form without hugepages, PCI devices
 * or root, and several brokers a host.  Memory for the mesh of `thread_count` threads comes from
 * it.  EAL binds the calling thread to one processor; this undoes that.
 * -errno; `why` gets the sentence for the operator. */
int eal_start(unsigned thread_count, char *why, size_t why_bytes);
void eal_stop(void);
