#include "tests/dataplane/kafka_codec.h"

#include "base/arena.h"
#include "base/check.h"
#include "tests/dataplane/kafka_fill.h"

#include <stdlib.h>
#include <string.h>

enum {
	SIZE_BYTES = 4,
	ARENA_BYTES_MAX = 1 << 20,
	CORRELATION_ID = 0x01020304,
};

static size_t versions_of(const struct kafka_api *api)
{
	return (size_t)api->max_version - (size_t)api->min_version + 1;
}

size_t kafka_codec_count(void)
{
	size_t count = 0;

	for (size_t i = 0; i < kafka_api_count; i++)
		count += 2 * versions_of(&kafka_apis[i]);
	return count;
}

struct kafka_codec kafka_codec_at(size_t index)
{
	const struct kafka_api *api = kafka_apis;

	for (; index >= 2 * versions_of(api); api++)
		index -= 2 * versions_of(api);
	return (struct kafka_codec){
		.api = api,
		.version = (int16_t)(api->min_version + (int16_t)(index / 2)),
		.response = index % 2,
	};
}

struct kafka_frame kafka_frame_copy(const void *data, size_t length)
{
	/* malloc(0) may be null, and memcpy wants a pointer. */
	struct kafka_frame frame = {.data = malloc(length ? length : 1), .length = length};

	check(frame.data != NULL);
	if (length)
		memcpy(frame.data, data, length);
	return frame;
}

void kafka_frame_free(struct kafka_frame *frame)
{
	free(frame->data);
	*frame = (struct kafka_frame){0};
}

struct kafka_frame kafka_frame_written(const struct wire_writer *w)
{
	uint8_t *all = malloc(w->bytes);
	size_t at = 0;

	check(all != NULL);
	for (size_t i = 0; i < w->vector_count; i++) {
		memcpy(all + at, w->vectors[i].iov_base, w->vectors[i].iov_len);
		at += w->vectors[i].iov_len;
	}
	check(at == w->bytes);
	struct kafka_frame frame = kafka_frame_copy(all + SIZE_BYTES, w->bytes - SIZE_BYTES);
	free(all);
	return frame;
}

struct kafka_frame kafka_codec_encode(const struct kafka_codec *codec, const char *client_id,
				      const void *message, struct arena *arena)
{
	struct wire_writer w;
	int rc;

	if (codec->response)
		rc = kafka_encode_response(codec->api, codec->version, CORRELATION_ID, message,
					   arena, &w);
	else
		rc = kafka_encode_request(codec->api, codec->version, CORRELATION_ID, client_id,
					  message, arena, &w);
	check(rc == 0);
	return kafka_frame_written(&w);
}

int kafka_codec_decode(const struct kafka_codec *codec, const void *data, size_t length,
		       struct arena *arena, void **ret_message)
{
	struct kafka_request_header header;
	const struct kafka_api *api;
	int32_t correlation_id;

	if (codec->response)
		return kafka_decode_response(codec->api, codec->version, data, length, arena,
					     &correlation_id, ret_message);
	return kafka_decode_request(data, length, arena, &header, &api, ret_message);
}

struct kafka_frame kafka_codec_example(const struct kafka_codec *codec, uint64_t seed)
{
	const struct kafka_api *api = codec->api;
	struct kafka_fill fill;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	kafka_fill_init(&fill, seed, &arena);
	void *message = arena_calloc(&arena, 1,
				     codec->response ? api->response_size : api->request_size);
	check(message != NULL);
	kafka_fill_message(&fill, api->key, codec->response, codec->version, message);
	struct kafka_frame frame = kafka_codec_encode(codec, "client", message, &arena);
	arena_fini(&arena);
	return frame;
}
