/* Asks a driver of sluice-bench, beside a running broker, for all that its contract promises.
 *
 *     driver_check DRIVER URL STEP [KEY=VALUE]...      settings of the library
 *
 * Prints what does not hold and ends with 1.  The steps are functions below; "killed" prints
 * `kill` and reads a line, before which the broker is to be gone. */
#include "bench/suite/driver.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	RECORDS = 10000,
	PARTITIONS = 4,
	VALUE_BYTES = 100,
	WINDOW = 16,
	POLL_US = 20000,
	LIMIT_S = 60, /* of each wait */
};

#define expect(condition, ...)                                                                     \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("%d: ", __LINE__);                                                  \
			printf(__VA_ARGS__);                                                       \
			printf("\n");                                                              \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static const struct driver *driver;
static struct driver_target target = {.acks = DRIVER_ACKS_ALL};
static char topic[64];
static const char *const topics[] = {topic, NULL};

/* What one consumer, or several that share, have received. */
struct reader {
	uint64_t next[PARTITIONS]; /* by partition; sequence numbers rise by PARTITIONS */
	unsigned count;
	bool unordered; /* redelivery and sharing may change places */
	bool seen[RECORDS];
};

struct writer {
	bool ended[RECORDS];
	unsigned stored;
	unsigned failed;
};

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* ---- callbacks ---- */

static void delivered(void *context, uint64_t tag, int rc)
{
	struct writer *writer = context;

	expect(tag < RECORDS, "tag %llu was never given", (unsigned long long)tag);
	expect(!writer->ended[tag], "record %llu ended twice", (unsigned long long)tag);
	writer->ended[tag] = true;
	writer->stored += rc == 0;
	writer->failed += rc < 0;
}

static void received(void *context, const char *from, const void *value, size_t value_bytes)
{
	struct reader *reader = context;
	uint64_t sequence;

	expect(!strcmp(from, topic), "a record of topic '%s'", from);
	expect(value_bytes == VALUE_BYTES, "a value of %zu bytes", value_bytes);
	memcpy(&sequence, value, sizeof(sequence));
	expect(sequence < RECORDS, "record %llu", (unsigned long long)sequence);
	expect(!reader->seen[sequence], "record %llu was received twice",
	       (unsigned long long)sequence);
	reader->seen[sequence] = true;
	reader->count++;
	if (reader->unordered)
		return;
	expect(sequence / PARTITIONS == reader->next[sequence % PARTITIONS],
	       "record %llu came when %llu of its partition was the next",
	       (unsigned long long)(sequence / PARTITIONS),
	       (unsigned long long)reader->next[sequence % PARTITIONS]);
	reader->next[sequence % PARTITIONS]++;
}

/* ---- what the steps are made of ---- */

static struct driver_producer *open_producer(struct writer *writer)
{
	struct driver_producer *producer;
	int rc;

	*writer = (struct writer){0};
	rc = driver->producer_new(&target, delivered, writer, &producer);
	expect(rc == 0, "producer_new: %s", strerror(-rc));
	return producer;
}

static struct driver_consumer *open_consumer(struct reader *reader, const char *group,
					     unsigned share_index, unsigned share_count,
					     bool from_earliest)
{
	struct driver_consumer_options options = {.topics = topics,
						  .group = group,
						  .share_index = share_index,
						  .share_count = share_count,
						  .from_earliest = from_earliest,
						  .received = received,
						  .context = reader};
	struct driver_consumer *consumer;
	int rc = driver->consumer_new(&target, &options, &consumer);

	expect(rc == 0, "consumer_new: %s", strerror(-rc));
	return consumer;
}

static int produce_one(struct driver_producer *producer, unsigned sequence, int partition)
{
	uint64_t number = sequence;
	uint8_t value[VALUE_BYTES] = {0};
	struct driver_record record = {.topic = topic,
				       .partition = partition,
				       .value = value,
				       .value_bytes = sizeof(value),
				       .id = number + 1};

	memcpy(value, &number, sizeof(number));
	return driver->produce(producer, &record, number);
}

static void produce_all(struct driver_producer *producer, unsigned from, unsigned until,
			const struct writer *writer)
{
	time_t limit_s = now_s() + LIMIT_S;
	unsigned i = from;
	int rc;

	while (i < until) {
		rc = produce_one(producer, i, (int)(i % PARTITIONS));
		expect(rc == 0 || rc == -EAGAIN, "produce: %s", strerror(-rc));
		expect(now_s() < limit_s, "%u of %u records were taken", i, until);
		i += rc == 0;
		rc = rc == -EAGAIN || i % 100 == 0 ? driver->producer_poll(producer, 1000) : 0;
		expect(rc >= 0, "producer_poll: %s", strerror(-rc));
	}
	rc = driver->producer_flush(producer, LIMIT_S * 1000);
	expect(rc == 0, "producer_flush: %s", strerror(-rc));
	expect(writer->failed == 0, "%u records were not delivered", writer->failed);
	expect(writer->stored == until, "%u of %u records were delivered", writer->stored, until);
}

static void read_until(struct driver_consumer **consumers, unsigned count,
		       const struct reader *reader, unsigned records)
{
	time_t limit_s = now_s() + LIMIT_S;
	unsigned i;
	int rc;

	while (reader->count < records) {
		expect(now_s() < limit_s, "%u of %u records were received", reader->count, records);
		for (i = 0; i < count; i++) {
			rc = driver->consumer_poll(consumers[i], POLL_US);
			expect(rc >= 0, "consumer_poll: %s", strerror(-rc));
		}
	}
	for (i = 0; i < count; i++)
		driver->consumer_poll(consumers[i], 5 * POLL_US);
	expect(reader->count == records, "%u records more than were sent", reader->count - records);
}

static void create(unsigned partitions)
{
	int rc;

	snprintf(topic, sizeof(topic), "check-%d-%u", (int)getpid(), partitions);
	rc = driver->topic_create(&target, topic, partitions, NULL);
	expect(rc == 0, "topic_create: %s", strerror(-rc));
}

static void delete (void)
{
	int rc = driver->topic_delete(&target, topic);

	expect(rc == 0, "topic_delete: %s", strerror(-rc));
}

/* ---- steps ---- */

static struct writer written;
static struct reader all, again;

/* Once, in order, to those who share and to who comes later. */
static void exchange(void)
{
	struct driver_consumer *sharing[3], *later;
	struct driver_producer *producer;
	char version[64];
	unsigned i;

	expect(driver->version(&target, version, sizeof(version)) == 0 && *version, "no version");
	create(PARTITIONS);
	producer = open_producer(&written);
	produce_all(producer, 0, 100, &written);
	for (i = 0; i < PARTITIONS; i++)
		all.next[i] = 100 / PARTITIONS;
	for (i = 0; i < 3; i++)
		sharing[i] = open_consumer(&all, NULL, i, 3, false);
	produce_all(producer, 100, RECORDS, &written);
	read_until(sharing, 3, &all, RECORDS - 100);
	later = open_consumer(&again, NULL, 0, 1, true);
	read_until(&later, 1, &again, RECORDS);
	for (i = 0; i < 3; i++)
		driver->consumer_free(sharing[i]);
	driver->consumer_free(later);
	driver->producer_free(producer);
	delete ();
}

/* Each member's share: together they have all, once. */
static void group(void)
{
	struct driver_consumer *member;
	struct driver_producer *producer;

	create(PARTITIONS);
	producer = open_producer(&written);
	produce_all(producer, 0, 100, &written);
	all.unordered = true;
	member = open_consumer(&all, "check-members", 0, 1, false);
	produce_all(producer, 100, RECORDS / 2, &written);
	read_until(&member, 1, &all, RECORDS / 2 - 100);
	driver->consumer_free(member);
	/* What comes while nobody is there is the next member's, and so is nothing before. */
	produce_all(producer, RECORDS / 2, RECORDS, &written);
	member = open_consumer(&all, "check-members", 0, 1, false);
	read_until(&member, 1, &all, RECORDS - 100);
	driver->consumer_free(member);
	driver->producer_free(producer);
	delete ();
}

/* A member that leaves while records come loses none, and none comes twice. */
static void leaving(void)
{
	struct driver_consumer *members[2];
	struct driver_producer *producer;
	time_t limit_s = now_s() + LIMIT_S;
	unsigned i;

	create(PARTITIONS);
	all.unordered = true;
	members[0] = open_consumer(&all, "check-leaving", 0, 1, true);
	producer = open_producer(&written);
	produce_all(producer, 0, RECORDS / 2, &written);
	while (all.count < 100) {
		expect(driver->consumer_poll(members[0], POLL_US) >= 0, "consumer_poll");
		expect(now_s() < limit_s, "%u records were received", all.count);
	}
	for (i = RECORDS / 2; i < RECORDS && now_s() < limit_s;)
		if (produce_one(producer, i, (int)(i % PARTITIONS)) == 0)
			i++;
		else
			driver->producer_poll(producer, POLL_US);
	driver->producer_poll(producer, 0);
	driver->consumer_free(members[0]);
	expect(driver->producer_flush(producer, LIMIT_S * 1000) == 0, "records are under way");
	members[1] = open_consumer(&all, "check-leaving", 0, 1, true);
	read_until(&members[1], 1, &all, RECORDS);
	driver->consumer_free(members[1]);
	driver->producer_free(producer);
	delete ();
}

/* Without a partition the library spreads records itself; by key, always to the same one. */
static void spread(void)
{
	struct driver_consumer *whole;
	struct driver_producer *producer;
	time_t limit_s = now_s() + LIMIT_S;
	unsigned i;

	create(PARTITIONS);
	all.unordered = true;
	whole = open_consumer(&all, NULL, 0, 1, false);
	producer = open_producer(&written);
	for (i = 0; i < 1000; i++)
		expect(produce_one(producer, i, -1) == 0, "record %u was not taken", i);
	expect(driver->producer_flush(producer, LIMIT_S * 1000) == 0, "records are under way");
	while (all.count < 1000 && now_s() < limit_s)
		driver->consumer_poll(whole, POLL_US);
	expect(all.count == 1000, "%u of 1000 records were received", all.count);
	driver->consumer_free(whole);
	driver->producer_free(producer);
	delete ();
}

/* Without acknowledgements every record still ends, and is received by those who read. */
static void unacknowledged(void)
{
	target.acks = DRIVER_ACKS_NONE;
	spread();
}

/* An id that the topic remembers is stored once, whoever is told of it. */
static void dedup(void)
{
	struct driver_consumer *reader;
	struct driver_producer *producer;
	unsigned round, i;

	target.dedup = true;
	create(1);
	all.unordered = true;
	reader = open_consumer(&all, NULL, 0, 1, false);
	for (round = 0; round < 2; round++) {
		producer = open_producer(&written);
		for (i = 0; i < 100; i++)
			expect(produce_one(producer, i, 0) == 0, "record %u was not taken", i);
		expect(driver->producer_flush(producer, LIMIT_S * 1000) == 0, "under way");
		expect(written.stored == 100, "%u were delivered", written.stored);
		driver->producer_free(producer);
	}
	read_until(&reader, 1, &all, 100);
	driver->consumer_free(reader);
	delete ();
}

/* A full window takes nothing, and has room again when an answer has come. */
static void window(void)
{
	struct driver_producer *producer;
	time_t limit_s = now_s() + LIMIT_S;
	unsigned i;
	int rc;

	target.window = WINDOW;
	create(1);
	producer = open_producer(&written);
	for (i = 0; i < WINDOW; i++)
		expect(produce_one(producer, i, 0) == 0, "record %u was not taken", i);
	expect(produce_one(producer, WINDOW, 0) == -EAGAIN, "the window is not full");
	do {
		rc = driver->producer_poll(producer, POLL_US);
		expect(rc >= 0 && now_s() < limit_s, "no answer");
	} while (!rc);
	for (i = WINDOW; i < 20 * WINDOW; i += rc == 0) {
		rc = produce_one(producer, i, 0);
		expect(rc == 0 || rc == -EAGAIN, "produce: %s", strerror(-rc));
		if (rc < 0)
			driver->producer_poll(producer, POLL_US);
		expect(now_s() < limit_s, "the window stays full");
	}
	expect(driver->producer_flush(producer, LIMIT_S * 1000) == 0, "records are under way");
	expect(written.stored == 20 * WINDOW, "%u were delivered", written.stored);
	driver->producer_free(producer);
	delete ();
}

/* No call hangs when the broker is gone, each says so, and no record is left without its end. */
static void killed(void)
{
	struct driver_consumer *consumer;
	struct driver_producer *producer;
	time_t limit_s;
	char line[8];
	unsigned i;
	int rc = 0;

	create(1);
	consumer = open_consumer(&all, NULL, 0, 1, false);
	producer = open_producer(&written);
	for (i = 0; i < 4; i++)
		expect(produce_one(producer, i, 0) == 0, "record %u was not taken", i);
	expect(driver->producer_flush(producer, LIMIT_S * 1000) == 0, "records are under way");
	printf("kill\n");
	fflush(stdout);
	expect(fgets(line, sizeof(line), stdin), "nobody killed the broker");
	limit_s = now_s() + LIMIT_S;
	for (; rc >= 0 && i < 1000; i += rc == 0)
		rc = produce_one(producer, i, 0);
	while (!written.failed && rc >= 0 && now_s() < limit_s)
		rc = driver->producer_poll(producer, POLL_US);
	expect(written.failed || rc < 0, "the producer has not noticed");
	driver->producer_flush(producer, 1000);
	do
		rc = driver->consumer_poll(consumer, POLL_US);
	while (rc >= 0 && now_s() < limit_s);
	expect(rc < 0, "the consumer has not noticed");
	driver->consumer_free(consumer);
	driver->producer_free(producer);
}

/* Errors that are told at once. */
static void refused(void)
{
	struct driver_consumer_options options = {
		.topics = topics, .share_count = 1, .received = received, .context = &all};
	static const char *const unknown[] = {"no.such.setting=1", NULL};
	struct driver_target elsewhere = target;
	struct driver_consumer *consumer = NULL;
	struct driver_producer *producer = NULL;

	create(1);
	expect(driver->topic_create(&target, topic, 1, NULL) < 0, "the topic was made twice");
	expect(driver->topic_create(&target, "other", 1, unknown) < 0, "%s", unknown[0]);
	delete ();
	expect(driver->topic_delete(&target, topic) < 0, "the topic was deleted twice");
	expect(driver->consumer_new(&target, &options, &consumer) < 0, "a consumer of nothing");
	elsewhere.settings = unknown;
	expect(driver->producer_new(&elsewhere, delivered, &written, &producer) < 0, "%s",
	       unknown[0]);
	expect(driver->consumer_new(&elsewhere, &options, &consumer) < 0, "%s", unknown[0]);
	elsewhere = target;
	elsewhere.url = "127.0.0.1:1";
	expect(driver->producer_new(&elsewhere, delivered, &written, &producer) < 0,
	       "a producer of nobody");
	expect(!producer && !consumer, "a failed call has set its result");
	driver->producer_free(NULL);
	driver->consumer_free(NULL);
}

static const struct {
	const char *name;
	void (*run)(void);
} steps[] = {
	{"exchange", exchange}, {"leaving", leaving}, {"group", group},
	{"spread", spread},     {"window", window},   {"unacknowledged", unacknowledged},
	{"dedup", dedup},       {"killed", killed},   {"refused", refused},
};

int main(int argc, char **argv)
{
	size_t i;

	signal(SIGPIPE, SIG_IGN); /* as sluice-bench has it */
	expect(argc >= 4, "usage: driver_check DRIVER URL STEP [KEY=VALUE]...");
	driver = driver_find(argv[1]);
	if (!driver) {
		printf("driver %s was not built\n", argv[1]);
		return 77;
	}
	target.url = argv[2];
	target.settings = (const char *const *)argv + 4;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!strcmp(steps[i].name, argv[3])) {
			steps[i].run();
			return 0;
		}
	expect(false, "no step %s", argv[3]);
}
