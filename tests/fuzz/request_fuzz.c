/* A frame as it comes from a connection.  What decodes must encode, and mean the same then. */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "tests/dataplane/kafka_codec.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum { ARENA_BYTES_MAX = 1 << 20 };

/* The frame decoded and encoded again; no data when it does not decode. */
static struct kafka_frame again(const uint8_t *data, size_t size)
{
	struct kafka_frame copy = {0};
	struct kafka_request_header header;
	const struct kafka_api *api;
	struct arena arena;
	void *message;

	arena_init(&arena, ARENA_BYTES_MAX);
	if (kafka_decode_request(data, size, &arena, &header, &api, &message) == 0) {
		const struct kafka_codec codec = {.api = api, .version = header.api_version};
		copy = kafka_codec_encode(&codec, "fuzz", message, &arena);
	}
	check(arena.held <= ARENA_BYTES_MAX);
	arena_fini(&arena);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kafka_frame first = again(data, size);

	if (!first.data)
		return 0;
	struct kafka_frame second = again(first.data, first.length);
	check(second.data != NULL);
	check(second.length == first.length);
	check(memcmp(second.data, first.data, first.length) == 0);
	kafka_frame_free(&second);
	kafka_frame_free(&first);
	return 0;
}
