/* client/command/document.h: the one writer of results.
 *
 * A verb makes a document of jansson's - an object, or an array of objects - and hands it over; -o
 * says how it is printed on standard output:
 *
 *   table   for people: what the columns of the verb's parts name, see below
 *   json    the document
 *   jsonl   one line: the document, or each element where it is an array
 *   yaml    the document
 *
 * Fields are in snake_case, with their unit last (age_ms, size_bytes); numbers are numbers, what is
 * unknown is null.  A field that was ever printed stays: programs read them.  The order is that in
 * which a verb has set them.
 *
 * Running out of memory ends the program with a complaint (document_init), so that no call of
 * jansson needs to be looked after; text from outside, which need not be UTF-8, goes through
 * document_set_text and document_set_bytes. */
#pragma once
#include <jansson.h>
#include <stddef.h>

struct invocation;

enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_YAML };

/* -EINVAL: neither table, json, jsonl nor yaml. */
int output_form_parse(enum output_form *ret, const char *text);

/* Before any other use of jansson. */
void document_init(void);

/* ---- how a document looks as a table ---- */

enum { COLUMNS_MAX = 16 };

/* Null is printed as "-", true and false as "yes" and "no", an array of plain values with commas,
 * bytes that would steer the terminal as \xHH.  Columns of numbers keep to the right. */
struct column {
	const char *field;   /* of the row; else of the object that the row lies in; "" is the name
				under which the row lies in an object of rows.  A row that is a
				plain value is its own field, whatever the name */
	const char *heading; /* in capitals */
};

/* One table of a document.
 *   rows null, the document is an array    its elements are the rows
 *   rows null, the document is an object   it is printed as lines of heading and value
 *   rows "name"                            the array (or object) of that name holds the rows
 * Of an array whose only part has named rows, the rows of all elements come in one table; where
 * there are more parts each element is printed by itself. */
struct part {
	const char *rows;
	const struct column *columns; /* the last has no field */
};

/* `parts`: the last has no columns.  Frees the document.  Returns the exit code of a verb that ends
 * with `code` (output_finish). */
int document_print(const struct invocation *invocation, json_t *document, const struct part *parts,
		   int code);
/* Of an array of rows alone. */
int document_print_rows(const struct invocation *invocation, json_t *rows,
			const struct column *columns, int code);
/* An element of a list whose end is not known yet: one line of json, or a document of yaml; as a
 * table its values, with tabs between.  Frees it. */
void document_print_element(const struct invocation *invocation, json_t *element);

/* ---- making one ---- */

/* "name": "text" where the bytes are UTF-8, "name_base64": "..." where they are not; null for null.
 */
void document_set_bytes(json_t *object, const char *name, const void *bytes, size_t length);
void document_set_text(json_t *object, const char *name, const char *text);
/* Null below 0: unknown. */
void document_set_count(json_t *object, const char *name, int64_t count);
