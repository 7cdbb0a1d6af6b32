/* Received: as many as have come, up to a burst, by one recvmmsg; each lies in a buffer of its own
 * until it is released, so that a request can be worked on where it came in.  An idle socket costs
 * no system call: it is read only after the backend has told that it is readable.
 *
 * Sent: datagrams are copied behind one another into a run as long as they go to one peer and are
 * of one size (a shorter one ends the run), and a run leaves as one message that the kernel cuts
 * again (UDP_SEGMENT, Linux 4.18), all runs of a turn by one sendmmsg.
 *
 * Replies leave from the address that was written to: where the socket is bound to all of the
 * host's, IP_PKTINFO tells it and is sent back.  The address's place in a small table is the
 * transport's `local`. */
#include "dataplane/datagram/udp_socket.h"

#include "base/bytes.h"
#include "base/check.h"
#include "storage/io.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BURST = 32,
	BUFFER_COUNT = 256,
	BUFFER_BYTES = 9216,
	KEEP_MAX = BUFFER_COUNT / 2,
	SOCKET_BYTES = 8 << 20,
	CHARGED_BYTES = 16640, /* what a datagram of 8952 bytes costs of that, with its sk_buff */
	RUNS_MAX = 32,
	RUN_BYTES_MAX = 61440, /* of what an IP packet can carry */
	RUN_SEGMENTS_MAX = 64, /* the kernel's UDP_MAX_SEGMENTS */
	LOCALS_MAX = 64,
};

struct run {
	struct transport_address to;
	uint32_t segment_bytes;
	uint32_t segments;
	uint32_t bytes;
	bool ended; /* by a shorter segment */
	uint8_t *data;
};

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

struct udp_socket {
	struct packet_source source;
	struct io_backend *backend;
	struct io ready;
	int fd;
	bool armed;
	bool readable;
	bool stopping;
	sa_family_t family;
	bool wildcard;

	uint8_t *buffers;
	uint8_t *free_buffers[BUFFER_COUNT];
	unsigned free_count;
	struct mmsghdr in[BURST];
	struct iovec in_vectors[BURST];
	struct sockaddr_storage in_from[BURST];
	union control in_control[BURST];

	struct run runs[RUNS_MAX];
	unsigned run_count;
	uint8_t *run_memory;

	uint8_t locals[LOCALS_MAX][16];
	unsigned local_count;
};

static struct udp_socket *udp_of(struct packet_source *source)
{
	return container_of(source, struct udp_socket, source);
}

/* ---- addresses ---- */

static void map_v4(uint8_t ip[static 16], const struct in_addr *v4)
{
	memset(ip, 0, 10);
	ip[10] = ip[11] = 0xff;
	memcpy(ip + 12, v4, 4);
}

static void address_of(struct transport_address *ret, const struct sockaddr_storage *from)
{
	if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
		memcpy(ret->ip, &in6->sin6_addr, 16);
		ret->port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;
		map_v4(ret->ip, &in->sin_addr);
		ret->port = ntohs(in->sin_port);
	}
}

static socklen_t sockaddr_of(const struct udp_socket *udp, const struct transport_address *to,
			     struct sockaddr_storage *ret)
{
	*ret = (struct sockaddr_storage){.ss_family = udp->family};
	if (udp->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
		memcpy(&in6->sin6_addr, to->ip, 16);
		in6->sin6_port = htons(to->port);
		return sizeof(*in6);
	}
	struct sockaddr_in *in = (struct sockaddr_in *)ret;
	memcpy(&in->sin_addr, to->ip + 12, 4);
	in->sin_port = htons(to->port);
	return sizeof(*in);
}

/* Its place in the table; a host with more addresses than that shares the last place. */
static uint16_t local_of(struct udp_socket *udp, const uint8_t ip[static 16])
{
	for (unsigned i = 0; i < udp->local_count; i++) {
		if (memcmp(udp->locals[i], ip, 16) == 0)
			return (uint16_t)i;
	}
	if (udp->local_count == LOCALS_MAX)
		udp->local_count--;
	memcpy(udp->locals[udp->local_count], ip, 16);
	return (uint16_t)udp->local_count++;
}

static uint16_t written_to(struct udp_socket *udp, struct msghdr *message)
{
	uint8_t ip[16];

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			map_v4(ip, &info.ipi_addr);
			return local_of(udp, ip);
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			return local_of(udp, (const uint8_t *)&info.ipi6_addr);
		}
	}
	return 0;
}

/* ---- receiving ---- */

static void became_ready(struct io *io, int result)
{
	struct udp_socket *udp = container_of(io, struct udp_socket, ready);

	udp->armed = false;
	udp->readable = true;
}

static void arm(struct udp_socket *udp)
{
	if (udp->armed || udp->stopping)
		return;
	udp->armed = true;
	udp->ready.done = became_ready;
	io_ready(udp->backend, &udp->ready, udp->fd);
}

static unsigned prepare(struct udp_socket *udp, unsigned max)
{
	if (max > BURST)
		max = BURST;
	if (max > udp->free_count)
		max = udp->free_count;
	for (unsigned i = 0; i < max; i++) {
		udp->in_vectors[i] = (struct iovec){
			.iov_base = udp->free_buffers[udp->free_count - 1 - i],
			.iov_len = BUFFER_BYTES,
		};
		udp->in[i].msg_hdr = (struct msghdr){
			.msg_name = &udp->in_from[i],
			.msg_namelen = sizeof(udp->in_from[i]),
			.msg_iov = &udp->in_vectors[i],
			.msg_iovlen = 1,
			.msg_control = udp->wildcard ? &udp->in_control[i] : NULL,
			.msg_controllen = udp->wildcard ? sizeof(udp->in_control[i]) : 0,
		};
	}
	return max;
}

static unsigned udp_receive(struct packet_source *source, struct packet_view *ret, unsigned max,
			    uint64_t now_ns)
{
	struct udp_socket *udp = udp_of(source);
	unsigned wanted = udp->readable ? prepare(udp, max) : 0;

	if (!wanted)
		return 0;
	int got = recvmmsg(udp->fd, udp->in, wanted, MSG_DONTWAIT, NULL);
	if (got < (int)wanted) {
		/* Also after an error that an earlier send left behind: read on at the next news.
		 */
		udp->readable = false;
		arm(udp);
	}
	for (int i = 0; i < got; i++) {
		struct msghdr *message = &udp->in[i].msg_hdr;
		ret[i] = (struct packet_view){
			.data = udp->in_vectors[i].iov_base,
			/* One that was cut fails the transport's check. */
			.length = udp->in[i].msg_len,
			.packet = udp->in_vectors[i].iov_base,
		};
		address_of(&ret[i].from, &udp->in_from[i]);
		ret[i].from.local = udp->wildcard ? written_to(udp, message) : 0;
	}
	if (got > 0)
		udp->free_count -= (unsigned)got;
	return got > 0 ? (unsigned)got : 0;
}

static void udp_release(struct packet_source *source, void *packet)
{
	struct udp_socket *udp = udp_of(source);

	check(udp->free_count < BUFFER_COUNT);
	udp->free_buffers[udp->free_count++] = packet;
}

/* ---- sending ---- */

static bool same_peer(const struct transport_address *a, const struct transport_address *b)
{
	return a->port == b->port && a->local == b->local && memcmp(a->ip, b->ip, 16) == 0;
}

static unsigned udp_turn(struct packet_source *source, uint64_t now_ns);

static struct run *run_for(struct udp_socket *udp, const struct transport_datagram *datagram,
			   uint64_t now_ns)
{
	if (udp->run_count) {
		struct run *last = &udp->runs[udp->run_count - 1];
		if (!last->ended && datagram->bytes <= last->segment_bytes &&
		    last->segments < RUN_SEGMENTS_MAX &&
		    last->bytes + datagram->bytes <= RUN_BYTES_MAX &&
		    same_peer(&last->to, datagram->to))
			return last;
	}
	if (udp->run_count == RUNS_MAX)
		udp_turn(&udp->source, now_ns);
	struct run *run = &udp->runs[udp->run_count];
	run->data = udp->run_memory + (size_t)udp->run_count * RUN_BYTES_MAX;
	udp->run_count++;
	run->to = *datagram->to;
	run->segment_bytes = datagram->bytes;
	run->segments = 0;
	run->bytes = 0;
	run->ended = false;
	return run;
}

static bool udp_send(struct packet_source *source, const struct transport_datagram *datagram,
		     uint64_t now_ns)
{
	struct udp_socket *udp = udp_of(source);
	struct run *run = run_for(udp, datagram, now_ns);
	uint8_t *at = run->data + run->bytes;

	memcpy(at, datagram->header, datagram->header_bytes);
	at += datagram->header_bytes;
	for (uint32_t i = 0; i < datagram->piece_count; i++) {
		memcpy(at, datagram->pieces[i].data, datagram->pieces[i].length);
		at += datagram->pieces[i].length;
	}
	run->bytes += datagram->bytes;
	run->segments++;
	run->ended = datagram->bytes < run->segment_bytes;
	return true;
}

static void add_control(struct msghdr *message, int level, int type, const void *data, size_t bytes)
{
	struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)message->msg_control +
						       message->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(c), data, bytes);
	message->msg_controllen += CMSG_SPACE(bytes);
}

static void add_source_address(const struct udp_socket *udp, const struct run *run,
			       struct msghdr *message)
{
	const uint8_t *ip = udp->locals[run->to.local];

	if (udp->family == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_ifindex = 0};
		memcpy(&info.ipi6_addr, ip, 16);
		add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	} else {
		struct in_pktinfo info = {.ipi_ifindex = 0};
		memcpy(&info.ipi_spec_dst, ip + 12, 4);
		add_control(message, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
}

static unsigned udp_turn(struct packet_source *source, uint64_t now_ns)
{
	struct udp_socket *udp = udp_of(source);
	struct mmsghdr out[RUNS_MAX];
	struct iovec vectors[RUNS_MAX];
	struct sockaddr_storage to[RUNS_MAX];
	union control control[RUNS_MAX];
	unsigned count = udp->run_count;
	unsigned sent = 0;

	for (unsigned i = 0; i < count; i++) {
		const struct run *run = &udp->runs[i];
		uint16_t segment = (uint16_t)run->segment_bytes;
		vectors[i] = (struct iovec){.iov_base = run->data, .iov_len = run->bytes};
		out[i].msg_hdr = (struct msghdr){
			.msg_name = &to[i],
			.msg_namelen = sockaddr_of(udp, &run->to, &to[i]),
			.msg_iov = &vectors[i],
			.msg_iovlen = 1,
			.msg_control = &control[i],
		};
		memset(&control[i], 0, sizeof(control[i]));
		if (run->segments > 1)
			add_control(&out[i].msg_hdr, IPPROTO_UDP, UDP_SEGMENT, &segment,
				    sizeof(segment));
		if (udp->wildcard && run->to.local < udp->local_count)
			add_source_address(udp, run, &out[i].msg_hdr);
		if (!out[i].msg_hdr.msg_controllen)
			out[i].msg_hdr.msg_control = NULL;
	}
	while (sent < count) {
		int rc = sendmmsg(udp->fd, out + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (rc > 0)
			sent += (unsigned)rc;
		else if (errno == EINTR)
			continue;
		else if (errno == EAGAIN || errno == ENOBUFS)
			break; /* lost, as on any wire; the transport sends again, and slower */
		else
			sent++; /* this one cannot go; the rest may */
	}
	udp->run_count = 0;
	return sent;
}

/* ---- sleeping and the end ---- */

static uint64_t udp_sleep(struct packet_source *source)
{
	struct udp_socket *udp = udp_of(source);

	if (udp->readable && udp->free_count)
		return 0;
	arm(udp);
	return UINT64_MAX;
}

static void udp_woken(struct packet_source *source)
{
}

static bool udp_stop(struct packet_source *source)
{
	struct udp_socket *udp = udp_of(source);

	if (!udp->stopping) {
		udp->stopping = true;
		if (udp->armed)
			io_cancel(udp->backend, &udp->ready);
	}
	return !udp->armed;
}

static void udp_free(struct packet_source *source)
{
	struct udp_socket *udp = udp_of(source);

	check(!udp->armed);
	close(udp->fd);
	free(udp->buffers);
	free(udp->run_memory);
	free(udp);
}

static const struct packet_source_ops udp_ops = {
	.name = "udp",
	.receive = udp_receive,
	.release = udp_release,
	.send = udp_send,
	.turn = udp_turn,
	.sleep = udp_sleep,
	.woken = udp_woken,
	.keep_max = KEEP_MAX,
	.stop = udp_stop,
	.free = udp_free,
};

/* A datagram arrives whole or not at all: the handshake finds out what passes, and a run whose
 * segments are larger than the interface takes would be refused whole (UDP_SEGMENT).  PROBE, unlike
 * DO, does not believe everybody's ICMP about the path. */
static void never_fragment(const struct udp_socket *udp)
{
	int v4 = IP_PMTUDISC_PROBE;
	int v6 = IPV6_PMTUDISC_PROBE;

	setsockopt(udp->fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4));
	if (udp->family == AF_INET6)
		setsockopt(udp->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

static int set_options(struct udp_socket *udp)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	struct transport_address address;
	static const uint8_t any[16];
	static const uint8_t any_v4[16] = {[10] = 0xff, [11] = 0xff};
	int size = SOCKET_BYTES;
	socklen_t size_length = sizeof(size);
	int on = 1;

	memset(&bound, 0, sizeof(bound)); /* clang-tidy does not know that getsockname fills it */
	if (getsockname(udp->fd, (struct sockaddr *)&bound, &length) < 0)
		return -errno;
	udp->family = bound.ss_family;
	address_of(&address, &bound);
	never_fragment(udp);
	udp->wildcard = memcmp(address.ip, any, 16) == 0 || memcmp(address.ip, any_v4, 16) == 0;
	/* The plain ones stop at net.core.rmem_max; the others need CAP_NET_ADMIN. */
	if (setsockopt(udp->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(udp->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(udp->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (getsockopt(udp->fd, SOL_SOCKET, SO_RCVBUF, &size, &size_length) == 0)
		udp->source.receive_max = (unsigned)size / CHARGED_BYTES;
	if (!udp->wildcard)
		return 0;
	int rc = udp->family == AF_INET6
			 ? setsockopt(udp->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on))
			 : setsockopt(udp->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	return rc < 0 ? -errno : 0;
}

int udp_socket_new(struct packet_source **ret, int fd, struct io_backend *backend)
{
	struct udp_socket *udp = calloc(1, sizeof(*udp));

	if (!udp)
		return -ENOMEM;
	udp->source.ops = &udp_ops;
	udp->backend = backend;
	udp->fd = fd;
	udp->readable = true; /* until a read says otherwise */
	udp->buffers = malloc((size_t)BUFFER_COUNT * BUFFER_BYTES);
	udp->run_memory = malloc((size_t)RUNS_MAX * RUN_BYTES_MAX);
	int rc = udp->buffers && udp->run_memory ? set_options(udp) : -ENOMEM;
	if (rc < 0) {
		free(udp->buffers);
		free(udp->run_memory);
		free(udp);
		return rc;
	}
	for (unsigned i = 0; i < BUFFER_COUNT; i++)
		udp->free_buffers[udp->free_count++] = udp->buffers + (size_t)i * BUFFER_BYTES;
	*ret = &udp->source;
	return 0;
}
