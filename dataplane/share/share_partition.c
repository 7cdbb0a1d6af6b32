#include "dataplane/share/share_partition.h"

#include "base/check.h"
#include "base/errors.h"

#include <errno.h>
#include <stdlib.h>

enum { CAPACITY_FIRST = 64 };

struct share_record {
	uint64_t locked_until_ns; /* acquired */
	uint32_t holder;          /* acquired */
	uint16_t deliveries;
	uint8_t state;
};

struct share_partition {
	struct share_limits limits;
	int64_t start;
	uint32_t count;    /* offsets in the window */
	uint32_t acquired; /* of them */
	uint32_t first;    /* place of `start` in `ring` */
	uint32_t capacity; /* a power of two */
	struct share_record *ring;
	uint64_t dead_lettered;
};

/* ---- the window ---- */

int share_partition_new(struct share_partition **ret, const struct share_limits *limits,
			int64_t start)
{
	struct share_partition *partition = calloc(1, sizeof(*partition));

	if (!partition)
		return -ENOMEM;
	partition->limits = *limits;
	partition->start = start;
	*ret = partition;
	return 0;
}

void share_partition_free(struct share_partition *partition)
{
	if (!partition)
		return;
	free(partition->ring);
	free(partition);
}

int64_t share_start(const struct share_partition *partition)
{
	return partition->start;
}

int64_t share_end(const struct share_partition *partition)
{
	return partition->start + partition->count;
}

uint64_t share_dead_lettered(const struct share_partition *partition)
{
	return partition->dead_lettered;
}

static struct share_record *record_at(const struct share_partition *partition, int64_t offset)
{
	uint32_t place = partition->first + (uint32_t)(offset - partition->start);

	return &partition->ring[place & (partition->capacity - 1)];
}

static int grow(struct share_partition *partition)
{
	uint32_t capacity = partition->capacity ? partition->capacity * 2 : CAPACITY_FIRST;
	struct share_record *ring = calloc(capacity, sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	for (uint32_t i = 0; i < partition->count; i++)
		ring[i] = *record_at(partition, partition->start + i);
	free(partition->ring);
	partition->ring = ring;
	partition->capacity = capacity;
	partition->first = 0;
	return 0;
}

static int push(struct share_partition *partition, const struct share_record *record)
{
	if (partition->count == partition->capacity) {
		int rc = grow(partition);
		if (rc < 0)
			return rc;
	}
	partition->count++;
	*record_at(partition, share_end(partition) - 1) = *record;
	return 0;
}

static bool done(const struct share_record *record)
{
	return record->state == SHARE_ACKNOWLEDGED || record->state == SHARE_ARCHIVED;
}

static void advance(struct share_partition *partition)
{
	while (partition->count && done(record_at(partition, partition->start))) {
		partition->start++;
		partition->count--;
		partition->first = (partition->first + 1) & (partition->capacity - 1);
	}
}

/* ---- stored state ---- */

static int load_run(struct share_partition *partition, const struct share_run *run)
{
	struct share_record record = {.state = run->state, .deliveries = run->deliveries};
	struct share_record gap = {.state = SHARE_AVAILABLE};
	int rc = 0;

	if (run->first < share_end(partition) || run->last < run->first ||
	    run->last - partition->start >= partition->limits.records_max ||
	    (run->state != SHARE_AVAILABLE && !done(&record)))
		return -ERR_CORRUPT;
	while (rc == 0 && share_end(partition) < run->first)
		rc = push(partition, &gap);
	while (rc == 0 && share_end(partition) <= run->last)
		rc = push(partition, &record);
	return rc;
}

int share_load(struct share_partition *partition, int64_t start, const struct share_run *runs,
	       size_t count)
{
	int rc = start < 0 ? -ERR_CORRUPT : 0;

	partition->start = start;
	partition->count = 0;
	partition->acquired = 0;
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = load_run(partition, &runs[i]);
	if (rc < 0)
		partition->count = 0;
	advance(partition);
	return rc;
}

static uint8_t stored_state(const struct share_record *record)
{
	return record->state == SHARE_ACQUIRED ? SHARE_AVAILABLE : record->state;
}

/* The run that begins at `first`, by stored states. */
static struct share_run run_from(const struct share_partition *partition, int64_t first)
{
	const struct share_record *record = record_at(partition, first);
	struct share_run run = {first, first, stored_state(record), record->deliveries};

	while (run.last + 1 < share_end(partition)) {
		const struct share_record *next = record_at(partition, run.last + 1);
		if (stored_state(next) != run.state || next->deliveries != run.deliveries)
			break;
		run.last++;
	}
	return run;
}

size_t share_store(const struct share_partition *partition, struct share_run *out, size_t capacity)
{
	size_t count = 0;

	for (int64_t at = partition->start; at < share_end(partition);) {
		struct share_run run = run_from(partition, at);
		if (count < capacity)
			out[count] = run;
		count++;
		at = run.last + 1;
	}
	return count;
}

/* ---- acquiring ---- */

int64_t share_next(const struct share_partition *partition)
{
	for (int64_t at = partition->start; at < share_end(partition); at++) {
		if (record_at(partition, at)->state == SHARE_AVAILABLE)
			return at;
	}
	return partition->count < partition->limits.records_max ? share_end(partition) : -1;
}

/* Offset `at` is in the window afterwards.  False: the window is full. */
static int extend_to(struct share_partition *partition, int64_t at, bool *ret_full)
{
	const struct share_record fresh = {.state = SHARE_AVAILABLE};

	*ret_full = at - partition->start >= partition->limits.records_max;
	if (*ret_full || at < share_end(partition))
		return 0;
	return push(partition, &fresh);
}

static void give(struct share_partition *partition, struct share_record *record, uint32_t holder,
		 uint64_t now_ns)
{
	record->state = SHARE_ACQUIRED;
	record->holder = holder;
	record->locked_until_ns = now_ns + partition->limits.lock_ns;
	record->deliveries++;
	partition->acquired++;
}

/* Joins `at` to the last run, or begins another.  False: no room for that. */
static bool note_given(struct share_run *out, size_t capacity, int *count, int64_t at,
		       uint16_t deliveries)
{
	struct share_run *last = *count ? &out[*count - 1] : NULL;

	if (last && last->last + 1 == at && last->deliveries == deliveries) {
		last->last = at;
		return true;
	}
	if ((size_t)*count == capacity)
		return false;
	out[(*count)++] = (struct share_run){at, at, SHARE_ACQUIRED, deliveries};
	return true;
}

int share_acquire(struct share_partition *partition, uint32_t holder, int64_t first, int64_t last,
		  uint32_t records, uint64_t now_ns, struct share_run *out, size_t capacity)
{
	int count = 0;

	check(first <= share_end(partition));
	if (first < partition->start)
		first = partition->start;
	for (int64_t at = first; at <= last && records; at++) {
		bool full;
		int rc = extend_to(partition, at, &full);
		if (rc < 0 && !count)
			return rc;
		if (rc < 0 || full)
			break;
		struct share_record *record = record_at(partition, at);
		if (record->state != SHARE_AVAILABLE)
			continue;
		if (!note_given(out, capacity, &count, at, (uint16_t)(record->deliveries + 1)))
			break;
		give(partition, record, holder, now_ns);
		records--;
	}
	return count;
}

/* ---- giving back ---- */

static void take_back(struct share_partition *partition, struct share_record *record)
{
	partition->acquired--;
	if (record->deliveries < partition->limits.deliveries_max) {
		record->state = SHARE_AVAILABLE;
		return;
	}
	record->state = SHARE_ARCHIVED;
	partition->dead_lettered++;
}

static void settle(struct share_partition *partition, struct share_record *record, uint8_t type)
{
	if (type == SHARE_RELEASE) {
		take_back(partition, record);
		return;
	}
	partition->acquired--;
	record->state = type == SHARE_REJECT ? SHARE_ARCHIVED : SHARE_ACKNOWLEDGED;
}

static int check_types(int64_t first, int64_t last, const uint8_t *types, size_t type_count)
{
	if (first < 0 || last < first || !type_count ||
	    (type_count != 1 && type_count != (uint64_t)(last - first) + 1))
		return -ERR_BAD_REQUEST;
	for (size_t i = 0; i < type_count; i++) {
		if (types[i] > SHARE_REJECT)
			return -ERR_BAD_REQUEST;
	}
	return 0;
}

int share_acknowledge(struct share_partition *partition, uint32_t holder, int64_t first,
		      int64_t last, const uint8_t *types, size_t type_count)
{
	int rc = check_types(first, last, types, type_count);

	if (rc < 0)
		return rc;
	if (first < partition->start || last >= share_end(partition))
		return -ERR_RECORD_STATE;
	for (int64_t at = first; at <= last; at++) {
		const struct share_record *record = record_at(partition, at);
		if (record->state != SHARE_ACQUIRED || record->holder != holder)
			return -ERR_RECORD_STATE;
	}
	for (int64_t at = first; at <= last; at++)
		settle(partition, record_at(partition, at),
		       types[type_count == 1 ? 0 : (size_t)(at - first)]);
	advance(partition);
	return 0;
}

uint32_t share_release(struct share_partition *partition, uint32_t holder)
{
	uint32_t released = 0;

	for (int64_t at = partition->start; at < share_end(partition); at++) {
		struct share_record *record = record_at(partition, at);
		if (record->state != SHARE_ACQUIRED || record->holder != holder)
			continue;
		take_back(partition, record);
		released++;
	}
	advance(partition);
	return released;
}

uint32_t share_expire(struct share_partition *partition, uint64_t now_ns)
{
	uint32_t expired = 0;

	for (int64_t at = partition->start; partition->acquired && at < share_end(partition);
	     at++) {
		struct share_record *record = record_at(partition, at);
		if (record->state != SHARE_ACQUIRED || record->locked_until_ns > now_ns)
			continue;
		take_back(partition, record);
		expired++;
	}
	advance(partition);
	return expired;
}

uint64_t share_next_deadline(const struct share_partition *partition)
{
	uint64_t next = UINT64_MAX;

	for (int64_t at = partition->start; partition->acquired && at < share_end(partition);
	     at++) {
		const struct share_record *record = record_at(partition, at);
		if (record->state == SHARE_ACQUIRED && record->locked_until_ns < next)
			next = record->locked_until_ns;
	}
	return next;
}

void share_trim(struct share_partition *partition, int64_t log_start)
{
	for (int64_t at = partition->start; at < share_end(partition) && at < log_start; at++) {
		struct share_record *record = record_at(partition, at);
		if (record->state == SHARE_ACQUIRED)
			partition->acquired--;
		record->state = SHARE_ARCHIVED;
	}
	advance(partition);
	if (partition->start < log_start && !partition->count)
		partition->start = log_start;
}
