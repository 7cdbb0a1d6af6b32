/* The man page.  Macros: man(7). */
#include <string.h>

#include "client/command/command.h"
#include "client/command/help.h"
#include "client/command/words.h"

/* ---- text ---- */

/* Any text as it stands: a backslash begins an escape, a hyphen is a real one, and a point or an
 * apostrophe at the beginning of a line would be a macro. */
static void put_text(FILE *to, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if ((text[i] == '.' || text[i] == '\'') && (i == 0 || text[i - 1] == '\n'))
			fputs("\\&", to);
		if (text[i] == '\\')
			fputs("\\e", to);
		else if (text[i] == '-')
			fputs("\\-", to);
		else if (text[i] == '~')
			fputs("\\(ti", to);
		else if (text[i] == '^')
			fputs("\\(ha", to);
		else if (text[i] == '`')
			fputs("\\(ga", to);
		else
			putc(text[i], to);
	}
}

static void put_string(FILE *to, const char *text)
{
	put_text(to, text, strlen(text));
}

static void put_line(FILE *to, const char *text)
{
	put_string(to, text);
	putc('\n', to);
}

/* A heading of bold text, and what is said of it. */
static void put_entry(FILE *to, const char *name, const char *help)
{
	fputs(".TP\n\\fB", to);
	put_string(to, name);
	fputs("\\fR\n", to);
	put_line(to, help);
}

/* Paragraphs with empty lines between them. */
static void put_paragraphs(FILE *to, const char *text)
{
	for (const char *end; *text; text = end) {
		end = strstr(text, "\n\n");
		end = end ? end : text + strlen(text);
		fputs(".PP\n", to);
		put_text(to, text, (size_t)(end - text));
		putc('\n', to);
		end += strspn(end, "\n");
	}
}

/* ---- parts ---- */

static void put_flag(FILE *to, const struct flag *flag)
{
	fputs(".TP\n", to);
	if (flag->letter)
		fprintf(to, "\\fB\\-%c\\fR, ", flag->letter);
	fputs("\\fB\\-\\-", to);
	put_string(to, flag->name);
	fputs("\\fR", to);
	if (flag->argument) {
		fputs(" \\fI", to);
		put_string(to, flag->argument);
		fputs("\\fR", to);
	}
	putc('\n', to);
	put_line(to, flag->help);
}

static void put_examples(FILE *to, const char *examples)
{
	fputs(".PP\n.nf\n.RS\n", to);
	put_string(to, examples);
	fputs(".RE\n.fi\n", to);
}

static void put_verb(FILE *to, const struct verb *verb)
{
	fprintf(to, ".SS \"sluice %s%s%s%s", verb->noun, *verb->verb ? " " : "", verb->verb,
		*verb->arguments ? " " : "");
	put_string(to, verb->arguments);
	fputs("\"\n", to);
	put_string(to, verb->help);
	fputs(".\n", to);
	put_paragraphs(to, verb->description);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (verb->run != verb_bench && !flag_everywhere(&flags[i]) &&
		    flag_shown(&flags[i], verb))
			put_flag(to, &flags[i]);
	}
	if (*verb->examples)
		put_examples(to, verb->examples);
}

static void put_options(FILE *to)
{
	const struct sluice_option *option;

	fputs(".SH \"CLIENT OPTIONS\"\n"
	      "Options are set by \\fB\\-X\\fR or in a profile; in parentheses are their "
	      "defaults.\n",
	      to);
	for (size_t i = 0; (option = sluice_option_at(i)); i++) {
		fputs(".TP\n\\fB", to);
		put_string(to, option->name);
		fputs("\\fR (", to);
		put_string(to, option->default_text);
		fputs(")\n", to);
		put_line(to, option->help);
	}
}

static void put_surroundings(FILE *to)
{
	fputs(".SH \"EXIT STATUS\"\n", to);
#define EXIT_CODE(name, number, help) put_entry(to, #number, help);
#include "client/command/manual.def"
	fputs(".SH ENVIRONMENT\n", to);
#define VARIABLE(name, help) put_entry(to, name, help);
#include "client/command/manual.def"
	fputs(".SH FILES\n", to);
#define PLACE(path, help) put_entry(to, path, help);
#include "client/command/manual.def"
}

void man_print(FILE *to)
{
	fprintf(to, ".TH SLUICE 1 \"\" \"sluice %s\" \"User Commands\"\n", sluice_version());
	fputs(".SH NAME\nsluice \\- " SLUICE_SUMMARY "\n"
	      ".SH SYNOPSIS\n\\fBsluice\\fR [\\fIFLAGS\\fR] \\fINOUN\\fR [\\fIVERB\\fR] "
	      "[\\fIWORDS\\fR]\n"
	      ".SH DESCRIPTION\n"
	      "A noun says what is meant, a verb what is done to it.  Flags may stand anywhere, "
	      "and \\fB\\-\\-\\fR ends them.\n"
	      ".PP\n"
	      "Results go to standard output, complaints and progress to standard error.  Tables "
	      "are for people; programs ask for \\fB\\-o json\\fR, whose fields keep their names "
	      "and meanings.\n"
	      ".SH FLAGS\nEvery verb has these, where it has a use for them.\n",
	      to);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (flag_everywhere(&flags[i]))
			put_flag(to, &flags[i]);
	}
	fputs(".SH COMMANDS\n", to);
	for (size_t i = 0; i < VERB_COUNT; i++)
		put_verb(to, &verbs[i]);
	put_options(to);
	put_surroundings(to);
	fputs(".SH \"SEE ALSO\"\n\\fBsluice\\-bench\\fR(1), \\fBsluiced\\fR(8)\n", to);
}
