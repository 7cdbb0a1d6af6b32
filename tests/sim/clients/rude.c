#include "tests/sim/clients/rude.h"

#include "base/bytes.h"
#include "base/check.h"
#include "kafka_messages.h"
#include "tests/sim/network.h"

#include <errno.h>
#include <string.h>

enum {
	PIPELINED_MAX = 40,
	FETCH_WAIT_MS_MAX = 300,
	FETCH_BYTES_MAX = 1 << 20,
	STALL_MS_MAX = 4000,
	VERSION_METADATA = 12,
	VERSION_FETCH = 12,
	ARENA_BYTES = 4 << 20,
};

static const uint64_t end_ns = 60000000000; /* within that a connection comes to its end */

/* ---- what is sent ---- */

static void add(struct rude *rude, int16_t key, int16_t version, const void *request)
{
	struct peer *peer = &rude->client.peer;
	struct wire_writer writer;

	arena_reset(&peer->arena);
	int rc = kafka_encode_request(kafka_api_find(key), version, rude->next_correlation_id++,
				      rude->client.name, request, &peer->arena, &writer);
	check(rc == 0);
	check(rude->length + writer.bytes <= sizeof(rude->out));
	for (size_t i = 0; i < writer.vector_count; i++) {
		memcpy(rude->out + rude->length, writer.vectors[i].iov_base,
		       writer.vectors[i].iov_len);
		rude->length += writer.vectors[i].iov_len;
	}
}

static void add_metadata(struct rude *rude)
{
	struct kafka_metadata_request request;

	kafka_metadata_request_init(&request);
	request.topics_count = -1;
	add(rude, KAFKA_METADATA, VERSION_METADATA, &request);
}

static void add_fetch(struct rude *rude)
{
	struct client *client = &rude->client;
	struct topic *topic =
		&client->world->topics[client_below(client, client->world->topic_count)];
	struct kafka_fetch_request request;
	struct kafka_fetch_request_fetch_topic row;
	struct kafka_fetch_request_fetch_partition partition;

	kafka_fetch_request_init(&request);
	kafka_fetch_request_fetch_topic_init(&row);
	kafka_fetch_request_fetch_partition_init(&partition);
	request.max_wait_ms = (int32_t)client_below(client, FETCH_WAIT_MS_MAX);
	request.min_bytes = 1;
	request.max_bytes = FETCH_BYTES_MAX;
	request.topics = &row;
	request.topics_count = 1;
	row.topic = kafka_string_of(topic->name);
	row.partitions = &partition;
	row.partitions_count = 1;
	partition.partition = (int32_t)client_below(client, topic->partitions);
	partition.partition_max_bytes = FETCH_BYTES_MAX;
	add(rude, KAFKA_FETCH, VERSION_FETCH, &request);
}

static void add_requests(struct rude *rude, uint64_t count)
{
	rude->length = 0;
	rude->next_answer = rude->next_correlation_id;
	for (; count; count--) {
		if (client_draws(&rude->client, 50))
			add_fetch(rude);
		else
			add_metadata(rude);
	}
}

/* ---- what comes back ---- */

/* Reads until the connection ends, or all is answered.  -ETIMEDOUT: neither. */
static int read_answers(struct rude *rude, bool until_end)
{
	struct peer *peer = &rude->client.peer;
	uint64_t due_ns = sim_now_ns() + end_ns;
	size_t length;

	while (until_end || rude->next_answer < rude->next_correlation_id) {
		int rc = peer_receive(peer, due_ns, &length);
		if (rc < 0)
			return rc;
		int32_t id = length < 4 ? -1 : (int32_t)load_be32(peer->frame);
		if (id != rude->next_answer || id >= rude->next_correlation_id) {
			client_accuses(&rude->client, "answer %d of %zu bytes in place of %d", id,
				       length, rude->next_answer);
			return -EPROTO;
		}
		rude->next_answer++;
	}
	return 0;
}

/* ---- manners ---- */

static void leave(struct rude *rude)
{
	if (client_draws(&rude->client, 50))
		peer_close(&rude->client.peer);
	else
		peer_reset(&rude->client.peer);
}

static int send_out(struct rude *rude, size_t length)
{
	return peer_send(&rude->client.peer, rude->out, length, sim_now_ns() + end_ns);
}

/* Any number of whole requests and a part of the next. */
static void leave_amid_request(struct rude *rude)
{
	struct client *client = &rude->client;

	add_requests(rude, 1 + client_below(client, 4));
	send_out(rude, client_below(client, rude->length));
	if (client_draws(client, 50))
		client_pause(client, 0, STALL_MS_MAX);
	leave(rude);
}

static void close_half(struct rude *rude)
{
	struct client *client = &rude->client;

	add_requests(rude, 1 + client_below(client, 8));
	if (send_out(rude, rude->length - client_below(client, 2) * client_below(client, 8)) == 0 &&
	    socket_shutdown_write(client->peer.socket) == 0 &&
	    read_answers(rude, true) == -ETIMEDOUT)
		client_accuses(client, "a half-closed connection has no end");
}

static void ask_and_not_read(struct rude *rude)
{
	struct client *client = &rude->client;

	add_requests(rude, 1 + client_below(client, PIPELINED_MAX));
	int rc = peer_send(&client->peer, rude->out, rude->length, sim_now_ns() + end_ns / 60);
	client_pause(client, 100, STALL_MS_MAX);
	if (rc == 0 && client_draws(client, 60) && read_answers(rude, false) == -ETIMEDOUT)
		client_accuses(client, "no answer to %d requests",
			       rude->next_correlation_id - rude->next_answer);
	leave(rude);
}

static void send_nonsense(struct rude *rude)
{
	struct client *client = &rude->client;

	rude->length = 1 + client_below(client, 64);
	for (size_t i = 0; i < rude->length; i++)
		rude->out[i] = (uint8_t)client_below(client, 256);
	if (client_draws(client, 50)) /* a length that may be */
		store_be32(rude->out, (uint32_t)client_below(client, 64));
	send_out(rude, rude->length);
	client_pause(client, 0, 100);
	leave(rude);
}

static void behave(struct rude *rude)
{
	switch (client_below(&rude->client, 4)) {
	case 0:
		leave_amid_request(rude);
		break;
	case 1:
		close_half(rude);
		break;
	case 2:
		ask_and_not_read(rude);
		break;
	default:
		send_nonsense(rude);
	}
	peer_close(&rude->client.peer);
}

static void *run(void *context)
{
	struct rude *rude = context;
	struct client *client = &rude->client;

	while (client_goes_on(client, PHASE_DRAIN)) {
		if (peer_connect(&client->peer, sim_now_ns() + end_ns) == 0)
			behave(rude);
		else
			peer_close(&client->peer);
		client_pause(client, 1, 200);
	}
	return client_end(client);
}

void rude_start(struct rude *rude, struct world *world, const char *name, struct random *random)
{
	*rude = (struct rude){.next_correlation_id = 0};
	client_start(&rude->client, world, name, random, run);
}
