/* client/command/output.h: results as tables and as JSON, on standard output. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 10 };

/* Cells are copied; printed when all are there, as wide as they need. */
struct table {
	size_t columns;
	char **cells;
	size_t count;
	size_t capacity;
	bool failed; /* memory */
};

void table_init(struct table *table, size_t columns, ...); /* headings */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void table_finish(struct table *table);

/* A JSON string of any bytes; what is not UTF-8 is the caller's to avoid. */
void put_json_text(FILE *to, const void *text, size_t length);
void put_json_string(FILE *to, const char *text); /* null: null */
/* "name": "text" where the bytes are UTF-8, "name_base64": "..." where they are not, null for null.
 */
void put_json_bytes(FILE *to, const char *name, const void *bytes, size_t length);
/* Flushes standard output, and looks whether anybody still reads it. */
enum output_state {
	OUTPUT_GOOD,
	OUTPUT_ENOUGH, /* its reader has had enough and gone: no failure */
	OUTPUT_FAILED, /* and that was complained of */
};
enum output_state output_flush(void);
/* The exit code of a verb that ends with `code`, once all is printed. */
int output_finish(int code);
