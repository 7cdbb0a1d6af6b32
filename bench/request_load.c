/* Small Produce requests, one record each, as fast as one shard answers them or at a fixed rate.
 *
 *     request_load LINK [--topic NAME] [--sessions N] [--slots N] [--under-way N] [--rate N]
 *                  [--seconds N] [--warm-up MS] [--value BYTES] [--acks N] [--broker PID]
 *     LINK: tcp://IP:PORT | udp://IP:PORT | VDEV,... --address IP/PREFIX --to IP:PORT
 *
 * A request is encoded once; its copies differ in the correlation id.  Every answer is looked at:
 * its correlation id is the request's, and no partition has an error.
 *
 * Without --rate the next request leaves when an answer has come, `under way` (by default as many
 * as the link carries) at a time: that is how many there are a second, and no latency of a user.
 * With it a request is due every 1/rate seconds whatever became of those before, and its latency
 * counts from when it was due: a broker that stalls is charged for all that it kept waiting.
 *
 * "best_rate" is that of the best 5 ms: on a machine that does other work too, what is reached when
 * nothing comes between.  What was under way before counts in it, up to 2 % at a million a second.
 *
 * --broker: the process whose CPU seconds are counted.  Prints one line of JSON. */
#include "bench/histogram.h"
#include "bench/load.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "kafka_messages.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	VERSION = 7, /* the newest whose answer has its error at a fixed place, if one succeeds */
	METADATA_VERSION = 4,
	SIZE_BYTES = 4,
	FRAME_BYTES_MAX = 1400,
	VALUE_BYTES_MAX = 1024,
	BATCH_BYTES_MAX = 1280,
	BATCH_HEADER = 61,
	CORRELATION_AT = 4, /* in a request; in an answer it is the first field */
	SETUP_TRIES = 2000,
	STRETCH_NS = 5000000,
};

struct options {
	const char *link;
	const char *address;
	const char *to;
	const char *topic;
	unsigned sessions;
	unsigned slots;
	unsigned under_way;
	unsigned value_bytes;
	int16_t acks;
	uint64_t rate;
	uint64_t seconds;
	uint64_t warm_up_ms;
	long broker;
};

static struct load {
	struct load_link *link;
	struct shot *shots;
	struct shot *free;
	struct arena arena;
	uint32_t error_at; /* in an answer */
	uint64_t fired;
	uint64_t answered;
	bool setting_up;
	const uint8_t *setup_answer;
	uint32_t setup_length;
	struct histogram latency;
	struct histogram lateness; /* of firing */
	double best_rate;          /* of a stretch */
} load;

/* ---- the request ---- */

/* A batch of one record without key or headers. */
static uint32_t make_batch(uint8_t batch[static BATCH_BYTES_MAX], uint32_t value_bytes)
{
	uint64_t now_ms = (uint64_t)clock_wall_ms(clock_system());
	uint8_t body[BATCH_BYTES_MAX];
	uint8_t *at = body;

	*at++ = 0; /* attributes, and no difference in time or offset */
	*at++ = 0;
	*at++ = 0;
	*at++ = 1; /* -1: no key */
	uint32_t zigzag = value_bytes << 1;
	for (; zigzag >= 0x80; zigzag >>= 7)
		*at++ = (uint8_t)(zigzag | 0x80);
	*at++ = (uint8_t)zigzag;
	for (uint32_t i = 0; i < value_bytes; i++)
		*at++ = (uint8_t)('a' + i % 26);
	*at++ = 0; /* no headers */
	uint32_t length = (uint32_t)(at - body);

	memset(batch, 0, BATCH_HEADER);
	at = batch + BATCH_HEADER;
	for (zigzag = length << 1; zigzag >= 0x80; zigzag >>= 7)
		*at++ = (uint8_t)(zigzag | 0x80);
	*at++ = (uint8_t)zigzag;
	memcpy(at, body, length);
	uint32_t bytes = (uint32_t)(at - batch) + length;
	store_be32(batch + 8, bytes - 12);
	store_be32(batch + 12, UINT32_MAX); /* leader epoch: unknown */
	batch[16] = 2;                      /* magic */
	store_be64(batch + 27, now_ms);
	store_be64(batch + 35, now_ms);
	memset(batch + 43, 0xff, 14); /* no producer id, epoch or sequence */
	store_be32(batch + 57, 1);
	store_be32(batch + 17, crc32c(0, batch + 21, bytes - 21));
	return bytes;
}

static uint32_t flatten(const struct wire_writer *writer, uint8_t frame[static FRAME_BYTES_MAX])
{
	uint8_t whole[FRAME_BYTES_MAX + SIZE_BYTES];
	size_t bytes = 0;

	if (writer->bytes > sizeof(whole))
		load_die("the request is larger than a datagram");
	for (size_t i = 0; i < writer->vector_count; i++) {
		memcpy(whole + bytes, writer->vectors[i].iov_base, writer->vectors[i].iov_len);
		bytes += writer->vectors[i].iov_len;
	}
	memcpy(frame, whole + SIZE_BYTES, bytes - SIZE_BYTES);
	return (uint32_t)(bytes - SIZE_BYTES);
}

static uint32_t encode(int16_t key, int16_t version, const void *message, uint8_t *frame)
{
	struct wire_writer writer;

	if (kafka_encode_request(kafka_api_find(key), version, 0, "load", message, &load.arena,
				 &writer) < 0)
		load_die("the request is not encoded");
	return flatten(&writer, frame);
}

static uint32_t encode_produce(const struct options *options, uint8_t *frame)
{
	static uint8_t batch[BATCH_BYTES_MAX];
	struct kafka_produce_request request;
	struct kafka_produce_request_topic_produce_data topic;
	struct kafka_produce_request_partition_produce_data partition;

	kafka_produce_request_init(&request);
	kafka_produce_request_topic_produce_data_init(&topic);
	kafka_produce_request_partition_produce_data_init(&partition);
	partition.records = (struct kafka_records){
		.data = batch, .length = (int32_t)make_batch(batch, options->value_bytes)};
	topic.name = kafka_string_of(options->topic);
	topic.partition_data = &partition;
	topic.partition_data_count = 1;
	request.acks = options->acks;
	request.timeout_ms = 10000;
	request.topic_data = &topic;
	request.topic_data_count = 1;
	/* Correlation id, one topic, its name, one partition, its index: then its error. */
	load.error_at = (uint32_t)(4 + 4 + 2 + strlen(options->topic) + 4 + 4);
	return encode(KAFKA_PRODUCE, VERSION, &request, frame);
}

static uint32_t encode_metadata(const struct options *options, uint8_t *frame)
{
	struct kafka_metadata_request request;
	struct kafka_metadata_request_metadata_request_topic topic;

	kafka_metadata_request_init(&request);
	kafka_metadata_request_metadata_request_topic_init(&topic);
	topic.name = kafka_string_of(options->topic);
	request.topics = &topic;
	request.topics_count = 1;
	return encode(KAFKA_METADATA, METADATA_VERSION, &request, frame);
}

/* ---- fire and answer ---- */

static void fire(uint64_t intended_ns, uint64_t now_ns)
{
	struct shot *shot = load.free;

	load.free = shot->next;
	shot->intended_ns = intended_ns;
	load.fired++;
	load.link->fire(load.link, shot, now_ns);
}

void load_answered(struct shot *shot, const uint8_t *response, uint32_t length)
{
	if (length < 4 || memcmp(response, shot->frame + CORRELATION_AT, 4) != 0)
		load_die("an answer to another request");
	if (load.setting_up) {
		load.setup_length = length;
		load.setup_answer = memcpy(arena_alloc(&load.arena, length), response, length);
	} else if (length < load.error_at + 2 || load_be16(response + load.error_at)) {
		load_die("the broker answered with error %d",
			 length < load.error_at + 2 ? -1 : load_be16(response + load.error_at));
	}
	uint64_t now_ns = load_now_ns();
	histogram_add(&load.latency, now_ns - shot->intended_ns);
	load.answered++;
	shot->next = load.free;
	load.free = shot;
}

/* ---- set up ---- */

/* One request to and fro; false: it was answered with an error, or no answer came. */
static bool exchange(uint8_t *frame, uint32_t length, int16_t key, int16_t version, void **ret)
{
	uint64_t begun_ns = load_now_ns();
	struct shot *shot = load.free;
	int32_t correlation;

	shot->frame = frame;
	shot->length = length;
	load.setup_answer = NULL;
	fire(begun_ns, begun_ns);
	while (!load.setup_answer) {
		load.link->turn(load.link, load_now_ns());
		if (load_now_ns() - begun_ns > 10 * NS_PER_SECOND)
			load_die("no answer within 10 s");
	}
	return kafka_decode_response(kafka_api_find(key), version, load.setup_answer,
				     load.setup_length, &load.arena, &correlation, ret) == 0;
}

/* Metadata makes the topic; a moment later its partition takes records. */
static void make_topic(const struct options *options, uint8_t *frame, uint32_t length)
{
	uint8_t metadata[FRAME_BYTES_MAX];
	uint32_t metadata_bytes = encode_metadata(options, metadata);
	struct kafka_produce_response *response;
	void *answer;

	load.setting_up = true;
	for (unsigned i = 0; i < SETUP_TRIES; i++) {
		if (!exchange(metadata, metadata_bytes, KAFKA_METADATA, METADATA_VERSION,
			      &answer) ||
		    !exchange(frame, length, KAFKA_PRODUCE, VERSION, &answer))
			load_die("an answer that cannot be read");
		response = answer;
		if (response->responses[0].partition_responses[0].error_code == 0) {
			load.setting_up = false;
			return;
		}
		usleep(5000);
	}
	load_die("the topic does not come");
}

static void prepare(const struct options *options)
{
	static uint8_t template[FRAME_BYTES_MAX];
	uint32_t length;
	unsigned count = load.link->capacity;

	arena_init(&load.arena, 64 << 20);
	length = encode_produce(options, template);
	load.shots[0].next = NULL;
	load.free = &load.shots[0];
	make_topic(options, template, length);
	if (options->under_way && options->under_way < count)
		count = options->under_way;
	uint8_t *frames = malloc((size_t)count * length);
	if (!frames)
		load_die("no memory");
	load.free = NULL;
	for (unsigned i = count; i-- > 0;) {
		struct shot *shot = &load.shots[i];
		shot->frame = frames + (size_t)i * length;
		shot->length = length;
		memcpy(shot->frame, template, length);
		store_be32(shot->frame + CORRELATION_AT, i + 1);
		shot->next = load.free;
		load.free = shot;
	}
}

/* ---- the run ---- */

static double cpu_seconds(long pid)
{
	enum { FIRST_TICKS_FIELD = 14 }; /* in user mode, then in the kernel: see proc(5) */
	char path[64];
	char line[1024] = "";
	unsigned long ticks = 0;

	if (!pid)
		return 0;
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	FILE *file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		load_die("%s cannot be read", path);
	fclose(file);
	char *field = strrchr(line, ')'); /* its name, the second field, may hold anything */
	for (unsigned i = 2; field && i < FIRST_TICKS_FIELD; i++)
		field = strchr(field + 1, ' ');
	if (!field)
		load_die("%s is not as expected", path);
	ticks = strtoul(field, &field, 10);
	ticks += strtoul(field, &field, 10);
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

/* A piece of the run, which ends when it is longer than STRETCH_NS. */
struct stretch {
	uint64_t from_ns;
	uint64_t answered; /* before it */
};

static void end_stretch(struct stretch *stretch, uint64_t now_ns)
{
	double rate = (double)(load.answered - stretch->answered) * 1e9 /
		      (double)(now_ns - stretch->from_ns);

	if (rate > load.best_rate)
		load.best_rate = rate;
	*stretch = (struct stretch){.from_ns = now_ns, .answered = load.answered};
}

/* Until `until_ns`; then what is under way is waited for.  Due requests for which no place is free
 * wait, and keep their time. */
static void run(uint64_t rate, uint64_t from_ns, uint64_t until_ns)
{
	uint64_t now_ns = from_ns;
	uint64_t due = 0;
	struct stretch stretch = {.from_ns = from_ns, .answered = load.answered};

	for (; now_ns < until_ns; now_ns = load_now_ns()) {
		if (now_ns - stretch.from_ns > STRETCH_NS)
			end_stretch(&stretch, now_ns);
		while (!rate && load.free)
			fire(now_ns, now_ns);
		while (rate && load.free) {
			uint64_t intended_ns = from_ns +
					       (uint64_t)((double)due * 1e9 / (double)rate);
			if (intended_ns > now_ns)
				break;
			due++;
			histogram_add(&load.lateness, now_ns - intended_ns);
			fire(intended_ns, now_ns);
		}
		load.link->turn(load.link, now_ns);
	}
}

static void settle(void)
{
	uint64_t begun_ns = load_now_ns();

	while (load.answered < load.fired) {
		load.link->turn(load.link, load_now_ns());
		if (load_now_ns() - begun_ns > 10 * NS_PER_SECOND)
			load_die("%" PRIu64 " requests are not answered",
				 load.fired - load.answered);
	}
}

static double us_at(const struct histogram *histogram, double share)
{
	return (double)histogram_at(histogram, share) / 1e3;
}

static void measure(const struct options *options)
{
	uint64_t from_ns = load_now_ns();

	run(options->rate, from_ns, from_ns + options->warm_up_ms * NS_PER_MS);
	memset(&load.latency, 0, sizeof(load.latency));
	memset(&load.lateness, 0, sizeof(load.lateness));
	load.best_rate = 0;
	uint64_t before = load.answered;
	double cpu_before = cpu_seconds(options->broker);
	from_ns = load_now_ns();
	run(options->rate, from_ns, from_ns + options->seconds * NS_PER_SECOND);
	uint64_t took_ns = load_now_ns() - from_ns;
	uint64_t answered = load.answered - before;
	double cpu = cpu_seconds(options->broker) - cpu_before;
	settle();

	printf("{\"requests\": %" PRIu64
	       ", \"seconds\": %.3f, \"rate\": %.0f, \"best_rate\": %.0f, \"asked\": %" PRIu64
	       ", \"under_way\": %u, \"request_bytes\": %u",
	       answered, (double)took_ns / 1e9, (double)answered * 1e9 / (double)took_ns,
	       load.best_rate, options->rate, load.link->capacity, load.shots[0].length);
	printf(", \"p50_us\": %.2f, \"p99_us\": %.2f, \"p99_9_us\": %.2f, \"max_us\": %.1f",
	       us_at(&load.latency, 0.5), us_at(&load.latency, 0.99), us_at(&load.latency, 0.999),
	       (double)load.latency.max_ns / 1e3);
	if (options->rate)
		printf(", \"late_p99_us\": %.2f", us_at(&load.lateness, 0.99));
	if (options->broker)
		printf(", \"cpu_us_a_request\": %.3f",
		       answered ? cpu * 1e6 / (double)answered : 0.0);
	if (load.link->describe)
		load.link->describe(load.link);
	printf("}\n");
}

/* ---- options ---- */

static struct options parse(int argc, char **argv)
{
	static const struct option names[] = {
		{"address", 1, NULL, 'a'},
		{"to", 1, NULL, 't'},
		{"topic", 1, NULL, 'T'},
		{"sessions", 1, NULL, 'n'},
		{"slots", 1, NULL, 's'},
		{"under-way", 1, NULL, 'u'},
		{"rate", 1, NULL, 'r'},
		{"seconds", 1, NULL, 'd'},
		{"warm-up", 1, NULL, 'w'},
		{"value", 1, NULL, 'v'},
		{"acks", 1, NULL, 'k'},
		{"broker", 1, NULL, 'b'},
		{0},
	};
	struct options options = {
		.topic = "load",
		.sessions = 8,
		.slots = 16,
		.value_bytes = 32,
		.acks = 1,
		.seconds = 3,
		.warm_up_ms = 300,
	};
	int name;

	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (name) {
		case 'a':
			options.address = optarg;
			break;
		case 't':
			options.to = optarg;
			break;
		case 'T':
			options.topic = optarg;
			break;
		case 'n':
			options.sessions = (unsigned)load_number(optarg);
			break;
		case 's':
			options.slots = (unsigned)load_number(optarg);
			break;
		case 'u':
			options.under_way = (unsigned)load_number(optarg);
			break;
		case 'r':
			options.rate = load_number(optarg);
			break;
		case 'd':
			options.seconds = load_number(optarg);
			break;
		case 'w':
			options.warm_up_ms = load_number(optarg);
			break;
		case 'v':
			options.value_bytes = (unsigned)load_number(optarg);
			break;
		case 'k':
			options.acks = (int16_t)strtol(optarg, NULL, 10);
			break;
		case 'b':
			options.broker = (long)load_number(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (optind + 1 != argc)
		load_die("which link? tcp://IP:PORT, udp://IP:PORT, or VDEV,...");
	options.link = argv[optind];
	if (!options.sessions || options.value_bytes > VALUE_BYTES_MAX ||
	    (options.acks != 1 && options.acks != -1))
		load_die("sessions, value or acks out of range");
	return options;
}

static void open_link(const struct options *options)
{
	char host[64];
	uint16_t port;

	if (strncmp(options->link, "tcp://", 6) == 0) {
		port = load_address(options->link + 6, host);
		load.link = load_link_tcp(host, port, options->sessions * options->slots,
					  &load.shots);
	} else if (strncmp(options->link, "udp://", 6) == 0) {
		port = load_address(options->link + 6, host);
		load.link = load_link_udp(host, port, options->sessions, options->slots,
					  &load.shots);
	} else {
		if (!options->address || !options->to)
			load_die("a port needs --address and --to");
		port = load_address(options->to, host);
		load.link = load_link_port(options->link, options->address, host, port,
					   options->sessions, options->slots, &load.shots);
	}
}

int main(int argc, char **argv)
{
	const struct options options = parse(argc, argv);

	open_link(&options);
	prepare(&options);
	measure(&options);
	load.link->close(load.link);
	free(load.shots);
	return 0;
}
