/* Ranges in order, and their file:
 *
 *     sluice-quarantine 1
 *     batch 4711 4720 4711 4000 1052672 1060000 1700000000000
 *     sum 00f1...
 *
 * What is read must be, byte for byte, what would be written of it. */
#include "storage/quarantine.h"

#include "base/errors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char *const kinds[] = {
	[DAMAGE_BATCH] = "batch",
	[DAMAGE_HEADER] = "header",
	[DAMAGE_MISSING] = "missing",
	[DAMAGE_UNREADABLE] = "unreadable",
};
enum {
	KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]),
	SUM_LINE_BYTES = 21,
};

static const char first_line[] = "sluice-quarantine 1\n";

const char *damage_text(enum damage_kind kind)
{
	return kinds[kind];
}

void quarantine_fini(struct quarantine *quarantine)
{
	free(quarantine->ranges);
	*quarantine = (struct quarantine){0};
}

/* ---- ranges ---- */

static bool contains(const struct damage *outer, const struct damage *inner)
{
	return outer->from <= inner->from && inner->to <= outer->to &&
	       outer->committed_from <= inner->committed_from;
}

/* They share an offset, or follow one another in one file. */
static bool meet(const struct damage *a, const struct damage *b)
{
	if (a->from < b->to && b->from < a->to)
		return true;
	return a->segment == b->segment && (a->to == b->from || b->to == a->from);
}

/* Bytes of two files are of no use as one range: those of the first are told.  What is unreadable
 * in part may be readable again. */
static struct damage joined(const struct damage *a, const struct damage *b)
{
	struct damage both = *a;

	if (b->from < both.from)
		both.from = b->from;
	if (b->to > both.to)
		both.to = b->to;
	if (b->committed_from < both.committed_from)
		both.committed_from = b->committed_from;
	if (b->kind == DAMAGE_UNREADABLE)
		both.kind = DAMAGE_UNREADABLE;
	if (b->segment != a->segment)
		return both;
	if (b->end && (!a->end || b->start < a->start))
		both.start = b->start;
	if (b->end > a->end)
		both.end = b->end;
	return both;
}

static void remove_at(struct quarantine *q, size_t at)
{
	q->count--;
	memmove(q->ranges + at, q->ranges + at + 1, (q->count - at) * sizeof(*q->ranges));
}

static int grow(struct quarantine *q)
{
	size_t capacity = q->capacity ? q->capacity * 2 : 4;
	struct damage *ranges;

	if (q->count < q->capacity)
		return 0;
	ranges = realloc(q->ranges, capacity * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	q->ranges = ranges;
	q->capacity = capacity;
	return 0;
}

/* One more than the limit: those two become one that are nearest to one another. */
static void keep_limit(struct quarantine *q)
{
	size_t nearest = 0;
	int64_t least = INT64_MAX;

	if (q->count <= QUARANTINE_RANGES_MAX)
		return;
	for (size_t i = 0; i + 1 < q->count; i++) {
		if (q->ranges[i + 1].from - q->ranges[i].to < least) {
			least = q->ranges[i + 1].from - q->ranges[i].to;
			nearest = i;
		}
	}
	q->ranges[nearest] = joined(&q->ranges[nearest], &q->ranges[nearest + 1]);
	remove_at(q, nearest + 1);
}

int quarantine_add(struct quarantine *q, const struct damage *damage)
{
	struct damage whole = *damage;
	size_t at = 0;
	int rc = grow(q);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < q->count; i++) {
		if (contains(&q->ranges[i], damage))
			return 0;
	}
	for (size_t i = q->count; i-- > 0;) {
		if (!meet(&q->ranges[i], &whole))
			continue;
		whole = joined(&q->ranges[i], &whole);
		remove_at(q, i);
	}
	while (at < q->count && q->ranges[at].from < whole.from)
		at++;
	memmove(q->ranges + at + 1, q->ranges + at, (q->count - at) * sizeof(*q->ranges));
	q->ranges[at] = whole;
	q->count++;
	keep_limit(q);
	q->changed = true;
	return 1;
}

void quarantine_remove(struct quarantine *q, size_t range)
{
	remove_at(q, range);
	q->changed = true;
}

void quarantine_trim(struct quarantine *q, int64_t start)
{
	while (q->count && q->ranges[0].to <= start)
		quarantine_remove(q, 0);
}

void quarantine_bar_committed(struct quarantine *q, size_t range, int64_t committed_from)
{
	if (committed_from >= q->ranges[range].committed_from)
		return;
	q->ranges[range].committed_from = committed_from;
	q->changed = true;
}

const struct damage *quarantine_at(const struct quarantine *q, int64_t segment, uint64_t position)
{
	for (size_t i = 0; i < q->count; i++) {
		if (q->ranges[i].segment == segment && q->ranges[i].start == position &&
		    q->ranges[i].end > position)
			return &q->ranges[i];
	}
	return NULL;
}

/* A later range may bar the readers of committed records from before an earlier one. */
int64_t quarantine_limit(const struct quarantine *q, int64_t offset, bool committed)
{
	int64_t limit = INT64_MAX;

	for (size_t i = 0; i < q->count; i++) {
		const struct damage *range = &q->ranges[i];
		int64_t from = committed ? range->committed_from : range->from;
		if (range->to > offset && from < limit)
			limit = from;
	}
	return limit;
}

bool quarantine_ends_at(const struct quarantine *q, int64_t offset)
{
	for (size_t i = 0; i < q->count; i++) {
		if (q->ranges[i].to == offset)
			return true;
	}
	return false;
}

int64_t quarantine_offsets(const struct quarantine *q)
{
	int64_t count = 0;

	for (size_t i = 0; i < q->count; i++)
		count += q->ranges[i].to - q->ranges[i].from;
	return count;
}

/* ---- the file ---- */

/* Of the `length` bytes before. */
static void format_sum(const char *text, size_t length, char line[static SUM_LINE_BYTES + 1])
{
	snprintf(line, SUM_LINE_BYTES + 1, "sum %016" PRIx64 "\n", XXH3_64bits(text, length));
}

size_t quarantine_format(const struct quarantine *q, char *text)
{
	size_t length = sizeof(first_line) - 1;

	memcpy(text, first_line, length);
	for (size_t i = 0; i < q->count; i++) {
		const struct damage *range = &q->ranges[i];
		length += (size_t)snprintf(text + length, QUARANTINE_LINE_BYTES,
					   "%s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
					   " %" PRIu64 " %" PRIu64 " %" PRId64 "\n",
					   kinds[range->kind], range->from, range->to,
					   range->committed_from, range->segment, range->start,
					   range->end, range->found_ms);
	}
	format_sum(text, length, text + length);
	return length + SUM_LINE_BYTES;
}

static const char *take_kind(const char *at, enum damage_kind *ret)
{
	for (int kind = 0; kind < KIND_COUNT; kind++) {
		size_t length = strlen(kinds[kind]);
		if (strncmp(at, kinds[kind], length) == 0) {
			*ret = (enum damage_kind)kind;
			return at + length;
		}
	}
	return NULL;
}

/* Numbers that do not fit, or are written otherwise, fail the comparison with what would be
 * written. */
static int64_t take_number(const char **at)
{
	char *end;
	int64_t number = strtoll(*at, &end, 10);

	*at = end;
	return number;
}

static const char *take_range(const char *at, struct damage *ret)
{
	at = take_kind(at, &ret->kind);
	if (!at)
		return NULL;
	ret->from = take_number(&at);
	ret->to = take_number(&at);
	ret->committed_from = take_number(&at);
	ret->segment = take_number(&at);
	ret->start = (uint64_t)take_number(&at);
	ret->end = (uint64_t)take_number(&at);
	ret->found_ms = take_number(&at);
	if (*at != '\n' || ret->from < 0 || ret->from >= ret->to ||
	    ret->to > QUARANTINE_OFFSET_MAX || ret->committed_from < 0 ||
	    ret->committed_from > ret->from || ret->segment < 0 || ret->start > ret->end ||
	    ret->end > INT64_MAX)
		return NULL;
	return at + 1;
}

/* `text` ends with a zero. */
static int parse(struct quarantine *q, const char *text)
{
	const char *at = text + sizeof(first_line) - 1;

	while (strncmp(at, "sum ", 4) != 0) {
		struct damage range;
		at = take_range(at, &range);
		if (!at || q->count == QUARANTINE_RANGES_MAX ||
		    (q->count && range.from < q->ranges[q->count - 1].to))
			return -ERR_CORRUPT;
		int rc = grow(q);
		if (rc < 0)
			return rc;
		q->ranges[q->count++] = range;
	}
	return 0;
}

/* `text` need not end with a zero.  All versions end with the sum, so a first line that is damaged
 * is not taken for a newer one's. */
static bool newer_version(const char *text, size_t length)
{
	static const char before[] = "sluice-quarantine ";
	char sum[SUM_LINE_BYTES + 1];
	char *end;

	if (length < SUM_LINE_BYTES || strncmp(text, before, sizeof(before) - 1) != 0)
		return false;
	format_sum(text, length - SUM_LINE_BYTES, sum);
	if (memcmp(text + length - SUM_LINE_BYTES, sum, SUM_LINE_BYTES) != 0)
		return false;
	return strtol(text + sizeof(before) - 1, &end, 10) > 1 && *end == '\n';
}

/* What is read must be what would be written. */
static bool same_text(const struct quarantine *q, const char *text, size_t length, char *room)
{
	return quarantine_format(q, room) == length && memcmp(room, text, length) == 0;
}

int quarantine_parse(struct quarantine *ret, const char *text, size_t length)
{
	quarantine_fini(ret);
	if (length > QUARANTINE_FILE_BYTES)
		return -ERR_CORRUPT;
	char *copy = strndup(text, length);
	char *room = malloc(QUARANTINE_FILE_BYTES);
	int rc = -ENOMEM;
	if (!copy || !room)
		goto out;
	rc = -ERR_CORRUPT;
	if (strncmp(copy, first_line, sizeof(first_line) - 1) == 0)
		rc = parse(ret, copy);
	else if (newer_version(text, length))
		rc = -ERR_FORMAT;
	if (rc == 0 && !same_text(ret, text, length, room))
		rc = -ERR_CORRUPT;
out:
	free(copy);
	free(room);
	if (rc < 0)
		quarantine_fini(ret);
	return rc;
}
