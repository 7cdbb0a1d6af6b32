/* The fake broker over the datagram transport: one endpoint on one UDP socket, which loses and
 * doubles datagrams when it is told to, the same ones in every run. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "client/partitioner.h"
#include "dataplane/transport/transport.h"
#include "tests/client/fake_broker.h"

enum { DATAGRAM_BYTES = 9216, ARENA_BYTES = 64 << 20 };

struct endpoint {
	struct fake_broker *fake;
	struct transport *transport;
	uint64_t random;
};

/* An answer on its way: the arena holds its bytes. */
struct sent {
	struct arena arena;
	struct transport_piece pieces[TRANSPORT_PIECES_MAX];
};

static uint64_t now(void)
{
	return clock_monotonic_ns(clock_system());
}

/* How often a datagram travels: 0 lost, 1, 2 doubled. */
static int copies(struct endpoint *endpoint)
{
	unsigned dice = (unsigned)(partitioner_random(&endpoint->random) % 100);

	if (dice < endpoint->fake->per_cent) {
		endpoint->fake->lost++;
		return 0;
	}
	return dice < 2 * endpoint->fake->per_cent ? 2 : 1;
}

static bool hook_emit(void *context, const struct transport_datagram *out)
{
	struct endpoint *endpoint = context;
	struct iovec vectors[TRANSPORT_PIECES_MAX + 1];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(out->to->port)};

	memcpy(&to.sin_addr, out->to->ip + 12, 4);
	vectors[0] = (struct iovec){(void *)(uintptr_t)out->header, out->header_bytes};
	for (uint32_t i = 0; i < out->piece_count; i++)
		vectors[i + 1] = (struct iovec){(void *)(uintptr_t)out->pieces[i].data,
						out->pieces[i].length};
	struct msghdr message = {.msg_name = &to,
				 .msg_namelen = sizeof(to),
				 .msg_iov = vectors,
				 .msg_iovlen = out->piece_count + 1};
	for (int left = copies(endpoint); left > 0; left--)
		sendmsg(endpoint->fake->listener, &message, MSG_NOSIGNAL); /* full: lost */
	return true;
}

static void hook_random(void *context, void *ret, size_t length)
{
	check(getrandom(ret, length, 0) == (ssize_t)length);
}

static void *hook_take(void *context, size_t bytes)
{
	return malloc(bytes);
}

static void hook_give(void *context, void *buffer, size_t bytes)
{
	free(buffer);
}

static void hook_released(void *context, void *owner)
{
	struct sent *sent = owner;

	arena_fini(&sent->arena);
	free(sent);
}

static void hook_request(void *context, struct transport_session *session,
			 struct transport_request request, struct transport_message *message)
{
	struct endpoint *endpoint = context;
	struct sent *sent = calloc(1, sizeof(*sent));
	struct wire_writer writer = {0};
	uint32_t count = 0;

	check(sent);
	arena_init(&sent->arena, ARENA_BYTES);
	enum fake_answer how = fake_broker_answer(endpoint->fake, message->data, message->length,
						  &sent->arena, &writer);
	if (message->buffer)
		transport_give(endpoint->transport, message->buffer, message->buffer_bytes);
	if (how == FAKE_CLOSE || how == FAKE_CLOSE_ALL) {
		transport_close(session, TRANSPORT_REASON_SHUTDOWN, now());
		hook_released(NULL, sent);
		return;
	}
	if (how == FAKE_STUCK) {
		hook_released(NULL, sent);
		return;
	}
	/* Without the size; acks=0 is answered with nothing, which frees the slot. */
	check(writer.vector_count <= TRANSPORT_PIECES_MAX);
	for (size_t i = 0; i < writer.vector_count; i++) {
		size_t skip = i == 0 ? 4 : 0;
		sent->pieces[count++] = (struct transport_piece){
			.data = (uint8_t *)writer.vectors[i].iov_base + skip,
			.length = (uint32_t)(writer.vectors[i].iov_len - skip)};
	}
	if (transport_respond(endpoint->transport, request, sent->pieces, count, sent, now()) < 0)
		hook_released(NULL, sent);
}

static void receive(struct endpoint *endpoint)
{
	static _Thread_local uint8_t datagram[DATAGRAM_BYTES];
	struct sockaddr_in from;

	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t got = recvfrom(endpoint->fake->listener, datagram, sizeof(datagram), 0,
				       (struct sockaddr *)&from, &length);
		if (got < 0)
			return;
		if (endpoint->fake->datagram_bytes_max &&
		    (size_t)got > endpoint->fake->datagram_bytes_max) {
			endpoint->fake->too_large++;
			continue;
		}
		struct transport_address address = {.port = ntohs(from.sin_port)};
		address.ip[10] = address.ip[11] = 0xff;
		memcpy(address.ip + 12, &from.sin_addr, 4);
		for (int left = copies(endpoint); left > 0; left--)
			transport_receive(endpoint->transport, datagram, (size_t)got, &address,
					  NULL, now());
	}
}

void *fake_broker_run_datagrams(void *argument)
{
	struct endpoint endpoint = {.fake = argument, .random = 1};
	const struct transport_hooks hooks = {
		.context = &endpoint,
		.emit = hook_emit,
		.random = hook_random,
		.take = hook_take,
		.give = hook_give,
		.request = hook_request,
		.released = hook_released,
	};
	const struct transport_config config = transport_config_default();
	struct pollfd fds[] = {
		{.fd = endpoint.fake->stop[0], .events = POLLIN},
		{.fd = endpoint.fake->listener, .events = POLLIN},
	};

	check(transport_new(&endpoint.transport, &config, &hooks, now()) == 0);
	while (!fds[0].revents) {
		uint64_t due_ns = transport_turn(endpoint.transport, now());
		uint64_t at_ns = now();
		int wait_ms = due_ns == UINT64_MAX ? -1
			      : due_ns <= at_ns    ? 0
						   : (int)((due_ns - at_ns) / NS_PER_MS);
		check(poll(fds, 2, wait_ms) >= 0);
		if (fds[1].revents)
			receive(&endpoint);
	}
	transport_free(endpoint.transport);
	return NULL;
}
