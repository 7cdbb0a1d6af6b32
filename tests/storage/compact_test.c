/* Compaction by key: what stays, what goes, and what a log is afterwards. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/store_internal.h"
#include "tests/storage/keyed.h"
#include "tests/storage/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEYS = 50, PADDING = 300, SEGMENT_BYTES = 20000, FOUND_MAX = 4000 };
static const int64_t day_ms = INT64_C(24) * 3600 * 1000;

static int setup(void **state)
{
	*state = keyed_rig_new(SEGMENT_BYTES, day_ms, false);
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	struct io_backend *io = rig->io;

	rig_fini(rig);
	io_free(io);
	free(rig);
	return 0;
}

/* ---- what is in the log ---- */

struct contents {
	size_t count; /* records */
	size_t markers, empties, tombstones;
	struct keyed_found found[FOUND_MAX];
};

static void take(void *context, const struct keyed_found *found)
{
	struct contents *contents = context;

	if (found->marker) {
		contents->markers++;
	} else if (found->empty) {
		contents->empties++;
	} else {
		check(contents->count < FOUND_MAX);
		contents->tombstones += found->record.value == TOMBSTONE;
		contents->found[contents->count++] = *found;
	}
}

static const struct contents *contents_of(struct rig *rig)
{
	static struct contents contents;

	memset(&contents, 0, sizeof(contents));
	rig_each_keyed(rig, take, &contents);
	return &contents;
}

static size_t segment_count(const struct rig *rig)
{
	size_t count = 0;

	list_foreach(node, &rig->log->segments)
		count++;
	return count;
}

/* ---- what is put in ---- */

static const struct keyed_options plain = {.first_ms = 1000, .padding = PADDING};

/* `count` batches of one record, keys in turn; values go on from `first`. */
static void fill(struct rig *rig, unsigned count, int64_t first)
{
	for (unsigned i = 0; i < count; i++) {
		struct keyed record = {(first + i) % KEYS, first + i};
		rig_append_keyed(rig, &record, 1, &plain);
	}
}

/* Everything so far comes to lie in closed segments, below one with a record of another key. */
static void close_active(struct rig *rig)
{
	struct keyed record = {1000000, 0};
	uint64_t before = rig->config.segment_bytes;

	rig->config.segment_bytes = 500;
	log_set_config(rig->log, &rig->config);
	rig_append_keyed(rig, &record, 1, &plain);
	rig->config.segment_bytes = before;
	log_set_config(rig->log, &rig->config);
}

static void compact(struct rig *rig)
{
	uint64_t before = store_stats(rig->store)->compactions;

	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->compactions, before + 1);
}

/* ---- keys ---- */

/* The last `KEYS` values, at the offsets that they were given. */
static void check_last_of_each(struct rig *rig, int64_t values)
{
	const struct contents *contents = contents_of(rig);

	assert_int_equal(contents->count, KEYS + 1);
	for (size_t i = 0; i < KEYS; i++) {
		const struct keyed_found *found = &contents->found[i];
		assert_int_equal(found->record.value, values - KEYS + (int64_t)i);
		assert_int_equal(found->record.key, found->record.value % KEYS);
		assert_int_equal(found->offset, found->record.value);
		assert_int_equal(found->timestamp_ms, 1000);
	}
	assert_int_equal(contents->found[KEYS].record.key, 1000000);
}

static void of_each_key_the_last_record_stays(void **state)
{
	struct rig *rig = *state;

	fill(rig, 500, 0);
	close_active(rig);
	uint64_t bytes = log_bytes(rig->log);
	compact(rig);
	check_last_of_each(rig, 500);
	assert_int_equal(log_end_offset(rig->log), 501);
	assert_int_equal(log_start_offset(rig->log), 0);
	assert_true(log_bytes(rig->log) < bytes / 5);
	assert_int_equal(store_stats(rig->store)->compact_removed_records, 450);
	assert_int_equal(store_stats(rig->store)->compact_removed_bytes,
			 bytes - log_bytes(rig->log));
}

static void a_compacted_log_is_the_same_after_a_restart(void **state)
{
	struct rig *rig = *state;

	fill(rig, 500, 0);
	close_active(rig);
	compact(rig);
	rig_reopen(rig);
	check_last_of_each(rig, 500);
	/* And after one that found no index. */
	rig_kill(rig);
	char path[256];
	rig_path(rig, "00000000000000000000.idx", path);
	assert_int_equal(unlink(path), 0);
	rig_open(rig);
	check_last_of_each(rig, 500);
	/* It knows that there is nothing to do. */
	uint64_t before = store_stats(rig->store)->compactions;
	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->compactions, before);
}

static void small_segments_become_one(void **state)
{
	struct rig *rig = *state;

	fill(rig, 500, 0);
	close_active(rig);
	size_t before = segment_count(rig);
	compact(rig);
	assert_int_equal(segment_count(rig), before);
	/* By what is left of them they are small now. */
	close_active(rig);
	compact(rig);
	assert_true(segment_count(rig) <= 4);
	const struct segment *first = container_of(rig->log->segments.next, struct segment, link);
	assert_true(first->next_offset > 400);
	rig_reopen(rig);
	assert_true(segment_count(rig) <= 4);
	assert_int_equal(contents_of(rig)->count, KEYS + 2);
}

static void every_offset_can_be_read_from(void **state)
{
	struct rig *rig = *state;

	fill(rig, 500, 0);
	close_active(rig);
	compact(rig);
	for (int64_t offset = 0; offset <= 500; offset++) {
		struct rig_read got = rig_read(rig, offset, 1, true);
		struct batch batch;
		assert_int_equal(got.rc, 0);
		assert_true(got.size > 0);
		assert_int_equal(batch_parse(&batch, got.data, got.size), 0);
		assert_int_equal(batch.base_offset, offset < 450 ? 450 : offset);
		free(got.data);
	}
}

static void compressed_batches_keep_their_codec_and_lose_records(void **state)
{
	struct rig *rig = *state;

	for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
		const struct keyed_options options = {
			.codec = codec, .first_ms = 1000, .padding = 200};
		for (int64_t i = 0; i < 40; i++) {
			/* One key again and again, and one that comes once. */
			const struct keyed records[] = {
				{0, i}, {codec * 100 + i, i}, {0, i + 1000}};
			rig_append_keyed(rig, records, 3, &options);
		}
	}
	close_active(rig);
	compact(rig);
	const struct contents *contents = contents_of(rig);
	assert_int_equal(contents->count, 4 * 40 + 1 + 1);
	for (size_t i = 0; i < 160; i++)
		assert_int_equal(contents->found[i].batch.attributes & BATCH_CODEC_MASK,
				 1 + i / 40);
}

static void records_without_a_key_go(void **state)
{
	struct rig *rig = *state;
	const struct keyed records[] = {{NO_KEY, 1}, {7, 2}, {NO_KEY, 3}};

	rig_append_keyed(rig, records, 3, &plain);
	close_active(rig);
	compact(rig);
	const struct contents *contents = contents_of(rig);
	assert_int_equal(contents->count, 2);
	assert_int_equal(contents->found[0].offset, 1);
}

/* The map has room for a few keys at a time: what it could not take stays until it can. */
static void more_keys_than_the_map_takes_are_compacted_in_several_passes(void **state)
{
	struct rig *rig = *state;
	unsigned passes = 0;

	rig_close(rig);
	rig->compact_map_bytes = 1;
	rig_restart(rig);
	rig_open(rig);
	for (int64_t i = 0; i < 600; i++) {
		struct keyed record = {i % 200, i};
		rig_append_keyed(rig, &record, 1, &plain);
	}
	close_active(rig);
	while (rig->log->clean_offset < 600) {
		compact(rig);
		assert_true(passes++ < 20);
	}
	assert_true(passes > 3);
	const struct contents *contents = contents_of(rig);
	assert_int_equal(contents->count, 201);
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(contents->found[i].record.value, 400 + i);
}

/* ---- tombstones ---- */

static void a_tombstone_stays_for_a_while_after_it_was_first_seen(void **state)
{
	struct rig *rig = *state;
	const struct keyed records[] = {{1, 10}, {2, 20}, {1, TOMBSTONE}};

	for (int i = 0; i < 3; i++)
		rig_append_keyed(rig, &records[i], 1, &plain);
	/* However old it is: nobody has compacted it yet. */
	rig_pass_time(rig, 10 * day_ms);
	close_active(rig);
	compact(rig);
	const struct contents *contents = contents_of(rig);
	assert_int_equal(contents->count, 3);
	assert_int_equal(contents->tombstones, 1);
	assert_int_equal(contents->found[1].timestamp_ms, 1000);
	/* Seen again, it is not kept for longer. */
	rig_pass_time(rig, day_ms - 1);
	close_active(rig);
	compact(rig);
	assert_int_equal(contents_of(rig)->tombstones, 1);
	rig_pass_time(rig, 1);
	close_active(rig);
	compact(rig);
	contents = contents_of(rig);
	assert_int_equal(contents->tombstones, 0);
	assert_int_equal(contents->count, 3);
	assert_int_equal(contents->found[0].record.key, 2);
}

static void a_segment_that_grows_removes_no_bytes(void **state)
{
	struct rig *rig = *state;

	rig_append_keyed(rig, &(struct keyed){1, TOMBSTONE}, 1, &plain);
	rig_pass_time(rig, 10 * day_ms);
	close_active(rig);
	compact(rig);
	assert_int_equal(contents_of(rig)->tombstones, 1);
	assert_int_equal(store_stats(rig->store)->compact_removed_bytes, 0);
}

static void tombstones_in_compressed_batches_keep_their_times(void **state)
{
	struct rig *rig = *state;
	const struct keyed records[] = {{1, TOMBSTONE}, {2, 20}, {3, TOMBSTONE}, {3, 5}};

	for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
		struct keyed_options options = {.codec = codec, .first_ms = 5000 + codec};
		struct keyed mine[4];
		for (int i = 0; i < 4; i++)
			mine[i] = (struct keyed){records[i].key + codec * 10, records[i].value};
		rig_append_keyed(rig, mine, 4, &options);
	}
	close_active(rig);
	compact(rig);
	const struct contents *contents = contents_of(rig);
	assert_int_equal(contents->count, 3 * CODEC_COUNT + 1);
	for (size_t i = 0; i < 3 * CODEC_COUNT; i++) {
		const struct keyed_found *found = &contents->found[i];
		assert_int_equal(found->timestamp_ms, 5000 + i / 3);
		assert_int_equal(found->batch.max_timestamp, 5000 + i / 3);
		assert_true(found->batch.attributes & BATCH_DELETE_HORIZON);
		assert_int_equal(found->batch.base_timestamp, rig->now_ms + day_ms);
	}
}

/* ---- when ---- */

static bool compacts(struct rig *rig)
{
	uint64_t before = store_stats(rig->store)->compactions;

	store_housekeep(rig->store);
	return store_stats(rig->store)->compactions > before;
}

static void it_waits_until_enough_is_dirty(void **state)
{
	struct rig *rig = *state;

	rig->config.compact.min_dirty_ratio = 0.5;
	log_set_config(rig->log, &rig->config);
	for (int64_t i = 0; i < 300; i++)
		rig_append_keyed(rig, &(struct keyed){i, i}, 1, &plain);
	close_active(rig);
	assert_true(compacts(rig));
	fill(rig, 100, 300);
	close_active(rig);
	assert_false(compacts(rig));
	fill(rig, 250, 400);
	close_active(rig);
	assert_true(compacts(rig));
}

static void what_has_waited_for_too_long_is_compacted_whatever_its_part(void **state)
{
	struct rig *rig = *state;

	rig->config.compact.min_dirty_ratio = 0.9;
	rig->config.compact.max_lag_ms = 1000;
	log_set_config(rig->log, &rig->config);
	for (int64_t i = 0; i < 300; i++)
		rig_append_keyed(rig, &(struct keyed){i, i}, 1, &plain);
	close_active(rig);
	assert_true(compacts(rig));
	fill(rig, 30, 300);
	/* The active segment ends for it too. */
	rig_pass_time(rig, 1001);
	fill(rig, 1, 330);
	assert_true(compacts(rig));
	assert_int_equal(rig->log->clean_offset, 331);
}

static void young_records_are_left_alone(void **state)
{
	struct rig *rig = *state;
	struct keyed_options now = plain;

	rig->config.compact.min_lag_ms = 1000;
	log_set_config(rig->log, &rig->config);
	now.first_ms = rig->now_ms;
	for (int i = 0; i < 200; i++)
		rig_append_keyed(rig, &(struct keyed){1, i}, 1, &now);
	close_active(rig);
	assert_false(compacts(rig));
	rig_pass_time(rig, 1001);
	assert_true(compacts(rig));
	assert_int_equal(contents_of(rig)->count, 2);
}

static void retention_goes_on_beside_it(void **state)
{
	struct rig *rig = *state;

	fill(rig, 500, 0);
	close_active(rig);
	compact(rig);
	rig->config.delete_enabled = true;
	rig->config.retention_ms = 1000;
	log_set_config(rig->log, &rig->config);
	store_housekeep(rig->store);
	assert_true(log_start_offset(rig->log) >= 450);
	rig_reopen(rig);
	assert_true(log_start_offset(rig->log) >= 450);
}

/* ---- damage ---- */

static void damage_of_byte_stops_it(struct rig *rig, off_t byte)
{
	char path[256];

	fill(rig, 500, 0);
	close_active(rig);
	uint64_t bytes = log_bytes(rig->log);
	rig_path(rig, "00000000000000000000.log", path);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\x7f", 1, byte), 1);
	close(fd);
	assert_false(compacts(rig));
	assert_true(rig->log->compact_broken);
	assert_int_equal(store_stats(rig->store)->quarantined_ranges, 0);
	store_housekeep(rig->store);
	assert_int_equal(store_stats(rig->store)->quarantined_ranges, 1);
	assert_int_equal(log_bytes(rig->log), bytes);
	rig_path(rig, "compact.new", path);
	assert_false(file_exists(path));
	rig_pass_time(rig, day_ms);
	assert_false(compacts(rig));
}

static void damage_stops_it_and_nothing_is_removed(void **state)
{
	damage_of_byte_stops_it(*state, 9000);
}

/* They lie under no checksum. */
static void a_changed_offset_stops_it(void **state)
{
	damage_of_byte_stops_it(*state, SEGMENT_HEADER_BYTES + 6);
}

static void a_changed_epoch_stops_it(void **state)
{
	damage_of_byte_stops_it(*state, SEGMENT_HEADER_BYTES + 12);
}

static void a_damaged_note_of_how_far_costs_a_pass(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t size;

	fill(rig, 500, 0);
	close_active(rig);
	compact(rig);
	rig_close(rig);
	rig_path(rig, "compaction", path);
	uint8_t *file = load_file(path, &size);
	file[33] ^= 1;
	save_file(path, file, size);
	free(file);
	rig_open(rig);
	compact(rig);
	check_last_of_each(rig, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(of_each_key_the_last_record_stays),
		T(a_compacted_log_is_the_same_after_a_restart),
		T(small_segments_become_one),
		T(every_offset_can_be_read_from),
		T(compressed_batches_keep_their_codec_and_lose_records),
		T(records_without_a_key_go),
		T(more_keys_than_the_map_takes_are_compacted_in_several_passes),
		T(a_tombstone_stays_for_a_while_after_it_was_first_seen),
		T(a_segment_that_grows_removes_no_bytes),
		T(tombstones_in_compressed_batches_keep_their_times),
		T(it_waits_until_enough_is_dirty),
		T(what_has_waited_for_too_long_is_compacted_whatever_its_part),
		T(young_records_are_left_alone),
		T(retention_goes_on_beside_it),
		T(damage_stops_it_and_nothing_is_removed),
		T(a_changed_offset_stops_it),
		T(a_changed_epoch_stops_it),
		T(a_damaged_note_of_how_far_costs_a_pass),
#undef T
	};
	log_set_level(LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
