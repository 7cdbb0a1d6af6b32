#include "tests/client/fake_broker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"

enum { CONNECTIONS_MAX = 16, ARENA_BYTES = 64 << 20 };

static void fill_metadata(struct fake_broker *fake, const struct kafka_metadata_request *request,
			  struct kafka_metadata_response *response, struct arena *arena)
{
	const struct fake_broker *fakes[] = {fake, fake->other};
	int nodes = fake->other && !fake->datagram ? 2 : 1;

	response->brokers = arena_calloc(arena, 2, sizeof(*response->brokers));
	response->brokers_count = nodes;
	for (int i = 0; i < nodes; i++) {
		response->brokers[i].node_id = 7 + i;
		response->brokers[i].host = kafka_string_of("127.0.0.1");
		response->brokers[i].port = fakes[i]->port;
		response->brokers[i].rack = kafka_string_of(NULL);
	}
	response->cluster_id = kafka_string_of("fake");
	response->controller_id = 7;
	if (request->topics_count <= 0)
		return;
	size_t count = (size_t)request->topics_count;
	response->topics = arena_calloc(arena, count, sizeof(*response->topics));
	response->topics_count = request->topics_count;
	for (size_t i = 0; i < count; i++) {
		struct kafka_metadata_response_metadata_response_topic *topic =
			&response->topics[i];
		topic->name = request->topics[i].name;
		topic->partitions = arena_calloc(arena, (size_t)fake->partitions,
						 sizeof(*topic->partitions));
		topic->partitions_count = fake->partitions;
		for (int32_t j = 0; j < fake->partitions; j++) {
			topic->partitions[j].partition_index = j;
			topic->partitions[j].leader_id = 7 + (nodes == 2 && j % 2);
			if (fake->datagram && fake->other)
				topic->partitions[j].datagram_port = (uint16_t)fakes[j % 2]->port;
		}
	}
}

static void fill_versions(struct kafka_api_versions_response *response, struct arena *arena)
{
	response->api_keys = arena_calloc(arena, kafka_api_count, sizeof(*response->api_keys));
	response->api_keys_count = (int32_t)kafka_api_count;
	for (size_t i = 0; i < kafka_api_count; i++) {
		response->api_keys[i].api_key = kafka_apis[i].key;
		response->api_keys[i].min_version = kafka_apis[i].min_version;
		response->api_keys[i].max_version = kafka_apis[i].max_version;
	}
}

static bool read_all(int fd, void *to, size_t length)
{
	uint8_t *at = to;

	while (length > 0) {
		ssize_t got = read(fd, at, length);
		if (got <= 0)
			return false;
		at += got;
		length -= (size_t)got;
	}
	return true;
}

static void write_vectors(int fd, const struct wire_writer *writer)
{
	for (size_t i = 0; i < writer->vector_count; i++) {
		const uint8_t *at = writer->vectors[i].iov_base;
		size_t left = writer->vectors[i].iov_len;
		while (left > 0) {
			ssize_t sent = send(fd, at, left, MSG_NOSIGNAL);
			if (sent <= 0)
				return;
			at += sent;
			left -= (size_t)sent;
		}
	}
}

enum fake_answer fake_broker_answer(struct fake_broker *fake, const uint8_t *frame, size_t length,
				    struct arena *arena, struct wire_writer *writer)
{
	struct kafka_request_header header;
	const struct kafka_api *api;
	void *request;

	int rc = kafka_decode_request(frame, length, arena, &header, &api, &request);
	check(rc == 0);
	fake->requests[api->key]++;
	void *response = arena_calloc(arena, 1, api->response_size);
	api->init_response(response);
	enum fake_answer how = FAKE_DEFAULT;
	if (fake->handle)
		how = fake->handle(fake, api, header.api_version, request, response, arena);
	if (how == FAKE_DEFAULT && api->key == KAFKA_METADATA)
		fill_metadata(fake, request, response, arena);
	if (how == FAKE_DEFAULT && api->key == KAFKA_API_VERSIONS)
		fill_versions(response, arena);
	if (how == FAKE_SILENCE || how == FAKE_STUCK || how == FAKE_CLOSE || how == FAKE_CLOSE_ALL)
		return how;
	int16_t version = header.api_version;
	/* As brokers do with a version that they do not know. */
	if (how == FAKE_ANSWER && api->key == KAFKA_API_VERSIONS &&
	    ((struct kafka_api_versions_response *)response)->error_code == 35)
		version = 0;
	rc = kafka_encode_response(api, version,
				   header.correlation_id + (how == FAKE_GARBAGE ? 1000 : 0),
				   response, arena, writer);
	check(rc == 0);
	return how;
}

static enum fake_answer serve(struct fake_broker *fake, int fd)
{
	struct wire_writer writer;
	struct arena arena;
	uint8_t size[4];

	if (!read_all(fd, size, sizeof(size)))
		return FAKE_CLOSE;
	size_t length = load_be32(size);
	uint8_t *frame = malloc(length);
	check(frame);
	enum fake_answer how = FAKE_CLOSE;
	arena_init(&arena, ARENA_BYTES);
	if (read_all(fd, frame, length))
		how = fake_broker_answer(fake, frame, length, &arena, &writer);
	if (how == FAKE_DEFAULT || how == FAKE_ANSWER || how == FAKE_GARBAGE)
		write_vectors(fd, &writer);
	arena_fini(&arena);
	free(frame);
	return how;
}

static void close_at(struct pollfd *fds, size_t *count, size_t at)
{
	close(fds[at].fd);
	fds[at] = fds[--*count];
}

static void *run(void *argument)
{
	struct fake_broker *fake = argument;
	struct pollfd fds[CONNECTIONS_MAX + 2];
	size_t count = 2;

	fds[0] = (struct pollfd){.fd = fake->stop[0], .events = POLLIN};
	fds[1] = (struct pollfd){.fd = fake->listener, .events = POLLIN};
	while (poll(fds, count, -1) >= 0 && !fds[0].revents) {
		for (size_t i = count; i-- > 2;) {
			if (!fds[i].revents)
				continue;
			enum fake_answer how = serve(fake, fds[i].fd);
			if (how == FAKE_CLOSE)
				close_at(fds, &count, i);
			while (how == FAKE_CLOSE_ALL && count > 2)
				close_at(fds, &count, 2);
			if (how == FAKE_CLOSE_ALL)
				break;
		}
		if (fds[1].revents && count < CONNECTIONS_MAX + 2)
			fds[count++] = (struct pollfd){.fd = accept(fake->listener, NULL, NULL),
						       .events = POLLIN};
	}
	while (count > 2)
		close_at(fds, &count, 2);
	return NULL;
}

void fake_broker_start(struct fake_broker *fake)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	pthread_t thread;

	int type = fake->datagram ? SOCK_DGRAM | SOCK_NONBLOCK : SOCK_STREAM;
	fake->listener = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	check(fake->listener >= 0);
	check(bind(fake->listener, (struct sockaddr *)&address, length) == 0);
	check(fake->datagram || listen(fake->listener, 16) == 0);
	check(getsockname(fake->listener, (struct sockaddr *)&address, &length) == 0);
	fake->port = ntohs(address.sin_port);
	check(pipe(fake->stop) == 0);
	check(pthread_create(&thread, NULL, fake->datagram ? fake_broker_run_datagrams : run,
			     fake) == 0);
	fake->thread = thread;
}

void fake_broker_stop(struct fake_broker *fake)
{
	close(fake->stop[1]);
	pthread_join(fake->thread, NULL);
	close(fake->stop[0]);
	close(fake->listener);
}
