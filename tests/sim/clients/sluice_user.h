/* tests/sim/clients/sluice_user.h: a program that uses libsluice, over TCP or over datagrams.
 *
 * One fiber; the library's descriptors are simulated like the broker's. */
#pragma once
#include "client/sluice.h"
#include "tests/sim/clients/client.h"

enum { SLUICE_TOPICS_MAX = 4, SLUICE_VALUE_BYTES_MAX = 40000 };

struct sluice_user_options {
	bool datagrams;
	/* Produces; else it reads from the beginnings on, and now and then from anywhere. */
	bool produces;
	bool idempotent;
	int acks; /* -1 or 1 */
	/* It tries once, a record at a time, and ends with the first whose fate it does not know:
	 * without numbers, too, each is stored once at most, and in order. */
	bool once;
	unsigned in_flight;
	unsigned payload_max;
	unsigned pause_max_ms; /* between two bursts of records, or reads */
	struct topic *topics[SLUICE_TOPICS_MAX];
	unsigned topic_count;
};

struct sluice_user {
	struct client client; /* first */
	struct sluice_user_options options;
	struct sluice_client *sluice;
	unsigned next_number;
	bool has_failed;                    /* a record */
	char trouble[256];                  /* told last */
	char value[SLUICE_VALUE_BYTES_MAX]; /* of the next record */
	int64_t positions[SLUICE_TOPICS_MAX][PARTITIONS_MAX];
};

void sluice_user_start(struct sluice_user *user, struct world *world, const char *name,
		       struct random *random, const struct sluice_user_options *options);
