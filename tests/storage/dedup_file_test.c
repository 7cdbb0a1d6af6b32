/* Files of ids: what is written is found again, and what is not whole is not believed; and the
 * filter that stands before them. */
#include "storage/dedup_file.h"

#include "base/check.h"
#include "base/errors.h"
#include "tests/storage/support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct world {
	char folder[128];
	int dir_fd;
	struct chance chance;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	make_folder(world->folder, true);
	world->dir_fd = open(world->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	world->chance.state = 4711;
	*state = world;
	return world->dir_fd < 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	close(world->dir_fd);
	remove_folder(world->folder);
	free(world);
	return 0;
}

static struct dedup_id random_id(struct world *world)
{
	uint64_t low = chance_next(&world->chance);

	return (struct dedup_id){low, chance_next(&world->chance)};
}

/* Sorted; to free. */
static struct dedup_entry *random_entries(struct world *world, size_t count)
{
	struct dedup_entry *entries = malloc((count + 1) * sizeof(*entries));

	check(entries);
	for (size_t i = 0; i < count; i++)
		entries[i] = (struct dedup_entry){random_id(world), (int64_t)i};
	assert_int_equal(dedup_entries_sort(entries, count), count);
	return entries;
}

static void write_file(const struct world *world, const struct dedup_entry *entries, size_t count)
{
	struct dedup_file_head head = {.to = (int64_t)count + 1, .count = count, .last_ms = -1};

	assert_int_equal(dedup_file_write(world->dir_fd, &head, entries), 0);
}

static void expect_found(const struct world *world, const struct dedup_entry *entries, size_t count)
{
	int fd = dedup_file_open(world->dir_fd, 0, (int64_t)count + 1);

	assert_true(fd >= 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(dedup_file_find(fd, count, &entries[i].id), entries[i].offset);
	close(fd);
}

static void every_id_is_found_in_files_of_any_size(void **state)
{
	struct world *world = *state;
	static const size_t counts[] = {1, 2, 511, 512, 513, 1024, 5000, 100000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct dedup_entry *entries = random_entries(world, counts[i]);
		write_file(world, entries, counts[i]);
		expect_found(world, entries, counts[i]);
		free(entries);
	}
}

static void an_id_that_is_not_there_is_not_found(void **state)
{
	struct world *world = *state;
	static const size_t counts[] = {0, 1, 1000, 20000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct dedup_entry *entries = random_entries(world, counts[i]);
		write_file(world, entries, counts[i]);
		int fd = dedup_file_open(world->dir_fd, 0, (int64_t)counts[i] + 1);
		for (int tries = 0; tries < 2000; tries++) {
			struct dedup_id id = random_id(world);
			assert_int_equal(dedup_file_find(fd, counts[i], &id), -1);
		}
		close(fd);
		free(entries);
	}
}

static void ids_that_are_not_spread_evenly_are_found_too(void **state)
{
	struct world *world = *state;
	enum { COUNT = 20000 };
	struct dedup_entry *entries = malloc(COUNT * sizeof(*entries));

	for (size_t i = 0; i < COUNT; i++)
		entries[i] = (struct dedup_entry){{i < COUNT / 2 ? 7 : UINT64_MAX - 7, i}, 1};
	write_file(world, entries, COUNT);
	expect_found(world, entries, COUNT);
	free(entries);
}

static void of_equal_ids_the_later_stays(void **state)
{
	struct dedup_entry entries[] = {{{1, 1}, 5}, {{0, 9}, 3}, {{1, 1}, 7}, {{1, 0}, 6}};

	(void)state;
	assert_int_equal(dedup_entries_sort(entries, 4), 3);
	assert_int_equal(entries[0].offset, 3);
	assert_int_equal(entries[1].offset, 6);
	assert_int_equal(entries[2].offset, 7);
}

static void a_file_that_is_cut_anywhere_is_not_believed(void **state)
{
	struct world *world = *state;
	struct dedup_entry *entries = random_entries(world, 20);
	const struct dedup_entry *got;
	struct dedup_file_head head;
	char name[DEDUP_FILE_NAME_BYTES];
	char path[256];
	size_t size;

	write_file(world, entries, 20);
	dedup_file_name(name, 0, 21);
	snprintf(path, sizeof(path), "%s/%s", world->folder, name);
	uint8_t *data = load_file(path, &size);
	assert_int_equal(size, dedup_file_bytes(20));
	assert_int_equal(dedup_file_parse(data, size, &head, &got), 0);
	assert_int_equal(head.count, 20);
	for (size_t length = 0; length < size; length++)
		assert_int_equal(dedup_file_parse(data, length, &head, &got), -ERR_CORRUPT);
	free(data);
	free(entries);
}

static void a_flipped_bit_anywhere_is_found(void **state)
{
	struct world *world = *state;
	struct dedup_entry *entries = random_entries(world, 20);
	const struct dedup_entry *got;
	struct dedup_file_head head;
	char name[DEDUP_FILE_NAME_BYTES];
	char path[256];
	size_t size;

	write_file(world, entries, 20);
	dedup_file_name(name, 0, 21);
	snprintf(path, sizeof(path), "%s/%s", world->folder, name);
	uint8_t *data = load_file(path, &size);
	for (size_t bit = 0; bit < 8 * size; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		int rc = dedup_file_parse(data, size, &head, &got);
		assert_int_equal(rc, bit / 32 == 2 ? -ERR_FORMAT : -ERR_CORRUPT);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(data);
	free(entries);
}

static void names_are_read_as_they_are_written(void **state)
{
	char name[DEDUP_FILE_NAME_BYTES];
	int64_t from, to;

	(void)state;
	dedup_file_name(name, 12, INT64_C(1) << 40);
	assert_true(dedup_file_is_name(name, &from, &to));
	assert_int_equal(from, 12);
	assert_int_equal(to, INT64_C(1) << 40);
	assert_false(dedup_file_is_name("00000000000000000012.dedup", &from, &to));
	assert_false(
		dedup_file_is_name("00000000000000000012-00000000000000000011.dedup", &from, &to));
	assert_false(
		dedup_file_is_name("00000000000000000012-00000000000000000013.log", &from, &to));
	assert_false(
		dedup_file_is_name("00000000000000000012-99999999999999999999.dedup", &from, &to));
}

static void the_filter_has_all_ids_and_few_others(void **state)
{
	struct world *world = *state;
	enum { COUNT = 100000, OTHERS_MAX = COUNT / 300 };
	struct dedup_entry *entries = random_entries(world, COUNT);
	struct dedup_filter filter;
	unsigned others = 0;

	assert_int_equal(dedup_filter_new(&filter, entries, COUNT), 0);
	for (size_t i = 0; i < COUNT; i++) {
		struct dedup_id id = random_id(world);
		assert_true(dedup_filter_may_have(&filter, &entries[i].id));
		others += dedup_filter_may_have(&filter, &id);
	}
	assert_true(others < OTHERS_MAX);
	assert_true(dedup_filter_bytes(&filter) <= 2 * COUNT + 64);
	dedup_filter_free(&filter);
	assert_int_equal(dedup_filter_new(&filter, entries, 0), 0);
	assert_false(dedup_filter_may_have(&filter, &entries[0].id));
	dedup_filter_free(&filter);
	free(entries);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_id_is_found_in_files_of_any_size),
		TEST(an_id_that_is_not_there_is_not_found),
		TEST(ids_that_are_not_spread_evenly_are_found_too),
		TEST(of_equal_ids_the_later_stays),
		TEST(a_file_that_is_cut_anywhere_is_not_believed),
		TEST(a_flipped_bit_anywhere_is_found),
		TEST(names_are_read_as_they_are_written),
		TEST(the_filter_has_all_ids_and_few_others),
	};
#undef TEST
	return cmocka_run_group_tests(tests, NULL, NULL);
}
