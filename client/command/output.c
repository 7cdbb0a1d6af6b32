#include "client/command/output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/command/base64.h"
#include "client/command/command.h"
#include "dataplane/kafka/utf8.h"

enum { GAP = 2 };

static void put_cell(struct table *table, char *cell)
{
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? table->capacity * 2 : 64;
		char **cells = realloc(table->cells, capacity * sizeof(char *));
		if (!cells) {
			table->failed = true;
			free(cell);
			return;
		}
		table->cells = cells;
		table->capacity = capacity;
	}
	table->failed = table->failed || !cell;
	table->cells[table->count++] = cell;
}

void table_init(struct table *table, size_t columns, ...)
{
	va_list headings;

	*table = (struct table){.columns = columns};
	va_start(headings, columns);
	for (size_t i = 0; i < columns; i++)
		put_cell(table, strdup(va_arg(headings, const char *)));
	va_end(headings);
}

void table_add(struct table *table, const char *format, ...)
{
	va_list arguments;
	char *cell = NULL;

	va_start(arguments, format);
	if (vasprintf(&cell, format, arguments) < 0)
		cell = NULL;
	va_end(arguments);
	put_cell(table, cell);
}

static void print_table(const struct table *table)
{
	size_t widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t i = 0; i < table->count; i++) {
		size_t width = strlen(table->cells[i]);
		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		if (column + 1 == table->columns)
			printf("%s\n", table->cells[i]);
		else
			printf("%-*s", (int)widths[column] + GAP, table->cells[i]);
	}
}

void table_finish(struct table *table)
{
	if (table->failed)
		complain("out of memory");
	else
		print_table(table);
	for (size_t i = 0; i < table->count; i++)
		free(table->cells[i]);
	free(table->cells);
}

/* ---- JSON ---- */

static void json_escape(FILE *to, uint8_t byte)
{
	static const char *const named[] = {
		['\b'] = "\\b", ['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r"};

	if (byte == '"' || byte == '\\')
		fprintf(to, "\\%c", byte);
	else if (byte >= 0x20)
		putc(byte, to);
	else if (byte < sizeof(named) / sizeof(named[0]) && named[byte])
		fputs(named[byte], to);
	else
		fprintf(to, "\\u%04x", byte);
}

void put_json_text(FILE *to, const void *text, size_t length)
{
	const uint8_t *at = text;

	putc('"', to);
	for (size_t i = 0; i < length; i++)
		json_escape(to, at[i]);
	putc('"', to);
}

void put_json_string(FILE *to, const char *text)
{
	if (text)
		put_json_text(to, text, strlen(text));
	else
		fputs("null", to);
}

void put_json_bytes(FILE *to, const char *name, const void *bytes, size_t length)
{
	if (!bytes) {
		fprintf(to, "\"%s\":null", name);
	} else if (utf8_valid(bytes, length)) {
		fprintf(to, "\"%s\":", name);
		put_json_text(to, bytes, length);
	} else {
		char *text = malloc(BASE64_BYTES(length));
		if (text)
			base64_write(text, bytes, length);
		fprintf(to, "\"%s_base64\":\"%s\"", name, text ? text : "");
		free(text);
	}
}

/* The error of a failed stream may be of an earlier write: the pipe itself is asked. */
static bool reader_gone(void)
{
	struct pollfd fds = {.fd = STDOUT_FILENO};

	return poll(&fds, 1, 0) == 1 && fds.revents & POLLERR;
}

enum output_state output_flush(void)
{
	static bool complained;

	/* Asked first: where nothing is left to print a write would not tell. */
	if (reader_gone())
		return OUTPUT_ENOUGH;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return OUTPUT_GOOD;
	if (!complained)
		complain("standard output: %s", strerror(errno));
	complained = true;
	return OUTPUT_FAILED;
}

int output_finish(int code)
{
	return output_flush() == OUTPUT_FAILED ? EXIT_FAILED : code;
}
