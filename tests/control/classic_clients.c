#include "tests/control/classic_clients.h"

#include "control/groups/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* ConsumerProtocolSubscription: version 0, one topic, "t", no user data. */
static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};

struct client client_of(struct world *world, const char *group)
{
	return (struct client){
		.world = world,
		.group = group,
		.type = "consumer",
		.protocols = {"range"},
		.session_ms = 10 * 1000,
		.rebalance_ms = 60 * 1000,
		.version = 9,
		.generation = -1,
	};
}

/* Of the time of that JoinGroup. */
static int16_t version_of(const struct client *client, int16_t flexible, int16_t with_instance)
{
	return client->version >= 7 ? flexible : client->version >= 5 ? with_instance : 0;
}

static void take_text(char to[static CLIENT_TEXT_BYTES], const struct kafka_string *text)
{
	const int length = text->length > 0 ? text->length : 0;

	assert_true(length < CLIENT_TEXT_BYTES);
	snprintf(to, CLIENT_TEXT_BYTES, "%.*s", length, length ? text->data : "");
}

static int32_t metadata_bytes(const struct client *client)
{
	return client->metadata_bytes ? client->metadata_bytes : (int32_t)strlen(client->metadata);
}

static void put_protocols(const struct client *client, struct world_request *ask)
{
	struct kafka_join_group_request *message = ask->message;

	message->protocols = world_alloc(ask, CLIENT_PROTOCOLS_MAX, sizeof(*message->protocols));
	for (int i = 0; i < CLIENT_PROTOCOLS_MAX && client->protocols[i]; i++) {
		message->protocols[i].name = kafka_string_of(client->protocols[i]);
		message->protocols[i].metadata =
			client->metadata ? (struct kafka_bytes){(const uint8_t *)client->metadata,
								metadata_bytes(client)}
					 : (struct kafka_bytes){subscription, sizeof(subscription)};
		message->protocols_count++;
	}
}

/* The client's text may change before the request is sent home. */
static struct kafka_string own_id(const struct client *client, struct world_request *ask)
{
	char *copy = world_alloc(ask, 1, CLIENT_TEXT_BYTES);

	memcpy(copy, client->id, CLIENT_TEXT_BYTES);
	return kafka_string_of(copy);
}

void client_send_join(struct client *client)
{
	struct world_request *ask = world_ask(client->world, KAFKA_JOIN_GROUP, client->version);
	struct kafka_join_group_request *message = ask->message;

	message->group_id = kafka_string_of(client->group);
	message->session_timeout_ms = client->session_ms;
	message->rebalance_timeout_ms = client->rebalance_ms;
	message->member_id = own_id(client, ask);
	message->group_instance_id = kafka_string_of(client->instance);
	message->protocol_type = kafka_string_of(client->type);
	put_protocols(client, ask);
	client->join = ask;
	world_send(ask);
}

int16_t client_joined(struct client *client)
{
	const struct kafka_join_group_response *answer = world_answer(client->join);

	client->join = NULL;
	if (answer->error_code == KAFKA_NONE || answer->error_code == KAFKA_MEMBER_ID_REQUIRED)
		take_text(client->id, &answer->member_id);
	take_text(client->leader, &answer->leader);
	take_text(client->protocol, &answer->protocol_name);
	client->generation = answer->generation_id;
	client->members_count = answer->members_count;
	client->skip_assignment = answer->skip_assignment;
	return answer->error_code;
}

void client_enter(struct client *client)
{
	client_send_join(client);
	if (client->id[0] || client->instance || client->version < 4)
		return;
	assert_int_equal(client_joined(client), KAFKA_MEMBER_ID_REQUIRED);
	client_send_join(client);
}

bool client_leads(const struct client *client)
{
	return client->id[0] && strcmp(client->id, client->leader) == 0;
}

static void put_assignments(struct world_request *ask, const struct client *const *members,
			    size_t count, const char *name)
{
	struct kafka_sync_group_request *message = ask->message;

	message->assignments = world_alloc(ask, count, sizeof(*message->assignments));
	for (size_t i = 0; i < count; i++) {
		char *text = world_alloc(ask, 1, CLIENT_TEXT_BYTES);
		const int length = snprintf(text, CLIENT_TEXT_BYTES, "%s:%zu", name, i);

		message->assignments[i].member_id = own_id(members[i], ask);
		message->assignments[i].assignment = (struct kafka_bytes){(const uint8_t *)text,
									  length};
		message->assignments_count++;
	}
}

void client_send_sync(struct client *client, const struct client *const *members, size_t count,
		      const char *name)
{
	struct world_request *ask = world_ask(client->world, KAFKA_SYNC_GROUP,
					      version_of(client, 5, 3));
	struct kafka_sync_group_request *message = ask->message;

	message->group_id = kafka_string_of(client->group);
	message->generation_id = client->generation;
	message->member_id = own_id(client, ask);
	message->group_instance_id = kafka_string_of(client->instance);
	message->protocol_type = kafka_string_of(client->type);
	message->protocol_name = kafka_string_of(client->protocol);
	if (members)
		put_assignments(ask, members, count, name);
	client->sync = ask;
	world_send(ask);
}

int16_t client_synced(struct client *client, char assignment[static CLIENT_TEXT_BYTES])
{
	const struct kafka_sync_group_response *answer = world_answer(client->sync);
	const struct kafka_string text = {(const char *)answer->assignment.data,
					  answer->assignment.length};

	client->sync = NULL;
	take_text(assignment, &text);
	return answer->error_code;
}

int16_t client_heartbeat(struct client *client)
{
	struct world_request *ask = world_ask(client->world, KAFKA_HEARTBEAT,
					      version_of(client, 4, 3));
	struct kafka_heartbeat_request *message = ask->message;

	message->group_id = kafka_string_of(client->group);
	message->generation_id = client->generation;
	message->member_id = own_id(client, ask);
	message->group_instance_id = kafka_string_of(client->instance);
	world_send(ask);
	return ((struct kafka_heartbeat_response *)world_answer(ask))->error_code;
}

static int16_t leave(struct world *world, const char *group, const char *id, const char *instance,
		     int16_t version)
{
	struct world_request *ask = world_ask(world, KAFKA_LEAVE_GROUP, version);
	struct kafka_leave_group_request *message = ask->message;

	message->group_id = kafka_string_of(group);
	message->member_id = kafka_string_of(id);
	message->members = world_alloc(ask, 1, sizeof(*message->members));
	message->members_count = 1;
	message->members[0].member_id = kafka_string_of(id);
	message->members[0].group_instance_id = kafka_string_of(instance);
	world_send(ask);
	const struct kafka_leave_group_response *answer = world_answer(ask);
	return version < 3 || answer->error_code ? answer->error_code
						 : answer->members[0].error_code;
}

int16_t client_leave(struct client *client)
{
	return leave(client->world, client->group, client->id, client->instance,
		     version_of(client, 5, 3));
}

int16_t client_expel(struct world *world, const char *group, const char *instance)
{
	return leave(world, group, "", instance, 5);
}

void clients_settle(struct client *const *clients, size_t count)
{
	char assignment[CLIENT_TEXT_BYTES];

	for (size_t i = 0; i < count; i++)
		client_enter(clients[i]);
	/* One that was alone when it came has to come again. */
	for (size_t i = 0; i < count; i++) {
		if (clients[i]->join->answered && count > 1) {
			assert_int_equal(client_joined(clients[i]), KAFKA_NONE);
			client_send_join(clients[i]);
		}
	}
	if (!clients[0]->join->answered)
		world_advance(clients[0]->world, clients[0]->rebalance_ms);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(client_joined(clients[i]), KAFKA_NONE);
	for (size_t i = count; i-- > 0;)
		client_send_sync(clients[i],
				 client_leads(clients[i]) ? (const struct client *const *)clients
							  : NULL,
				 count, "a");
	for (size_t i = 0; i < count; i++)
		assert_int_equal(client_synced(clients[i], assignment), KAFKA_NONE);
	assert_string_equal(group_state(clients[0]->world, clients[0]->group), "Stable");
}

struct group *group_of(struct world *world, const char *group)
{
	const struct kafka_string id = kafka_string_of(group);

	return group_find(world->groups, &id);
}

const char *group_state(struct world *world, const char *group)
{
	const struct group *found = group_of(world, group);

	return found ? found->kind->state(found) : "";
}

struct kafka_describe_groups_response_described_group *group_described(struct world *world,
								       const char *group)
{
	struct world_request *ask = world_ask(world, KAFKA_DESCRIBE_GROUPS, 6);
	struct kafka_describe_groups_request *message = ask->message;

	message->groups = world_alloc(ask, 1, sizeof(*message->groups));
	message->groups[0] = kafka_string_of(group);
	message->groups_count = 1;
	world_send(ask);
	struct kafka_describe_groups_response *answer = world_answer(ask);
	assert_int_equal(answer->groups_count, 1);
	return &answer->groups[0];
}
