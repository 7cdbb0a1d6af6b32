/* Requests pipelined over one connection: answers come in the order of the requests. */
#include "bench/load.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SIZE_BYTES = 4,
	BUFFER_BYTES = 1 << 20,
};

struct tcp_link {
	struct load_link link;
	int fd;
	struct shot **under_way; /* a ring of capacity, in the order of sending */
	uint64_t sent;
	uint64_t answered;
	uint8_t *out;
	size_t out_from;
	size_t out_to;
	uint8_t *in;
	size_t in_bytes;
};

static void fire(struct load_link *link, struct shot *shot, uint64_t now_ns)
{
	struct tcp_link *tcp = container_of(link, struct tcp_link, link);

	if (tcp->out_to + SIZE_BYTES + shot->length > BUFFER_BYTES)
		load_die("more under way than fits the buffer");
	store_be32(tcp->out + tcp->out_to, shot->length);
	memcpy(tcp->out + tcp->out_to + SIZE_BYTES, shot->frame, shot->length);
	tcp->out_to += SIZE_BYTES + shot->length;
	tcp->under_way[tcp->sent++ % link->capacity] = shot;
}

static void send_some(struct tcp_link *tcp)
{
	if (tcp->out_from == tcp->out_to)
		return;
	ssize_t sent = send(tcp->fd, tcp->out + tcp->out_from, tcp->out_to - tcp->out_from,
			    MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		load_die("send: %s", strerror(errno));
	tcp->out_from += sent > 0 ? (size_t)sent : 0;
	memmove(tcp->out, tcp->out + tcp->out_from, tcp->out_to - tcp->out_from);
	tcp->out_to -= tcp->out_from;
	tcp->out_from = 0;
}

static void receive_some(struct tcp_link *tcp)
{
	ssize_t got = recv(tcp->fd, tcp->in + tcp->in_bytes, BUFFER_BYTES - tcp->in_bytes, 0);
	size_t at = 0;

	if (got == 0 || (got < 0 && errno != EAGAIN))
		load_die("recv: %s", got ? strerror(errno) : "the broker closed the connection");
	tcp->in_bytes += got > 0 ? (size_t)got : 0;
	while (tcp->in_bytes - at >= SIZE_BYTES) {
		uint32_t length = load_be32(tcp->in + at);
		if (length > BUFFER_BYTES / 2 || tcp->answered == tcp->sent)
			load_die("an answer that is none");
		if (tcp->in_bytes - at - SIZE_BYTES < length)
			break;
		struct shot *shot = tcp->under_way[tcp->answered++ % tcp->link.capacity];
		load_answered(shot, tcp->in + at + SIZE_BYTES, length);
		at += SIZE_BYTES + length;
	}
	memmove(tcp->in, tcp->in + at, tcp->in_bytes - at);
	tcp->in_bytes -= at;
}

static void turn(struct load_link *link, uint64_t now_ns)
{
	struct tcp_link *tcp = container_of(link, struct tcp_link, link);

	send_some(tcp);
	receive_some(tcp);
}

static void finish(struct load_link *link)
{
	struct tcp_link *tcp = container_of(link, struct tcp_link, link);

	close(tcp->fd);
	free(tcp->under_way);
	free(tcp->out);
	free(tcp->in);
	free(tcp);
}

struct load_link *load_link_tcp(const char *host, uint16_t port, unsigned under_way,
				struct shot **ret_shots)
{
	struct tcp_link *tcp = calloc(1, sizeof(*tcp));
	struct shot *shots = calloc(under_way, sizeof(*shots));

	if (!tcp || !shots)
		load_die("no memory");
	tcp->link = (struct load_link){
		.capacity = under_way, .fire = fire, .turn = turn, .close = finish};
	tcp->under_way = calloc(under_way, sizeof(struct shot *));
	tcp->out = malloc(BUFFER_BYTES);
	tcp->in = malloc(BUFFER_BYTES);
	if (!tcp->under_way || !tcp->out || !tcp->in)
		load_die("no memory");
	tcp->fd = load_connect(host, port);
	*ret_shots = shots;
	return &tcp->link;
}
