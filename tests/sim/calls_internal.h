/* tests/sim/calls_internal.h: what the files of wrapped calls ask of each other.
 *
 * read, write, close, fcntl and dup know every kind of descriptor: calls_files.c wraps them for
 * all, and asks here for what is no file.  Counts or -errno; they block the fiber unless the
 * descriptor has O_NONBLOCK. */
#pragma once
#include "tests/sim/descriptors.h"

/* calls_poll.c: eventfd and timerfd, whose count is what can be read. */
int64_t event_read(struct descriptor *descriptor, void *data, size_t length);
int64_t event_write(struct descriptor *descriptor, const void *data, size_t length);
/* calls_sockets.c */
int64_t stream_read(struct descriptor *descriptor, void *data, size_t length);
int64_t stream_write(struct descriptor *descriptor, const void *data, size_t length);
/* The number of a connection's descriptor; -EAGAIN, -EMFILE, -EINVAL.  Never blocks. */
int64_t listener_accept(struct descriptor *descriptor, int flags);
struct msghdr;
/* A count, what is short of the whole included; -errno.  Never blocks. */
int64_t message_send(struct descriptor *descriptor, const struct msghdr *message);

/* calls_poll.c, from descriptors.c: it changed (its `waiting` was woken already); it is closed: its
 * watches go, and if it is an epoll, what it watches is let go. */
void poll_changed(struct descriptor *descriptor);
void poll_closed(struct descriptor *descriptor);
bool poll_readable(const struct descriptor *descriptor); /* an epoll: something is ready */
/* EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP and EPOLLERR, those that hold now. */
uint32_t descriptor_events(const struct descriptor *descriptor);
/* Blocks the running fiber until one of `events` (always EPOLLHUP and EPOLLERR) or due_ns
 * (UINT64_MAX: for ever); false: time.  Nobody closes the descriptor meanwhile. */
bool descriptor_wait(struct descriptor *descriptor, uint32_t events, uint64_t due_ns);

/* What a wrapped call returns: -1 and errno, or the result. */
int64_t call_result(int64_t result);

/* ---- calls_files.c ---- */

bool descriptor_is_real(int number); /* the real kernel's, or none at all */
/* A process blocks for as long as an operation of the disk takes. */
void disk_takes_time(void);
/* As openat in a process, on the simulated disk, at once: a number or -errno. */
int path_open(int fd, const char *path, int flags);
int file_get(int number, struct descriptor **ret); /* a file or folder: -EBADF, -EINVAL */
