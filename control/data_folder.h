/* control/data_folder.h: the folder of everything that is stored: made, recognised, locked. */
#pragma once
#include <stddef.h>

struct data_folder {
	int fd;
	int lock_fd;       /* flock held until it is closed */
	char topics[4096]; /* "<path>/topics", exists */
};

/* Makes `path` (one level) if it is missing.  -ERR_LOCKED: another process uses it; -ERR_FORMAT:
 * holds what is not ours or is of a newer format; -errno.  `why` gets the sentence for the operator
 * in every failure. */
int data_folder_open(struct data_folder *ret, const char *path, char *why, size_t why_bytes);
void data_folder_close(struct data_folder *folder);
