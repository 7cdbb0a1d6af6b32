/* Requests are pooled with their arenas: a request whose memory fits its arena's first block costs
 * no allocation.  A request is charged for its frame, its arena and, until that is sent, its
 * answer; the shard stops reading when too much is held (conn.c). */
#include "dataplane/request.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "dataplane/handlers/handlers.h"
#include "dataplane/shard_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	ARENA_BYTES_MAX = 32 << 20, /* decoded form and response of one request */
	FREE_REQUESTS_MAX = 1024,
};

/* From the pool, with its arena, or new. */
static struct request *take_request(struct shard *shard)
{
	struct list *node = list_pop_front(&shard->free_requests);

	if (node) {
		shard->free_request_count--;
		return container_of(node, struct request, link);
	}
	struct request *request = malloc(sizeof(*request));
	if (request)
		arena_init(&request->arena, ARENA_BYTES_MAX);
	return request;
}

static struct request *request_new(struct shard *shard, struct channel *channel)
{
	struct request *request = take_request(shard);

	if (!request)
		return NULL;
	/* Field by field: to zero it all first costs as much as decoding its header, which, with
	 * the API, decoding sets. */
	list_init(&request->link);
	request->shard = shard;
	request->channel = channel;
	request->frame = NULL;
	request->frame_capacity = 0;
	request->message = NULL;
	request->response = NULL;
	request->state = NULL;
	request->answered = false;
	request->silent = false;
	request->closing = false;
	request->cancel = NULL;
	request->release = NULL;
	request->writer = (struct wire_writer){0};
	shard->requests_live++;
	return request;
}

static void give_frame(struct request *request)
{
	frame_give(&request->shard->frames, request->frame, request->frame_capacity);
	request->frame = NULL;
	request->frame_capacity = 0;
}

void request_give_frame(struct request *request)
{
	give_frame(request);
	request_charge(request);
}

static void free_request(struct request *request)
{
	struct shard *shard = request->shard;

	shard->inflight_bytes -= request->charged_bytes;
	shard->requests_live--;
	give_frame(request);
	if (shard->free_request_count >= FREE_REQUESTS_MAX) {
		arena_fini(&request->arena);
		free(request);
	} else {
		arena_reset(&request->arena);
		list_push_front(&shard->free_requests, &request->link);
		shard->free_request_count++;
	}
}

void request_free(struct request *request)
{
	if (request->channel && request->channel->ops->freed)
		request->channel->ops->freed(request->channel, request);
	free_request(request);
}

void request_pool_fini(struct shard *shard)
{
	struct list *node;

	while ((node = list_pop_front(&shard->free_requests))) {
		struct request *request = container_of(node, struct request, link);
		arena_fini(&request->arena);
		free(request);
	}
	shard->free_request_count = 0;
}

void request_released(struct request *request)
{
	if (request->release)
		request->release(request);
	else
		request_free(request);
}

static int decode(struct request *request, const void *frame, size_t length)
{
	int rc = kafka_decode_request(frame, length, &request->arena, &request->header,
				      &request->api, &request->message);

	if (rc == -ERR_VERSION && request->header.api_key == KAFKA_API_VERSIONS) {
		request->api = kafka_api_find(KAFKA_API_VERSIONS);
		request->message = NULL; /* its handler answers UNSUPPORTED_VERSION */
		rc = 0;
	}
	if (rc == -ERR_VERSION)
		log_info("request", "not served key=%d version=%d peer=%s", request->header.api_key,
			 request->header.api_version, request->channel->peer);
	if (rc < 0)
		return rc;
	request->response = request_alloc(request, 1, request->api->response_size);
	if (!request->response)
		return -ENOMEM;
	request->api->init_response(request->response);
	return 0;
}

int request_start(struct shard *shard, struct channel *channel, void *frame, size_t length,
		  enum frame_use use, size_t capacity)
{
	struct request *request = request_new(shard, channel);
	int rc;

	if (!request)
		return -ENOMEM;
	const void *bytes = frame;
	if (use == FRAME_COPY)
		bytes = arena_strndup(&request->arena, frame, length);
	rc = bytes ? decode(request, bytes, length) : -ENOMEM;
	request->charged_bytes = request->arena.held;
	shard->inflight_bytes += request->charged_bytes;
	if (rc < 0) {
		free_request(request);
		return rc;
	}
	if (use == FRAME_TAKE) {
		request->frame = frame;
		request->frame_capacity = capacity;
		request->charged_bytes += capacity; /* charged by the connection already */
	}
	channel->ops->begin(channel, request);
	request->begun_ns = shard_turn_ns(shard);
	shard_count(shard, requests, 1);
	handle_request(request);
	return 0;
}

void request_charge(struct request *request)
{
	size_t held = request->arena.held + request->frame_capacity;

	request->shard->inflight_bytes += held - request->charged_bytes;
	request->charged_bytes = held;
}

/* The way of most requests takes few instructions, see shard_meters.c. */
static inline void meter_answer(struct request *request)
{
	struct answer_run *run = &request->shard->answers.runs[request->api->index];

	if (__builtin_expect(run->begun_ns == request->begun_ns, 1))
		run->count++;
	else
		shard_meter_begin_run(request);
	if (__builtin_expect(request->writer.error_codes, 0))
		shard_meter_errors(request, request->writer.error_codes);
}

void request_answer(struct request *request)
{
	check(!request->answered);
	if (!request->silent && !request->closing) {
		int16_t version = request->message ? request->header.api_version : 0;
		int rc = kafka_encode_response(request->api, version,
					       request->header.correlation_id, request->response,
					       &request->arena, &request->writer);
		if (rc < 0) {
			log_warn("request", "answer too large api=%s peer=%s", request->api->name,
				 request->channel->peer);
			request->closing = true;
			shard_meter_errors(request, 1);
		}
	}
	request_charge(request); /* the answer has grown the arena */
	request->answered = true;
	meter_answer(request);
	request->channel->ops->answered(request->channel, request);
}

void request_fail(struct request *request, const char *why)
{
	log_info("request", "failed api=%s peer=%s reason=\"%s\"", request->api->name,
		 request->channel->peer, why);
	request->closing = true;
	shard_meter_errors(request, 1);
	request_answer(request);
}
