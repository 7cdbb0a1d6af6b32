#include "tests/sim/clients/peer.h"

#include "base/bytes.h"
#include "base/check.h"
#include "kafka_messages.h"
#include "tests/sim/broker.h"
#include "tests/sim/network.h"

#include <errno.h>
#include <stdlib.h>

enum { ARENA_BYTES = 4 << 20, FRAME_BYTES_MAX = 16 << 20, SIZE_BYTES = 4 };

void peer_init(struct peer *peer, const char *client_id)
{
	*peer = (struct peer){.client_id = client_id};
	arena_init(&peer->arena, ARENA_BYTES);
}

void peer_close(struct peer *peer)
{
	if (peer->socket)
		socket_close(peer->socket);
	peer->socket = NULL;
}

void peer_reset(struct peer *peer)
{
	if (peer->socket)
		socket_reset(peer->socket);
	peer->socket = NULL;
}

static void changed(void *context)
{
	struct peer *peer = context;

	waiting_wake(&peer->waiting);
}

static int wait_for(struct peer *peer, bool (*ready)(const struct socket_state *), uint64_t due_ns)
{
	while (!ready(peer->socket)) {
		if (!waiting_block(&peer->waiting, due_ns) && !ready(peer->socket))
			return -ETIMEDOUT;
	}
	return 0;
}

int peer_connect(struct peer *peer, uint64_t due_ns)
{
	if (peer->socket)
		return 0;
	peer->socket = socket_new(SOCKET_STREAM);
	socket_on_change(peer->socket, changed, peer);
	int rc = socket_connect(peer->socket, BROKER_PORT);
	if (rc == -EINPROGRESS) {
		rc = wait_for(peer, socket_writable, due_ns);
		if (rc == 0)
			rc = socket_error(peer->socket);
	}
	return rc;
}

int peer_send(struct peer *peer, const uint8_t *data, size_t length, uint64_t due_ns)
{
	while (length) {
		int64_t sent = socket_send(peer->socket, data, length);
		int rc = sent == -EAGAIN ? wait_for(peer, socket_writable, due_ns) : 0;

		if (rc < 0)
			return rc;
		if (sent < 0 && sent != -EAGAIN)
			return (int)sent;
		if (sent > 0) {
			data += sent;
			length -= (size_t)sent;
		}
	}
	return 0;
}

static int receive_all(struct peer *peer, uint8_t *data, size_t length, uint64_t due_ns)
{
	while (length) {
		int64_t received = socket_receive(peer->socket, data, length, false);
		int rc = received == -EAGAIN ? wait_for(peer, socket_readable, due_ns) : 0;

		if (rc < 0)
			return rc;
		if (received == 0)
			return -ECONNRESET;
		if (received < 0 && received != -EAGAIN)
			return (int)received;
		if (received > 0) {
			data += received;
			length -= (size_t)received;
		}
	}
	return 0;
}

static int send_request(struct peer *peer, const struct kafka_api *api, int16_t version,
			const void *request, uint64_t due_ns)
{
	struct wire_writer writer;
	int rc = kafka_encode_request(api, version, ++peer->correlation_id, peer->client_id,
				      request, &peer->arena, &writer);

	for (size_t i = 0; rc == 0 && i < writer.vector_count; i++)
		rc = peer_send(peer, writer.vectors[i].iov_base, writer.vectors[i].iov_len, due_ns);
	return rc;
}

int peer_receive(struct peer *peer, uint64_t due_ns, size_t *ret_length)
{
	uint8_t size[SIZE_BYTES];
	int rc = receive_all(peer, size, sizeof(size), due_ns);

	if (rc < 0)
		return rc;
	size_t length = load_be32(size);
	if (length > FRAME_BYTES_MAX)
		return -EPROTO;
	if (length > peer->frame_bytes) {
		free(peer->frame);
		peer->frame = malloc(length);
		check(peer->frame);
		peer->frame_bytes = length;
	}
	*ret_length = length;
	return receive_all(peer, peer->frame, length, due_ns);
}

static int receive_answer(struct peer *peer, const struct kafka_api *api, int16_t version,
			  uint64_t due_ns, void **ret_response)
{
	int32_t correlation_id = 0;
	size_t length;
	int rc = peer_receive(peer, due_ns, &length);

	if (rc < 0)
		return rc;
	rc = kafka_decode_response(api, version, peer->frame, length, &peer->arena, &correlation_id,
				   ret_response);
	return rc < 0 || correlation_id != peer->correlation_id ? -EPROTO : 0;
}

int peer_call(struct peer *peer, int16_t api_key, int16_t version, const void *request,
	      uint64_t due_ns, void **ret_response)
{
	const struct kafka_api *api = kafka_api_find(api_key);

	arena_reset(&peer->arena);
	int rc = peer_connect(peer, due_ns);
	if (rc == 0)
		rc = send_request(peer, api, version, request, due_ns);
	if (rc == 0)
		rc = receive_answer(peer, api, version, due_ns, ret_response);
	if (rc < 0)
		peer_close(peer);
	return rc;
}
