#include "tests/control/consumer_world.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { LIST_MAX = 64, TEXT_BYTES = 4096 };

static const struct topic *topic_named(const struct world *world, const char *name, size_t length)
{
	for (size_t i = 0; i < world->topics.count; i++) {
		if (strlen(world->rows[i]->name) == length &&
		    memcmp(world->rows[i]->name, name, length) == 0)
			return world->rows[i];
	}
	fail_msg("no topic %.*s", (int)length, name);
	return NULL;
}

/* The next item of a list, which `*at` is moved past; null at the end. */
static const char *next_item(const char **at, char separator, size_t *ret_length)
{
	const char *item = *at;
	const char *end = strchr(item, separator);

	if (!*item)
		return NULL;
	*ret_length = end ? (size_t)(end - item) : strlen(item);
	*at = end ? end + 1 : item + *ret_length;
	return item;
}

static void put_topics(struct world_request *ask,
		       struct kafka_consumer_group_heartbeat_request *message, const char *topics)
{
	const char *item;
	size_t length;

	message->subscribed_topic_names = world_alloc(ask, LIST_MAX,
						      sizeof(*message->subscribed_topic_names));
	message->subscribed_topic_names_count = 0;
	while ((item = next_item(&topics, ',', &length)))
		message->subscribed_topic_names[message->subscribed_topic_names_count++] =
			(struct kafka_string){item, (int32_t)length};
}

static void put_owned(struct world_request *ask,
		      struct kafka_consumer_group_heartbeat_request *message, const char *owned)
{
	const char *item;
	size_t length;

	message->topic_partitions = world_alloc(ask, LIST_MAX, sizeof(*message->topic_partitions));
	message->topic_partitions_count = 0;
	while ((item = next_item(&owned, ' ', &length))) {
		struct kafka_consumer_group_heartbeat_request_topic_partitions *row =
			&message->topic_partitions[message->topic_partitions_count++];
		const char *colon = memchr(item, ':', length);
		assert_non_null(colon);
		row->topic_id = topic_named(ask->world, item, (size_t)(colon - item))->id;
		row->partitions = world_alloc(ask, LIST_MAX, sizeof(int32_t));
		for (char *at = (char *)(uintptr_t)colon; at < item + length;)
			row->partitions[row->partitions_count++] = (int32_t)strtol(at + 1, &at, 10);
	}
}

struct world_request *beat_send(struct world *world, struct beat beat)
{
	struct world_request *ask = world_ask(world, KAFKA_CONSUMER_GROUP_HEARTBEAT,
					      beat.v0 ? 0 : 1);
	struct kafka_consumer_group_heartbeat_request *message = ask->message;

	message->group_id = kafka_string_of(beat.group ? beat.group : "g");
	message->member_id = kafka_string_of(beat.member ? beat.member : "");
	message->member_epoch = beat.epoch;
	message->instance_id = kafka_string_of(beat.instance);
	message->rack_id = kafka_string_of(beat.rack);
	message->subscribed_topic_regex = kafka_string_of(beat.regex);
	message->server_assignor = kafka_string_of(beat.assignor);
	if (beat.client)
		ask->request.client_id = kafka_string_of(beat.client);
	if (beat.rebalance_ms)
		message->rebalance_timeout_ms = beat.rebalance_ms;
	if (beat.topics)
		put_topics(ask, message, beat.topics);
	if (beat.owned)
		put_owned(ask, message, beat.owned);
	world_send(ask);
	return ask;
}

heartbeat_answer *beat(struct world *world, struct beat beat)
{
	return world_answer(beat_send(world, beat));
}

heartbeat_answer *join(struct world *world, const char *member, const char *topics)
{
	return beat(world, (struct beat){.member = member,
					 .topics = topics,
					 .owned = "",
					 .rebalance_ms = 60000});
}

heartbeat_answer *alive(struct world *world, const char *member, int32_t epoch)
{
	return beat(world, (struct beat){.member = member, .epoch = epoch});
}

heartbeat_answer *alive_owning(struct world *world, const char *member, int32_t epoch,
			       const char *owned)
{
	return beat(world, (struct beat){.member = member, .epoch = epoch, .owned = owned});
}

heartbeat_answer *leave(struct world *world, const char *member)
{
	return beat(world, (struct beat){.member = member, .epoch = -1});
}

static const char *name_of(const struct world *world, const struct uuid *id)
{
	for (size_t i = 0; i < world->topics.count; i++) {
		if (uuid_equal(&world->rows[i]->id, id))
			return world->rows[i]->name;
	}
	return "?";
}

const char *assigned(const struct world *world, const heartbeat_answer *answer)
{
	static char text[TEXT_BYTES];
	size_t used = 0;

	text[0] = '\0';
	for (int32_t i = 0; i < answer->assignment.topic_partitions_count; i++) {
		const struct kafka_consumer_group_heartbeat_response_topic_partitions *row =
			&answer->assignment.topic_partitions[i];
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
					 name_of(world, &row->topic_id));
		for (int32_t p = 0; p < row->partitions_count; p++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%c%d",
						 p ? ',' : ':', row->partitions[p]);
	}
	assert_true(used < sizeof(text));
	return answer->has_assignment ? text : "unchanged";
}

void expect(const struct world *world, const heartbeat_answer *answer, int32_t epoch,
	    const char *assignment)
{
	if (answer->error_code)
		fail_msg("error %d: %.*s", answer->error_code, answer->error_message.length,
			 answer->error_message.data);
	assert_int_equal(answer->member_epoch, epoch);
	assert_string_equal(assigned(world, answer), assignment);
}

void expect_refused(const heartbeat_answer *answer, enum kafka_error error)
{
	assert_int_equal(answer->error_code, error);
	assert_true(answer->error_message.length > 0);
	assert_false(answer->has_assignment);
}

const described_group *describe(struct world *world, const char *group)
{
	struct world_request *ask = world_ask(world, KAFKA_CONSUMER_GROUP_DESCRIBE, 1);
	struct kafka_consumer_group_describe_request *message = ask->message;
	const struct kafka_consumer_group_describe_response *answer;

	message->group_ids = world_alloc(ask, 1, sizeof(*message->group_ids));
	message->group_ids[0] = kafka_string_of(group);
	message->group_ids_count = 1;
	world_send(ask);
	answer = world_answer(ask);
	assert_int_equal(answer->groups_count, 1);
	return &answer->groups[0];
}

void expect_state(struct world *world, const char *state)
{
	const described_group *group = describe(world, "g");
	struct kafka_string wanted = kafka_string_of(state);

	if (!kafka_string_equal(&group->group_state, &wanted))
		fail_msg("%.*s, not %s", group->group_state.length, group->group_state.data, state);
}

const char *appended_types(const struct world *world, size_t first)
{
	static char text[TEXT_BYTES];
	const struct world_records *records = &world->log.partitions[0];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = first; i < records->count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u%s",
					 i > first ? " " : "", load_be16(records->records[i].key),
					 records->records[i].value ? "" : "-");
	assert_true(used < sizeof(text));
	return text;
}
