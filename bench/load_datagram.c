/* Requests in the slots of sessions: the transport's client over a port of DPDK or a kernel socket.
 *
 *     load_link.fire -> transport_call -> emit -> wire -> ... -> transport_receive -> done
 */
#include "bench/load.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/transport/transport.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BURST = 32,
	BURSTS_A_TURN = 4,
	UDP_BATCH = 64,
	UDP_BYTES = 2048,
	SOCKET_BYTES = 8 << 20,
	SLOTS_MAX = 64,
	WINDOW = 1024,
	PORT_FIRST = 41000,
	DESCRIPTORS = 1024,
};
static const uint64_t open_within_ns = 10 * NS_PER_SECOND;

static_assert(sizeof(struct transport_address) == sizeof(struct port_address) &&
		      sizeof(struct transport_piece) == sizeof(struct port_piece),
	      "one layout");

/* Of a shot. */
struct call {
	struct transport_call call; /* first, to be found from it */
	struct transport_piece piece;
	struct shot *shot;
	struct transport_session *session;
};

struct udp_batch {
	struct mmsghdr messages[UDP_BATCH];
	struct iovec vectors[UDP_BATCH];
	uint8_t data[UDP_BATCH][UDP_BYTES];
	unsigned count;
};

struct datagram_link {
	struct load_link link;
	struct transport *transport;
	struct transport_address to;
	struct transport_session **sessions;
	struct call *calls;
	unsigned session_count;
	unsigned opened;
	uint64_t now_ns;
	uint64_t timeout_ns;
	struct port *port; /* null: a kernel socket */
	struct port_queue *queue;
	int fd;
	struct udp_batch out;
	struct udp_batch in;
};

/* ---- wires ---- */

static bool emit_by_port(void *context, const struct transport_datagram *datagram)
{
	struct datagram_link *link = context;
	int rc = port_send(link->queue, (const struct port_address *)datagram->to, datagram->header,
			   datagram->header_bytes, (const struct port_piece *)datagram->pieces,
			   datagram->piece_count, link->now_ns);

	return rc != -EAGAIN && rc != -ENOBUFS;
}

static void turn_port(struct datagram_link *link)
{
	struct port_datagram datagrams[BURST];
	unsigned count = BURST;

	for (unsigned i = 0; i < BURSTS_A_TURN && count == BURST; i++) {
		count = port_receive(link->queue, datagrams, BURST, link->now_ns);
		for (unsigned d = 0; d < count; d++) {
			transport_receive(link->transport, datagrams[d].data, datagrams[d].length,
					  (const struct transport_address *)&datagrams[d].from,
					  datagrams[d].packet, link->now_ns);
			port_release(link->queue, datagrams[d].packet);
		}
	}
	transport_turn(link->transport, link->now_ns);
	port_turn(link->queue, link->now_ns);
}

static void flush_udp(struct datagram_link *link)
{
	struct udp_batch *out = &link->out;

	/* What the socket does not take is lost, as on any wire. */
	if (out->count && sendmmsg(link->fd, out->messages, out->count, 0) < 0 && errno != EAGAIN &&
	    errno != ECONNREFUSED)
		load_die("sendmmsg: %s", strerror(errno));
	out->count = 0;
}

static bool emit_by_udp(void *context, const struct transport_datagram *datagram)
{
	struct datagram_link *link = context;
	struct udp_batch *out = &link->out;

	if (out->count == UDP_BATCH)
		flush_udp(link);
	uint8_t *at = out->data[out->count];
	out->vectors[out->count++].iov_len = datagram->bytes;
	memcpy(at, datagram->header, datagram->header_bytes);
	at += datagram->header_bytes;
	for (uint32_t i = 0; i < datagram->piece_count; i++) {
		memcpy(at, datagram->pieces[i].data, datagram->pieces[i].length);
		at += datagram->pieces[i].length;
	}
	return true;
}

static void turn_udp(struct datagram_link *link)
{
	struct udp_batch *in = &link->in;
	int count = recvmmsg(link->fd, in->messages, UDP_BATCH, 0, NULL);

	for (int i = 0; i < count; i++)
		transport_receive(link->transport, in->data[i], in->messages[i].msg_len, &link->to,
				  NULL, link->now_ns);
	transport_turn(link->transport, link->now_ns);
	flush_udp(link);
}

/* ---- the transport's hooks ---- */

static void hook_random(void *context, void *ret, size_t length)
{
	if (getrandom(ret, length, 0) != (ssize_t)length)
		load_die("getrandom");
}

static void *hook_take(void *context, size_t bytes)
{
	return malloc(bytes);
}

static void hook_give(void *context, void *buffer, size_t bytes)
{
	free(buffer);
}

static void hook_opened(void *context, struct transport_session *session)
{
	((struct datagram_link *)context)->opened++;
}

static void hook_closed(void *context, struct transport_session *session,
			enum transport_reason reason)
{
	if (reason != TRANSPORT_REASON_NONE)
		load_die("a session ended: %s", transport_reason_text(reason));
}

/* ---- the link ---- */

static void done(struct transport_call *transport_call, int rc, struct transport_message *response)
{
	const struct call *call = (const struct call *)transport_call;

	if (rc < 0)
		load_die("a call failed: %d", rc);
	if (response->buffer)
		load_die("an answer larger than a datagram");
	load_answered(call->shot, response->data, response->length);
}

static void fire(struct load_link *load_link, struct shot *shot, uint64_t now_ns)
{
	struct datagram_link *link = container_of(load_link, struct datagram_link, link);
	struct call *call = shot->link_part;

	call->piece = (struct transport_piece){.data = shot->frame, .length = shot->length};
	call->call = (struct transport_call){
		.pieces = &call->piece,
		.piece_count = 1,
		.timeout_ns = link->timeout_ns,
		.done = done,
	};
	if (transport_call(call->session, &call->call, now_ns) < 0)
		load_die("transport_call");
}

static void turn(struct load_link *load_link, uint64_t now_ns)
{
	struct datagram_link *link = container_of(load_link, struct datagram_link, link);

	link->now_ns = now_ns;
	if (link->port)
		turn_port(link);
	else
		turn_udp(link);
}

static void finish(struct load_link *load_link)
{
	struct datagram_link *link = container_of(load_link, struct datagram_link, link);

	for (unsigned i = 0; i < link->session_count; i++)
		transport_close(link->sessions[i], TRANSPORT_REASON_NONE, link->now_ns);
	turn(load_link, link->now_ns);
	transport_free(link->transport);
	port_stop(link->port);
	if (link->fd >= 0)
		close(link->fd);
	free(link->sessions);
	free(link->calls);
	free(link);
}

static void describe(const struct load_link *load_link)
{
	const struct datagram_link *link = container_of((struct load_link *)(uintptr_t)load_link,
							struct datagram_link, link);
	const struct transport_statistics *statistics = transport_statistics(link->transport);
	const uint64_t *values = (const uint64_t *)statistics;
	size_t count;
	const struct transport_statistic_text *texts = transport_statistic_texts(&count);

	printf(", \"rtt_us\": %.1f, \"statistics\": {",
	       (double)transport_session_rtt_ns(link->sessions[0]) / 1e3);
	for (size_t i = 0, printed = 0; i < count; i++) {
		if (values[i])
			printf("%s\"%s\": %" PRIu64, printed++ ? ", " : "", texts[i].name,
			       values[i]);
	}
	printf("}");
}

/* ---- making one ---- */

static void start_transport(struct datagram_link *link, uint32_t datagram_bytes, unsigned slots)
{
	struct transport_config config = transport_config_default();
	const struct transport_hooks hooks = {
		.context = link,
		.emit = link->port ? emit_by_port : emit_by_udp,
		.random = hook_random,
		.take = hook_take,
		.give = hook_give,
		.opened = hook_opened,
		.closed = hook_closed,
	};

	config.datagram_bytes = datagram_bytes;
	config.slots = (uint16_t)slots;
	config.window = WINDOW;
	config.rtt_guess_us = 1000;
	link->timeout_ns = (uint64_t)config.idle_ms * NS_PER_MS;
	link->now_ns = load_now_ns();
	if (transport_new(&link->transport, &config, &hooks, link->now_ns) < 0)
		load_die("transport_new");
}

static void open_sessions(struct datagram_link *link, unsigned sessions)
{
	uint64_t begun_ns = load_now_ns();

	link->sessions = calloc(sessions, sizeof(void *));
	if (!link->sessions)
		load_die("no memory");
	link->session_count = sessions;
	for (unsigned i = 0; i < sessions; i++) {
		if (transport_connect(link->transport, &link->sessions[i], &link->to, NULL,
				      load_now_ns()) < 0)
			load_die("transport_connect");
	}
	while (link->opened < sessions) {
		turn(&link->link, load_now_ns());
		if (load_now_ns() - begun_ns > open_within_ns)
			load_die("no session within 10 s");
	}
}

/* Neighbouring shots are of different sessions. */
static struct shot *make_shots(struct datagram_link *link, unsigned slots)
{
	unsigned granted = transport_session_slots(link->sessions[0]);

	slots = slots < granted ? slots : granted;
	link->link.capacity = slots * link->session_count;
	struct shot *shots = calloc(link->link.capacity, sizeof(*shots));
	link->calls = calloc(link->link.capacity, sizeof(*link->calls));
	if (!shots || !link->calls)
		load_die("no memory");
	for (unsigned i = 0; i < link->link.capacity; i++) {
		link->calls[i].shot = &shots[i];
		link->calls[i].session = link->sessions[i % link->session_count];
		shots[i].link_part = &link->calls[i];
	}
	return shots;
}

static struct datagram_link *link_new(const char *host, uint16_t port, unsigned sessions,
				      unsigned slots)
{
	struct datagram_link *link = calloc(1, sizeof(*link));
	struct port_ip ip;

	if (!link)
		load_die("no memory");
	if (port_ip_parse(&ip, host) < 0 || !sessions || !slots || slots > SLOTS_MAX)
		load_die("%s, %u sessions of %u slots: not possible", host, sessions, slots);
	link->link = (struct load_link){
		.fire = fire, .turn = turn, .close = finish, .describe = describe};
	link->fd = -1;
	memcpy(link->to.ip, ip.ip, sizeof(ip.ip));
	link->to.port = port;
	return link;
}

static void init_batch(struct udp_batch *batch)
{
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		batch->vectors[i] = (struct iovec){batch->data[i], UDP_BYTES};
		batch->messages[i].msg_hdr = (struct msghdr){.msg_iov = &batch->vectors[i],
							     .msg_iovlen = 1};
	}
}

static int udp_socket_to(const char *host, uint16_t port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int bytes = SOCKET_BYTES;

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		load_die("%s is not an IPv4 address", host);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		load_die("%s:%u: %s", host, port, strerror(errno));
	/* As much as the system allows. */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	return fd;
}

struct load_link *load_link_udp(const char *host, uint16_t port, unsigned sessions, unsigned slots,
				struct shot **ret_shots)
{
	struct datagram_link *link = link_new(host, port, sessions, slots);

	init_batch(&link->in);
	init_batch(&link->out);
	link->fd = udp_socket_to(host, port);
	start_transport(link, 1472, slots);
	open_sessions(link, sessions);
	*ret_shots = make_shots(link, slots);
	return &link->link;
}

static void start_port(struct datagram_link *link, const char *vdev, const char *address)
{
	char why[256] = "";
	char name[64];
	struct port_ip ip;

	if (port_ip_parse(&ip, address) < 0)
		load_die("%s is not IP/PREFIX", address);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(vdev, ","), vdev);
	struct port_options options = {
		.device = name,
		.shard_count = 1,
		.udp_port_first = PORT_FIRST,
		.rx_descriptors = DESCRIPTORS,
		.tx_descriptors = DESCRIPTORS,
		.addresses = &ip,
		.address_count = 1,
		.no_interrupts = true,
		.exception = PORT_EXCEPTION_NONE,
	};
	const struct eal_options eal = {
		.thread_count = 1,
		.memory_bytes = port_memory_bytes(&options),
		.vdevs = &vdev,
		.vdev_count = 1,
	};
	if (eal_start_with(&eal, why, sizeof(why)) < 0 ||
	    port_start(&link->port, &options, why, sizeof(why)) < 0)
		load_die("%s: %s", vdev, why);
	link->queue = port_queue(link->port, 0);
	static const struct port_hooks hooks; /* what is sent is copied */
	port_queue_attach(link->queue, &hooks, NULL);
}

struct load_link *load_link_port(const char *vdev, const char *address, const char *host,
				 uint16_t port, unsigned sessions, unsigned slots,
				 struct shot **ret_shots)
{
	struct datagram_link *link = link_new(host, port, sessions, slots);

	start_port(link, vdev, address);
	start_transport(link, 1472, slots);
	open_sessions(link, sessions);
	*ret_shots = make_shots(link, slots);
	return &link->link;
}
