/* The producer against a broker that does what the test says. */
#include <errno.h>
#include <poll.h>
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
#include "client/loop.h"
#include "client/sluice.h"
#include "tests/client/fake_broker.h"
#include "storage/batch.h"
#include "storage/records.h"

enum { STORED_MAX = 4096, PARTITIONS = 4 };

/* What the fake broker has stored; read by the test when the broker has stopped or nothing is under
 * way, so the lock is only for the sanitizer's sake. */
struct store {
	pthread_mutex_t lock;
	struct batch headers[STORED_MAX];
	int32_t partitions[STORED_MAX];
	size_t batches;
	int values[STORED_MAX]; /* numbers that the test has sent, in order of arrival */
	int32_t value_partitions[STORED_MAX];
	size_t value_count;
	int64_t next_offset[PARTITIONS];
	int failures;         /* requests to treat as `how` says, first */
	enum fake_answer how; /* FAKE_ANSWER: with `code` */
	int16_t code;
	int16_t codes[PARTITIONS]; /* instead of it, where not 0 */
	int16_t acks;
	int64_t producer_id;
	bool old; /* knows ApiVersions 0 only */
};

static void store_batch(struct store *store, int32_t partition, const struct kafka_records *records)
{
	struct record_cursor cursor;
	struct record record;
	struct batch batch;

	int rc = batch_parse(&batch, records->data, (size_t)records->length);
	assert_int_equal(rc, 0);
	assert_true(batch_crc_valid(&batch, records->data));
	store->headers[store->batches] = batch;
	store->partitions[store->batches++] = partition;
	cursor = record_cursor_over(records->data + BATCH_HEADER_BYTES,
				    batch.size - BATCH_HEADER_BYTES);
	while (record_next(&cursor, &record) > 0) {
		char text[32] = {0};
		memcpy(text, record.value, record.value_length < 31 ? record.value_length : 31);
		store->value_partitions[store->value_count] = partition;
		store->values[store->value_count++] = (int)strtol(text, NULL, 10);
	}
	store->next_offset[partition] += batch.record_count;
}

static int16_t code_of(const struct store *store, int32_t partition)
{
	return store->codes[partition] ? store->codes[partition] : store->code;
}

static enum fake_answer produce(struct store *store, const struct kafka_produce_request *request,
				struct kafka_produce_response *response, struct arena *arena)
{
	bool fails = store->failures > 0;
	enum fake_answer how = fails ? store->how : FAKE_ANSWER;

	store->acks = request->acks;
	store->failures -= fails;
	response->responses = arena_calloc(arena, (size_t)request->topic_data_count,
					   sizeof(*response->responses));
	response->responses_count = request->topic_data_count;
	for (int32_t i = 0; i < request->topic_data_count; i++) {
		const struct kafka_produce_request_topic_produce_data *topic =
			&request->topic_data[i];
		response->responses[i].name = topic->name;
		response->responses[i].partition_responses =
			arena_calloc(arena, (size_t)topic->partition_data_count,
				     sizeof(*response->responses[i].partition_responses));
		response->responses[i].partition_responses_count = topic->partition_data_count;
		for (int32_t j = 0; j < topic->partition_data_count; j++) {
			struct kafka_produce_response_partition_produce_response *answer =
				&response->responses[i].partition_responses[j];
			kafka_produce_response_partition_produce_response_init(answer);
			answer->index = topic->partition_data[j].index;
			int16_t code = fails ? code_of(store, answer->index) : 0;
			answer->error_code = code;
			answer->log_append_time_ms = -1;
			answer->base_offset = code ? -1 : store->next_offset[answer->index];
			if (!code && how == FAKE_ANSWER)
				store_batch(store, answer->index,
					    &topic->partition_data[j].records);
		}
	}
	return how == FAKE_ANSWER && request->acks == 0 ? FAKE_SILENCE : how;
}

static enum fake_answer handle(struct fake_broker *fake, const struct kafka_api *api,
			       int16_t version, const void *request, void *response,
			       struct arena *arena)
{
	struct store *store = fake->user;
	enum fake_answer how = FAKE_DEFAULT;

	pthread_mutex_lock(&store->lock);
	if (api->key == KAFKA_PRODUCE) {
		how = produce(store, request, response, arena);
	} else if (api->key == KAFKA_INIT_PRODUCER_ID) {
		((struct kafka_init_producer_id_response *)response)->producer_id =
			store->producer_id++;
		how = FAKE_ANSWER;
	} else if (api->key == KAFKA_API_VERSIONS && store->old && version > 0) {
		((struct kafka_api_versions_response *)response)->error_code = 35;
		how = FAKE_ANSWER;
	}
	pthread_mutex_unlock(&store->lock);
	return how;
}

/* ---- a client, a broker, and what was delivered ---- */

struct setting {
	const char *name;
	const char *value;
};

/* "tcp", "udp" or "lossy": from the command line. */
static const char *transport;

struct bench {
	struct store store;
	struct fake_broker fake;
	struct sluice_client *client;
	size_t delivered;
	size_t failed;
	int error;
	struct sluice_delivery last;
	int in_callback; /* what a blocking call said in there */
};

static struct bench *bench_new(const struct setting *settings)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct sluice_options *options;
	char url[64];

	assert_non_null(bench);
	pthread_mutex_init(&bench->store.lock, NULL);
	bench->store.producer_id = 100;
	bench->fake.partitions = PARTITIONS;
	bench->fake.handle = handle;
	bench->fake.user = &bench->store;
	bench->fake.datagram = strcmp(transport, "tcp") != 0;
	bench->fake.per_cent = strcmp(transport, "lossy") == 0 ? 5 : 0;
	fake_broker_start(&bench->fake);
	assert_int_equal(sluice_options_new(&options), 0);
	assert_int_equal(sluice_options_set(options, "retry.backoff.ms", "5"), 0);
	for (; settings && settings->name; settings++)
		assert_int_equal(sluice_options_set(options, settings->name, settings->value), 0);
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

static void delivered(void *user, const struct sluice_delivery *delivery)
{
	struct bench *bench = user;

	if (delivery->error) {
		bench->failed++;
		bench->error = delivery->error;
	} else {
		bench->delivered++;
	}
	bench->last = *delivery;
	bench->in_callback = sluice_flush(bench->client, 1000);
}

static int send_one(struct bench *bench, int number, int32_t partition, const char *key)
{
	char value[32];
	int length = snprintf(value, sizeof(value), "%d", number);
	const struct sluice_record record = {
		.topic = "t",
		.partition = partition,
		.key = key,
		.key_length = key ? strlen(key) : 0,
		.value = value,
		.value_length = (size_t)length,
	};

	return sluice_produce(bench->client, &record, delivered, bench);
}

static void check_in_order(const struct bench *bench, int count)
{
	assert_int_equal(bench->store.value_count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(bench->store.values[i], i);
}

/* ---- batching ---- */

static void records_of_a_partition_share_batches(void **state)
{
	const struct setting settings[] = {{"linger.ms", "60000"}, {"batch.size", "1k"}, {0}};
	struct bench *bench = bench_new(settings);

	for (int i = 0; i < 500; i++)
		assert_int_equal(send_one(bench, i, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	check_in_order(bench, 500);
	assert_int_equal(bench->delivered, 500);
	assert_int_equal(bench->last.offset, 499);
	assert_int_equal(bench->last.partition, 0);
	assert_in_range(bench->store.batches, 5, 20);
	for (size_t i = 0; i < bench->store.batches; i++)
		assert_in_range(bench->store.headers[i].size, 61, 1024);
	bench_free(bench);
}

static void a_lingering_batch_leaves_by_itself(void **state)
{
	const struct setting settings[] = {{"linger.ms", "50"}, {0}};
	struct bench *bench = bench_new(settings);
	uint64_t begun_ns = loop_now();

	/* The topic is known first, so that linger alone is measured. */
	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	begun_ns = loop_now();
	assert_int_equal(send_one(bench, 1, 0, NULL), 0);
	assert_int_equal(send_one(bench, 2, 0, NULL), 0);
	while (bench->delivered < 3 && loop_now() - begun_ns < 20 * NS_PER_SECOND)
		assert_true(sluice_process(bench->client, 1000) >= 0);
	assert_int_equal(bench->delivered, 3);
	assert_true(loop_now() - begun_ns >= 50 * NS_PER_MS);
	assert_int_equal(bench->store.batches, 2);
	bench_free(bench);
}

static void process_for_ms(struct bench *bench, unsigned ms)
{
	uint64_t until_ns = loop_now() + ms * NS_PER_MS;

	while (loop_now() < until_ns)
		assert_true(sluice_process(bench->client, 1) >= 0);
}

static void what_may_not_leave_yet_grows_instead(void **state)
{
	const struct setting settings[] = {{"linger.ms", "1"}, {0}};
	struct bench *bench = bench_new(settings);

	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	/* The broker cannot answer. */
	pthread_mutex_lock(&bench->store.lock);
	for (int i = 1; i < 10; i++) {
		assert_int_equal(send_one(bench, i, 0, NULL), 0);
		process_for_ms(bench, 3);
	}
	pthread_mutex_unlock(&bench->store.lock);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	check_in_order(bench, 10);
	/* Over datagrams one batch is under way, and meanwhile all others became one. */
	assert_in_range(bench->store.batches, 2, bench->fake.datagram ? 3 : 10);
	bench_free(bench);
}

static void the_descriptor_tells_when_to_process(void **state)
{
	const struct setting settings[] = {{"linger.ms", "10"}, {0}};
	struct bench *bench = bench_new(settings);
	uint64_t begun_ns = loop_now();

	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	while (bench->delivered < 1 && loop_now() - begun_ns < 20 * NS_PER_SECOND) {
		struct pollfd fds = {.fd = sluice_fd(bench->client), .events = POLLIN};
		/* Nothing but the descriptor wakes this test up. */
		assert_int_equal(poll(&fds, 1, 20000), 1);
		assert_true(sluice_process(bench->client, 0) >= 0);
	}
	assert_int_equal(bench->delivered, 1);
	bench_free(bench);
}

static void a_flush_does_not_linger(void **state)
{
	const struct setting settings[] = {{"linger.ms", "600000"}, {0}};
	struct bench *bench = bench_new(settings);
	uint64_t begun_ns = loop_now();

	for (int i = 0; i < 10; i++)
		assert_int_equal(send_one(bench, i, i % PARTITIONS, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 10);
	assert_true(loop_now() - begun_ns < 20 * NS_PER_SECOND);
	/* Four partitions, one broker, one request. */
	assert_int_equal(bench->fake.requests[KAFKA_PRODUCE], 1);
	bench_free(bench);
}

static void one_record_can_be_waited_for(void **state)
{
	const struct setting settings[] = {{"linger.ms", "600000"}, {0}};
	struct bench *bench = bench_new(settings);
	const struct sluice_record record = {
		.topic = "t", .partition = 2, .value = "0", .value_length = 1};
	struct sluice_delivery delivery;

	assert_int_equal(sluice_produce_sync(bench->client, &record, &delivery), 0);
	assert_int_equal(delivery.offset, 0);
	assert_int_equal(delivery.partition, 2);
	assert_int_equal(sluice_produce_sync(bench->client, &record, &delivery), 0);
	assert_int_equal(delivery.offset, 1);
	bench_free(bench);
}

static void keys_choose_and_no_key_sticks(void **state)
{
	const struct setting settings[] = {{"linger.ms", "1000"}, {"batch.size", "64k"}, {0}};
	struct bench *bench = bench_new(settings);

	for (int i = 0; i < 50; i++)
		assert_int_equal(send_one(bench, i, SLUICE_PARTITION_ANY, "foobar"), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(bench->store.value_partitions[i],
				 (-790332482 & 0x7fffffff) % PARTITIONS);
	for (int i = 50; i < 100; i++)
		assert_int_equal(send_one(bench, i, SLUICE_PARTITION_ANY, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	for (size_t i = 51; i < 100; i++)
		assert_int_equal(bench->store.value_partitions[i],
				 bench->store.value_partitions[50]);
	bench_free(bench);
}

static void requests_go_to_the_leader_or_the_shard(void **state)
{
	struct store *store = calloc(1, sizeof(*store));
	struct fake_broker other = {.partitions = PARTITIONS, .handle = handle, .user = store};
	struct bench *bench = bench_new(NULL);

	assert_non_null(store);
	pthread_mutex_init(&store->lock, NULL);
	other.datagram = bench->fake.datagram;
	other.per_cent = bench->fake.per_cent;
	fake_broker_start(&other);
	bench->fake.other = &other;
	for (int i = 0; i < 40; i++)
		assert_int_equal(send_one(bench, i, i % PARTITIONS, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 40);
	assert_int_equal(bench->store.value_count, 20);
	assert_int_equal(store->value_count, 20);
	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(bench->store.value_partitions[i] % 2, 0);
		assert_int_equal(store->value_partitions[i] % 2, 1);
	}
	bench_free(bench);
	fake_broker_stop(&other);
	free(store);
}

static void a_partition_that_is_not_there_is_refused(void **state)
{
	struct bench *bench = bench_new(NULL);

	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(send_one(bench, 1, PARTITIONS, NULL), -SLUICE_KAFKA(3));
	assert_int_equal(send_one(bench, 1, -2, NULL), -EINVAL);
	bench_free(bench);
}

/* ---- limits ---- */

static void full_memory_is_told_or_waited_for(void **state)
{
	const struct setting settings[] = {
		{"linger.ms", "600000"}, {"buffer.memory", "64k"}, {"batch.size", "4k"}, {0}};
	struct bench *bench = bench_new(settings);
	const struct sluice_record record = {
		.topic = "t", .partition = 0, .value = "9", .value_length = 1};
	int taken = 0;
	int rc;

	while ((rc = send_one(bench, taken, 0, NULL)) == 0)
		taken++;
	assert_int_equal(rc, -EAGAIN);
	assert_in_range(taken, 100, 2000);
	assert_int_equal(sluice_undelivered(bench->client), taken);
	assert_int_equal(sluice_produce_wait(bench->client, &record, 20000, NULL, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, taken);
	assert_int_equal(bench->store.value_count, taken + 1);
	bench_free(bench);
}

static void a_record_too_large_is_refused_at_once(void **state)
{
	static char large[2000];
	const struct setting settings[] = {{"max.request.size", "1024"}, {0}};
	struct bench *bench = bench_new(settings);
	const struct sluice_record record = {
		.topic = "t", .partition = 0, .value = large, .value_length = sizeof(large)};

	assert_int_equal(sluice_produce(bench->client, &record, NULL, NULL), -EMSGSIZE);
	assert_int_equal(sluice_undelivered(bench->client), 0);
	bench_free(bench);
}

static void a_broker_that_is_silent_is_not_waited_for_forever(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"},
					   {"request.timeout.ms", "100"},
					   {"delivery.timeout.ms", "400"},
					   {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 1000;
	bench->store.how = FAKE_SILENCE;
	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->failed, 1);
	assert_int_equal(bench->error, -ETIMEDOUT);
	assert_true(bench->fake.requests[KAFKA_PRODUCE] >= 2);
	bench_free(bench);
}

static void records_without_a_broker_expire(void **state)
{
	const struct setting settings[] = {{"delivery.timeout.ms", "300"}, {0}};
	struct bench *bench = bench_new(settings);

	fake_broker_stop(&bench->fake);
	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->failed, 1);
	assert_int_equal(bench->error, -ETIMEDOUT);
	assert_non_null(strstr(sluice_last_error(bench->client), "127.0.0.1"));
	fake_broker_start(&bench->fake);
	bench_free(bench);
}

/* ---- failures ---- */

static void a_lost_connection_loses_and_turns_nothing(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {"batch.size", "200"}, {0}};
	struct bench *bench = bench_new(settings);

	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	pthread_mutex_lock(&bench->store.lock);
	bench->store.failures = 3;
	bench->store.how = FAKE_CLOSE_ALL;
	pthread_mutex_unlock(&bench->store.lock);
	for (int i = 1; i < 200; i++)
		assert_int_equal(send_one(bench, i, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 200);
	assert_int_equal(bench->failed, 0);
	check_in_order(bench, 200);
	bench_free(bench);
}

static void many_batches_stay_in_order(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {"batch.size", "200"}, {0}};
	struct bench *bench = bench_new(settings);

	for (int i = 0; i < 3000; i++) {
		assert_int_equal(send_one(bench, i, 0, NULL), 0);
		if (i % 10 == 0)
			assert_true(sluice_process(bench->client, 0) >= 0);
	}
	assert_int_equal(sluice_flush(bench->client, 60000), 0);
	check_in_order(bench, 3000);
	assert_true(bench->store.batches > 100);
	assert_true(!bench->fake.per_cent || bench->fake.lost > 0);
	bench_free(bench);
}

static void what_may_pass_is_tried_again(void **state)
{
	const struct setting settings[] = {
		{"linger.ms", "0"}, {"max.in.flight.requests.per.connection", "1"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 3;
	bench->store.how = FAKE_ANSWER;
	bench->store.code = 6; /* NOT_LEADER_OR_FOLLOWER */
	for (int i = 0; i < 50; i++)
		assert_int_equal(send_one(bench, i, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 50);
	check_in_order(bench, 50);
	/* The picture of the cluster was asked for anew. */
	assert_true(bench->fake.requests[KAFKA_METADATA] >= 2);
	bench_free(bench);
}

static void retries_are_counted(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {"retries", "2"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 1000;
	bench->store.how = FAKE_ANSWER;
	bench->store.code = 56; /* KAFKA_STORAGE_ERROR */
	assert_int_equal(send_one(bench, 0, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->failed, 1);
	assert_int_equal(bench->error, -SLUICE_KAFKA(56));
	assert_int_equal(bench->fake.requests[KAFKA_PRODUCE], 3);
	bench_free(bench);
}

static void what_will_not_pass_is_reported_once(void **state)
{
	const struct setting settings[] = {{"linger.ms", "20"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 1;
	bench->store.how = FAKE_ANSWER;
	bench->store.code = 10; /* MESSAGE_TOO_LARGE */
	for (int i = 0; i < 5; i++)
		assert_int_equal(send_one(bench, i, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->failed, 5);
	assert_int_equal(bench->error, -SLUICE_KAFKA(10));
	assert_int_equal(bench->fake.requests[KAFKA_PRODUCE], 1);
	assert_string_equal(sluice_error_name(bench->error), "MESSAGE_TOO_LARGE");
	bench_free(bench);
}

static void an_answer_to_nothing_ends_the_connection_only(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 1;
	bench->store.how = FAKE_GARBAGE;
	assert_int_equal(send_one(bench, 0, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 1);
	assert_int_equal(bench->fake.requests[KAFKA_PRODUCE], 2);
	bench_free(bench);
}

static void a_broker_that_knows_no_newer_versions_is_asked_for_its_own(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.old = true;
	assert_int_equal(send_one(bench, 0, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 1);
	/* Twice for each of the two addresses: the one given and the one learnt. */
	assert_int_equal(bench->fake.requests[KAFKA_API_VERSIONS], 4);
	bench_free(bench);
}

static void acks_0_reports_what_has_left(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {"acks", "0"}, {0}};
	struct bench *bench = bench_new(settings);

	for (int i = 0; i < 20; i++)
		assert_int_equal(send_one(bench, i, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 20);
	assert_int_equal(bench->last.offset, -1);
	bench_free(bench);
}

static void closing_reports_what_was_not_delivered(void **state)
{
	const struct setting settings[] = {{"linger.ms", "600000"}, {0}};
	struct bench *bench = bench_new(settings);

	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	pthread_mutex_lock(&bench->store.lock);
	bench->store.failures = 1000;
	bench->store.how = FAKE_SILENCE;
	pthread_mutex_unlock(&bench->store.lock);
	for (int i = 1; i < 10; i++)
		assert_int_equal(send_one(bench, i, i % PARTITIONS, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 0), -ETIMEDOUT); /* under way now */
	for (int i = 10; i < 20; i++)
		assert_int_equal(send_one(bench, i, i % PARTITIONS, NULL), 0);
	assert_int_equal(sluice_close(bench->client), 0);
	bench->client = NULL;
	assert_int_equal(bench->delivered, 1);
	assert_int_equal(bench->failed, 19);
	assert_int_equal(bench->error, -ECANCELED);
	bench_free(bench);
}

static void a_callback_may_produce_but_not_wait(void **state)
{
	struct bench *bench = bench_new(NULL);

	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->in_callback, -EDEADLK);
	bench_free(bench);
}

/* ---- numbered batches ---- */

static void batches_are_numbered_for_idempotence(void **state)
{
	const struct setting settings[] = {
		{"linger.ms", "0"}, {"batch.size", "200"}, {"enable.idempotence", "true"}, {0}};
	struct bench *bench = bench_new(settings);
	int32_t next[PARTITIONS] = {0};

	for (int i = 0; i < 200; i++)
		assert_int_equal(send_one(bench, i, i % 2, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 200);
	for (size_t i = 0; i < bench->store.batches; i++) {
		int32_t partition = bench->store.partitions[i];
		assert_int_equal(bench->store.headers[i].producer_id, 100);
		assert_int_equal(bench->store.headers[i].base_sequence, next[partition]);
		next[partition] += bench->store.headers[i].record_count;
	}
	bench_free(bench);
}

static void a_number_given_up_takes_the_next_epoch(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {"enable.idempotence", "true"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 1;
	bench->store.how = FAKE_ANSWER;
	bench->store.code = 10; /* MESSAGE_TOO_LARGE: it will not pass */
	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->failed, 1);
	assert_int_equal(send_one(bench, 1, 0, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->delivered, 1);
	assert_int_equal(bench->store.headers[0].producer_id, 100);
	assert_int_equal(bench->store.headers[0].producer_epoch, 1);
	assert_int_equal(bench->store.headers[0].base_sequence, 0);
	bench_free(bench);
}

/* It may be stored: under other numbers it would be stored twice. */
static void what_was_sent_before_a_number_was_given_up_keeps_its_own(void **state)
{
	const struct setting settings[] = {{"linger.ms", "0"}, {"enable.idempotence", "true"}, {0}};
	struct bench *bench = bench_new(settings);

	bench->store.failures = 1;
	bench->store.how = FAKE_ANSWER;
	bench->store.codes[0] = 10; /* MESSAGE_TOO_LARGE: it will not pass */
	bench->store.codes[1] = 7;  /* REQUEST_TIMED_OUT: it is sent again */
	assert_int_equal(send_one(bench, 0, 0, NULL), 0);
	assert_int_equal(send_one(bench, 1, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->failed, 1);
	assert_int_equal(bench->delivered, 1);
	assert_int_equal(bench->fake.requests[KAFKA_PRODUCE], 2);
	assert_int_equal(bench->store.headers[0].producer_epoch, 0);
	assert_int_equal(bench->store.headers[0].base_sequence, 0);
	assert_int_equal(send_one(bench, 2, 1, NULL), 0);
	assert_int_equal(sluice_flush(bench->client, 20000), 0);
	assert_int_equal(bench->store.headers[1].producer_epoch, 1);
	assert_int_equal(bench->store.headers[1].base_sequence, 0);
	bench_free(bench);
}

static void idempotence_refuses_what_breaks_it(void **state)
{
	struct sluice_options *options;
	struct sluice_client *client;

	assert_int_equal(sluice_options_new(&options), 0);
	assert_int_equal(sluice_options_set(options, "enable.idempotence", "true"), 0);
	assert_int_equal(sluice_options_set(options, "acks", "1"), 0);
	assert_int_equal(sluice_open(&client, "127.0.0.1:1", options), -EINVAL);
	assert_non_null(strstr(sluice_open_error(), "acks=all"));
	sluice_options_free(options);
}

int main(int argc, char **argv)
{
	check(argc == 2);
	transport = argv[1];

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_of_a_partition_share_batches),
		cmocka_unit_test(a_lingering_batch_leaves_by_itself),
		cmocka_unit_test(what_may_not_leave_yet_grows_instead),
		cmocka_unit_test(the_descriptor_tells_when_to_process),
		cmocka_unit_test(a_flush_does_not_linger),
		cmocka_unit_test(one_record_can_be_waited_for),
		cmocka_unit_test(keys_choose_and_no_key_sticks),
		cmocka_unit_test(requests_go_to_the_leader_or_the_shard),
		cmocka_unit_test(a_partition_that_is_not_there_is_refused),
		cmocka_unit_test(full_memory_is_told_or_waited_for),
		cmocka_unit_test(a_record_too_large_is_refused_at_once),
		cmocka_unit_test(a_broker_that_is_silent_is_not_waited_for_forever),
		cmocka_unit_test(records_without_a_broker_expire),
		cmocka_unit_test(a_lost_connection_loses_and_turns_nothing),
		cmocka_unit_test(many_batches_stay_in_order),
		cmocka_unit_test(what_may_pass_is_tried_again),
		cmocka_unit_test(retries_are_counted),
		cmocka_unit_test(what_will_not_pass_is_reported_once),
		cmocka_unit_test(an_answer_to_nothing_ends_the_connection_only),
		cmocka_unit_test(a_broker_that_knows_no_newer_versions_is_asked_for_its_own),
		cmocka_unit_test(acks_0_reports_what_has_left),
		cmocka_unit_test(closing_reports_what_was_not_delivered),
		cmocka_unit_test(a_callback_may_produce_but_not_wait),
		cmocka_unit_test(batches_are_numbered_for_idempotence),
		cmocka_unit_test(a_number_given_up_takes_the_next_epoch),
		cmocka_unit_test(what_was_sent_before_a_number_was_given_up_keeps_its_own),
		cmocka_unit_test(idempotence_refuses_what_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
