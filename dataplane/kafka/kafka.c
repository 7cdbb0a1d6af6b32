#include "kafka_messages.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"

#include <errno.h>

enum {
	SIZE_BYTES = 4,
	FIXED_HEADER_BYTES = 8, /* key, version, correlation id */
};

const struct kafka_api *kafka_api_find(int16_t key)
{
	for (size_t i = 0; i < kafka_api_count; i++) {
		if (kafka_apis[i].key == key)
			return &kafka_apis[i];
	}
	return NULL;
}

/* The client id keeps its old form in flexible headers (KIP-482).  It is only ever shown, so one
 * that is not UTF-8 costs no client its connection. */
static struct kafka_string get_client_id(struct wire_reader *r)
{
	int32_t length = wire_get_i16(r);

	if (length < -1)
		wire_fail(r, -ERR_BAD_REQUEST);
	const uint8_t *data = length > 0 ? wire_take(r, (size_t)length) : NULL;
	if (!wire_ok(r))
		length = -1;
	return (struct kafka_string){.data = (const char *)data, .length = length};
}

int kafka_decode_request(const void *frame, size_t length, struct arena *arena,
			 struct kafka_request_header *ret_header, const struct kafka_api **ret_api,
			 void **ret_request)
{
	struct wire_reader r = wire_reader_over(frame, length, arena);
	const uint8_t *fixed = wire_take(&r, FIXED_HEADER_BYTES);

	if (!fixed)
		return -ERR_BAD_REQUEST;
	*ret_header = (struct kafka_request_header){
		.api_key = wire_i16_at(fixed),
		.api_version = wire_i16_at(fixed + 2),
		.correlation_id = wire_i32_at(fixed + 4),
		.client_id = {.length = -1},
	};
	const struct kafka_api *api = kafka_api_find(ret_header->api_key);
	int16_t version = ret_header->api_version;
	*ret_api = api;
	if (!api || version < api->min_version || version > api->max_version)
		return -ERR_VERSION;
	ret_header->client_id = get_client_id(&r);
	if (version >= api->flexible_from)
		wire_skip_tags(&r);
	void *request = arena_alloc(arena, api->request_size);
	if (!request)
		return -ENOMEM;
	api->decode_request(&r, version, request);
	if (!wire_ok(&r))
		return r.error;
	*ret_request = request;
	return 0;
}

/* ApiVersions answers with header version 0 always: the client does not know yet what we speak. */
static bool flexible_response_header(const struct kafka_api *api, int16_t version)
{
	return version >= api->flexible_from && api->key != KAFKA_API_VERSIONS;
}

static int finish_frame(struct wire_writer *writer, uint8_t *size)
{
	int rc = wire_finish(writer);

	if (rc < 0)
		return rc;
	if (writer->bytes - SIZE_BYTES > INT32_MAX)
		return -ERR_TOO_LARGE;
	check(size); /* nothing has failed */
	store_be32(size, (uint32_t)(writer->bytes - SIZE_BYTES));
	return 0;
}

int kafka_encode_response(const struct kafka_api *api, int16_t version, int32_t correlation_id,
			  const void *response, struct arena *arena, struct wire_writer *writer)
{
	wire_writer_init(writer, arena);
	uint8_t *size = wire_reserve(writer, SIZE_BYTES + 4);

	if (size)
		wire_i32_to(size + SIZE_BYTES, correlation_id);
	if (flexible_response_header(api, version))
		wire_put_uvarint(writer, 0);
	api->encode_response(writer, version, response);
	return finish_frame(writer, size);
}

int kafka_encode_request(const struct kafka_api *api, int16_t version, int32_t correlation_id,
			 const char *client_id, const void *request, struct arena *arena,
			 struct wire_writer *writer)
{
	struct kafka_string id = kafka_string_of(client_id);

	wire_writer_init(writer, arena);
	uint8_t *size = wire_reserve(writer, SIZE_BYTES);
	wire_put_i16(writer, api->key);
	wire_put_i16(writer, version);
	wire_put_i32(writer, correlation_id);
	wire_put_string(writer, &id, false, true);
	if (version >= api->flexible_from)
		wire_put_uvarint(writer, 0);
	api->encode_request(writer, version, request);
	return finish_frame(writer, size);
}

int kafka_decode_response(const struct kafka_api *api, int16_t version, const void *frame,
			  size_t length, struct arena *arena, int32_t *ret_correlation_id,
			  void **ret_response)
{
	struct wire_reader r = wire_reader_over(frame, length, arena);
	int32_t correlation_id = wire_get_i32(&r);
	void *response = arena_alloc(arena, api->response_size);

	if (!response)
		return -ENOMEM;
	if (flexible_response_header(api, version))
		wire_skip_tags(&r);
	api->decode_response(&r, version, response);
	if (!wire_ok(&r))
		return r.error;
	*ret_correlation_id = correlation_id;
	*ret_response = response;
	return 0;
}
