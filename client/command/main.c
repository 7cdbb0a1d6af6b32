/* sluice: topics, records and brokers from a shell.
 *
 *   sluice [FLAGS] NOUN [VERB] [WORDS]
 *
 * Nouns, verbs and flags are tables (verbs.def, flags.def); the parser (words.h), the help, the man
 * page (help.h) and the completions (complete.h) read them.  Exit codes: manual.def. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/command.h"
#include "client/command/connect.h"
#include "client/command/help.h"
#include "client/command/words.h"

/* ---- interruption ---- */

static struct sluice_client *volatile running;
static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	/* The second one does not wait for what the first has begun to finish. */
	if (signals++)
		_exit(EXIT_INTERRUPTED);
	if (running)
		sluice_interrupt(running);
}

bool interrupted(void)
{
	return signals > 0;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	/* A reader that has had enough is told by EPIPE. */
	signal(SIGPIPE, SIG_IGN);
}

/* ---- dispatch ---- */

static int run(struct invocation *invocation)
{
	const char *output = flag_value(invocation, FLAG_output);

	if (invocation->word_count > 0 && strcmp(invocation->words[0], "help") == 0) {
		invocation->words++;
		invocation->word_count--;
		return help_show(invocation);
	}
	if (flag_value(invocation, FLAG_help))
		return help_show(invocation);
	if (invocation->word_count == 0)
		return complain_usage("what shall it be?");
	const struct verb *verb = words_verb(invocation);
	if (!verb)
		return EXIT_USAGE;
	if (verb->run == verb_bench)
		return complain_usage("bench comes first: its flags are its own");
	int code = words_check(invocation, verb);
	if (code)
		return code;
	if (output && output_form_parse(&invocation->output, output) < 0)
		return complain_usage("--output is table, json, jsonl or yaml, not '%s'", output);
	if (verb->needs == BROKER)
		code = connect_open(invocation);
	if (code)
		return code;
	running = invocation->client;
	code = verb->run(invocation);
	running = NULL;
	sluice_close(invocation->client);
	return code;
}

static int parse_and_run(struct invocation *invocation, int argc, char **argv)
{
	document_init();
	catch_signals();
	int code = words_parse(invocation, argc, argv);
	return code ? code : run(invocation);
}

/* Its words are for another program, which has flags of its own. */
static int bench(struct invocation *invocation, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		invocation->words[invocation->word_count++] = argv[i];
	return verb_bench(invocation);
}

int main(int argc, char **argv)
{
	struct invocation invocation = {0};
	const char **words = calloc((size_t)argc + 1, sizeof(char *));

	if (!words)
		return EXIT_FAILED;
	invocation.words = words;
	int code = argc > 1 && strcmp(argv[1], "bench") == 0
			   ? bench(&invocation, argc, argv)
			   : parse_and_run(&invocation, argc, argv);
	free(words);
	return code;
}
