/* A regular expression of a subscription and, behind a NUL byte, names of topics, each ended by
 * one. What a client can make the broker do with it is bounded, whatever the expression is. */
#include "base/bytes.h"
#include "control/groups/consumer_regex.h"
#include "dataplane/topics.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/input.h"

#include <errno.h>

enum { STEPS_MAX = 200000 }; /* less than a caller has: the fuzzer looks for other things */

static void match(const struct regex *regex, struct input *input)
{
	int64_t steps = STEPS_MAX;

	do {
		char *name = input_text(input, 0);
		size_t length = strnlen(name, TOPIC_NAME_MAX);
		/* Names of topics are of a few characters alone. */
		for (size_t i = 0; i < length; i++)
			name[i] = (char)(name[i] & 0x7f);
		int rc = regex_match(regex, name, length, &steps);
		check(rc == 0 || rc == 1 || rc == -E2BIG);
		check(steps >= -1);
		free(name);
	} while (input->left > 0 && steps > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {data, size};
	char *text = input_text(&input, 0);
	char why[REGEX_WHY_BYTES] = "";
	struct regex *regex;
	struct kafka_string expression = {text, (int32_t)strlen(text)};
	int rc = regex_compile(&regex, &expression, why, sizeof(why));

	check(rc == 0 || (rc == -EINVAL && why[0]));
	if (rc == 0) {
		match(regex, &input);
		regex_free(regex);
	}
	free(text);
	return 0;
}
