/* tests/fuzz/stored_records.h: what the targets of a coordinator's stored records share: a clock, a
 * log in memory, settings, a topic, and records made of the input. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "control/state_log.h"
#include "storage/records.h"
#include "tests/fuzz/input.h"

struct config;
struct control_request;
struct topics;

enum { HOUR_STEPS = 60 };

extern uint64_t stored_now_ns;
extern const struct clock stored_clock;

struct stored {
	uint8_t *bytes; /* key, then value */
	struct record record;
};

/* Zeroed but for log.ops = &stored_ops.  What is appended is durable at once. */
struct store {
	struct state_log log;
	struct stored *records;
	size_t count;
	size_t capacity;
};
extern const struct state_log_ops stored_ops;
void store_fini(struct store *store);

const struct config *stored_config(void); /* the defaults */
const struct topics *stored_topics(void); /* "t", of three partitions */
/* `answer` of the state machine's options: there are no requests. */
void stored_answer(void *context, struct control_request *request);

/* { u16 length, key, u16 length or 0xffff (a tombstone), value }; there are bytes left. */
struct record stored_input(struct input *input);
