#include "tests/control/classic_consumers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { PARTITIONS_MAX = 32 };

/* ---- the opaque bytes ---- */

static char *put_i16(char *at, int value)
{
	at[0] = (char)(value >> 8);
	at[1] = (char)value;
	return at + 2;
}

static char *put_i32(char *at, int value)
{
	return put_i16(put_i16(at, value >> 16), value);
}

/* An array of one topic, or of none. */
static char *put_partitions(char *at, uint32_t partitions)
{
	at = put_i32(at, partitions ? 1 : 0);
	if (!partitions)
		return at;
	at = put_i16(at, 1);
	*at++ = 't';
	at = put_i32(at, __builtin_popcount(partitions));
	for (int p = 0; p < PARTITIONS_MAX; p++) {
		if (partitions & 1u << p)
			at = put_i32(at, p);
	}
	return at;
}

/* ConsumerProtocolSubscription of version 3: no user data, no rack. */
static void put_subscription(struct classic_consumer *consumer)
{
	char *at = put_i32(put_i16(consumer->metadata, 3), 1);

	at = put_i16(at, 1);
	*at++ = 't';
	at = put_partitions(put_i32(at, -1), consumer->owned);
	at = put_i16(put_i32(at, consumer->client.generation), -1);
	consumer->client.metadata = consumer->metadata;
	consumer->client.metadata_bytes = (int32_t)(at - consumer->metadata);
}

static int get_i32(const uint8_t **at)
{
	const uint8_t *from = *at;

	*at += 4;
	return (int)((uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 |
		     from[3]);
}

/* Of the topic "t" alone. */
static uint32_t assigned_of(const struct kafka_bytes *assignment)
{
	const uint8_t *at = assignment->data + 2;
	uint32_t partitions = 0;

	if (assignment->length == 0)
		return 0;
	assert_true(assignment->length >= 10);
	for (int topics = get_i32(&at); topics > 0; topics--) {
		assert_memory_equal(at, "\0\1t", 3);
		at += 3;
		for (int count = get_i32(&at); count > 0; count--)
			partitions |= 1u << get_i32(&at);
	}
	assert_int_equal(get_i32(&at), -1);
	assert_ptr_equal(at, assignment->data + assignment->length);
	return partitions;
}

/* ---- requests ---- */

struct classic_consumer classic_consumer_of(struct world *world, bool cooperative)
{
	struct classic_consumer consumer = {.client = client_of(world, "g"),
					    .cooperative = cooperative};

	consumer.client.protocols[0] = cooperative ? "cooperative-sticky" : "range";
	consumer.client.protocols[1] = cooperative ? "range" : NULL;
	return consumer;
}

static void prepare_join(struct classic_consumer *consumer)
{
	if (!consumer->cooperative)
		consumer->owned = 0;
	put_subscription(consumer);
}

void classic_consumer_send_join(struct classic_consumer *consumer)
{
	prepare_join(consumer);
	client_enter(&consumer->client);
}

void classic_consumer_begin_join(struct classic_consumer *consumer)
{
	prepare_join(consumer);
	client_send_join(&consumer->client);
}

int16_t classic_consumer_joined(struct classic_consumer *consumer)
{
	int16_t error = client_joined(&consumer->client);

	if (error == KAFKA_UNKNOWN_MEMBER_ID || error == KAFKA_FENCED_INSTANCE_ID) {
		consumer->client.id[0] = '\0';
		consumer->owned = 0;
	}
	return error;
}

int16_t classic_consumer_synced(struct classic_consumer *consumer)
{
	const struct kafka_sync_group_response *answer = world_answer(consumer->client.sync);

	consumer->client.sync = NULL;
	if (answer->error_code == KAFKA_NONE) {
		uint32_t assigned = assigned_of(&answer->assignment);
		consumer->lost = consumer->owned & ~assigned;
		consumer->owned = assigned;
	}
	return answer->error_code;
}

int16_t classic_consumer_sync(struct classic_consumer *consumer)
{
	client_send_sync(&consumer->client, NULL, 0, NULL);
	return classic_consumer_synced(consumer);
}

void classic_consumer_come(struct classic_consumer *consumer)
{
	do {
		classic_consumer_send_join(consumer);
		assert_int_equal(classic_consumer_joined(consumer), KAFKA_NONE);
		assert_int_equal(classic_consumer_sync(consumer), KAFKA_NONE);
	} while (consumer->cooperative && consumer->lost);
}

/* ---- a classic group ---- */

/* The `index`th of `count` has every `count`th partition. */
static void put_share(struct world_request *ask, const struct kafka_string *member_id,
		      int32_t index, int32_t count, int32_t partitions)
{
	struct kafka_sync_group_request *message = ask->message;
	char *bytes = world_alloc(ask, 1, CLASSIC_METADATA_BYTES);
	uint32_t share = 0;

	for (int32_t p = index; p < partitions; p += count)
		share |= 1u << p;
	char *end = put_i32(put_partitions(put_i16(bytes, 1), share), -1);
	message->assignments[index].member_id = *member_id;
	message->assignments[index].assignment = (struct kafka_bytes){(const uint8_t *)bytes,
								      (int32_t)(end - bytes)};
}

/* The caller puts the shares of `count`, and sends it. */
static struct world_request *ask_leader_sync(struct client *leader, int32_t count)
{
	struct world_request *ask = world_ask(leader->world, KAFKA_SYNC_GROUP, 5);
	struct kafka_sync_group_request *message = ask->message;

	message->group_id = kafka_string_of(leader->group);
	message->generation_id = leader->generation;
	message->member_id = kafka_string_of(leader->id);
	message->group_instance_id = kafka_string_of(leader->instance);
	message->protocol_type = kafka_string_of(leader->type);
	message->protocol_name = kafka_string_of(leader->protocol);
	message->assignments = world_alloc(ask, (size_t)count, sizeof(*message->assignments));
	message->assignments_count = count;
	leader->sync = ask;
	return ask;
}

static void send_leader_sync(struct classic_consumer *const *consumers, size_t count,
			     int32_t partitions, struct client *leader)
{
	struct world_request *ask = ask_leader_sync(leader, (int32_t)count);

	for (size_t i = 0; i < count; i++) {
		const struct kafka_string id = kafka_string_of(consumers[i]->client.id);
		put_share(ask, &id, (int32_t)i, (int32_t)count, partitions);
	}
	world_send(ask);
}

void classic_consumer_send_assignment(struct classic_consumer *consumer,
				      const struct kafka_join_group_response *joined,
				      int32_t partitions)
{
	struct world_request *ask = ask_leader_sync(&consumer->client, joined->members_count);

	for (int32_t i = 0; i < joined->members_count; i++)
		put_share(ask, &joined->members[i].member_id, i, joined->members_count, partitions);
	world_send(ask);
}

void classic_consumers_assign(struct classic_consumer *const *consumers, size_t count,
			      int32_t partitions)
{
	for (size_t i = 0; i < count; i++) {
		struct client *client = &consumers[i]->client;
		if (client_leads(client))
			send_leader_sync(consumers, count, partitions, client);
		else
			client_send_sync(client, NULL, 0, NULL);
	}
	for (size_t i = 0; i < count; i++)
		assert_int_equal(classic_consumer_synced(consumers[i]), KAFKA_NONE);
	assert_string_equal(group_state(consumers[0]->client.world, "g"), "Stable");
}

void classic_consumers_settle(struct classic_consumer *const *consumers, size_t count,
			      int32_t partitions)
{
	for (size_t i = 0; i < count; i++)
		classic_consumer_send_join(consumers[i]);
	/* The first one was alone when it came. */
	if (count > 1) {
		assert_int_equal(classic_consumer_joined(consumers[0]), KAFKA_NONE);
		classic_consumer_send_join(consumers[0]);
	}
	for (size_t i = 0; i < count; i++)
		assert_int_equal(classic_consumer_joined(consumers[i]), KAFKA_NONE);
	classic_consumers_assign(consumers, count, partitions);
}
