/* A log written and read again from its start, over one connection and as fast as the broker gives.
 *
 *     catch_up_load fill HOST:PORT [--topic NAME] [--partitions N] [--bytes N] [--batch N]
 *     catch_up_load read HOST:PORT [--topic NAME] [--partitions N] [--bytes N]
 *                        [--answer-bytes N] [--partition-bytes N]
 *
 * `fill` sends batches of kilobyte records to the partitions in turn, eight under way, until
 * --bytes have been acknowledged by all of them together (acks=all).  `read` sends one Fetch after
 * another for all partitions, as a consumer does, until it has --bytes of records or all there are.
 * It looks at no more of a batch than where it ends, so that the broker is what takes the time.
 * Each prints one line of JSON. */
#include "bench/load.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "kafka_messages.h"
#include "storage/batch.h"
#include "storage/batch_build.h"
#include "storage/records.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PRODUCE_VERSION = 7,
	FETCH_VERSION = 11,
	SIZE_BYTES = 4,
	VALUE_BYTES = 1000,
	UNDER_WAY = 8,
	ANSWER_ROOM = 1 << 20, /* beyond --answer-bytes: what is not records, or a large batch */
	ARENA_BYTES = 64 << 20,
	PARTITIONS_MAX = 10000,
};

struct options {
	const char *topic;
	unsigned partitions;
	uint64_t bytes;
	unsigned batch_bytes;
	unsigned answer_bytes;
	unsigned partition_bytes;
};

static struct load {
	int fd;
	struct arena arena;
	uint8_t *answer;
	size_t answer_max;
	int64_t *offsets; /* of each partition: the next to be fetched */
	uint64_t bytes;   /* of records, that have come */
	uint64_t fetches;
	bool at_end; /* the last answer had none */
} load;

/* ---- the connection ---- */

static void send_request(int16_t key, int16_t version, const void *message)
{
	struct wire_writer writer;

	if (kafka_encode_request(kafka_api_find(key), version, 0, "catch-up", message, &load.arena,
				 &writer) < 0)
		load_die("the request is not encoded");
	for (size_t i = 0; i < writer.vector_count; i++) {
		const uint8_t *data = writer.vectors[i].iov_base;
		size_t left = writer.vectors[i].iov_len;
		while (left) {
			ssize_t sent = send(load.fd, data, left,
					    i + 1 < writer.vector_count ? MSG_MORE | MSG_NOSIGNAL
									: MSG_NOSIGNAL);
			if (sent < 0)
				load_die("send: %s", strerror(errno));
			data += sent;
			left -= (size_t)sent;
		}
	}
}

/* The message lives in the answer's memory and the arena. */
static void *receive_answer(int16_t key, int16_t version)
{
	uint8_t size[SIZE_BYTES];
	int32_t correlation;
	void *message;

	if (recv(load.fd, size, sizeof(size), MSG_WAITALL) != (ssize_t)sizeof(size))
		load_die("the broker closed the connection");
	uint32_t length = load_be32(size);
	if (length > load.answer_max)
		load_die("an answer of %" PRIu32 " bytes", length);
	if (recv(load.fd, load.answer, length, MSG_WAITALL) != (ssize_t)length)
		load_die("the broker closed the connection");
	if (kafka_decode_response(kafka_api_find(key), version, load.answer, length, &load.arena,
				  &correlation, &message) < 0)
		load_die("an answer that cannot be read");
	return message;
}

static void connect_to(const char *text)
{
	char host[64];
	uint16_t port = load_address(text, host);

	load.fd = load_connect(host, port);
	if (fcntl(load.fd, F_SETFL, 0) < 0)
		load_die("fcntl: %s", strerror(errno));
}

/* ---- fill ---- */

/* Bytes that no disk or file system makes smaller. */
static void scramble(uint8_t *value, size_t bytes)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

	for (size_t i = 0; i < bytes; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		value[i] = (uint8_t)state;
	}
}

static void make_batch(const struct options *options, struct batch_build *build)
{
	static uint8_t value[VALUE_BYTES];
	const struct record record = {.value = value, .value_length = VALUE_BYTES};
	uint8_t *headers;

	scramble(value, sizeof(value));
	do {
		if (batch_build_add(build, &record, clock_wall_ms(clock_system()), &headers) < 0)
			load_die("no memory");
	} while (build->size + VALUE_BYTES < options->batch_bytes);
	batch_build_seal(build, -1, -1, -1);
}

static void send_batch(const struct options *options, const struct batch_build *build,
		       unsigned partition)
{
	struct kafka_produce_request request;
	struct kafka_produce_request_topic_produce_data topic;
	struct kafka_produce_request_partition_produce_data part;

	kafka_produce_request_init(&request);
	kafka_produce_request_topic_produce_data_init(&topic);
	kafka_produce_request_partition_produce_data_init(&part);
	request.acks = -1;
	request.timeout_ms = 30000;
	request.topic_data = &topic;
	request.topic_data_count = 1;
	topic.name = kafka_string_of(options->topic);
	topic.partition_data = &part;
	topic.partition_data_count = 1;
	part.index = (int32_t)partition;
	part.records.data = build->data;
	part.records.length = (int32_t)build->size;
	send_request(KAFKA_PRODUCE, PRODUCE_VERSION, &request);
}

static void take_acknowledgement(void)
{
	const struct kafka_produce_response *response = receive_answer(KAFKA_PRODUCE,
								       PRODUCE_VERSION);

	for (int32_t i = 0; i < response->responses_count; i++) {
		int16_t error = response->responses[i].partition_responses[0].error_code;
		if (error)
			load_die("the broker answered with error %d", error);
	}
	arena_reset(&load.arena);
}

static void fill(const struct options *options)
{
	struct batch_build build = {0};
	uint64_t batches = 0, answered = 0;

	make_batch(options, &build);
	for (; batches * build.size < options->bytes; batches++) {
		if (batches - answered == UNDER_WAY) {
			take_acknowledgement();
			answered++;
		}
		send_batch(options, &build, (unsigned)(batches % options->partitions));
	}
	for (; answered < batches; answered++)
		take_acknowledgement();
	load.bytes = batches * build.size;
	batch_build_fini(&build);
}

/* ---- read ---- */

static void send_fetch(const struct options *options)
{
	struct kafka_fetch_request request;
	struct kafka_fetch_request_fetch_topic topic;
	struct kafka_fetch_request_fetch_partition *partitions =
		arena_alloc(&load.arena, options->partitions * sizeof(*partitions));

	if (!partitions)
		load_die("no memory");
	kafka_fetch_request_init(&request);
	kafka_fetch_request_fetch_topic_init(&topic);
	for (unsigned i = 0; i < options->partitions; i++) {
		/* Who is served first changes from one to the next, as with consumers. */
		unsigned number = (unsigned)((i + load.fetches) % options->partitions);
		kafka_fetch_request_fetch_partition_init(&partitions[i]);
		partitions[i].partition = (int32_t)number;
		partitions[i].fetch_offset = load.offsets[number];
		partitions[i].partition_max_bytes = (int32_t)options->partition_bytes;
	}
	topic.topic = kafka_string_of(options->topic);
	topic.partitions = partitions;
	topic.partitions_count = (int32_t)options->partitions;
	request.max_wait_ms = 500;
	request.min_bytes = 1;
	request.max_bytes = (int32_t)options->answer_bytes;
	request.session_epoch = -1;
	request.topics = &topic;
	request.topics_count = 1;
	send_request(KAFKA_FETCH, FETCH_VERSION, &request);
	load.fetches++;
}

/* From header to header of whole batches; the last may be cut. */
static void take_records(const struct options *options,
			 const struct kafka_fetch_response_partition_data *data)
{
	const uint8_t *at = data->records.data;
	size_t left = data->records.length > 0 ? (size_t)data->records.length : 0;
	struct batch batch;

	if (data->error_code)
		load_die("partition %d: the broker answered with error %d", data->partition_index,
			 data->error_code);
	if (data->partition_index < 0 || (unsigned)data->partition_index >= options->partitions)
		load_die("an answer of partition %d", data->partition_index);
	while (left && batch_parse(&batch, at, left) == 0) {
		load.offsets[data->partition_index] = batch.base_offset + batch.last_offset_delta +
						      1;
		load.bytes += batch.size;
		at += batch.size;
		left -= batch.size;
	}
}

static void take_fetched(const struct options *options)
{
	const struct kafka_fetch_response *response = receive_answer(KAFKA_FETCH, FETCH_VERSION);
	uint64_t before = load.bytes;

	if (response->error_code)
		load_die("the broker answered with error %d", response->error_code);
	for (int32_t i = 0; i < response->responses_count; i++) {
		for (int32_t k = 0; k < response->responses[i].partitions_count; k++)
			take_records(options, &response->responses[i].partitions[k]);
	}
	load.at_end = load.bytes == before;
	arena_reset(&load.arena);
}

static void read_all(const struct options *options)
{
	while (load.bytes < options->bytes && !load.at_end) {
		send_fetch(options);
		take_fetched(options);
	}
}

/* ---- options ---- */

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"topic", required_argument, NULL, 't'},
		{"partitions", required_argument, NULL, 'p'},
		{"bytes", required_argument, NULL, 'b'},
		{"batch", required_argument, NULL, 'B'},
		{"answer-bytes", required_argument, NULL, 'a'},
		{"partition-bytes", required_argument, NULL, 'P'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (option == '?')
			load_die("see the head of catch_up_load.c");
		if (option == 't')
			options->topic = optarg;
		else if (option == 'p')
			options->partitions = (unsigned)load_number(optarg);
		else if (option == 'b')
			options->bytes = load_number(optarg);
		else if (option == 'B')
			options->batch_bytes = (unsigned)load_number(optarg);
		else if (option == 'a')
			options->answer_bytes = (unsigned)load_number(optarg);
		else
			options->partition_bytes = (unsigned)load_number(optarg);
	}
	if (optind + 2 != argc || !options->partitions || options->partitions > PARTITIONS_MAX ||
	    options->answer_bytes > INT32_MAX || options->partition_bytes > INT32_MAX)
		load_die("see the head of catch_up_load.c");
}

int main(int argc, char **argv)
{
	struct options options = {
		.topic = "catch-up",
		.partitions = 1,
		.bytes = 1 << 30,
		.batch_bytes = 64 << 10,
		.answer_bytes = 50 << 20,
		.partition_bytes = 1 << 20,
	};

	parse(&options, argc, argv);
	arena_init(&load.arena, ARENA_BYTES);
	load.answer_max = (size_t)options.answer_bytes + ANSWER_ROOM;
	load.answer = malloc(load.answer_max);
	load.offsets = calloc(options.partitions, sizeof(*load.offsets));
	if (!load.answer || !load.offsets)
		load_die("no memory");
	connect_to(argv[optind + 1]);
	uint64_t begun_ns = load_now_ns();
	if (strcmp(argv[optind], "fill") == 0)
		fill(&options);
	else if (strcmp(argv[optind], "read") == 0)
		read_all(&options);
	else
		load_die("fill or read?");
	double took = (double)(load_now_ns() - begun_ns) / NS_PER_SECOND;
	printf("{\"bytes\": %" PRIu64
	       ", \"seconds\": %.4f, \"mb_per_s\": %.1f, \"fetches\": %" PRIu64 "}\n",
	       load.bytes, took, (double)load.bytes / 1e6 / took, load.fetches);
	return 0;
}
