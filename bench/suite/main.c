/* sluice-bench: what a broker does for its clients; README.md.
 *
 *   sluice-bench COMMAND [FLAGS] [WORDS]
 *
 * Commands and flags are tables (commands.def, flags.def) that the parser and the help read. */
#include "bench/suite/command.h"

#include <errno.h>
#include <stdarg.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"
#include "base/nearest.h"

struct command {
	const char *name;
	const char *words;
	size_t fewest;
	size_t most;
	int (*run)(const struct arguments *arguments);
	const char *help;
};

struct flag {
	const char *name;
	const char *argument;
	const char *commands;
	const char *help;
};

static const struct command commands[] = {
#define COMMAND(name, words, fewest, most, function, help)                                         \
	{name, words, fewest, most, command_##function, help},
#include "bench/suite/commands.def"
#undef COMMAND
};

static const struct flag flags[FLAG_COUNT] = {
#define FLAG(field, name, argument, commands, help) {name, argument, commands, help},
#include "bench/suite/flags.def"
#undef FLAG
};

/* ---- complaints ---- */

void complain(const char *format, ...)
{
	va_list list;

	fflush(stdout);
	fputs("sluice-bench: ", stderr);
	va_start(list, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above. */
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
}

int complain_usage(const char *format, ...)
{
	char line[1024];
	va_list list;

	va_start(list, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): started above. */
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	complain("%s\n              `sluice-bench --help` shows what there is", line);
	return EXIT_USAGE;
}

/* ---- help ---- */

static bool belongs(const struct flag *flag, const struct command *command)
{
	const char *at = flag->commands;
	size_t length = strlen(command->name);

	if (!*at)
		return true;
	for (; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");
		if (word == length && memcmp(at, command->name, length) == 0)
			return true;
		at += word;
	}
	return false;
}

/* Words of `text` up to column 100, the first line beginning at `column`. */
static void print_wrapped(const char *text, size_t column)
{
	size_t at = column;

	while (*text) {
		size_t word = strcspn(text, " ");
		if (at + word > 100) {
			printf("\n%*s", (int)column - 1, "");
			at = column;
		}
		printf(" %.*s", (int)word, text);
		at += word + 1;
		text += word + strspn(text + word, " ");
	}
	putchar('\n');
}

static void print_flag(const struct flag *flag)
{
	char left[64];

	snprintf(left, sizeof(left), "--%s %s", flag->name, flag->argument ? flag->argument : "");
	printf("      %-26s", left);
	print_wrapped(flag->help, 33);
}

static void print_command(const struct command *command)
{
	printf("  sluice-bench %s%s%s\n    %s.\n", command->name, *command->words ? " " : "",
	       command->words, command->help);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (*flags[i].commands && belongs(&flags[i], command))
			print_flag(&flags[i]);
	}
	putchar('\n');
}

/* Of all commands with null. */
static int help(const struct command *command)
{
	puts("sluice-bench: measures a broker from its clients' side\n");
	for (size_t i = 0; i < array_count(commands); i++) {
		if (!command || command == &commands[i])
			print_command(&commands[i]);
	}
	printf("Exit codes: %d done, %d failed, %d wrong command line, %d a gate is not kept.\n",
	       EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_GATE);
	return EXIT_DONE;
}

/* ---- the command line ---- */

const char *argument_of(const struct arguments *arguments, enum flag_index flag)
{
	size_t count = arguments->flags[flag].count;

	return count ? arguments->flags[flag].values[count - 1] : NULL;
}

bool argument_number(const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	unsigned long long number = strtoull(text, &end, 10);
	if (end == text || *end || *text == '-' || errno || number < min || number > max) {
		complain_usage("--%s takes a whole number from %llu to %llu, not '%s'", name,
			       (unsigned long long)min, (unsigned long long)max, text);
		return false;
	}
	*ret = number;
	return true;
}

static const struct flag *find_flag(const char *name, size_t length)
{
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (strlen(flags[i].name) == length && memcmp(flags[i].name, name, length) == 0)
			return &flags[i];
	}
	return NULL;
}

static int complain_of_flag(const struct command *command, const char *word, size_t length)
{
	char name[80];
	struct nearest nearest;

	snprintf(name, sizeof(name), "%.*s", (int)length, word);
	nearest_init(&nearest, name + 2);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (belongs(&flags[i], command))
			nearest_offer(&nearest, flags[i].name);
	}
	if (!nearest_likely(&nearest))
		return complain_usage("%s has no flag '%s'", command->name, name);
	return complain_usage("%s has no flag '%s'; did you mean '--%s'?", command->name, name,
			      nearest.name);
}

/* "--runs=5", "--runs 5"; *at moves past an argument that stands alone. */
static int take_flag(struct arguments *arguments, const struct command *command, int *at)
{
	const char *word = arguments->argv[*at];
	const char *equals = strchr(word, '=');
	size_t length = (equals ? (size_t)(equals - word) : strlen(word)) - 2;
	const struct flag *flag = find_flag(word + 2, length);
	const char *value = equals ? equals + 1 : NULL;

	if (!flag || !belongs(flag, command))
		return complain_of_flag(command, word, 2 + length);
	if (!flag->argument) {
		if (value)
			return complain_usage("--%s takes nothing after it", flag->name);
		value = "";
	} else if (!value) {
		if (*at + 1 >= arguments->argc)
			return complain_usage("--%s needs %s", flag->name, flag->argument);
		value = arguments->argv[++*at];
	}
	size_t index = (size_t)(flag - flags);
	if (arguments->flags[index].count == FLAG_VALUES_MAX)
		return complain_usage("too many of --%s", flag->name);
	arguments->flags[index].values[arguments->flags[index].count++] = value;
	return EXIT_DONE;
}

static int parse(struct arguments *arguments, const struct command *command)
{
	bool only_words = false;

	for (int i = 2; i < arguments->argc; i++) {
		char *word = arguments->argv[i];
		if (!only_words && strcmp(word, "--") == 0) {
			only_words = true;
		} else if (!only_words && strncmp(word, "--", 2) == 0) {
			int code = take_flag(arguments, command, &i);
			if (code)
				return code;
		} else {
			arguments->words[arguments->word_count++] = word;
		}
	}
	if (arguments->flags[FLAG_help].count)
		return EXIT_DONE;
	if (arguments->word_count < command->fewest)
		return complain_usage("%s needs %s", command->name, command->words);
	if (arguments->word_count > command->most)
		return complain_usage("%s takes no '%s'", command->name,
				      arguments->words[command->most]);
	return EXIT_DONE;
}

/* ---- beginning ---- */

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < array_count(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int complain_of_command(const char *name)
{
	struct nearest nearest;

	nearest_init(&nearest, name);
	nearest_offer(&nearest, "help");
	for (size_t i = 0; i < array_count(commands); i++)
		nearest_offer(&nearest, commands[i].name);
	if (!nearest_likely(&nearest))
		return complain_usage("there is no '%s'", name);
	return complain_usage("there is no '%s'; did you mean '%s'?", name, nearest.name);
}

/* Each connection needs some descriptors: as many as this user may have. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct arguments arguments = {.argc = argc, .argv = argv};
	const char *name = argc > 1 ? argv[1] : "";
	const struct command *command = find_command(name);

	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
		return help(NULL);
	if (!command)
		return *name ? complain_of_command(name) : complain_usage("what is it to do?");
	arguments.words = calloc((size_t)argc, sizeof(*arguments.words));
	if (!arguments.words) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	int code = parse(&arguments, command);
	if (code == EXIT_DONE && arguments.flags[FLAG_help].count) {
		code = help(command);
	} else if (code == EXIT_DONE) {
		allow_descriptors();
		signal(SIGPIPE, SIG_IGN); /* not all libraries send without it */
		code = command->run(&arguments);
	}
	free(arguments.words);
	return code;
}
