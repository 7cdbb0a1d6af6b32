/* sim --seed N: one run of the simulated world, and what to know of it when it fails.
 *
 * A run that fails does so again: it depends on the seed and the program alone.  Addresses do not
 * matter to it, but are kept from being drawn all the same, as a wrong program may look at them. */
#include "tests/sim/log_lines.h"
#include "tests/sim/plants.h"
#include "tests/sim/schedule.h"
#include "tests/sim/world.h"

#include <execinfo.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

enum {
	EXIT_USAGE = 2,
	SECONDS_MAX = 120, /* of real time: it hangs */
	SIGNAL_STACK_BYTES = 64 << 10,
	FRAMES_MAX = 32,
};

static uint64_t seed;

static void tell_course(FILE *file)
{
	fprintf(file,
		"seed %" PRIu64 ": turns %" PRIu64 " time %" PRIu64 " ns digest %016" PRIx64 "\n",
		seed, schedule_turns(), sim_now_ns(), schedule_digest());
}

/* Nothing here is safe in a signal handler in general; this process has no other thread, and ends
 * whatever happens. */
static void on_crash(int number)
{
	void *frames[FRAMES_MAX];
	const struct fiber *fiber = fiber_current();

	fflush(stdout);
	log_lines_print(stderr);
	fprintf(stderr, "seed %" PRIu64 ": %s in %s\n", seed,
		number == SIGALRM ? "no end" : strsignal(number),
		fiber ? fiber_name(fiber) : "the schedule");
	tell_course(stderr);
	fflush(stderr);
	backtrace_symbols_fd(frames, backtrace(frames, FRAMES_MAX), STDERR_FILENO);
	signal(number, SIG_DFL);
	raise(number);
}

/* On a stack of its own, as a fiber's may be used up. */
static void catch_crashes(void)
{
	static char memory[SIGNAL_STACK_BYTES];
	const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
	stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
	struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | SA_NODEFER};

	sigaltstack(&stack, NULL);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	alarm(SECONDS_MAX);
}

static void fix_addresses(char **arguments)
{
	int now = personality(0xffffffff);

	if (now < 0 || now & ADDR_NO_RANDOMIZE ||
	    personality((unsigned)now | ADDR_NO_RANDOMIZE) < 0)
		return;
	execv("/proc/self/exe", arguments);
}

static int usage(void)
{
	fprintf(stderr, "usage: sluiced_sim --seed N [--plant NAME] [--history FILE] [--log]\n"
			"  --log     what the broker logs goes to standard error as it is said\n"
			"  --plants  the names of the bugs that a run plays on demand\n");
	return EXIT_USAGE;
}

static int run(const struct world_options *options)
{
	const char *wrong = world_run(options);

	if (wrong) {
		log_lines_print(stderr);
		fprintf(stderr, "seed %" PRIu64 ": %s\n", seed, wrong);
	}
	tell_course(stdout);
	return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static const struct option names[] = {
		{"seed", required_argument, NULL, 's'},    {"plant", required_argument, NULL, 'p'},
		{"history", required_argument, NULL, 'h'}, {"log", no_argument, NULL, 'l'},
		{"plants", no_argument, NULL, 'n'},        {0},
	};
	struct world_options options = {0};
	bool has_seed = false;

	fix_addresses(argv);
	for (int option; (option = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
		if (option == 's') {
			options.seed = strtoull(optarg, NULL, 10);
			has_seed = true;
		} else if (option == 'p') {
			options.plant = optarg;
		} else if (option == 'h') {
			options.history = fopen(optarg, "we");
			if (!options.history) {
				perror(optarg);
				return EXIT_USAGE;
			}
		} else if (option == 'l') {
			log_lines_show(true);
		} else if (option == 'n') {
			plants_print(stdout);
			return EXIT_SUCCESS;
		} else {
			return usage();
		}
	}
	if (!has_seed || optind < argc)
		return usage();
	seed = options.seed;
	catch_crashes();
	int rc = run(&options);
	if (options.history && fclose(options.history) != 0)
		rc = EXIT_FAILURE;
	return rc;
}
