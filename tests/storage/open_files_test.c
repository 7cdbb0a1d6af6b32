/* Files that are open only while there is room: by themselves, and as a store uses them for logs
 * of many segments. */
#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "storage/open_files.h"
#include "storage/store_internal.h"
#include "tests/storage/support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	ROOM = 10,
	FILES = 40,
	SEGMENT_BYTES = 200000,
	BATCH_BYTES = 20000,
	BATCHES = 300, /* some thirty segments */
};

struct file {
	struct open_file open_file;
	bool busy;
	unsigned closings;
};

static bool file_busy(struct open_file *open_file)
{
	return container_of(open_file, struct file, open_file)->busy;
}

static void file_closing(struct open_file *open_file)
{
	container_of(open_file, struct file, open_file)->closings++;
}

static const struct open_file_kind kind = {.busy = file_busy, .closing = file_closing};

static void open_one(struct open_files *open, struct file *file)
{
	int fd;

	open_files_make_room(open);
	do {
		fd = openat(AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC);
	} while (fd < 0 && open_files_spare(open));
	assert_true(fd >= 0);
	open_file_keep(open, &file->open_file, fd);
}

static void open_all(struct open_files *open, struct file files[static FILES], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		files[i] = (struct file){0};
		open_file_init(&files[i].open_file, &kind);
		open_one(open, &files[i]);
	}
}

static void close_all(struct open_files *open, struct file files[static FILES])
{
	for (size_t i = 0; i < FILES; i++) {
		if (files[i].open_file.kind)
			open_file_close(open, &files[i].open_file);
	}
	assert_int_equal(open->count, 0);
	assert_int_equal(open->bytes, 0);
}

static void the_ones_unused_for_longest_are_closed(void **state)
{
	struct open_files open;
	struct file files[FILES] = {0};

	(void)state;
	open_files_init(&open, ROOM, SIZE_MAX);
	open_all(&open, files, ROOM);
	assert_true(open_file_use(&open, &files[0].open_file) >= 0);
	open_file_init(&files[ROOM].open_file, &kind);
	open_one(&open, &files[ROOM]);
	assert_int_equal(open.count, ROOM);
	assert_int_equal(open_file_use(&open, &files[1].open_file), -1);
	assert_int_equal(files[1].closings, 1);
	assert_true(open_file_use(&open, &files[0].open_file) >= 0);
	assert_true(open_file_use(&open, &files[2].open_file) >= 0);
	close_all(&open, files);
}

static void one_that_is_busy_stays_open_and_the_budget_is_exceeded_then(void **state)
{
	struct open_files open;
	struct file files[FILES] = {0};

	(void)state;
	open_files_init(&open, ROOM, SIZE_MAX);
	for (size_t i = 0; i < FILES; i++) {
		open_file_init(&files[i].open_file, &kind);
		files[i].busy = true;
		open_one(&open, &files[i]);
	}
	assert_int_equal(open.count, FILES);
	for (size_t i = 0; i < FILES; i++)
		files[i].busy = false;
	open_file_close(&open, &files[FILES - 1].open_file);
	open_one(&open, &files[FILES - 1]);
	assert_int_equal(open.count, ROOM);
	close_all(&open, files);
}

static void memory_beyond_its_budget_closes_others(void **state)
{
	struct open_files open;
	struct file files[FILES] = {0};

	(void)state;
	open_files_init(&open, FILES, 1000);
	open_all(&open, files, FILES);
	for (size_t i = 0; i < FILES; i++)
		open_file_charge(&open, &files[i].open_file, 50);
	assert_true(open.bytes <= 1000);
	assert_int_equal(open_file_use(&open, &files[0].open_file), -1);
	assert_true(open_file_use(&open, &files[FILES - 1].open_file) >= 0);
	close_all(&open, files);
}

static void where_the_process_has_none_left_others_are_closed(void **state)
{
	struct open_files open;
	struct file files[FILES] = {0};
	struct rlimit before;

	(void)state;
	open_files_init(&open, FILES * 2, SIZE_MAX);
	open_all(&open, files, FILES - 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int next = dup(0);
	close(next);
	struct rlimit few = {.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	open_file_init(&files[FILES - 1].open_file, &kind);
	open_one(&open, &files[FILES - 1]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(open.count, FILES - 1);
	assert_int_equal(files[0].closings, 1);
	close_all(&open, files);
}

/* ---- a store ---- */

static int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	check(rig);
	rig_init(rig, "sync", NULL, 16 << 20);
	rig->open_files_max = ROOM;
	rig->config.segment_bytes = SEGMENT_BYTES;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	rig_fini(rig);
	free(rig);
	return 0;
}

static void write_segments(struct rig *rig)
{
	rig_restart(rig);
	rig_open(rig);
	rig_fill(rig, BATCHES, BATCH_BYTES, 1000);
	assert_true(rig->log->segments.next != &rig->log->active->link);
}

static unsigned open_segments(const struct rig *rig)
{
	unsigned count = 0;

	list_foreach(node, &rig->log->segments)
		count += container_of(node, struct segment, link)->file.fd >= 0;
	return count;
}

static size_t index_bytes(const struct rig *rig)
{
	size_t bytes = 0;

	list_foreach(node, &rig->log->segments)
		bytes += container_of(node, struct segment, link)->index_capacity *
			 sizeof(struct index_entry);
	return bytes;
}

static void a_log_of_many_segments_is_read_with_few_files_open(void **state)
{
	struct rig *rig = *state;

	write_segments(rig);
	assert_true(open_segments(rig) <= ROOM);
	assert_int_equal(rig_check_all(rig), BATCHES);
	assert_true(open_segments(rig) <= ROOM);
	rig_reopen(rig);
	assert_true(open_segments(rig) <= ROOM);
	assert_int_equal(rig_check_all(rig), BATCHES);
	for (int64_t offset = BATCHES - 1; offset > 0; offset -= 37) {
		struct rig_read read = rig_read(rig, offset, 1, true);
		assert_int_equal(read.rc, 0);
		assert_true(read.size > BATCH_BYTES);
		free(read.data);
	}
	assert_true(open_segments(rig) <= ROOM);
}

static void indexes_of_closed_segments_stay_within_their_budget(void **state)
{
	struct rig *rig = *state;
	int64_t offset;
	int64_t ms;

	rig->open_files_max = 0;
	rig->index_bytes_max = 500; /* of three segments or so, beside those that are in use */
	write_segments(rig);
	assert_true(index_bytes(rig) < 3000);
	assert_int_equal(rig_check_all(rig), BATCHES);
	rig_reopen(rig);
	assert_true(index_bytes(rig) < 3000);
	assert_int_equal(rig_find(rig, 1000, &offset, &ms), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(rig_find(rig, 1150, &offset, &ms), 0);
	assert_int_equal(offset, 150);
}

static void an_index_file_that_is_gone_when_it_is_needed_is_made_anew(void **state)
{
	struct rig *rig = *state;
	char path[256];

	write_segments(rig);
	rig_reopen(rig);
	assert_int_equal(rig_check_all(rig), BATCHES);
	/* The first segments are closed by now, their indexes with them. */
	rig_path(rig, "00000000000000000000.idx", path);
	assert_int_equal(unlink(path), 0);
	struct rig_read read = rig_read(rig, 5, 1, true);
	assert_int_equal(read.rc, 0);
	assert_true(read.size > BATCH_BYTES);
	free(read.data);
}

static void a_segment_file_that_is_gone_is_an_error_of_the_read_alone(void **state)
{
	struct rig *rig = *state;
	char path[256];

	write_segments(rig);
	rig_reopen(rig);
	assert_int_equal(rig_check_all(rig), BATCHES);
	rig_path(rig, "00000000000000000000.log", path);
	assert_int_equal(unlink(path), 0);
	struct rig_read read = rig_read(rig, 0, 1, true);
	assert_int_equal(read.rc, -ERR_STORAGE);
	free(read.data);
	rig_fill(rig, 1, 100, 2000);
	read = rig_read(rig, BATCHES, 1, true);
	assert_int_equal(read.rc, 0);
	free(read.data);
}

static void appends_go_on_in_a_log_whose_file_was_closed(void **state)
{
	struct rig *rig = *state;

	write_segments(rig);
	int64_t end = log_end_offset(rig->log);
	struct open_file *file = &rig->log->active->file;
	assert_false(file->kind->busy(file));
	open_file_close(&rig->store->open_files, file);
	rig_fill(rig, 3, 100, 2000);
	assert_int_equal(log_high_watermark(rig->log), end + 3);
	rig_reopen(rig);
	assert_int_equal(rig_check_all(rig), BATCHES + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ones_unused_for_longest_are_closed),
		cmocka_unit_test(one_that_is_busy_stays_open_and_the_budget_is_exceeded_then),
		cmocka_unit_test(memory_beyond_its_budget_closes_others),
		cmocka_unit_test(where_the_process_has_none_left_others_are_closed),
		cmocka_unit_test_setup_teardown(a_log_of_many_segments_is_read_with_few_files_open,
						setup, teardown),
		cmocka_unit_test_setup_teardown(indexes_of_closed_segments_stay_within_their_budget,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_index_file_that_is_gone_when_it_is_needed_is_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_segment_file_that_is_gone_is_an_error_of_the_read_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(appends_go_on_in_a_log_whose_file_was_closed, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
