/* File calls and the back end, as a program of the simulated world makes them: from a fiber. */
#include "base/bytes.h"
#include "tests/sim/backend.h"
#include "tests/sim/calls_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
	BLOCK = 4096,
	SEEDS = 100,
};

static struct disk *disk;

static void new_world(uint64_t seed)
{
	struct random random = {seed};

	schedule_init(random_split(&random, "schedule"));
	network_init(random_split(&random, "network"));
	descriptors_limit(0);
	disk_free(disk);
	disk = disk_new(random_split(&random, "disk"));
	disk_set_faults(disk,
			&(struct disk_faults){.latency_ns_min = 1000, .latency_ns_max = 100000});
	sim_set_disk(disk);
}

static bool is_dead(void *context)
{
	return !process_alive(context);
}

static struct process *start(void *(*run)(void *))
{
	struct process *process = process_new("program");

	fiber_spawn(process, "main", run, process);
	return process;
}

/* As a process, to its end. */
static void play(void *(*run)(void *))
{
	struct process *process = start(run);

	assert_true(schedule_run(is_dead, process));
}

static void *write_and_read(void *context)
{
	char text[16] = {0};
	struct stat info;

	assert_int_equal(mkdir("data", 0755), 0);
	assert_int_equal(mkdir("data", 0755), -1);
	assert_int_equal(errno, EEXIST);
	int folder = open("data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(folder >= DESCRIPTOR_FIRST);
	int fd = openat(folder, "a", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	assert_true(fd >= DESCRIPTOR_FIRST);
	assert_int_equal(write(fd, "hello ", 6), 6);
	assert_int_equal(write(fd, "world", 5), 5);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 11);
	assert_string_equal(text, "hello world");
	assert_int_equal(fstat(fd, &info), 0);
	assert_int_equal(info.st_size, 11);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(renameat(folder, "a", folder, "b"), 0);
	assert_int_equal(fsync(folder), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(fd), -1);
	assert_int_equal(errno, EBADF);
	fd = openat(folder, "b", O_RDONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "x", 1), -1);
	assert_int_equal(errno, EBADF);
	close(fd);
	close(folder);
	process_exit();
}

static void what_a_process_writes_another_reads_after_a_power_cut(void **state)
{
	struct inode *inode;
	char text[16] = {0};

	new_world(1);
	play(write_and_read);
	assert_int_equal(inode_flush(disk, disk_root(disk), false), 0);
	disk_power_cut(disk);
	assert_int_equal(disk_open(disk, disk_root(disk), "data/b", O_RDONLY, &inode), 0);
	assert_int_equal(inode_read(disk, inode, text, sizeof(text), 0), 11);
	assert_string_equal(text, "hello world");
	inode_put(disk, inode);
}

static void *list_names(void *context)
{
	unsigned files = 0;
	unsigned folders = 0;

	close(open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	close(open("b", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
	mkdir("c", 0755);
	DIR *dir = fdopendir(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(dir);
	for (const struct dirent *entry; (entry = readdir(dir));) {
		files += entry->d_type == DT_REG;
		folders += entry->d_type == DT_DIR;
		if (entry->d_type == DT_REG)
			assert_int_equal(unlinkat(AT_FDCWD, entry->d_name, 0), 0);
	}
	assert_int_equal(files, 2);
	assert_int_equal(folders, 3);
	assert_int_equal(closedir(dir), 0);
	process_exit();
}

static void a_folder_is_listed_as_it_was_when_it_was_opened(void **state)
{
	new_world(2);
	play(list_names);
	assert_string_equal(inode_name_at(disk_root(disk), 0), "c");
	assert_null(inode_name_at(disk_root(disk), 1));
}

static void *take_lock(void *context)
{
	int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	int other = open("lock", O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	process_exit();
}

static void a_lock_and_descriptors_end_with_their_process(void **state)
{
	new_world(3);
	descriptors_limit(2);
	play(take_lock);
	play(take_lock);
	assert_null(descriptor_get(DESCRIPTOR_FIRST));
}

static void *open_too_many(void *context)
{
	int first = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(first >= 0);
	assert_int_equal(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), -1);
	assert_int_equal(errno, EMFILE);
	assert_int_equal(close(first), 0);
	assert_int_equal(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), first);
	process_exit();
}

static void descriptors_run_out_at_the_limit(void **state)
{
	new_world(4);
	descriptors_limit(1);
	play(open_too_many);
}

static char boot_id[2][64];

static void *read_boot_id(void *context)
{
	static unsigned times;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	assert_int_equal(read(fd, boot_id[times++ % 2], sizeof(boot_id[0])), 37);
	process_exit();
}

static void a_boot_has_its_name_until_the_power_is_cut(void **state)
{
	new_world(5);
	play(read_boot_id);
	play(read_boot_id);
	assert_string_equal(boot_id[0], boot_id[1]);
	disk_power_cut(disk);
	play(read_boot_id);
	assert_string_not_equal(boot_id[0], boot_id[1]);
	play(read_boot_id);
	assert_string_equal(boot_id[0], boot_id[1]);
}

/* ---- the back end ---- */

struct operation {
	struct io io;
	int result;
	unsigned done; /* in which order; 0: not yet */
};

static unsigned done_count;

static void note(struct io *io, int result)
{
	struct operation *operation = container_of(io, struct operation, io);

	operation->result = result;
	operation->done = ++done_count;
}

static uint8_t block[BLOCK] __attribute__((aligned(BLOCK)));
static bool overtook;

static void *write_many(void *context)
{
	struct operation operations[8] = {0};
	struct io_backend *backend;
	struct io flush;
	int fd = open("a", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);

	done_count = 0;
	assert_int_equal(sim_backend_new(&backend, &(struct io_options){.depth = 64}), 0);
	for (unsigned i = 0; i < 8; i++) {
		operations[i].io.done = note;
		io_write(backend, &operations[i].io, fd, block, BLOCK, (uint64_t)i * BLOCK);
		assert_int_equal(operations[i].done, 0);
	}
	while (done_count < 8)
		assert_true(io_turn(backend, UINT64_MAX) >= 0);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(operations[i].result, BLOCK);
		overtook |= operations[i].done != i + 1;
	}
	io_flush(backend, &flush, fd);
	assert_int_equal(io_wait(backend, &flush), 0);
	io_sync(backend, &flush, open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_int_equal(io_wait(backend, &flush), 0);
	io_free(backend);
	process_exit();
}

static void writes_overtake_each_other_and_are_durable_when_flushed(void **state)
{
	struct inode *inode;
	char value;

	memset(block, 'w', BLOCK);
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		new_world(seed);
		play(write_many);
		disk_power_cut(disk);
		assert_int_equal(disk_open(disk, disk_root(disk), "a", O_RDONLY, &inode), 0);
		assert_int_equal(inode_size(inode), 8 * BLOCK);
		assert_int_equal(inode_read(disk, inode, &value, 1, 8 * BLOCK - 1), 1);
		assert_int_equal(value, 'w');
		inode_put(disk, inode);
	}
	assert_true(overtook);
}

static void *write_one(void *context)
{
	struct io_backend *backend;
	struct io io;
	int fd = open("a", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);

	assert_int_equal(sim_backend_new(&backend, &(struct io_options){.depth = 64}), 0);
	io_write(backend, &io, fd, block, BLOCK, 0);
	io_wait(backend, &io);
	process_exit();
}

static bool file_is_there(void *context)
{
	return inode_name_at(disk_root(disk), 0) != NULL;
}

static void a_killed_process_has_done_what_was_under_way_or_not(void **state)
{
	unsigned sizes[2] = {0};

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct inode *inode;
		new_world(seed);
		struct process *process = start(write_one);
		assert_true(schedule_run(file_is_there, NULL));
		process_kill(process);
		assert_int_equal(disk_open(disk, disk_root(disk), "a", O_RDONLY, &inode), 0);
		sizes[inode_size(inode) != 0]++;
		inode_put(disk, inode);
		disk_power_cut(disk);
	}
	assert_true(sizes[0] && sizes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_process_writes_another_reads_after_a_power_cut),
		cmocka_unit_test(a_folder_is_listed_as_it_was_when_it_was_opened),
		cmocka_unit_test(a_lock_and_descriptors_end_with_their_process),
		cmocka_unit_test(descriptors_run_out_at_the_limit),
		cmocka_unit_test(a_boot_has_its_name_until_the_power_is_cut),
		cmocka_unit_test(writes_overtake_each_other_and_are_durable_when_flushed),
		cmocka_unit_test(a_killed_process_has_done_what_was_under_way_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
