/* Moving what a group has committed to another place.
 *
 *     body ──> which partitions, where to ──> libsluice's plan ──> committed ──> told */
#include "client/sluice.h"
#include "control/http/v1/v1.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

struct move {
	struct sluice_client *client;
	const char *group;
	const char *to;
	const char *topic;     /* null: all that it has committed */
	const json_t *indexes; /* of the topic; null: all */
	int dry_run;
	struct v1_topic facts; /* of `topic` */
	struct sluice_group_plan *plan;
};

/* ---- the body ---- */

/* The i-th of those that are asked for.  False: the topic has no such partition. */
static bool read_index(const struct move *move, size_t i, int32_t *ret)
{
	const json_t *index = json_array_get(move->indexes, i);
	json_int_t value = move->indexes ? json_integer_value(index) : (json_int_t)i;

	if ((move->indexes && !json_is_integer(index)) || value < 0 ||
	    value >= move->facts.partitions)
		return false;
	*ret = (int32_t)value;
	return true;
}

/* *ret is the heap's; left alone without a topic. */
static int choose(const struct move *move, struct sluice_assigned **ret, size_t *ret_count)
{
	size_t count = move->indexes ? json_array_size(move->indexes)
				     : (size_t)move->facts.partitions;

	if (!move->topic)
		return 0;
	if (move->indexes && !json_is_array(move->indexes))
		return -EINVAL;
	struct sluice_assigned *chosen = calloc(count + 1, sizeof(*chosen));
	if (!chosen)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		chosen[i].topic = move->topic;
		if (!read_index(move, i, &chosen[i].partition)) {
			free(chosen);
			return -EINVAL;
		}
	}
	*ret = chosen;
	*ret_count = count;
	return 0;
}

static int read_target(const char *to, struct sluice_target *ret)
{
	bool time = to[0] == '@';
	const char *digits = to + time;
	char *end;

	*ret = (struct sluice_target){.kind = time ? SLUICE_AT_TIME : SLUICE_AT_OFFSET};
	if (strcmp(to, "earliest") == 0) {
		ret->value = SLUICE_EARLIEST;
		return 0;
	}
	if (strcmp(to, "latest") == 0) {
		ret->value = SLUICE_LATEST;
		return 0;
	}
	errno = 0;
	ret->value = strtoll(digits, &end, 10);
	return digits[0] < '0' || digits[0] > '9' || *end || errno ? -EINVAL : 0;
}

static int make(struct move *move)
{
	struct sluice_assigned *chosen = NULL;
	struct sluice_target target;
	size_t count = 0;
	int rc = read_target(move->to, &target);

	if (rc == 0)
		rc = choose(move, &chosen, &count);
	if (rc == 0)
		rc = sluice_group_plan(move->client, move->group, chosen, count, &target,
				       &move->plan);
	free(chosen);
	if (rc == 0 && !move->dry_run)
		rc = sluice_group_plan_commit(move->client, move->plan);
	return rc;
}

/* ---- the answer ---- */

static json_t *moved_json(const struct move *move)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < move->plan->count; i++) {
		const struct sluice_spot *spot = &move->plan->spots[i];
		json_array_append_new(
			rows,
			json_pack("{s:s, s:i, s:o, s:o, s:s?}", "topic", spot->topic, "partition",
				  spot->partition, "former",
				  spot->committed < 0 ? json_null() : json_integer(spot->committed),
				  "offset", spot->error ? json_null() : json_integer(spot->at),
				  "error", spot->error ? sluice_error_name(spot->error) : NULL));
	}
	return json_pack("{s:o, s:b}", "offsets", rows, "dry_run", move->dry_run);
}

/* 0: some were moved, or there were none; else why the first was not. */
static int failure(const struct sluice_group_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (!plan->spots[i].error)
			return 0;
	}
	return plan->count ? plan->spots[0].error : 0;
}

static void answer_move(const struct http_request *request, struct http_answer *answer,
			struct move *move)
{
	int rc = make(move);

	if (rc == -EINVAL) {
		answer_problem(answer, MHD_HTTP_BAD_REQUEST,
			       "to takes earliest, latest, @MILLISECONDS or an offset; partitions, "
			       "a list of the topic's");
		return;
	}
	if (rc < 0) {
		v1_failed(request, answer, rc);
		return;
	}
	rc = failure(move->plan);
	if (rc < 0)
		answer_failure(answer, rc, "");
	else
		answer_json(answer, MHD_HTTP_OK, moved_json(move));
}

void v1_group_move(const struct http_request *request, struct http_answer *answer)
{
	struct http_request of_topic = *request;
	struct move move = {
		.client = v1_client(request, answer),
		.group = request->texts[OF_group],
	};
	json_t *indexes = NULL;

	if (!move.client ||
	    !v1_unpack(request, answer, "{s:s, s?s, s?o, s?b}", "to", &move.to, "topic",
		       &move.topic, "partitions", &indexes, "dry_run", &move.dry_run))
		return;
	move.indexes = indexes;
	of_topic.texts[OF_topic] = move.topic;
	if (indexes && !move.topic)
		answer_problem(answer, MHD_HTTP_BAD_REQUEST, "partitions need their topic");
	else if (!move.topic || v1_topic_find(&of_topic, answer, &move.facts))
		answer_move(request, answer, &move);
	sluice_group_plan_free(move.plan);
}
