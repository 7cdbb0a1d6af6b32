/* A byte of choice, then a subscription or an assignment as consumers of the classic protocol put
 * them into opaque bytes.  What an assignment means is written at every version, and read the
 * same.  The client's reader, which knows no topics, takes the same bytes too. */
#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "client/membership.h"
#include "control/groups/consumer_protocol.h"
#include "dataplane/topics.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>

enum { ASSIGNMENT = 0x01, NO_TOPICS = 0x02, VERSIONS = 4, ARENA_BYTES_MAX = 1 << 20 };

static const struct topics *two_topics(void)
{
	static struct topic rows[] = {
		{.name = "a", .id = {{1}}, .partition_count = 3},
		{.name = "t", .id = {{2}}, .partition_count = 70},
	};
	static const struct topic *sorted[] = {&rows[0], &rows[1]};
	static const struct topics topics = {.count = 2, .by_name = sorted, .by_id = sorted};

	return &topics;
}

static void check_sorted(const struct partition_set *set)
{
	for (size_t i = 1; i < set->count; i++) {
		const struct topic_partition *a = &set->items[i - 1], *b = &set->items[i];
		int order = memcmp(&a->topic, &b->topic, sizeof(a->topic));
		check(order < 0 || (order == 0 && a->index < b->index));
	}
}

static void try_subscription(const struct kafka_bytes *bytes, const struct topics *topics,
			     struct arena *arena)
{
	struct consumer_protocol_subscription read = {0};
	int rc = consumer_protocol_read_subscription(bytes, topics, arena, &read);

	check(rc == 0 || rc == -ERR_BAD_REQUEST || rc == -ENOMEM);
	if (rc < 0)
		return;
	check(read.version == consumer_protocol_version(bytes));
	check(read.topic_count >= 0 && read.topic_count <= bytes->length / 2);
	for (int32_t i = 0; i < read.topic_count; i++)
		check(read.topics[i].length >= 0);
	check_sorted(&read.owned);
}

static void write_and_read(const struct partition_set *partitions, int16_t version,
			   const struct topics *topics, struct arena *arena)
{
	struct consumer_protocol_assignment again = {0};
	struct kafka_bytes written;

	check(consumer_protocol_write_assignment(partitions, version, topics, arena, &written) ==
	      0);
	check(consumer_protocol_read_assignment(&written, topics, arena, &again) == 0);
	check(partition_set_equal(&again.partitions, partitions));
	check(consumer_protocol_version(&written) == version);
}

static void try_assignment(const struct kafka_bytes *bytes, const struct topics *topics,
			   struct arena *arena)
{
	struct consumer_protocol_assignment read = {0};
	int rc = consumer_protocol_read_assignment(bytes, topics, arena, &read);

	check(rc == 0 || rc == -ERR_BAD_REQUEST || rc == -ENOMEM);
	if (rc < 0)
		return;
	check_sorted(&read.partitions);
	for (int version = 0; version < VERSIONS; version++)
		write_and_read(&read.partitions, (int16_t)version, topics, arena);
}

static void try_client(const struct kafka_bytes *bytes, struct arena *arena)
{
	struct assigned_list list = {0};
	const char *const *topics;
	size_t count;

	int rc = membership_read_topics(bytes, arena, &topics, &count);
	check(rc == 0 || rc == -ERR_BAD_REQUEST || rc == -ENOMEM);
	for (size_t i = 0; rc == 0 && i < count; i++)
		check(strlen(topics[i]) <= (size_t)bytes->length);
	rc = membership_read_assignment(bytes, arena, &list);
	check(rc == 0 || rc == -ERR_BAD_REQUEST || rc == -ENOMEM);
	for (size_t i = 0; rc == 0 && i < list.count; i++)
		check(strlen(list.at[i].topic) <= (size_t)bytes->length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	uint8_t choice = input_u8(&input);
	struct kafka_bytes bytes = {.data = input.at, .length = (int32_t)input.left};
	const struct topics *topics = choice & NO_TOPICS ? NULL : two_topics();
	struct arena arena;

	arena_init(&arena, ARENA_BYTES_MAX);
	if (choice & ASSIGNMENT)
		try_assignment(&bytes, topics, &arena);
	else
		try_subscription(&bytes, topics, &arena);
	try_client(&bytes, &arena);
	arena_fini(&arena);
	return 0;
}
