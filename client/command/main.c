/* sluice: topics, records and brokers from a shell.
 *
 *   sluice [FLAGS] NOUN [VERB] [WORDS]
 *
 * Nouns, verbs and flags are tables (verbs.def, flags.def); the parser (words.h) and the help
 * read them.  Exit codes: enum exit_code. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/command.h"
#include "client/command/output.h"
#include "client/command/words.h"

/* ---- complaints ---- */

static bool unreachable(int rc)
{
	switch (-rc) {
	case ECONNREFUSED:
	case ECONNRESET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ETIMEDOUT:
	case EPIPE:
	case EPROTO:
		return true;
	default:
		return false;
	}
}

int complain_of(const struct invocation *invocation, int rc)
{
	const char *story = sluice_last_error(invocation->client);

	if (rc == -EINTR || interrupted())
		return EXIT_INTERRUPTED;
	complain("%s", *story ? story : sluice_error_text(rc));
	if (rc == -SLUICE_KAFKA(3))
		fputs("        `sluice topic list` shows the topics, `sluice topic create` makes one\n",
		      stderr);
	if (rc == -EPROTO)
		fputs("        whatever listens there does not speak the Kafka protocol (or wants "
		      "TLS)\n",
		      stderr);
	else if (unreachable(rc))
		fputs("        is a broker running there?  -b HOST:PORT or SLUICE_BROKERS names "
		      "another\n",
		      stderr);
	return unreachable(rc) ? EXIT_UNREACHABLE : EXIT_FAILED;
}

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

/* ---- help ---- */

/* Words of `text` up to column 100, the first line beginning at `column`. */
static void print_wrapped(const char *text, size_t column)
{
	size_t at = column;

	while (*text) {
		size_t word = strcspn(text, " ");
		if (at + word > 100) {
			printf("\n%*s", (int)column, "");
			at = column;
		}
		printf("%.*s ", (int)word, text);
		at += word + 1;
		text += word + strspn(text + word, " ");
	}
	putchar('\n');
}

static void print_flag(const struct flag *flag)
{
	char left[64];
	char letter[8] = "   ";

	if (flag->letter)
		snprintf(letter, sizeof(letter), "-%c,", flag->letter);
	snprintf(left, sizeof(left), "%s --%s %s", letter, flag->name,
		 flag->argument ? flag->argument : "");
	printf("  %-32s  ", left);
	if (strlen(left) > 32)
		printf("\n%36s", "");
	print_wrapped(flag->help, 36);
}

static void help_verb(const struct verb *verb)
{
	printf("sluice %s%s%s %s\n  %s.\n\n", verb->noun, *verb->verb ? " " : "", verb->verb,
	       verb->arguments, verb->help);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (verb->run != verb_bench && flag_belongs(&flags[i], verb))
			print_flag(&flags[i]);
	}
}

static void help_all(void)
{
	puts("sluice: topics, records and brokers of Sluice, or of any broker that speaks the Kafka "
	     "protocol\n");
	for (size_t i = 0; i < VERB_COUNT; i++) {
		char left[64];
		snprintf(left, sizeof(left), "%s%s%s %s", verbs[i].noun, *verbs[i].verb ? " " : "",
			 verbs[i].verb, verbs[i].arguments);
		printf("  sluice %-28s %s\n", left, verbs[i].help);
	}
	puts("\nEverywhere:");
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (!*flags[i].where)
			print_flag(&flags[i]);
	}
	puts("\n`sluice help NOUN VERB` shows the rest.  Exit codes: 0 done, 1 the broker refused "
	     "or a record\nwas not delivered, 2 wrong command line, 3 no broker answered, 130 "
	     "interrupted.");
}

static void help_options(void)
{
	const struct sluice_option *option;

	for (size_t i = 0; (option = sluice_option_at(i)); i++) {
		printf("%s = %s  (%s)\n    ", option->name, option->default_text, option->type);
		print_wrapped(option->help, 4);
	}
}

static int help(const struct invocation *invocation)
{
	const char *noun = invocation->word_count > 0 ? invocation->words[0] : "";
	const char *verb = invocation->word_count > 1 ? invocation->words[1] : "";
	bool found = false;

	if (strcmp(noun, "options") == 0) {
		help_options();
		return output_finish(EXIT_DONE);
	}
	for (size_t i = 0; i < VERB_COUNT && *noun; i++) {
		if (strcmp(verbs[i].noun, noun) != 0 ||
		    (*verb && *verbs[i].verb && strcmp(verbs[i].verb, verb) != 0))
			continue;
		if (found)
			putchar('\n');
		help_verb(&verbs[i]);
		found = true;
	}
	if (*noun && !found)
		return complain_usage("there is no '%s%s%s'", noun, *verb ? " " : "", verb);
	if (!found)
		help_all();
	return output_finish(EXIT_DONE);
}

/* ---- dispatch ---- */

/* Flags that are options of the client under another name. */
static int apply(struct sluice_options *options, const char *name, const char *value)
{
	if (!value || sluice_options_set(options, name, value) == 0)
		return EXIT_DONE;
	return complain_usage("%s", sluice_options_error(options));
}

static int set_options(struct invocation *invocation, struct sluice_options *options)
{
	char milliseconds[32];
	char name[64];
	const char *value;
	int64_t seconds;

	if (!flag_number(invocation, FLAG_timeout, 1, 3600, 10, &seconds))
		return EXIT_USAGE;
	snprintf(milliseconds, sizeof(milliseconds), "%lld", (long long)seconds * 1000);
	int code = apply(options, "client.id", "sluice-command");
	code = code ? code : apply(options, "request.timeout.ms", milliseconds);
	code = code ? code : apply(options, "socket.connection.setup.timeout.ms", milliseconds);
	code = code ? code : apply(options, "default.api.timeout.ms", milliseconds);
	code = code ? code : apply(options, "topic.metadata.propagation.max.ms", "3000");
	code = code ? code
		    : apply(options, "compression.type", flag_value(invocation, FLAG_compression));
	code = code ? code : apply(options, "acks", flag_value(invocation, FLAG_acks));
	for (size_t i = 0; !code && i < invocation->flags[FLAG_option].count; i++) {
		const char *text = invocation->flags[FLAG_option].values[i];
		if (!split_setting(text, name, sizeof(name), &value))
			return complain_usage("-X takes NAME=VALUE, not '%s'", text);
		code = apply(options, name, value ? value : "");
	}
	return code;
}

static int open_client(struct invocation *invocation)
{
	const char *brokers = flag_value(invocation, FLAG_brokers);
	const char *environment = getenv("SLUICE_BROKERS");
	struct sluice_options *options;

	if (!brokers)
		brokers = environment && *environment ? environment : "127.0.0.1:9092";
	if (sluice_options_new(&options) < 0) {
		complain("out of memory");
		return EXIT_FAILED;
	}
	int code = set_options(invocation, options);
	if (!code && sluice_open(&invocation->client, brokers, options) < 0)
		code = complain_usage("%s", sluice_open_error());
	sluice_options_free(options);
	return code;
}

static int run(struct invocation *invocation)
{
	const char *output = flag_value(invocation, FLAG_output);

	if (invocation->word_count > 0 && strcmp(invocation->words[0], "help") == 0) {
		invocation->words++;
		invocation->word_count--;
		return help(invocation);
	}
	if (flag_value(invocation, FLAG_help))
		return help(invocation);
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
	invocation->json = invocation->output != OUTPUT_TABLE;
	if (verb->needs == BROKER)
		code = open_client(invocation);
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
