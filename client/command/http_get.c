#include "client/command/http_get.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HOST_BYTES = 256, PORT_BYTES = 6 };

__attribute__((format(printf, 3, 4))) static int fail(char why[static HTTP_WHY_BYTES], int rc,
						      const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is started above. */
	vsnprintf(why, HTTP_WHY_BYTES, format, arguments);
	va_end(arguments);
	return rc;
}

/* ---- the address ---- */

static int split_address(const char *address, char host[static HOST_BYTES],
			 char port[static PORT_BYTES])
{
	const char *text = strncmp(address, "http://", 7) == 0 ? address + 7 : address;
	size_t length = strcspn(text, "/");
	const char *colon = memrchr(text, ':', length);
	size_t host_length = colon ? (size_t)(colon - text) : length;
	size_t port_length = colon ? length - host_length - 1 : 0;

	if (host_length > 1 && text[0] == '[' && text[host_length - 1] == ']') {
		text++;
		host_length -= 2;
	}
	if (!host_length || host_length >= HOST_BYTES || !port_length || port_length >= PORT_BYTES)
		return -EINVAL;
	snprintf(host, HOST_BYTES, "%.*s", (int)host_length, text);
	snprintf(port, PORT_BYTES, "%.*s", (int)port_length, colon + 1);
	return 0;
}

static int connect_one(const struct addrinfo *info, int timeout_ms)
{
	struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000L};
	int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, info->ai_addr, info->ai_addrlen) == 0)
		return fd;
	int rc = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	close(fd);
	return rc;
}

static int connect_to(const char *host, const char *port, int timeout_ms)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int fd = -EHOSTUNREACH;

	if (getaddrinfo(host, port, &hints, &found) != 0)
		return fd;
	for (struct addrinfo *info = found; info && fd < 0; info = info->ai_next)
		fd = connect_one(info, timeout_ms);
	freeaddrinfo(found);
	return fd;
}

/* ---- question and answer ---- */

static int ask(int fd, const char *host, const char *port, const char *path)
{
	char request[1024];
	int length = snprintf(request, sizeof(request),
			      "GET %s HTTP/1.0\r\nHost: %s%s%s:%s\r\nAccept: */*\r\n\r\n", path,
			      strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "",
			      port);

	if (length < 0 || (size_t)length >= sizeof(request))
		return -EINVAL;
	return send(fd, request, (size_t)length, MSG_NOSIGNAL) == length ? 0 : -EIO;
}

/* All that comes until the other end closes. */
static int read_answer(int fd, size_t bytes_max, char *ret, size_t *ret_length)
{
	size_t used = 0;
	ssize_t got;

	while ((got = recv(fd, ret + used, bytes_max - used, 0)) > 0) {
		used += (size_t)got;
		if (used == bytes_max)
			return -EFBIG;
	}
	if (got < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	*ret_length = used;
	return 0;
}

int http_answer_parse(const char *text, size_t length, int *ret_status, size_t *ret_body)
{
	const char *end = memmem(text, length, "\r\n\r\n", 4);

	/* "HTTP/1.x NNN" */
	if (!end || end - text < 12 || memcmp(text, "HTTP/1.", 7) != 0 ||
	    !isdigit((unsigned char)text[7]) || text[8] != ' ')
		return -EPROTO;
	int status = 0;
	for (size_t i = 9; i < 12; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -EPROTO;
		status = status * 10 + (text[i] - '0');
	}
	*ret_status = status;
	*ret_body = (size_t)(end - text) + 4;
	return 0;
}

static int exchange(int fd, const char *host, const char *port, const char *path, size_t bytes_max,
		    char *ret, size_t *ret_length)
{
	int rc = ask(fd, host, port, path);

	return rc < 0 ? rc : read_answer(fd, bytes_max, ret, ret_length);
}

int http_get(const char *address, const char *path, size_t bytes_max, int timeout_ms,
	     char **ret_body, size_t *ret_length, char why[static HTTP_WHY_BYTES])
{
	char host[HOST_BYTES];
	char port[PORT_BYTES];
	size_t length = 0;
	size_t body;
	int status;

	if (split_address(address, host, port) < 0)
		return fail(why, -EINVAL, "'%s' is not http://HOST:PORT", address);
	int fd = connect_to(host, port, timeout_ms);
	if (fd < 0)
		return fail(why, fd, "%s: %s", address, strerror(-fd));
	char *text = malloc(bytes_max + 1);
	int rc = text ? exchange(fd, host, port, path, bytes_max, text, &length) : -ENOMEM;
	close(fd);
	if (rc < 0) {
		free(text);
		return fail(why, rc, "%s: %s", address, strerror(-rc));
	}
	rc = http_answer_parse(text, length, &status, &body);
	if (rc < 0 || status != 200) {
		free(text);
		return rc < 0 ? fail(why, -EPROTO, "%s does not speak HTTP", address)
			      : fail(why, -EPROTO, "%s%s: status %d", address, path, status);
	}
	memmove(text, text + body, length - body);
	text[length - body] = 0;
	*ret_body = text;
	*ret_length = length - body;
	return 0;
}
