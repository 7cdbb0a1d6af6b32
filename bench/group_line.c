#include "bench/group_line.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "bench/load.h"
#include "kafka_messages.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	SIZE_BYTES = 4,
	EXCHANGE_MS = 60000,
};

void group_line_open(struct group_line *line, const char *host, uint16_t port, size_t capacity)
{
	*line = (struct group_line){
		.fd = load_connect(host, port), .in = malloc(capacity), .capacity = capacity};
	if (!line->in)
		load_die("no memory");
}

void group_line_close(struct group_line *line)
{
	close(line->fd);
	free(line->in);
}

void group_line_ask(struct group_line *line, int16_t key, int16_t version, const void *message,
		    struct arena *arena)
{
	const struct kafka_api *api = kafka_api_find(key);
	struct wire_writer writer;

	if (line->under_way)
		load_die("two requests at a time");
	if (kafka_encode_request(api, version, ++line->correlation_id, "load", message, arena,
				 &writer) < 0)
		load_die("%s is not encoded", api->name);
	line->key = key;
	line->version = version;
	line->under_way = true;
	line->asked_ns = load_now_ns();
	/* Nothing else is on its way there: the socket has room, or the request is far too long. */
	const struct msghdr whole = {.msg_iov = writer.vectors, .msg_iovlen = writer.vector_count};
	ssize_t sent = sendmsg(line->fd, &whole, MSG_NOSIGNAL);
	if (sent < 0 || (size_t)sent != writer.bytes)
		load_die("%s is not sent: %s", api->name, sent < 0 ? strerror(errno) : "too long");
}

void *group_line_read(struct group_line *line, struct arena *arena)
{
	const struct kafka_api *api = kafka_api_find(line->key);
	ssize_t got = recv(line->fd, line->in + line->in_bytes, line->capacity - line->in_bytes, 0);
	int32_t correlation_id;
	void *response;

	if (got == 0 || (got < 0 && errno != EAGAIN))
		load_die("%s: %s", api ? api->name : "idle",
			 got ? strerror(errno) : "the broker closed the connection");
	line->in_bytes += got > 0 ? (size_t)got : 0;
	if (line->in_bytes < SIZE_BYTES)
		return NULL;
	uint32_t length = load_be32(line->in);
	if (!line->under_way || length > line->capacity - SIZE_BYTES)
		load_die("an answer of %u bytes to %s", length, api ? api->name : "nothing");
	if (line->in_bytes - SIZE_BYTES < length)
		return NULL;
	if (line->in_bytes - SIZE_BYTES > length ||
	    kafka_decode_response(api, line->version, line->in + SIZE_BYTES, length, arena,
				  &correlation_id, &response) < 0 ||
	    correlation_id != line->correlation_id)
		load_die("the answer to %s cannot be read", api->name);
	line->in_bytes = 0;
	line->under_way = false;
	return response;
}

void *group_line_exchange(struct group_line *line, int16_t key, int16_t version,
			  const void *message, struct arena *arena)
{
	struct pollfd readable = {.fd = line->fd, .events = POLLIN};
	void *response = NULL;

	group_line_ask(line, key, version, message, arena);
	while (!response) {
		if (poll(&readable, 1, EXCHANGE_MS) <= 0)
			load_die("no answer to %s", kafka_api_find(key)->name);
		response = group_line_read(line, arena);
	}
	return response;
}
