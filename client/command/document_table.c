/* A document as tables.
 *
 * Cells are made first, row after row, and printed when all are there, each column as wide as its
 * widest cell; so a table takes memory as its document does. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/command/command.h"
#include "client/command/document_internal.h"

enum { GAP = 2 };

struct grid {
	const struct column *columns;
	size_t column_count;
	json_t *cells; /* an array of strings, row after row */
	size_t widths[COLUMNS_MAX];
	bool numbers[COLUMNS_MAX]; /* nothing else in this column so far */
};

/* ---- cells ---- */

/* In characters: bytes that begin one. */
static size_t text_width(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

/* U+0000 to U+001F, U+007F to U+009F: how many bytes it takes, else 0. */
static size_t control_length(const unsigned char *text, size_t left)
{
	if (*text < 0x20 || *text == 0x7f)
		return 1;
	return *text == 0xc2 && left > 1 && text[1] < 0xa0 ? 2 : 0;
}

static void put_safe(FILE *to, const char *text, size_t length)
{
	const unsigned char *at = (const unsigned char *)text;

	for (const unsigned char *end = at + length; at < end; at++) {
		size_t control = control_length(at, (size_t)(end - at));
		if (!control)
			putc(*at, to);
		else
			fprintf(to, "\\x%02x", control == 2 ? *++at : *at);
	}
}

static void put_value(FILE *to, const json_t *value);

static void put_array(FILE *to, const json_t *array)
{
	const json_t *element;
	size_t i;

	if (json_array_size(array) == 0)
		putc('-', to);
	json_array_foreach(array, i, element)
	{
		if (i)
			putc(',', to);
		put_value(to, element);
	}
}

static void put_value(FILE *to, const json_t *value)
{
	if (json_is_string(value) && json_string_length(value))
		put_safe(to, json_string_value(value), json_string_length(value));
	else if (json_is_integer(value))
		fprintf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		fprintf(to, "%.6g", json_real_value(value));
	else if (json_is_boolean(value))
		fputs(json_is_true(value) ? "yes" : "no", to);
	else if (json_is_array(value))
		put_array(to, value);
	else if (json_is_object(value))
		json_dumpf(value, to, JSON_COMPACT);
	else
		putc('-', to);
}

/* Of the row, or of what it lies in; null: of neither.  A row that is a plain value is its only
 * field. */
static const json_t *find_value(const json_t *row, const json_t *around, const char *field)
{
	const json_t *value = json_is_object(row) ? json_object_get(row, field) : row;
	char encoded[64];

	if (!value) {
		snprintf(encoded, sizeof(encoded), "%s_base64", field);
		value = json_object_get(row, encoded);
	}
	return value || !around ? value : find_value(around, NULL, field);
}

static void add_cell(struct grid *grid, size_t column, const json_t *value)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to) {
		complain("out of memory");
		exit(EXIT_FAILED);
	}
	put_value(to, value);
	fclose(to);
	size_t width = text_width(text);
	if (width > grid->widths[column])
		grid->widths[column] = width;
	if (value && !json_is_number(value) && !json_is_null(value))
		grid->numbers[column] = false;
	json_array_append_new(grid->cells, json_string_nocheck(text));
	free(text);
}

/* `name`: under which the row lies in an object of rows, else null. */
static void add_row(struct grid *grid, const json_t *row, const json_t *around, const char *name)
{
	for (size_t i = 0; i < grid->column_count; i++) {
		if (*grid->columns[i].field || !name) {
			add_cell(grid, i, find_value(row, around, grid->columns[i].field));
			continue;
		}
		json_t *cell = json_string_nocheck(name);
		add_cell(grid, i, cell);
		json_decref(cell);
	}
}

static void add_rows(struct grid *grid, const json_t *rows, const json_t *around)
{
	const char *name;
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row) add_row(grid, row, around, NULL);
	/* Only read, but the macro wants it so. */
	json_object_foreach((json_t *)(uintptr_t)rows, name, row) add_row(grid, row, around, name);
}

/* ---- printing ---- */

static void grid_init(struct grid *grid, const struct column *columns)
{
	*grid = (struct grid){.columns = columns, .cells = json_array()};
	for (; columns[grid->column_count].field; grid->column_count++) {
		size_t i = grid->column_count;
		grid->widths[i] = text_width(columns[i].heading);
		grid->numbers[i] = true;
	}
}

static void print_cell(const struct grid *grid, size_t column, const char *text)
{
	int padding = (int)(grid->widths[column] - text_width(text));
	bool last = column + 1 == grid->column_count;

	if (grid->numbers[column])
		printf("%*s%s", padding, "", text);
	else
		printf("%s%*s", text, last ? 0 : padding, "");
	printf("%*s", last ? 0 : GAP, "");
	if (last)
		putchar('\n');
}

static void grid_finish(struct grid *grid)
{
	const json_t *cell;
	size_t i;

	for (size_t column = 0; column < grid->column_count; column++)
		print_cell(grid, column, grid->columns[column].heading);
	json_array_foreach(grid->cells, i, cell)
		/* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): a cell has a column */
		print_cell(grid, i % grid->column_count, json_string_value(cell));
	json_decref(grid->cells);
}

static void print_facts(const json_t *object, const struct column *columns)
{
	size_t widest = 0;

	for (const struct column *column = columns; column->field; column++) {
		size_t width = text_width(column->heading);
		widest = width > widest ? width : widest;
	}
	for (; columns->field; columns++) {
		int padding = (int)(widest - text_width(columns->heading)) + GAP;
		printf("%s%*s", columns->heading, padding, "");
		put_value(stdout, find_value(object, NULL, columns->field));
		putchar('\n');
	}
}

/* The rows that the part names, of an object or of each element of an array. */
static void print_named_rows(const json_t *document, const struct part *part)
{
	const json_t *element;
	struct grid grid;
	size_t i;

	grid_init(&grid, part->columns);
	json_array_foreach(document, i, element)
		add_rows(&grid, json_object_get(element, part->rows), element);
	if (json_is_object(document))
		add_rows(&grid, json_object_get(document, part->rows), document);
	grid_finish(&grid);
}

static void print_part(const json_t *document, const struct part *part)
{
	struct grid grid;

	if (part->rows) {
		print_named_rows(document, part);
	} else if (json_is_object(document)) {
		print_facts(document, part->columns);
	} else {
		grid_init(&grid, part->columns);
		add_rows(&grid, document, NULL);
		grid_finish(&grid);
	}
}

void document_print_table(const json_t *document, const struct part *parts)
{
	const json_t *element;
	size_t i;

	if (json_is_array(document) && parts[1].columns) {
		json_array_foreach(document, i, element)
		{
			if (i)
				putchar('\n');
			document_print_table(element, parts);
		}
		return;
	}
	for (const struct part *part = parts; part->columns; part++) {
		if (part != parts)
			putchar('\n');
		print_part(document, part);
	}
}

void document_print_values(const json_t *object)
{
	const char *gap = "";
	const char *name;
	json_t *value;

	/* Only read, but the macro wants it so. */
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		fputs(gap, stdout);
		put_value(stdout, value);
		gap = "\t";
	}
	putchar('\n');
}
