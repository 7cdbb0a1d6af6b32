#include "client/command/redact.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

static const char *const secrets[] = {"password",   "passwd",  "secret", "token",
				      "credential", "private", "jaas"};

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

/* Past `"? *[=:] *`, which ends a name; null: it is no name. */
static const char *value_begin(const char *at, const char *end)
{
	if (at < end && (*at == '"' || *at == '\''))
		at++;
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

static const char *value_end(const char *at, const char *end, bool whole_line)
{
	if (whole_line)
		return end;
	if (at < end && (*at == '"' || *at == '\''))
		return quotes_end(at, end);
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

void redact(const char *text, size_t length, FILE *to)
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
