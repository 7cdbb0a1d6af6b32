#include "client/command/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *const secrets[] = {"password",   "passwd",  "secret", "token",
				      "credential", "private", "jaas"};

static const char BEGIN[] = "-----BEGIN ";

static bool in_name(char byte)
{
	return isalnum((unsigned char)byte) || byte == '.' || byte == '_' || byte == '-';
}

static bool is_secret(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		size_t word = strlen(secrets[i]);
		for (size_t at = 0; at + word <= length; at++) {
			if (strncasecmp(name + at, secrets[i], word) == 0)
				return true;
		}
	}
	return false;
}

static bool is_quote(const char *at, const char *end)
{
	return at < end && (*at == '"' || *at == '\'');
}

/* As in JSON that is a text in JSON. */
static bool is_escaped_quote(const char *at, const char *end)
{
	return at < end && *at == '\\' && is_quote(at + 1, end);
}

/* Past `\?"? *[=:] *`, which ends a name; null: it is no name. */
static const char *value_begin(const char *at, const char *end)
{
	at += is_escaped_quote(at, end) ? 2 : is_quote(at, end);
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	if (at == end || (*at != '=' && *at != ':'))
		return NULL;
	for (at++; at < end && (*at == ' ' || *at == '\t');)
		at++;
	return at;
}

static const char *quotes_end(const char *at, const char *end)
{
	char quote = *at;

	for (at++; at < end && *at != quote; at++) {
		if (*at == '\\' && at + 1 < end)
			at++;
	}
	return at < end ? at + 1 : end;
}

static const char *escaped_quotes_end(const char *at, const char *end)
{
	char quote = at[1];

	for (at += 2; at < end && !(is_escaped_quote(at, end) && at[1] == quote); at++)
		continue;
	return at < end ? at + 2 : end;
}

static const char *value_end(const char *at, const char *end, bool whole_line)
{
	if (whole_line)
		return end;
	if (is_quote(at, end))
		return quotes_end(at, end);
	if (is_escaped_quote(at, end))
		return escaped_quotes_end(at, end);
	while (at < end && !isspace((unsigned char)*at) && !strchr(",;}])", *at))
		at++;
	return at;
}

/* "user:word@" after "://"; `at` where there is none. */
static const char *user_end(const char *at, const char *end)
{
	for (const char *byte = at; byte < end; byte++) {
		if (*byte == '@')
			return byte;
		if (isspace((unsigned char)*byte) || strchr("/\"'<>", *byte))
			break;
	}
	return at;
}

/* What is left of the line after a name, or a byte that belongs to none. */
static const char *redact_name(const char *line, const char *at, const char *end, FILE *to)
{
	const char *name = at;

	while (at < end && in_name(*at))
		at++;
	fwrite(name, 1, (size_t)(at - name), to);
	if (!is_secret(name, (size_t)(at - name)))
		return at;
	const char *value = value_begin(at, end);
	if (!value)
		return at;
	fwrite(at, 1, (size_t)(value - at), to);
	const char *value_past = value_end(value, end, name == line);
	if (value_past > value)
		fputs("(removed)", to);
	return value_past;
}

static void redact_line(const char *line, size_t length, FILE *to)
{
	const char *end = line + length;
	const char *at = line;

	while (at < end) {
		if (in_name(*at)) {
			at = redact_name(line, at, end, to);
		} else if (end - at > 3 && memcmp(at, "://", 3) == 0) {
			fputs("://", to);
			const char *user_past = user_end(at + 3, end);
			if (user_past > at + 3)
				fputs("(removed)", to);
			at = user_past;
		} else {
			putc(*at++, to);
		}
	}
}

static void redact_lines(const char *text, size_t length, FILE *to)
{
	for (size_t at = 0; at < length;) {
		const char *newline = memchr(text + at, '\n', length - at);
		size_t line = newline ? (size_t)(newline - text) - at : length - at;
		redact_line(text + at, line, to);
		if (newline)
			putc('\n', to);
		at += line + 1;
	}
}

/* ---- keys in PEM (RFC 7468) ---- */

static const char *find(const char *at, const char *end, const char *word)
{
	return memmem(at, (size_t)(end - at), word, strlen(word));
}

/* Behind the dashes of a line whose label begins at `label`; null: it is none. */
static const char *label_past(const char *label, const char *end)
{
	const char *dashes = find(label, end, "-----");

	if (!dashes || memchr(label, '\n', (size_t)(dashes - label)))
		return NULL;
	return dashes + 5;
}

/* Where the first private key begins; `end`: there is none.  *ret_past is behind its end, which a
 * key that was cut off has at the end of the text. */
static const char *find_key(const char *text, const char *end, const char **ret_past)
{
	const char *begin = text;

	*ret_past = end;
	for (; (begin = find(begin, end, BEGIN)); begin += strlen(BEGIN)) {
		const char *label = begin + strlen(BEGIN);
		const char *past = label_past(label, end);
		if (!past || !find(label, past, "PRIVATE KEY-----"))
			continue;
		const char *last = find(past, end, "-----END ");
		past = last ? label_past(last + 9, end) : NULL;
		if (past)
			*ret_past = past;
		return begin;
	}
	return end;
}

void redact(const char *text, size_t length, FILE *to)
{
	const char *end = text + length;

	while (text < end) {
		const char *past;
		const char *key = find_key(text, end, &past);
		redact_lines(text, (size_t)(key - text), to);
		if (key < end)
			fputs("(removed)", to);
		text = past;
	}
}
