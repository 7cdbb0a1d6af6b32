/* tests/sim/calls_sockets.c: the socket calls, in front of network.h.
 *
 * Every address is 127.0.0.1 and a port.  Numbers of real descriptors, and sockets that are made
 * outside of all fibers, are the real kernel's. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/check.h"
#include "storage/io_internal.h"
#include "tests/sim/calls_internal.h"

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum {
	MESSAGE_BYTES_MAX = 65536,
	VECTORS_MAX = 1024,      /* UIO_MAXIOV */
	INTERFACE_BYTES = 65536, /* MTU of lo */
};

/* ---- addresses ---- */

static int port_from(const struct sockaddr *address, socklen_t length, uint16_t *ret)
{
	struct sockaddr_in in;

	if (length < sizeof(in))
		return -EINVAL;
	memcpy(&in, address, sizeof(in));
	if (in.sin_family != AF_INET)
		return -EAFNOSUPPORT;
	*ret = ntohs(in.sin_port);
	return 0;
}

static void address_to(uint16_t port, void *address, socklen_t *length)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	if (!address)
		return;
	memcpy(address, &in, *length < sizeof(in) ? *length : sizeof(in));
	*length = sizeof(in);
}

struct found {
	struct addrinfo info;
	struct sockaddr_in address;
};

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		       struct addrinfo **ret)
{
	struct in_addr ip = {htonl(INADDR_LOOPBACK)};

	if (!process_current())
		return __real_getaddrinfo(host, service, hints, ret);
	if (host && strcmp(host, "localhost") != 0 && inet_pton(AF_INET, host, &ip) != 1)
		return EAI_NONAME;
	struct found *found = calloc(1, sizeof(*found));
	check(found);
	found->address = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(service, NULL, 10)),
		.sin_addr = ip,
	};
	found->info = (struct addrinfo){
		.ai_family = AF_INET,
		.ai_socktype = hints->ai_socktype,
		.ai_addr = (struct sockaddr *)&found->address,
		.ai_addrlen = sizeof(found->address),
	};
	*ret = &found->info;
	return 0;
}

void __real_freeaddrinfo(struct addrinfo *found);
void __wrap_freeaddrinfo(struct addrinfo *found)
{
	if (process_current())
		free(found);
	else
		__real_freeaddrinfo(found);
}

/* ---- making sockets ---- */

static void changed(void *context)
{
	descriptor_changed(context);
}

static void give_socket(struct descriptor *descriptor, struct socket_state *socket, int flags)
{
	descriptor->socket = socket;
	descriptor->flags = O_RDWR | (flags & SOCK_NONBLOCK ? O_NONBLOCK : 0);
	socket_on_change(socket, changed, descriptor);
}

/* Null: not a socket of ours; errno is set. */
static struct descriptor *socket_get(int fd)
{
	struct descriptor *descriptor = descriptor_get(fd);

	if (descriptor && descriptor->socket)
		return descriptor;
	call_result(descriptor ? -ENOTSOCK : -EBADF);
	return NULL;
}

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
	int kind = type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (!process_current())
		return __real_socket(domain, type, protocol);
	if (domain != AF_INET || (kind != SOCK_STREAM && kind != SOCK_DGRAM))
		return (int)call_result(-EAFNOSUPPORT);
	struct descriptor *descriptor = descriptor_new(DESCRIPTOR_SOCKET);
	if (!descriptor)
		return (int)call_result(-EMFILE);
	give_socket(descriptor, socket_new(kind == SOCK_STREAM ? SOCKET_STREAM : SOCKET_DATAGRAM),
		    type);
	return descriptor->number;
}

int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	uint16_t port;

	if (fd < DESCRIPTOR_FIRST)
		return __real_bind(fd, address, length);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	int rc = port_from(address, length, &port);
	return (int)call_result(rc < 0 ? rc : socket_bind(descriptor->socket, &port));
}

int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_listen(fd, backlog);
	struct descriptor *descriptor = socket_get(fd);
	return descriptor ? (int)call_result(socket_listen(descriptor->socket)) : -1;
}

int64_t listener_accept(struct descriptor *descriptor, int flags)
{
	struct socket_state *socket;

	if (!socket_readable(descriptor->socket))
		return -EAGAIN;
	struct descriptor *accepted = descriptor_new(DESCRIPTOR_SOCKET);
	if (!accepted)
		return -EMFILE;
	int rc = socket_accept(descriptor->socket, &socket);
	if (rc < 0) {
		descriptor_close(accepted->number);
		return rc;
	}
	give_socket(accepted, socket, flags);
	return accepted->number;
}

int __real_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_accept4(fd, address, length, flags);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	if (!(descriptor->flags & O_NONBLOCK))
		descriptor_wait(descriptor, EPOLLIN, UINT64_MAX);
	int64_t accepted = listener_accept(descriptor, flags);
	if (accepted >= 0)
		address_to(socket_peer_port(descriptor_get((int)accepted)->socket), address,
			   length);
	return (int)call_result(accepted);
}

int __real_connect(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	uint16_t port;

	if (fd < DESCRIPTOR_FIRST)
		return __real_connect(fd, address, length);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	int rc = port_from(address, length, &port);
	if (rc == 0)
		rc = socket_connect(descriptor->socket, port);
	if (rc == -EINPROGRESS && !(descriptor->flags & O_NONBLOCK)) {
		descriptor_wait(descriptor, EPOLLOUT, UINT64_MAX);
		rc = socket_error(descriptor->socket);
	}
	return (int)call_result(rc);
}

int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
	int rc = 0;

	if (fd < DESCRIPTOR_FIRST)
		return __real_shutdown(fd, how);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	if (how != SHUT_RD)
		rc = socket_shutdown_write(descriptor->socket);
	if (rc == 0 && how != SHUT_WR)
		rc = socket_shutdown_read(descriptor->socket);
	return (int)call_result(rc);
}

/* ---- names and options ---- */

int __real_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_getsockname(fd, address, length);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	address_to(socket_port(descriptor->socket), address, length);
	return 0;
}

int __real_getpeername(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *length)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_getpeername(fd, address, length);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	if (!socket_peer_port(descriptor->socket))
		return (int)call_result(-ENOTCONN);
	address_to(socket_peer_port(descriptor->socket), address, length);
	return 0;
}

/* Those that the program sets, and that change nothing here, are accepted. */
int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_setsockopt(fd, level, option, value, length);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	if (level == SOL_SOCKET && option == SO_REUSEPORT)
		socket_share_port(descriptor->socket);
	bool known = level == SOL_SOCKET || (level == IPPROTO_TCP && option == TCP_NODELAY) ||
		     (level == IPPROTO_IP && option == IP_MTU_DISCOVER);
	return (int)call_result(known ? 0 : -ENOPROTOOPT);
}

static int option_value(struct descriptor *descriptor, int level, int option, int *ret)
{
	if (level == SOL_SOCKET && option == SO_ERROR)
		*ret = -socket_error(descriptor->socket);
	else if (level == SOL_SOCKET && (option == SO_RCVBUF || option == SO_SNDBUF))
		*ret = NETWORK_MAILBOX_BYTES;
	else if (level == IPPROTO_IP && option == IP_MTU)
		*ret = INTERFACE_BYTES;
	else
		return -ENOPROTOOPT;
	return 0;
}

static void option_to(void *to, socklen_t *length, const void *value, size_t bytes)
{
	if (*length > bytes)
		*length = (socklen_t)bytes;
	memcpy(to, value, *length);
}

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	int number;

	if (fd < DESCRIPTOR_FIRST)
		return __real_getsockopt(fd, level, option, value, length);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	if (level == IPPROTO_TCP && option == TCP_INFO) {
		struct tcp_info info = {
			.tcpi_bytes_acked = socket_bytes_acked(descriptor->socket),
		};
		option_to(value, length, &info, sizeof(info));
		return 0;
	}
	int rc = option_value(descriptor, level, option, &number);
	if (rc == 0)
		option_to(value, length, &number, sizeof(number));
	return (int)call_result(rc);
}

/* Who asks again and again gives way, or no time would pass. */
static int64_t after_trying(int64_t result)
{
	if (result == -EAGAIN)
		fiber_yield();
	return result;
}

/* ---- sending ---- */

static int64_t send_stream(struct descriptor *descriptor, const struct msghdr *message)
{
	int64_t sent = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++) {
		const struct iovec *vector = &message->msg_iov[i];
		int64_t rc = socket_send(descriptor->socket, vector->iov_base, vector->iov_len);
		if (rc < 0)
			return sent ? sent : rc;
		sent += rc;
		if ((size_t)rc < vector->iov_len)
			break;
	}
	return sent;
}

static size_t segment_bytes(const struct msghdr *message, size_t whole)
{
	uint16_t bytes;

	for (struct cmsghdr *c = message->msg_controllen ? CMSG_FIRSTHDR(message) : NULL; c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)message, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT) {
			memcpy(&bytes, CMSG_DATA(c), sizeof(bytes));
			return bytes;
		}
	}
	return whole;
}

static size_t gather(const struct msghdr *message, uint8_t *to, size_t room)
{
	size_t length = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++) {
		const struct iovec *vector = &message->msg_iov[i];
		if (length + vector->iov_len > room)
			return room + 1;
		if (vector->iov_len)
			memcpy(to + length, vector->iov_base, vector->iov_len);
		length += vector->iov_len;
	}
	return length;
}

static int64_t send_one(struct descriptor *descriptor, const struct msghdr *message,
			const uint8_t *data, size_t length)
{
	uint16_t port;

	if (!message->msg_name)
		return socket_send(descriptor->socket, data, length);
	int rc = port_from(message->msg_name, message->msg_namelen, &port);
	return rc < 0 ? rc : socket_send_to(descriptor->socket, data, length, port);
}

/* One that is to be cut by UDP_SEGMENT goes as its parts; those behind one that finds no room are
 * lost. */
static int64_t send_datagram(struct descriptor *descriptor, const struct msghdr *message)
{
	uint8_t data[MESSAGE_BYTES_MAX];
	size_t length = gather(message, data, sizeof(data));

	if (length > sizeof(data))
		return -EMSGSIZE;
	size_t segment = segment_bytes(message, length);
	for (size_t at = 0; at == 0 || at < length; at += segment) {
		size_t part = length - at < segment ? length - at : segment;
		int64_t rc = send_one(descriptor, message, data + at, part);
		if (rc < 0)
			return at ? (int64_t)length : rc;
	}
	return (int64_t)length;
}

int64_t message_send(struct descriptor *descriptor, const struct msghdr *message)
{
	return socket_is_stream(descriptor->socket) ? send_stream(descriptor, message)
						    : send_datagram(descriptor, message);
}

static bool blocks(const struct descriptor *descriptor, int flags)
{
	return !(descriptor->flags & O_NONBLOCK) && !(flags & MSG_DONTWAIT);
}

/* The whole message, unless an error ends it. */
static int64_t send_all(struct descriptor *descriptor, const struct msghdr *message)
{
	struct iovec vectors[VECTORS_MAX];
	struct msghdr left = *message;
	int64_t sent = 0;

	check(left.msg_iovlen <= VECTORS_MAX);
	memcpy(vectors, message->msg_iov, left.msg_iovlen * sizeof(vectors[0]));
	left.msg_iov = vectors;
	for (;;) {
		int64_t rc = message_send(descriptor, &left);
		if (rc < 0 && rc != -EAGAIN)
			return sent ? sent : rc;
		if (rc > 0)
			io_message_advance(&left, (size_t)rc);
		sent += rc > 0 ? rc : 0;
		if (!left.msg_iovlen)
			return sent;
		descriptor_wait(descriptor, EPOLLOUT, UINT64_MAX);
	}
}

static int64_t send_with(struct descriptor *descriptor, const struct msghdr *message, int flags)
{
	return blocks(descriptor, flags) ? send_all(descriptor, message)
					 : after_trying(message_send(descriptor, message));
}

ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_sendmsg(fd, message, flags);
	struct descriptor *descriptor = socket_get(fd);
	return descriptor ? call_result(send_with(descriptor, message, flags)) : -1;
}

ssize_t __real_send(int fd, const void *data, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *data, size_t length, int flags)
{
	struct iovec vector = {(void *)(uintptr_t)data, length};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (fd < DESCRIPTOR_FIRST)
		return __real_send(fd, data, length, flags);
	return __wrap_sendmsg(fd, &message, flags);
}

int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_sendmmsg(fd, messages, count, flags);
	for (unsigned i = 0; i < count; i++) {
		ssize_t sent = __wrap_sendmsg(fd, &messages[i].msg_hdr, flags);
		if (sent < 0)
			return i ? (int)i : -1;
		messages[i].msg_len = (unsigned)sent;
	}
	return (int)count;
}

int64_t stream_write(struct descriptor *descriptor, const void *data, size_t length)
{
	struct iovec vector = {(void *)(uintptr_t)data, length};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	return send_with(descriptor, &message, 0);
}

/* ---- receiving ---- */

static int64_t receive(struct descriptor *descriptor, void *data, size_t length, int flags)
{
	bool whole = flags & MSG_WAITALL && blocks(descriptor, flags);
	size_t got = 0;

	for (;;) {
		int64_t rc = socket_receive(descriptor->socket, (uint8_t *)data + got, length - got,
					    flags & MSG_PEEK);
		if (rc > 0)
			got += (size_t)rc;
		if (rc == -EAGAIN && blocks(descriptor, flags))
			descriptor_wait(descriptor, EPOLLIN, UINT64_MAX);
		else if (rc <= 0 || !whole || got == length)
			return got ? (int64_t)got : after_trying(rc);
	}
}

int64_t stream_read(struct descriptor *descriptor, void *data, size_t length)
{
	return receive(descriptor, data, length, 0);
}

ssize_t __real_recv(int fd, void *data, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *data, size_t length, int flags)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_recv(fd, data, length, flags);
	struct descriptor *descriptor = socket_get(fd);
	return descriptor ? call_result(receive(descriptor, data, length, flags)) : -1;
}

static int64_t receive_datagram(struct descriptor *descriptor, struct msghdr *message)
{
	uint16_t port;

	check(message->msg_iovlen == 1);
	int64_t rc = socket_receive_from(descriptor->socket, message->msg_iov->iov_base,
					 message->msg_iov->iov_len, &port);
	if (rc < 0)
		return rc;
	address_to(port, message->msg_name, &message->msg_namelen);
	message->msg_controllen = 0;
	message->msg_flags = 0;
	return rc;
}

/* Datagrams alone, as the program does. */
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
		    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
		    struct timespec *timeout)
{
	if (fd < DESCRIPTOR_FIRST)
		return __real_recvmmsg(fd, messages, count, flags, timeout);
	struct descriptor *descriptor = socket_get(fd);
	if (!descriptor)
		return -1;
	check(!socket_is_stream(descriptor->socket));
	if (blocks(descriptor, flags))
		descriptor_wait(descriptor, EPOLLIN, UINT64_MAX);
	for (unsigned i = 0; i < count; i++) {
		int64_t rc = receive_datagram(descriptor, &messages[i].msg_hdr);
		if (rc < 0)
			return i ? (int)i : (int)call_result(after_trying(rc));
		messages[i].msg_len = (unsigned)rc;
	}
	return (int)count;
}
