#include "tests/control/fake_kinds.h"

#include "base/check.h"
#include "control/groups/group_records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct fake_group *fake_of(const struct group *group)
{
	return group->state;
}

static const char *state(const struct group *group)
{
	return fake_of(group)->members ? "Stable" : "Empty";
}

static const char *protocol_type(const struct group *group)
{
	return fake_of(group)->protocol_type;
}

static size_t member_count(const struct group *group)
{
	return (size_t)fake_of(group)->members;
}

static enum kafka_error may_commit(const struct group *group, const struct group_claim *claim)
{
	return fake_of(group)->may_commit;
}

static enum kafka_error may_fetch(const struct group *group, const struct group_claim *claim)
{
	return fake_of(group)->may_fetch;
}

static bool subscribed(const struct group *group, const struct topic *topic)
{
	const char *name = fake_of(group)->subscribed;

	return name && strcmp(name, topic->name) == 0;
}

static void seen(struct group *group, const struct group_claim *claim)
{
	fake_of(group)->seen++;
}

static void topics_changed(struct group *group)
{
	fake_of(group)->topics_changed++;
}

static void loaded(struct group *group)
{
	fake_of(group)->loaded++;
}

static int rewrite(struct group *group)
{
	struct record_group_metadata_key key = {group_id(group)};
	struct record_group_metadata_value value;
	struct record_group_metadata_value_member members[16];

	record_group_metadata_value_init(&value);
	value.protocol_type = kafka_string_of(fake_of(group)->protocol_type);
	value.current_state_timestamp = group->empty_since_ms;
	value.members = members;
	value.members_count = fake_of(group)->members;
	for (int32_t i = 0; i < value.members_count; i++) {
		record_group_metadata_value_member_init(&members[i]);
		members[i].client_id = members[i].client_host = kafka_string_of("fake");
		members[i].member_id = kafka_string_of("fake");
	}
	return groups_append(group, RECORD_GROUP_METADATA, &key, &value);
}

static size_t live_records(const struct group *group)
{
	return 1;
}

static int erase(struct group *group)
{
	struct record_group_metadata_key key = {group_id(group)};

	return groups_append(group, RECORD_GROUP_METADATA, &key, NULL);
}

static void forget(struct group *group, enum kafka_error error)
{
	if (fake_of(group)->parked)
		groups_refuse(group->groups, fake_of(group)->parked, error);
	free(group->state);
	group->state = NULL;
	group->kind = NULL;
}

static const struct group_kind fake_kind = {
	.type = "classic",
	.state = state,
	.protocol_type = protocol_type,
	.member_count = member_count,
	.may_commit = may_commit,
	.may_fetch = may_fetch,
	.subscribed = subscribed,
	.seen = seen,
	.topics_changed = topics_changed,
	.loaded = loaded,
	.rewrite = rewrite,
	.live_records = live_records,
	.erase = erase,
	.forget = forget,
};

static struct group *make(struct groups *groups, const struct kafka_string *id)
{
	enum kafka_error error;
	struct group *group = group_obtain(groups, id, &error);

	check(group);
	if (!group->state)
		group->state = calloc(1, sizeof(struct fake_group));
	check(group->state);
	group->kind = &fake_kind;
	return group;
}

struct fake_group *fake_find(struct groups *groups, const char *id)
{
	struct kafka_string name = kafka_string_of(id);
	const struct group *group = group_find(groups, &name);

	return group && group->kind == &fake_kind ? group->state : NULL;
}

void fake_classic_store(struct groups *groups, const char *id, int32_t members)
{
	struct kafka_string name = kafka_string_of(id);
	struct group *group = group_find(groups, &name);

	fake_of(group)->members = members;
	group->empty_since_ms = members ? 0 : groups_wall_ms(groups);
	check(rewrite(group) == 0);
}

struct fake_group *fake_classic(struct groups *groups, const char *id, const char *type,
				int32_t members)
{
	struct kafka_string name = kafka_string_of(id);
	struct fake_group *fake = make(groups, &name)->state;

	snprintf(fake->protocol_type, sizeof(fake->protocol_type), "%s", type);
	fake_classic_store(groups, id, members);
	return fake;
}

/* ---- the entry points ---- */

static void park(struct groups *groups, struct control_request *request,
		 const struct kafka_string *id)
{
	fake_of(make(groups, id))->parked = request;
}

void classic_join(struct groups *groups, struct control_request *request)
{
	const struct kafka_join_group_request *asked = request->request;

	park(groups, request, &asked->group_id);
}

void classic_sync(struct groups *groups, struct control_request *request)
{
	const struct kafka_sync_group_request *asked = request->request;

	park(groups, request, &asked->group_id);
}

void classic_heartbeat(struct groups *groups, struct control_request *request)
{
	groups_refuse(groups, request, KAFKA_UNKNOWN_MEMBER_ID);
}

void classic_leave(struct groups *groups, struct control_request *request)
{
	groups_refuse(groups, request, KAFKA_UNKNOWN_MEMBER_ID);
}

int classic_describe(const struct group *group, struct arena *arena,
		     struct kafka_describe_groups_response_described_group *ret)
{
	ret->protocol_data = kafka_string_of("fake");
	return 0;
}

int classic_replay(struct groups *groups, const struct group_record *record)
{
	const struct record_group_metadata_key *key = record->key;
	const struct record_group_metadata_value *value = record->value;

	if (!value) {
		struct group *group = group_find(groups, &key->group);
		if (group && group->kind)
			forget(group, KAFKA_NONE);
		return 0;
	}
	struct group *group = make(groups, &key->group);
	snprintf(fake_of(group)->protocol_type, sizeof(fake_of(group)->protocol_type), "%.*s",
		 value->protocol_type.length, value->protocol_type.data);
	fake_of(group)->members = value->members_count;
	group->empty_since_ms = value->current_state_timestamp;
	return 0;
}
