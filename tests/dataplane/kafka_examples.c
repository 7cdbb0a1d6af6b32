/* Prints frames for another implementation to read: a line each, "key version direction hex",
 * several of every version of every message. */
#include "tests/dataplane/kafka_codec.h"

#include <stdio.h>

enum { EXAMPLES = 10 };

int main(void)
{
	for (size_t i = 0; i < kafka_codec_count(); i++) {
		struct kafka_codec codec = kafka_codec_at(i);
		for (uint64_t seed = 0; seed < EXAMPLES; seed++) {
			struct kafka_frame frame = kafka_codec_example(&codec, i * 1000 + seed);
			printf("%d %d %s ", codec.api->key, codec.version,
			       codec.response ? "response" : "request");
			for (size_t at = 0; at < frame.length; at++)
				printf("%02x", frame.data[at]);
			printf("\n");
			kafka_frame_free(&frame);
		}
	}
	return 0;
}
