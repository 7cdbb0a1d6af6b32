/* tests/sim/calls_poll.h: readiness of descriptors, and those that are nothing else: eventfd,
 * timerfd, epoll.
 *
 * calls_poll.c has descriptor_readable, descriptor_writable and descriptor_changed of descriptors.h
 * too.  The rest of descriptors.c and read and write of calls_files.c call what is below. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct descriptor;

/* EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP and EPOLLERR, those that hold now. */
uint32_t descriptor_events(const struct descriptor *descriptor);
/* Blocks the running fiber until one of `events`, an error or due_ns (UINT64_MAX: for ever); false:
 * time.  The descriptor must not be closed meanwhile. */
bool descriptor_wait(struct descriptor *descriptor, uint32_t events, uint64_t due_ns);
/* read and write of DESCRIPTOR_EVENT and DESCRIPTOR_TIMER: 8, -EAGAIN, -EINVAL; block unless
 * O_NONBLOCK. */
int64_t counter_read(struct descriptor *descriptor, void *data, size_t length);
int64_t counter_write(struct descriptor *descriptor, const void *data, size_t length);
/* To be called at each close of a descriptor, also when its process dies: no epoll knows it any
 * more, and what it had from calls_poll.c is freed. */
void poll_forget(struct descriptor *descriptor);
