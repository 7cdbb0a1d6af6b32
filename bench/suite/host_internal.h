/* bench/suite/host_internal.h: parts of the description of a host. */
#pragma once
#include "bench/suite/report.h"

/* As host_describe; /proc, /sys and /etc are those below `root`. */
void host_describe_below(const char *root, struct host *ret, const char *data, const char *url);

/* The first line of a file, "" when it cannot be read; the path is made as by printf.  Returns
 * whether there is any. */
bool host_line(char *text, size_t bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Adds to a text that ends with a null byte, cut. */
void host_append(char *text, size_t bytes, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- host_disk.c ---- */
void host_disk(const char *root, const char *data, char *text, size_t bytes);

/* ---- host_nic.c ---- */
void host_nic(const char *root, const char *url, char *text, size_t bytes);
