/* Every version of every message, whatever the descriptions say: this file names none of them.
 * Content comes from a seed; a failure names the message and the seed. */
#include "base/arena.h"
#include "base/errors.h"
#include "tests/dataplane/kafka_codec.h"
#include "tests/dataplane/kafka_fill.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	ARENA_BYTES_MAX = 1 << 20,
	SMALL_ARENA_BYTES_MAX = 16 << 10,
	EXAMPLES = 12,
	PREFIX_EXAMPLES = 2,
	MUTATION_EXAMPLES = 4,
	MUTATIONS = 60, /* of each example */
	CLIENT_ID_LENGTH_AT = 8,
	CLIENT_ID_AT = 10,
};

static const char client[] = "client";

static const char *direction(const struct kafka_codec *codec)
{
	return codec->response ? "response" : "request";
}

#define codec_assert(codec, seed, condition)                                                       \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s v%d %s, seed %llu: %s", (codec)->api->name, (codec)->version, \
				 direction(codec), (unsigned long long)(seed), #condition);        \
	} while (0)

/* Runs `test` over examples of every codec. */
static void for_each_example(unsigned examples,
			     void (*test)(const struct kafka_codec *codec, uint64_t seed,
					  const struct kafka_frame *frame))
{
	for (size_t i = 0; i < kafka_codec_count(); i++) {
		struct kafka_codec codec = kafka_codec_at(i);
		for (uint64_t seed = i * 1000; seed < i * 1000 + examples; seed++) {
			struct kafka_frame frame = kafka_codec_example(&codec, seed);
			test(&codec, seed, &frame);
			kafka_frame_free(&frame);
		}
	}
}

static bool same(const struct kafka_frame *a, const struct kafka_frame *b)
{
	return a->length == b->length &&
	       (a->length == 0 || memcmp(a->data, b->data, a->length) == 0);
}

/* The frame decoded and encoded again; no data when it does not decode. */
static struct kafka_frame again(const struct kafka_codec *codec, const struct kafka_frame *frame)
{
	struct kafka_frame copy = {0};
	struct arena arena;
	void *message;

	arena_init(&arena, ARENA_BYTES_MAX);
	if (kafka_codec_decode(codec, frame->data, frame->length, &arena, &message) == 0)
		copy = kafka_codec_encode(codec, client, message, &arena);
	arena_fini(&arena);
	return copy;
}

static void check_round_trip(const struct kafka_codec *codec, uint64_t seed,
			     const struct kafka_frame *frame)
{
	struct kafka_frame copy = again(codec, frame);

	codec_assert(codec, seed, copy.data != NULL);
	codec_assert(codec, seed, same(frame, &copy));
	kafka_frame_free(&copy);
}

static void what_was_encoded_decodes_to_the_same(void **state)
{
	for_each_example(EXAMPLES, check_round_trip);
}

static void check_defaults(const struct kafka_codec *codec)
{
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	void *message = arena_calloc(
		&arena, 1, codec->response ? codec->api->response_size : codec->api->request_size);
	if (codec->response)
		codec->api->init_response(message);
	else
		codec->api->init_request(message);
	struct kafka_frame frame = kafka_codec_encode(codec, client, message, &arena);
	check_round_trip(codec, 0, &frame);
	kafka_frame_free(&frame);
	arena_fini(&arena);
}

/* Also where the default is null and an old version has none. */
static void defaults_can_be_sent_in_every_version(void **state)
{
	for (size_t i = 0; i < kafka_codec_count(); i++) {
		struct kafka_codec codec = kafka_codec_at(i);
		check_defaults(&codec);
	}
}

static void check_prefixes(const struct kafka_codec *codec, uint64_t seed,
			   const struct kafka_frame *frame)
{
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	for (size_t length = 0; length < frame->length; length++) {
		struct kafka_frame cut = kafka_frame_copy(frame->data, length);
		void *message;
		int rc = kafka_codec_decode(codec, cut.data, cut.length, &arena, &message);
		codec_assert(codec, seed, rc == -ERR_BAD_REQUEST);
		kafka_frame_free(&cut);
		arena_reset(&arena);
	}
	arena_fini(&arena);
}

static void every_proper_prefix_is_refused(void **state)
{
	for_each_example(PREFIX_EXAMPLES, check_prefixes);
}

static void check_padding(const struct kafka_codec *codec, uint64_t seed,
			  const struct kafka_frame *frame)
{
	struct kafka_frame padded = {.data = calloc(1, frame->length + 3),
				     .length = frame->length + 3};

	memcpy(padded.data, frame->data, frame->length);
	struct kafka_frame copy = again(codec, &padded);
	codec_assert(codec, seed, copy.data != NULL);
	codec_assert(codec, seed, same(frame, &copy));
	kafka_frame_free(&copy);
	kafka_frame_free(&padded);
}

static void bytes_after_the_message_are_ignored(void **state)
{
	for_each_example(1, check_padding);
}

/* ---- mutations ---- */

static const uint8_t nasty[] = {0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff};

static void insert(struct kafka_frame *frame, size_t at, uint8_t byte)
{
	struct kafka_frame longer = {.data = malloc(frame->length + 1),
				     .length = frame->length + 1};

	memcpy(longer.data, frame->data, at);
	longer.data[at] = byte;
	memcpy(longer.data + at + 1, frame->data + at, frame->length - at);
	kafka_frame_free(frame);
	*frame = longer;
}

static void drop(struct kafka_frame *frame, size_t at)
{
	struct kafka_frame shorter;

	memmove(frame->data + at, frame->data + at + 1, frame->length - at - 1);
	shorter = kafka_frame_copy(frame->data, frame->length - 1);
	kafka_frame_free(frame);
	*frame = shorter;
}

static void mutate(struct kafka_fill *random, struct kafka_frame *frame)
{
	for (uint64_t count = 1 + kafka_fill_below(random, 3); count > 0 && frame->length > 1;
	     count--) {
		size_t at = kafka_fill_below(random, frame->length);
		switch (kafka_fill_below(random, 5)) {
		case 0:
			frame->data[at] ^= (uint8_t)(1u << kafka_fill_below(random, 8));
			break;
		case 1:
			frame->data[at] = (uint8_t)kafka_fill_random(random);
			break;
		case 2:
			frame->data[at] = nasty[kafka_fill_below(random, sizeof(nasty))];
			break;
		case 3:
			insert(frame, at, nasty[kafka_fill_below(random, sizeof(nasty))]);
			break;
		default:
			drop(frame, at);
		}
	}
}

/* Whether it may decode is open; what must hold is that it stays within its memory, and that what
 * was understood can be said again. */
static void check_mutant(const struct kafka_codec *asked, uint64_t seed,
			 const struct kafka_frame *mutant)
{
	struct kafka_codec codec = *asked;
	struct arena arena;
	void *message;

	arena_init(&arena, SMALL_ARENA_BYTES_MAX);
	int rc = kafka_codec_decode(&codec, mutant->data, mutant->length, &arena, &message);
	codec_assert(&codec, seed, arena.held <= SMALL_ARENA_BYTES_MAX);
	codec_assert(&codec, seed,
		     rc == 0 || rc == -ERR_BAD_REQUEST || rc == -ERR_VERSION || rc == -ENOMEM);
	arena_fini(&arena);
	if (rc < 0)
		return;
	if (!codec.response) {
		/* The mutation may have made another API or version of it. */
		codec.api = kafka_api_find((int16_t)(mutant->data[0] << 8 | mutant->data[1]));
		codec.version = (int16_t)(mutant->data[2] << 8 | mutant->data[3]);
	}
	struct kafka_frame said = again(&codec, mutant);
	check_round_trip(&codec, seed, &said);
	kafka_frame_free(&said);
}

static void check_mutants(const struct kafka_codec *codec, uint64_t seed,
			  const struct kafka_frame *frame)
{
	struct kafka_fill random;

	kafka_fill_init(&random, seed, NULL);
	for (unsigned i = 0; i < MUTATIONS; i++) {
		struct kafka_frame mutant = kafka_frame_copy(frame->data, frame->length);
		mutate(&random, &mutant);
		check_mutant(codec, seed, &mutant);
		kafka_frame_free(&mutant);
	}
}

static void mutated_frames_do_no_harm(void **state)
{
	for_each_example(MUTATION_EXAMPLES, check_mutants);
}

/* ---- tagged fields: the root's count of tags is the last byte when all have their defaults ----
 */

static int decode_with_tags(const struct kafka_codec *codec, const void *tags, size_t length,
			    bool *ret_unchanged)
{
	struct kafka_frame plain = {0}, tagged;
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	void *message = arena_calloc(
		&arena, 1, codec->response ? codec->api->response_size : codec->api->request_size);
	if (codec->response)
		codec->api->init_response(message);
	else
		codec->api->init_request(message);
	plain = kafka_codec_encode(codec, client, message, &arena);
	assert_int_equal(plain.data[plain.length - 1], 0);
	tagged = (struct kafka_frame){.data = malloc(plain.length - 1 + length),
				      .length = plain.length - 1 + length};
	memcpy(tagged.data, plain.data, plain.length - 1);
	memcpy(tagged.data + plain.length - 1, tags, length);
	int rc = kafka_codec_decode(codec, tagged.data, tagged.length, &arena, &message);
	if (rc == 0) {
		struct kafka_frame copy = kafka_codec_encode(codec, client, message, &arena);
		*ret_unchanged = same(&plain, &copy);
		kafka_frame_free(&copy);
	}
	kafka_frame_free(&tagged);
	kafka_frame_free(&plain);
	arena_fini(&arena);
	return rc;
}

static void for_each_flexible(const void *tags, size_t length, int expected)
{
	for (size_t i = 0; i < kafka_codec_count(); i++) {
		struct kafka_codec codec = kafka_codec_at(i);
		bool unchanged = true;
		if (codec.version < codec.api->flexible_from)
			continue;
		int rc = decode_with_tags(&codec, tags, length, &unchanged);
		codec_assert(&codec, 0, rc == expected);
		codec_assert(&codec, 0, unchanged);
	}
}

static void unknown_tagged_fields_are_skipped(void **state)
{
	static const uint8_t one[] = {1, 0x7f, 3, 0xaa, 0xbb, 0xcc};
	static const uint8_t two[] = {2, 0x7e, 0, 0x7f, 1, 0xaa};
	static const uint8_t largest[] = {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0};

	for_each_flexible(one, sizeof(one), 0);
	for_each_flexible(two, sizeof(two), 0);
	for_each_flexible(largest, sizeof(largest), 0);
}

static void broken_tagged_fields_are_refused(void **state)
{
	static const uint8_t doubled[] = {2, 0x7f, 0, 0x7f, 0};
	static const uint8_t falling[] = {2, 0x7f, 0, 0x7e, 0};
	static const uint8_t past_end[] = {1, 0x7f, 4, 0xaa, 0xbb, 0xcc};
	static const uint8_t huge_size[] = {1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xaa};
	static const uint8_t too_many[] = {3, 0x7e, 0, 0x7f, 0};
	static const uint8_t huge_count[] = {0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e, 0};
	static const uint8_t long_varint[] = {0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 0x7e, 0};

	for_each_flexible(doubled, sizeof(doubled), -ERR_BAD_REQUEST);
	for_each_flexible(falling, sizeof(falling), -ERR_BAD_REQUEST);
	for_each_flexible(past_end, sizeof(past_end), -ERR_BAD_REQUEST);
	for_each_flexible(huge_size, sizeof(huge_size), -ERR_BAD_REQUEST);
	for_each_flexible(too_many, sizeof(too_many), -ERR_BAD_REQUEST);
	for_each_flexible(huge_count, sizeof(huge_count), -ERR_BAD_REQUEST);
	for_each_flexible(long_varint, sizeof(long_varint), -ERR_BAD_REQUEST);
}

/* ---- request headers ---- */

static void versions_outside_the_range_are_refused(void **state)
{
	for (size_t i = 0; i < kafka_api_count; i++) {
		const struct kafka_api *api = &kafka_apis[i];
		const int16_t wrong[] = {-1, INT16_MIN, INT16_MAX, (int16_t)(api->min_version - 1),
					 (int16_t)(api->max_version + 1)};
		for (size_t j = 0; j < sizeof(wrong) / sizeof(wrong[0]); j++) {
			uint8_t frame[64] = {(uint8_t)(api->key >> 8),
					     (uint8_t)api->key,
					     (uint8_t)(wrong[j] >> 8),
					     (uint8_t)wrong[j],
					     1,
					     2,
					     3,
					     4};
			struct kafka_request_header header;
			const struct kafka_api *found = NULL;
			struct arena arena;
			void *message;
			arena_init(&arena, ARENA_BYTES_MAX);
			assert_int_equal(kafka_decode_request(frame, sizeof(frame), &arena, &header,
							      &found, &message),
					 -ERR_VERSION);
			assert_ptr_equal(found, api);
			assert_int_equal(header.api_version, wrong[j]);
			assert_int_equal(header.correlation_id, 0x01020304);
			arena_fini(&arena);
		}
	}
}

static void unknown_keys_are_refused(void **state)
{
	static const int16_t keys[] = {-1, INT16_MIN, INT16_MAX, 899};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		uint8_t frame[12] = {(uint8_t)(keys[i] >> 8), (uint8_t)keys[i]};
		struct kafka_request_header header;
		const struct kafka_api *found = kafka_apis;
		struct arena arena;
		void *message;
		arena_init(&arena, ARENA_BYTES_MAX);
		assert_int_equal(kafka_decode_request(frame, sizeof(frame), &arena, &header, &found,
						      &message),
				 -ERR_VERSION);
		assert_null(found);
		assert_int_equal(header.api_key, keys[i]);
		arena_fini(&arena);
	}
}

/* The first request's defaults with `length` and `bytes` in place of the client id. */
static int decode_with_client_id(int16_t length, const void *bytes, size_t byte_count,
				 struct kafka_request_header *ret_header)
{
	const struct kafka_codec codec = {.api = kafka_apis, .version = kafka_apis->min_version};
	struct kafka_frame plain = kafka_codec_example(&codec, 1);
	const size_t body_at = CLIENT_ID_AT + strlen(client);
	struct kafka_frame frame = {.length = plain.length - strlen(client) + byte_count};
	const struct kafka_api *api;
	struct arena arena;
	void *message;

	frame.data = malloc(frame.length);
	memcpy(frame.data, plain.data, CLIENT_ID_LENGTH_AT);
	frame.data[CLIENT_ID_LENGTH_AT] = (uint8_t)(length >> 8);
	frame.data[CLIENT_ID_LENGTH_AT + 1] = (uint8_t)length;
	memcpy(frame.data + CLIENT_ID_AT, bytes, byte_count);
	memcpy(frame.data + CLIENT_ID_AT + byte_count, plain.data + body_at,
	       plain.length - body_at);
	arena_init(&arena, ARENA_BYTES_MAX);
	int rc = kafka_decode_request(frame.data, frame.length, &arena, ret_header, &api, &message);
	arena_fini(&arena);
	kafka_frame_free(&frame);
	kafka_frame_free(&plain);
	return rc;
}

static void client_ids_may_be_anything_that_fits(void **state)
{
	struct kafka_request_header header;
	char *longest = calloc(1, INT16_MAX);

	assert_int_equal(decode_with_client_id(0, "", 0, &header), 0);
	assert_int_equal(header.client_id.length, 0);
	assert_int_equal(decode_with_client_id(-1, "", 0, &header), 0);
	assert_int_equal(header.client_id.length, -1);
	assert_int_equal(decode_with_client_id(2, "\xff\xfe", 2, &header), 0);
	assert_int_equal(header.client_id.length, 2);
	assert_int_equal(decode_with_client_id(INT16_MAX, longest, INT16_MAX, &header), 0);
	assert_int_equal(header.client_id.length, INT16_MAX);
	assert_int_equal(decode_with_client_id(-2, "", 0, &header), -ERR_BAD_REQUEST);
	assert_int_equal(decode_with_client_id(INT16_MAX, "ab", 2, &header), -ERR_BAD_REQUEST);
	free(longest);
}

/* A count of a million structs in a few bytes, in every place where an array begins. */
static void the_arena_bounds_what_a_frame_can_claim(void **state)
{
	uint8_t *zeros = calloc(1, 4 << 20);
	unsigned refused = 0;

	for (size_t i = 0; i < kafka_codec_count(); i++) {
		struct kafka_codec codec = kafka_codec_at(i);
		struct kafka_frame frame = kafka_codec_example(&codec, 1);
		for (size_t at = codec.response ? 4 : CLIENT_ID_AT; at + 4 < frame.length; at++) {
			struct arena arena;
			void *message;
			memcpy(zeros, frame.data, frame.length);
			memcpy(zeros + at, "\x00\x0f\xff\xff", 4);
			arena_init(&arena, SMALL_ARENA_BYTES_MAX);
			refused += kafka_codec_decode(&codec, zeros, 4 << 20, &arena, &message) ==
				   -ENOMEM;
			codec_assert(&codec, at, arena.held <= SMALL_ARENA_BYTES_MAX);
			arena_fini(&arena);
			memset(zeros, 0, frame.length + 4);
		}
		kafka_frame_free(&frame);
	}
	/* The method works: some of these were counts, and ran into the limit. */
	assert_true(refused > 0);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_encoded_decodes_to_the_same),
		cmocka_unit_test(defaults_can_be_sent_in_every_version),
		cmocka_unit_test(every_proper_prefix_is_refused),
		cmocka_unit_test(bytes_after_the_message_are_ignored),
		cmocka_unit_test(mutated_frames_do_no_harm),
		cmocka_unit_test(unknown_tagged_fields_are_skipped),
		cmocka_unit_test(broken_tagged_fields_are_refused),
		cmocka_unit_test(versions_outside_the_range_are_refused),
		cmocka_unit_test(unknown_keys_are_refused),
		cmocka_unit_test(client_ids_may_be_anything_that_fits),
		cmocka_unit_test(the_arena_bounds_what_a_frame_can_claim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
