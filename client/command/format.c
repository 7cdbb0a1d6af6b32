#include "client/command/format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "client/sluice.h"

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c | 0x20) : NULL;

	return found ? (int)(found - digits) : -1;
}

/* What a backslash and the characters after it stand for; how many there were, 0: nothing. */
static size_t unescape(const char *at, char *ret)
{
	static const char letters[] = "ntr0\\";
	static const char meanings[] = "\n\t\r\0\\";
	const char *found = *at ? strchr(letters, *at) : NULL;

	if (found) {
		*ret = meanings[found - letters];
		return 1;
	}
	if (*at != 'x' || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
		return 0;
	*ret = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
	return 3;
}

static void add_literal(struct format *format, size_t *used, char byte)
{
	struct format_part *last = format->count ? &format->parts[format->count - 1] : NULL;

	if (!last || last->letter) {
		last = &format->parts[format->count++];
		*last = (struct format_part){.at = *used};
	}
	format->literals[(*used)++] = byte;
	last->length++;
}

static int parse(struct format *format, const char *text, const char **ret_wrong)
{
	size_t used = 0;

	for (const char *at = text; *at; at++) {
		char byte = *at;
		*ret_wrong = at;
		if (*at == '%') {
			at++;
			if (!*at || !strchr("sSRkKtpoTdh%", *at))
				return -EINVAL;
			if (*at != '%') {
				format->parts[format->count++] =
					(struct format_part){.letter = *at};
				continue;
			}
		} else if (*at == '\\') {
			size_t taken = unescape(at + 1, &byte);
			if (taken == 0)
				return -EINVAL;
			at += taken;
		}
		add_literal(format, &used, byte);
	}
	return 0;
}

int format_parse(struct format *ret, const char *text, const char **ret_wrong)
{
	size_t length = strlen(text) + 1;
	struct format format = {
		.parts = calloc(length, sizeof(*format.parts)),
		.literals = malloc(length),
	};
	int rc = format.parts && format.literals ? parse(&format, text, ret_wrong) : -ENOMEM;

	if (rc < 0)
		format_free(&format);
	else
		*ret = format;
	return rc;
}

void format_free(struct format *format)
{
	free(format->parts);
	free(format->literals);
	*format = (struct format){0};
}

static void print_headers(FILE *to, const struct sluice_message *message)
{
	struct sluice_header header;
	size_t cursor = 0;
	bool first = true;

	while (sluice_header_next(message, &cursor, &header) > 0) {
		if (!first)
			putc(',', to);
		first = false;
		fwrite(header.name, 1, header.name_length, to);
		putc('=', to);
		if (header.value)
			fwrite(header.value, 1, header.value_length, to);
		else
			fputs("NULL", to);
	}
}

static void print_length(FILE *to, const void *data, size_t length)
{
	fprintf(to, "%" PRId64, data ? (int64_t)length : -1);
}

/* Big-endian, as kcat does. */
static void print_binary_length(FILE *to, const void *data, size_t length)
{
	uint8_t bytes[4];

	store_be32(bytes, data ? (uint32_t)length : UINT32_MAX);
	fwrite(bytes, 1, sizeof(bytes), to);
}

/* 2026-01-31T12:00:00.000Z */
static void print_time(FILE *to, int64_t timestamp_ms)
{
	time_t seconds = (time_t)(timestamp_ms / 1000);
	char text[64];
	struct tm parts;

	if (timestamp_ms < 0 || !gmtime_r(&seconds, &parts) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts))
		putc('-', to);
	else
		fprintf(to, "%s.%03dZ", text, (int)(timestamp_ms % 1000));
}

static void print_part(FILE *to, char letter, const struct sluice_message *message)
{
	switch (letter) {
	case 's':
		if (message->value)
			fwrite(message->value, 1, message->value_length, to);
		break;
	case 'S':
		print_length(to, message->value, message->value_length);
		break;
	case 'k':
		if (message->key)
			fwrite(message->key, 1, message->key_length, to);
		break;
	case 'K':
		print_length(to, message->key, message->key_length);
		break;
	case 't':
		fputs(message->topic, to);
		break;
	case 'p':
		fprintf(to, "%" PRId32, message->partition);
		break;
	case 'o':
		fprintf(to, "%" PRId64, message->offset);
		break;
	case 'R':
		print_binary_length(to, message->value, message->value_length);
		break;
	case 'd':
		print_time(to, message->timestamp_ms);
		break;
	case 'T':
		fprintf(to, "%" PRId64, message->timestamp_ms);
		break;
	default:
		print_headers(to, message);
	}
}

void format_print(const struct format *format, FILE *to, const struct sluice_message *message)
{
	for (size_t i = 0; i < format->count; i++) {
		const struct format_part *part = &format->parts[i];
		if (part->letter)
			print_part(to, part->letter, message);
		else
			fwrite(format->literals + part->at, 1, part->length, to);
	}
}
