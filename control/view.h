/* control/view.h: what an errand may look at, and what any thread may.
 *
 * Unless said otherwise: on the control plane's thread only (control/errand.h); what is returned is
 * valid until the errand's `run` returns. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct config;
struct control;
struct errand;
struct topics;

/* Any thread, from control_start to control_free. */
void control_send(struct control *control, struct errand *errand);
/* What stays as it was at the start; any thread. */
int32_t control_node_id(const struct control *control);
unsigned control_shard_count(const struct control *control);
uint16_t control_listen_port(const struct control *control); /* of Kafka's clients */
/* The phases as others may see them; any thread. */
bool control_is_ready(const struct control *control);       /* serves, and is not about to stop */
uint64_t control_started_ns(const struct control *control); /* on the monotonic clock */
/* When the loop last turned, on the monotonic clock: every second, or something is wrong. */
uint64_t control_turned_ns(const struct control *control);

/* Until a setting is changed: then it is replaced, and freed. */
const struct config *control_config(const struct control *control);
/* Null: the first picture is not out yet. */
const struct topics *control_topics(const struct control *control);
int64_t control_partition_count(const struct control *control); /* of all topics */
const char *control_io_name(const struct control *control);     /* "uring", "sync"; static */
