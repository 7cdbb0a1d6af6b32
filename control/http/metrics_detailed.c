/* /metrics/detailed: by partition, of what matches. */
#include "control/groups/consumer_regex.h"
#include "control/groups/lag.h"
#include "control/http/metrics_internal.h"
#include "control/usage_picture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct number_text {
	char text[16];
};

static struct number_text text_of(int32_t number)
{
	struct number_text text;

	snprintf(text.text, sizeof(text.text), "%d", number);
	return text;
}

/* ---- what matches ---- */

struct matcher {
	struct regex *regex; /* null: everything */
	int64_t steps;
};

static int matcher_init(struct matcher *ret, const char *text, char *why, size_t why_bytes)
{
	const struct kafka_string string = kafka_string_of(text);

	*ret = (struct matcher){.steps = REGEX_STEPS_MAX};
	return text ? regex_compile(&ret->regex, &string, why, why_bytes) : 0;
}

/* What is too much work to tell does not match. */
static bool matches(struct matcher *matcher, const char *name)
{
	return !matcher->regex ||
	       regex_match(matcher->regex, name, strlen(name), &matcher->steps) == 1;
}

/* ---- topics and partitions ---- */

struct chosen {
	const struct usage_picture *picture;
	const struct usage_topic **topics;
	size_t count;
	size_t left_out; /* partitions beyond METRICS_PARTITIONS_MAX */
};

static void choose(struct chosen *chosen, struct matcher *matcher)
{
	size_t rows = 0;

	for (size_t i = 0; i < chosen->picture->topic_count; i++) {
		const struct usage_topic *topic = &chosen->picture->topics[i];
		if (!matches(matcher, topic->name))
			continue;
		if (rows + topic->count > METRICS_PARTITIONS_MAX) {
			chosen->left_out += topic->count;
			continue;
		}
		rows += topic->count;
		chosen->topics[chosen->count++] = topic;
	}
}

static uint64_t usage_value(const struct shard_usage_row *row, enum metric_index index)
{
	switch ((int)index) {
	case METRIC_PARTITION_START:
		return (uint64_t)row->start_offset;
	case METRIC_PARTITION_END:
		return (uint64_t)row->high_watermark;
	case METRIC_PARTITION_APPENDED:
	case METRIC_TOPIC_APPENDED:
		return row->appended_bytes;
	case METRIC_TOPIC_FETCHED:
		return row->fetched_bytes;
	case METRIC_TOPIC_FETCHED_RECORDS:
		return row->fetched_records;
	default:
		return row->bytes;
	}
}

static void write_partitions(struct exposition *exposition, const struct chosen *chosen,
			     enum metric_index index)
{
	metrics_begin_family(exposition, index);
	for (size_t i = 0; i < chosen->count; i++) {
		const struct usage_topic *topic = chosen->topics[i];
		const struct shard_usage_row *rows = &chosen->picture->rows[topic->first];
		for (size_t p = 0; p < topic->count; p++) {
			struct number_text partition = text_of(rows[p].partition);
			if (rows[p].found)
				exposition_count(exposition,
						 LABELS({"topic", topic->name},
							{"partition", partition.text}),
						 usage_value(&rows[p], index));
		}
	}
}

static void write_topics(struct exposition *exposition, const struct chosen *chosen,
			 enum metric_index index)
{
	metrics_begin_family(exposition, index);
	for (size_t i = 0; i < chosen->count; i++) {
		const struct usage_topic *topic = chosen->topics[i];
		const struct shard_usage_row *rows = &chosen->picture->rows[topic->first];
		uint64_t sum = 0;
		for (size_t p = 0; p < topic->count; p++)
			sum += rows[p].found ? usage_value(&rows[p], index) : 0;
		exposition_count(exposition, LABELS({"topic", topic->name}), sum);
	}
}

static void write_usage(struct exposition *exposition, const struct usage_picture *picture,
			struct matcher *matcher)
{
	struct chosen chosen = {.picture = picture};

	chosen.topics = calloc(picture->topic_count + 1, sizeof(struct usage_topic *));
	if (!chosen.topics)
		return;
	choose(&chosen, matcher);
	metrics_begin_family(exposition, METRIC_TOPIC_PARTITIONS);
	for (size_t i = 0; i < chosen.count; i++)
		exposition_count(exposition, LABELS({"topic", chosen.topics[i]->name}),
				 chosen.topics[i]->count);
	write_topics(exposition, &chosen, METRIC_TOPIC_BYTES);
	write_topics(exposition, &chosen, METRIC_TOPIC_APPENDED);
	write_topics(exposition, &chosen, METRIC_TOPIC_FETCHED);
	write_topics(exposition, &chosen, METRIC_TOPIC_FETCHED_RECORDS);
	write_partitions(exposition, &chosen, METRIC_PARTITION_BYTES);
	write_partitions(exposition, &chosen, METRIC_PARTITION_APPENDED);
	write_partitions(exposition, &chosen, METRIC_PARTITION_START);
	write_partitions(exposition, &chosen, METRIC_PARTITION_END);
	metrics_begin_family(exposition, METRIC_PARTITIONS_LEFT_OUT);
	exposition_count(exposition, NO_LABELS, chosen.left_out);
	free(chosen.topics);
}

/* ---- groups ---- */

struct lag_place {
	const char *group;
	const struct lag_row *row;
};

/* Up to METRICS_PARTITIONS_MAX. */
static size_t find_places(const struct lag_picture *picture, struct matcher *groups,
			  struct matcher *topics, struct lag_place *places)
{
	size_t count = 0;

	for (size_t i = 0; i < picture->group_count; i++) {
		const struct lag_group *group = &picture->groups[i];
		if (!matches(groups, group->id))
			continue;
		for (size_t r = 0; r < group->row_count && count < METRICS_PARTITIONS_MAX; r++) {
			if (matches(topics, group->rows[r].topic))
				places[count++] = (struct lag_place){group->id, &group->rows[r]};
		}
	}
	return count;
}

static void write_places(struct exposition *exposition, const struct lag_place *places,
			 size_t count, enum metric_index index)
{
	metrics_begin_family(exposition, index);
	for (size_t i = 0; i < count; i++) {
		const struct lag_row *row = places[i].row;
		struct number_text partition = text_of(row->partition);
		int64_t value = index == METRIC_GROUP_PARTITION_LAG ? row->lag : row->committed;
		if (value >= 0)
			exposition_count(exposition,
					 LABELS({"group", places[i].group}, {"topic", row->topic},
						{"partition", partition.text}),
					 (uint64_t)value);
	}
}

static void write_groups(struct exposition *exposition, const struct lag_picture *picture,
			 struct matcher *groups, struct matcher *topics)
{
	struct lag_place *places = calloc(METRICS_PARTITIONS_MAX, sizeof(*places));

	if (!places)
		return;
	size_t count = find_places(picture, groups, topics, places);
	write_places(exposition, places, count, METRIC_GROUP_PARTITION_LAG);
	write_places(exposition, places, count, METRIC_GROUP_PARTITION_COMMITTED);
	free(places);
}

int metrics_write_detailed(const struct metrics_sources *sources,
			   const struct metrics_filter *filter, char **ret, size_t *ret_bytes,
			   char *why, size_t why_bytes)
{
	struct exposition exposition;
	struct matcher topics = {0};
	struct matcher groups = {0};
	int rc = matcher_init(&topics, filter->topic, why, why_bytes);

	if (rc == 0)
		rc = matcher_init(&groups, filter->group, why, why_bytes);
	if (rc == 0)
		rc = exposition_begin(&exposition);
	if (rc == 0) {
		if (sources->usage)
			write_usage(&exposition, sources->usage, &topics);
		topics.steps = REGEX_STEPS_MAX;
		if (sources->lag)
			write_groups(&exposition, sources->lag, &groups, &topics);
		rc = exposition_end(&exposition, ret, ret_bytes);
	}
	regex_free(topics.regex);
	regex_free(groups.regex);
	return rc;
}
