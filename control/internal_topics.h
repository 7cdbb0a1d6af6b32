/* control/internal_topics.h: topics of the broker's own: the memory of the coordinator's state
 * machines (coordinator_log.h).
 *
 * Made when first needed; clients may read them and no more.  Thread: the control plane's. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct control;
struct message;

enum internal_topic { INTERNAL_OFFSETS, INTERNAL_TRANSACTIONS, INTERNAL_TOPIC_COUNT };

struct internal_topic_state {
	bool exists;
	int32_t partition_count; /* as it is or will be */
};

const char *internal_topic_name(enum internal_topic topic);
struct internal_topic_state internal_topic_state(const struct control *control,
						 enum internal_topic topic);
/* coordinator_options.wish: of a struct coordinator_wish. */
void internal_topics_wish(struct message *message, void *control);
