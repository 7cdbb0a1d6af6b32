/* Batches of records with message ids, as fast as the broker takes them over one connection.
 *
 *     dedup_load HOST:PORT [--topic NAME] [--records N] [--value BYTES] [--known PERCENT]
 *                [--under-way N] [--acks N] [--seconds N]
 *
 * A batch is encoded once; before it is sent its records get new ids and it gets its checksum,
 * which costs less than what the broker does with it.  Of --known in a hundred records the id is
 * one that was sent shortly before.  Each request has one batch for partition 0.  Prints one line
 * of JSON. */
#include "bench/load.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
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
	VERSION = 7, /* the newest whose answer has its error at a fixed place */
	SIZE_BYTES = 4,
	CORRELATION_AT = 4,
	ID_BYTES = 16,
	HEADER_BYTES = 1 + 8 + 1 + ID_BYTES, /* lengths, "dedup-id", the id */
	ANSWER_BYTES_MAX = 4096,
	KNOWN_BEFORE = 1000, /* how many ids ago it was sent */
};

struct options {
	const char *topic;
	unsigned records;
	unsigned value_bytes;
	unsigned known_percent;
	unsigned under_way;
	int16_t acks;
	uint64_t seconds;
};

static struct load {
	int fd;
	uint8_t *frame; /* with its size */
	size_t frame_bytes;
	uint8_t *batch; /* in the frame, to its end */
	size_t batch_bytes;
	size_t *ids; /* where they are in the batch */
	uint64_t next_id;
	size_t error_at; /* in an answer */
} load;

/* ---- the batch ---- */

static void add_record(const struct options *options, struct batch_build *build, unsigned index)
{
	static uint8_t value[1 << 20];
	const struct record record = {
		.value = value,
		.value_length = options->value_bytes,
		.header_count = 1,
		.headers_length = HEADER_BYTES,
	};
	uint8_t *headers;

	if (options->value_bytes > sizeof(value))
		load_die("--value is too large");
	if (batch_build_add(build, &record, clock_wall_ms(clock_system()), &headers) < 0)
		load_die("no memory");
	headers[0] = 8 << 1;
	memcpy(headers + 1, "dedup-id", 8);
	headers[9] = ID_BYTES << 1;
	load.ids[index] = (size_t)(headers + 10 - build->data);
}

static void make_frame(const struct options *options, const struct batch_build *build)
{
	struct kafka_produce_request request;
	struct kafka_produce_request_topic_produce_data topic;
	struct kafka_produce_request_partition_produce_data partition;
	struct wire_writer writer;
	struct arena arena;

	arena_init(&arena, 64 << 20);
	kafka_produce_request_init(&request);
	kafka_produce_request_topic_produce_data_init(&topic);
	kafka_produce_request_partition_produce_data_init(&partition);
	request.acks = options->acks;
	request.timeout_ms = 30000;
	request.topic_data = &topic;
	request.topic_data_count = 1;
	topic.name = kafka_string_of(options->topic);
	topic.partition_data = &partition;
	topic.partition_data_count = 1;
	partition.records.data = build->data;
	partition.records.length = (int32_t)build->size;
	if (kafka_encode_request(kafka_api_find(KAFKA_PRODUCE), VERSION, 0, "load", &request,
				 &arena, &writer) < 0)
		load_die("the request is not encoded");
	load.frame = malloc(writer.bytes);
	if (!load.frame)
		load_die("no memory");
	for (size_t i = 0; i < writer.vector_count; i++) {
		memcpy(load.frame + load.frame_bytes, writer.vectors[i].iov_base,
		       writer.vectors[i].iov_len);
		load.frame_bytes += writer.vectors[i].iov_len;
	}
	arena_fini(&arena);
}

static void prepare(const struct options *options)
{
	struct batch_build build = {0};

	load.ids = calloc(options->records, sizeof(*load.ids));
	if (!load.ids)
		load_die("no memory");
	for (unsigned i = 0; i < options->records; i++)
		add_record(options, &build, i);
	batch_build_seal(&build, -1, -1, -1);
	make_frame(options, &build);
	load.batch_bytes = build.size;
	load.batch = load.frame + load.frame_bytes - build.size;
	/* Correlation id, one topic and its name, one partition and its index. */
	load.error_at = 4 + 4 + 2 + strlen(options->topic) + 4 + 4;
	load.next_id = (uint64_t)load_now_ns();
	batch_build_fini(&build);
}

static uint64_t mixed(uint64_t number)
{
	number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return number ^ number >> 27;
}

/* Also new timestamps, so that ids age as they would. */
static void renew(const struct options *options)
{
	uint64_t now_ms = (uint64_t)clock_wall_ms(clock_system());

	for (unsigned i = 0; i < options->records; i++) {
		bool known = load.next_id % 100 < options->known_percent;
		uint64_t id = load.next_id++ - (known ? KNOWN_BEFORE : 0);
		store_be64(load.batch + load.ids[i], mixed(id));
		store_be64(load.batch + load.ids[i] + 8, id);
	}
	store_be64(load.batch + 27, now_ms);
	store_be64(load.batch + 35, now_ms);
	store_be32(load.batch + 17,
		   crc32c(0, load.batch + BATCH_CRC_START, load.batch_bytes - BATCH_CRC_START));
}

/* ---- the connection ---- */

static void send_all(const uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t sent = send(load.fd, data, bytes, MSG_NOSIGNAL);
		if (sent < 0)
			load_die("send: %s", strerror(errno));
		data += sent;
		bytes -= (size_t)sent;
	}
}

static void receive_all(uint8_t *data, size_t bytes)
{
	if (recv(load.fd, data, bytes, MSG_WAITALL) != (ssize_t)bytes)
		load_die("the broker closed the connection");
}

static void take_answer(void)
{
	uint8_t answer[ANSWER_BYTES_MAX];

	receive_all(answer, SIZE_BYTES);
	uint32_t length = load_be32(answer);
	if (length > sizeof(answer) || length < load.error_at + 2)
		load_die("an answer that is none");
	receive_all(answer, length);
	int16_t error = (int16_t)load_be16(answer + load.error_at);
	if (error)
		load_die("the broker answered with error %d", error);
}

static uint64_t run(const struct options *options)
{
	uint64_t end_ns = load_now_ns() + options->seconds * NS_PER_SECOND;
	uint64_t sent = 0, answered = 0;

	while (load_now_ns() < end_ns) {
		renew(options);
		store_be32(load.frame + SIZE_BYTES + CORRELATION_AT, (uint32_t)sent);
		send_all(load.frame, load.frame_bytes);
		sent++;
		while (sent - answered >= options->under_way) {
			take_answer();
			answered++;
		}
	}
	for (; answered < sent; answered++)
		take_answer();
	return sent;
}

static void connect_to(const char *text)
{
	char host[64];
	uint16_t port = load_address(text, host);

	load.fd = load_connect(host, port);
	if (fcntl(load.fd, F_SETFL, 0) < 0)
		load_die("fcntl: %s", strerror(errno));
}

/* ---- options ---- */

static void parse(struct options *options, int argc, char **argv)
{
	static const struct option known[] = {
		{"topic", required_argument, NULL, 't'},
		{"records", required_argument, NULL, 'r'},
		{"value", required_argument, NULL, 'v'},
		{"known", required_argument, NULL, 'k'},
		{"under-way", required_argument, NULL, 'u'},
		{"acks", required_argument, NULL, 'a'},
		{"seconds", required_argument, NULL, 's'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (option == '?')
			load_die("see the head of dedup_load.c");
		if (option == 't')
			options->topic = optarg;
		else if (option == 'r')
			options->records = (unsigned)load_number(optarg);
		else if (option == 'v')
			options->value_bytes = (unsigned)load_number(optarg);
		else if (option == 'k')
			options->known_percent = (unsigned)load_number(optarg);
		else if (option == 'u')
			options->under_way = (unsigned)load_number(optarg);
		else if (option == 'a')
			options->acks = (int16_t)load_number(optarg);
		else
			options->seconds = load_number(optarg);
	}
	if (optind + 1 != argc || !options->records || !options->under_way)
		load_die("see the head of dedup_load.c");
}

int main(int argc, char **argv)
{
	struct options options = {
		.topic = "load",
		.records = 100,
		.value_bytes = 100,
		.under_way = 8,
		.acks = 1,
		.seconds = 3,
	};

	parse(&options, argc, argv);
	connect_to(argv[optind]);
	prepare(&options);
	uint64_t begun_ns = load_now_ns();
	uint64_t batches = run(&options);
	double took = (double)(load_now_ns() - begun_ns) / NS_PER_SECOND;
	uint64_t records = batches * options.records;
	printf("{\"records\": %" PRIu64 ", \"seconds\": %.4f, \"rate\": %.0f, \"bytes\": %" PRIu64
	       "}\n",
	       records, took, (double)records / took, batches * load.batch_bytes);
	return 0;
}
