/* Administration of consumer groups. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "client/places.h"
#include "client/question.h"

enum {
	LIST_GROUPS_VERSION_MAX = 5,
	OFFSET_FETCH_VERSION_MAX = 7, /* the last one about one group, which all brokers have */
};

/* ---- listing ---- */

struct list_question {
	struct sluice_groups *ret;
};

static int list_fill(struct request *request, void *user)
{
	(void)request;
	(void)user;
	return 0; /* all of them */
}

/* Behind those of the brokers asked before. */
static int list_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_list_groups_response *response = request->response;
	struct sluice_groups *groups = ((struct list_question *)user)->ret;
	struct arena *arena = answer_arena(groups);
	bool failed = false;

	if (response->error_code)
		return client_kafka_error(response->error_code);
	struct sluice_group *all =
		arena_calloc(arena, groups->count + (size_t)response->groups_count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (groups->count)
		memcpy(all, groups->groups, groups->count * sizeof(*all));
	for (int32_t i = 0; i < response->groups_count; i++)
		all[groups->count + (size_t)i] = (struct sluice_group){
			.id = answer_text(arena, &response->groups[i].group_id, &failed),
			.protocol_type = answer_text(arena, &response->groups[i].protocol_type,
						     &failed),
			.state = answer_text(arena, &response->groups[i].group_state, &failed),
			.type = answer_text(arena, &response->groups[i].group_type, &failed),
		};
	if (failed)
		return -ENOMEM;
	groups->groups = all;
	groups->count += (size_t)response->groups_count;
	return 0;
}

static int compare_groups(const void *a, const void *b)
{
	return strcmp(((const struct sluice_group *)a)->id, ((const struct sluice_group *)b)->id);
}

static int list_of_broker(struct sluice_client *client, int32_t broker, struct sluice_groups *ret)
{
	struct list_question user = {ret};
	const struct question question = {
		.api = KAFKA_LIST_GROUPS,
		.version_max = LIST_GROUPS_VERSION_MAX,
		.broker = &broker,
		.fill = list_fill,
		.read = list_read,
		.user = &user,
		.what = "groups",
		.about = "",
	};

	return question_ask(client, &question);
}

int sluice_group_list(struct sluice_client *client, struct sluice_groups **ret)
{
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(client, NULL, 0, &metadata);

	if (rc < 0)
		return rc;
	struct sluice_groups *groups = answer_new(sizeof(*groups));
	if (!groups)
		rc = -ENOMEM;
	for (size_t i = 0; rc == 0 && i < metadata->broker_count; i++)
		rc = list_of_broker(client, metadata->brokers[i].id, groups);
	sluice_metadata_free(metadata);
	if (rc < 0) {
		answer_free(groups);
		return rc;
	}
	if (groups->count)
		qsort((void *)(uintptr_t)groups->groups, groups->count, sizeof(*groups->groups),
		      compare_groups);
	*ret = groups;
	return 0;
}

void sluice_groups_free(struct sluice_groups *groups)
{
	answer_free(groups);
}

/* ---- offsets ---- */

struct offsets_question {
	const char *group;
	struct sluice_group_offsets *ret;
};

static int offsets_fill(struct request *request, void *user)
{
	const struct offsets_question *question = user;
	struct kafka_offset_fetch_request *message = request->message;

	message->group_id = kafka_string_of(question->group);
	message->topics_count = -1; /* all */
	return 0;
}

static int put_row(struct sluice_group_offsets *to, struct sluice_group_offset *row,
		   const struct kafka_string *topic,
		   const struct kafka_offset_fetch_response_offset_fetch_response_partition *from)
{
	static const struct kafka_string none = {"", 0};
	struct arena *arena = answer_arena(to);
	bool failed = false;

	*row = (struct sluice_group_offset){
		.topic = answer_text(arena, topic, &failed),
		.partition = from->partition_index,
		.offset = from->committed_offset,
		.end = -1,
		.lag = -1,
		.metadata = answer_text(arena, from->metadata.length < 0 ? &none : &from->metadata,
					&failed),
	};
	return failed ? -ENOMEM : 0;
}

static int put_rows(struct sluice_group_offsets *to, const struct kafka_offset_fetch_response *from)
{
	size_t count = 0;
	int rc = 0;

	for (int32_t t = 0; t < from->topics_count; t++)
		count += (size_t)from->topics[t].partitions_count;
	struct sluice_group_offset *rows = arena_calloc(answer_arena(to), count, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	to->offsets = rows;
	for (int32_t t = 0; t < from->topics_count; t++) {
		for (int32_t p = 0; rc == 0 && p < from->topics[t].partitions_count; p++) {
			if (from->topics[t].partitions[p].committed_offset >= 0)
				rc = put_row(to, &rows[to->count++], &from->topics[t].name,
					     &from->topics[t].partitions[p]);
		}
	}
	return rc;
}

static int offsets_read(struct request *request, void *user, struct kafka_string *message)
{
	const struct kafka_offset_fetch_response *response = request->response;
	struct offsets_question *question = user;

	if (response->error_code)
		return client_kafka_error(response->error_code);
	question->ret = answer_new(sizeof(*question->ret));
	if (!question->ret)
		return -ENOMEM;
	int rc = put_rows(question->ret, response);
	if (rc < 0)
		answer_free(question->ret);
	return rc;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct sluice_group_offset *one = a;
	const struct sluice_group_offset *other = b;

	return place_order(one->topic, one->partition, other->topic, other->partition);
}

static int find_lags(struct sluice_client *client, struct sluice_group_offset *rows, size_t count)
{
	struct sluice_place *places = calloc(count + 1, sizeof(*places));

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		places[i] = (struct sluice_place){
			.topic = rows[i].topic,
			.partition = rows[i].partition,
			.timestamp_ms = SLUICE_LATEST,
		};
	int rc = sluice_list_offsets(client, places, count);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (places[i].error)
			continue;
		rows[i].end = places[i].offset;
		rows[i].lag = rows[i].end > rows[i].offset ? rows[i].end - rows[i].offset : 0;
	}
	free(places);
	return rc;
}

int sluice_group_offsets(struct sluice_client *client, const char *group,
			 struct sluice_group_offsets **ret)
{
	struct offsets_question user = {.group = group};
	const struct question question = {
		.api = KAFKA_OFFSET_FETCH,
		.version_max = OFFSET_FETCH_VERSION_MAX,
		.group = group,
		.fill = offsets_fill,
		.read = offsets_read,
		.user = &user,
		.what = "offsets of group",
		.about = group,
	};
	int rc = question_ask(client, &question);

	if (rc < 0)
		return rc;
	struct sluice_group_offset *rows = (void *)(uintptr_t)user.ret->offsets;
	if (user.ret->count)
		qsort(rows, user.ret->count, sizeof(*rows), compare_offsets);
	rc = find_lags(client, rows, user.ret->count);
	if (rc < 0) {
		answer_free(user.ret);
		return rc;
	}
	*ret = user.ret;
	return 0;
}

void sluice_group_offsets_free(struct sluice_group_offsets *offsets)
{
	answer_free(offsets);
}
