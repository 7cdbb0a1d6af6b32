/* The settings of sluiced from all their sources: the file, then the environment, then the command
 * line.  Entries end with a NUL byte; a byte 1 between two of them ends a source.  No path of the
 * input's is opened: --config names the file that is made of it. */
#include "base/bytes.h"
#include "base/errors.h"
#include "control/config.h"
#include "control/listener.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
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
	check(rc == 0 || rc == -ERR_CONFIG);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char program[] = "sluiced", option[64];
	static int fd = -1;
	struct input input = {data, size};
	struct words environment = {0}, command = {.items = {program, option}, .count = 2};

	if (fd < 0) {
		fd = memfd_create("config", MFD_CLOEXEC);
		check(fd >= 0);
		snprintf(option, sizeof(option), "--config=/proc/self/fd/%d", fd);
	}
	size_t length;
	const uint8_t *file = input_until(&input, NEXT_SOURCE, &length);
	check(ftruncate(fd, 0) == 0);
	check(pwrite(fd, file, length, 0) == (ssize_t)length);
	take_words(&input, &environment);
	take_words(&input, &command);
	load(&command, &environment);
	free_words(&environment, 0);
	free_words(&command, 2);
	return 0;
}
