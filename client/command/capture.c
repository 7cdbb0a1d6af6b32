#include "client/command/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int start(pid_t *ret, char *const argv[], bool errors, int output)
{
	posix_spawn_file_actions_t actions;
	int rc = -posix_spawn_file_actions_init(&actions);

	if (rc < 0)
		return rc;
	rc = -posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	rc = rc ? rc : -posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (errors)
		rc = rc ? rc : -posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
	else
		rc = rc ? rc
			: -posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
							    O_WRONLY, 0);
	rc = rc ? rc : -posix_spawnp(ret, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

/* Until its end, at most until `until_ms`.  0: more may come; 1: the end. */
static int read_some(struct capture *capture, int fd, size_t bytes_max, int64_t until_ms)
{
	int64_t left_ms = until_ms - now_ms();
	struct pollfd fds = {.fd = fd, .events = POLLIN};
	char scratch[4096];

	if (left_ms <= 0)
		return -ETIMEDOUT;
	int ready = poll(&fds, 1, (int)left_ms);
	if (ready <= 0)
		return ready == 0 ? -ETIMEDOUT : errno == EINTR ? 0 : -errno;
	size_t room = bytes_max - capture->length;
	ssize_t got = read(fd, room ? capture->output + capture->length : scratch,
			   room ? room : sizeof(scratch));
	if (got > 0 && !room)
		capture->cut = true;
	if (got > 0 && room)
		capture->length += (size_t)got;
	return got < 0 ? -errno : got == 0;
}

int capture_run(struct capture *ret, char *const argv[], bool errors, size_t bytes_max,
		int timeout_ms)
{
	int64_t until_ms = now_ms() + timeout_ms;
	struct capture capture = {.output = malloc(bytes_max + 1)};
	int ends[2];
	pid_t pid = 0;

	if (!capture.output)
		return -ENOMEM;
	int rc = pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
	if (rc == 0) {
		rc = start(&pid, argv, errors, ends[1]);
		close(ends[1]);
		if (rc < 0)
			close(ends[0]);
	}
	if (rc < 0) {
		free(capture.output);
		return rc;
	}
	while (rc == 0)
		rc = read_some(&capture, ends[0], bytes_max, until_ms);
	close(ends[0]);
	if (rc < 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &capture.status, 0) < 0 && errno == EINTR)
		;
	if (rc < 0) {
		free(capture.output);
		return rc;
	}
	capture.output[capture.length] = 0;
	*ret = capture;
	return 0;
}
