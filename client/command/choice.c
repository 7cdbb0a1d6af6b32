#include "client/command/choice.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/command/command.h"

/* ---- partitions ---- */

/* A number at `text`; *ret_end behind it. */
static bool read_index(const char *text, int32_t *ret, const char **ret_end)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	if (errno || number > INT32_MAX)
		return false;
	*ret = (int32_t)number;
	*ret_end = end;
	return true;
}

int choice_parse(struct choice *ret, const char *text)
{
	struct choice choice = {0};

	if (!text) {
		*ret = choice;
		return 0;
	}
	choice.ranges = calloc(strlen(text) + 1, sizeof(*choice.ranges));
	if (!choice.ranges)
		return -ENOMEM;
	for (const char *at = text;; at++) {
		struct choice_range range;
		if (!read_index(at, &range.first, &at))
			break;
		range.last = range.first;
		if (*at == '-' && !read_index(at + 1, &range.last, &at))
			break;
		if ((*at && *at != ',') || range.last < range.first)
			break;
		choice.ranges[choice.count++] = range;
		if (!*at) {
			*ret = choice;
			return 0;
		}
	}
	choice_free(&choice);
	return -EINVAL;
}

void choice_free(struct choice *choice)
{
	free(choice->ranges);
	*choice = (struct choice){0};
}

bool choice_has(const struct choice *choice, int32_t partition)
{
	for (size_t i = 0; i < choice->count; i++) {
		if (partition >= choice->ranges[i].first && partition <= choice->ranges[i].last)
			return true;
	}
	return !choice->ranges;
}

int choice_read(const struct invocation *invocation, struct choice *ret)
{
	const char *text = flag_value(invocation, FLAG_partition);
	int rc = choice_parse(ret, text);

	if (rc == -EINVAL)
		return complain_usage("--partition takes numbers and ranges with commas between, "
				      "as 0,3,7-9, not '%s'",
				      text);
	return rc < 0 ? EXIT_FAILED : EXIT_DONE;
}

int choice_check(const struct choice *choice, const struct sluice_topic *topic)
{
	for (size_t i = 0; i < choice->count; i++) {
		if ((size_t)choice->ranges[i].last < topic->partition_count)
			continue;
		complain("topic '%s' has partitions 0 to %zu, and no %d", topic->name,
			 topic->partition_count - 1, choice->ranges[i].last);
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}

/* ---- topics ---- */

int choice_topic(const struct invocation *invocation, const char *name,
		 struct sluice_metadata **ret)
{
	struct sluice_metadata *metadata;
	int rc = sluice_metadata(invocation->client, &name, 1, &metadata);

	if (rc < 0)
		return complain_of(invocation, rc);
	rc = metadata->topic_count ? metadata->topics[0].error : -SLUICE_KAFKA(3);
	if (rc == 0) {
		*ret = metadata;
		return EXIT_DONE;
	}
	complain("topic '%s': %s", name, sluice_error_text(rc));
	fputs("        `sluice topic list` shows the topics, `sluice topic create` makes one\n",
	      stderr);
	sluice_metadata_free(metadata);
	return EXIT_FAILED;
}

int choice_regex(const struct invocation *invocation, regex_t *ret, bool *ret_given)
{
	char why[128];

	*ret_given = invocation->word_count > 0;
	if (!*ret_given)
		return EXIT_DONE;
	int wrong = regcomp(ret, invocation->words[0], REG_EXTENDED | REG_NOSUB);
	if (!wrong)
		return EXIT_DONE;
	regerror(wrong, ret, why, sizeof(why));
	return complain_usage("'%s' is no regular expression: %s", invocation->words[0], why);
}

/* ---- consent ---- */

bool choice_confirmed(const struct invocation *invocation, const char *format, ...)
{
	va_list arguments;
	char answer[16];

	if (flag_value(invocation, FLAG_yes) || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return true;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputs("  [y/N] ", stderr);
	if (fgets(answer, sizeof(answer), stdin) && tolower((unsigned char)*answer) == 'y')
		return true;
	complain("nothing was changed");
	return false;
}
