/* tests/sim/clients/admin.h: a client that changes topics while others use them. */
#pragma once
#include "tests/sim/clients/asks.h"

struct admin_options {
	unsigned delete_records_percent; /* of what it does */
	unsigned alter_percent;
	unsigned come_and_go_percent; /* topics that nobody else uses */
	/* Whose records may be deleted; null: none. */
	struct topic *deleting;
	struct history_log *harness; /* which is told before records are deleted */
};

struct admin {
	struct client client; /* first */
	struct admin_options options;
	unsigned topics_made;
};

/* Makes the world's topics, then does what its options say. */
void admin_start(struct admin *admin, struct world *world, const char *name, struct random *random,
		 const struct admin_options *options);
bool admin_has_made_topics(const struct world *world);
