/* base/whole.h: reads and writes of files that go on where the kernel has done part of one. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A count, less than `length` at the end of the file alone; -errno. */
ssize_t whole_pread(int fd, void *data, size_t length, uint64_t offset);
/* 0 or -errno, whatever was written before; -ENOSPC when nothing more is taken. */
int whole_pwrite(int fd, const void *data, size_t length, uint64_t offset);
