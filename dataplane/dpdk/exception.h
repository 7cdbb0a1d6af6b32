/* dataplane/dpdk/exception.h: the way to the kernel and back, for frames that are not ours.
 *
 * ARP, ND, ICMP, TCP and the rest of what a port receives go to the kernel through a second device,
 * and what the kernel sends there leaves by the port, unchanged both ways.  The kernel's interface
 * has the port's MAC, MTU and addresses, so it answers ARP for both of us and its TCP listener is
 * reachable as if the NIC were still its own.
 *
 *     virtio-user  where /dev/vhost-net exists: the kernel moves the frames on a thread of its own
 *     tap          elsewhere: a system call a frame, by the shard; at most EXCEPTION_BURST a turn
 *     shadow       where the kernel has the interface anyway (af_packet): it sees every frame
 *                  itself; we only keep it from answering "port unreachable" for our ports
 *
 * Needs CAP_NET_ADMIN.  The kernel's device may have fewer queues than the port; the rest goes
 * through a ring to a shard that has one (counted). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exception; /* opaque */
struct port;
struct port_queue;
struct rte_mbuf;

enum { EXCEPTION_BURST = 32 };

/* Main thread, while the port is being started: the port's addresses and MAC are known.
 * -ENOTSUP: the device needs none. */
int exception_start(struct exception **ret, struct port *port, char *why, size_t why_bytes);
void exception_stop(struct exception *exception);                   /* null is fine */
const char *exception_name(const struct exception *exception);      /* "tap", ... */
const char *exception_interface(const struct exception *exception); /* "sluice0"; "" of shadow */
uint16_t exception_queues(const struct exception *exception);       /* 0 of shadow */

/* The shard's thread: takes the frame over; counts it as lost if there is no room. */
void exception_give(struct exception *exception, struct port_queue *queue, struct rte_mbuf *mbuf);
/* Once a turn.  Returns how many frames moved. */
unsigned exception_turn(struct exception *exception, struct port_queue *queue);
/* The descriptor that says that the kernel sent something to this queue; -1: none. */
int exception_wait_fd(const struct exception *exception, unsigned queue);
bool exception_sleep(struct exception *exception, unsigned queue);
void exception_woken(struct exception *exception, unsigned queue);
