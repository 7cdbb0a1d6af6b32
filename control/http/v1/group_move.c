/* Moving what a group has committed to another place.
 *
 *     body ──> which partitions ──> where to, of each (list offsets) ──> committed ──> told */
#include "client/sluice.h"
#include "control/http/v1/v1.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* ---- which partitions ---- */

struct move {
	struct sluice_client *client;
	const char *group;
	const char *to;
	const char *topic;     /* null: all that it has committed */
	const json_t *indexes; /* of the topic; null: all */
	int dry_run;
	struct v1_topic facts; /* of `topic` */
	struct sluice_group_offsets *committed;
	struct sluice_place *places; /* to commit */
	int64_t *former;             /* -1: none */
	size_t count;
};

static int compare(const void *a, const void *b)
{
	const struct sluice_group_offset *one = a;
	const struct sluice_group_offset *other = b;
	int order = strcmp(one->topic, other->topic);

	return order ? order
		     : (one->partition > other->partition) - (one->partition < other->partition);
}

static int64_t committed_at(const struct move *move, const char *topic, int32_t partition)
{
	const struct sluice_group_offset wanted = {.topic = topic, .partition = partition};
	const struct sluice_group_offset *found =
		move->committed->count ? bsearch(&wanted, move->committed->offsets,
						 move->committed->count, sizeof(wanted), compare)
				       : NULL;

	return found ? found->offset : -1;
}

static void add(struct move *move, const char *topic, int32_t partition, int64_t former)
{
	move->former[move->count] = former;
	move->places[move->count++] = (struct sluice_place){
		.topic = topic,
		.partition = partition,
	};
}

static int room_for(struct move *move, size_t count)
{
	move->places = calloc(count + 1, sizeof(*move->places));
	move->former = calloc(count + 1, sizeof(*move->former));
	return move->places && move->former ? 0 : -ENOMEM;
}

static int choose_indexes(struct move *move)
{
	size_t count = json_array_size(move->indexes);
	int rc = json_is_array(move->indexes) ? room_for(move, count) : -EINVAL;

	for (size_t i = 0; rc == 0 && i < count; i++) {
		const json_t *index = json_array_get(move->indexes, i);
		json_int_t value = json_integer_value(index);
		if (!json_is_integer(index) || value < 0 || value >= move->facts.partitions)
			return -EINVAL;
		add(move, move->topic, (int32_t)value,
		    committed_at(move, move->topic, (int32_t)value));
	}
	return rc;
}

static int choose_topic(struct move *move)
{
	int rc = room_for(move, (size_t)move->facts.partitions);

	for (int32_t i = 0; rc == 0 && i < move->facts.partitions; i++)
		add(move, move->topic, i, committed_at(move, move->topic, i));
	return rc;
}

static int choose_committed(struct move *move)
{
	int rc = room_for(move, move->committed->count);

	for (size_t i = 0; rc == 0 && i < move->committed->count; i++) {
		const struct sluice_group_offset *offset = &move->committed->offsets[i];
		add(move, offset->topic, offset->partition, offset->offset);
	}
	return rc;
}

static int choose(struct move *move)
{
	if (move->indexes)
		return choose_indexes(move);
	return move->topic ? choose_topic(move) : choose_committed(move);
}

/* ---- where to ---- */

static int find_offsets(struct move *move, int64_t timestamp_ms)
{
	for (size_t i = 0; i < move->count; i++)
		move->places[i].timestamp_ms = timestamp_ms;
	return sluice_list_offsets(move->client, move->places, move->count);
}

/* Those that have no record of that time or later go to their end. */
static int find_ends(struct move *move)
{
	struct sluice_place *ends = calloc(move->count + 1, sizeof(*ends));
	size_t *whose = calloc(move->count + 1, sizeof(*whose));
	size_t count = 0;
	int rc = ends && whose ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < move->count; i++) {
		if (move->places[i].error || move->places[i].offset >= 0)
			continue;
		ends[count] = move->places[i];
		ends[count].timestamp_ms = SLUICE_LATEST;
		whose[count++] = i;
	}
	if (rc == 0 && count)
		rc = sluice_list_offsets(move->client, ends, count);
	for (size_t i = 0; rc == 0 && i < count; i++)
		move->places[whose[i]] = ends[i];
	free(ends);
	free(whose);
	return rc;
}

static int find(struct move *move)
{
	bool time = move->to[0] == '@';
	const char *digits = move->to + time;
	char *end;

	if (strcmp(move->to, "earliest") == 0)
		return find_offsets(move, SLUICE_EARLIEST);
	if (strcmp(move->to, "latest") == 0)
		return find_offsets(move, SLUICE_LATEST);
	errno = 0;
	long long value = strtoll(digits, &end, 10);
	if (digits[0] < '0' || digits[0] > '9' || *end || errno)
		return -EINVAL;
	if (time) {
		int rc = find_offsets(move, value);
		return rc == 0 ? find_ends(move) : rc;
	}
	for (size_t i = 0; i < move->count; i++)
		move->places[i].offset = value;
	return 0;
}

/* What could not be found out is not committed; so it goes to the end, past what is. */
static size_t found_first(struct move *move)
{
	size_t found = 0;

	for (size_t i = 0; i < move->count; i++) {
		if (move->places[i].error)
			continue;
		struct sluice_place place = move->places[i];
		int64_t former = move->former[i];
		move->places[i] = move->places[found];
		move->former[i] = move->former[found];
		move->places[found] = place;
		move->former[found++] = former;
	}
	return found;
}

static int make(struct move *move)
{
	int rc = sluice_group_offsets(move->client, move->group, &move->committed);

	if (rc == 0)
		rc = choose(move);
	if (rc == 0)
		rc = find(move);
	size_t found = rc == 0 ? found_first(move) : 0;
	if (found && !move->dry_run)
		rc = sluice_group_commit(move->client, move->group, move->places, found);
	return rc;
}

/* ---- the answer ---- */

static json_t *moved_json(const struct move *move)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < move->count; i++) {
		const struct sluice_place *place = &move->places[i];
		json_array_append_new(
			rows,
			json_pack("{s:s, s:i, s:o, s:o, s:s?}", "topic", place->topic, "partition",
				  place->partition, "former",
				  move->former[i] < 0 ? json_null() : json_integer(move->former[i]),
				  "offset",
				  place->error ? json_null() : json_integer(place->offset), "error",
				  place->error ? sluice_error_name(place->error) : NULL));
	}
	return json_pack("{s:o, s:b}", "offsets", rows, "dry_run", move->dry_run);
}

/* 0: some were moved, or there were none; else why the first was not. */
static int failure(const struct move *move)
{
	for (size_t i = 0; i < move->count; i++) {
		if (!move->places[i].error)
			return 0;
	}
	return move->count ? move->places[0].error : 0;
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
	rc = failure(move);
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
	sluice_group_offsets_free(move.committed);
	free(move.places);
	free(move.former);
}
