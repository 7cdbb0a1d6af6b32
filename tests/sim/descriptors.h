/* tests/sim/descriptors.h: what a file descriptor of the simulated world is.
 *
 * Numbers begin at DESCRIPTOR_FIRST, so that those of the real kernel (standard error) are told
 * apart and passed on.  A descriptor belongs to the process that made it and is closed with it. The
 * wrapped calls (calls_files.c, calls_sockets.c, calls_threads.c) look here and do the rest. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/schedule.h"

enum { DESCRIPTOR_FIRST = 5000 };

enum descriptor_kind {
	DESCRIPTOR_FREE,
	DESCRIPTOR_FILE, /* also a folder */
	DESCRIPTOR_SOCKET,
	DESCRIPTOR_EVENT, /* eventfd */
	DESCRIPTOR_TIMER, /* timerfd */
	DESCRIPTOR_POLL,  /* epoll */
};

struct descriptor {
	enum descriptor_kind kind;
	int number;
	struct process *owner;
	int flags;         /* of open and F_SETFL */
	uint64_t position; /* of read and write */
	struct inode *inode;
	struct socket_state *socket;
	uint64_t count;      /* of an eventfd; times that a timerfd rang */
	struct alarm *alarm; /* of a timerfd; calls_poll.c */
	struct poll *poll;   /* calls_poll.c */
	/* Woken, and told (see calls_poll.c), when it may have become readable or writable. */
	struct waiting waiting;
	struct poll_watch *watches;
	struct sim_backend *backend; /* that has operations waiting for it; backend_sockets.c */
};

/* Limits the open ones of a process, as RLIMIT_NOFILE; 0: none. */
void descriptors_limit(unsigned count);
struct descriptor *descriptor_new(enum descriptor_kind kind); /* null: -EMFILE */
struct descriptor *descriptor_get(int number);                /* null: not one of ours, or closed */
int descriptor_close(int number);                             /* -EBADF */
bool descriptor_readable(const struct descriptor *descriptor);
bool descriptor_writable(const struct descriptor *descriptor);
void descriptor_changed(struct descriptor *descriptor);
/* The disk that file calls go to. */
struct disk *sim_disk(void);
void sim_set_disk(struct disk *disk);
