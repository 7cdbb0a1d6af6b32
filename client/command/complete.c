/* Completion in a shell.
 *
 * What the shells load is a few lines (completion_scripts.c) that ask this program, as it knows its
 * tables, the topics and the groups:
 *
 *   sluice completion words -- WORD... PARTIAL
 *
 * prints what PARTIAL, the word at the cursor, may become, one a line, with a tab and a sentence
 * after it; or ":files" where it is the name of a file. */
#include <ctype.h>
#include <string.h>

#include "client/command/command.h"
#include "client/command/connect.h"
#include "client/command/output.h"
#include "client/command/profile_internal.h"
#include "client/command/words.h"

/* The line as far as it is written. */
struct line {
	struct invocation invocation; /* the flags */
	const char *noun;
	const struct verb *verb;
	size_t word_count;          /* after noun and verb */
	const struct flag *waiting; /* the flag whose argument comes next */
	bool only_words;
	bool asks_help;
};

/* ---- what has been written ---- */

static const struct verb *find_verb(const char *noun, const char *verb)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].noun, noun) == 0 && strcmp(verbs[i].verb, verb) == 0)
			return &verbs[i];
	}
	return NULL;
}

static void read_word(struct line *line, const char *word)
{
	if (!line->noun && !line->asks_help && strcmp(word, "help") == 0) {
		line->asks_help = true;
	} else if (!line->noun) {
		line->noun = word;
		line->verb = find_verb(word, "");
	} else if (!line->verb) {
		line->verb = find_verb(line->noun, word);
	} else {
		line->word_count++;
	}
}

static void read_flag(struct line *line, const char *word)
{
	const char *value;
	const struct flag *flag = words_flag(word, &value);

	if (flag && flag->argument && !value)
		line->waiting = flag;
	else if (flag)
		words_keep(&line->invocation, flag, value ? value : "");
}

static void read_line(struct line *line, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (line->waiting) {
			words_keep(&line->invocation, line->waiting, words[i]);
			line->waiting = NULL;
		} else if (!line->only_words && strcmp(words[i], "--") == 0) {
			line->only_words = true;
		} else if (!line->only_words && words[i][0] == '-' && words[i][1]) {
			read_flag(line, words[i]);
		} else {
			read_word(line, words[i]);
		}
	}
}

/* ---- what may follow ---- */

/* `before` is what stands in the same word before the part that is completed: "--output=". */
struct offer {
	const char *before;
	const char *partial;
};

static void offer(const struct offer *offered, const char *text, size_t length, const char *help)
{
	size_t partial = strlen(offered->partial);

	if (length < partial || memcmp(text, offered->partial, partial) != 0)
		return;
	printf("%s%.*s", offered->before, (int)length, text);
	printf(*help ? "\t%s\n" : "%s\n", help);
}

static void offer_text(const struct offer *offered, const char *text, const char *help)
{
	offer(offered, text, strlen(text), help);
}

/* Of "beginning|end|OFFSET|-N" those that are meant literally. */
static void offer_alternatives(const struct offer *offered, const char *argument)
{
	while (*argument) {
		size_t length = strcspn(argument, "|");
		if (islower((unsigned char)*argument) || isdigit((unsigned char)*argument))
			offer(offered, argument, length, "");
		argument += length + (argument[length] == '|');
	}
}

static void offer_topics(const struct offer *offered, struct sluice_client *client)
{
	struct sluice_metadata *metadata;

	if (sluice_metadata(client, NULL, 0, &metadata) < 0)
		return;
	for (size_t i = 0; i < metadata->topic_count; i++) {
		if (!metadata->topics[i].internal)
			offer_text(offered, metadata->topics[i].name, "");
	}
	sluice_metadata_free(metadata);
}

static void offer_groups(const struct offer *offered, struct sluice_client *client)
{
	struct sluice_groups *groups;

	if (sluice_group_list(client, &groups) < 0)
		return;
	for (size_t i = 0; i < groups->count; i++)
		offer_text(offered, groups->groups[i].id, groups->groups[i].state);
	sluice_groups_free(groups);
}

/* Nobody waits long at a prompt. */
static void offer_of_broker(const struct offer *offered, struct line *line, bool topics)
{
	struct invocation *invocation = &line->invocation;

	words_keep(invocation, &flags[FLAG_timeout], "2");
	if (connect_open(invocation) != EXIT_DONE)
		return;
	if (topics)
		offer_topics(offered, invocation->client);
	else
		offer_groups(offered, invocation->client);
	sluice_close(invocation->client);
}

static void offer_profiles(const struct offer *offered)
{
	struct profile_file *file;
	const char *name;

	if (profile_read(&file) != EXIT_DONE)
		return;
	for (size_t i = 0; (name = profile_file_name_at(file, i)); i++)
		offer_text(offered, name, "");
	profile_file_free(file);
}

static void offer_options(const struct offer *offered)
{
	const struct sluice_option *option;
	char text[80];

	for (size_t i = 0; (option = sluice_option_at(i)); i++) {
		snprintf(text, sizeof(text), "%s=", option->name);
		offer_text(offered, text, option->help);
	}
}

static bool names(const char *argument, size_t length, const char *what)
{
	return strlen(what) == length && memcmp(argument, what, length) == 0;
}

/* By what the tables call an argument. */
static void offer_argument(const struct offer *offered, struct line *line, const char *argument)
{
	size_t length = strspn(argument, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");

	if (names(argument, length, "TOPIC") || names(argument, length, "GROUP"))
		offer_of_broker(offered, line, *argument == 'T');
	else if (names(argument, length, "PROFILE"))
		offer_profiles(offered);
	else if (names(argument, length, "FILE") || names(argument, length, "DIR"))
		puts(":files");
	else
		offer_alternatives(offered, argument);
}

/* Of "TOPIC [FILE...]" the one that the next word is. */
static void offer_word(const struct offer *offered, struct line *line)
{
	const char *argument = line->verb->arguments;
	const char *end = strchrnul(argument, ' ');

	for (size_t i = 0; i < line->word_count && *end; i++) {
		argument = end + 1;
		end = strchrnul(argument, ' ');
	}
	argument += *argument == '[';
	/* The last one may repeat. */
	if (line->word_count < line->verb->most)
		offer_argument(offered, line, argument);
}

static void offer_nouns(const struct offer *offered, const struct line *line)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		bool first = i == 0 || strcmp(verbs[i].noun, verbs[i - 1].noun) != 0;
		if (first)
			offer_text(offered, verbs[i].noun, *verbs[i].verb ? "" : verbs[i].help);
	}
	if (line->asks_help) {
		offer_text(offered, "options", "The options of the client");
		offer_text(offered, "man", "The man page");
	} else {
		offer_text(offered, "help", "Show help");
	}
}

static void offer_verbs(const struct offer *offered, const char *noun)
{
	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].noun, noun) == 0)
			offer_text(offered, verbs[i].verb, verbs[i].help);
	}
}

static void offer_flags(const struct offer *offered, const struct verb *verb)
{
	char text[80];

	for (size_t i = 0; i < FLAG_COUNT; i++) {
		snprintf(text, sizeof(text), "--%s", flags[i].name);
		if (verb ? flag_shown(&flags[i], verb) : flag_everywhere(&flags[i]))
			offer_text(offered, text, flags[i].help);
	}
}

static void offer_value(const struct offer *offered, struct line *line, const struct flag *flag)
{
	if (flag == &flags[FLAG_option])
		offer_options(offered);
	else
		offer_argument(offered, line, flag->argument);
}

/* The partial word is "--name=..." */
static void offer_inline_value(const char *partial, struct line *line)
{
	const char *value;
	const struct flag *flag = words_flag(partial, &value);
	char before[80];

	if (!flag || !flag->argument)
		return;
	snprintf(before, sizeof(before), "--%s=", flag->name);
	offer_value(&(struct offer){before, value}, line, flag);
}

static void complete(struct line *line, const char *partial)
{
	const struct offer offered = {"", partial};
	bool is_flag = *partial == '-' && !line->only_words;

	if (line->waiting)
		offer_value(&offered, line, line->waiting);
	else if (is_flag && partial[1] == '-' && strchr(partial, '='))
		offer_inline_value(partial, line);
	else if (is_flag)
		offer_flags(&offered, line->verb);
	else if (!line->noun)
		offer_nouns(&offered, line);
	else if (!line->verb)
		offer_verbs(&offered, line->noun);
	else if (!line->asks_help)
		offer_word(&offered, line);
}

int verb_completion_words(struct invocation *invocation)
{
	struct line line = {0};
	size_t count = invocation->word_count;

	read_line(&line, invocation->words, count - 1);
	complete(&line, invocation->words[count - 1]);
	return output_finish(EXIT_DONE);
}
