/* The consumer against a broker that does what the test says. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "client/builder.h"
#include "storage/compressor.h"
#include "client/sluice.h"
#include "tests/client/fake_broker.h"
#include "storage/batch.h"

enum { LOG_BYTES = 1 << 20 };

/* One partition's log: bytes, and where its batches begin. */
struct log {
	pthread_mutex_t lock;
	uint8_t bytes[LOG_BYTES];
	size_t size;
	int64_t next_offset;
	size_t cut;           /* bytes that a fetch leaves out at the end of its answer */
	int16_t code;         /* to answer fetches with */
	int failures;         /* fetches to fail with it */
	int64_t asked_offset; /* of the last fetch */
	int64_t asked_time;   /* of the last ListOffsets */
	int32_t wait_ms;      /* of the last fetch, and it is taken */
};

static void add_sealed(struct log *log, struct batch_build *builder)
{
	memcpy(log->bytes + log->size, builder->data, builder->size);
	batch_set_base(log->bytes + log->size, log->next_offset, 0);
	log->size += builder->size;
	log->next_offset += builder->count;
	batch_build_fini(builder);
}

static void build(struct batch_build *builder, int64_t first, int count)
{
	for (int i = 0; i < count; i++) {
		char value[64];
		int length = snprintf(value, sizeof(value), "value %" PRId64 " of this log",
				      first + i);
		const struct sluice_header header = {
			.name = "n", .name_length = 1, .value = value, .value_length = 3};
		const struct sluice_record record = {.key = "k",
						     .key_length = 1,
						     .value = value,
						     .value_length = (size_t)length,
						     .headers = &header,
						     .header_count = 1};
		assert_int_equal(builder_add(builder, &record, 1000 + i), 0);
	}
}

static void add_batch(struct log *log, int count, enum batch_codec codec)
{
	struct batch_build builder = {0};
	struct compressor *compressor;

	build(&builder, log->next_offset, count);
	if (codec != CODEC_NONE) {
		assert_int_equal(compressor_new(&compressor, codec, -1), 0);
		assert_int_equal(builder_compress(&builder, compressor, codec), 0);
		compressor_free(compressor);
	}
	batch_build_seal(&builder, -1, -1, -1);
	add_sealed(log, &builder);
}

/* The bytes from the batch on that holds `offset`. */
static size_t find(const struct log *log, int64_t offset)
{
	struct batch batch;
	size_t at = 0;

	while (at < log->size && batch_parse(&batch, log->bytes + at, log->size - at) == 0 &&
	       batch.base_offset + batch.last_offset_delta < offset)
		at += batch.size;
	return at;
}

static void fetch(struct log *log, const struct kafka_fetch_request *request,
		  struct kafka_fetch_response *response, struct arena *arena)
{
	struct kafka_fetch_response_fetchable_topic_response *topic = arena_calloc(arena, 1,
										   sizeof(*topic));
	struct kafka_fetch_response_partition_data *data = arena_calloc(arena, 1, sizeof(*data));

	response->responses = topic;
	response->responses_count = 1;
	topic->topic = request->topics->topic;
	topic->partitions = data;
	topic->partitions_count = 1;
	kafka_fetch_response_partition_data_init(data);
	data->partition_index = request->topics->partitions->partition;
	data->high_watermark = log->next_offset;
	log->asked_offset = request->topics->partitions->fetch_offset;
	log->wait_ms = request->max_wait_ms;
	if (log->failures > 0) {
		log->failures--;
		data->error_code = log->code;
		return;
	}
	if (log->asked_offset > log->next_offset) {
		data->error_code = 1; /* OFFSET_OUT_OF_RANGE */
		return;
	}
	size_t at = find(log, log->asked_offset);
	size_t left = log->size - at;
	uint8_t *copy = arena_alloc(arena, left + 1);
	memcpy(copy, log->bytes + at, left);
	data->records.data = copy;
	data->records.length = (int32_t)(left > log->cut ? left - log->cut : left);
}

static void list_offsets(struct log *log, const struct kafka_list_offsets_request *request,
			 struct kafka_list_offsets_response *response, struct arena *arena)
{
	struct kafka_list_offsets_response_list_offsets_topic_response *topic =
		arena_calloc(arena, 1, sizeof(*topic));

	response->topics = topic;
	response->topics_count = 1;
	topic->name = request->topics->name;
	topic->partitions = arena_calloc(arena, 1, sizeof(*topic->partitions));
	topic->partitions_count = 1;
	topic->partitions->partition_index = request->topics->partitions->partition_index;
	log->asked_time = request->topics->partitions->timestamp;
	if (log->asked_time == SLUICE_EARLIEST)
		topic->partitions->offset = 0;
	else if (log->asked_time == SLUICE_LATEST)
		topic->partitions->offset = log->next_offset;
	else
		topic->partitions->offset = log->asked_time < 5000 ? 7 : -1;
}

static enum fake_answer handle(struct fake_broker *fake, const struct kafka_api *api,
			       int16_t version, const void *request, void *response,
			       struct arena *arena)
{
	struct log *log = fake->user;
	enum fake_answer how = FAKE_DEFAULT;

	pthread_mutex_lock(&log->lock);
	if (api->key == KAFKA_FETCH) {
		fetch(log, request, response, arena);
		how = FAKE_ANSWER;
	} else if (api->key == KAFKA_LIST_OFFSETS) {
		list_offsets(log, request, response, arena);
		how = FAKE_ANSWER;
	}
	pthread_mutex_unlock(&log->lock);
	return how;
}

/* "tcp", "udp" or "lossy": from the command line. */
static const char *transport;

struct bench {
	struct log log;
	struct fake_broker fake;
	struct sluice_client *client;
};

static struct bench *bench_with(const char *option, const char *value)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct sluice_options *options;
	char url[64];

	assert_non_null(bench);
	pthread_mutex_init(&bench->log.lock, NULL);
	bench->fake.partitions = 1;
	bench->fake.handle = handle;
	bench->fake.user = &bench->log;
	bench->fake.datagram = strcmp(transport, "tcp") != 0;
	bench->fake.per_cent = strcmp(transport, "lossy") == 0 ? 5 : 0;
	fake_broker_start(&bench->fake);
	assert_int_equal(sluice_options_new(&options), 0);
	assert_int_equal(sluice_options_set(options, "retry.backoff.ms", "5"), 0);
	if (option)
		assert_int_equal(sluice_options_set(options, option, value), 0);
	snprintf(url, sizeof(url), "%s://127.0.0.1:%d", bench->fake.datagram ? "udp" : "tcp",
		 bench->fake.port);
	assert_int_equal(sluice_open(&bench->client, url, options), 0);
	sluice_options_free(options);
	return bench;
}

static void bench_free(struct bench *bench)
{
	sluice_close(bench->client);
	fake_broker_stop(&bench->fake);
	free(bench);
}

static struct sluice_batch *next_batch(struct bench *bench)
{
	struct sluice_batch *batch = NULL;

	assert_int_equal(sluice_fetch(bench->client, 20000, &batch), 1);
	return batch;
}

/* Reads records up to `end`, each the one that its offset says. */
static void check_records(struct bench *bench, int64_t first, int64_t end)
{
	struct sluice_message message;
	struct sluice_header header;
	char expected[64];

	while (first < end) {
		struct sluice_batch *batch = next_batch(bench);
		int rc;
		while ((rc = sluice_batch_next(batch, &message)) > 0) {
			size_t cursor = 0;
			assert_int_equal(message.offset, first);
			snprintf(expected, sizeof(expected), "value %" PRId64 " of this log",
				 first);
			assert_int_equal(message.value_length, strlen(expected));
			assert_memory_equal(message.value, expected, message.value_length);
			assert_int_equal(sluice_header_next(&message, &cursor, &header), 1);
			assert_memory_equal(header.value, "val", 3);
			assert_int_equal(sluice_header_next(&message, &cursor, &header), 0);
			first++;
		}
		assert_int_equal(rc, 0);
		sluice_batch_free(batch);
	}
	assert_int_equal(first, end);
}

static void records_of_every_codec_come_in_order(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	int64_t position;

	for (unsigned codec = CODEC_NONE; codec < CODEC_COUNT; codec++)
		add_batch(&bench->log, 100, codec);
	assert_int_equal(sluice_assign(bench->client, "t", 0, SLUICE_EARLIEST), 0);
	assert_int_equal(sluice_position(bench->client, "t", 0, &position), -EAGAIN);
	check_records(bench, 0, 500);
	assert_int_equal(sluice_position(bench->client, "t", 0, &position), 0);
	assert_int_equal(position, 500);
	bench_free(bench);
}

static void batches_may_be_held_together(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_batch *held[10];
	struct sluice_message message;

	for (int i = 0; i < 10; i++)
		add_batch(&bench->log, 20, i % 2 ? CODEC_ZSTD : CODEC_LZ4);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	for (int i = 0; i < 10; i++) {
		held[i] = next_batch(bench);
		assert_int_equal(sluice_batch_next(held[i], &message), 1);
	}
	for (int i = 9; i >= 0; i--) {
		assert_int_equal(sluice_batch_next(held[i], &message), 1);
		assert_int_equal(message.offset, i * 20 + 1);
		sluice_batch_free(held[i]);
	}
	bench_free(bench);
}

static void an_offset_inside_a_batch_begins_there(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);

	add_batch(&bench->log, 50, CODEC_NONE);
	add_batch(&bench->log, 50, CODEC_GZIP);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 70), 0);
	check_records(bench, 70, 100);
	assert_int_equal(sluice_seek(bench->client, "t", 0, 13), 0);
	check_records(bench, 13, 100);
	bench_free(bench);
}

static void times_and_ends_are_looked_up(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	int64_t position;

	add_batch(&bench->log, 50, CODEC_NONE);
	assert_int_equal(sluice_assign_time(bench->client, "t", 0, 4000), 0);
	check_records(bench, 7, 50);
	assert_int_equal(bench->log.asked_time, 4000);
	/* Later than all records: from the end on. */
	assert_int_equal(sluice_assign_time(bench->client, "t", 0, 9000), 0);
	struct sluice_batch *batch;
	while (sluice_position(bench->client, "t", 0, &position) == -EAGAIN)
		assert_int_equal(sluice_fetch(bench->client, 100, &batch), 0);
	assert_int_equal(position, 50);
	bench_free(bench);
}

static void a_batch_cut_short_is_fetched_again(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);

	add_batch(&bench->log, 10, CODEC_NONE);
	add_batch(&bench->log, 10, CODEC_NONE);
	bench->log.cut = 30;
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	check_records(bench, 0, 10);
	pthread_mutex_lock(&bench->log.lock);
	bench->log.cut = 0;
	pthread_mutex_unlock(&bench->log.lock);
	check_records(bench, 10, 20);
	bench_free(bench);
}

static void control_batches_are_passed_over(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct batch_build builder = {0};

	add_batch(&bench->log, 5, CODEC_NONE);
	build(&builder, 5, 1);
	builder.attributes = BATCH_CONTROL | BATCH_TRANSACTIONAL;
	batch_build_seal(&builder, 1, 0, 0);
	add_sealed(&bench->log, &builder);
	add_batch(&bench->log, 5, CODEC_NONE);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	check_records(bench, 0, 5);
	check_records(bench, 6, 11);
	bench_free(bench);
}

static void a_wrong_checksum_is_told(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_message message;

	add_batch(&bench->log, 10, CODEC_NONE);
	bench->log.bytes[bench->log.size - 1] ^= 1;
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	struct sluice_batch *batch = next_batch(bench);
	assert_int_equal(sluice_batch_next(batch, &message), -SLUICE_KAFKA(2));
	assert_int_equal(sluice_batch_next(batch, &message), -SLUICE_KAFKA(2));
	assert_non_null(strstr(sluice_last_error(bench->client), "t/0"));
	sluice_batch_free(batch);
	bench_free(bench);
}

static void a_codec_that_lies_is_told(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_message message;

	for (unsigned codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		struct batch_build builder = {0};
		build(&builder, 0, 30);
		builder.attributes = (uint16_t)codec; /* the records are plain */
		batch_build_seal(&builder, -1, -1, -1);
		add_sealed(&bench->log, &builder);
	}
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	for (unsigned codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		struct sluice_batch *batch = next_batch(bench);
		assert_int_equal(sluice_batch_next(batch, &message), -SLUICE_KAFKA(2));
		sluice_batch_free(batch);
	}
	bench_free(bench);
}

static void expansion_has_a_bound(void **state)
{
	struct bench *bench = bench_with("decompressed.batch.max.bytes", "1024");
	struct sluice_message message;

	add_batch(&bench->log, 100, CODEC_GZIP);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	struct sluice_batch *batch = next_batch(bench);
	assert_int_equal(sluice_batch_next(batch, &message), -SLUICE_KAFKA(10));
	sluice_batch_free(batch);
	bench_free(bench);
}

static void bytes_that_are_no_batch_are_told_once(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_batch_info info;
	struct sluice_batch *batch;

	memset(bench->log.bytes, 0x55, 200);
	bench->log.size = 200;
	bench->log.next_offset = 10;
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	batch = next_batch(bench);
	sluice_batch_info(batch, &info);
	assert_true(info.error < 0);
	assert_string_equal(info.topic, "t");
	sluice_batch_free(batch);
	/* Asked for again and again, told once. */
	while (bench->fake.requests[KAFKA_FETCH] < 4)
		assert_int_equal(sluice_fetch(bench->client, 50, &batch), 0);
	bench_free(bench);
}

static void an_offset_outside_is_an_error_or_a_reset(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_batch_info info;

	add_batch(&bench->log, 10, CODEC_NONE);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 99), 0);
	struct sluice_batch *batch = next_batch(bench);
	sluice_batch_info(batch, &info);
	assert_int_equal(info.error, -SLUICE_KAFKA(1));
	sluice_batch_free(batch);
	bench_free(bench);

	bench = bench_with("auto.offset.reset", "earliest");
	add_batch(&bench->log, 10, CODEC_NONE);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 99), 0);
	check_records(bench, 0, 10);
	bench_free(bench);
}

static void what_passes_is_not_told(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);

	add_batch(&bench->log, 10, CODEC_NONE);
	bench->log.code = 6; /* NOT_LEADER_OR_FOLLOWER */
	bench->log.failures = 1;
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	check_records(bench, 0, 10);
	bench_free(bench);
}

static void a_paused_partition_hands_out_nothing(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_batch *batch;

	add_batch(&bench->log, 10, CODEC_NONE);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	assert_int_equal(sluice_pause(bench->client, "t", 0), 0);
	assert_int_equal(sluice_fetch(bench->client, 200, &batch), 0);
	assert_int_equal(sluice_resume(bench->client, "t", 0), 0);
	check_records(bench, 0, 10);
	bench_free(bench);
}

static int32_t last_wait_ms(struct bench *bench)
{
	pthread_mutex_lock(&bench->log.lock);
	int32_t wait_ms = bench->log.wait_ms;
	pthread_mutex_unlock(&bench->log.lock);
	return wait_ms;
}

/* What was assigned meanwhile would have to wait too. */
static void a_fetch_waits_no_longer_than_assignments_have_stood(void **state)
{
	struct bench *bench = bench_with("fetch.max.wait.ms", "60000");
	uint64_t begun_ns = clock_monotonic_ns(clock_system());
	struct sluice_batch *batch;

	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	for (int i = 0; i < 2000 && last_wait_ms(bench) == 0; i++)
		assert_int_equal(sluice_fetch(bench->client, 10, &batch), 0);
	uint64_t stood_ns = clock_monotonic_ns(clock_system()) - begun_ns;
	assert_in_range(last_wait_ms(bench), 1, stood_ns / NS_PER_MS);
	bench_free(bench);
}

static void what_is_not_assigned_is_not_there(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_batch *batch;
	int64_t position;

	assert_int_equal(sluice_seek(bench->client, "t", 0, 0), -ENOENT);
	assert_int_equal(sluice_pause(bench->client, "t", 0), -ENOENT);
	assert_int_equal(sluice_unassign(bench->client, "t", 0), -ENOENT);
	assert_int_equal(sluice_position(bench->client, "t", 0, &position), -ENOENT);
	assert_int_equal(sluice_assign(bench->client, "t", -1, 0), -EINVAL);
	assert_int_equal(sluice_assign(bench->client, "", 0, 0), -EINVAL);
	add_batch(&bench->log, 10, CODEC_NONE);
	assert_int_equal(sluice_assign(bench->client, "t", 0, 0), 0);
	assert_int_equal(sluice_unassign(bench->client, "t", 0), 0);
	assert_int_equal(sluice_fetch(bench->client, 100, &batch), 0);
	bench_free(bench);
}

static void an_interrupt_ends_one_wait(void **state)
{
	struct bench *bench = bench_with(NULL, NULL);
	struct sluice_batch *batch;

	sluice_interrupt(bench->client);
	assert_int_equal(sluice_fetch(bench->client, 20000, &batch), -EINTR);
	assert_int_equal(sluice_fetch(bench->client, 10, &batch), 0);
	bench_free(bench);
}

int main(int argc, char **argv)
{
	check(argc == 2);
	transport = argv[1];

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_of_every_codec_come_in_order),
		cmocka_unit_test(batches_may_be_held_together),
		cmocka_unit_test(an_offset_inside_a_batch_begins_there),
		cmocka_unit_test(times_and_ends_are_looked_up),
		cmocka_unit_test(a_batch_cut_short_is_fetched_again),
		cmocka_unit_test(control_batches_are_passed_over),
		cmocka_unit_test(a_wrong_checksum_is_told),
		cmocka_unit_test(a_codec_that_lies_is_told),
		cmocka_unit_test(expansion_has_a_bound),
		cmocka_unit_test(bytes_that_are_no_batch_are_told_once),
		cmocka_unit_test(an_offset_outside_is_an_error_or_a_reset),
		cmocka_unit_test(what_passes_is_not_told),
		cmocka_unit_test(a_paused_partition_hands_out_nothing),
		cmocka_unit_test(a_fetch_waits_no_longer_than_assignments_have_stood),
		cmocka_unit_test(what_is_not_assigned_is_not_there),
		cmocka_unit_test(an_interrupt_ends_one_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
