#include "bench/suite/idle.h"

#include "base/check.h"
#include "bench/suite/driver_common.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PATIENCE_S = 5,      /* with one connection, and with its answer */
	FILES_BESIDE = 1000, /* what the load may need */
};

struct idle {
	const struct driver *driver;
	unsigned count; /* open */
	union idle_one {
		int fd;
		struct driver_producer *producer; /* of a driver that has no hello */
	} list[];
};

/* As many files as the connections need, if the hard limit lets it. */
static int allow_files(const struct driver *driver, unsigned count)
{
	struct rlimit limit;
	rlim_t wanted = (rlim_t)count + FILES_BESIDE;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur >= wanted)
		return 0;
	limit.rlim_cur = wanted;
	if (wanted > limit.rlim_max || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
		driver_complain(driver,
				"%u idle connections need %llu open files: the limit is %llu "
				"(ulimit -Hn)",
				count, (unsigned long long)wanted,
				(unsigned long long)limit.rlim_max);
		return -EMFILE;
	}
	return 0;
}

static int resolve(const struct driver *driver, const char *url, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct driver_address address;
	char port[8];
	int rc = driver_address(driver, url, driver->hello->default_port, &address);

	if (rc < 0)
		return rc;
	snprintf(port, sizeof(port), "%u", address.port);
	rc = getaddrinfo(address.host, port, &hints, ret);
	if (rc == 0)
		return 0;
	driver_complain(driver, "%s: %s", address.host, gai_strerror(rc));
	return -EHOSTUNREACH;
}

/* A socket with the broker's answer behind it, or -errno. */
static int open_socket(const struct driver_hello *hello, const struct addrinfo *to)
{
	struct timeval patience = {.tv_sec = PATIENCE_S};
	int fd = socket(to->ai_family, to->ai_socktype | SOCK_CLOEXEC, to->ai_protocol);
	ssize_t got = -1;
	char answer[512];

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
	    connect(fd, to->ai_addr, to->ai_addrlen) == 0 &&
	    send(fd, hello->text, hello->bytes, MSG_NOSIGNAL) == (ssize_t)hello->bytes)
		got = recv(fd, answer, sizeof(answer), 0);
	if (got > 0)
		return fd;
	int error = got == 0 ? ECONNRESET : errno;
	close(fd);
	return error == EAGAIN || error == EINPROGRESS ? -ETIMEDOUT : -error;
}

/* At the first address that answers: a name may have one that nobody listens at. */
static int open_anywhere(const struct driver_hello *hello, const struct addrinfo *to)
{
	int fd = -EHOSTUNREACH;

	for (; to && fd < 0; to = to->ai_next)
		fd = open_socket(hello, to);
	return fd;
}

static int open_sockets(struct idle *idle, const struct driver_target *target, unsigned count)
{
	struct addrinfo *to = NULL;
	int rc = allow_files(idle->driver, count);
	int fd = 0;

	if (rc == 0)
		rc = resolve(idle->driver, target->url, &to);
	if (rc != 0)
		return rc;
	while (idle->count < count) {
		fd = open_anywhere(idle->driver->hello, to);
		if (fd < 0)
			break;
		idle->list[idle->count++].fd = fd;
	}
	freeaddrinfo(to);
	if (fd >= 0)
		return 0;
	driver_complain(idle->driver, "idle connection %u of %u: %s", idle->count + 1, count,
			strerror(-fd));
	return fd;
}

static void never_delivered(void *context, uint64_t tag, int rc)
{
	check(!"nothing was produced");
}

static int open_producers(struct idle *idle, const struct driver_target *target, unsigned count)
{
	int rc = 0;

	while (rc == 0 && idle->count < count) {
		rc = idle->driver->producer_new(target, never_delivered, idle,
						&idle->list[idle->count].producer);
		idle->count += rc == 0;
	}
	return rc;
}

int idle_open(const struct driver *driver, const struct driver_target *target, unsigned count,
	      struct idle **ret)
{
	struct idle *idle = NULL;
	int rc = 0;

	if (count) {
		idle = calloc(1, sizeof(*idle) + count * sizeof(idle->list[0]));
		if (!idle)
			return -ENOMEM;
		idle->driver = driver;
		rc = driver->hello ? open_sockets(idle, target, count)
				   : open_producers(idle, target, count);
	}
	if (rc < 0)
		idle_close(idle);
	else
		*ret = idle;
	return rc;
}

/* What still comes is taken, so that the end behind it is seen. */
static bool is_lost(int fd)
{
	char rest[4096];
	ssize_t got;

	do
		got = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
	while (got > 0);
	return got == 0 || (errno != EAGAIN && errno != EINTR);
}

unsigned idle_lost(struct idle *idle)
{
	unsigned lost = 0;

	if (!idle || !idle->driver->hello)
		return 0;
	for (unsigned i = 0; i < idle->count; i++)
		lost += is_lost(idle->list[i].fd);
	return lost;
}

void idle_close(struct idle *idle)
{
	for (unsigned i = 0; idle && i < idle->count; i++) {
		if (idle->driver->hello)
			close(idle->list[i].fd);
		else
			idle->driver->producer_free(idle->list[i].producer);
	}
	free(idle);
}
