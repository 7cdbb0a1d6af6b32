/* tests/dataplane/kafka_fill.h: messages filled with random but valid content, from a seed.
 *
 * The generated kafka_fill_messages.c walks the fields of a message; this gives the values.  What
 * it gives favours the edges: null, empty, zero, extremes, lengths that need two bytes of varint.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/kafka/kafka.h"

struct arena;

struct kafka_fill {
	struct arena *arena;
	uint64_t state;
	int32_t elements_left; /* of all arrays together, so that nested ones stay small */
};

void kafka_fill_init(struct kafka_fill *f, uint64_t seed, struct arena *arena);
uint64_t kafka_fill_random(struct kafka_fill *f);
uint64_t kafka_fill_below(struct kafka_fill *f, uint64_t bound);
bool kafka_fill_chance(struct kafka_fill *f);
int64_t kafka_fill_number(struct kafka_fill *f);
struct uuid kafka_fill_uuid(struct kafka_fill *f);
struct kafka_string kafka_fill_string(struct kafka_fill *f, bool nullable);
struct kafka_bytes kafka_fill_bytes(struct kafka_fill *f, bool nullable);
struct kafka_records kafka_fill_records(struct kafka_fill *f, bool nullable);
int32_t kafka_fill_count(struct kafka_fill *f, bool nullable);
void *kafka_fill_array(struct kafka_fill *f, int32_t count, size_t element_size);

/* Generated: fills `m`, the request or response struct of the API with that key. */
void kafka_fill_message(struct kafka_fill *f, int16_t key, bool response, int16_t version, void *m);
/* The same for the key or the value of a record type. */
void kafka_fill_record(struct kafka_fill *f, int16_t type, bool value, int16_t version, void *m);
