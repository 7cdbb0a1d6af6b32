#include "control/groups/consumer_protocol.h"

#include "base/arena.h"
#include "base/bytes.h"
#include "base/errors.h"
#include "dataplane/topics.h"

#include <errno.h>
#include <string.h>

enum { VERSION_MAX = 3, FIRST_WITH_OWNED = 1, FIRST_WITH_GENERATION = 2, FIRST_WITH_RACK = 3 };

/* ---- reading ---- */

static int16_t get_version(struct wire_reader *r)
{
	int16_t version = wire_get_i16(r);

	if (version < 0)
		wire_fail(r, -ERR_BAD_REQUEST);
	return version > VERSION_MAX ? VERSION_MAX : version;
}

static void get_names(struct wire_reader *r, struct consumer_protocol_subscription *ret)
{
	void *names;

	ret->topic_count = wire_get_array(r, false, false, 2, sizeof(*ret->topics), &names);
	ret->topics = names;
	for (int32_t i = 0; i < ret->topic_count; i++)
		ret->topics[i] = wire_get_string(r, false, false);
}

/* Of one topic; what does not exist is nobody's. */
static void get_indices(struct wire_reader *r, const struct topic *topic, struct partition_set *set)
{
	int32_t count = wire_get_i32(r);

	if (count < 0)
		wire_fail(r, -ERR_BAD_REQUEST);
	for (int32_t i = 0; i < count && wire_ok(r); i++) {
		int32_t index = wire_get_i32(r);
		if (wire_ok(r) && topic && index >= 0 && index < topic->partition_count)
			set->items[set->count++] = (struct topic_partition){topic->id, index};
	}
}

static void get_partitions(struct wire_reader *r, const struct topics *topics,
			   struct partition_set *ret)
{
	const size_t most = (size_t)(r->end - r->at) / sizeof(int32_t);
	int32_t count = wire_get_i32(r);

	ret->items = arena_alloc_array(r->arena, most + 1, sizeof(*ret->items));
	if (!ret->items)
		wire_fail(r, -ENOMEM);
	if (count < 0)
		wire_fail(r, -ERR_BAD_REQUEST);
	for (int32_t i = 0; i < count && wire_ok(r); i++) {
		struct kafka_string name = wire_get_string(r, false, false);
		bool named = wire_ok(r) && topics && name.length > 0;
		get_indices(r, named ? topics_find(topics, name.data, (size_t)name.length) : NULL,
			    ret);
	}
	if (wire_ok(r))
		partition_set_sort(ret);
}

int consumer_protocol_read_subscription(const struct kafka_bytes *bytes,
					const struct topics *topics, struct arena *arena,
					struct consumer_protocol_subscription *ret)
{
	const size_t length = bytes->length > 0 ? (size_t)bytes->length : 0;
	struct wire_reader r = wire_reader_over(bytes->data, length, arena);
	struct consumer_protocol_subscription read = {.rack_id.length = -1};

	read.version = get_version(&r);
	get_names(&r, &read);
	wire_get_bytes(&r, false, true); /* for the client's assignor */
	if (read.version >= FIRST_WITH_OWNED)
		get_partitions(&r, topics, &read.owned);
	if (read.version >= FIRST_WITH_GENERATION)
		wire_get_i32(&r);
	if (read.version >= FIRST_WITH_RACK)
		read.rack_id = wire_get_string(&r, false, true);
	if (wire_ok(&r))
		*ret = read;
	return r.error;
}

int consumer_protocol_read_assignment(const struct kafka_bytes *bytes, const struct topics *topics,
				      struct arena *arena, struct consumer_protocol_assignment *ret)
{
	const size_t length = bytes->length > 0 ? (size_t)bytes->length : 0;
	struct wire_reader r = wire_reader_over(bytes->data, length, arena);
	struct consumer_protocol_assignment read = {0};

	if (length > 0) {
		get_version(&r);
		get_partitions(&r, topics, &read.partitions);
		read.user_data = wire_get_bytes(&r, false, true).length > 0;
	}
	if (wire_ok(&r))
		*ret = read;
	return r.error;
}

int16_t consumer_protocol_version(const struct kafka_bytes *bytes)
{
	const size_t length = bytes->length > 0 ? (size_t)bytes->length : 0;
	struct wire_reader r = wire_reader_over(bytes->data, length, NULL);
	const int16_t version = get_version(&r);

	return wire_ok(&r) ? version : 0;
}

/* ---- writing ---- */

/* Without the topics that are gone, whose names nobody knows. */
static const struct topic *find(const struct topics *topics, const struct wire_topic *row)
{
	return topics ? topics_find_id(topics, &row->topic_id) : NULL;
}

static size_t bytes_of(const struct wire_topic *rows, int32_t count, const struct topics *topics)
{
	size_t bytes = sizeof(int16_t) + 2 * sizeof(int32_t); /* version, count, no user data */

	for (int32_t i = 0; i < count; i++) {
		const struct topic *topic = find(topics, &rows[i]);
		if (topic)
			bytes += sizeof(int16_t) + strlen(topic->name) +
				 sizeof(int32_t) * (1 + (size_t)rows[i].partitions_count);
	}
	return bytes;
}

static uint8_t *put_i32(uint8_t *at, int32_t value)
{
	wire_i32_to(at, value);
	return at + sizeof(value);
}

static uint8_t *put_topic(uint8_t *at, const struct topic *topic, const struct wire_topic *row)
{
	const size_t length = strlen(topic->name);

	wire_i16_to(at, (int16_t)length);
	bytes_copy(at + sizeof(int16_t), topic->name, length);
	at = put_i32(at + sizeof(int16_t) + length, row->partitions_count);
	for (int32_t i = 0; i < row->partitions_count; i++)
		at = put_i32(at, row->partitions[i]);
	return at;
}

int consumer_protocol_write_assignment(const struct partition_set *partitions, int16_t version,
				       const struct topics *topics, struct arena *arena,
				       struct kafka_bytes *ret)
{
	struct wire_topic *rows;
	int32_t count, written = 0;
	int rc = partition_set_to_wire(partitions, arena, &rows, &count);

	if (rc < 0)
		return rc;
	const size_t bytes = bytes_of(rows, count, topics);
	uint8_t *data = arena_alloc(arena, bytes);
	if (!data)
		return -ENOMEM;
	wire_i16_to(data, version);
	uint8_t *at = data + sizeof(int16_t) + sizeof(int32_t);
	for (int32_t i = 0; i < count; i++) {
		const struct topic *topic = find(topics, &rows[i]);
		if (!topic)
			continue;
		at = put_topic(at, topic, &rows[i]);
		written++;
	}
	put_i32(data + sizeof(int16_t), written);
	put_i32(at, -1);
	*ret = (struct kafka_bytes){data, (int32_t)bytes};
	return 0;
}
