/* tests/sim/workload.h: what a seed draws: the broker, its topics and clients, and what goes wrong.
 *
 * Swarm style: each seed switches whole features on or off, so that a run has few of them and goes
 * deep, and all of them meet each other over many seeds. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/broker.h"
#include "tests/sim/clients/client.h"
#include "tests/sim/clients/producer.h"
#include "tests/sim/clients/sluice_user.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/random.h"

enum {
	SETTINGS_MAX = 16,
	PRODUCERS_MAX = 4,
	READERS_MAX = 2,
	SLUICE_USERS_MAX = 2,
	SLUICE_HEIRS_MAX = 2, /* of those that died */
	RUDE_MAX = 2,
	TRANSACTORS_MAX = 2,
	GROUPS_MAX = 2,
	MEMBERS_MAX = 3, /* of a group */
	ACCIDENTS_MAX = 8,
};

enum accident_kind {
	ACCIDENT_KILL,  /* kill -9 */
	ACCIDENT_POWER, /* and what was not on the disk may be gone */
	ACCIDENT_STOP,  /* as an operator does */
	ACCIDENT_DISK,  /* errors for a while, then a restart */
	ACCIDENT_CUTS,  /* connections break, and no datagram passes, for a while */
	ACCIDENT_CLOCK, /* the wall clock is set */
	ACCIDENT_SLEEP, /* all clients are silent for long */
	ACCIDENT_USER,  /* a program that uses libsluice dies, and another begins */
	ACCIDENT_ROT,   /* bits turn at rest */
};

struct accident {
	enum accident_kind kind;
	unsigned after_ms; /* the one before */
	unsigned down_ms;  /* until the broker is started again; or how long it lasts */
	int64_t step_ms;
	bool behind_read; /* as soon as somebody has read what no producer was told of */
	struct disk_faults disk;
};

struct group_plan {
	char name[8];
	bool consumer; /* KIP-848 */
	unsigned members;
};

struct workload {
	struct broker_options broker;
	const char *settings[SETTINGS_MAX];
	struct disk_faults disk; /* at all times: how slow it is */
	struct network_faults network;
	uint32_t stalls; /* see schedule_set_stalls */

	struct producer_options producers[PRODUCERS_MAX];
	unsigned producer_count;
	unsigned readers;
	struct sluice_user_options sluice_users[SLUICE_USERS_MAX];
	unsigned sluice_user_count;
	unsigned rude;
	unsigned transactors;
	bool rivals;   /* they have one transactional id, and fence each other */
	bool implicit; /* see struct transactional */
	unsigned abort_percent;
	struct group_plan groups[GROUPS_MAX];
	unsigned group_count;
	/* Topics by their use; null where there is none. */
	struct topic *plain, *dedup, *sink, *deleting, *retained, *compacted, *rotting;
	bool alters, comes_and_goes;

	struct accident accidents[ACCIDENTS_MAX];
	unsigned accident_count;
	bool disk_errors;
	uint32_t crashes_while_starting; /* in a million starts after a crash */
	unsigned last_ms;                /* after the last accident */
};

/* Fills the world's topics too. */
void workload_draw(struct workload *workload, struct world *world, struct random random);
