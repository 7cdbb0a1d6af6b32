#include "client/command/output.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/command/command.h"

/* The error of a failed stream may be of an earlier write: the pipe itself is asked. */
static bool reader_gone(void)
{
	struct pollfd fds = {.fd = STDOUT_FILENO};

	return poll(&fds, 1, 0) == 1 && fds.revents & POLLERR;
}

enum output_state output_flush(void)
{
	static bool complained;

	/* Asked first: where nothing is left to print a write would not tell. */
	if (reader_gone())
		return OUTPUT_ENOUGH;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return OUTPUT_GOOD;
	if (!complained)
		complain("standard output: %s", strerror(errno));
	complained = true;
	return OUTPUT_FAILED;
}

int output_finish(int code)
{
	return output_flush() == OUTPUT_FAILED ? EXIT_FAILED : code;
}
