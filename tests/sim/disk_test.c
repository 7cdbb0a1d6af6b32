/* The simulated disk: what is seen, what a flush makes durable, what a power cut may leave.
 *
 * What *may* happen is shown by trying many seeds until it has; what may not, by none of them. */
#include "tests/sim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 300, SECTOR = 512, BLOCK = 4096 };

static struct disk *new_disk(uint64_t seed)
{
	return disk_new((struct random){seed});
}

static struct inode *open_file(struct disk *disk, const char *path, int flags)
{
	struct inode *inode;

	assert_int_equal(disk_open(disk, disk_root(disk), path, flags, &inode), 0);
	return inode;
}

static bool is_there(struct disk *disk, const char *path)
{
	struct inode *inode;

	if (disk_open(disk, disk_root(disk), path, O_RDONLY, &inode) < 0)
		return false;
	inode_put(disk, inode);
	return true;
}

static void fill(struct disk *disk, struct inode *inode, char value, uint64_t offset, size_t length,
		 bool direct)
{
	char *data = aligned_alloc(SECTOR, (length + SECTOR - 1) / SECTOR * SECTOR);

	assert_non_null(data);
	memset(data, value, length);
	assert_int_equal(inode_write(disk, inode, data, length, offset, direct), length);
	free(data);
}

static char byte_at(struct disk *disk, struct inode *inode, uint64_t offset)
{
	char value;

	assert_int_equal(inode_read(disk, inode, &value, 1, offset), 1);
	return value;
}

static void sync_names(struct disk *disk)
{
	assert_int_equal(inode_flush(disk, disk_root(disk), false), 0);
}

/* A file "a" of one block of 'o', durable in every way. */
static struct inode *durable_file(struct disk *disk, bool direct)
{
	struct inode *inode = open_file(disk, "a", O_RDWR | O_CREAT);

	fill(disk, inode, 'o', 0, BLOCK, direct);
	assert_int_equal(inode_flush(disk, inode, true), 0);
	sync_names(disk);
	return inode;
}

static struct inode *cut_and_open(struct disk *disk, struct inode *inode)
{
	inode_put(disk, inode);
	disk_power_cut(disk);
	return open_file(disk, "a", O_RDWR);
}

static void what_was_written_is_read(void **state)
{
	struct disk *disk = new_disk(1);
	struct inode *inode = open_file(disk, "a", O_RDWR | O_CREAT);
	char data[16];

	fill(disk, inode, 'x', 100000, 5000, false);
	assert_int_equal(inode_size(inode), 105000);
	assert_int_equal(byte_at(disk, inode, 99999), 0);
	assert_int_equal(byte_at(disk, inode, 100000), 'x');
	assert_int_equal(inode_read(disk, inode, data, sizeof(data), 104990), 10);
	assert_int_equal(inode_read(disk, inode, data, sizeof(data), 105000), 0);
	inode_put(disk, inode);
	disk_free(disk);
}

static void what_was_flushed_is_there_after_a_power_cut(void **state)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = cut_and_open(disk, durable_file(disk, seed % 2));
		assert_int_equal(inode_size(inode), BLOCK);
		for (unsigned i = 0; i < BLOCK; i += SECTOR)
			assert_int_equal(byte_at(disk, inode, i), 'o');
		inode_put(disk, inode);
		disk_free(disk);
	}
}

static void an_unflushed_write_is_torn_on_sector_borders(void **state)
{
	unsigned old = 0;
	unsigned new = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		fill(disk, inode, 'n', 0, BLOCK, true);
		inode = cut_and_open(disk, inode);
		for (unsigned i = 0; i < BLOCK; i += SECTOR) {
			char first = byte_at(disk, inode, i);
			assert_true(first == 'o' || first == 'n');
			assert_int_equal(byte_at(disk, inode, i + SECTOR - 1), first);
			old += first == 'o';
			new += first == 'n';
		}
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(old > SEEDS && new > SEEDS);
}

static void a_sector_may_hold_any_of_its_contents_since_the_flush(void **state)
{
	unsigned counts[3] = {0};

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		fill(disk, inode, 'p', 0, SECTOR, true);
		fill(disk, inode, 'q', 0, SECTOR, true);
		inode = cut_and_open(disk, inode);
		counts[byte_at(disk, inode, 0) - 'o']++;
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(counts[0] && counts[1] && counts[2]);
}

static void a_flush_covers_what_was_written_before_it_began(void **state)
{
	bool later_lost = false;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		struct disk_flush flush;
		fill(disk, inode, 'p', 0, 2 * SECTOR, true);
		inode_flush_begin(disk, inode, true, &flush);
		fill(disk, inode, 'q', 0, SECTOR, true);
		assert_int_equal(inode_flush_end(disk, &flush), 0);
		inode = cut_and_open(disk, inode);
		assert_true(byte_at(disk, inode, 0) != 'o');
		assert_int_equal(byte_at(disk, inode, SECTOR), 'p');
		later_lost |= byte_at(disk, inode, 0) == 'p';
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(later_lost);
}

static void a_flush_of_another_file_covers_direct_writes_into_settled_blocks(void **state)
{
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		struct inode *other;
		assert_int_equal(disk_open_unnamed(disk, &other), 0);
		fill(disk, inode, 'd', 0, SECTOR, true);
		fill(disk, inode, 'b', SECTOR, SECTOR, false);
		assert_int_equal(inode_flush(disk, other, true), 0);
		inode_put(disk, other);
		inode = cut_and_open(disk, inode);
		assert_int_equal(byte_at(disk, inode, 0), 'd');
		lost += byte_at(disk, inode, SECTOR) == 'o';
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(lost);
}

static void an_allocated_block_is_not_settled_until_its_own_flush(void **state)
{
	unsigned lost = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = open_file(disk, "a", O_RDWR | O_CREAT);
		struct inode *other;
		assert_int_equal(inode_allocate(disk, inode, 0, 1 << 20), 0);
		assert_int_equal(inode_flush(disk, inode, true), 0);
		sync_names(disk);
		assert_int_equal(disk_open_unnamed(disk, &other), 0);
		fill(disk, inode, 'd', 0, BLOCK, true);
		assert_int_equal(inode_flush(disk, other, true), 0);
		inode_put(disk, other);
		inode = cut_and_open(disk, inode);
		assert_int_equal(inode_size(inode), 1 << 20);
		lost += byte_at(disk, inode, 0) == 0;
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(lost);
}

static void a_block_that_is_written_again_during_its_flush_is_settled_by_it(void **state)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		struct inode *other;
		struct disk_flush flush;
		assert_int_equal(disk_open_unnamed(disk, &other), 0);
		fill(disk, inode, 'p', BLOCK, BLOCK, true);
		inode_flush_begin(disk, inode, true, &flush);
		fill(disk, inode, 'q', BLOCK, BLOCK, true);
		assert_int_equal(inode_flush_end(disk, &flush), 0);
		assert_int_equal(inode_flush(disk, other, true), 0);
		inode_put(disk, other);
		inode = cut_and_open(disk, inode);
		assert_int_equal(byte_at(disk, inode, 2 * BLOCK - 1), 'q');
		inode_put(disk, inode);
		disk_free(disk);
	}
}

static void a_file_may_be_there_with_its_length_and_no_data(void **state)
{
	bool found = false;

	for (uint64_t seed = 0; seed < SEEDS && !found; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, false);
		fill(disk, inode, 'n', BLOCK, BLOCK, false);
		inode = cut_and_open(disk, inode);
		found = inode_size(inode) == 2 * BLOCK && byte_at(disk, inode, BLOCK) == 0;
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(found);
}

static void an_unflushed_truncation_may_be_undone(void **state)
{
	bool undone = false;
	bool done = false;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		assert_int_equal(inode_truncate(disk, inode, SECTOR), 0);
		fill(disk, inode, 'n', SECTOR, SECTOR, true);
		inode = cut_and_open(disk, inode);
		if (inode_size(inode) == BLOCK) {
			undone = true;
			assert_int_equal(byte_at(disk, inode, SECTOR), 'o');
			assert_int_equal(byte_at(disk, inode, BLOCK - 1), 'o');
		} else {
			done = true;
		}
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(undone && done);
}

static void a_flushed_truncation_stays_and_what_it_cut_never_comes_back(void **state)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		assert_int_equal(inode_truncate(disk, inode, SECTOR), 0);
		assert_int_equal(inode_flush(disk, inode, true), 0);
		assert_int_equal(inode_truncate(disk, inode, BLOCK), 0);
		inode = cut_and_open(disk, inode);
		assert_int_equal(byte_at(disk, inode, 0), 'o');
		if (inode_size(inode) > SECTOR)
			assert_int_equal(byte_at(disk, inode, inode_size(inode) - 1), 0);
		inode_put(disk, inode);
		disk_free(disk);
	}
}

static void an_unsynced_rename_may_be_undone(void **state)
{
	bool undone = false;
	bool done = false;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *root = disk_root(disk);
		inode_put(disk, durable_file(disk, false));
		assert_int_equal(disk_rename(disk, root, "a", root, "b"), 0);
		assert_false(is_there(disk, "a"));
		disk_power_cut(disk);
		assert_true(is_there(disk, "a") != is_there(disk, "b"));
		undone |= is_there(disk, "a");
		done |= is_there(disk, "b");
		disk_free(disk);
	}
	assert_true(undone && done);
}

static void names_of_one_folder_become_durable_in_their_order(void **state)
{
	bool one_of_two = false;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		inode_put(disk, open_file(disk, "first", O_RDWR | O_CREAT));
		inode_put(disk, open_file(disk, "second", O_RDWR | O_CREAT));
		disk_power_cut(disk);
		if (is_there(disk, "second"))
			assert_true(is_there(disk, "first"));
		else
			one_of_two |= is_there(disk, "first");
		disk_free(disk);
	}
	assert_true(one_of_two);
}

static void a_removed_file_may_come_back_whole(void **state)
{
	bool back = false;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		inode_put(disk, durable_file(disk, false));
		assert_int_equal(disk_unlink(disk, disk_root(disk), "a", false), 0);
		disk_power_cut(disk);
		if (is_there(disk, "a")) {
			struct inode *inode = open_file(disk, "a", O_RDONLY);
			assert_int_equal(byte_at(disk, inode, BLOCK - 1), 'o');
			inode_put(disk, inode);
			back = true;
		}
		disk_free(disk);
	}
	assert_true(back);
}

static void a_file_below_a_folder_goes_with_the_folder(void **state)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *folder;
		assert_int_equal(disk_make_folder(disk, disk_root(disk), "f"), 0);
		assert_int_equal(
			disk_open(disk, disk_root(disk), "f", O_RDONLY | O_DIRECTORY, &folder), 0);
		inode_put(disk, open_file(disk, "f/x", O_RDWR | O_CREAT));
		assert_int_equal(inode_flush(disk, folder, false), 0);
		inode_put(disk, folder);
		assert_int_equal(disk_unlink(disk, disk_root(disk), "f", true), -ENOTEMPTY);
		disk_power_cut(disk);
		assert_int_equal(is_there(disk, "f"), is_there(disk, "f/x"));
		disk_free(disk);
	}
}

static void after_a_failed_flush_pages_are_clean_and_not_durable(void **state)
{
	bool lost = false;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, false);
		fill(disk, inode, 'n', 0, SECTOR, false);
		disk_set_faults(disk, &(struct disk_faults){.flush_error = 1000000});
		assert_int_equal(inode_flush(disk, inode, true), -EIO);
		disk_set_faults(disk, &(struct disk_faults){0});
		assert_int_equal(byte_at(disk, inode, 0), 'n');
		assert_int_equal(inode_flush(disk, inode, true), 0);
		if (seed % 2) {
			inode_drop_cache(disk, inode);
			assert_int_equal(byte_at(disk, inode, 0), 'o');
		}
		inode = cut_and_open(disk, inode);
		lost |= byte_at(disk, inode, 0) == 'o';
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(lost);
}

static void a_failed_flush_of_the_device_leaves_what_it_then_shows(void **state)
{
	unsigned counts[2] = {0};

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, true);
		struct inode *other;
		assert_int_equal(disk_open_unnamed(disk, &other), 0);
		fill(disk, inode, 'n', 0, SECTOR, true);
		disk_set_faults(disk, &(struct disk_faults){.flush_error = 1000000});
		assert_int_equal(inode_flush(disk, other, true), -EIO);
		disk_set_faults(disk, &(struct disk_faults){0});
		char shown = byte_at(disk, inode, 0);
		assert_int_equal(inode_flush(disk, other, true), 0);
		inode_put(disk, other);
		inode = cut_and_open(disk, inode);
		assert_int_equal(byte_at(disk, inode, 0), shown);
		counts[shown == 'n']++;
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(counts[0] && counts[1]);
}

static void a_full_disk_takes_what_fits_and_says_so(void **state)
{
	struct disk *disk = new_disk(1);
	struct inode *inode = open_file(disk, "a", O_RDWR | O_CREAT);
	char data[4 * BLOCK] = {0};

	disk_set_faults(disk, &(struct disk_faults){.room_bytes = 3 * BLOCK});
	assert_int_equal(inode_write(disk, inode, data, sizeof(data), 0, false), 3 * BLOCK);
	assert_int_equal(inode_write(disk, inode, data, 1, 3 * BLOCK, false), -ENOSPC);
	assert_int_equal(inode_write(disk, inode, data, BLOCK, 0, false), BLOCK);
	assert_int_equal(inode_allocate(disk, inode, 0, 4 * BLOCK), -ENOSPC);
	assert_int_equal(inode_truncate(disk, inode, BLOCK), 0);
	assert_int_equal(inode_allocate(disk, inode, BLOCK, BLOCK), 0);
	inode_put(disk, inode);
	assert_int_equal(disk_unlink(disk, disk_root(disk), "a", false), 0);
	sync_names(disk);
	inode = open_file(disk, "b", O_RDWR | O_CREAT);
	assert_int_equal(inode_allocate(disk, inode, 0, 3 * BLOCK), 0);
	inode_put(disk, inode);
	disk_free(disk);
}

static void faults_come_as_often_as_they_shall(void **state)
{
	struct disk *disk = new_disk(7);
	struct inode *inode = durable_file(disk, true);
	unsigned errors = 0;
	unsigned shorts = 0;
	char *data = aligned_alloc(SECTOR, BLOCK);

	memset(data, 'x', BLOCK);
	disk_set_faults(disk,
			&(struct disk_faults){.write_error = 250000, .short_transfer = 250000});
	for (unsigned i = 0; i < 1000; i++) {
		int64_t rc = inode_write(disk, inode, data, BLOCK, 0, true);
		errors += rc == -EIO;
		shorts += rc > 0 && rc < BLOCK;
		assert_true(rc == -EIO || (rc > 0 && rc % SECTOR == 0));
	}
	assert_in_range(errors, 150, 350);
	assert_in_range(shorts, 100, 300);
	free(data);
	inode_put(disk, inode);
	disk_free(disk);
}

static void rot_turns_one_bit_for_good(void **state)
{
	struct disk *disk = new_disk(3);
	struct inode *inode = durable_file(disk, true);
	unsigned turned = 0;

	assert_false(disk_rot(disk, "*.log"));
	assert_true(disk_rot(disk, "a"));
	inode = cut_and_open(disk, inode);
	for (unsigned i = 0; i < BLOCK; i++) {
		unsigned bits = (unsigned)(byte_at(disk, inode, i) ^ 'o') & 0xff;
		turned += (unsigned)__builtin_popcount(bits);
	}
	assert_int_equal(turned, 1);
	inode_put(disk, inode);
	disk_free(disk);
}

static void a_lie_makes_a_call_do_nothing_and_say_0(void **state)
{
	bool lost = false;

	for (uint64_t seed = 0; seed < SEEDS && !lost; seed++) {
		struct disk *disk = new_disk(seed);
		struct inode *inode = durable_file(disk, false);
		disk_lie(disk, "fdatasync", "a*");
		fill(disk, inode, 'n', 0, SECTOR, false);
		assert_int_equal(inode_flush(disk, inode, true), 0);
		inode = cut_and_open(disk, inode);
		lost = byte_at(disk, inode, 0) == 'o';
		inode_put(disk, inode);
		disk_free(disk);
	}
	assert_true(lost);
}

/* Calls of all kinds, drawn from a seed of their own; says what the disk is then. */
static uint64_t play(uint64_t seed)
{
	static const char *const names[] = {"a", "b", "f/c", "f/d"};
	struct disk *disk = new_disk(seed);
	struct random random = {1234};
	uint64_t sum = 0;

	disk_make_folder(disk, disk_root(disk), "f");
	disk_set_faults(disk, &(struct disk_faults){.write_error = 20000,
						    .flush_error = 20000,
						    .short_transfer = 20000,
						    .room_bytes = 1 << 20});
	for (unsigned i = 0; i < 3000; i++) {
		struct inode *inode;
		const char *name = names[random_below(&random, 4)];
		char data[9000];
		if (disk_open(disk, disk_root(disk), name, O_RDWR | O_CREAT, &inode) < 0) {
			disk_make_folder(disk, disk_root(disk), "f");
			continue;
		}
		memset(data, (int)random_below(&random, 3), sizeof(data));
		uint64_t at = random_below(&random, 100000);
		switch (random_below(&random, 9)) {
		case 0:
		case 1:
		case 2:
			inode_write(disk, inode, data, 1 + at % (sizeof(data) - 1), at, false);
			break;
		case 3:
			inode_truncate(disk, inode, at);
			break;
		case 4:
			inode_allocate(disk, inode, at, 50000);
			break;
		case 5:
			inode_flush(disk, inode, true);
			break;
		case 6:
			inode_flush(disk, disk_root(disk), false);
			break;
		case 7:
			disk_unlink(disk, disk_root(disk), name, false);
			break;
		default:
			if (random_below(&random, 10) == 0) {
				inode_put(disk, inode);
				disk_power_cut(disk);
				continue;
			}
			disk_rename(disk, disk_root(disk), "a", disk_root(disk), "b");
		}
		int64_t got = inode_read(disk, inode, data, sizeof(data), at);
		for (int64_t j = 0; j < got; j++)
			sum = sum * 31 + (uint64_t)data[j];
		sum += inode_size(inode);
		inode_put(disk, inode);
	}
	disk_free(disk);
	return sum;
}

static void the_same_seed_gives_the_same_disk(void **state)
{
	assert_true(play(5) == play(5));
	assert_true(play(5) != play(6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(what_was_flushed_is_there_after_a_power_cut),
		cmocka_unit_test(an_unflushed_write_is_torn_on_sector_borders),
		cmocka_unit_test(a_sector_may_hold_any_of_its_contents_since_the_flush),
		cmocka_unit_test(a_flush_covers_what_was_written_before_it_began),
		cmocka_unit_test(a_flush_of_another_file_covers_direct_writes_into_settled_blocks),
		cmocka_unit_test(an_allocated_block_is_not_settled_until_its_own_flush),
		cmocka_unit_test(a_block_that_is_written_again_during_its_flush_is_settled_by_it),
		cmocka_unit_test(a_file_may_be_there_with_its_length_and_no_data),
		cmocka_unit_test(an_unflushed_truncation_may_be_undone),
		cmocka_unit_test(a_flushed_truncation_stays_and_what_it_cut_never_comes_back),
		cmocka_unit_test(an_unsynced_rename_may_be_undone),
		cmocka_unit_test(names_of_one_folder_become_durable_in_their_order),
		cmocka_unit_test(a_removed_file_may_come_back_whole),
		cmocka_unit_test(a_file_below_a_folder_goes_with_the_folder),
		cmocka_unit_test(after_a_failed_flush_pages_are_clean_and_not_durable),
		cmocka_unit_test(a_failed_flush_of_the_device_leaves_what_it_then_shows),
		cmocka_unit_test(a_full_disk_takes_what_fits_and_says_so),
		cmocka_unit_test(faults_come_as_often_as_they_shall),
		cmocka_unit_test(rot_turns_one_bit_for_good),
		cmocka_unit_test(a_lie_makes_a_call_do_nothing_and_say_0),
		cmocka_unit_test(the_same_seed_gives_the_same_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
