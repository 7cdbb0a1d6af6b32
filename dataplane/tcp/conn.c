/* Connections.
 *
 * Reading is one-shot into a pooled buffer: backpressure is simply not arming the next receive, so
 * a client that sends faster than it reads answers, or than we have memory, is held by TCP itself.
 * Requests under way are limited by number and, as few bytes may ask for many, by what the answers
 * that wait to be sent hold.
 * A small frame is copied to its request's arena; a large one gets memory of its own, and the rest
 * of it is received straight into that, so its record bytes are copied once more only, into the
 * log's tail.
 *
 * Behind a frame of LARGE_FLOW_BYTES and more another such is expected, and the next size is
 * received by itself: what follows it need not go through a pooled buffer at all.
 *
 *   pooled buffer:  | size | frame ..... | size | frame | size | beginning of a la|
 *                     request_start        request_start   take_large_frame -> receive_into
 *
 * Invariants: at most one receive and one send are in flight; `requests` holds every request of
 * the connection in order of arrival, and only answered ones at its head are sent. */
#include "dataplane/tcp/conn.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/request.h"
#include "dataplane/shard_internal.h"
#include "dataplane/share/share_session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h> /* its tcp_info has tcpi_bytes_acked */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CONN_MAGIC = 0x434f4e4e,
	SIZE_BYTES = 4,
	SMALL_FRAME_BYTES = 4096,
	LARGE_FLOW_BYTES = 32 << 10, /* copying that much costs more than one more receive */
	FIRST_GRANT_BYTES = 1 << 20, /* memory for a large frame before more of it has come */
	SEND_VECTORS = 256,
	PIECE_VECTORS = 1024,   /* IOV_MAX: what one sendmsg takes */
	ANSWER_BYTES = 1 << 20, /* answered and not sent: no more requests are taken */
	STUCK_SECONDS = 30,     /* in the middle of a frame, or waiting for memory */
};

struct conn {
	struct channel channel;
	uint32_t magic;
	int fd;
	struct shard *shard;
	struct list link;    /* shard.connections, by activity */
	struct list starved; /* shard.starved or shard.starved_frames */
	struct list large;   /* shard.large_frames while a large frame is being received */
	uint64_t active_ns;
	uint64_t acked_bytes; /* by the peer, as last asked */

	struct io receive;
	struct io send;
	bool receiving;
	bool sending;
	bool closing;
	bool draining;
	bool large_waits;         /* the backlog begins with a large frame that found no memory */
	bool large_flow;          /* the last frame was one of LARGE_FLOW_BYTES or more */
	uint8_t size[SIZE_BYTES]; /* of a frame, while it is received by itself */
	unsigned busy;            /* > 0: callers up the stack use it; not freed, nothing sent */

	/* Bytes not yet made into requests: a frame's beginning, or whole frames that wait. */
	uint8_t *backlog;
	size_t backlog_length;
	/* A large frame being received. */
	uint8_t *frame;
	size_t frame_length; /* its whole length */
	size_t frame_have;
	size_t frame_capacity;

	struct share_sessions shares;
	struct list requests;
	unsigned request_count;
	size_t answer_bytes; /* memory of those that are answered */
	struct msghdr message;
	struct iovec *vectors; /* of a send of several answers; null: none is under way */
	size_t vectors_capacity;
	unsigned sending_count; /* requests at the head that end with the send in flight */
	size_t head_sent;       /* vectors of a head that needs several sends */
	char peer[64];
};

static void want_more(struct conn *conn);

static struct conn *conn_of(struct io *io, size_t offset)
{
	struct conn *conn = (void *)((char *)io - offset);

	check(conn->magic == CONN_MAGIC);
	return conn;
}

static void touch(struct conn *conn)
{
	conn->active_ns = conn->shard->now_ns;
	list_remove(&conn->link);
	list_push_back(&conn->shard->connections, &conn->link);
}

/* ---- ending ---- */

/* The memory of the frame being received has become `capacity` bytes. */
static void hold_frame(struct conn *conn, size_t capacity)
{
	conn->shard->inflight_bytes += capacity - conn->frame_capacity;
	conn->shard->partial_bytes += capacity - conn->frame_capacity;
	conn->frame_capacity = capacity;
}

static void give_frame(struct conn *conn)
{
	if (!conn->frame)
		return;
	frame_give(&conn->shard->frames, conn->frame, conn->frame_capacity);
	hold_frame(conn, 0);
	conn->frame = NULL;
	list_remove(&conn->large);
}

static void free_when_idle(struct conn *conn)
{
	struct shard *shard = conn->shard;

	if (!conn->closing || conn->receiving || conn->sending || conn->request_count || conn->busy)
		return;
	close(conn->fd);
	give_frame(conn);
	free(conn->backlog);
	list_remove(&conn->link);
	list_remove(&conn->starved);
	shard->connection_count--;
	shard_count(shard, connections_open, -1);
	conn->magic = 0;
#ifndef __clang_analyzer__ /* does not follow `busy`, so it takes what comes later for a use of it \
			    */
	free(conn);
#endif
}

/* It may outlive the connection: references to other shards' buffers are given back first. */
static void release_request(struct conn *conn, struct request *request)
{
	list_remove(&request->link);
	conn->request_count--;
	conn->answer_bytes -= request->arena.held;
	request->channel = NULL;
	request_released(request);
}

static void drop_requests(struct conn *conn)
{
	/* Releasing may free a request but never adds one. */
	list_foreach_safe(node, after, &conn->requests) {
		struct request *request = container_of(node, struct request, link);
		if (!request->answered && request->cancel)
			request->cancel(request);
		if (request->answered && !conn->sending)
			release_request(conn, request);
	}
}

/* `why` (static) is logged, null for an ordinary end. */
static void conn_close(struct conn *conn, const char *why)
{
	if (conn->closing)
		return;
	conn->closing = true;
	if (why) {
		log_info("tcp", "closing peer=%s reason=\"%s\"", conn->peer, why);
		shard_count(conn->shard, connections_failed, 1);
	}
	if (conn->receiving)
		io_cancel(conn->shard->io, &conn->receive);
	if (conn->sending)
		io_cancel(conn->shard->io, &conn->send);
	shutdown(conn->fd, SHUT_RDWR);
	conn->busy++;
	share_sessions_close(&conn->channel);
	drop_requests(conn);
	conn->busy--;
	free_when_idle(conn);
}

/* ---- sending ---- */

static void sent(struct io *io, int result);

/* The next piece of an answer with more vectors than fit beside others'. */
static size_t gather_piece(struct conn *conn, const struct wire_writer *writer)
{
	struct iovec *vectors = writer->vectors + conn->head_sent;
	size_t count = writer->vector_count - conn->head_sent;
	size_t bytes = 0;

	if (count > PIECE_VECTORS)
		count = PIECE_VECTORS;
	for (size_t i = 0; i < count; i++)
		bytes += vectors[i].iov_len;
	conn->message = (struct msghdr){.msg_iov = vectors, .msg_iovlen = count};
	conn->head_sent += count;
	if (conn->head_sent == writer->vector_count) {
		conn->head_sent = 0;
		conn->sending_count = 1;
	}
	return bytes;
}

/* Room to gather those of several answers, with those of the first in it. */
static bool borrow_vectors(struct conn *conn, const struct wire_writer *first)
{
	size_t bytes = SEND_VECTORS * sizeof(conn->vectors[0]);

	if (conn->vectors)
		return true;
	conn->vectors = frame_take(&conn->shard->frames, bytes, &conn->vectors_capacity);
	if (conn->vectors)
		memcpy(conn->vectors, first->vectors,
		       first->vector_count * sizeof(conn->vectors[0]));
	return conn->vectors;
}

/* Requests at the head that are answered, until the vectors are full.  One by itself is sent from
 * where its own are. */
static size_t gather(struct conn *conn)
{
	const struct wire_writer *first = NULL;
	unsigned vectors = 0;
	size_t bytes = 0;

	conn->sending_count = 0;
	list_foreach(node, &conn->requests) {
		struct request *request = container_of(node, struct request, link);
		if (!request->answered || request->closing)
			break;
		unsigned needed = request->silent ? 0 : (unsigned)request->writer.vector_count;
		if (conn->sending_count && vectors + needed > SEND_VECTORS)
			break;
		if (needed > SEND_VECTORS)
			return gather_piece(conn, &request->writer);
		if (needed && first && !borrow_vectors(conn, first))
			break;
		conn->sending_count++;
		if (needed && first)
			memcpy(conn->vectors + vectors, request->writer.vectors,
			       needed * sizeof(conn->vectors[0]));
		else if (needed)
			first = &request->writer;
		vectors += needed;
		bytes += request->silent ? 0 : request->writer.bytes;
	}
	conn->message = (struct msghdr){
		.msg_iov = conn->vectors ? conn->vectors
			   : first       ? first->vectors
					 : NULL,
		.msg_iovlen = vectors,
	};
	return bytes;
}

static void release_sent(struct conn *conn)
{
	frame_give(&conn->shard->frames, conn->vectors, conn->vectors_capacity);
	conn->vectors = NULL;
	while (conn->sending_count) {
		conn->sending_count--;
		release_request(conn, container_of(conn->requests.next, struct request, link));
	}
}

/* Sends what is answered and in turn; then reads on. */
static void pump(struct conn *conn)
{
	if (conn->sending || conn->busy)
		return;
	conn->busy++;
	while (!conn->closing && !conn->sending && !list_empty(&conn->requests)) {
		struct request *head = container_of(conn->requests.next, struct request, link);
		if (head->answered && head->closing) {
			conn_close(conn, NULL);
			break;
		}
		size_t bytes = gather(conn);
		if (!bytes && !conn->sending_count)
			break;
		if (!bytes) {
			release_sent(conn);
			continue;
		}
		conn->sending = true;
		shard_count(conn->shard, response_bytes, bytes);
		conn->send.done = sent;
		io_send(conn->shard->io, &conn->send, conn->fd, &conn->message);
	}
	if (conn->closing && !conn->sending)
		drop_requests(conn);
	conn->busy--;
	if (conn->closing) {
		free_when_idle(conn);
		return;
	}
	if (conn->draining && !conn->request_count) {
		conn_close(conn, NULL);
		return;
	}
	want_more(conn);
}

static void sent(struct io *io, int result)
{
	struct conn *conn = conn_of(io, offsetof(struct conn, send));

	conn->sending = false;
	touch(conn);
	release_sent(conn);
	if (result < 0 && !conn->closing)
		conn_close(conn,
			   result == -EPIPE || result == -ECONNRESET ? NULL : error_text(result));
	else
		pump(conn);
}

/* ---- receiving ---- */

static bool at_limit(const struct conn *conn)
{
	return conn->request_count >= conn->shard->options.limits.pipeline_max ||
	       conn->answer_bytes >= ANSWER_BYTES;
}

static bool memory_short(const struct shard *shard)
{
	return shard->inflight_bytes >= shard->options.inflight_bytes_max;
}

/* Half of the memory is not for frames that are not complete: small requests find room however many
 * clients never end their large ones. */
static bool frames_short(const struct shard *shard)
{
	return shard->partial_bytes >= shard->options.inflight_bytes_max / 2;
}

static bool needs_frame(const struct conn *conn)
{
	return conn->frame ? conn->frame_have == conn->frame_capacity : conn->large_waits;
}

/* Where all memory is held by frames that are not complete, none would ever be: the oldest of them
 * goes on, one request above the limit.  The list to wait in, or null. */
static struct list *must_wait(const struct conn *conn)
{
	struct shard *shard = conn->shard;

	if (shard->large_frames.next == &conn->large)
		return NULL;
	if (frames_short(shard) && needs_frame(conn))
		return &shard->starved_frames;
	return memory_short(shard) ? &shard->starved : NULL;
}

static int frame_fits(struct conn *conn, uint32_t length)
{
	if (length >= 8 && length <= conn->shard->options.request_bytes_max)
		return 0;
	/* "GET " or a TLS hello in place of a length: say so. */
	conn_close(conn, length == 0x47455420 || length >> 24 == 0x16
				 ? "not the Kafka protocol (HTTP or TLS?)"
				 : "frame length outside the limits");
	return -ERR_BAD_REQUEST;
}

static void start_request(struct conn *conn, void *frame, size_t length, size_t capacity)
{
	int rc;

	conn->busy++; /* no answer leaves, and nothing is freed, before we are back */
	conn->request_count++;
	rc = request_start(conn->shard, &conn->channel, frame, length,
			   capacity ? FRAME_TAKE : FRAME_COPY, capacity);
	conn->busy--;
	if (rc < 0) {
		conn->request_count--;
		if (capacity) {
			conn->shard->inflight_bytes -= capacity;
			frame_give(&conn->shard->frames, frame, capacity);
		}
		conn_close(conn, error_text(rc));
	}
}

/* The large frame is complete: it goes over to the caller. */
static uint8_t *whole_frame(struct conn *conn)
{
	uint8_t *whole = conn->frame;

	conn->frame = NULL;
	conn->shard->partial_bytes -= conn->frame_capacity;
	list_remove(&conn->large);
	return whole;
}

/* A frame too large for an arena begins: memory for it, with what has come already. */
static int take_large_frame(struct conn *conn, uint32_t length, const uint8_t *have,
			    size_t have_length)
{
	size_t grant = length < FIRST_GRANT_BYTES ? length : FIRST_GRANT_BYTES;
	size_t capacity;

	if (grant < have_length)
		grant = have_length;
	conn->frame = frame_take(&conn->shard->frames, grant, &capacity);
	if (!conn->frame) {
		conn_close(conn, "out of memory for a request");
		return -ENOMEM;
	}
	conn->frame_capacity = 0;
	hold_frame(conn, capacity);
	list_push_back(&conn->shard->large_frames, &conn->large);
	conn->frame_length = length;
	conn->frame_have = have_length;
	memcpy(conn->frame, have, have_length);
	return 0;
}

/* Makes requests of the frames in [at, at + length); returns how many bytes were used up. */
static size_t consume(struct conn *conn, const uint8_t *at, size_t length)
{
	size_t used = 0;

	conn->large_waits = false;
	while (!conn->closing && !conn->draining && !at_limit(conn) &&
	       length - used >= SIZE_BYTES) {
		const uint8_t *frame = at + used + SIZE_BYTES;
		size_t follows = length - used - SIZE_BYTES;
		uint32_t frame_length = load_be32(at + used);

		if (frame_fits(conn, frame_length) < 0)
			break;
		conn->large_flow = frame_length >= LARGE_FLOW_BYTES;
		if (frame_length <= SMALL_FRAME_BYTES) {
			if (follows < frame_length)
				break;
			start_request(conn, (void *)(uintptr_t)frame, frame_length, 0);
			used += SIZE_BYTES + frame_length;
			continue;
		}
		size_t have = follows < frame_length ? follows : frame_length;
		if (have < frame_length && frames_short(conn->shard)) {
			conn->large_waits = true;
			break;
		}
		if (take_large_frame(conn, frame_length, frame, have) < 0)
			break;
		used += SIZE_BYTES + have;
		if (have < frame_length)
			break;
		uint8_t *whole = whole_frame(conn);
		start_request(conn, whole, frame_length, conn->frame_capacity);
	}
	return used;
}

/* Keeps what was not used for later; what lies in the old backlog is replaced. */
static void keep_backlog(struct conn *conn, const uint8_t *rest, size_t length)
{
	uint8_t *kept = NULL;

	if (length && !conn->closing) {
		kept = malloc(length);
		if (!kept) {
			conn_close(conn, "out of memory");
			length = 0;
		} else {
			memcpy(kept, rest, length);
		}
	} else {
		length = 0;
	}
	free(conn->backlog);
	conn->backlog = kept;
	conn->backlog_length = length;
}

static void consume_with_backlog(struct conn *conn, const uint8_t *data, size_t length)
{
	if (!conn->backlog_length) {
		size_t used = consume(conn, data, length);
		keep_backlog(conn, data + used, length - used);
		return;
	}
	uint8_t *joined = realloc(conn->backlog, conn->backlog_length + length);
	if (!joined) {
		conn_close(conn, "out of memory");
		return;
	}
	conn->backlog = joined;
	if (length)
		memcpy(joined + conn->backlog_length, data, length);
	length += conn->backlog_length;
	conn->backlog_length = length;
	size_t used = consume(conn, joined, length);
	if (used)
		keep_backlog(conn, joined + used, length - used);
}

/* Guards `conn` against being freed while its bytes are looked at. */
static void received_bytes(struct conn *conn, const uint8_t *data, size_t length)
{
	conn->busy++;
	consume_with_backlog(conn, data, length);
	conn->busy--;
}

static void received(struct io *io, int result)
{
	struct conn *conn = conn_of(io, offsetof(struct conn, receive));
	struct shard *shard = conn->shard;

	conn->receiving = false;
	if (conn->closing) {
		if (result > 0)
			io_buffer_put(shard->io, io->buffer);
		free_when_idle(conn);
		return;
	}
	if (result == -ENOBUFS) {
		list_remove(&conn->starved);
		list_push_back(&shard->starved, &conn->starved);
		return;
	}
	if (result <= 0) {
		conn_close(conn, conn->backlog_length && result == 0 ? "peer closed within a frame"
								     : NULL);
		return;
	}
	touch(conn);
	shard_count(shard, request_bytes, result);
	received_bytes(conn, io->buffer->data, (size_t)result);
	io_buffer_put(shard->io, io->buffer);
	pump(conn);
}

/* True: what has come into memory of the connection's own is to be looked at. */
static bool received_own(struct conn *conn, int result, const char *why_short)
{
	conn->receiving = false;
	if (conn->closing) {
		free_when_idle(conn);
		return false;
	}
	if (result <= 0) {
		conn_close(conn, why_short);
		return false;
	}
	touch(conn);
	shard_count(conn->shard, request_bytes, result);
	return true;
}

static void received_size(struct io *io, int result)
{
	struct conn *conn = conn_of(io, offsetof(struct conn, receive));

	if (!received_own(conn, result, NULL))
		return;
	received_bytes(conn, conn->size, (size_t)result);
	pump(conn);
}

static void received_into_frame(struct io *io, int result)
{
	struct conn *conn = conn_of(io, offsetof(struct conn, receive));

	if (!received_own(conn, result, "peer closed within a frame"))
		return;
	conn->frame_have += (size_t)result;
	check(conn->frame_have <= conn->frame_length);
	if (conn->frame_have == conn->frame_length) {
		uint8_t *whole = whole_frame(conn);
		conn->busy++;
		start_request(conn, whole, conn->frame_length, conn->frame_capacity);
		conn->busy--;
	}
	pump(conn);
}

/* Doubles a large frame's memory as its bytes really come. */
static int grow_frame(struct conn *conn)
{
	size_t wanted = conn->frame_capacity * 2;
	size_t capacity;

	if (wanted > conn->frame_length)
		wanted = conn->frame_length;
	uint8_t *larger = frame_take(&conn->shard->frames, wanted, &capacity);
	if (!larger)
		return -ENOMEM;
	memcpy(larger, conn->frame, conn->frame_have);
	frame_give(&conn->shard->frames, conn->frame, conn->frame_capacity);
	conn->frame = larger;
	hold_frame(conn, capacity);
	return 0;
}

static void receive_frame(struct conn *conn)
{
	if (conn->frame_have == conn->frame_capacity && grow_frame(conn) < 0) {
		conn_close(conn, "out of memory for a request");
		return;
	}
	size_t room = conn->frame_capacity < conn->frame_length ? conn->frame_capacity
								: conn->frame_length;
	conn->receiving = true;
	conn->receive.done = received_into_frame;
	io_receive_into(conn->shard->io, &conn->receive, conn->fd, conn->frame + conn->frame_have,
			room - conn->frame_have);
}

/* Arms the next receive unless a limit says to wait. */
static void want_more(struct conn *conn)
{
	struct shard *shard = conn->shard;

	if (conn->receiving || conn->busy || conn->closing || conn->draining)
		return;
	if (conn->backlog_length && !conn->frame && !at_limit(conn)) {
		size_t before = conn->backlog_length;
		received_bytes(conn, (const uint8_t *)"", 0);
		if (conn->closing || conn->backlog_length != before) {
			pump(conn);
			return;
		}
	}
	if (at_limit(conn))
		return;
	struct list *waiting = must_wait(conn);
	if (waiting) {
		list_remove(&conn->starved);
		list_push_back(waiting, &conn->starved);
		return;
	}
	if (conn->frame) {
		receive_frame(conn);
		return;
	}
	conn->receiving = true;
	if (conn->large_flow && !conn->backlog_length) {
		conn->receive.done = received_size;
		io_receive_into(shard->io, &conn->receive, conn->fd, conn->size, SIZE_BYTES);
		return;
	}
	conn->receive.done = received;
	io_receive(shard->io, &conn->receive, conn->fd);
}

static void resume_oldest(struct shard *shard)
{
	if (list_empty(&shard->large_frames))
		return;
	struct conn *oldest = container_of(shard->large_frames.next, struct conn, large);
	if (list_linked(&oldest->starved)) {
		list_remove(&oldest->starved);
		want_more(oldest);
	}
}

/* Those that find no memory again join the fresh list. */
static void resume_all(struct list *starved)
{
	struct list waiting;
	struct list *node;

	list_init(&waiting);
	while (!list_empty(starved))
		list_push_back(&waiting, list_pop_front(starved));
	while ((node = list_pop_front(&waiting)))
		want_more(container_of(node, struct conn, starved));
}

void conn_resume_starved(struct shard *shard)
{
	if (list_empty(&shard->starved) && list_empty(&shard->starved_frames))
		return;
	if (memory_short(shard)) {
		resume_oldest(shard);
		return;
	}
	resume_all(&shard->starved);
	if (frames_short(shard))
		resume_oldest(shard);
	else
		resume_all(&shard->starved_frames);
}

/* ---- accepting ---- */

static void describe_peer(struct conn *conn)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "?";
	unsigned port = 0;

	if (getpeername(conn->fd, (struct sockaddr *)&address, &length) == 0) {
		if (address.ss_family == AF_INET) {
			const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
			inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
			port = ntohs(in->sin_port);
		} else if (address.ss_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
			inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
			port = ntohs(in6->sin6_port);
		}
	}
	snprintf(conn->peer, sizeof(conn->peer), "%s:%u", host, port);
}

static void refuse(struct shard *shard, int fd, const char *why)
{
	shard_count(shard, connections_refused, 1);
	close(fd);
	/* A flood of them is one line a second. */
	if (shard->now_ns - shard->refused_ns < NS_PER_SECOND)
		return;
	shard->refused_ns = shard->now_ns;
	log_warn("tcp", "connections refused reason=\"%s\"", why);
}

static void request_begun(struct channel *channel, struct request *request)
{
	struct conn *conn = container_of(channel, struct conn, channel);

	list_push_back(&conn->requests, &request->link);
}

static void request_answered(struct channel *channel, struct request *request)
{
	struct conn *conn = container_of(channel, struct conn, channel);

	conn->answer_bytes += request->arena.held;
	pump(conn);
}

static const struct channel_ops conn_channel = {
	.begin = request_begun,
	.answered = request_answered,
};

static void open_connection(struct shard *shard, int fd)
{
	struct conn *conn = NULL;
	int on = 1;

	if (shard->connection_count >= shard->options.limits.connections_max) {
		refuse(shard, fd, "max.connections is reached");
		return;
	}
	/* The others are for the logs' files. */
	if (shard->connection_count >= shard->options.connection_descriptors_max) {
		refuse(shard, fd, "few descriptors are left (ulimit -n)");
		return;
	}
	conn = calloc(1, sizeof(*conn));
	if (!conn) {
		refuse(shard, fd, "out of memory");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	conn->channel = (struct channel){
		.ops = &conn_channel,
		.peer = conn->peer,
		.shares = &conn->shares,
	};
	conn->magic = CONN_MAGIC;
	conn->fd = fd;
	conn->shard = shard;
	list_init(&conn->requests);
	list_init(&conn->starved);
	list_init(&conn->large);
	describe_peer(conn);
	shard->connection_count++;
	shard_count(shard, connections_accepted, 1);
	shard_count(shard, connections_open, 1);
	touch(conn);
	want_more(conn);
}

static void accepted(struct io *io, int result)
{
	struct shard *shard = container_of(io, struct shard, accept);

	if (result >= 0) {
		if (shard->phase == SHARD_SERVING)
			open_connection(shard, result);
		else
			close(result);
		return;
	}
	shard->accepting = false;
	if (shard->phase == SHARD_SERVING && result != -ECANCELED)
		log_warn("tcp", "accept failed error=\"%s\", trying again", error_text(result));
}

void conn_accept_start(struct shard *shard)
{
	if (shard->accepting)
		return;
	shard->accepting = true;
	shard->accept.done = accepted;
	io_accept(shard->io, &shard->accept, shard->options.listener);
}

void conn_accept_stop(struct shard *shard)
{
	if (shard->accepting)
		io_cancel(shard->io, &shard->accept);
}

/* ---- time and the end ---- */

static bool stuck(const struct conn *conn)
{
	bool within_frame = conn->frame || (conn->backlog_length && !at_limit(conn));

	return (within_frame && !conn->request_count) || conn->sending;
}

/* A long answer over a thin line is one send, and takes its time. */
static bool still_reads(struct conn *conn)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0 ||
	    info.tcpi_bytes_acked == conn->acked_bytes)
		return false;
	conn->acked_bytes = info.tcpi_bytes_acked;
	return true;
}

void conn_expire(struct shard *shard)
{
	uint64_t idle_ns = shard->options.limits.idle_ms_max * NS_PER_MS;
	uint64_t stuck_ns = STUCK_SECONDS * NS_PER_SECOND;
	uint64_t least_ns = idle_ns && idle_ns < stuck_ns ? idle_ns : stuck_ns;

	list_foreach_safe(node, after, &shard->connections) {
		struct conn *conn = container_of(node, struct conn, link);
		uint64_t quiet_ns = shard->now_ns - conn->active_ns;
		if (quiet_ns < least_ns)
			break; /* the rest was active later */
		if (quiet_ns >= stuck_ns && conn->sending && still_reads(conn))
			touch(conn);
		else if (quiet_ns >= stuck_ns && stuck(conn))
			conn_close(conn, conn->sending ? "client does not read its answers"
						       : "stuck within a frame");
		else if (idle_ns && quiet_ns >= idle_ns && !conn->request_count)
			conn_close(conn, NULL);
	}
	/* Accepting ends when descriptors run out: take it up again. */
	if (shard->phase == SHARD_SERVING)
		conn_accept_start(shard);
}

void conn_drain_all(struct shard *shard)
{
	list_foreach_safe(node, after, &shard->connections) {
		struct conn *conn = container_of(node, struct conn, link);
		conn->draining = true;
		if (!conn->request_count) {
			conn_close(conn, NULL);
			continue;
		}
		list_foreach_safe(request_node, next, &conn->requests) {
			struct request *request = container_of(request_node, struct request, link);
			if (!request->answered && request->cancel)
				request->cancel(request);
		}
	}
}

void conn_close_all(struct shard *shard, const char *why)
{
	list_foreach_safe(node, after, &shard->connections)
		conn_close(container_of(node, struct conn, link), why);
}
