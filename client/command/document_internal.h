/* client/command/document_internal.h: the forms of a document that have files of their own. */
#pragma once
#include "client/command/document.h"

/* document_table.c */
void document_print_table(const json_t *document, const struct part *parts);
void document_print_values(const json_t *object); /* one line, tabs between */

/* document_yaml.c: one document, begun with "---". */
void document_print_yaml(const json_t *document);
