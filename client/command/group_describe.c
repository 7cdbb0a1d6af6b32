/* Who is in a group, and which partitions each has. */
#include <string.h>

#include "client/command/command.h"

/* [{"topic": "t", "partitions": [0, 1]}, ...] */
static json_t *assigned_array(const struct sluice_member *member)
{
	json_t *topics = json_array();
	json_t *partitions = NULL;

	for (size_t i = 0; i < member->assigned_count; i++) {
		const struct sluice_assigned *one = &member->assigned[i];
		if (!partitions || strcmp(one->topic, one[-1].topic) != 0) {
			json_t *topic = json_object();
			partitions = json_array();
			document_set_text(topic, "topic", one->topic);
			json_object_set_new(topic, "partitions", partitions);
			json_array_append_new(topics, topic);
		}
		json_array_append_new(partitions, json_integer(one->partition));
	}
	return topics;
}

static json_t *member_object(const struct sluice_member *member)
{
	json_t *object = json_object();
	json_t *topics = json_array();

	for (size_t i = 0; i < member->topic_count; i++)
		json_array_append_new(topics, json_string(member->topics[i]));
	document_set_text(object, "id", member->id);
	document_set_text(object, "instance", member->instance);
	document_set_text(object, "client_id", member->client_id);
	document_set_text(object, "host", member->host);
	document_set_count(object, "epoch", member->epoch);
	json_object_set_new(object, "topics", topics);
	json_object_set_new(object, "assigned_partitions",
			    json_integer((json_int_t)member->assigned_count));
	json_object_set_new(object, "assigned", assigned_array(member));
	return object;
}

static json_t *group_object(const struct sluice_group_description *group)
{
	json_t *object = json_object();
	json_t *members = json_array();

	for (size_t i = 0; i < group->member_count; i++)
		json_array_append_new(members, member_object(&group->members[i]));
	document_set_text(object, "id", group->id);
	document_set_text(object, "type", group->type);
	document_set_text(object, "protocol", group->protocol_type);
	document_set_text(object, "state", group->state);
	document_set_text(object, "assignor", group->assignor);
	document_set_count(object, "epoch", group->epoch);
	json_object_set_new(object, "coordinator", json_integer(group->coordinator));
	json_object_set_new(object, "members", members);
	return object;
}

int verb_group_describe(struct invocation *invocation)
{
	static const struct column facts[] = {{"id", "GROUP"},
					      {"type", "TYPE"},
					      {"protocol", "PROTOCOL"},
					      {"state", "STATE"},
					      {"assignor", "ASSIGNOR"},
					      {"epoch", "EPOCH"},
					      {"coordinator", "COORDINATOR"},
					      {0}};
	static const struct column members[] = {{"id", "MEMBER"},
						{"client_id", "CLIENT"},
						{"host", "HOST"},
						{"epoch", "EPOCH"},
						{"topics", "TOPICS"},
						{"assigned_partitions", "PARTITIONS"},
						{0}};
	static const struct part parts[] = {
		{.columns = facts}, {.rows = "members", .columns = members}, {0}};
	json_t *groups = json_array();
	int code = EXIT_DONE;

	for (size_t i = 0; !code && i < invocation->word_count; i++) {
		struct sluice_group_description *group;
		int rc = sluice_group_describe(invocation->client, invocation->words[i], &group);
		if (rc < 0) {
			code = complain_of(invocation, rc);
			continue;
		}
		json_array_append_new(groups, group_object(group));
		sluice_group_description_free(group);
	}
	return document_print(invocation, groups, parts, code);
}
