#include "tests/sim/plants.h"

#include "base/folder_reader.h"
#include "control/groups/groups_internal.h"
#include "control/transactions/transaction.h"
#include "storage/compact_map.h"
#include "storage/control_batch.h"
#include "storage/dedup_log.h"
#include "storage/segment_scan.h"
#include "storage/store_internal.h"
#include "tests/sim/disk.h"
#include "tests/sim/schedule.h"

#include <string.h>

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum plant {
	PLANT_NONE,
#define LIE(name, call, pattern, text)
#define PLANT(word, name, text) PLANT_##word,
#include "tests/sim/plants.def"
#undef PLANT
#undef LIE
};

static const struct {
	const char *name;
	const char *call, *pattern; /* null: not the disk's */
	enum plant plant;
} plants[] = {
#define LIE(name, call, pattern, text) {name, call, pattern, PLANT_NONE},
#define PLANT(word, name, text) {name, NULL, NULL, PLANT_##word},
#include "tests/sim/plants.def"
#undef PLANT
#undef LIE
};
enum { PLANT_COUNT = sizeof(plants) / sizeof(plants[0]) };

static enum plant planted;
static const char *lie_call, *lie_pattern;

bool plant_set(const char *name)
{
	for (size_t i = 0; i < PLANT_COUNT; i++) {
		if (strcmp(plants[i].name, name) == 0) {
			planted = plants[i].plant;
			lie_call = plants[i].call;
			lie_pattern = plants[i].pattern;
			return true;
		}
	}
	return false;
}

void plant_in_disk(struct disk *disk)
{
	if (lie_call)
		disk_lie(disk, lie_call, lie_pattern);
}

void plants_print(FILE *file)
{
	for (size_t i = 0; i < PLANT_COUNT; i++)
		fprintf(file, "%s\n", plants[i].name);
}

/* ---- appending and reading ---- */

int __real_log_append(struct log *log, const void *data, const struct batch *batch,
		      int64_t append_time_ms, enum log_ack ack, struct log_append *append);

static bool turn_marker(const void *data, const struct batch *batch,
			uint8_t turned[static CONTROL_BATCH_BYTES])
{
	struct control_marker marker;

	if (!(batch->attributes & BATCH_CONTROL) || control_batch_read(&marker, data, batch) < 0)
		return false;
	marker.type = CONTROL_ABORT;
	control_batch_write(&marker, turned);
	return true;
}

int __wrap_log_append(struct log *log, const void *data, const struct batch *batch,
		      int64_t append_time_ms, enum log_ack ack, struct log_append *append)
{
	uint8_t turned[CONTROL_BATCH_BYTES];

	if (planted == PLANT_ACK_EARLY)
		ack = ACK_SUBMITTED;
	if (planted == PLANT_MARKER_TURNED && turn_marker(data, batch, turned))
		data = turned;
	return __real_log_append(log, data, batch, append_time_ms, ack, append);
}

int64_t __real_log_high_watermark(const struct log *log);

int64_t __wrap_log_high_watermark(const struct log *log)
{
	return planted == PLANT_WATERMARK ? log_end_offset(log) : __real_log_high_watermark(log);
}

int64_t __real_log_transactions_unstable_from(const struct log_transactions *transactions);

int64_t __wrap_log_transactions_unstable_from(const struct log_transactions *transactions)
{
	return planted == PLANT_STABLE_AHEAD ? INT64_MAX
					     : __real_log_transactions_unstable_from(transactions);
}

size_t __real_log_aborted(const struct log *log, int64_t from, int64_t below,
			  struct aborted_transaction *out, size_t max);

size_t __wrap_log_aborted(const struct log *log, int64_t from, int64_t below,
			  struct aborted_transaction *out, size_t max)
{
	return planted == PLANT_ABORTED_LOST ? 0 : __real_log_aborted(log, from, below, out, max);
}

int __real_producers_check(const struct producers *producers, const struct batch *batch,
			   int64_t *ret_base_offset);

int __wrap_producers_check(const struct producers *producers, const struct batch *batch,
			   int64_t *ret_base_offset)
{
	int rc = __real_producers_check(producers, batch, ret_base_offset);
	bool again = rc == 1 && !(batch->attributes & BATCH_CONTROL);

	return again && planted == PLANT_FORGET_SEQUENCE ? 0 : rc;
}

int __real_log_write_meta(struct log *log);

int __wrap_log_write_meta(struct log *log)
{
	return planted == PLANT_START_LOST ? 0 : __real_log_write_meta(log);
}

/* ---- starting ---- */

int __real_producers_recover(struct log *log);

int __wrap_producers_recover(struct log *log)
{
	int rc = __real_producers_recover(log);

	while (planted == PLANT_FORGET_PRODUCERS && producers_forget_oldest(&log->producers, -1))
		log->store->stats.producers--;
	if (planted == PLANT_ABORTED_FORGOTTEN)
		log->producers.transactions.aborted_count = 0;
	return rc;
}

int __real_dedup_replay(struct log *log, int64_t from, int64_t to);

int __wrap_dedup_replay(struct log *log, int64_t from, int64_t to)
{
	return planted == PLANT_FORGET_IDS ? 0 : __real_dedup_replay(log, from, to);
}

struct dedup_bucket *__real_dedup_window_outlived(const struct dedup_window *window,
						  const struct dedup_now *now);

struct dedup_bucket *__wrap_dedup_window_outlived(const struct dedup_window *window,
						  const struct dedup_now *now)
{
	struct dedup_bucket *oldest = dedup_window_oldest(window);
	bool set_back = oldest->to >= 0 && oldest->last_ms > now->wall_ms;

	return planted == PLANT_WINDOW_SHRINKS && set_back
		       ? oldest
		       : __real_dedup_window_outlived(window, now);
}

bool __real_scan_batch(struct segment_scan *scan, struct place at, struct batch *ret);

bool __wrap_scan_batch(struct segment_scan *scan, struct place at, struct batch *ret)
{
	struct batch next;

	return __real_scan_batch(scan, at, ret) &&
	       (planted != PLANT_CUT_TOO_MUCH ||
		__real_scan_batch(scan, place_behind(at, ret), &next));
}

bool __real_batch_crc_valid(const struct batch *batch, const void *data);

bool __wrap_batch_crc_valid(const struct batch *batch, const void *data)
{
	const struct process *process = process_current();
	bool lies = planted == PLANT_TORN_KEPT && process &&
		    strcmp(process_name(process), "broker") == 0;

	return lies || __real_batch_crc_valid(batch, data);
}

/* ---- quarantine ---- */

void __real_log_read(struct log *log, struct log_read *read);

void __wrap_log_read(struct log *log, struct log_read *read)
{
	for (size_t i = 0; i < log->quarantine.count && planted == PLANT_LOST_SKIPPED; i++) {
		const struct damage *range = &log->quarantine.ranges[i];
		if (range->from <= read->offset && read->offset < range->to)
			read->offset = range->to;
	}
	__real_log_read(log, read);
}

int __real_log_quarantine(struct log *log, const struct damage *damage);

int __wrap_log_quarantine(struct log *log, const struct damage *damage)
{
	struct damage larger = *damage;

	larger.to += planted == PLANT_LOST_TOO_MUCH;
	return __real_log_quarantine(log, &larger);
}

/* ---- folders ---- */

int __real_folder_reader_close(struct folder_reader *reader);

int __wrap_folder_reader_close(struct folder_reader *reader)
{
	int rc = __real_folder_reader_close(reader);

	return planted == PLANT_LISTING_CUT ? 0 : rc;
}

/* ---- compaction ---- */

int64_t __real_compact_map_get(const struct compact_map *map, const void *key, size_t length);

int64_t __wrap_compact_map_get(const struct compact_map *map, const void *key, size_t length)
{
	int64_t last = __real_compact_map_get(map, key, length);

	return planted == PLANT_LAST_DROPPED && last >= 0 ? last + 1 : last;
}

/* ---- groups ---- */

int __real_offsets_replay(struct groups *groups, const struct group_record *record);

int __wrap_offsets_replay(struct groups *groups, const struct group_record *record)
{
	return planted == PLANT_OFFSETS_LOST ? 0 : __real_offsets_replay(groups, record);
}

int __real_groups_end_transaction(struct groups *groups, int32_t partition, int64_t producer_id,
				  bool commit, struct state_wait *wait);

int __wrap_groups_end_transaction(struct groups *groups, int32_t partition, int64_t producer_id,
				  bool commit, struct state_wait *wait)
{
	commit |= planted == PLANT_PENDING_EARLY;
	return __real_groups_end_transaction(groups, partition, producer_id, commit, wait);
}

/* ---- transactions ---- */

int __real_transaction_claim(const struct transaction *transaction, int64_t producer_id,
			     int16_t epoch);

int __wrap_transaction_claim(const struct transaction *transaction, int64_t producer_id,
			     int16_t epoch)
{
	int rc = __real_transaction_claim(transaction, producer_id, epoch);

	return rc == -ERR_PRODUCER_FENCED && planted == PLANT_CLAIM_ANY ? 0 : rc;
}
