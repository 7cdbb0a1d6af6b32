/* A group as its coordinator describes it, whichever of three protocols it speaks.
 *
 * Which one is not known before, and a coordinator denies a group to the requests of the others: so
 * KIP-848's request is tried first, then that of share groups, then the classic one, which every
 * broker has.  A broker without the newer two is as if it denied. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "client/membership.h"
#include "client/places.h"
#include "client/question.h"
#include "dataplane/kafka/kafka_errors.h"

struct describe_question {
	const char *group;
	struct sluice_group_description *ret;
};

/* ---- what all have in common ---- */

static int compare_assigned(const void *a, const void *b)
{
	const struct sluice_assigned *one = a;
	const struct sluice_assigned *other = b;

	return place_order(one->topic, one->partition, other->topic, other->partition);
}

static int compare_members(const void *a, const void *b)
{
	return strcmp(((const struct sluice_member *)a)->id, ((const struct sluice_member *)b)->id);
}

static bool is(const struct kafka_string *text, const char *expected)
{
	const struct kafka_string other = kafka_string_of(expected);

	return kafka_string_equal(text, &other);
}

static int names(struct arena *arena, const struct kafka_string *from, int32_t count,
		 struct sluice_member *member)
{
	size_t length = count > 0 ? (size_t)count : 0;
	const char **topics = arena_calloc(arena, length, sizeof(char *));
	bool failed = !topics;

	for (size_t i = 0; !failed && i < length; i++)
		topics[i] = answer_text(arena, &from[i], &failed);
	member->topics = topics;
	member->topic_count = length;
	return failed ? -ENOMEM : 0;
}

static int add_topic(struct arena *arena, const struct kafka_string *topic,
		     const int32_t *partitions, int32_t count, struct assigned_list *list)
{
	bool failed = false;
	const char *name = answer_text(arena, topic, &failed);
	struct sluice_assigned *added = count > 0 ? assigned_list_add(list, (size_t)count, arena)
						  : NULL;

	if (failed || (count > 0 && !added))
		return -ENOMEM;
	for (int32_t i = 0; i < count; i++)
		added[i] = (struct sluice_assigned){name, partitions[i]};
	return 0;
}

/* One group is asked about. */
static int name_group(struct request *request, const struct describe_question *question,
		      struct kafka_string **ret_ids, int32_t *ret_count)
{
	*ret_ids = arena_calloc(&request->arena, 1, sizeof(**ret_ids));
	if (!*ret_ids)
		return -ENOMEM;
	**ret_ids = kafka_string_of(question->group);
	*ret_count = 1;
	return 0;
}

/* What all three answers say of a group. */
struct told {
	const char *type;
	const struct kafka_string *state;
	const struct kafka_string *assignor;
	int32_t epoch;
	int32_t member_count;
};

/* Begins an answer with its members, still empty; null: no memory. */
static struct sluice_member *describe(struct describe_question *question, const struct told *told)
{
	bool failed = false;

	question->ret = answer_new(sizeof(*question->ret));
	if (!question->ret)
		return NULL;
	struct arena *arena = answer_arena(question->ret);
	struct sluice_member *members = arena_calloc(arena, (size_t)told->member_count,
						     sizeof(*members));
	*question->ret = (struct sluice_group_description){
		.id = arena_strndup(arena, question->group, strlen(question->group)),
		.type = told->type,
		.state = answer_text(arena, told->state, &failed),
		.protocol_type = strcmp(told->type, "share") == 0 ? "share" : "consumer",
		.assignor = answer_text(arena, told->assignor, &failed),
		.epoch = told->epoch,
		.members = members,
		.member_count = (size_t)told->member_count,
	};
	return failed || !question->ret->id ? NULL : members;
}

static int finish(struct describe_question *question, struct sluice_member *members, int rc)
{
	if (rc < 0) {
		answer_free(question->ret);
		question->ret = NULL;
		return rc;
	}
	for (size_t i = 0; i < question->ret->member_count; i++) {
		if (members[i].assigned_count)
			qsort((void *)(uintptr_t)members[i].assigned, members[i].assigned_count,
			      sizeof(*members[i].assigned), compare_assigned);
	}
	if (question->ret->member_count)
		qsort(members, question->ret->member_count, sizeof(*members), compare_members);
	return 0;
}

/* ---- KIP-848 ---- */

static int consumer_fill(struct request *request, void *user)
{
	struct kafka_consumer_group_describe_request *message = request->message;

	return name_group(request, user, &message->group_ids, &message->group_ids_count);
}

static int consumer_assigned(struct arena *arena,
			     const struct kafka_consumer_group_describe_response_assignment *from,
			     struct sluice_member *to)
{
	struct assigned_list list = {0};
	int rc = 0;

	for (int32_t t = 0; rc == 0 && t < from->topic_partitions_count; t++)
		rc = add_topic(arena, &from->topic_partitions[t].topic_name,
			       from->topic_partitions[t].partitions,
			       from->topic_partitions[t].partitions_count, &list);
	to->assigned = list.at;
	to->assigned_count = list.count;
	return rc;
}

static int consumer_member(struct arena *arena,
			   const struct kafka_consumer_group_describe_response_member *from,
			   struct sluice_member *to)
{
	bool failed = false;

	*to = (struct sluice_member){
		.id = answer_text(arena, &from->member_id, &failed),
		.instance = answer_text(arena, &from->instance_id, &failed),
		.client_id = answer_text(arena, &from->client_id, &failed),
		.host = answer_text(arena, &from->client_host, &failed),
		.epoch = from->member_epoch,
	};
	int rc = failed ? -ENOMEM
			: names(arena, from->subscribed_topic_names,
				from->subscribed_topic_names_count, to);
	return rc < 0 ? rc : consumer_assigned(arena, &from->assignment, to);
}

static int consumer_read(struct request *request, void *user, struct kafka_string *message)
{
	struct describe_question *question = user;
	const struct kafka_consumer_group_describe_response *response = request->response;

	if (response->groups_count != 1)
		return -EPROTO;
	const struct kafka_consumer_group_describe_response_described_group *group =
		response->groups;
	*message = group->error_message;
	if (group->error_code)
		return client_kafka_error(group->error_code);
	const struct told told = {"consumer", &group->group_state, &group->assignor_name,
				  group->group_epoch, group->members_count};
	struct sluice_member *members = describe(question, &told);
	int rc = members ? 0 : -ENOMEM;
	for (int32_t i = 0; rc == 0 && i < group->members_count; i++)
		rc = consumer_member(answer_arena(question->ret), &group->members[i], &members[i]);
	return finish(question, members, rc);
}

/* ---- share groups ---- */

static int share_fill(struct request *request, void *user)
{
	struct kafka_share_group_describe_request *message = request->message;

	return name_group(request, user, &message->group_ids, &message->group_ids_count);
}

static int share_assigned(struct arena *arena,
			  const struct kafka_share_group_describe_response_assignment *from,
			  struct sluice_member *to)
{
	struct assigned_list list = {0};
	int rc = 0;

	for (int32_t t = 0; rc == 0 && t < from->topic_partitions_count; t++)
		rc = add_topic(arena, &from->topic_partitions[t].topic_name,
			       from->topic_partitions[t].partitions,
			       from->topic_partitions[t].partitions_count, &list);
	to->assigned = list.at;
	to->assigned_count = list.count;
	return rc;
}

static int share_member(struct arena *arena,
			const struct kafka_share_group_describe_response_member *from,
			struct sluice_member *to)
{
	bool failed = false;

	*to = (struct sluice_member){
		.id = answer_text(arena, &from->member_id, &failed),
		.client_id = answer_text(arena, &from->client_id, &failed),
		.host = answer_text(arena, &from->client_host, &failed),
		.epoch = from->member_epoch,
	};
	int rc = failed ? -ENOMEM
			: names(arena, from->subscribed_topic_names,
				from->subscribed_topic_names_count, to);
	return rc < 0 ? rc : share_assigned(arena, &from->assignment, to);
}

static int share_read(struct request *request, void *user, struct kafka_string *message)
{
	struct describe_question *question = user;
	const struct kafka_share_group_describe_response *response = request->response;

	if (response->groups_count != 1)
		return -EPROTO;
	const struct kafka_share_group_describe_response_described_group *group = response->groups;
	*message = group->error_message;
	if (group->error_code)
		return client_kafka_error(group->error_code);
	const struct told told = {"share", &group->group_state, &group->assignor_name,
				  group->group_epoch, group->members_count};
	struct sluice_member *members = describe(question, &told);
	int rc = members ? 0 : -ENOMEM;
	for (int32_t i = 0; rc == 0 && i < group->members_count; i++)
		rc = share_member(answer_arena(question->ret), &group->members[i], &members[i]);
	return finish(question, members, rc);
}

/* ---- the classic protocol ---- */

static int classic_fill(struct request *request, void *user)
{
	struct kafka_describe_groups_request *message = request->message;

	return name_group(request, user, &message->groups, &message->groups_count);
}

/* Bytes that are not what consumers write are left alone. */
static int classic_opaque(struct arena *arena,
			  const struct kafka_describe_groups_response_described_group_member *from,
			  struct sluice_member *to)
{
	struct assigned_list list = {0};

	if (membership_read_topics(&from->member_metadata, arena, &to->topics, &to->topic_count) ==
	    -ENOMEM)
		return -ENOMEM;
	int rc = membership_read_assignment(&from->member_assignment, arena, &list);
	to->assigned = list.at;
	to->assigned_count = list.count;
	return rc == -ENOMEM ? rc : 0;
}

static int classic_member(struct arena *arena,
			  const struct kafka_describe_groups_response_described_group_member *from,
			  struct sluice_member *to, bool consumers)
{
	bool failed = false;

	*to = (struct sluice_member){
		.id = answer_text(arena, &from->member_id, &failed),
		.instance = answer_text(arena, &from->group_instance_id, &failed),
		.client_id = answer_text(arena, &from->client_id, &failed),
		.host = answer_text(arena, &from->client_host, &failed),
		.epoch = -1,
	};
	if (failed)
		return -ENOMEM;
	return consumers ? classic_opaque(arena, from, to) : 0;
}

static int classic_read(struct request *request, void *user, struct kafka_string *message)
{
	struct describe_question *question = user;
	const struct kafka_describe_groups_response *response = request->response;

	if (response->groups_count != 1)
		return -EPROTO;
	const struct kafka_describe_groups_response_described_group *group = response->groups;
	*message = group->error_message;
	if (group->error_code)
		return client_kafka_error(group->error_code);
	/* As old versions say that there is none. */
	if (is(&group->group_state, "Dead"))
		return client_kafka_error(KAFKA_GROUP_ID_NOT_FOUND);
	const struct told told = {"classic", &group->group_state, &group->protocol_data, -1,
				  group->members_count};
	struct sluice_member *members = describe(question, &told);
	bool failed = !members;
	if (!failed)
		question->ret->protocol_type = answer_text(answer_arena(question->ret),
							   &group->protocol_type, &failed);
	int rc = failed ? -ENOMEM : 0;
	bool consumers = is(&group->protocol_type, "consumer");
	for (int32_t i = 0; rc == 0 && i < group->members_count; i++)
		rc = classic_member(answer_arena(question->ret), &group->members[i], &members[i],
				    consumers);
	return finish(question, members, rc);
}

/* ---- all three ---- */

static int ask(struct sluice_client *client, int32_t coordinator,
	       struct describe_question *question, int16_t api,
	       int (*fill)(struct request *, void *),
	       int (*read)(struct request *, void *, struct kafka_string *))
{
	const struct question asked = {
		.api = api,
		.broker = &coordinator,
		.fill = fill,
		.read = read,
		.user = question,
		.what = "describe group",
		.about = question->group,
	};

	return question_ask(client, &asked);
}

static bool denied(int rc)
{
	return rc == -SLUICE_KAFKA(KAFKA_GROUP_ID_NOT_FOUND) || rc == -EPROTONOSUPPORT ||
	       rc == -SLUICE_KAFKA(KAFKA_UNSUPPORTED_VERSION);
}

int sluice_group_describe(struct sluice_client *client, const char *group,
			  struct sluice_group_description **ret)
{
	struct describe_question question = {.group = group};
	int32_t coordinator;
	int rc = question_coordinator(client, group, &coordinator);

	if (rc < 0)
		return rc;
	rc = ask(client, coordinator, &question, KAFKA_CONSUMER_GROUP_DESCRIBE, consumer_fill,
		 consumer_read);
	if (denied(rc))
		rc = ask(client, coordinator, &question, KAFKA_SHARE_GROUP_DESCRIBE, share_fill,
			 share_read);
	if (denied(rc))
		rc = ask(client, coordinator, &question, KAFKA_DESCRIBE_GROUPS, classic_fill,
			 classic_read);
	if (rc < 0)
		return rc;
	question.ret->coordinator = coordinator;
	*ret = question.ret;
	return 0;
}

void sluice_group_description_free(struct sluice_group_description *description)
{
	answer_free(description);
}
