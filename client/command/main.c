/* sluice: topics, records and brokers from a shell.
 *
 *   sluice [FLAGS] NOUN [VERB] [WORDS]
 *
 * Nouns, verbs and flags are tables (verbs.def, flags.def); the parser and the help read them.
 * Exit codes: enum exit_code. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "client/command/command.h"
#include "client/command/output.h"

struct verb {
	const char *noun;
	const char *verb;
	const char *arguments;
	size_t fewest;
	size_t most;
	int (*run)(struct invocation *invocation);
	const char *help;
};

struct flag {
	char letter;
	const char *name;
	const char *argument;
	const char *where;
	const char *help;
};

static const struct verb verbs[] = {
#define VERB(noun, verb, arguments, fewest, most, function, help)                                  \
	{noun, verb, arguments, fewest, most, verb_##function, help},
#include "client/command/verbs.def"
#undef VERB
};

static const struct flag flags[FLAG_COUNT] = {
#define FLAG(field, letter, name, argument, where, help) {letter, name, argument, where, help},
#include "client/command/flags.def"
#undef FLAG
};

/* ---- complaints ---- */

__attribute__((format(printf, 1, 0))) static void complain_list(const char *format,
								va_list arguments)
{
	fflush(stdout);
	fputs("sluice: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

void complain(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
}

int complain_usage(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain_list(format, arguments);
	va_end(arguments);
	fputs("        `sluice help` shows what there is\n", stderr);
	return EXIT_USAGE;
}

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

/* ---- flags ---- */

const char *flag_value(const struct invocation *invocation, enum flag_index flag)
{
	const struct flag_values *values = &invocation->flags[flag];

	return values->count ? values->values[values->count - 1] : NULL;
}

bool flag_number(const struct invocation *invocation, enum flag_index flag, int64_t min,
		 int64_t max, int64_t otherwise, int64_t *ret)
{
	const char *text = flag_value(invocation, flag);
	char *end;

	*ret = otherwise;
	if (!text)
		return true;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (end == text || *end || errno || number < min || number > max) {
		complain_usage("--%s takes a whole number from %lld to %lld, not '%s'",
			       flags[flag].name, (long long)min, (long long)max, text);
		return false;
	}
	*ret = number;
	return true;
}

bool split_setting(const char *text, char *name, size_t name_bytes, const char **ret_value)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text || (size_t)(equals - text) >= name_bytes)
		return false;
	memcpy(name, text, (size_t)(equals - text));
	name[equals - text] = 0;
	*ret_value = equals[1] ? equals + 1 : NULL;
	return true;
}

static const struct flag *find_flag(const char *word, size_t length)
{
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (word[1] != '-' && word[1] == flags[i].letter)
			return &flags[i];
		if (word[1] == '-' && strlen(flags[i].name) == length - 2 &&
		    memcmp(flags[i].name, word + 2, length - 2) == 0)
			return &flags[i];
	}
	return NULL;
}

/* "-n5", "-n 5", "--count=5", "--count 5"; *at moves past an argument that stands alone. */
static int take_flag(struct invocation *invocation, char **words, int count, int *at)
{
	const char *word = words[*at];
	bool is_long = word[1] == '-';
	const char *equals = is_long ? strchr(word, '=') : NULL;
	size_t length = equals ? (size_t)(equals - word) : strlen(word);
	const struct flag *flag = find_flag(word, length);
	const char *value = "";

	if (!flag)
		return complain_usage("no flag is called '%.*s'", (int)length, word);
	if (flag->argument) {
		value = is_long ? (equals ? equals + 1 : NULL) : (word[2] ? word + 2 : NULL);
		if (!value && *at + 1 < count)
			value = words[++*at];
		if (!value)
			return complain_usage("-%c, --%s needs %s", flag->letter, flag->name,
					      flag->argument);
	} else if (equals || (!is_long && word[2])) {
		return complain_usage("-%c, --%s takes nothing after it", flag->letter, flag->name);
	}
	struct flag_values *values = &invocation->flags[flag - flags];
	if (values->count == FLAG_VALUES_MAX)
		return complain_usage("too many of --%s", flag->name);
	values->values[values->count++] = value;
	return EXIT_DONE;
}

static int parse_words(struct invocation *invocation, int argc, char **argv)
{
	bool only_words = false;

	for (int i = 1; i < argc; i++) {
		if (!only_words && strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
			int code = take_flag(invocation, argv, argc, &i);
			if (code)
				return code;
		} else {
			invocation->words[invocation->word_count++] = argv[i];
		}
	}
	return EXIT_DONE;
}

/* ---- help ---- */

static void verb_name(const struct verb *verb, char *text, size_t bytes)
{
	snprintf(text, bytes, "%s%s%s", verb->noun, *verb->verb ? "-" : "", verb->verb);
}

static bool flag_belongs(const struct flag *flag, const struct verb *verb)
{
	char name[32];
	size_t length;

	if (!*flag->where)
		return true;
	verb_name(verb, name, sizeof(name));
	length = strlen(name);
	for (const char *at = flag->where; *at; at += strspn(at, " ")) {
		size_t word = strcspn(at, " ");
		if (word == length && memcmp(at, name, length) == 0)
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

	snprintf(left, sizeof(left), "-%c, --%s %s", flag->letter, flag->name,
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
		if (flag_belongs(&flags[i], verb))
			print_flag(&flags[i]);
	}
}

static void help_all(void)
{
	puts("sluice: topics, records and brokers of Sluice, or of any broker that speaks the Kafka "
	     "protocol\n");
	for (size_t i = 0; i < array_count(verbs); i++) {
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
	for (size_t i = 0; i < array_count(verbs) && *noun; i++) {
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

static const struct verb *find_verb(struct invocation *invocation)
{
	const char *noun = invocation->words[0];
	const char *word = invocation->word_count > 1 ? invocation->words[1] : "";
	char known[256] = "";
	size_t used = 0;

	for (size_t i = 0; i < array_count(verbs); i++) {
		if (strcmp(verbs[i].noun, noun) != 0)
			continue;
		if (!*verbs[i].verb || strcmp(verbs[i].verb, word) == 0) {
			size_t taken = *verbs[i].verb ? 2 : 1;
			invocation->words += taken;
			invocation->word_count -= taken;
			return &verbs[i];
		}
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					 used ? ", " : "", verbs[i].verb);
	}
	if (!used)
		complain_usage("there is no '%s'", noun);
	else if (*word)
		complain_usage("%s knows no '%s', only %s", noun, word, known);
	else
		complain_usage("%s what?  %s", noun, known);
	return NULL;
}

static int check_words(const struct invocation *invocation, const struct verb *verb)
{
	char name[32];

	verb_name(verb, name, sizeof(name));
	*strchrnul(name, '-') = ' ';
	if (invocation->word_count < verb->fewest)
		return complain_usage("%s needs %s", name, verb->arguments);
	if (invocation->word_count > verb->most)
		return complain_usage("%s takes no '%s'", name, invocation->words[verb->most]);
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		if (invocation->flags[i].count > 0 && !flag_belongs(&flags[i], verb))
			return complain_usage("%s has no --%s", name, flags[i].name);
	}
	return EXIT_DONE;
}

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
	const struct verb *verb = find_verb(invocation);
	if (!verb)
		return EXIT_USAGE;
	int code = check_words(invocation, verb);
	if (code)
		return code;
	if (output && strcmp(output, "json") != 0 && strcmp(output, "table") != 0)
		return complain_usage("--output is table or json, not '%s'", output);
	invocation->json = output && strcmp(output, "json") == 0;
	code = open_client(invocation);
	if (code)
		return code;
	running = invocation->client;
	code = verb->run(invocation);
	running = NULL;
	sluice_close(invocation->client);
	return code;
}

int main(int argc, char **argv)
{
	struct invocation invocation = {0};
	const char **words = calloc((size_t)argc + 1, sizeof(char *));

	if (!words)
		return EXIT_FAILED;
	invocation.words = words;
	catch_signals();
	int code = parse_words(&invocation, argc, argv);
	if (!code)
		code = run(&invocation);
	free(words);
	return code;
}
