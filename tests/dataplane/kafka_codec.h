/* tests/dataplane/kafka_codec.h: one message of one version, whichever direction it goes, as the
 * tests and the fuzz targets want to see it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/kafka/kafka.h"

struct arena;

struct kafka_codec {
	const struct kafka_api *api;
	int16_t version;
	bool response;
};

/* Bytes of a frame, without its size, in a heap block of exactly that length: a sanitizer sees a
 * read past the end. */
struct kafka_frame {
	uint8_t *data;
	size_t length;
};

/* How many codecs there are: every version of every request and response. */
size_t kafka_codec_count(void);
struct kafka_codec kafka_codec_at(size_t index);

struct kafka_frame kafka_frame_copy(const void *data, size_t length);
/* What kafka_encode_request or kafka_encode_response put into `w`. */
struct kafka_frame kafka_frame_written(const struct wire_writer *w);
void kafka_frame_free(struct kafka_frame *frame);
/* Aborts when it does not encode: the message is ours. */
struct kafka_frame kafka_codec_encode(const struct kafka_codec *codec, const char *client_id,
				      const void *message, struct arena *arena);
/* What kafka_decode_request or kafka_decode_response says. */
int kafka_codec_decode(const struct kafka_codec *codec, const void *data, size_t length,
		       struct arena *arena, void **ret_message);
/* A message filled from `seed`, encoded. */
struct kafka_frame kafka_codec_example(const struct kafka_codec *codec, uint64_t seed);
