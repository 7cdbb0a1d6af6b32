/* control/groups/consumer_names.h: texts in order, and copies of a list of them. */
#pragma once
#include <stddef.h>

#include "dataplane/kafka/wire.h"

/* Byte by byte, a prefix first. */
int name_compare(const struct kafka_string *a, const struct kafka_string *b);
int name_compare_items(const void *a, const void *b); /* the same, for qsort and bsearch */
/* One block with the names and their text, to be freed by the caller.  Null: out of memory. */
struct kafka_string *names_copy(const struct kafka_string *names, size_t count);
