/* tests/control/folder.h: a temporary folder of one test, and whole files in it. */
#pragma once
#include <stddef.h>

struct folder {
	char path[64];
	int fd;
};

struct folder *folder_new(void);
void folder_free(struct folder *folder); /* removes everything in it */
/* The content of `name` in heap memory; the caller frees it. */
char *folder_read(const struct folder *folder, const char *name, size_t *ret_length);
void folder_write(const struct folder *folder, const char *name, const void *data, size_t length);
