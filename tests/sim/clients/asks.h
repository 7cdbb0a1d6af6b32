/* tests/sim/clients/asks.h: the requests that clients send, one function each.
 *
 * All return 0, a positive error code of Kafka's, or -errno: there was no (sensible) answer, and
 * the request may have been carried out.  Views in what they return hold until the next request. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/clients/client.h"

struct batch_build;

enum { ASK_SERVER_ERROR = 1000 }; /* in place of -1 */
enum { LIST_EARLIEST = -2, LIST_LATEST = -1 };
enum isolation { READ_UNCOMMITTED, READ_COMMITTED };

/* Whether the error is one that passes, as no answer is; it has waited a little then. */
bool ask_again_later(struct client *client, int rc);

int ask_create_topic(struct client *client, struct topic *topic);
int ask_topic_ids(struct client *client); /* of all topics of the world */
int ask_delete_topic(struct client *client, const char *name);
int ask_alter_topic(struct client *client, const char *topic, const char *name, const char *value);
int ask_delete_records(struct client *client, const struct topic *topic, unsigned partition,
		       int64_t before, int64_t *ret_start);

/* `build` is sealed; `implicit`: the partition gets into the transaction by that. */
int ask_produce(struct client *client, const struct topic *topic, unsigned partition,
		const struct batch_build *build, int acks, const char *transactional_id,
		bool implicit, int64_t *ret_base_offset);

struct fetched {
	int64_t high_watermark;
	int64_t last_stable_offset;
	int64_t log_start_offset;
	const uint8_t *records;
	size_t length;
	const struct kafka_fetch_response_aborted_transaction *aborted;
	int32_t aborted_count;
};
int ask_fetch(struct client *client, const struct topic *topic, unsigned partition, int64_t offset,
	      enum isolation isolation, struct fetched *ret);
int ask_offset(struct client *client, const struct topic *topic, unsigned partition,
	       enum isolation isolation, int64_t timestamp, int64_t *ret_offset);
/* Last stable offsets of all its partitions, from one question; -1 where there was an error. */
int ask_stable(struct client *client, const struct topic *topic, int64_t *ret_offsets);

struct membership {
	const char *group;
	char member[64];
	int32_t generation; /* or member epoch; -1: none */
	bool consumer;      /* KIP-848 */
};
int ask_committed(struct client *client, const struct membership *membership,
		  const struct topic *topic, int64_t *ret_offsets);
int ask_commit(struct client *client, const struct membership *membership,
	       const struct topic *topic, unsigned partition, int64_t offset);

/* ---- asks_transaction.c ---- */

struct transactional {
	const char *id; /* null: idempotent only */
	int64_t producer_id;
	int16_t epoch;
	bool implicit; /* the newer protocol: Produce adds partitions, each end raises the epoch */
};
int ask_producer_id(struct client *client, struct transactional *transactional);
int ask_add_partition(struct client *client, const struct transactional *transactional,
		      const struct topic *topic, unsigned partition);
int ask_add_group(struct client *client, const struct transactional *transactional,
		  const char *group);
int ask_send_offset(struct client *client, const struct transactional *transactional,
		    const char *group, const struct topic *topic, unsigned partition,
		    int64_t offset);
int ask_end(struct client *client, struct transactional *transactional, bool commit);
