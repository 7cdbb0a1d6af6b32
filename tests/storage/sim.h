/* tests/storage/sim.h: an io back end that is a disk with a volatile cache, under the test's
 * control.
 *
 * Operations are queued and carried out in any order, some in each turn.  Files are real, so what
 * was written can be read; beside them the disk remembers of each 512-byte sector what it held
 * before each write that no flush has covered yet.  A power cut keeps, of each such sector, any of
 * its contents since the last flush, and of each file any size since.  A flush covers the writes
 * that were reported complete when it was asked for, and nothing else: of its own file, or of all
 * where it is one of the device.
 *
 * Everything follows from the seed, as long as the caller's calls do. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "storage/io.h"
#include "storage/io_internal.h"
#include "tests/storage/support.h"

struct sim;

struct sim_options {
	/* Carries out each queued operation in this turn with a chance of one in so many; 1: at
	 * once, in order. */
	unsigned slowness;
	/* fdatasync of this file flushes the device: every file's completed writes, but only those
	 * into blocks that a flush of the file itself has settled before; 0: there is none. */
	int device_fd;
	/* Asked before each write, flush and allocation: 0, -errno, or for a write the number of
	 * bytes (below its length) that it shall do. */
	int (*fault)(void *context, enum io_op op, uint64_t offset, size_t length);
	void *context;
};

struct io_backend *sim_new(uint64_t seed);
struct sim_options *sim_options(struct io_backend *backend); /* to change at any time */
unsigned sim_queued(const struct io_backend *backend, enum io_op op);
/* Copies `from` to `to`, a new folder, as a power cut would leave it; the original stays as it is.
 */
void sim_power_cut(struct io_backend *backend, const char *from, const char *to);
/* Everything queued and everything to come fails. */
void sim_die(struct io_backend *backend);
/* All files are what they are: as after a start.  Nothing but reads is queued. */
void sim_settle(struct io_backend *backend);
