/* tests/sim/backend.h: the I/O back end of simulated brokers, in io_uring's place.
 *
 * Operations complete in an order that is drawn, each after the disk's latency or when the network
 * has something; io_turn is where a fiber blocks.  linked in for io_uring_new (--wrap). */
#pragma once
#include "storage/io.h"

int sim_backend_new(struct io_backend **ret, const struct io_options *options);
