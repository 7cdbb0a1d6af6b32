/* udp://host:port: each channel has an endpoint and a connected kernel socket of its own, so that
 * the kernel drops what comes from elsewhere and tells of a closed port. */
#include "client/datagram.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"

enum {
	DATAGRAM_BYTES_MAX = 9216,
	DATAGRAM_BYTES_MIN = 512, /* the transport's */
	DATAGRAMS_A_READ = 16,
	READS_A_TURN = 8,
	SOCKET_BUFFER_BYTES = 4 << 20,
};

struct socket_carrier {
	struct endpoint endpoint;
	struct loop_source source;
	struct transport_address address;
	struct channel *channel; /* the only one; null before it is open */
	bool full;
	bool waiting; /* for the socket to be less full */
	uint8_t packets[DATAGRAMS_A_READ][DATAGRAM_BYTES_MAX];
};

static struct socket_carrier *carrier_of(struct endpoint *endpoint)
{
	return container_of(endpoint, struct socket_carrier, endpoint);
}

/* A port that is closed stays so; what came before the channel was there will come again. */
static void note_refusal(struct socket_carrier *carrier)
{
	if (errno == ECONNREFUSED && carrier->channel)
		datagram_fail(carrier->channel, -ECONNREFUSED);
}

static bool socket_send(struct endpoint *endpoint, const struct transport_datagram *out)
{
	struct socket_carrier *carrier = carrier_of(endpoint);
	struct iovec vectors[TRANSPORT_PIECES_MAX + 1];
	size_t count = 0;

	vectors[count++] = (struct iovec){(void *)(uintptr_t)out->header, out->header_bytes};
	for (uint32_t i = 0; i < out->piece_count; i++)
		vectors[count++] = (struct iovec){(void *)(uintptr_t)out->pieces[i].data,
						  out->pieces[i].length};
	struct msghdr message = {.msg_iov = vectors, .msg_iovlen = count};
	bool sent = sendmsg(carrier->source.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
	carrier->full = !sent && (errno == EAGAIN || errno == ENOBUFS);
	/* Other failures: lost on the way, as far as the endpoint is concerned. */
	if (!sent && !carrier->full)
		note_refusal(carrier);
	return !carrier->full;
}

static void socket_flush(struct endpoint *endpoint)
{
	struct socket_carrier *carrier = carrier_of(endpoint);

	if (carrier->full == carrier->waiting)
		return;
	carrier->waiting = carrier->full;
	loop_change(endpoint->loop, &carrier->source,
		    carrier->waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void socket_unused(struct endpoint *endpoint)
{
	struct socket_carrier *carrier = carrier_of(endpoint);

	endpoint_fini(endpoint);
	if (carrier->source.fd >= 0) {
		loop_remove(endpoint->loop, &carrier->source);
		close(carrier->source.fd);
	}
	free(carrier);
}

static const struct carrier_ops socket_ops = {
	.send = socket_send,
	.flush = socket_flush,
	.unused = socket_unused,
};

/* Returns whether there may be more. */
static bool receive(struct socket_carrier *carrier)
{
	struct mmsghdr messages[DATAGRAMS_A_READ] = {0};
	struct iovec vectors[DATAGRAMS_A_READ];

	for (size_t i = 0; i < DATAGRAMS_A_READ; i++) {
		vectors[i] = (struct iovec){carrier->packets[i], DATAGRAM_BYTES_MAX};
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	int got = recvmmsg(carrier->source.fd, messages, DATAGRAMS_A_READ, MSG_DONTWAIT, NULL);
	if (got < 0) {
		note_refusal(carrier);
		return false;
	}
	for (int i = 0; i < got; i++)
		endpoint_receive(&carrier->endpoint, vectors[i].iov_base, messages[i].msg_len,
				 &carrier->address);
	return got == DATAGRAMS_A_READ;
}

static void socket_ready(struct loop_source *source, uint32_t events)
{
	struct socket_carrier *carrier = container_of(source, struct socket_carrier, source);

	if (events & EPOLLOUT)
		carrier->full = false;
	for (int i = 0; i < READS_A_TURN && receive(carrier); i++)
		;
	endpoint_drive(&carrier->endpoint);
}

/* A datagram arrives whole or not at all: the handshake finds out what passes. */
static void never_fragment(int fd, int family)
{
	int v4 = IP_PMTUDISC_PROBE;
	int v6 = IPV6_PMTUDISC_PROBE;

	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

/* Saves the tries of what the interface does not take anyway; beyond it paths may be narrower. */
static void limit_to_interface(int fd, int family, struct transport_config *config)
{
	uint32_t headers = family == AF_INET ? 20 + 8 : 40 + 8;
	int mtu;
	socklen_t length = sizeof(mtu);
	int rc = family == AF_INET ? getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &length)
				   : getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &length);

	if (rc == 0 && mtu >= DATAGRAM_BYTES_MIN + 48 &&
	    (uint32_t)mtu - headers < config->datagram_bytes)
		config->datagram_bytes = (uint32_t)mtu - headers;
}

static int open_socket(struct socket_carrier *carrier, const struct channel_settings *settings,
		       struct transport_config *config)
{
	struct addrinfo *found;
	const struct addrinfo *address;
	int bytes = SOCKET_BUFFER_BYTES;
	int rc = datagram_look_up(settings->host, settings->port, &found, &address);

	if (rc < 0)
		return rc;
	int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, address->ai_addr, address->ai_addrlen) < 0) {
		rc = -errno;
	} else {
		/* As much as the system grants. */
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
		never_fragment(fd, address->ai_family);
		limit_to_interface(fd, address->ai_family, config);
		if (settings->datagram_bytes_max &&
		    settings->datagram_bytes_max < config->datagram_bytes)
			config->datagram_bytes = settings->datagram_bytes_max;
		carrier->address = datagram_address(address);
	}
	carrier->source.fd = fd;
	freeaddrinfo(found);
	return rc;
}

static int socket_open(struct channel **ret, struct loop *loop,
		       const struct channel_settings *settings, struct channel_owner *owner)
{
	struct socket_carrier *carrier = calloc(1, sizeof(*carrier));
	struct transport_config config = endpoint_config(settings->response_bytes_max,
							 settings->connect_timeout_ms);

	if (!carrier)
		return -ENOMEM;
	carrier->source = (struct loop_source){.ready = socket_ready, .fd = -1};
	int rc = open_socket(carrier, settings, &config);
	if (rc < 0) {
		if (carrier->source.fd >= 0)
			close(carrier->source.fd);
		free(carrier);
		return rc;
	}
	rc = endpoint_init(&carrier->endpoint, loop, &socket_ops, &config);
	if (rc == 0)
		rc = loop_add(loop, &carrier->source, EPOLLIN);
	if (rc == 0)
		rc = datagram_open(&carrier->channel, &carrier->endpoint, &channel_udp,
				   &carrier->address, settings, owner);
	if (rc < 0) {
		socket_unused(&carrier->endpoint);
		return rc;
	}
	*ret = carrier->channel;
	return 0;
}

const struct channel_ops channel_udp = {
	.scheme = "udp",
	.open = socket_open,
	.call = datagram_call,
	.cancel = datagram_cancel,
	.close = datagram_close,
};
