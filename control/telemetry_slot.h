/* control/telemetry_slot.h: what is told on DPDK's telemetry socket, and by the admin HTTP, until
 * something newer comes.
 *
 * Those who tell run on threads of their own.  A picture is in one hand at a time: a command takes
 * it out of the slot, reads, and puts it back, unless a newer one has come meanwhile.  So who
 * publishes never waits; commands wait for one another. */
#pragma once
#include <rte_spinlock.h>

struct telemetry_slot {
	void *_Atomic picture; /* null: none, or in a command's hand */
	rte_spinlock_t among_commands;
	void (*free)(void *picture); /* null is fine */
};

/* A static slot is initialised with its `free` alone. */
void telemetry_slot_publish(struct telemetry_slot *slot, void *picture); /* the slot's; or null */
/* By a command, or whoever else tells: null when there is none; then put_back all the same. */
void *telemetry_slot_take(struct telemetry_slot *slot);
void telemetry_slot_put_back(struct telemetry_slot *slot, void *picture);
