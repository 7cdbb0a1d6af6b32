/* tests/storage/io_test.c, in a fiber of the simulated world: its two kinds of back end are the
 * simulated one, in io_uring's place, and io_sync over the simulated calls.  Many seeds, as the
 * simulated one draws the order in which operations end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/check.h"
#include "tests/sim/calls_internal.h"

/* The linker's names (--wrap) have no header. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

enum { SEEDS = 20 };

int io_test_main(int argc, char **argv); /* tests/storage/io_test.c */

static struct {
	char *arguments[3];
	int result;
	bool ended;
} world;

/* ---- calls that only the test makes ---- */

char *__wrap_mkdtemp(char *path)
{
	static unsigned number;

	check(path);
	check((size_t)snprintf(path, strlen(path) + 1, "io-%u", number++) > 0);
	return mkdir(path, 0700) < 0 ? NULL : path;
}

off_t __wrap_lseek64(int fd, off_t offset, int whence)
{
	check(offset == 0 && whence == SEEK_END);
	return (off_t)inode_size(descriptor_get(fd)->inode);
}

int __wrap_rmdir(const char *path)
{
	return (int)call_result(disk_unlink(sim_disk(), disk_root(sim_disk()), path, true));
}

/* Two ends of a connection, as close as the simulated network gets. */
int __wrap_socketpair(int domain, int type, int protocol, int fds[2])
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	(void)domain, (void)protocol;
	check(listen(listener, 1) == 0);
	check(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	fds[0] = socket(AF_INET, type, 0);
	check(connect(fds[0], (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS);
	fds[1] = accept4(listener, NULL, NULL, type & ~SOCK_STREAM);
	descriptor_close(listener);
	return 0;
}

/* ---- running it ---- */

static void *run(void *context)
{
	(void)context;
	world.result = io_test_main(2, world.arguments);
	world.ended = true;
	return NULL;
}

static bool has_ended(void *context)
{
	(void)context;
	return world.ended;
}

static int run_seed(uint64_t seed)
{
	static const struct network_faults no_pieces = {.delay_ns_max = 100000, .whole = true};
	struct random random = {seed};

	schedule_init(random_split(&random, "schedule"));
	network_init(random_split(&random, "network"));
	network_set_faults(&no_pieces);
	sim_set_disk(disk_new(random_split(&random, "disk")));
	struct process *process = process_new("test");
	fiber_spawn(process, "test", run, NULL);
	world.ended = false;
	check(schedule_run(has_ended, NULL));
	process_kill(process);
	disk_free(sim_disk());
	if (world.result)
		fprintf(stderr, "seed %u\n", (unsigned)seed);
	return world.result;
}

int main(int argc, char **argv)
{
	check(argc == 2);
	world.arguments[0] = argv[0];
	world.arguments[1] = argv[1];
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		if (run_seed(seed))
			return EXIT_FAILURE;
	}
	return 0;
}
