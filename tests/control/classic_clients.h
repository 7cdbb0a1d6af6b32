/* tests/control/classic_clients.h: clients of the classic protocol, by hand: each call sends one
 * request and leaves it to the test what is made of the answer. */
#pragma once
#include "tests/control/groups_world.h"

enum { CLIENT_TEXT_BYTES = 512, CLIENT_PROTOCOLS_MAX = 4 };

struct client {
	struct world *world;
	const char *group;
	const char *instance;                        /* null: a dynamic member */
	const char *type;                            /* "consumer" */
	const char *protocols[CLIENT_PROTOCOLS_MAX]; /* "range" alone; null ends them */
	const char *metadata;       /* of all of them; null: a subscription to the topic "t" */
	int32_t metadata_bytes;     /* 0: it is a text */
	int32_t session_ms;         /* 10 s */
	int32_t rebalance_ms;       /* 60 s */
	int16_t version;            /* of JoinGroup; the other requests are as old */
	char id[CLIENT_TEXT_BYTES]; /* as the group has named it; "" at first */
	int32_t generation;
	char leader[CLIENT_TEXT_BYTES];
	char protocol[CLIENT_TEXT_BYTES];
	bool skip_assignment;
	int32_t members_count; /* that the last JoinGroup's answer named */
	struct world_request *join;
	struct world_request *sync;
};

/* Of the newest version. */
struct client client_of(struct world *world, const char *group);

void client_send_join(struct client *client);
/* Takes the answer in; its error. */
int16_t client_joined(struct client *client);
/* Both; MEMBER_ID_REQUIRED is followed by the JoinGroup with the id, which may be parked. */
void client_enter(struct client *client);
bool client_leads(const struct client *client);

/* As a leader gives everyone of `count` clients "<name>:<index>"; null: as a follower. */
void client_send_sync(struct client *client, const struct client *const *members, size_t count,
		      const char *name);
int16_t client_synced(struct client *client, char assignment[static CLIENT_TEXT_BYTES]);

int16_t client_heartbeat(struct client *client);
/* By member id, with the instance id if there is one. */
int16_t client_leave(struct client *client);
/* An administrator's, by instance id alone. */
int16_t client_expel(struct world *world, const char *group, const char *instance);

/* Brings all `count` together: joined, synced, stable.  The leader is the first. */
void clients_settle(struct client *const *clients, size_t count);
/* "Stable", ...; "" when there is no such group. */
const char *group_state(struct world *world, const char *group);
struct group *group_of(struct world *world, const char *group); /* null: none */
/* The row of DescribeGroups. */
struct kafka_describe_groups_response_described_group *group_described(struct world *world,
								       const char *group);
#define assert_text(string, expected)                                                              \
	do {                                                                                       \
		assert_int_equal((string).length, (int)strlen(expected));                          \
		assert_memory_equal((string).data, expected, strlen(expected));                    \
	} while (0)
