#include "client/command/help.h"

#include <string.h>

#include "client/command/command.h"
#include "client/command/output.h"
#include "client/command/words.h"

enum { LINE_COLUMNS = 100, FLAG_COLUMNS = 32, HELP_COLUMN = FLAG_COLUMNS + 4 };

/* ---- text ---- */

/* Words of `text`, without breaking lines beyond the last column; the first line has begun at
 * `column` already.  An empty line of the text is one of what is printed. */
static void print_wrapped(const char *text, size_t column)
{
	size_t at = column;

	while (*text) {
		size_t word = strcspn(text, " \n");
		if (at > column && at + 1 + word > LINE_COLUMNS) {
			printf("\n%*s", (int)column, "");
			at = column;
		}
		at += (size_t)printf("%s%.*s", at > column ? " " : "", (int)word, text);
		text += word + strspn(text + word, " ");
		for (; *text == '\n'; text++) {
			printf("\n%*s", text[1] == '\n' ? 0 : (int)column, "");
			at = column;
		}
	}
	putchar('\n');
}

/* What is too long for its column has a line of its own. */
static void print_entry(const char *left, const char *help)
{
	if (strlen(left) > FLAG_COLUMNS)
		printf("  %s\n%*s", left, HELP_COLUMN, "");
	else
		printf("  %-*s  ", FLAG_COLUMNS, left);
	print_wrapped(help, HELP_COLUMN);
}

static void print_flag(const struct flag *flag)
{
	char letter[] = "-x,";
	char left[80];

	letter[1] = flag->letter;
	snprintf(left, sizeof(left), "%3s --%s%s%s", flag->letter ? letter : "", flag->name,
		 flag->argument ? " " : "", flag->argument ? flag->argument : "");
	print_entry(left, flag->help);
}

static void print_usage(const struct verb *verb)
{
	printf("sluice %s%s%s%s%s\n  ", verb->noun, *verb->verb ? " " : "", verb->verb,
	       *verb->arguments ? " " : "", verb->arguments);
	print_wrapped(verb->help, 2);
}

static void print_examples(const char *examples)
{
	puts("\nExamples:");
	while (*examples) {
		size_t line = strcspn(examples, "\n");
		printf("  %.*s\n", (int)line, examples);
		examples += line + (examples[line] == '\n');
	}
}

/* ---- topics of help ---- */

static void help_verb(const struct verb *verb)
{
	print_usage(verb);
	if (*verb->description) {
		fputs("\n  ", stdout);
		print_wrapped(verb->description, 2);
	}
	putchar('\n');
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (verb->run != verb_bench && flag_shown(&flags[i], verb))
			print_flag(&flags[i]);
	}
	if (*verb->examples)
		print_examples(verb->examples);
}

static void print_exit_codes(void)
{
#define EXIT_CODE(name, number, help) print_entry(#number, help);
#include "client/command/manual.def"
}

static void print_variables(void)
{
#define VARIABLE(name, help) print_entry(name, help);
#include "client/command/manual.def"
}

static void help_all(void)
{
	puts("sluice: " SLUICE_SUMMARY "\n");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		char left[80];
		snprintf(left, sizeof(left), "sluice %s%s%s %s", verbs[i].noun,
			 *verbs[i].verb ? " " : "", verbs[i].verb, verbs[i].arguments);
		print_entry(left, verbs[i].help);
	}
	puts("\nFlags of every verb, where it has a use for them:");
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (flag_everywhere(&flags[i]))
			print_flag(&flags[i]);
	}
	puts("\nExit codes:");
	print_exit_codes();
	puts("\nEnvironment:");
	print_variables();
	puts("\n`sluice help NOUN VERB` shows the rest, `sluice help options` the options of the "
	     "client,\n`man sluice` everything.");
}

static void help_options(void)
{
	const struct sluice_option *option;

	for (size_t i = 0; (option = sluice_option_at(i)); i++) {
		printf("%s = %s  (%s)\n    ", option->name, option->default_text, option->type);
		print_wrapped(option->help, 4);
	}
}

static int help_verbs(const char *noun, const char *verb)
{
	bool found = false;

	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].noun, noun) != 0 ||
		    (*verb && *verbs[i].verb && strcmp(verbs[i].verb, verb) != 0))
			continue;
		if (found)
			putchar('\n');
		help_verb(&verbs[i]);
		found = true;
	}
	if (!found)
		return words_unknown(noun, verb);
	return EXIT_DONE;
}

int help_show(const struct invocation *invocation)
{
	const char *noun = invocation->word_count > 0 ? invocation->words[0] : "";
	const char *verb = invocation->word_count > 1 ? invocation->words[1] : "";
	int code = EXIT_DONE;

	if (!*noun)
		help_all();
	else if (strcmp(noun, "options") == 0)
		help_options();
	else if (strcmp(noun, "man") == 0)
		man_print(stdout);
	else
		code = help_verbs(noun, verb);
	return output_finish(code);
}
