#include "control/groups/consumer_regex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
	/* For the states that are alive at one character, some three numbers each, twice. */
	WORKSPACE = 6 * 400,
	/* Of one match; only look-around and recursion need any. */
	NESTED_MATCHES_MAX = 100000,
	NESTING_MAX = 100,
	HEAP_KIBIBYTES_MAX = 1024,
};

struct regex {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

/* Called before each item of the expression is tried. */
static int count_step(pcre2_callout_block *block, void *left)
{
	int64_t *steps = left;

	return --*steps < 0 ? PCRE2_ERROR_CALLOUT : 0;
}

static int say(int error, size_t at, char *why, size_t why_bytes)
{
	unsigned char text[REGEX_WHY_BYTES / 2];

	pcre2_get_error_message(error, text, sizeof(text));
	snprintf(why, why_bytes, "%s at character %zu", (char *)text, at);
	return -EINVAL;
}

static int compile(const struct kafka_string *text, pcre2_code **ret, char *why, size_t why_bytes)
{
	const uint32_t options = PCRE2_UTF | PCRE2_NO_AUTO_CAPTURE | PCRE2_NEVER_BACKSLASH_C |
				 PCRE2_DOLLAR_ENDONLY | PCRE2_AUTO_CALLOUT;
	size_t at = 0;
	int error = 0;

	*ret = pcre2_compile((PCRE2_SPTR)text->data, (size_t)text->length, options, &error, &at,
			     NULL);
	if (!*ret)
		return say(error, at, why, why_bytes);
	uint32_t references = 0;
	pcre2_pattern_info(*ret, PCRE2_INFO_BACKREFMAX, &references);
	if (references) {
		snprintf(why, why_bytes, "back references are not supported");
		return -EINVAL;
	}
	return 0;
}

int regex_compile(struct regex **ret, const struct kafka_string *text, char *why, size_t why_bytes)
{
	struct regex *regex;
	int rc;

	if (text->length > REGEX_BYTES_MAX) {
		snprintf(why, why_bytes, "longer than %d bytes", REGEX_BYTES_MAX);
		return -EINVAL;
	}
	regex = calloc(1, sizeof(*regex));
	if (!regex)
		return -ENOMEM;
	rc = compile(text, &regex->code, why, why_bytes);
	if (rc < 0)
		goto fail;
	rc = -ENOMEM;
	regex->data = pcre2_match_data_create(1, NULL);
	regex->limits = pcre2_match_context_create(NULL);
	if (!regex->data || !regex->limits)
		goto fail;
	pcre2_set_match_limit(regex->limits, NESTED_MATCHES_MAX);
	pcre2_set_depth_limit(regex->limits, NESTING_MAX);
	pcre2_set_heap_limit(regex->limits, HEAP_KIBIBYTES_MAX);
	*ret = regex;
	return 0;
fail:
	regex_free(regex);
	return rc;
}

void regex_free(struct regex *regex)
{
	if (!regex)
		return;
	pcre2_match_context_free(regex->limits);
	pcre2_match_data_free(regex->data);
	pcre2_code_free(regex->code);
	free(regex);
}

int regex_match(const struct regex *regex, const char *name, size_t length, int64_t *steps)
{
	int workspace[WORKSPACE];

	if (*steps <= 0)
		return -E2BIG;
	pcre2_set_callout(regex->limits, count_step, steps);
	int rc = pcre2_dfa_match(regex->code, (PCRE2_SPTR)name, length, 0, PCRE2_ANCHORED,
				 regex->data, regex->limits, workspace, WORKSPACE);
	/* The first pair is the longest match, however many there are. */
	if (rc >= 0)
		return pcre2_get_ovector_pointer(regex->data)[1] == length;
	return rc == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
}
