/* The settings of sluiced from all their sources: the file, then the environment, the command line,
 * and two files of conf.d.  Entries end with a NUL byte; a byte 1 between two of them ends a
 * source. No path of the input's is opened: --config names the file that is made of it. */
#include "base/bytes.h"
#include "base/errors.h"
#include "control/config.h"
#include "control/listener.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS_MAX = 64, NEXT_SOURCE = 1 };

struct words {
	char *items[WORDS_MAX + 3]; /* those before and the null behind them */
	int count;
};

/* Until the end of the source. */
static void take_words(struct input *input, struct words *words)
{
	while (input->left > 0 && words->count < WORDS_MAX) {
		if (*input->at == NEXT_SOURCE) {
			input_u8(input);
			return;
		}
		char *word = input_text(input, 0);
		if (strncmp(word, "--config", 8) == 0)
			word[2] = 'C';
		words->items[words->count++] = word;
	}
}

static void free_words(struct words *words, int from)
{
	for (int i = from; i < words->count; i++)
		free(words->items[i]);
}

static void ignored(const char *variable)
{
	check(strncmp(variable, "SLUICE_", 7) == 0);
}

/* What was taken is within its bounds, and its canonical text means the same. */
static void check_settings(const struct config *config)
{
	struct listen_address address;

	for (unsigned i = 0; i < CONFIG_COUNT; i++) {
		const struct param *param = &config_params[i];
		char canonical[PARAM_CANONICAL_BYTES], why[256];
		int64_t value, again;
		check(param_parse(param, config->texts[i], &value, why, sizeof(why)) == 0);
		if (param_canonical(param, config->texts[i], canonical, why, sizeof(why)) < 0)
			continue; /* a text too long for a topic's setting */
		check(param_parse(param, canonical, &again, why, sizeof(why)) == 0);
		check(again == value);
	}
	int rc = listen_address_parse(&address, config->listen);
	check(rc == 0);
}

static void load(const struct words *command, const struct words *environment)
{
	enum config_action action = CONFIG_RUN;
	struct config config = {0};
	char why[1024] = "";
	int rc = config_load(&config, command->count, (char **)(uintptr_t)command->items,
			     (char **)(uintptr_t)environment->items, &action, ignored, why,
			     sizeof(why));

	check(rc == 0 || rc == -ERR_CONFIG);
	check(rc == 0 || why[0]);
	if (rc == 0)
		check_settings(&config);
	config_fini(&config);
}

static void count_problem(const struct config_problem *problem, void *context)
{
	check(problem->path[0] && problem->reason[0]);
	++*(unsigned *)context;
}

/* Lint and reading agree on whether the files are good. */
static void lint(const char *path)
{
	struct config config = {0};
	unsigned problems = 0;
	char why[1024];
	int rc = config_lint(path, count_problem, &problems);
	char *argv[] = {(char[]){"sluiced"}, (char[]){"--config"}, (char *)(uintptr_t)path, NULL};
	enum config_action action;

	check((rc == 0) == (problems == 0));
	check((config_load(&config, 3, argv, NULL, &action, ignored, why, sizeof(why)) == 0) ==
	      (rc == 0));
	config_fini(&config);
}

/* ---- files ---- */

static char folder[] = "/tmp/config_fuzz.XXXXXX";
static int folder_fd = -1;
static const char *const files[] = {"sluice.conf", "conf.d/a.conf", "conf.d/b.conf"};

static void remove_folder(void)
{
	for (size_t i = 0; i < array_count(files); i++)
		unlinkat(folder_fd, files[i], 0);
	unlinkat(folder_fd, "conf.d", AT_REMOVEDIR);
	rmdir(folder);
}

static void make_folder(void)
{
	check(mkdtemp(folder));
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(folder_fd >= 0 && mkdirat(folder_fd, "conf.d", 0700) == 0);
	atexit(remove_folder);
}

static void take_file(struct input *input, const char *name)
{
	size_t length;
	const uint8_t *data = input_until(input, NEXT_SOURCE, &length);
	int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	check(fd >= 0 && write(fd, data, length) == (ssize_t)length);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char program[] = "sluiced", option[64];
	struct input input = {data, size};
	struct words environment = {0}, command = {.items = {program, option}, .count = 2};

	if (folder_fd < 0)
		make_folder();
	snprintf(option, sizeof(option), "--config=%s/%s", folder, files[0]);
	take_file(&input, files[0]);
	take_words(&input, &environment);
	take_words(&input, &command);
	take_file(&input, files[1]);
	take_file(&input, files[2]);
	load(&command, &environment);
	lint(option + strlen("--config="));
	free_words(&environment, 0);
	free_words(&command, 2);
	return 0;
}
