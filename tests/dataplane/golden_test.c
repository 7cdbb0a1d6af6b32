/* Frames that real clients and Apache Kafka exchanged (golden/README.md): each decodes to
 * its last byte, and encodes to the same bytes again.  Every file of the folder is a case, named
 * <client>_<key>_v<version>_<request|response>.hex. */
#include "base/arena.h"
#include "dataplane/kafka/kafka.h"
#include "kafka_messages.h"
#include "tests/dataplane/kafka_codec.h"

#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
	ARENA_BYTES_MAX = 1 << 20,
	FRAME_BYTES_MAX = 8192,
	CASES_MIN = 100, /* fewer: the folder was not found, or has lost its files */
};

static const char *folder;

static unsigned hex_digit(int c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c > 0 ? strchr(digits, c) : NULL;

	assert_non_null(at);
	return (unsigned)(at - digits);
}

static struct kafka_frame load(const char *name)
{
	char path[PATH_MAX];
	uint8_t bytes[FRAME_BYTES_MAX];
	size_t digits = 0;
	int c;

	memset(bytes, 0, sizeof(bytes));
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	while ((c = fgetc(file)) != EOF) {
		if (c == '\n')
			continue;
		assert_true(digits < 2 * sizeof(bytes));
		bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | hex_digit(c));
		digits++;
	}
	fclose(file);
	assert_int_equal(digits % 2, 0);
	return kafka_frame_copy(bytes, digits / 2);
}

static int request_again(const struct kafka_frame *frame, struct arena *arena, int16_t key,
			 int16_t version, struct wire_writer *ret_writer)
{
	struct kafka_request_header header;
	const struct kafka_api *api;
	void *message;
	char *client = NULL;
	int rc = kafka_decode_request(frame->data, frame->length, arena, &header, &api, &message);

	if (rc < 0)
		return rc;
	assert_int_equal(header.api_key, key);
	assert_int_equal(header.api_version, version);
	if (header.client_id.length >= 0)
		client = arena_strndup(arena, header.client_id.data,
				       (size_t)header.client_id.length);
	return kafka_encode_request(api, version, header.correlation_id, client, message, arena,
				    ret_writer);
}

static int response_again(const struct kafka_frame *frame, struct arena *arena, int16_t key,
			  int16_t version, struct wire_writer *ret_writer)
{
	const struct kafka_api *api = kafka_api_find(key);
	int32_t correlation_id;
	void *message;

	assert_non_null(api);
	int rc = kafka_decode_response(api, version, frame->data, frame->length, arena,
				       &correlation_id, &message);
	if (rc < 0)
		return rc;
	return kafka_encode_response(api, version, correlation_id, message, arena, ret_writer);
}

static void check_file(const char *name)
{
	struct kafka_frame frame = load(name);
	struct wire_writer writer;
	struct arena arena;
	char *key_end, *version_end;
	int rc;

	int16_t key = (int16_t)strtol(strchr(name, '_') + 1, &key_end, 10);
	assert_int_equal(strncmp(key_end, "_v", 2), 0);
	int16_t version = (int16_t)strtol(key_end + 2, &version_end, 10);
	arena_init(&arena, ARENA_BYTES_MAX);
	if (strcmp(version_end, "_request.hex") == 0) {
		rc = request_again(&frame, &arena, key, version, &writer);
	} else {
		assert_string_equal(version_end, "_response.hex");
		rc = response_again(&frame, &arena, key, version, &writer);
	}
	if (rc < 0)
		fail_msg("%s: rc %d", name, rc);
	struct kafka_frame said = kafka_frame_written(&writer);
	if (said.length != frame.length || memcmp(said.data, frame.data, frame.length) != 0)
		fail_msg("%s: encoded again it differs", name);
	kafka_frame_free(&said);
	arena_fini(&arena);
	kafka_frame_free(&frame);
}

static void real_frames_are_understood_and_said_again(void **state)
{
	DIR *files = opendir(folder);
	struct dirent *file;
	unsigned cases = 0;

	assert_non_null(files);
	while ((file = readdir(files))) {
		size_t length = strlen(file->d_name);
		if (length < 4 || strcmp(file->d_name + length - 4, ".hex") != 0)
			continue;
		check_file(file->d_name);
		cases++;
	}
	closedir(files);
	assert_true(cases >= CASES_MIN);
}

/* One of them field by field: that the bytes are the same does not say that each is where we think.
 */
static void a_produce_request_of_librdkafka_says_what_was_sent(void **state)
{
	struct kafka_frame frame = load("kcat_0_v7_request.hex");
	struct kafka_request_header header;
	const struct kafka_api *api;
	struct arena arena;
	void *decoded;

	arena_init(&arena, ARENA_BYTES_MAX);
	assert_int_equal(
		kafka_decode_request(frame.data, frame.length, &arena, &header, &api, &decoded), 0);
	const struct kafka_produce_request *message = decoded;
	const struct kafka_string topic = kafka_string_of("golden-kcat");
	const struct kafka_string client = kafka_string_of("rdkafka");
	assert_int_equal(api->key, KAFKA_PRODUCE);
	assert_true(kafka_string_equal(&header.client_id, &client));
	assert_int_equal(message->transactional_id.length, -1);
	assert_int_equal(message->acks, -1);
	assert_int_equal(message->topic_data_count, 1);
	assert_true(kafka_string_equal(&message->topic_data[0].name, &topic));
	assert_int_equal(message->topic_data[0].partition_data_count, 1);
	const struct kafka_records *records = &message->topic_data[0].partition_data[0].records;
	assert_int_equal(records->data[16], 2); /* magic */
	assert_ptr_equal(records->data + records->length, frame.data + frame.length);
	arena_fini(&arena);
	kafka_frame_free(&frame);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_frames_are_understood_and_said_again),
		cmocka_unit_test(a_produce_request_of_librdkafka_says_what_was_sent),
	};

	folder = argc > 1 ? argv[1] : "tests/dataplane/golden";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
