/* Two bytes choose the message (kafka_codec_at), the rest is the frame a client would be given. */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "tests/dataplane/kafka_codec.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

enum {
	ARENA_BYTES_MAX = 1 << 20,
	CHOICE_BYTES = 2,
};

static struct kafka_frame again(const struct kafka_codec *codec, const uint8_t *data, size_t size)
{
	struct kafka_frame copy = {0};
	struct arena arena;
	void *message;

	arena_init(&arena, ARENA_BYTES_MAX);
	if (kafka_codec_decode(codec, data, size, &arena, &message) == 0)
		copy = kafka_codec_encode(codec, "", message, &arena);
	check(arena.held <= ARENA_BYTES_MAX);
	arena_fini(&arena);
	return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < CHOICE_BYTES)
		return 0;
	struct kafka_codec codec = kafka_codec_at(load_be16(data) % kafka_codec_count());
	codec.response = true;
	struct kafka_frame first = again(&codec, data + CHOICE_BYTES, size - CHOICE_BYTES);
	if (!first.data)
		return 0;
	struct kafka_frame second = again(&codec, first.data, first.length);
	check(second.data != NULL);
	check(second.length == first.length);
	check(memcmp(second.data, first.data, first.length) == 0);
	kafka_frame_free(&second);
	kafka_frame_free(&first);
	return 0;
}
