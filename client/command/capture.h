/* client/command/capture.h: what another program prints. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct capture {
	char *output; /* the caller's to free; ends with a NUL byte that is not counted */
	size_t length;
	bool cut;   /* there was more than `bytes_max`: the rest was read and dropped */
	int status; /* as of waitpid */
};

/* `argv[0]` is looked up in PATH unless it has a slash.  Standard error goes to the output with
 * `errors`, else nowhere.  A program that has not ended after `timeout_ms` is killed: -ETIMEDOUT.
 * -errno. */
int capture_run(struct capture *ret, char *const argv[], bool errors, size_t bytes_max,
		int timeout_ms);
