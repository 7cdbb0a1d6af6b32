/* The command line of `sluice`: words that end with a NUL byte.  What the verb would get is looked
 * at, and nothing is done. */
#include "client/command/words.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <stdio.h>

enum { WORDS_MAX = 200 };

static int look(const struct invocation *invocation, size_t fewest, size_t most)
{
	char name[16];
	const char *value;
	int64_t number;

	check(invocation->word_count >= fewest && invocation->word_count <= most);
	for (enum flag_index flag = 0; flag < FLAG_COUNT; flag++) {
		const char *text = flag_value(invocation, flag);
		if (!text)
			continue;
		if (flag_number(invocation, flag, -5, 1000, 0, &number))
			check(number >= -5 && number <= 1000);
		if (split_setting(text, name, sizeof(name), &value))
			check(name[0] && strlen(name) < sizeof(name) && (!value || *value));
	}
	for (size_t i = 0; i < invocation->word_count; i++)
		check(invocation->words[i] != NULL);
	return EXIT_DONE;
}

#define VERB(noun, verb, arguments, fewest, most, needs, function, help, description, examples)    \
	int verb_##function(struct invocation *invocation)                                         \
	{                                                                                          \
		return look(invocation, fewest, most);                                             \
	}
#include "client/command/verbs.def"
#undef VERB

static void run(char **argv, int argc)
{
	const char *words[WORDS_MAX + 1] = {NULL};
	struct invocation invocation = {.words = words};
	int code = words_parse(&invocation, argc, argv);

	check(code == EXIT_DONE || code == EXIT_USAGE);
	if (code || !invocation.word_count)
		return;
	const struct verb *verb = words_verb(&invocation);
	if (verb && !words_check(&invocation, verb))
		check(verb->run(&invocation) == EXIT_DONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	struct input input = {data, size};
	char program[] = "sluice", *argv[WORDS_MAX + 1] = {program};
	FILE *kept = stderr;
	int argc = 1;

	if (!nowhere)
		nowhere = fopen("/dev/null", "we");
	check(nowhere != NULL);
	while (input.left > 0 && argc < WORDS_MAX)
		argv[argc++] = input_text(&input, 0);
	stderr = nowhere; /* complaints */
	run(argv, argc);
	stderr = kept;
	for (int i = 1; i < argc; i++)
		free(argv[i]);
	return 0;
}
