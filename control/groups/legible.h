/* control/groups/legible.h: what clients say of themselves, as text.
 *
 * A client id may be no UTF-8 (dataplane/kafka/kafka.c).  Records and answers hold text alone: who
 * reads them would refuse the whole. */
#pragma once
#include "dataplane/kafka/wire.h"

struct arena;

enum { LEGIBLE_BYTES_MAX = 255 }; /* kept of a client id, and of what a member id is made of */

/* The head of `text` (null: empty), in whole characters, '?' for what is none.  Arena memory; data
 * null: there is none. */
struct kafka_string legible(struct arena *arena, const struct kafka_string *text);
