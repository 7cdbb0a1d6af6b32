/* What groups and dedup windows tell, of those that have the most to tell. */
#include "control/http/metrics_internal.h"

#include "base/bytes.h"
#include "control/dedup_telemetry.h"
#include "control/groups/lag.h"

#include <stdlib.h>
#include <string.h>

/* ---- groups ---- */

struct pair {
	const char *group;
	const char *topic;
	uint64_t lag;
};

static int by_topic(const void *a, const void *b)
{
	return strcmp((*(const struct lag_row *const *)a)->topic,
		      (*(const struct lag_row *const *)b)->topic);
}

static int by_lag(const void *a, const void *b)
{
	const struct pair *x = a;
	const struct pair *y = b;

	if (x->lag != y->lag)
		return x->lag < y->lag ? 1 : -1;
	int order = strcmp(x->group, y->group);
	return order ? order : strcmp(x->topic, y->topic);
}

/* One pair a topic.  Returns how many were added. */
static size_t add_pairs(const struct lag_group *group, const struct lag_row **rows,
			struct pair *pairs)
{
	size_t count = 0;

	for (size_t i = 0; i < group->row_count; i++)
		rows[i] = &group->rows[i];
	if (group->row_count)
		qsort(rows, group->row_count, sizeof(struct lag_row *), by_topic);
	for (size_t i = 0; i < group->row_count; i++) {
		const struct lag_row *row = rows[i];
		if (!count || strcmp(pairs[count - 1].topic, row->topic) != 0)
			pairs[count++] = (struct pair){group->id, row->topic, 0};
		pairs[count - 1].lag += row->lag > 0 ? (uint64_t)row->lag : 0;
	}
	return count;
}

static size_t row_count(const struct lag_picture *picture, size_t *ret_most)
{
	size_t count = 0;

	*ret_most = 0;
	for (size_t i = 0; i < picture->group_count; i++) {
		count += picture->groups[i].row_count;
		if (picture->groups[i].row_count > *ret_most)
			*ret_most = picture->groups[i].row_count;
	}
	return count;
}

static void write_pairs(struct exposition *exposition, struct pair *pairs, size_t count)
{
	size_t told = count < METRICS_GROUPS_MAX ? count : METRICS_GROUPS_MAX;
	uint64_t sum = 0;

	if (count)
		qsort(pairs, count, sizeof(*pairs), by_lag);
	metrics_begin_family(exposition, METRIC_GROUP_LAG);
	for (size_t i = 0; i < told; i++)
		exposition_count(exposition,
				 LABELS({"group", pairs[i].group}, {"topic", pairs[i].topic}),
				 pairs[i].lag);
	for (size_t i = 0; i < count; i++)
		sum += pairs[i].lag;
	metrics_begin_family(exposition, METRIC_GROUP_LAG_SUM);
	exposition_count(exposition, NO_LABELS, sum);
	metrics_begin_family(exposition, METRIC_GROUP_LAG_LEFT_OUT);
	exposition_count(exposition, NO_LABELS, count - told);
}

void metrics_write_lag(struct exposition *exposition, const struct lag_picture *picture)
{
	size_t most;
	size_t rows = row_count(picture, &most);
	struct pair *pairs = calloc(rows + 1, sizeof(*pairs));
	const struct lag_row **sorted = calloc(most + 1, sizeof(struct lag_row *));
	size_t count = 0;

	metrics_begin_family(exposition, METRIC_GROUPS);
	exposition_count(exposition, NO_LABELS, picture->group_count);
	/* Without memory nothing is told of lag; the rest is. */
	if (pairs && sorted) {
		for (size_t i = 0; i < picture->group_count; i++)
			count += add_pairs(&picture->groups[i], sorted, pairs + count);
		write_pairs(exposition, pairs, count);
	}
	free(sorted);
	free(pairs);
}

/* ---- dedup windows ---- */

static int by_entries(const void *a, const void *b)
{
	const struct dedup_row *x = *(const struct dedup_row *const *)a;
	const struct dedup_row *y = *(const struct dedup_row *const *)b;

	if (x->sums.all.entries != y->sums.all.entries)
		return x->sums.all.entries < y->sums.all.entries ? 1 : -1;
	return strcmp(x->topic, y->topic);
}

static uint64_t dedup_value(const struct dedup_status *status, enum metric_index index)
{
	switch ((int)index) {
	case METRIC_TOPIC_DEDUP_ENTRIES:
		return status->entries;
	case METRIC_TOPIC_DEDUP_MEMORY:
		return status->memory_bytes;
	case METRIC_TOPIC_DEDUP_FILES:
		return status->file_bytes;
	case METRIC_TOPIC_DEDUP_HITS:
		return status->hits;
	case METRIC_TOPIC_DEDUP_EVICTIONS:
		return status->evictions;
	default:
		return status->rejections;
	}
}

static void write_rows(struct exposition *exposition, const struct dedup_row *const *rows,
		       size_t count)
{
	for (int i = METRIC_TOPIC_DEDUP_ENTRIES; i < METRIC_TOPIC_DEDUP_COVERED; i++) {
		metrics_begin_family(exposition, i);
		for (size_t row = 0; row < count; row++)
			exposition_count(exposition, LABELS({"topic", rows[row]->topic}),
					 dedup_value(&rows[row]->sums.all, i));
	}
	metrics_begin_family(exposition, METRIC_TOPIC_DEDUP_COVERED);
	for (size_t row = 0; row < count; row++)
		exposition_number(exposition, LABELS({"topic", rows[row]->topic}),
				  (double)rows[row]->sums.all.covered_ms / 1000);
}

void metrics_write_dedup(struct exposition *exposition, const struct dedup_picture *picture)
{
	const struct dedup_row **rows = calloc(picture->count + 1, sizeof(struct dedup_row *));

	if (!rows)
		return;
	for (size_t i = 0; i < picture->count; i++)
		rows[i] = &picture->rows[i];
	if (picture->count)
		qsort(rows, picture->count, sizeof(struct dedup_row *), by_entries);
	write_rows(exposition, rows,
		   picture->count < METRICS_TOPICS_MAX ? picture->count : METRICS_TOPICS_MAX);
	free(rows);
}
