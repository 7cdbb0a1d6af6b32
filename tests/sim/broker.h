/* tests/sim/broker.h: the whole broker, as sluiced runs it, as a process of the simulated world.
 *
 * Its code is that of the program from control_start on; the threads it makes are fibers, and what
 * it asks of the kernel is answered by calls_*.c.  EAL is started once a real process and kept. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct disk;

struct broker_options {
	unsigned shards;
	bool plain_io;               /* io_sync over the simulated calls; else backend.c */
	const char *const *settings; /* "key=value", ends with null */
};

enum {
	BROKER_PORT = 9092,
	BROKER_DATAGRAM_PORT = 9192, /* of the first shard, where the settings say so */
};

/* Begins a start on the simulated disk; it goes on while the schedule runs. */
void broker_start(const struct broker_options *options);
bool broker_ready(void);   /* "ready" was said */
bool broker_running(void); /* started, and not yet ended or killed */
/* It ended by itself with an error (a start refused): what it said.  Null: it did not. */
const char *broker_failure(void);
void broker_stop(void); /* as SIGTERM does; ends by and by */
void broker_kill(void); /* kill -9: at once; the disk's view stays what it was */
