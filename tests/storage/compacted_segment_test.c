/* A compacted segment's file: what damage of it costs, and what becomes of one that was made when
 * there were gaps between its batches. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "base/log.h"
#include "storage/segment_internal.h"
#include "tests/storage/keyed.h"
#include "tests/storage/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { KEYS = 50, PADDING = 300, SEGMENT_BYTES = 20000 };
static const int64_t day_ms = INT64_C(24) * 3600 * 1000;
static const char first[] = "00000000000000000000.log";
static const char first_index[] = "00000000000000000000.idx";

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

/* ---- what is put in ---- */

static const struct keyed_options plain = {.first_ms = 1000, .padding = PADDING};

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

static void fill_and_compact(struct rig *rig, unsigned passes)
{
	for (unsigned i = 0; i < 500; i++)
		rig_append_keyed(rig, &(struct keyed){i % KEYS, i}, 1, &plain);
	for (unsigned i = 0; i < passes; i++) {
		close_active(rig);
		compact(rig);
	}
}

/* ---- files ---- */

static void unlink_file(const struct rig *rig, const char *name)
{
	char path[256];

	rig_path(rig, name, path);
	unlink(path);
}

static void turn_bit(const struct rig *rig, const char *name, size_t byte)
{
	char path[256];
	size_t size;

	rig_path(rig, name, path);
	uint8_t *file = load_file(path, &size);
	assert_true(byte < size);
	file[byte] ^= 0x40;
	save_file(path, file, size);
	free(file);
}

static struct batch batch_at(const char *path, size_t position)
{
	size_t size;
	uint8_t *file = load_file(path, &size);
	struct batch batch;

	assert_true(position + BATCH_HEADER_BYTES <= size);
	batch_decode(&batch, file + position);
	free(file);
	return batch;
}

static bool is_filler_at(const char *path, size_t position)
{
	struct batch batch = batch_at(path, position);

	return batch_is_filler(&batch);
}

/* ---- a log ---- */

static const struct segment *first_segment(const struct rig *rig)
{
	return container_of(rig->log->segments.next, struct segment, link);
}

/* From end to end, as one who passes over what it is told to be lost.  Returns the batches, without
 * those that stand for nothing. */
static size_t read_past_damage(struct rig *rig)
{
	int64_t offset = 0, end = log_end_offset(rig->log);
	struct damage lost;
	size_t batches = 0;

	while (offset < end) {
		struct rig_read got = rig_read(rig, offset, 1 << 20, true);
		struct batch batch;
		if (got.rc == -ERR_CORRUPT) {
			assert_int_equal(log_quarantined(rig->log, &lost, 1), 1);
			assert_true(lost.to > offset);
			offset = lost.to;
		}
		for (size_t at = 0; at < got.size; at += batch.size, batches++) {
			assert_int_equal(batch_parse(&batch, got.data + at, got.size - at), 0);
			offset = batch.base_offset + batch.last_offset_delta + 1;
			batches -= batch_is_filler(&batch);
		}
		free(got.data);
	}
	return batches;
}

/* ---- damage ---- */

static void damage_of_a_compacted_segment_costs_a_batch(void **state)
{
	static const size_t bytes[] = {6 /* offset */, 9 /* length */, 12 /* leader's epoch */,
				       25 /* last offset */};
	struct rig *rig = *state;
	char path[256];
	size_t at[64];

	/* Twice, so that what is left of small segments comes together. */
	fill_and_compact(rig, 2);
	const size_t whole = read_past_damage(rig);
	rig_path(rig, first, path);
	const size_t count = segment_positions(path, at);
	assert_true(count > 3);
	bool filler[64];
	size_t fillers = 0;
	for (size_t i = 0; i < count; i++)
		fillers += filler[i] = is_filler_at(path, at[i]);
	assert_true(fillers > 0 && fillers < count);
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < array_count(bytes); j++) {
			rig_close(rig);
			turn_bit(rig, first, at[i] + bytes[j]);
			unlink_file(rig, first_index);
			rig_open(rig);
			assert_int_equal(read_past_damage(rig), whole - !filler[i]);
			rig_close(rig);
			turn_bit(rig, first, at[i] + bytes[j]);
			unlink_file(rig, "quarantine");
			rig_open(rig);
		}
	}
}

/* Where one goes on who has read at `offset`. */
static int64_t offset_behind(struct rig *rig, int64_t offset)
{
	struct rig_read got = rig_read(rig, offset, 1, true);
	struct batch batch;

	assert_int_equal(got.rc, 0);
	assert_int_equal(batch_parse(&batch, got.data, got.size), 0);
	assert_int_equal(got.size, batch.size);
	free(got.data);
	return batch.base_offset + batch.last_offset_delta + 1;
}

/* Offset and leader's epoch of a batch lie under no checksum, and an index vouches for the file. */
static void a_reader_is_not_given_a_batch_at_another_offset(void **state)
{
	static const size_t bytes[] = {6 /* offset */, 12, 15 /* leader's epoch */};
	struct rig *rig = *state;
	char path[256];
	size_t at[64];

	fill_and_compact(rig, 2);
	rig_reopen(rig);
	rig_path(rig, first, path);
	const size_t count = segment_positions(path, at);
	for (size_t i = 0; i < count; i++) {
		const struct batch batch = batch_at(path, at[i]);
		for (size_t j = 0; j < array_count(bytes); j++) {
			turn_bit(rig, first, at[i] + bytes[j]);
			struct rig_read got = rig_read(rig, batch.base_offset, 1 << 20, true);
			assert_int_equal(got.rc, -ERR_CORRUPT);
			free(got.data);
			/* Its reader comes to just there, though nothing be left before. */
			if (i)
				assert_int_equal(offset_behind(rig, batch.base_offset - 1),
						 batch.base_offset);
			store_housekeep(rig->store);
			struct damage lost;
			assert_int_equal(log_quarantined(rig->log, &lost, 1), 1);
			assert_int_equal(lost.from, batch.base_offset);
			assert_int_equal(lost.to, batch.base_offset + batch.last_offset_delta + 1);
			if (i)
				assert_int_equal(offset_behind(rig, lost.from - 1), lost.from);
			rig_close(rig);
			turn_bit(rig, first, at[i] + bytes[j]);
			unlink_file(rig, "quarantine");
			rig_open(rig);
		}
	}
}

static void what_is_lost_behind_a_segment_without_records_is_told(void **state)
{
	struct rig *rig = *state;

	fill_and_compact(rig, 1);
	const int64_t next = first_segment(rig)->next_offset;
	char name[32];
	assert_int_equal(first_segment(rig)->end, SEGMENT_HEADER_BYTES);
	rig_close(rig);
	snprintf(name, sizeof(name), "%020lld.log", (long long)next);
	unlink_file(rig, name);
	rig_open(rig);
	for (int64_t offset = 0; offset <= next; offset++) {
		struct rig_read got = rig_read(rig, offset, 1, true);
		assert_int_equal(got.rc, -ERR_CORRUPT);
		free(got.data);
	}
	read_past_damage(rig);
}

/* ---- an older version ---- */

static size_t header_bytes_checked(void)
{
	return sizeof(struct segment_header) + offsetof(struct segment_extent, checksum);
}

/* As version 2 had it: nothing stands for offsets of which nothing is left. */
static void make_version_2(const struct rig *rig)
{
	char path[256];
	size_t size, at[64], end = SEGMENT_HEADER_BYTES;

	rig_path(rig, first, path);
	const unsigned count = segment_positions(path, at);
	uint8_t *file = load_file(path, &size);
	for (unsigned i = 0; i < count; i++) {
		if (is_filler_at(path, at[i]))
			continue;
		memmove(file + end, file + at[i], at[i + 1] - at[i]);
		end += at[i + 1] - at[i];
	}
	struct segment_header *header = (struct segment_header *)file;
	struct segment_extent *extent = (struct segment_extent *)(header + 1);
	assert_int_equal(header->version, SEGMENT_COMPACTED_VERSION);
	assert_true(extent->end == at[count] && end < extent->end);
	header->version = SEGMENT_GAPS_VERSION;
	header->checksum = XXH3_64bits(header, offsetof(struct segment_header, checksum));
	extent->end = end;
	extent->checksum = XXH3_64bits(file, header_bytes_checked());
	memset(file + end, 0, size - end);
	save_file(path, file, round_up(end, BLOCK_BYTES));
	free(file);
	unlink_file(rig, first_index);
}

static void one_with_gaps_is_read_and_its_gaps_are_filled_by_the_next_pass(void **state)
{
	struct rig *rig = *state;

	fill_and_compact(rig, 2);
	const size_t whole = read_past_damage(rig);
	const int64_t next = first_segment(rig)->next_offset;
	rig_close(rig);
	make_version_2(rig);
	for (int life = 0; life < 2; life++) {
		rig_open(rig);
		assert_true(first_segment(rig)->gaps);
		assert_int_equal(first_segment(rig)->next_offset, next);
		assert_int_equal(read_past_damage(rig), whole);
		rig_close(rig);
	}
	rig_open(rig);
	close_active(rig);
	compact(rig);
	rig_reopen(rig);
	assert_false(first_segment(rig)->gaps);
	/* The record that close_active superseded is gone, and there is one in its place. */
	assert_int_equal(read_past_damage(rig), whole);
}

static void damage_of_one_with_gaps_costs_a_batch(void **state)
{
	struct rig *rig = *state;
	char path[256];
	size_t at[64];

	fill_and_compact(rig, 2);
	const size_t whole = read_past_damage(rig);
	rig_close(rig);
	make_version_2(rig);
	rig_path(rig, first, path);
	const size_t count = segment_positions(path, at);
	for (size_t i = 0; i < count; i++) {
		turn_bit(rig, first, at[i] + 70);
		unlink_file(rig, first_index);
		rig_open(rig);
		assert_int_equal(read_past_damage(rig), whole - 1);
		rig_close(rig);
		turn_bit(rig, first, at[i] + 70);
		unlink_file(rig, "quarantine");
	}
	rig_open(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(damage_of_a_compacted_segment_costs_a_batch),
		T(a_reader_is_not_given_a_batch_at_another_offset),
		T(what_is_lost_behind_a_segment_without_records_is_told),
		T(one_with_gaps_is_read_and_its_gaps_are_filled_by_the_next_pass),
		T(damage_of_one_with_gaps_costs_a_batch),
#undef T
	};
	log_set_level(LOG_ERROR + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
