/* Groups: the list, one with its members, and its end. */
#include "client/sluice.h"
#include "control/group_telemetry.h"
#include "control/groups/lag.h"
#include "control/http/v1/v1.h"

#include <microhttpd.h>
#include <string.h>

enum { MEMBERS_MAX = 1000, ASSIGNED_MAX = 1000 }; /* that are shown; the counts say all */

/* Members and lag come from the picture of the lag, which may be null or not have it yet. */
static json_t *group_row(const struct sluice_group *group, const struct lag_picture *picture)
{
	const struct lag_group *lag = picture ? lag_picture_find(picture, group->id) : NULL;

	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "id", group->id, "type", group->type,
			 "state", group->state, "protocol_type", group->protocol_type, "members",
			 lag ? json_integer((json_int_t)lag->members) : json_null(), "lag",
			 lag ? json_integer(lag->lag) : json_null());
}

static bool is_wanted(const struct http_request *request, const char *id)
{
	const char *after = request->texts[OF_after];
	const char *search = request->texts[OF_search];

	return (!after || strcmp(id, after) > 0) && (!search || strcasestr(id, search));
}

static json_t *page_json(const struct http_request *request, const struct sluice_groups *groups,
			 const struct lag_picture *picture)
{
	size_t limit = (size_t)request->counts[OF_limit];
	const char *last = NULL;
	json_t *rows = json_array();
	bool more = false;

	for (size_t i = 0; i < groups->count && !more; i++) {
		const struct sluice_group *group = &groups->groups[i];
		if (!is_wanted(request, group->id))
			continue;
		more = json_array_size(rows) == limit;
		if (more)
			break;
		json_array_append_new(rows, group_row(group, picture));
		last = group->id;
	}
	return json_pack("{s:o, s:s?, s:I}", "groups", rows, "next", more ? last : NULL, "total",
			 (json_int_t)groups->count);
}

void v1_groups(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_groups *groups = NULL;

	if (!client)
		return;
	int rc = sluice_group_list(client, &groups);
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	const struct lag_picture *picture = group_telemetry_take();
	answer_json(answer, MHD_HTTP_OK, page_json(request, groups, picture));
	group_telemetry_put_back(picture);
	sluice_groups_free(groups);
}

/* ---- one ---- */

static json_t *epoch_json(int32_t epoch)
{
	return epoch < 0 ? json_null() : json_integer(epoch);
}

static json_t *member_json(const struct sluice_member *member)
{
	json_t *topics = json_array();
	json_t *assigned = json_array();

	for (size_t i = 0; i < member->topic_count && i < ASSIGNED_MAX; i++)
		json_array_append_new(topics, json_string(member->topics[i]));
	for (size_t i = 0; i < member->assigned_count && i < ASSIGNED_MAX; i++)
		json_array_append_new(assigned,
				      json_pack("{s:s, s:i}", "topic", member->assigned[i].topic,
						"partition", member->assigned[i].partition));
	return json_pack("{s:s, s:s?, s:s, s:s, s:o, s:o, s:o, s:I}", "id", member->id, "instance",
			 member->instance, "client_id", member->client_id, "host", member->host,
			 "epoch", epoch_json(member->epoch), "topics", topics, "assigned", assigned,
			 "assigned_count", (json_int_t)member->assigned_count);
}

static json_t *description_json(const struct sluice_group_description *group)
{
	json_t *members = json_array();

	for (size_t i = 0; i < group->member_count && i < MEMBERS_MAX; i++)
		json_array_append_new(members, member_json(&group->members[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:i, s:o, s:I}", "id", group->id, "type",
			 group->type, "state", group->state, "protocol_type", group->protocol_type,
			 "assignor", group->assignor, "epoch", epoch_json(group->epoch),
			 "coordinator", group->coordinator, "members", members, "member_count",
			 (json_int_t)group->member_count);
}

void v1_group(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);
	struct sluice_group_description *group = NULL;

	if (!client)
		return;
	int rc = sluice_group_describe(client, request->texts[OF_group], &group);
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	answer_json(answer, MHD_HTTP_OK, description_json(group));
	sluice_group_description_free(group);
}

void v1_group_delete(const struct http_request *request, struct http_answer *answer)
{
	struct sluice_client *client = v1_client(request, answer);

	if (!client)
		return;
	int rc = sluice_group_delete(client, request->texts[OF_group]);
	if (rc < 0)
		v1_failed(request, answer, rc);
	else
		answer_nothing(answer);
}
